//! Clocks and sleeping.

use core::time::Duration;

use crate::sys::sys;
use crate::{Errno, Result, nr, raw};

pub use raw::general::timespec as Timespec;

/// A clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Since 1970, as far as the machine knows.
    Real = 0,
    /// Since the machine started; never goes back.
    Monotonic = 1,
    /// What this process has used of the processors.
    Process = 2,
    /// What this thread has used of the processors.
    Thread = 3,
}

/// A duration as the kernel takes it; what is too long is as long as can be.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

/// A kernel's time as a duration; a negative one is zero.
pub(crate) fn duration(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// What a clock shows.
///
/// # Errors
/// `EINVAL` for a clock that the kernel lacks.
pub fn now(clock: Clock) -> Result<Duration> {
    let mut time = timespec(Duration::ZERO);
    // SAFETY: the kernel writes one time there.
    unsafe { sys!(nr::CLOCK_GETTIME, clock as usize, &raw mut time) }?;
    Ok(duration(time))
}

/// The time since the machine started, zero where there is no clock.
pub fn uptime() -> Duration {
    now(Clock::Monotonic).unwrap_or(Duration::ZERO)
}

/// Sleeps, through all signals.
pub fn sleep(length: Duration) {
    let mut left = length;
    while let Err(rest) = sleep_once(left) {
        left = rest;
    }
}

/// Sleeps until the time is over or a signal handler ran; then gives what was left.
///
/// # Errors
/// The time left.
pub fn sleep_once(length: Duration) -> core::result::Result<(), Duration> {
    let wanted = timespec(length);
    let mut left = timespec(Duration::ZERO);
    // SAFETY: the kernel reads one time and writes the other.
    match unsafe { sys!(nr::NANOSLEEP, &raw const wanted, &raw mut left) } {
        Err(Errno::EINTR) => Err(duration(left)),
        _ => Ok(()),
    }
}
