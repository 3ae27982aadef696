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

    /// Puts plausible words somewhere: small numbers, times, and pointers back into the arena; or a structure that some
    /// call takes, now and then with one word of it spoilt.
    pub(crate) fn stir(&self, random: &mut Random) {
        let start = random.below(GOOD * PAGE / 8 - 16) * 8;
        if random.once_in(2) {
            let mut words = self.structure(random);
            if random.once_in(4) {
                let at = random.below(words.len());
                words[at] = random.number();
            }
            self.write(start, &words);
        } else {
            self.write(start, &core::array::from_fn(|_| self.word(random)));
        }
    }

    fn write(&self, start: usize, words: &[usize; 16]) {
        let bytes = words.iter().flat_map(|word| word.to_le_bytes());
        for (offset, byte) in bytes.enumerate() {
            self.pages.store(start + offset, byte);
        }
    }

    fn word(&self, random: &mut Random) -> usize {
        match random.below(8) {
            0..=2 => 0,
            3..=4 => random.below(64),
            5 => self.address(random),
            6 => self.pages.address() + random.below(GOOD * PAGE),
            _ => random.number(),
        }
    }

    /// A structure of one of the calls that take one, as the 64-bit ABI lays it out.
    fn structure(&self, random: &mut Random) -> [usize; 16] {
        let at = self.pages.address() + random.below(GOOD * PAGE / 8 - 64) * 8;
        let (small, other) = (random.below(12), random.below(12));
        let mut words = [0; 16];
        let given: &[usize] = match random.below(12) {
            // struct msghdr with one part and some control data; struct iovec; struct cmsghdr with descriptors.
            0 => &[0, 0, at, 1, at + 64, 24 + small * 8, 0],
            1 => &[at, small * 64, at + 512, other],
            2 => &[
                16 + 4 * (small % 4),
                1 | (1 + other % 2) << 32,
                small | other << 32,
            ],
            // struct sockaddr_un: a name of the abstract space, and one in the directory.
            3 => &[1 | (0x61 + small % 3) << 24],
            4 => &[1 | (0x61 + small % 3) << 16],
            // struct sembuf, two of them.
            5 => &[
                (small % 4) | (other & 1) << 16 | 0o4000 << 32 | (other % 4) << 48,
                0xffff,
            ],
            // struct msgbuf; struct mq_attr.
            6 => &[1 + small % 4, other],
            7 => &[0, 1 + small, 1 + other * 16],
            // struct sigevent; struct itimerspec and itimerval.
            8 => &[at, (10 + small) | (other % 5) << 32, at],
            9 => &[0, small * 1000, 0, other * 1000],
            // struct epoll_event; struct robust_list_head.
            10 => &[(1 | (4 * (small & 1))) | (other & 3) << 30, small],
            _ => &[at, small * 8, if small == 0 { at } else { 0 }],
        };
        words
            .iter_mut()
            .zip(given)
            .for_each(|(word, &value)| *word = value);
        words
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
