//! Reverse zero-compressing COBS, the encoding of defmt's frames: no byte of the output is 0, and zeros, of which log records are
//! full, cost an eighth of a byte each. Decoded from its end.
//!
//! A decoded frame may have zeros behind what was encoded: who needs its exact length has to send it along.

/// Encodes what it is given, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct Encoder {
    run: u8,
    zeros: u8,
}

impl Encoder {
    /// Takes a byte; calls `write` for each byte of output that is now known.
    pub fn put(&mut self, byte: u8, write: &mut dyn FnMut(u8)) {
        if self.run < 7 {
            match byte {
                0 => self.zeros |= 1 << self.run,
                byte => write(byte),
            }
            self.run += 1;
            if self.run == 7 && self.zeros != 0 {
                write(self.zeros);
                *self = Self::default();
            }
        } else if byte == 0 {
            write((self.run - 7) | 0x80);
            *self = Self::default();
        } else {
            write(byte);
            self.run += 1;
            if self.run == 134 {
                write(0xff);
                *self = Self::default();
            }
        }
    }

    /// Ends the frame.
    pub fn finish(self, write: &mut dyn FnMut(u8)) {
        match self.run {
            0 => {}
            run @ 1..=6 => write((self.zeros | (0xff << run)) & 0x7f),
            run => write((run - 7) | 0x80),
        }
    }
}

/// Decodes a whole frame into the end of `room`, and gives what it became. None: no encoder makes this, or the room is too small.
#[must_use]
pub fn decode<'a>(encoded: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut left = encoded.iter().rev().copied();
    let mut at = room.len();
    let mut put = |byte: u8| -> Option<()> {
        at = at.checked_sub(1)?;
        *room.get_mut(at)? = byte;
        Some(())
    };
    while let Some(code) = left.next() {
        let (literals, zero_behind) = match code {
            0 => return None,
            1..=0x7f => {
                for bit in (0..7).rev() {
                    put(if code >> bit & 1 == 1 {
                        0
                    } else {
                        left.next()?
                    })?;
                }
                continue;
            }
            0xff => (134, false),
            code => (usize::from(code & 0x7f) + 7, true),
        };
        if zero_behind {
            put(0)?;
        }
        for _ in 0..literals {
            put(left.next()?)?;
        }
    }
    room.get(at..)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn encode(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::default();
        for &byte in bytes {
            encoder.put(byte, &mut |byte| out.push(byte));
        }
        encoder.finish(&mut |byte| out.push(byte));
        out
    }

    #[test]
    fn encoding_is_that_of_defmt() {
        for (plain, encoded) in [
            (&b""[..], &b""[..]),
            (&[0], &[0x7f]),
            (&[0; 8], &[0x7f, 0x7f]),
            (&[1, 0], &[1, 0x7e]),
            (&[0, 1], &[1, 0x7d]),
            (&[1, 2, 3, 4, 5, 6, 7], &[1, 2, 3, 4, 5, 6, 7, 0x80]),
            (
                &[1, 2, 3, 4, 5, 6, 7, 8, 0],
                &[1, 2, 3, 4, 5, 6, 7, 8, 0x81],
            ),
        ] {
            assert_eq!(encode(plain), encoded, "{plain:?}");
        }
    }

    #[test]
    fn what_no_encoder_makes_is_refused() {
        let mut room = [0; 8];
        for bad in [&[0][..], &[0x80], &[1, 0x80], &[0xff], &[0x7f; 2]] {
            assert_eq!(decode(bad, &mut room), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn decoded_is_what_was_encoded_and_zeros(plain in prop::collection::vec(prop_oneof![Just(0), any::<u8>(), 1..=255_u8], 0..400)) {
            let encoded = encode(&plain);
            prop_assert!(!encoded.contains(&0));
            let mut room = [0xaa; 420];
            let decoded = decode(&encoded, &mut room).expect("decodes");
            prop_assert_eq!(&decoded[..plain.len()], &plain[..]);
            prop_assert!(decoded[plain.len()..].iter().all(|&byte| byte == 0));
            prop_assert!(decoded.len() < plain.len() + 7);
        }

        #[test]
        fn decoding_anything_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), room in 0..500_usize) {
            let _ = decode(&bytes, &mut std::vec![0; room]);
        }
    }
}
