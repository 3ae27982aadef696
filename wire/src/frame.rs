//! A frame: what is not text on a line that carries text.
//!
//! ```text
//! 0x00  kind  rzcobs(length, CRC-16, payload)  0x00
//! ```
//!
//! A zero byte is in no text, and a kind is a byte that no UTF-8 text has. Neither can be in the encoded part, so who joins in the
//! middle, or lost a part to noise, is right again at the next zero. The sum is over kind and payload: what passes is whole.

use crate::checksum::Crc16;
use crate::rzcobs::{self, Encoder};

/// Stands before and behind a frame.
pub const MARK: u8 = 0;

/// The longest payload.
pub const PAYLOAD_MAX: usize = 255;

/// Length and checksum.
const HEAD: usize = 3;

/// The longest that a payload can become between its marks, kind left out: a byte more in seven at worst, one at its end.
pub const ENCODED_MAX: usize = (PAYLOAD_MAX + HEAD) + (PAYLOAD_MAX + HEAD).div_ceil(7) + 1;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A record of the kernel's log: see [`Record`].
    Record = 0xf8,
    /// The build id of the kernel that logs.
    Build = 0xf9,
    /// How many records were lost since the last frame: a little-endian u32.
    Lost = 0xfa,
}

impl Kind {
    /// The kind that a byte stands for.
    #[must_use]
    pub const fn of(byte: u8) -> Option<Kind> {
        match byte {
            0xf8 => Some(Kind::Record),
            0xf9 => Some(Kind::Build),
            0xfa => Some(Kind::Lost),
            _ => None,
        }
    }
}

/// The payload of a log record: two bytes of the build id, the CPU's number, what defmt made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The first two bytes of the build id of the kernel that logs: with another kernel's ELF file it would be read wrongly.
    pub build: [u8; 2],
    /// Which CPU.
    pub cpu: u8,
    /// defmt's bytes.
    pub defmt: &'a [u8],
}

impl<'a> Record<'a> {
    /// From a payload. None: it is too short.
    #[must_use]
    pub fn of(payload: &'a [u8]) -> Option<Self> {
        match payload {
            [first, second, cpu, defmt @ ..] => Some(Self {
                build: [*first, *second],
                cpu: *cpu,
                defmt,
            }),
            _ => None,
        }
    }
}

/// Writes a frame whose payload is these parts in turn; whether it was short enough.
pub fn encode(kind: Kind, parts: &[&[u8]], write: &mut dyn FnMut(u8)) -> bool {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let Ok(length) = u8::try_from(length) else {
        return false;
    };
    let crc = parts
        .iter()
        .fold(Crc16::new().with(kind as u8), |crc, part| {
            crc.with_all(part)
        });
    let [low, high] = crc.value().to_le_bytes();
    write(MARK);
    write(kind as u8);
    let mut encoder = Encoder::default();
    for part in [&[length, low, high][..]].iter().chain(parts) {
        for &byte in *part {
            encoder.put(byte, write);
        }
    }
    encoder.finish(write);
    write(MARK);
    true
}

/// The payload of what stood between the kind and the closing mark. None: it did not come through whole.
#[must_use]
pub fn decode<'a>(kind: Kind, encoded: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let decoded = rzcobs::decode(encoded, room)?;
    let [length, low, high, rest @ ..] = decoded else {
        return None;
    };
    let payload = rest.get(..usize::from(*length))?;
    let crc = Crc16::new().with(kind as u8).with_all(payload);
    (crc.value() == u16::from_le_bytes([*low, *high])).then_some(payload)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn encoded(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(encode(kind, &[payload], &mut |byte| out.push(byte)));
        out
    }

    #[test]
    fn kinds_are_in_no_text() {
        for kind in [Kind::Record, Kind::Build, Kind::Lost] {
            assert_eq!(Kind::of(kind as u8), Some(kind));
            assert!(std::str::from_utf8(&[kind as u8]).is_err());
        }
        assert!((0..0xf8).all(|byte| Kind::of(byte).is_none()));
    }

    #[test]
    fn payload_too_long_is_refused_and_writes_nothing() {
        let (long, mut out) = ([1; PAYLOAD_MAX + 1], Vec::new());
        assert!(!encode(Kind::Build, &[&long], &mut |byte| out.push(byte)));
        assert!(out.is_empty());
        assert!(encoded(Kind::Build, &long[1..]).len() <= ENCODED_MAX + 3);
    }

    proptest! {
        #[test]
        fn frame_gives_its_payload_back(payload in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..=PAYLOAD_MAX)) {
            let bytes = encoded(Kind::Record, &payload);
            prop_assert!(bytes.len() <= ENCODED_MAX + 3);
            let mut room = [0; ENCODED_MAX * 7];
            let inner = &bytes[2..bytes.len() - 1];
            prop_assert_eq!(decode(Kind::Record, inner, &mut room), Some(&payload[..]));
            prop_assert_eq!(decode(Kind::Build, inner, &mut room), None);
        }

        #[test]
        fn frame_with_one_byte_changed_is_refused_or_the_same(
            payload in prop::collection::vec(any::<u8>(), 0..64),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
        ) {
            let bytes = encoded(Kind::Record, &payload);
            let mut inner = bytes[2..bytes.len() - 1].to_vec();
            let at = at.index(inner.len());
            inner[at] ^= flip;
            let mut room = [0; 1024];
            if let Some(other) = decode(Kind::Record, &inner, &mut room) {
                prop_assert_eq!(other, &payload[..]);
            }
        }
    }
}
