//! The kernel's symbol table, for backtraces: reserved in the image by the linker script (`.symbols`) and filled after the
//! link by `cargo xtask build`, since only a linked kernel knows its addresses. A table that was not filled has no entries.
//!
//! Layout, little-endian: the word [`MAGIC`], the word `count`; then `count` words in rising order, each a function's offset from
//! the first byte of the image; then the names in the same order, each a length byte and that many bytes of text. A name is found
//! by going over those before it, which a backtrace has time for: places of names would take as many bytes again.

/// The first word of a table that was filled: "HSYM".
pub const MAGIC: u32 = 0x4d59_5348;

/// A symbol table.
#[derive(Clone, Copy, Debug)]
pub struct Symbols<'a>(&'a [u8]);

impl<'a> Symbols<'a> {
    /// The table in the section's bytes.
    #[must_use]
    pub const fn new(section: &'a [u8]) -> Self {
        Self(section)
    }

    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.0.get(at..at.checked_add(4)?)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    }

    /// How many functions it names; 0 if it was not filled.
    #[must_use]
    pub fn count(&self) -> usize {
        match (self.word(0), self.word(4)) {
            (Some(MAGIC), Some(count)) => count as usize,
            _ => 0,
        }
    }

    /// The function at `offset` bytes from the image's start, and how far into it that is.
    #[must_use]
    pub fn find(&self, offset: usize) -> Option<(&'a str, usize)> {
        let start = |index: usize| self.word(8 + 4 * index).map(|word| word as usize);
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if start(middle)? <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let index = low.checked_sub(1)?;
        Some((self.name(index)?, offset - start(index)?))
    }

    /// The name of the function of that number.
    fn name(&self, index: usize) -> Option<&'a str> {
        let mut names = self.0.get(8 + 4 * self.count()..)?;
        for _ in 0..index {
            let (length, rest) = names.split_first()?;
            names = rest.get(usize::from(*length)..)?;
        }
        let (length, rest) = names.split_first()?;
        core::str::from_utf8(rest.get(..usize::from(*length))?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn table(functions: &[(u32, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut names = Vec::new();
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend((functions.len() as u32).to_le_bytes());
        for (offset, name) in functions {
            bytes.extend(offset.to_le_bytes());
            names.push(name.len() as u8);
            names.extend(name.as_bytes());
        }
        bytes.extend(names);
        bytes
    }

    #[test]
    fn find_gives_function_that_starts_at_or_before() {
        let bytes = table(&[(0x100, "a"), (0x200, "core::b"), (0x280, "c")]);
        let symbols = Symbols::new(&bytes);
        assert_eq!(symbols.find(0xff), None);
        assert_eq!(symbols.find(0x100), Some(("a", 0)));
        assert_eq!(symbols.find(0x27f), Some(("core::b", 0x7f)));
        assert_eq!(symbols.find(0x9999), Some(("c", 0x9999 - 0x280)));
    }

    #[test]
    fn find_in_unfilled_table_finds_nothing() {
        assert_eq!(Symbols::new(&[0; 64]).find(0x100), None);
        assert_eq!(Symbols::new(&[]).find(0x100), None);
    }

    #[test]
    fn find_in_truncated_table_never_panics() {
        let bytes = table(&[(0x100, "a"), (0x200, "core::b"), (0x280, "c")]);
        for length in 0..bytes.len() {
            let _ = Symbols::new(&bytes[..length]).find(0x280);
        }
    }
}
