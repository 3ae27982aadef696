//! Messages. Numbers are little-endian; each message begins with its kind and the number of the session, which the desk draws for each
//! attempt, so that an answer to an earlier one is not taken for its own.

use core::fmt;

use super::{BLOCK, WORDS_MAX};

/// The longest message: a block with its head.
pub const MESSAGE_MAX: usize = HEAD + 4 + BLOCK;

/// Kind and session.
const HEAD: usize = 5;

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The flat arm64 Image.
    Kernel,
    /// The initramfs.
    Initramfs,
}

/// Length and sum of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Bytes.
    pub length: u32,
    /// CRC-32 of them.
    pub sum: u32,
}

/// What the desk has to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The kernel.
    pub kernel: Piece,
    /// The initramfs; of length 0 if there is none.
    pub initramfs: Piece,
    /// Bytes that the kernel takes in memory, what its file does not hold included.
    pub memory: u32,
    /// Words for its command line, behind those that the board's loader gave.
    pub words: &'a str,
}

/// Why a board does not take a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// Its memory has no room.
    NoRoom = 1,
    /// What lies in its memory is not what was sent.
    Sum = 2,
    /// It knows of no such session: it was switched off and on.
    NoSession = 3,
    /// Its device tree cannot be changed for the kernel.
    Tree = 4,
}

impl Refusal {
    fn of(byte: u8) -> Option<Self> {
        [Self::NoRoom, Self::Sum, Self::NoSession, Self::Tree]
            .into_iter()
            .find(|&refusal| refusal as u8 == byte)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NoRoom => "the board's memory has no room for it",
            Refusal::Sum => "what lies in the board's memory is not what was sent",
            Refusal::NoSession => "the board has begun anew",
            Refusal::Tree => "the board's device tree cannot be changed for the kernel",
        })
    }
}

/// A message; the first four are the desk's, the others the board's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Is anybody there?
    Hello,
    /// This is to be loaded.
    Offer(Offer<'a>),
    /// A block: those of the kernel are counted first, then those of the initramfs.
    Block {
        /// Which.
        number: u32,
        /// Its bytes.
        data: &'a [u8],
    },
    /// All was sent: look whether it is whole, and start it.
    Start,
    /// A chainloader is here; what its board is called.
    Ready(&'a str),
    /// All blocks before this one are here.
    Next(u32),
    /// Something came damaged: once more from this block on.
    Again(u32),
    /// It cannot be done.
    Refused(Refusal),
    /// It is whole, and will be started as soon as the desk is quiet.
    Started,
}

impl<'a> Message<'a> {
    const fn kind(&self) -> u8 {
        match self {
            Message::Hello => 1,
            Message::Offer(_) => 2,
            Message::Block { .. } => 3,
            Message::Start => 4,
            Message::Ready(_) => 0x81,
            Message::Next(_) => 0x82,
            Message::Again(_) => 0x83,
            Message::Refused(_) => 0x84,
            Message::Started => 0x85,
        }
    }

    /// Writes it; how many bytes it has. None: it is too long.
    pub fn write(&self, session: u32, to: &mut [u8; MESSAGE_MAX]) -> Option<usize> {
        let mut writer = Writer { to, used: 0 };
        writer.put(&[self.kind()])?;
        writer.word(session)?;
        match self {
            Message::Hello | Message::Start | Message::Started => {}
            Message::Offer(offer) => {
                for piece in [offer.kernel, offer.initramfs] {
                    writer.word(piece.length)?;
                    writer.word(piece.sum)?;
                }
                writer.word(offer.memory)?;
                (offer.words.len() <= WORDS_MAX).then_some(())?;
                writer.put(offer.words.as_bytes())?;
            }
            Message::Block { number, data } => {
                writer.word(*number)?;
                writer.put(data)?;
            }
            Message::Ready(title) => writer.put(title.as_bytes())?,
            Message::Next(number) | Message::Again(number) => writer.word(*number)?,
            Message::Refused(why) => writer.put(&[*why as u8])?,
        }
        Some(writer.used)
    }

    /// The session and the message in bytes that came whole. None: they are none of ours.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<(u32, Self)> {
        let (&kind, rest) = bytes.split_first()?;
        let (session, rest) = word(rest)?;
        let empty = || rest.is_empty().then_some(());
        let message = match kind {
            1 => empty().map(|()| Message::Hello)?,
            2 => Message::Offer(offer(rest)?),
            3 => {
                let (number, data) = word(rest)?;
                Message::Block { number, data }
            }
            4 => empty().map(|()| Message::Start)?,
            0x81 => Message::Ready(core::str::from_utf8(rest).ok()?),
            0x82 => Message::Next(only_word(rest)?),
            0x83 => Message::Again(only_word(rest)?),
            0x84 => match rest {
                [why] => Message::Refused(Refusal::of(*why)?),
                _ => return None,
            },
            0x85 => empty().map(|()| Message::Started)?,
            _ => return None,
        };
        Some((session, message))
    }
}

struct Writer<'a> {
    to: &'a mut [u8; MESSAGE_MAX],
    used: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.used.checked_add(bytes.len())?;
        self.to.get_mut(self.used..end)?.copy_from_slice(bytes);
        self.used = end;
        Some(())
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.put(&word.to_le_bytes())
    }
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*word), rest))
}

fn only_word(bytes: &[u8]) -> Option<u32> {
    let (word, rest) = word(bytes)?;
    rest.is_empty().then_some(word)
}

fn piece(bytes: &[u8]) -> Option<(Piece, &[u8])> {
    let (length, rest) = word(bytes)?;
    let (sum, rest) = word(rest)?;
    Some((Piece { length, sum }, rest))
}

fn offer(bytes: &[u8]) -> Option<Offer<'_>> {
    let (kernel, rest) = piece(bytes)?;
    let (initramfs, rest) = piece(rest)?;
    let (memory, rest) = word(rest)?;
    let words = core::str::from_utf8(rest).ok()?;
    (words.len() <= WORDS_MAX).then_some(Offer {
        kernel,
        initramfs,
        memory,
        words,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(message: Message<'_>) {
        let mut room = [0; MESSAGE_MAX];
        let used = message.write(0xdead_beef, &mut room).expect("it fits");
        assert_eq!(Message::read(&room[..used]), Some((0xdead_beef, message)));
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let offer = Offer {
            kernel: Piece { length: 1, sum: 2 },
            initramfs: Piece { length: 3, sum: 4 },
            memory: 5,
            words: "log=info -- -c ls",
        };
        for message in [
            Message::Hello,
            Message::Offer(offer),
            Message::Block {
                number: 7,
                data: &[9; BLOCK],
            },
            Message::Start,
            Message::Ready("Raspberry Pi"),
            Message::Next(8),
            Message::Again(9),
            Message::Refused(Refusal::Sum),
            Message::Started,
        ] {
            there_and_back(message);
        }
    }

    #[test]
    fn block_too_long_is_not_written() {
        let data = [0; BLOCK + 1];
        let block = Message::Block {
            number: 0,
            data: &data,
        };
        assert_eq!(block.write(0, &mut [0; MESSAGE_MAX]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some((session, message)) = Message::read(&bytes) {
                let mut room = [0; MESSAGE_MAX];
                let used = message.write(session, &mut room).expect("it came in a message");
                prop_assert_eq!(&room[..used], &bytes[..]);
            }
        }
    }
}
