//! Sets of physical address ranges: which RAM there is, and what is left of it once everything that is taken is taken out.
//! Fixed size, no allocation: used before there is a heap. Pure.

use core::ops::Range;

/// How many ranges a set can hold.
pub const CAPACITY: usize = 64;

/// Disjoint ranges of bytes in rising order.
#[derive(Clone, Debug)]
pub struct RangeSet {
    ranges: [(usize, usize); CAPACITY],
    count: usize,
}

/// A set would need more than [`CAPACITY`] ranges; it is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl RangeSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ranges: [(0, 0); CAPACITY],
            count: 0,
        }
    }

    /// The ranges, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Range<usize>> {
        self.ranges
            .iter()
            .take(self.count)
            .map(|&(start, end)| start..end)
    }

    /// The first byte of the first range and the end of the last.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        let mut ranges = self.iter();
        let first = ranges.next()?;
        let last = ranges.last().unwrap_or_else(|| first.clone());
        Some(first.start..last.end)
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.iter().map(|range| range.len()).sum()
    }

    fn push(&mut self, start: usize, end: usize) -> Result<(), Full> {
        if start < end {
            *self.ranges.get_mut(self.count).ok_or(Full)? = (start, end);
            self.count += 1;
        }
        Ok(())
    }

    /// Adds `start..end`; ranges that touch become one.
    pub fn add(&mut self, start: usize, end: usize) -> Result<(), Full> {
        let mut result = Self::new();
        let (mut start, mut end) = (start, end);
        let mut placed = start >= end;
        for range in self.iter() {
            if range.end < start || placed {
                result.push(range.start, range.end)?;
            } else if range.start > end {
                result.push(start, end)?;
                result.push(range.start, range.end)?;
                placed = true;
            } else {
                start = start.min(range.start);
                end = end.max(range.end);
            }
        }
        if !placed {
            result.push(start, end)?;
        }
        *self = result;
        Ok(())
    }

    /// Takes `start..end` out.
    pub fn remove(&mut self, start: usize, end: usize) -> Result<(), Full> {
        let mut result = Self::new();
        for range in self.iter() {
            if start >= end {
                result.push(range.start, range.end)?;
                continue;
            }
            result.push(range.start, range.end.min(start))?;
            result.push(range.start.max(end), range.end)?;
        }
        *self = result;
        Ok(())
    }

    /// The set with each range cut to whole multiples of `unit`, a power of two.
    #[must_use]
    pub fn whole(&self, unit: usize) -> Self {
        let mut result = Self::new();
        for range in self.iter() {
            let start = range
                .start
                .checked_next_multiple_of(unit)
                .unwrap_or(usize::MAX);
            // At most as many ranges as before: there is room.
            let _ = result.push(start, range.end & !(unit - 1));
        }
        result
    }

    /// Takes `size` bytes from the end of the last range that has room, aligned to `unit` (a power of two); returns where.
    /// From the end, since loaders put what they load at the beginning and whole blocks there are worth more.
    pub fn take(&mut self, size: usize, unit: usize) -> Option<usize> {
        let place = self
            .ranges
            .get(..self.count)?
            .iter()
            .rev()
            .find_map(|&(start, end)| {
                let place = end.checked_sub(size)? & !(unit - 1);
                (place >= start).then_some(place)
            })?;
        self.remove(place, place + size).ok()?;
        Some(place)
    }
}

impl Default for RangeSet {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn set(ranges: &[(usize, usize)]) -> RangeSet {
        let mut set = RangeSet::new();
        for &(start, end) in ranges {
            set.add(start, end).unwrap();
        }
        set
    }

    fn list(set: &RangeSet) -> Vec<Range<usize>> {
        set.iter().collect()
    }

    #[test]
    fn add_merges_what_touches_and_keeps_order() {
        let set = set(&[(40, 50), (0, 10), (20, 30), (10, 20), (45, 60)]);
        assert_eq!(list(&set), [0..30, 40..60]);
        assert_eq!(set.span(), Some(0..60));
    }

    #[test]
    fn remove_from_the_middle_splits() {
        let mut set = set(&[(0, 100)]);
        set.remove(20, 30).unwrap();
        set.remove(90, 200).unwrap();
        set.remove(5, 5).unwrap();
        assert_eq!(list(&set), [0..20, 30..90]);
        assert_eq!(set.bytes(), 80);
    }

    #[test]
    fn whole_leaves_out_what_has_no_whole_unit() {
        let set = set(&[(1, 15), (16, 33), (60, 100)]);
        assert_eq!(list(&set.whole(16)), [16..32, 64..96]);
    }

    #[test]
    fn take_is_aligned_and_from_the_end() {
        let mut set = set(&[(0, 64), (100, 110)]);
        assert_eq!(set.take(20, 16), Some(32));
        assert_eq!(list(&set), vec![0..32, 52..64, 100..110]);
        assert_eq!(set.take(1000, 1), None);
    }

    #[test]
    fn add_beyond_capacity_is_refused_and_changes_nothing() {
        let mut set = RangeSet::new();
        for index in 0..CAPACITY {
            set.add(10 * index, 10 * index + 5).unwrap();
        }
        assert_eq!(set.add(100_000, 100_001), Err(Full));
        assert_eq!(set.remove(1, 2), Err(Full));
        assert_eq!(set.iter().count(), CAPACITY);
    }

    #[test]
    fn random_changes_match_a_bitmap() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        std::println!("seed {seed:#x}");
        let mut set = RangeSet::new();
        let mut model = [false; 256];
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (start, length) = ((seed >> 40) as usize % 256, (seed >> 50) as usize % 24);
            let end = (start + length).min(256);
            let add = seed >> 63 == 1;
            let done = if add {
                set.add(start, end)
            } else {
                set.remove(start, end)
            };
            if done.is_ok() && start < end {
                model[start..end].fill(add);
            }
            for (index, &is_in) in model.iter().enumerate() {
                assert_eq!(set.iter().any(|range| range.contains(&index)), is_in);
            }
        }
    }
}
