//! Generators of random numbers.

/// A generator of random numbers.
pub trait RandomSource: Send {
    /// A word, if one waits.
    fn try_word(&mut self) -> Option<u32>;
}
