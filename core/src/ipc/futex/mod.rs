//! Futexes: waiting for a word of a program's memory to change (futex(2), futex(7)).
//!
//! The kernel knows nothing of a futex but who waits on it. Waiters are in buckets by a hash of what identifies the word
//! ([`Key`]). A waiter looks at the word with its bucket locked, and a waker locks the bucket before it looks for waiters, so
//! that no wake is lost. Those that inherit priority are in a table of their own (`pi`). Lock level 3: two buckets in rising
//! order, then the table of `pi`, then the world of inheritance.

mod calls;
mod key;
mod pi;
mod robust;
mod table;
mod waiter;

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use crate::Result;
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::thread::Thread;

pub use calls::{Requeued, cmp_requeue_pi, lock_pi, unlock_pi, wait_requeue_pi};
pub use key::Key;
pub use robust::{on_exec, on_thread_exit};

/// The bitset that matches every waiter.
pub const ANY: u32 = u32::MAX;

/// Set in [`Thread::claims`] when the thread has given up what it owned, for ever.
const LEFT: u32 = 1 << 31;

/// A word in a program's memory.
pub struct UserWord {
    space: Arc<AddressSpace>,
    at: UserAddr,
}

impl UserWord {
    /// The word at `at` in `space`.
    #[must_use]
    pub fn new(space: &Arc<AddressSpace>, at: UserAddr) -> UserWord {
        UserWord {
            space: Arc::clone(space),
            at,
        }
    }
}

impl pi::Word for UserWord {
    fn load(&self) -> Result<u32> {
        self.space.load_u32(self.at)
    }

    fn compare_exchange(&self, expected: u32, new: u32) -> Result<u32> {
        self.space.compare_exchange_u32(self.at, expected, new)
    }
}

impl pi::Owner for Arc<Thread> {
    fn tid(&self) -> u32 {
        self.tid
    }

    fn has_left(&self) -> bool {
        self.claims.load(Ordering::Acquire) & LEFT != 0
    }

    fn count(&self, more: bool) {
        if more {
            self.claims.fetch_add(1, Ordering::AcqRel);
        } else {
            self.claims.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A waiter of FUTEX_WAIT_REQUEUE_PI: where it wants to be moved.
pub struct Target {
    key: Key,
    thread: Arc<Thread>,
    word: UserWord,
}

/// A place among the waiters of a word; dropping it gives it up.
pub type Place<'a> = table::Place<'a, Target>;

/// Who waits on which words.
pub struct FutexTable {
    plain: table::Table<Target>,
    pi: pi::PiTable<Arc<Thread>, UserWord>,
}

impl Default for FutexTable {
    fn default() -> Self {
        Self::new()
    }
}

impl FutexTable {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> FutexTable {
        FutexTable {
            plain: table::Table::new(),
            pi: pi::PiTable::new(),
        }
    }

    /// Takes a place among the waiters of `key`: see [`table::Table::enter`].
    pub fn enter(
        &self,
        key: Key,
        bitset: u32,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<Place<'_>> {
        self.plain.enter(key, bitset, None, unchanged)
    }

    /// See [`table::Table::wake`].
    pub fn wake(&self, key: &Key, count: usize, bitset: u32) -> Result<usize> {
        self.plain.wake(key, count, bitset)
    }

    /// See [`table::Table::wake_op`].
    pub fn wake_op(
        &self,
        one: (&Key, usize),
        other: (&Key, usize),
        change: impl FnOnce() -> Result<bool>,
    ) -> Result<usize> {
        self.plain.wake_op(one, other, change)
    }

    /// See [`table::Table::requeue`].
    pub fn requeue(
        &self,
        from: &Key,
        to: &Key,
        wake: usize,
        move_on: usize,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<(usize, usize)> {
        self.plain.requeue(from, to, wake, move_on, unchanged)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;

#[cfg(not(loom))]
#[cfg(test)]
mod robust_model_tests;

#[cfg(all(test, loom))]
mod loom_tests;
