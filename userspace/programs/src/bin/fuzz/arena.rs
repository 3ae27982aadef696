//! Memory that a child gives to the kernel: good, half good and bad places.

use halyard_rt::mm::{Mapping, PAGE, PROT_NONE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::prelude::*;

use crate::choice::Random;

/// Pages that can be written.
const GOOD: usize = 16;

/// Names that calls may meet; relative ones are below the children's directory.
const NAMES: [&[u8]; 12] = [
    b"a\0",
    b"b\0",
    b"c/d\0",
    b"c\0",
    b".\0",
    b"..\0",
    b"\0",
    b"a/\0",
    b"/dev/null\0",
    b"/dev/zero\0",
    b"/proc/self/stat\0",
    b"/\0",
];
/// How many of them stay below the directory: all that a child as root may name.
const OWN_NAMES: usize = 5;

/// The child's memory for arguments.
pub(crate) struct Arena {
    pages: Mapping,
    read_only: Mapping,
    names: usize,
}

impl Arena {
    /// Maps it: good pages, one that can't be touched behind them; and one that can only be read.
    pub(crate) fn new(root: bool) -> Result<Self> {
        let pages =
            Mapping::anonymous((GOOD + 1) * PAGE, PROT_READ | PROT_WRITE, Sharing::Private)?;
        pages.protect(GOOD * PAGE, PAGE, PROT_NONE)?;
        let read_only = Mapping::anonymous(PAGE, PROT_READ | PROT_WRITE, Sharing::Private)?;
        let names = if root { OWN_NAMES } else { NAMES.len() };
        let arena = Self {
            pages,
            read_only,
            names,
        };
        for index in 0..names {
            arena.write_name(index);
        }
        arena.read_only.protect(0, PAGE, PROT_READ)?;
        Ok(arena)
    }

    /// Names stand at fixed places of the page that can only be read.
    fn write_name(&self, index: usize) {
        let name = NAMES.get(index).copied().unwrap_or(b"\0");
        for (offset, byte) in name.iter().enumerate() {
            self.read_only.store(index * 32 + offset, *byte);
        }
    }

    /// Puts plausible words somewhere: small numbers, times, and pointers back into the arena.
    pub(crate) fn stir(&self, random: &mut Random) {
        let start = random.below(GOOD * PAGE / 8 - 16) * 8;
        for word in 0..16 {
            let value = match random.below(8) {
                0..=2 => 0,
                3..=4 => random.below(64),
                5 => self.address(random),
                6 => self.pages.address() + random.below(GOOD * PAGE),
                _ => random.number(),
            };
            for (offset, byte) in value.to_le_bytes().into_iter().enumerate() {
                self.pages.store(start + word * 8 + offset, byte);
            }
        }
    }

    /// A place to give to a call.
    pub(crate) fn address(&self, random: &mut Random) -> usize {
        let good = self.pages.address();
        match random.below(16) {
            0 => 0,
            1 => random.number(),
            2 => 0xffff_0000_0000_0000 | random.next() as usize,
            // What begins in good memory and ends in bad.
            3..=4 => good + GOOD * PAGE - random.below(64),
            5 => good + GOOD * PAGE,
            6..=8 => self.read_only.address() + random.below(self.names) * 32,
            9 => good + random.below(GOOD * PAGE),
            _ => good + random.below(GOOD * PAGE / 8) * 8,
        }
    }
}

/// `directory/name`.
pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    path.push(b'/');
    path.extend_from_slice(name);
    path
}
