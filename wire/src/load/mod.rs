//! A kernel over a serial line: what the desk and a board's chainloader say to each other (docs/chainloader.md).
//!
//! [`line`] makes frames of messages and finds them again between noise, [`message`] says what is in one, [`Desk`] is the side that
//! has a kernel and [`Board`] the side that wants one. Neither knows a device or a clock: bytes and the time, in milliseconds, are
//! handed in. Promises: what the board takes for whole is what the desk sent, as far as two CRC-32 can tell; whatever the
//! line does, each side stays where it can go on from.

mod board;
mod desk;
pub mod line;
pub mod message;

#[cfg(test)]
mod tests;

pub use board::{Board, Memory, QUIET};
pub use desk::{Desk, Failure, Load, NotAKernel, Progress};
pub use message::{Message, Offer, Part, Piece, Refusal};

use crc::{CRC_32_ISO_HDLC, Crc, Table};

/// Bytes of a kernel or an initramfs in one message.
pub const BLOCK: usize = 1024;

/// The longest command line that goes along.
pub const WORDS_MAX: usize = 512;

/// The checksum of messages and of what is loaded: that of Ethernet and zip.
const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// The CRC-32 of bytes.
#[must_use]
pub fn sum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// The CRC-32 of parts in a row.
pub(crate) fn sum_of(parts: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

/// Into how many blocks so many bytes are cut.
#[must_use]
pub const fn blocks(bytes: u32) -> u32 {
    bytes.div_ceil(BLOCK as u32)
}
