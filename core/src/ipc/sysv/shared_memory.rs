//! Shared memory segments (shmget(2), shmop(2)): memory that processes map.
//!
//! Owns a memory object and counts the regions that map it: each holds a [`Hold`](crate::mm::Hold), which forks and splits with its region and
//! goes with it, however it goes. Promises: the count is exact; what was removed is destroyed by its last detach; pages are freed once. Its lock
//! is a leaf (level 8), for regions go where their space is locked.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use halyard_abi::sysv::{SHM_DEST, SHM_LOCKED};
use halyard_cell::SpinLock;

use super::permission::Ownership;
use super::table::{Header, Object};
use super::{Keeper, Stamp};
use crate::counters::{Kind, Live};
use crate::machine::PAGE_SIZE;
use crate::mm::{Hold, Mapped, Memory, MemoryObject};
use crate::{Errno, Result};

/// The greatest size of a segment in bytes (SHMMAX).
pub const SHMMAX: u64 = u64::MAX - (1 << 24);

/// A segment.
pub struct Segment {
    header: Header,
    object: Arc<MemoryObject>,
    size: usize,
    /// What regions that map it are called in /proc/PID/maps.
    name: String,
    keeper: &'static dyn Keeper,
    state: SpinLock<State>,
    _live: Live,
}

struct State {
    /// Regions that map it.
    attached: usize,
    /// It was removed, and goes with its last region.
    doomed: bool,
    locked: bool,
    creator: Stamp,
    /// Last attach or detach.
    last: Stamp,
    attach_time: u64,
    detach_time: u64,
    changed: u64,
}

/// What IPC_STAT tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Key, owner, mode with SHM_DEST and SHM_LOCKED.
    pub ownership: Ownership,
    /// Bytes, as asked for.
    pub size: usize,
    /// Pages that have a frame.
    pub resident: usize,
    /// Regions that map it.
    pub attached: usize,
    /// Who made it.
    pub creator: crate::process::Pid,
    /// Who attached or detached last.
    pub last: crate::process::Pid,
    /// When it was last attached, ns since 1970; 0: never.
    pub attach_time: u64,
    /// When it was last detached; 0: never.
    pub detach_time: u64,
    /// When it was made or changed.
    pub changed: u64,
}

impl Segment {
    /// A segment of `size` bytes, none of which takes memory before it is touched. Its pages were counted in.
    #[must_use]
    pub fn new(
        header: Header,
        size: usize,
        memory: &'static Memory,
        keeper: &'static dyn Keeper,
    ) -> Segment {
        let now = keeper.stamp();
        let name = format!("/SYSV{:08x} (deleted)", header.permission.key());
        // The tail of the last page is usable.
        let bytes = pages(size).saturating_mul(PAGE_SIZE);
        Segment {
            header,
            object: MemoryObject::new(memory, bytes as u64),
            size,
            name,
            keeper,
            state: SpinLock::new(State {
                attached: 0,
                doomed: false,
                locked: false,
                creator: now,
                last: Stamp::default(),
                attach_time: 0,
                detach_time: 0,
                changed: now.time,
            }),
            _live: Live::new(Kind::SharedMemory),
        }
    }

    /// Bytes, as asked for.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The memory.
    #[must_use]
    pub const fn object(&self) -> &Arc<MemoryObject> {
        &self.object
    }

    /// A hold for a region that is to map it. EIDRM: it is gone already.
    pub fn attach(self: &Arc<Self>) -> Result<Hold> {
        let state = self.state.lock();
        let gone = state.doomed && state.attached == 0;
        drop(state);
        if gone {
            return Err(Errno::EIDRM);
        }
        let mapped: Arc<dyn Mapped> = Arc::<Segment>::clone(self);
        Ok(Hold::new(mapped))
    }

    /// IPC_RMID: it goes with its last region. True: it has none, so it is to be taken out of its table at once.
    #[must_use]
    pub fn doom(&self) -> bool {
        let mut state = self.state.lock();
        state.doomed = true;
        state.attached == 0
    }

    /// SHM_LOCK and SHM_UNLOCK. Nothing is ever swapped out: only the mode tells.
    pub fn set_locked(&self, locked: bool) {
        self.state.lock().locked = locked;
    }

    /// It was changed by IPC_SET.
    pub fn set_changed(&self, now: u64) {
        self.state.lock().changed = now;
    }

    /// What it is like now.
    #[must_use]
    pub fn status(&self) -> Status {
        let resident = self.object.resident_pages();
        let mut ownership = self.header.permission.ownership();
        let state = self.state.lock();
        if state.doomed {
            ownership.mode |= SHM_DEST;
        }
        if state.locked {
            ownership.mode |= SHM_LOCKED;
        }
        Status {
            ownership,
            size: self.size,
            resident,
            attached: state.attached,
            creator: state.creator.pid,
            last: state.last.pid,
            attach_time: state.attach_time,
            detach_time: state.detach_time,
            changed: state.changed,
        }
    }
}

/// How many pages so many bytes take.
#[must_use]
pub const fn pages(bytes: usize) -> usize {
    bytes.div_ceil(PAGE_SIZE)
}

impl Mapped for Segment {
    fn mapped(&self) {
        let now = self.keeper.stamp();
        let mut state = self.state.lock();
        state.attached += 1;
        state.attach_time = now.time;
        state.last = now;
    }

    fn unmapped(&self) {
        let now = self.keeper.stamp();
        let mut state = self.state.lock();
        state.attached -= 1;
        state.detach_time = now.time;
        state.last = now;
        let gone = state.doomed && state.attached == 0;
        drop(state);
        if gone {
            self.keeper.forget_segment(self.header.id());
        }
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Object for Segment {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.keeper.release_pages(pages(self.size));
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;
