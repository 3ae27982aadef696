//! Which memory is free, as ranges of addresses.

use core::ops::Range;

/// Banks of memory, and pieces of them that are taken, at most.
const BANKS: usize = 16;
const TAKEN: usize = 64;

/// There are more ranges than there is place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Banks of memory and what is taken of them.
#[derive(Clone, Debug)]
pub struct Ranges {
    banks: [Range<usize>; BANKS],
    taken: [Range<usize>; TAKEN],
}

impl Default for Ranges {
    fn default() -> Self {
        Self {
            banks: [const { 0..0 }; BANKS],
            taken: [const { 0..0 }; TAKEN],
        }
    }
}

impl Ranges {
    /// There is memory here. Error: too many banks.
    pub fn bank(&mut self, range: Range<usize>) -> Result<(), Full> {
        put(&mut self.banks, range)
    }

    /// This is somebody's. Error: too many pieces.
    pub fn take(&mut self, range: Range<usize>) -> Result<(), Full> {
        put(&mut self.taken, range)
    }

    /// This is nobody's any more.
    pub fn give(&mut self, range: &Range<usize>) {
        if let Some(place) = self.taken.iter_mut().find(|taken| *taken == range) {
            *place = 0..0;
        }
    }

    /// The lowest `size` bytes on a multiple of `unit`, a power of two, that lie in one bank and are nobody's. None: there are none.
    #[must_use]
    pub fn fit(&self, size: usize, unit: usize) -> Option<Range<usize>> {
        // The lowest place begins where a bank does, or behind something taken.
        let starts = self.banks.iter().map(|bank| bank.start);
        let ends = self.taken.iter().map(|taken| taken.end);
        let places = starts.chain(ends).filter_map(|from| {
            let start = from.checked_next_multiple_of(unit)?;
            Some(start..start.checked_add(size)?)
        });
        places
            .filter(|place| size > 0 && self.is_free(place))
            .min_by_key(|place| place.start)
    }

    fn is_free(&self, place: &Range<usize>) -> bool {
        let within = |bank: &Range<usize>| bank.start <= place.start && place.end <= bank.end;
        let apart = |taken: &Range<usize>| taken.end <= place.start || place.end <= taken.start;
        self.banks.iter().any(within) && self.taken.iter().all(apart)
    }
}

fn put(ranges: &mut [Range<usize>], range: Range<usize>) -> Result<(), Full> {
    if range.is_empty() {
        return Ok(());
    }
    let place = ranges.iter_mut().find(|place| place.start == place.end);
    *place.ok_or(Full)? = range;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(banks: &[(usize, usize)], taken: &[(usize, usize)]) -> Ranges {
        let mut ranges = Ranges::default();
        for &(start, end) in banks {
            ranges.bank(start..end).expect("place");
        }
        for &(start, end) in taken {
            ranges.take(start..end).expect("place");
        }
        ranges
    }

    #[test]
    fn fit_is_the_lowest_place_that_is_free_and_aligned() {
        let ranges = ranges(
            &[(0x1000, 0x9000), (0x10000, 0x20000)],
            &[(0x1000, 0x1800), (0x4000, 0x5000)],
        );
        assert_eq!(ranges.fit(0x1000, 0x1000), Some(0x2000..0x3000));
        assert_eq!(ranges.fit(0x3000, 0x1000), Some(0x5000..0x8000));
        assert_eq!(ranges.fit(0x5000, 0x1000), Some(0x10000..0x15000));
        assert_eq!(ranges.fit(0x1000, 0x4000), Some(0x8000..0x9000));
        assert_eq!(ranges.fit(0x20000, 1), None);
    }

    #[test]
    fn what_is_given_back_fits_again() {
        let mut ranges = ranges(&[(0x1000, 0x3000)], &[(0x1000, 0x2000)]);
        assert_eq!(ranges.fit(0x2000, 1), None);
        ranges.give(&(0x1000..0x2000));
        assert_eq!(ranges.fit(0x2000, 1), Some(0x1000..0x3000));
    }

    #[test]
    fn fit_at_the_end_of_addresses_does_not_wrap() {
        let ranges = ranges(&[(usize::MAX - 0x1000, usize::MAX)], &[]);
        assert_eq!(ranges.fit(0x2000, 1), None);
        assert_eq!(ranges.fit(16, 0x10000), None);
        assert_eq!(ranges.fit(0, 1), None);
    }

    #[test]
    fn too_many_pieces_are_refused_and_not_forgotten() {
        let mut ranges = ranges(&[(0, 1 << 20)], &[]);
        for index in 0..TAKEN {
            assert_eq!(ranges.take(index * 16..index * 16 + 8), Ok(()));
        }
        assert_eq!(ranges.take(0x8000..0x9000), Err(Full));
        assert_eq!(ranges.take(5..5), Ok(()));
    }
}
