//! Whose turn it is at a device that does one thing at a time.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::Result;
use crate::wait::{Sleeper, WaitQueue, wait_until};

/// The turns at a device.
pub(super) struct Turns {
    taken: AtomicBool,
    waiting: WaitQueue,
}

/// A turn, until it goes.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    pub(super) fn new() -> Self {
        Turns {
            taken: AtomicBool::new(false),
            waiting: WaitQueue::new(),
        }
    }

    /// Waits for a turn. EINTR, ENOMEM.
    pub(super) async fn next<S: Sleeper>(&self, sleeper: &S) -> Result<Turn<'_>> {
        let free = || (!self.taken.swap(true, Ordering::Acquire)).then_some(());
        match wait_until(sleeper, &self.waiting, None, free).await {
            Ok(()) => Ok(Turn(self)),
            Err(interruption) => Err(interruption.errno()),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
        self.0.waiting.wake_one();
    }
}
