//! Address spaces: what a program may reach, and what is there.
//!
//! Regions say what may be; the page table is the truth of what is present. Each present page holds one share of its frame.
//! Copy-on-write is nowhere written down: a present page of a private region that may be stored to but does not allow it
//! is copied at the first store, unless its frame has no other holder. Lock level 4.

mod access;
mod fault;
mod fork;
mod heap;
mod map;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use halyard_cell::SpinLock;

pub use self::access::FutexPlace;
pub use self::fault::FaultError;
pub use self::map::{MapRequest, Placement};
use super::region::{Backing, Region, RegionMap};
use super::{Memory, MemoryObject};
use crate::Result;
use crate::counters::{Kind, Live};
use crate::machine::{
    Access, Frame, Mapping, PAGE_SIZE, PageTable, SpaceToken, USER_END, USER_START, UserAddr,
};

/// Frames taken out of a page table in one go, to be released when no CPU can reach them any more.
const BATCH: usize = 64;

/// What a program may reach.
pub struct AddressSpace {
    memory: &'static Memory,
    token: SpaceToken,
    inner: SpinLock<Inner>,
    _live: Live,
}

struct Inner {
    regions: RegionMap,
    table: Box<dyn PageTable>,
    /// Where the heap begins and where it ends now (brk(2)).
    heap: (usize, usize),
    /// Below this, places for mappings are sought.
    top: usize,
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
            regions: RegionMap::default(),
            table,
            heap: (0, 0),
            top: USER_END - PAGE_SIZE,
        };
        Ok(Arc::new(AddressSpace {
            memory,
            token,
            inner: SpinLock::new(inner),
            _live: Live::new(Kind::AddressSpace),
        }))
    }

    /// The name to run it by.
    #[inline]
    #[must_use]
    pub const fn token(&self) -> SpaceToken {
        self.token
    }

    /// The memory that it takes its frames from.
    #[must_use]
    pub const fn memory(&self) -> &'static Memory {
        self.memory
    }

    /// Does `visit` for each region in rising order. `visit` takes no lock of level 4 or below.
    pub fn for_each_region(&self, visit: &mut dyn FnMut(&Region)) {
        self.inner.lock().regions.iter().for_each(visit);
    }

    /// How large it is. Takes time proportional to the present pages.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let mut inner = self.inner.lock();
        let mapped = inner.regions.covered_bytes(0, USER_END) / PAGE_SIZE;
        let mut present = 0;
        inner
            .table
            .update_range(UserAddr(0), UserAddr(USER_END), &mut |_, mapping| {
                present += 1;
                Some(mapping)
            });
        Footprint { mapped, present }
    }

    /// Takes the pages of `object` from page `first` on out (they have been cut off).
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
    /// Takes all present pages of `start..end` out of the table, and then, when no CPU can reach them any more, releases
    /// their frames.
    fn drop_pages(&mut self, memory: &Memory, start: usize, end: usize) {
        loop {
            let mut batch = [Frame(0); BATCH];
            let mut taken = 0;
            self.table
                .update_range(UserAddr(start), UserAddr(end), &mut |_, mapping| {
                    let Some(place) = batch.get_mut(taken) else {
                        return Some(mapping);
                    };
                    *place = mapping.frame;
                    taken += 1;
                    None
                });
            for frame in batch.iter().take(taken) {
                memory.frames.release(*frame);
            }
            if taken < BATCH {
                return;
            }
        }
    }

    /// What the page table is to allow for a present page of `region` whose frame is `frame`: of a private region no stores
    /// while somebody else holds the frame.
    fn allowed(memory: &Memory, region: &Region, frame: Frame) -> Access {
        let access = region.page_access();
        if region.backing.is_shared() || memory.frames.share_count(frame) == 1 {
            access
        } else {
            access.difference(Access::WRITE)
        }
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let memory = self.memory;
        self.inner.get_mut().drop_pages(memory, 0, USER_END);
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
const fn page_of(address: usize) -> usize {
    address & !(PAGE_SIZE - 1)
}

/// Whether a program may have all of `start..start + length`.
const fn is_user_range(start: usize, length: usize) -> bool {
    start >= USER_START && length <= USER_END && start <= USER_END - length
}

/// A mapping.
const fn mapping(frame: Frame, access: Access) -> Mapping {
    Mapping { frame, access }
}
