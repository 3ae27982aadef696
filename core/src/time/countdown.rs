//! What a timer is apart from its clock: when it is due, and how often again. Readings of the clock are passed in, all in
//! nanoseconds; nothing here waits.

/// A timer that is off, or due at a reading of its clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Countdown {
    /// 0: off.
    due: u64,
    interval: u64,
}

impl Countdown {
    /// Due when the clock reads `due`, then again every `interval`; once if that is 0.
    #[must_use]
    pub const fn at(due: u64, interval: u64) -> Countdown {
        // A clock that reads 0 has not begun; what is due then is due at once.
        let due = if due == 0 { 1 } else { due };
        Countdown { due, interval }
    }

    /// Off, with an interval that it is said to have.
    #[must_use]
    pub const fn off(interval: u64) -> Countdown {
        Countdown { due: 0, interval }
    }

    /// The reading at which it is due; None if it is off.
    #[must_use]
    pub const fn due(&self) -> Option<u64> {
        if self.due == 0 { None } else { Some(self.due) }
    }

    /// The time between one expiry and the next.
    #[must_use]
    pub const fn interval(&self) -> u64 {
        self.interval
    }

    /// Whether it is due by `now`.
    #[must_use]
    pub const fn has_expired(&self, now: u64) -> bool {
        self.due != 0 && self.due <= now
    }

    /// How often it has become due by `now` since this was last asked.
    pub const fn take(&mut self, now: u64) -> u64 {
        if !self.has_expired(now) {
            return 0;
        }
        match (now - self.due).checked_div(self.interval) {
            None => {
                self.due = 0;
                1
            }
            Some(more) => {
                let times = more.saturating_add(1);
                self.due = self.due.saturating_add(times.saturating_mul(self.interval));
                times
            }
        }
    }

    /// How long until it is due next; 0: off, or due once and expired.
    #[must_use]
    pub const fn left(&self, now: u64) -> u64 {
        let mut ahead = *self;
        ahead.take(now);
        // What is due now but for a rounding is not off.
        match ahead.due() {
            Some(due) if due > now => due - now,
            Some(_) => 1,
            None => 0,
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn countdown_once_expires_once() {
        let mut timer = Countdown::at(100, 0);
        assert_eq!((timer.left(40), timer.take(99)), (60, 0));
        assert_eq!((timer.take(100), timer.take(1000)), (1, 0));
        assert_eq!((timer.left(1000), timer.due()), (0, None));
    }

    #[test]
    fn countdown_at_the_end_of_time_does_not_overflow() {
        let mut timer = Countdown::at(1, 1);
        assert_eq!(timer.take(u64::MAX), u64::MAX);
        let mut timer = Countdown::at(u64::MAX - 1, u64::MAX);
        assert_eq!((timer.take(u64::MAX), timer.due()), (1, Some(u64::MAX)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Against one that counts every tick.
        #[test]
        fn countdown_agrees_with_one_that_ticks(
            due in 0..50_u64,
            interval in 0..7_u64,
            waits in prop::collection::vec(0..20_u64, 1..20),
        ) {
            let mut timer = Countdown::at(due, interval);
            let mut next = Some(due.max(1));
            let mut now = 0;
            for wait in waits {
                now += wait;
                let mut expected = 0;
                while let Some(at) = next.filter(|at| *at <= now) {
                    expected += 1;
                    next = (interval > 0).then_some(at + interval);
                }
                prop_assert_eq!(timer.left(now), next.map_or(0, |at| at - now));
                prop_assert_eq!(timer.take(now), expected);
                prop_assert_eq!(timer.due(), next);
            }
        }
    }
}
