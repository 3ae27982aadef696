//! Points and lengths of time, in nanoseconds. Owns nothing, never blocks.

mod countdown;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use halyard_cell::SpinLock;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::machine::Machine;
use crate::{Errno, Result};
pub use countdown::Countdown;

/// A point on the monotonic clock: nanoseconds since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The end of time: an alarm that never rings.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// The instant `ns` nanoseconds after this one; saturates at [`Instant::NEVER`].
    #[must_use]
    pub const fn after(self, ns: u64) -> Instant {
        Instant(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to this instant; 0 if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// `struct timespec` of arm64 (time(7)).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct TimeSpec {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nanos: i64,
}

impl TimeSpec {
    /// From a count of nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> TimeSpec {
        TimeSpec {
            seconds: (nanos / NANOS_PER_SECOND) as i64,
            nanos: (nanos % NANOS_PER_SECOND) as i64,
        }
    }

    /// As a count of nanoseconds, as large as a u64 goes. EINVAL: negative, or nanoseconds out of range.
    pub const fn to_nanos(self) -> Result<u64> {
        if self.seconds < 0 || self.nanos < 0 || self.nanos >= NANOS_PER_SECOND as i64 {
            return Err(Errno::EINVAL);
        }
        Ok((self.seconds as u64)
            .saturating_mul(NANOS_PER_SECOND)
            .saturating_add(self.nanos as u64))
    }
}

/// Who must know that the wall clock was set.
pub trait OnClockSet: Send + Sync {
    /// It has been set. Called with no lock held.
    fn clock_set(self: Arc<Self>);
}

/// The wall clock: how far it is ahead of the monotonic clock, and who listens. Lock level 3.
#[derive(Default)]
pub struct Clock {
    ahead: AtomicU64,
    listeners: SpinLock<Vec<Weak<dyn OnClockSet>>>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock")
            .field("ahead", &self.ahead)
            .finish_non_exhaustive()
    }
}

impl Clock {
    /// A wall clock that reads `real` ns since 1970 when the monotonic one reads `now`.
    #[must_use]
    pub fn new(now: Instant, real: u64) -> Clock {
        Clock {
            ahead: AtomicU64::new(real.saturating_sub(now.0)),
            listeners: SpinLock::default(),
        }
    }

    /// Has `listener` told whenever the clock is set, for as long as it lives. ENOMEM.
    pub fn listen(&self, listener: Weak<dyn OnClockSet>) -> Result<()> {
        let mut listeners = self.listeners.lock();
        if listeners.len() == listeners.capacity() {
            listeners.retain(|listener| listener.strong_count() > 0);
        }
        listeners.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        listeners.push(listener);
        Ok(())
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn real(&self, now: Instant) -> u64 {
        now.0.saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// Sets the wall clock, and tells who listens.
    pub fn set_real(&self, now: Instant, real: u64) {
        self.ahead
            .store(real.saturating_sub(now.0), Ordering::Relaxed);
        let mut next = 0;
        loop {
            let listeners = self.listeners.lock();
            let Some(listener) = listeners.get(next).map(Weak::upgrade) else {
                return;
            };
            drop(listeners);
            next += 1;
            if let Some(listener) = listener {
                listener.clock_set();
            }
        }
    }
}

/// A machine's wall clock, to be read by whoever stamps something with the time.
#[derive(Clone, Copy)]
pub struct WallClock {
    /// Who counts.
    pub machine: &'static dyn Machine,
    /// How far ahead of the count it is.
    pub clock: &'static Clock,
}

impl WallClock {
    /// Nanoseconds since 1970.
    #[inline]
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.real(self.machine.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timespec_out_of_range_is_einval() {
        for bad in [
            TimeSpec {
                seconds: -1,
                nanos: 0,
            },
            TimeSpec {
                seconds: 0,
                nanos: -1,
            },
        ] {
            assert_eq!(bad.to_nanos(), Err(Errno::EINVAL));
        }
        assert_eq!(
            TimeSpec {
                seconds: 0,
                nanos: 1_000_000_000
            }
            .to_nanos(),
            Err(Errno::EINVAL)
        );
    }

    #[test]
    fn timespec_too_long_saturates() {
        assert_eq!(
            TimeSpec {
                seconds: i64::MAX,
                nanos: 999_999_999
            }
            .to_nanos(),
            Ok(u64::MAX)
        );
        assert_eq!(
            TimeSpec::from_nanos(1_500_000_000),
            TimeSpec {
                seconds: 1,
                nanos: 500_000_000
            }
        );
    }

    #[test]
    fn clock_set_real_moves_the_wall_clock_alone() {
        let clock = Clock::new(Instant(5), 0);
        clock.set_real(Instant(10), 1_000_000);
        assert_eq!(clock.real(Instant(30)), 1_000_020);
    }
}
