//! Somebody who waits on a word, whatever kind of wait it is: a flag, and whom to tell that it is set.
//!
//! Flag and waker are behind one lock. Who wakes sets the flag and takes the waker in one hold, who waits leaves its waker before
//! it looks at the flag: so either it sees the flag, or the waker is found. No order of memory has to be argued.

use core::task::Waker;

use halyard_cell::SpinLock;
use halyard_cell::sync::atomic::{AtomicUsize, Ordering};

use crate::counters::{Kind, Live};
use crate::machine::OutOfMemory;
use crate::time::Instant;
use crate::wait::{Interruption, Registration, Sleeper, wait_in};

/// Somebody who waits.
pub(super) struct Waiter {
    state: SpinLock<State>,
    /// The bucket in which it is. Changed with both buckets locked.
    bucket: AtomicUsize,
    _live: Live,
}

struct State {
    woken: bool,
    waker: Option<Waker>,
}

impl Waiter {
    pub(super) fn new(bucket: usize) -> Waiter {
        Waiter {
            state: SpinLock::new(State {
                woken: false,
                waker: None,
            }),
            bucket: AtomicUsize::new(bucket),
            _live: Live::new(Kind::FutexQueue),
        }
    }

    /// Sets the flag; the waker is to be woken without a lock.
    #[must_use]
    pub(super) fn wake(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.woken = true;
        state.waker.take()
    }

    pub(super) fn is_woken(&self) -> bool {
        self.state.lock().woken
    }

    pub(super) fn bucket(&self) -> usize {
        self.bucket.load(Ordering::Acquire)
    }

    pub(super) fn set_bucket(&self, bucket: usize) {
        self.bucket.store(bucket, Ordering::Release);
    }

    /// Waits for the flag.
    pub(super) async fn wait<S: Sleeper>(
        &self,
        sleeper: &S,
        deadline: Option<Instant>,
    ) -> Result<(), Interruption> {
        wait_in(sleeper, Place(self), deadline, |place| {
            place.0.is_woken().then_some(())
        })
        .await
    }
}

/// The waker left with the waiter. Who gives up takes the waiter out of its table, and the waker goes with it.
struct Place<'a>(&'a Waiter);

impl Registration for Place<'_> {
    fn arm(&mut self, waker: &Waker) -> Result<(), OutOfMemory> {
        let waker = waker.clone();
        let before = self.0.state.lock().waker.replace(waker);
        // It may be the last hold on a thread: never dropped under the lock.
        drop(before);
        Ok(())
    }

    fn disarm(&mut self) {}

    fn leave(&mut self, _: bool) {
        let waker = self.0.state.lock().waker.take();
        drop(waker);
    }
}
