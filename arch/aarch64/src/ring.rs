//! Console input between the interrupt and the reader: a ring with one who puts and one who takes, without a lock. Pure.

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Bytes that a ring holds.
pub const CAPACITY: usize = 1024;

/// A ring of bytes.
#[derive(Debug)]
pub struct Ring {
    bytes: [AtomicU8; CAPACITY],
    /// Bytes put so far; written by who puts.
    put: AtomicUsize,
    /// Bytes taken so far; written by who takes.
    taken: AtomicUsize,
}

impl Ring {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [const { AtomicU8::new(0) }; CAPACITY],
            put: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        }
    }

    /// Puts a byte; whether there was room. One at a time calls it.
    pub fn put(&self, byte: u8) -> bool {
        let put = self.put.load(Ordering::Relaxed);
        if put.wrapping_sub(self.taken.load(Ordering::Acquire)) == CAPACITY {
            return false;
        }
        if let Some(place) = self.bytes.get(put % CAPACITY) {
            place.store(byte, Ordering::Relaxed);
        }
        self.put.store(put.wrapping_add(1), Ordering::Release);
        true
    }

    /// Takes as many bytes as there are and fit; returns how many. One at a time calls it.
    pub fn take(&self, into: &mut [u8]) -> usize {
        let taken = self.taken.load(Ordering::Relaxed);
        let waiting = self.put.load(Ordering::Acquire).wrapping_sub(taken);
        let count = waiting.min(into.len());
        for (index, byte) in into.iter_mut().take(count).enumerate() {
            let place = self.bytes.get(taken.wrapping_add(index) % CAPACITY);
            *byte = place.map_or(0, |place| place.load(Ordering::Relaxed));
        }
        self.taken
            .store(taken.wrapping_add(count), Ordering::Release);
        count
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_gives_bytes_in_order_over_the_wrap() {
        let ring = Ring::new();
        let mut into = [0; 7];
        let (mut next, mut expected) = (0_u8, 0_u8);
        for _ in 0..1000 {
            for _ in 0..5 {
                assert!(ring.put(next));
                next = next.wrapping_add(1);
            }
            let count = ring.take(&mut into);
            for &byte in into.iter().take(count) {
                assert_eq!(byte, expected);
                expected = expected.wrapping_add(1);
            }
        }
        assert_eq!(next, expected);
    }

    #[test]
    fn put_into_full_ring_is_refused() {
        let ring = Ring::new();
        for _ in 0..CAPACITY {
            assert!(ring.put(1));
        }
        assert!(!ring.put(2));
        assert_eq!(ring.take(&mut [0; 1]), 1);
        assert!(ring.put(3));
    }
}
