//! Address spaces: what a program may reach, and what is there.
//!
//! Regions say what may be; the page table is the truth of what is present, and holds one share of each frame in it.
//! Copy-on-write is nowhere written down: a present page of a private region that may be stored to but does not allow it
//! is copied at the first store, unless its frame has no other holder. Lock level 4; under it the lock of a memory object
//! (5) and of the frame pool (9) are taken. Nothing waits.

mod access;
mod advice;
mod detach;
mod fault;
mod fork;
mod heap;
mod map;
mod resize;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use halyard_cell::SpinLock;

pub use self::access::FutexPlace;
pub use self::fault::FaultError;
pub use self::map::{MapRequest, Placement};
pub use self::resize::Move;
use super::region::{Backing, Region, RegionMap};
use super::{Memory, MemoryObject};
use crate::counters::{Kind, Live};
use crate::machine::{
    Access, Frame, Mapping, OutOfMemory, PAGE_SIZE, PageTable, SpaceToken, USER_END, USER_START,
    UserAddr,
};
use crate::wait::pause::PIECE_PAGES;
use crate::{Errno, Result};

/// Pages whose frames are kept on the kernel's stack while their translations go.
const BATCH: usize = 64;

/// What a program may reach; shared by its threads.
pub struct AddressSpace {
    memory: &'static Memory,
    token: SpaceToken,
    inner: SpinLock<Inner>,
    _live: Live,
}

/// What the lock guards.
struct Inner {
    table: Box<dyn PageTable>,
    regions: RegionMap,
    /// Where the heap begins and where it ends now (brk(2)); neither need be on a page.
    heap: (usize, usize),
    /// Below this, places for mappings are sought.
    top: usize,
    /// Bytes in regions.
    mapped: usize,
    /// Pages present.
    present: usize,
    /// The most bytes that regions may have (RLIMIT_AS).
    limit: usize,
    /// The most bytes that a region may grow down to (RLIMIT_STACK).
    stack_limit: usize,
}

/// Sizes of an address space, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Mapped.
    pub mapped: usize,
    /// Present.
    pub present: usize,
}

impl AddressSpace {
    /// An empty one. ENOMEM.
    pub fn new(memory: &'static Memory) -> Result<Arc<AddressSpace>> {
        let table = memory.machine.new_page_table()?;
        let token = table.token();
        let inner = Inner {
            table,
            regions: RegionMap::default(),
            heap: (USER_START, USER_START),
            top: USER_END - PAGE_SIZE,
            mapped: 0,
            present: 0,
            limit: usize::MAX,
            stack_limit: 8 << 20,
        };
        Ok(Arc::new(AddressSpace {
            memory,
            token,
            inner: SpinLock::new(inner),
            _live: Live::new(Kind::AddressSpace),
        }))
    }

    /// The name to run it by. Takes no lock.
    #[inline]
    #[must_use]
    pub const fn token(&self) -> SpaceToken {
        self.token
    }

    /// The memory that it takes its frames from.
    #[inline]
    #[must_use]
    pub const fn memory(&self) -> &'static Memory {
        self.memory
    }

    /// Sets the most bytes that may be mapped (RLIMIT_AS) and that a stack may grow to (RLIMIT_STACK). What is mapped already
    /// stays.
    pub fn set_limits(&self, address_space: u64, stack: u64) {
        let mut inner = self.inner.lock();
        inner.limit = usize::try_from(address_space).unwrap_or(usize::MAX);
        inner.stack_limit = usize::try_from(stack).unwrap_or(usize::MAX);
    }

    /// Below `top`, places for mappings are sought.
    pub fn set_top(&self, top: UserAddr) {
        let mut inner = self.inner.lock();
        inner.top = page_of(top.0.clamp(USER_START, USER_END));
        inner.regions.forget_search();
    }

    /// Does `visit` for each region in rising order. `visit` takes no lock of level 4 or below.
    pub fn for_each_region(&self, visit: &mut dyn FnMut(&Region)) {
        self.inner.lock().regions.iter().for_each(visit);
    }

    /// The first region that ends above `address`: a cursor that holds no lock between its steps (/proc/PID/maps).
    #[must_use]
    pub fn region_above(&self, address: UserAddr) -> Option<Region> {
        let inner = self.inner.lock();
        inner
            .regions
            .get(inner.regions.first_above(address.0))
            .cloned()
    }

    /// How large it is.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let inner = self.inner.lock();
        Footprint {
            mapped: inner.mapped / PAGE_SIZE,
            present: inner.present,
        }
    }

    /// How many pages at least it has to itself or shares with forks alone: what is present beyond all that could be of
    /// objects that are mapped shared.
    #[must_use]
    pub fn own_pages(&self) -> usize {
        let inner = self.inner.lock();
        let shared = inner.regions.iter().filter(|it| it.backing.is_shared());
        let shared: usize = shared.map(|it| (it.end - it.start) / PAGE_SIZE).sum();
        inner.present.saturating_sub(shared)
    }

    /// Whether `object` is mapped here so that stores reach it, or could be allowed to.
    pub(super) fn maps_for_stores(&self, object: &MemoryObject) -> bool {
        self.inner.lock().regions.iter().any(|region| {
            region.backing.is_shared()
                && region.max_access.contains(Access::WRITE)
                && region
                    .backing
                    .object()
                    .is_some_and(|behind| core::ptr::eq(Arc::as_ptr(behind), object))
        })
    }

    /// Takes the pages of `object` from page `first` on out: they have been cut off. Private copies go too, as with Linux.
    pub(super) fn unmap_object(&self, object: &MemoryObject, first: u64) {
        let mut inner = self.inner.lock();
        let mut at = 0;
        while let Some(region) = inner.regions.get(at) {
            at += 1;
            let (Backing::Private(behind, start) | Backing::Shared(behind, start)) =
                &region.backing
            else {
                continue;
            };
            if !core::ptr::eq(Arc::as_ptr(behind), object) {
                continue;
            }
            let keep = usize::try_from(first.saturating_sub(*start)).unwrap_or(usize::MAX);
            let from = keep.saturating_mul(PAGE_SIZE).saturating_add(region.start);
            let end = region.end;
            if from < end {
                inner.drop_pages(self.memory, from, end);
            }
        }
    }
}

impl Inner {
    /// ENOMEM: `more` bytes are over the limit.
    fn check_limit(&self, more: usize) -> Result<()> {
        let sum = self
            .mapped
            .checked_add(more)
            .filter(|sum| *sum <= self.limit);
        sum.map(|_| ()).ok_or(Errno::ENOMEM)
    }

    /// Makes `page`, which is not present, present with a share that the caller has; gives the share back if it fails.
    #[inline]
    fn install(
        &mut self,
        memory: &Memory,
        page: usize,
        mapping: Mapping,
    ) -> Result<(), OutOfMemory> {
        let mapped = self.table.map(UserAddr(page), mapping);
        match mapped {
            Ok(()) => self.present += 1,
            Err(_) => {
                memory.frames.release(mapping.frame);
            }
        }
        mapped
    }

    /// How far work on the present pages of `start..end` gets in one piece.
    fn piece_end(&self, start: usize, end: usize) -> usize {
        if self.present <= PIECE_PAGES {
            return end;
        }
        let first = self.table.first_present(UserAddr(start), UserAddr(end));
        first.map_or(end, |first| {
            end.min(first.0.saturating_add(PIECE_PAGES * PAGE_SIZE))
        })
    }

    /// Takes all present pages of `start..end` out of the table, and then, when no CPU can reach them any more, releases
    /// their frames: another CPU may be running in the space.
    fn drop_pages(&mut self, memory: &Memory, start: usize, end: usize) {
        let pages = (end - start) / PAGE_SIZE;
        if self.present == 0 {
            return;
        }
        if pages == 1 {
            if let Some(mapping) = self.table.unmap(UserAddr(start)) {
                memory.frames.release(mapping.frame);
                self.present -= 1;
            }
        } else if pages <= BATCH {
            self.drop_few(memory, start, end);
        } else {
            // The frames are too many to keep: so the pages are made unreachable first, and found again in the table.
            self.table
                .update_range(UserAddr(start), UserAddr(end), &mut |_, mapping| {
                    Some(Mapping {
                        access: Access::empty(),
                        ..mapping
                    })
                });
            self.drop_unreachable(memory, start, end);
        }
    }

    fn drop_few(&mut self, memory: &Memory, start: usize, end: usize) {
        let mut gone = [Frame(0); BATCH];
        let mut count = 0;
        self.table
            .update_range(UserAddr(start), UserAddr(end), &mut |_, mapping| {
                let Some(place) = gone.get_mut(count) else {
                    return Some(mapping);
                };
                *place = mapping.frame;
                count += 1;
                None
            });
        for frame in gone.iter().take(count) {
            memory.frames.release(*frame);
        }
        self.present -= count;
    }

    /// As [`Inner::drop_pages`] for pages that no program can reach.
    fn drop_unreachable(&mut self, memory: &Memory, start: usize, end: usize) {
        let mut count = 0;
        self.table
            .update_range(UserAddr(start), UserAddr(end), &mut |_, mapping| {
                memory.frames.release(mapping.frame);
                count += 1;
                None
            });
        self.present -= count;
    }
}

/// What the page table is to allow for a present page of `region` whose frame is `frame`: of a private region no stores
/// while somebody else holds the frame.
#[inline]
fn allowed(memory: &Memory, region: &Region, frame: Frame) -> Access {
    let access = region.page_access();
    let may_store = !access.contains(Access::WRITE)
        || region.backing.is_shared()
        || memory.frames.share_count(frame) == 1;
    if may_store {
        access
    } else {
        access.difference(Access::WRITE)
    }
}

impl Drop for AddressSpace {
    /// No CPU runs in it any more, so frames are released as they are found.
    fn drop(&mut self) {
        let memory = self.memory;
        let inner = self.inner.get_mut();
        let mut at = 0;
        while inner.present > 0
            && let Some(region) = inner.regions.get(at)
        {
            let (start, end) = (UserAddr(region.start), UserAddr(region.end));
            let mut count = 0;
            inner.table.clear_range(start, end, &mut |frame| {
                memory.frames.release(frame);
                count += 1;
            });
            inner.present -= count;
            at += 1;
        }
    }
}

impl fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressSpace")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// The page that `address` is on.
#[inline]
const fn page_of(address: usize) -> usize {
    address & !(PAGE_SIZE - 1)
}

/// `length` in whole pages. ENOMEM: more than any space has.
fn whole_pages(length: usize) -> Result<usize> {
    length
        .checked_next_multiple_of(PAGE_SIZE)
        .filter(|bytes| *bytes <= USER_END)
        .ok_or(Errno::ENOMEM)
}

/// Start and end of a range in whole pages. EINVAL: misaligned. ENOMEM: not user memory.
fn checked_range(start: UserAddr, length: usize) -> Result<(usize, usize)> {
    if !start.0.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let length = whole_pages(length)?;
    let end = start
        .0
        .checked_add(length)
        .filter(|end| *end <= USER_END)
        .ok_or(Errno::ENOMEM)?;
    Ok((start.0, end))
}

/// Whether a program may have all of `start..start + length`.
#[inline]
const fn is_user_range(start: usize, length: usize) -> bool {
    start >= USER_START && length <= USER_END && start <= USER_END - length
}
