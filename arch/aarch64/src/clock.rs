//! Counter ticks to nanoseconds and back, by multiplication. Pure.

/// A counter's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds a tick, in 2^-32.
    to_ns: u64,
    /// Ticks a nanosecond, in 2^-56: at most 1, so it fits, and far alarms ring at most a few ns a year late.
    to_ticks: u64,
}

impl Rate {
    /// The rate of a counter of `hertz` ticks a second. None if that is 0 or beyond 1 GHz, for which the format of CNTFRQ_EL0 has no
    /// meaning to us.
    #[must_use]
    pub const fn new(hertz: u64) -> Option<Rate> {
        if hertz == 0 || hertz > 1_000_000_000 {
            return None;
        }
        let to_ns = (1_000_000_000_u128 << 32) / hertz as u128;
        Some(Rate {
            to_ns: to_ns as u64,
            // Of what `ns` multiplies with, not of `hertz`: so that the two are exact inverses.
            to_ticks: (1_u128 << 88).div_ceil(to_ns) as u64,
        })
    }

    /// Nanoseconds in `ticks`; rises with it. Good for 584 years.
    #[inline]
    #[must_use]
    pub const fn ns(self, ticks: u64) -> u64 {
        ((ticks as u128 * self.to_ns as u128) >> 32) as u64
    }

    /// A number of ticks after which [`Rate::ns`] is at least `ns`, at most a few too many.
    #[inline]
    #[must_use]
    pub const fn ticks(self, ns: u64) -> u64 {
        let ticks = (ns as u128 * self.to_ticks as u128) >> 56;
        let ticks = if ticks > u64::MAX as u128 {
            u64::MAX
        } else {
            ticks as u64
        };
        ticks.saturating_add(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u64; 5] = [
        62_500_000,
        19_200_000,
        54_000_000,
        24_000_000,
        1_000_000_000,
    ];

    #[test]
    fn ns_of_one_hour_is_exact_to_a_microsecond() {
        for hertz in RATES {
            let rate = Rate::new(hertz).unwrap();
            let off = rate.ns(3600 * hertz).abs_diff(3_600_000_000_000);
            assert!(off < 1000, "{hertz}: {off}");
        }
    }

    #[test]
    fn alarm_never_rings_early() {
        for hertz in RATES {
            let rate = Rate::new(hertz).unwrap();
            for ns in [
                0,
                1,
                999,
                1_000_000,
                123_456_789_012,
                31_536_000_000_000_000,
            ] {
                let reached = rate.ns(rate.ticks(ns));
                assert!(reached >= ns, "{hertz}: {ns} {reached}");
                assert!(
                    reached - ns < 10_000 + ns / 100_000_000,
                    "{hertz}: {ns} {reached}"
                );
            }
        }
    }

    #[test]
    fn rate_of_nonsense_is_none() {
        assert_eq!(Rate::new(0), None);
        assert_eq!(Rate::new(5_000_000_000), None);
    }
}
