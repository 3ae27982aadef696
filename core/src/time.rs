//! Points and lengths of time, in nanoseconds. Owns nothing, never blocks.

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
