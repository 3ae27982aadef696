//! The kernel's symbol table, for backtraces: reserved in the image by the linker script (`.symbols`) and filled after the
//! link by `cargo xtask build`, since only a linked kernel knows its addresses. A table that was not filled has no entries.
//!
//! Layout, little-endian: the word [`MAGIC`], the word `count`; [`PAIRS`] pairs of bytes; then `count` words in rising order, each a
//! function's offset from the first byte of the image; then the names in the same order, each a length byte and that many bytes.
//! Of these, one below 128 is a character; another stands for the pair of that number, both of which are below it: names say the
//! same things again and again. A name is found by going over those before it, which a backtrace has time for.

use core::fmt::{self, Write};

/// The first word of a table that was filled: "HSYM".
pub const MAGIC: u32 = 0x4d59_5348;
/// How many pairs there are, for bytes from 128.
pub const PAIRS: usize = 128;

/// Bytes before the pairs, and before the offsets.
const HEADER: usize = 8;
const OFFSETS: usize = HEADER + 2 * PAIRS;

/// A symbol table.
#[derive(Clone, Copy, Debug)]
pub struct Symbols<'a>(&'a [u8]);

/// A function's name, to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    table: Symbols<'a>,
    bytes: &'a [u8],
}

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
    pub fn find(&self, offset: usize) -> Option<(Name<'a>, usize)> {
        let start = |index: usize| self.word(OFFSETS + 4 * index).map(|word| word as usize);
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
    fn name(&self, index: usize) -> Option<Name<'a>> {
        let mut names = self.0.get(OFFSETS + 4 * self.count()..)?;
        for _ in 0..index {
            let (length, rest) = names.split_first()?;
            names = rest.get(usize::from(*length)..)?;
        }
        let (length, rest) = names.split_first()?;
        let bytes = rest.get(..usize::from(*length))?;
        Some(Name {
            table: *self,
            bytes,
        })
    }

    /// What `byte` stands for. A pair whose parts are not below it would never end: it is a mistake in the table, and shown as one.
    fn expand(&self, byte: u8, into: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(pair) = usize::from(byte).checked_sub(128) else {
            return into.write_char(char::from(byte));
        };
        let at = HEADER + 2 * pair;
        match self.0.get(at..at + 2) {
            Some(&[first, second]) if first < byte && second < byte => {
                self.expand(first, into)?;
                self.expand(second, into)
            }
            _ => into.write_char('?'),
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.bytes.iter();
        bytes.try_for_each(|byte| self.table.expand(*byte, f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// A table in which 128 is `::`, 129 is `core` and what follows is as given.
    fn table(functions: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut names = Vec::new();
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend((functions.len() as u32).to_le_bytes());
        let mut pairs = [[0; 2]; PAIRS];
        pairs[..4].copy_from_slice(&[*b"::", *b"co", *b"re", [129, 130]]);
        pairs[4] = [132, b'x'];
        bytes.extend(pairs.as_flattened());
        for (offset, name) in functions {
            bytes.extend(offset.to_le_bytes());
            names.push(name.len() as u8);
            names.extend(*name);
        }
        bytes.extend(names);
        bytes
    }

    fn found(bytes: &[u8], offset: usize) -> Option<(String, usize)> {
        let (name, into) = Symbols::new(bytes).find(offset)?;
        Some((name.to_string(), into))
    }

    #[test]
    fn find_gives_function_that_starts_at_or_before() {
        let bytes = table(&[(0x100, b"a"), (0x200, b"\x83\x80b"), (0x280, b"c")]);
        for (offset, name, into) in [
            (0x100, "a", 0),
            (0x27f, "core::b", 0x7f),
            (0x9999, "c", 0x9999 - 0x280),
        ] {
            assert_eq!(found(&bytes, offset), Some((name.into(), into)));
        }
        assert_eq!(found(&bytes, 0xff), None);
    }

    #[test]
    fn find_in_unfilled_table_finds_nothing() {
        assert_eq!(found(&[0; 64], 0x100), None);
        assert_eq!(found(&[], 0x100), None);
    }

    #[test]
    fn find_in_truncated_table_never_panics() {
        let bytes = table(&[(0x100, b"a"), (0x200, b"\x83::b"), (0x280, b"c")]);
        for length in 0..bytes.len() {
            let _ = found(&bytes[..length], 0x280);
        }
    }

    #[test]
    fn pair_of_itself_is_shown_as_a_mistake() {
        let bytes = table(&[(0, b"a\x84b")]);
        assert_eq!(found(&bytes, 0), Some(("a?b".into(), 0)));
    }
}
