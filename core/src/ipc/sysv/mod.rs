//! System V IPC (svipc(7)): message queues, shared memory segments, sets of semaphores, each found by a key or an id.
//!
//! Owns one table a kind. Promises: a stale id is never another object; what is removed wakes whoever sleeps on it with EIDRM; what
//! programs leave behind stays until it is removed, as the manual says, and is bounded by the limits here.
//!
//! Locks: the objects' are of level 3 but for a segment's, which is a leaf, for mappings go where a space is locked; the tables' are
//! leaves too (level 8: under them nothing but the heap's is taken).

mod line;
pub mod message_queue;
pub mod permission;
pub mod semaphore;
pub mod shared_memory;
pub mod table;
pub mod undo;

use core::sync::atomic::{AtomicUsize, Ordering};

use self::message_queue::MessageQueue;
use self::semaphore::SemaphoreSet;
use self::shared_memory::Segment;
use self::table::{Object, Table};
use crate::counters::Kind;
use crate::kernel::Kernel;
use crate::process::Pid;

/// The most message queues (MSGMNI).
pub const MSGMNI: usize = 1024;
/// The most shared memory segments (SHMMNI).
pub const SHMMNI: usize = 4096;
/// The most sets of semaphores (SEMMNI).
pub const SEMMNI: usize = 1024;
/// The most semaphores of all sets together (SEMMNS).
pub const SEMMNS: usize = 1_024_000;

/// Who does something, and when: what the status of an object says of its last use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The process; 0: nobody yet.
    pub pid: Pid,
    /// Nanoseconds since 1970; 0: never.
    pub time: u64,
}

/// What objects ask of the kernel when a `Drop` changes them, where no call can tell.
pub trait Keeper: Send + Sync {
    /// Who runs here now, and the time.
    fn stamp(&self) -> Stamp;
    /// The segment of that id was removed, and its last mapping has gone.
    fn forget_segment(&self, id: i32);
    /// A segment of so many pages has gone.
    fn release_pages(&self, pages: usize);
}

/// All System V objects of a kernel.
pub struct SysV {
    /// Message queues.
    pub messages: Table<MessageQueue>,
    /// Shared memory segments.
    pub memory: Table<Segment>,
    /// Sets of semaphores.
    pub semaphores: Table<SemaphoreSet>,
    /// Pages that all segments have together, touched or not.
    pages: AtomicUsize,
    /// Semaphores that all sets have together.
    semaphore_count: AtomicUsize,
}

impl Default for SysV {
    fn default() -> SysV {
        SysV::new()
    }
}

impl SysV {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> SysV {
        SysV {
            messages: Table::new(MSGMNI),
            memory: Table::new(SHMMNI),
            semaphores: Table::new(SEMMNI),
            pages: AtomicUsize::new(0),
            semaphore_count: AtomicUsize::new(0),
        }
    }

    /// Pages that all segments have together, touched or not.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages.load(Ordering::Relaxed)
    }

    /// Semaphores that all sets have together.
    #[must_use]
    pub fn semaphore_count(&self) -> usize {
        self.semaphore_count.load(Ordering::Relaxed)
    }

    /// Counts `more` pages in. False: that would be more than `limit`.
    pub(crate) fn claim_pages(&self, more: usize, limit: usize) -> bool {
        claim(&self.pages, more, limit)
    }

    /// Counts `more` semaphores in. False: that would be more than [`SEMMNS`].
    pub(crate) fn claim_semaphores(&self, more: usize) -> bool {
        claim(&self.semaphore_count, more, SEMMNS)
    }

    /// A set of so many semaphores has gone.
    pub(crate) fn release_semaphores(&self, count: usize) {
        self.semaphore_count.fetch_sub(count, Ordering::Relaxed);
    }

    /// Does `visit` for each object: its kind, its id, and how many use it (of a queue: messages in it; of a segment: mappings; of a
    /// set: who waits).
    pub fn for_each(&self, mut visit: impl FnMut(Kind, i32, usize)) {
        self.messages.for_each(|queue| {
            visit(
                Kind::MessageQueue,
                queue.header().id(),
                queue.status().count,
            );
        });
        self.memory.for_each(|segment| {
            visit(
                Kind::SharedMemory,
                segment.header().id(),
                segment.status().attached,
            );
        });
        self.semaphores.for_each(|set| {
            visit(Kind::SemaphoreSet, set.header().id(), set.waiting());
        });
    }
}

fn claim(count: &AtomicUsize, more: usize, limit: usize) -> bool {
    let sum = |now: usize| now.checked_add(more).filter(|sum| *sum <= limit);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
        .is_ok()
}

impl Keeper for Kernel {
    fn stamp(&self) -> Stamp {
        Stamp {
            pid: self.this_cpu().running(),
            time: self.wall_clock(),
        }
    }

    fn forget_segment(&self, id: i32) {
        drop(self.sysv.memory.remove(id));
    }

    fn release_pages(&self, pages: usize) {
        self.sysv.pages.fetch_sub(pages, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
#[cfg(test)]
pub(crate) mod testing;

#[cfg(all(test, loom))]
pub(crate) mod testing_loom;
