//! Page faults: a page is filled with zeros, taken from an object, copied, or refused.

use super::{AddressSpace, Inner, allowed, page_of};
use crate::Errno;
use crate::machine::{Access, Frame, Mapping, OutOfMemory, PAGE_SIZE, UserAddr};
use crate::mm::Memory;
use crate::mm::object::{PageState, Wanted};
use crate::mm::region::{Backing, GUARD_BYTES};

/// Why an access cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// No region is there: SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// The region does not allow it: SIGSEGV, SEGV_ACCERR.
    Denied,
    /// Behind the end of the mapped object: SIGBUS, BUS_ADRERR.
    BeyondObject,
    /// The mapped object has no room for the page: SIGBUS, BUS_ADRERR, as a full tmpfs of Linux.
    ObjectFull,
    /// No frame was to be had.
    OutOfMemory,
}

impl From<OutOfMemory> for FaultError {
    fn from(_: OutOfMemory) -> FaultError {
        FaultError::OutOfMemory
    }
}

/// What a system call says of an argument that it cannot reach.
impl From<FaultError> for Errno {
    fn from(error: FaultError) -> Errno {
        match error {
            FaultError::OutOfMemory => Errno::ENOMEM,
            _ => Errno::EFAULT,
        }
    }
}

type Result<T> = core::result::Result<T, FaultError>;

/// Pages of an object that are mapped at once, if the object has them: a window aligned to as many. For a program that
/// starts, a fault costs more than a window of pages.
const WINDOW: usize = 16;

impl AddressSpace {
    /// Makes the page of `address` present with the right to `access`, if its region allows it. Spurious faults (another
    /// thread was faster) are fine.
    #[inline]
    pub fn fault(&self, address: UserAddr, access: Access) -> Result<()> {
        self.inner
            .lock()
            .resolve(self.memory, address.0, access)
            .map(|_| ())
    }
}

impl Inner {
    /// The frame of the page at `address`, present with `access`.
    #[inline]
    pub(super) fn reach(
        &mut self,
        memory: &Memory,
        address: usize,
        access: Access,
    ) -> Result<Frame> {
        match self.table.lookup(UserAddr(page_of(address))) {
            Some(there) if there.access.contains(access) => Ok(there.frame),
            _ => self
                .resolve(memory, address, access)
                .map(|there| there.frame),
        }
    }

    /// What is at `address` after it was made to allow `access`.
    pub(super) fn resolve(
        &mut self,
        memory: &Memory,
        address: usize,
        access: Access,
    ) -> Result<Mapping> {
        let page = page_of(address);
        let index = self.region_at(page)?;
        let region = self.regions.get_mut(index).ok_or(FaultError::NotMapped)?;
        if !region.page_access().contains(access) {
            return Err(FaultError::Denied);
        }
        match self.table.lookup(UserAddr(page)) {
            Some(mapping) if mapping.access.contains(access) => Ok(mapping),
            Some(mapping) => self.unshare(memory, index, page, mapping),
            None => self.fill(memory, index, page, access),
        }
    }

    /// The index of the region at `page`; a region above that grows down is extended to it.
    fn region_at(&mut self, page: usize) -> Result<usize> {
        let index = self.regions.first_above(page);
        let region = self.regions.get(index).ok_or(FaultError::NotMapped)?;
        if region.start <= page {
            return Ok(index);
        }
        let below = index
            .checked_sub(1)
            .and_then(|below| self.regions.get(below))
            .map_or(0, |below| below.end);
        let more = region.start - page;
        let fits = region.grows_down
            && region.end - page <= self.stack_limit
            && page
                .checked_sub(below)
                .is_some_and(|gap| gap >= GUARD_BYTES)
            && self.check_limit(more).is_ok();
        if !fits {
            return Err(FaultError::NotMapped);
        }
        self.mapped += more;
        if let Some(region) = self.regions.get_mut(index) {
            region.start = page;
        }
        Ok(index)
    }

    /// `page` is present but does not allow what its region does: a store to a frame that is shared, or was.
    fn unshare(
        &mut self,
        memory: &Memory,
        index: usize,
        page: usize,
        old: Mapping,
    ) -> Result<Mapping> {
        let region = self.regions.get_mut(index).ok_or(FaultError::NotMapped)?;
        let access = region.page_access();
        if allowed(memory, region, old.frame) == access {
            // The last holder stores where it is.
            self.table.protect(UserAddr(page), access);
            return Ok(Mapping { access, ..old });
        }
        let frame = memory.frames.allocate()?;
        memory.machine.copy_frame(old.frame, frame);
        if access.contains(Access::EXECUTE) {
            memory.machine.sync_code(frame);
        }
        region.has_copies = true;
        let new = Mapping { frame, access };
        if self.table.map(UserAddr(page), new).is_err() {
            memory.frames.release(frame);
            return Err(FaultError::OutOfMemory);
        }
        memory.frames.release(old.frame);
        Ok(new)
    }

    fn fill(
        &mut self,
        memory: &Memory,
        index: usize,
        page: usize,
        access: Access,
    ) -> Result<Mapping> {
        let region = self.regions.get(index).ok_or(FaultError::NotMapped)?;
        match &region.backing {
            Backing::Anonymous => {
                let mapping = Mapping {
                    frame: memory.zeroed_frame()?,
                    access: region.page_access(),
                };
                if mapping.access.contains(Access::EXECUTE) {
                    memory.machine.sync_code(mapping.frame);
                }
                self.install(memory, page, mapping)?;
                Ok(mapping)
            }
            Backing::Private(..) if access.contains(Access::WRITE) => {
                self.fill_copy(memory, index, page)
            }
            Backing::Private(..) | Backing::Shared(..) => {
                self.fill_from_object(memory, index, page)
            }
        }
    }

    /// The first access to a page of a private region is a store: it gets a copy at once.
    fn fill_copy(&mut self, memory: &Memory, index: usize, page: usize) -> Result<Mapping> {
        let region = self.regions.get_mut(index).ok_or(FaultError::NotMapped)?;
        let Backing::Private(object, first) = &region.backing else {
            return Err(FaultError::NotMapped);
        };
        let access = region.page_access();
        let frame = match object.page_state(region.object_page(*first, page), false)? {
            PageState::Beyond => return Err(FaultError::BeyondObject),
            PageState::Hole | PageState::Full => memory.zeroed_frame()?,
            PageState::Present(theirs) => {
                let copied = memory.frames.allocate();
                if let Ok(frame) = copied {
                    memory.machine.copy_frame(theirs, frame);
                }
                memory.frames.release(theirs);
                copied?
            }
        };
        if access.contains(Access::EXECUTE) {
            memory.machine.sync_code(frame);
        }
        region.has_copies = true;
        self.install(memory, page, Mapping { frame, access })?;
        Ok(Mapping { frame, access })
    }

    /// Maps the object's own page, and those around it that the object has and that are not present yet.
    fn fill_from_object(&mut self, memory: &Memory, index: usize, page: usize) -> Result<Mapping> {
        let region = self.regions.get_mut(index).ok_or(FaultError::NotMapped)?;
        let (Backing::Private(object, first) | Backing::Shared(object, first)) = &region.backing
        else {
            return Err(FaultError::NotMapped);
        };
        let shared = region.backing.is_shared();
        let mut access = region.page_access();
        let window = page & !(WINDOW * PAGE_SIZE - 1);
        let start = window.max(region.start);
        let end = (window + WINDOW * PAGE_SIZE).min(region.end);
        let mut frames = [None; WINDOW];
        let frames = frames
            .get_mut(..(end - start) / PAGE_SIZE)
            .unwrap_or_default();
        let wanted = Wanted {
            offset: (page - start) / PAGE_SIZE,
            fill: shared,
            executable: access.contains(Access::EXECUTE),
        };
        match object.window(region.object_page(*first, start), &wanted, frames)? {
            PageState::Beyond => Err(FaultError::BeyondObject),
            PageState::Full => Err(FaultError::ObjectFull),
            PageState::Present(frame) => {
                if !shared {
                    access = access.difference(Access::WRITE);
                }
                self.install_window(memory, start, frames, access);
                match frames.get(wanted.offset) {
                    Some(None) => Ok(Mapping { frame, access }),
                    _ => Err(FaultError::OutOfMemory),
                }
            }
            // Zeros of the region's own: reading a sparse file must not fill it.
            PageState::Hole => {
                region.has_copies = true;
                let frame = memory.zeroed_frame()?;
                if wanted.executable {
                    memory.machine.sync_code(frame);
                }
                self.install(memory, page, Mapping { frame, access })?;
                Ok(Mapping { frame, access })
            }
        }
    }

    /// Makes pages from `start` on present that are not, and releases the shares of the others. None is left of a frame that
    /// is present now.
    fn install_window(
        &mut self,
        memory: &Memory,
        start: usize,
        frames: &mut [Option<Frame>],
        access: Access,
    ) {
        let before = frames.iter().flatten().count();
        self.table.map_absent(UserAddr(start), frames, access);
        let left = frames.iter().flatten();
        self.present += before - left.clone().count();
        left.for_each(|frame| {
            memory.frames.release(*frame);
        });
    }
}
