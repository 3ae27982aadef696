//! The ranks that decide whether a CPU is to change over: of what runs on it, and of the best in its queue.
//!
//! Who queues a task stores the queue's best, then looks at what runs ([`Ranks::outranked_by`]); the CPU that begins a turn stores
//! what runs, then looks at its queue ([`Ranks::run`]). Each is a store and then a load of what the other stores, so both
//! need a full fence in between: else a task could wait for the end of a lesser one's turn, with neither having noticed.

use halyard_cell::sync::atomic::{AtomicU32, Ordering, fence};

/// The two ranks of a CPU, as [`super::run_queue::Policy::rank`] has them.
#[derive(Debug)]
pub struct Ranks {
    queued: AtomicU32,
    running: AtomicU32,
}

impl Ranks {
    /// Nothing is queued, nothing runs.
    #[must_use]
    pub fn new() -> Ranks {
        Ranks {
            queued: AtomicU32::new(0),
            running: AtomicU32::new(0),
        }
    }

    /// The best in the queue is of this rank now; 0 also if there is none. Under the queue's lock.
    #[inline]
    pub fn set_queued(&self, rank: u32) {
        self.queued.store(rank, Ordering::Relaxed);
    }

    /// The best in the queue, as far as it is known.
    #[inline]
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether a task of `rank`, which the caller has queued, goes before what runs. If not, and what runs next is of less, the
    /// CPU will see so when it begins that turn.
    #[inline]
    #[must_use]
    pub fn outranked_by(&self, rank: u32) -> bool {
        fence(Ordering::SeqCst);
        rank > self.running.load(Ordering::Relaxed)
    }

    /// A task of `rank` has its turn now. True: something in the queue goes before it. What the caller stored before this is seen
    /// by whoever stored before its own [`fence`] what the caller loads after this and finds unchanged.
    #[inline]
    #[must_use]
    pub fn run(&self, rank: u32) -> bool {
        self.running.store(rank, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.queued() > rank
    }
}

impl Default for Ranks {
    fn default() -> Ranks {
        Ranks::new()
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use alloc::sync::Arc;

    use loom::thread;

    use super::*;

    /// The CPU ran something of rank 9 and begins a turn of rank 1, while somebody queues a task of rank 5.
    #[test]
    fn loom_task_queued_as_a_lesser_one_begins_is_noticed_by_either() {
        loom::model(|| {
            let ranks = Arc::new(Ranks::new());
            let _ = ranks.run(9);
            let cpu = ranks.clone();
            let begins = thread::spawn(move || cpu.run(1));
            ranks.set_queued(5);
            let demanded = ranks.outranked_by(5);
            assert!(begins.join().unwrap_or(false) || demanded);
        });
    }

    /// A thread begins a turn by its policy while that is changed: it is seen to run, or sees the change.
    #[test]
    fn loom_policy_changed_as_a_turn_begins_is_noticed_by_either() {
        loom::model(|| {
            let ranks = Arc::new(Ranks::new());
            let policy = Arc::new(AtomicU32::new(9));
            let running = Arc::new(AtomicU32::new(0));
            let (cpu, theirs, shown) = (ranks, policy.clone(), running.clone());
            let begins = thread::spawn(move || {
                shown.store(7, Ordering::Relaxed);
                let _ = cpu.run(theirs.load(Ordering::Relaxed));
                theirs.load(Ordering::Relaxed)
            });
            policy.store(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let seen = running.load(Ordering::Relaxed) == 7;
            assert!(seen || begins.join().unwrap_or(9) == 1);
        });
    }
}
