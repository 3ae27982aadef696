//! What tests wait with: a sleeper whose signal and clock are set by hand, and a waker that counts.

use halyard_cell::SpinLock;
use halyard_cell::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Sleeper;
use crate::time::Instant;

/// A sleeper whose signal and clock are set by hand.
pub(crate) struct TestSleeper {
    signalled: AtomicBool,
    now: AtomicU64,
    deadline: SpinLock<Option<Instant>>,
}

impl TestSleeper {
    pub(crate) fn new() -> TestSleeper {
        TestSleeper {
            signalled: AtomicBool::new(false),
            now: AtomicU64::new(0),
            deadline: SpinLock::new(None),
        }
    }

    /// A signal arrives; the caller wakes the sleeper.
    pub(crate) fn signal(&self) {
        self.signalled.store(true, Ordering::SeqCst);
    }

    /// The clock moves on; the caller wakes the sleeper if its alarm rings.
    pub(crate) fn set_now(&self, at: Instant) {
        self.now.store(at.0, Ordering::SeqCst);
    }

    /// What the alarm is set to.
    pub(crate) fn alarm(&self) -> Option<Instant> {
        *self.deadline.lock()
    }
}

impl Sleeper for TestSleeper {
    fn interrupted(&self) -> bool {
        self.signalled.load(Ordering::SeqCst)
    }

    fn now(&self) -> Instant {
        Instant(self.now.load(Ordering::SeqCst))
    }

    fn set_deadline(&self, at: Option<Instant>) {
        *self.deadline.lock() = at;
    }
}

/// Counts how often it was woken.
#[cfg(not(loom))]
#[derive(Default)]
pub(crate) struct Bell(core::sync::atomic::AtomicUsize);

#[cfg(not(loom))]
impl Bell {
    pub(crate) fn new() -> (alloc::sync::Arc<Bell>, core::task::Waker) {
        let bell = alloc::sync::Arc::new(Bell::default());
        (bell.clone(), core::task::Waker::from(bell))
    }

    /// How often it rang since this was last asked.
    pub(crate) fn rings(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

#[cfg(not(loom))]
impl alloc::task::Wake for Bell {
    fn wake(self: alloc::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
