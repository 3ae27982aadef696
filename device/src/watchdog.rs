//! Watchdogs, and the resets that they are used for.

use core::time::Duration;

/// What resets the machine when it is told to, or when it is told nothing for too long.
pub trait Watchdog: Send {
    /// The longest time that [`Watchdog::start`] can be given.
    fn longest(&self) -> Duration;

    /// Resets the machine after `time`, or the longest time there is, unless this is called again, or [`Watchdog::stop`], before.
    fn start(&mut self, time: Duration);

    /// The machine is not reset.
    fn stop(&mut self);

    /// Resets the machine, within a second.
    fn reset(&mut self);

    /// Switches the machine off, or as far off as it goes, within a second. False: it cannot.
    fn power_off(&mut self) -> bool {
        false
    }
}
