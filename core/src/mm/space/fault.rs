//! Page faults: making present what a region promises.

use super::{AddressSpace, Inner, mapping, page_of};
use crate::machine::{Access, Frame, Mapping, OutOfMemory, PAGE_SIZE, UserAddr};
use crate::mm::object::PageState;
use crate::mm::region::{Backing, Region};
use crate::mm::{Memory, MemoryObject};

/// Pages of an object that are mapped around one that was touched, if the object has them: the next touches are free.
const AROUND: usize = 16;

/// Why a page could not be made present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// Nothing is mapped there. SIGSEGV, SEGV_MAPERR.
    NotMapped,
    /// The region does not allow it. SIGSEGV, SEGV_ACCERR.
    Denied,
    /// Behind the end of the object. SIGBUS, BUS_ADRERR.
    BeyondObject,
    /// No frame was to be had.
    OutOfMemory,
}

impl From<OutOfMemory> for FaultError {
    fn from(_: OutOfMemory) -> FaultError {
        FaultError::OutOfMemory
    }
}

type Outcome<T = ()> = Result<T, FaultError>;

impl AddressSpace {
    /// Makes the page at `address` present with `access`, if a region allows it. Does not block.
    ///
    /// # Errors
    /// [`FaultError`].
    pub fn fault(&self, address: UserAddr, access: Access) -> Outcome {
        self.inner
            .lock()
            .resolve(self.memory, address.0, access)
            .map(|_| ())
    }
}

impl Inner {
    /// The frame of the page at `address`, present with `access`.
    #[inline]
    pub(super) fn present(
        &mut self,
        memory: &Memory,
        address: usize,
        access: Access,
    ) -> Outcome<Frame> {
        match self.table.lookup(UserAddr(page_of(address))) {
            Some(there) if there.access.contains(access) => Ok(there.frame),
            _ => self.resolve(memory, address, access),
        }
    }

    /// As [`Inner::present`], the hard way.
    pub(super) fn resolve(
        &mut self,
        memory: &Memory,
        address: usize,
        access: Access,
    ) -> Outcome<Frame> {
        let page = page_of(address);
        let (index, region) = self.regions.find(page).ok_or(FaultError::NotMapped)?;
        if !region.page_access().contains(access) {
            return Err(FaultError::Denied);
        }
        if let Some(there) = self.table.lookup(UserAddr(page)) {
            return self.upgrade(memory, index, page, there, access);
        }
        let region = region.clone();
        match &region.backing {
            Backing::Anonymous => self.fill_anonymous(memory, &region, page),
            Backing::Shared(object, first) => {
                let object_page = region.object_page(*first, page);
                let frame = present_frame(object.fill_page(object_page, executes(&region))?)?;
                self.place(memory, page, frame, region.page_access())
            }
            Backing::Private(object, first) => {
                let object_page = region.object_page(*first, page);
                if access.contains(Access::WRITE) {
                    let frame = copy_of(memory, object, object_page)?;
                    self.note_copy(index);
                    self.place(memory, page, frame, region.page_access())
                } else {
                    self.map_around(memory, &region, object, *first, page)
                }
            }
        }
    }

    fn fill_anonymous(&mut self, memory: &Memory, region: &Region, page: usize) -> Outcome<Frame> {
        let frame = memory.zeroed_frame()?;
        if executes(region) {
            memory.machine.sync_code(frame);
        }
        self.place(memory, page, frame, region.page_access())
    }

    /// A page is present, but not with `access`, which its region allows: another CPU was faster, the page is to be copied,
    /// or it may be stored to because nobody else holds it.
    fn upgrade(
        &mut self,
        memory: &Memory,
        index: usize,
        page: usize,
        there: Mapping,
        access: Access,
    ) -> Outcome<Frame> {
        if there.access.contains(access) {
            return Ok(there.frame);
        }
        let region = self.regions.get(index).ok_or(FaultError::NotMapped)?;
        let allowed = Inner::allowed(memory, region, there.frame);
        if allowed.contains(access) {
            if access.contains(Access::EXECUTE) {
                memory.machine.sync_code(there.frame);
            }
            self.table.protect(UserAddr(page), allowed);
            return Ok(there.frame);
        }
        let wanted = region.page_access();
        let copy = memory.frames.allocate()?;
        memory.machine.copy_frame(there.frame, copy);
        if executes(region) {
            memory.machine.sync_code(copy);
        }
        self.note_copy(index);
        let placed = self.place(memory, page, copy, wanted);
        if placed.is_ok() {
            memory.frames.release(there.frame);
        }
        placed
    }

    /// Maps what the object has around `page`, without leave to store, within the region.
    fn map_around(
        &mut self,
        memory: &Memory,
        region: &Region,
        object: &MemoryObject,
        first: u64,
        page: usize,
    ) -> Outcome<Frame> {
        let access = region.page_access().difference(Access::WRITE);
        let wanted =
            present_frame(object.fill_page(region.object_page(first, page), executes(region))?)?;
        let frame = self.place(memory, page, wanted, access)?;
        let start = (page & !(AROUND * PAGE_SIZE - 1)).max(region.start);
        let end = ((page & !(AROUND * PAGE_SIZE - 1)) + AROUND * PAGE_SIZE).min(region.end);
        let count = (end - start) / PAGE_SIZE;
        let mut states = [PageState::Hole; AROUND];
        let states = states.get_mut(..count).unwrap_or_default();
        object.page_states(region.object_page(first, start), executes(region), states);
        for (at, state) in (start..).step_by(PAGE_SIZE).zip(states.iter()) {
            let PageState::Present(frame) = *state else {
                continue;
            };
            // What cannot be mapped now is not missed: it will be when it is touched.
            if self.table.lookup(UserAddr(at)).is_some()
                || self
                    .table
                    .map(UserAddr(at), mapping(frame, access))
                    .is_err()
            {
                memory.frames.release(frame);
            }
        }
        Ok(frame)
    }

    /// Makes `frame`, whose share becomes the table's, present.
    fn place(
        &mut self,
        memory: &Memory,
        page: usize,
        frame: Frame,
        access: Access,
    ) -> Outcome<Frame> {
        match self.table.map(UserAddr(page), mapping(frame, access)) {
            Ok(()) => Ok(frame),
            Err(out) => {
                memory.frames.release(frame);
                Err(out.into())
            }
        }
    }

    fn note_copy(&mut self, index: usize) {
        if let Some(region) = self.regions.get_mut(index) {
            region.has_copies = true;
        }
    }
}

const fn executes(region: &Region) -> bool {
    region.access.contains(Access::EXECUTE)
}

fn present_frame(state: PageState) -> Outcome<Frame> {
    match state {
        PageState::Present(frame) => Ok(frame),
        PageState::Beyond => Err(FaultError::BeyondObject),
        PageState::Hole => Err(FaultError::OutOfMemory),
    }
}

/// A frame with the contents of an object's page, held by nobody else.
fn copy_of(memory: &Memory, object: &MemoryObject, page: u64) -> Outcome<Frame> {
    match object.page_state(page, false)? {
        PageState::Beyond => Err(FaultError::BeyondObject),
        PageState::Hole => Ok(memory.zeroed_frame()?),
        PageState::Present(original) => {
            let copy = memory.frames.allocate();
            if let Ok(copy) = copy {
                memory.machine.copy_frame(original, copy);
            }
            memory.frames.release(original);
            Ok(copy?)
        }
    }
}
