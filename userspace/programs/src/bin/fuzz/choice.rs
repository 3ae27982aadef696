//! Chance, with a seed: numbers that calls are likely to mean something by.

/// Numbers that look random (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    /// A sequence; the seed is spread, so that neighbours differ.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of a list.
    pub(crate) fn of<T: Copy>(&mut self, list: &[T], usual: T) -> T {
        list.get(self.below(list.len())).copied().unwrap_or(usual)
    }

    /// A plain number: small ones, powers of two and their neighbours, page sizes, negative ones, anything.
    pub(crate) fn number(&mut self) -> usize {
        match self.below(12) {
            0 => 0,
            1..=4 => self.below(32),
            5 => (1usize << self.below(64))
                .wrapping_add(self.below(3))
                .wrapping_sub(1),
            6 => self.below(20) * 4096,
            7 => usize::MAX - self.below(130),
            8 => self.next() as u32 as usize,
            9 => self.below(1 << 16),
            10 => 1 << self.below(24) | 1 << self.below(24),
            _ => self.next() as usize,
        }
    }
}
