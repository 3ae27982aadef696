//! The one way to wait. Everything that blocks goes through this module, so everything that blocks can be
//! woken, timed out, interrupted by a signal and killed. Lock level 6.

use crate::time::Instant;

/// Who waits: the running thread, or a test.
pub trait Sleeper: Send + Sync {
    /// Whether a signal wants to be delivered (or the thread is to die): waits end with [`Interruption::Signal`].
    fn interrupted(&self) -> bool;
    /// The monotonic clock.
    fn now(&self) -> Instant;
    /// Sets or clears the thread's one alarm, which wakes it.
    fn set_deadline(&self, at: Option<Instant>);
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// A signal.
    Signal,
    /// The deadline.
    TimedOut,
}

/// Threads that wait for a change of one object.
#[derive(Debug, Default)]
pub struct WaitQueue {}
