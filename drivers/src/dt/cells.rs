//! Cells: the big-endian 32-bit words that property values are made of (Devicetree Specification 2.2.4).

/// The big-endian word at byte `at`.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

/// A value that is one cell and nothing else.
pub(super) fn one_cell(value: &[u8]) -> Option<u32> {
    (value.len() == 4).then(|| be32(value, 0)).flatten()
}

/// A value that is one number of one or two cells: loaders write addresses in either width.
pub(super) fn one_or_two_cells(value: &[u8]) -> Option<u64> {
    let mut cells = Cells(value);
    match value.len() {
        4 => cells.number(1),
        8 => cells.number(2),
        _ => None,
    }
}

/// What is left of a value made of cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells<'a>(pub(super) &'a [u8]);

impl Cells<'_> {
    /// Takes one cell.
    pub(super) fn cell(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*word))
    }

    /// Takes a number of `width` cells; one that needs more than 64 bits is None.
    pub(super) fn number(&mut self, width: u32) -> Option<u64> {
        let mut number = 0_u64;
        for _ in 0..width {
            if number >> 32 != 0 {
                return None;
            }
            number = number << 32 | u64::from(self.cell()?);
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_three_cells_fits_if_the_first_is_zero() {
        let fits = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(Cells(&fits).number(3), Some(0x1_0000_0002));
        let wide = [0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(Cells(&wide).number(3), None);
    }

    #[test]
    fn number_of_no_cells_is_zero() {
        assert_eq!(Cells(&[]).number(0), Some(0));
    }

    #[test]
    fn number_past_the_end_is_none() {
        assert_eq!(Cells(&[0, 0, 0, 1, 0]).number(2), None);
    }

    #[test]
    fn one_or_two_cells_takes_both_widths_and_no_other() {
        assert_eq!(one_or_two_cells(&[0, 0, 0, 7]), Some(7));
        assert_eq!(
            one_or_two_cells(&[0, 0, 0, 1, 0, 0, 0, 7]),
            Some(0x1_0000_0007)
        );
        assert_eq!(one_or_two_cells(&[0; 12]), None);
        assert_eq!(one_or_two_cells(&[]), None);
    }
}
