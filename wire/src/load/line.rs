//! Frames on the line: `0x00 COBS(message, CRC-32) 0x00`.
//!
//! COBS takes every zero out of what it encodes, so a zero byte is the end of a frame and nothing else, whatever was lost before
//! it. What is not a frame (text, noise, half a frame) fails its sum and is passed over; the next zero puts all right.

use super::message::{MESSAGE_MAX, Message};
use super::sum;

/// The longest frame, its marks included.
pub const FRAME_MAX: usize = 2 + cobs::max_encoding_length(MESSAGE_MAX + SUM);

/// Bytes of the checksum.
const SUM: usize = 4;

/// A frame, ready to be sent.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: [u8; FRAME_MAX],
    used: usize,
}

impl Frame {
    /// Of a message. None: it is too long.
    #[must_use]
    pub fn of(session: u32, message: &Message<'_>) -> Option<Self> {
        let mut plain = [0; MESSAGE_MAX + SUM];
        let room = plain.first_chunk_mut()?;
        let used = message.write(session, room)?;
        let crc = sum(plain.get(..used)?);
        plain
            .get_mut(used..used + SUM)?
            .copy_from_slice(&crc.to_le_bytes());
        let mut bytes = [0; FRAME_MAX];
        let inner = bytes.get_mut(1..)?;
        let encoded = cobs::try_encode(plain.get(..used + SUM)?, inner).ok()?;
        // The marks at both ends are zero already.
        Some(Self {
            bytes,
            used: encoded + 2,
        })
    }

    /// What goes onto the line.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

/// What a byte brought to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A message of this session.
    Message(u32, Message<'a>),
    /// So many bytes between two marks that are no message.
    Noise(usize),
}

/// Finds frames in a line's bytes.
#[derive(Debug)]
pub struct Reader {
    held: [u8; FRAME_MAX],
    /// How many came since the last mark: more than are held if there were too many.
    came: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            held: [0; FRAME_MAX],
            came: 0,
        }
    }
}

impl Reader {
    /// Takes a byte; says what it completed.
    pub fn take(&mut self, byte: u8) -> Option<Heard<'_>> {
        if byte != 0 {
            if let Some(place) = self.held.get_mut(self.came) {
                *place = byte;
            }
            self.came = self.came.saturating_add(1);
            return None;
        }
        let came = core::mem::take(&mut self.came);
        if came == 0 {
            return None;
        }
        let heard = self.held.get_mut(..came).and_then(open);
        Some(heard.map_or(Heard::Noise(came), |(session, message)| {
            Heard::Message(session, message)
        }))
    }
}

/// The message of a whole frame, its marks left out.
fn open(encoded: &mut [u8]) -> Option<(u32, Message<'_>)> {
    let used = cobs::decode_in_place(encoded).ok()?;
    let (plain, crc) = encoded.get(..used)?.split_last_chunk::<SUM>()?;
    (sum(plain) == u32::from_le_bytes(*crc)).then(|| Message::read(plain))?
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::super::BLOCK;
    use super::*;

    fn messages(bytes: &[u8]) -> Vec<u32> {
        let mut reader = Reader::default();
        let mut numbers = Vec::new();
        for &byte in bytes {
            if let Some(Heard::Message(_, Message::Next(number))) = reader.take(byte) {
                numbers.push(number);
            }
        }
        numbers
    }

    fn next(number: u32) -> Frame {
        Frame::of(1, &Message::Next(number)).expect("it fits")
    }

    #[test]
    fn frames_are_found_between_text() {
        let line = [b"U-Boot\r\n", next(0).bytes(), b"x", next(1).bytes()].concat();
        assert_eq!(messages(&line), [0, 1]);
    }

    #[test]
    fn frame_of_the_longest_block_fits() {
        for fill in [0, 1, 255] {
            let block = Message::Block {
                number: 1,
                data: &[fill; BLOCK],
            };
            let frame = Frame::of(1, &block).expect("it fits");
            assert!(frame.bytes().len() <= FRAME_MAX);
            assert_eq!(frame.bytes().iter().filter(|&&byte| byte == 0).count(), 2);
        }
    }

    #[test]
    fn much_noise_costs_no_frame_behind_it() {
        let noise = [0x55; 3 * FRAME_MAX];
        let line = [&noise[..], next(4).bytes()].concat();
        assert_eq!(messages(&line), [4]);
        let mut reader = Reader::default();
        let heard = noise.iter().find_map(|&byte| reader.take(byte).map(|_| ()));
        assert_eq!(heard, None);
        assert_eq!(reader.take(0), Some(Heard::Noise(noise.len())));
    }

    proptest! {
        #[test]
        fn frame_with_a_byte_changed_is_noise(data in prop::collection::vec(any::<u8>(), 0..BLOCK), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let block = Message::Block { number: 3, data: &data };
            let frame = Frame::of(9, &block).expect("it fits");
            let mut bytes = frame.bytes().to_vec();
            let inside = bytes.len() - 2;
            bytes[1 + at.index(inside)] ^= flip;
            let mut reader = Reader::default();
            for byte in bytes {
                let message = matches!(reader.take(byte), Some(Heard::Message(..)));
                prop_assert!(!message);
            }
        }
    }
}
