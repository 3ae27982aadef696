//! The header of a flattened tree: where its blocks are (Devicetree Specification 5.2, 5.3).

use super::cells::be32;
use super::error::{Block, Error};

/// The most bytes that a tree may have: what the Linux arm64 boot protocol allows
/// (Documentation/arch/arm64/booting.rst).
pub const MAX_SIZE: usize = 2 << 20;

const MAGIC: u32 = 0xd00d_feed;
const VERSION: u32 = 17;
const HEADER_SIZE: usize = 40;

/// The size in bytes of the tree that starts with `header` (its first 8 bytes at least): how much a loader has to map
/// before it can call [`super::Tree::new`]. Errors if this is no tree, or one larger than [`MAX_SIZE`].
pub fn total_size(header: &[u8]) -> Result<usize, Error> {
    let (Some(magic), Some(size)) = (be32(header, 0), be32(header, 4)) else {
        return Err(Error::NoHeader {
            available: header.len(),
        });
    };
    if magic != MAGIC {
        return Err(Error::BadMagic(magic));
    }
    let size = size as usize;
    if size > MAX_SIZE {
        return Err(Error::BadTotalSize {
            claimed: size,
            available: MAX_SIZE,
        });
    }
    Ok(size)
}

/// The end of the blocks of a tree that [`split`] has checked. The reservations come before the others in every tree, or all of it
/// counts as used.
pub(super) fn used(whole: &[u8]) -> usize {
    let field = |index: usize| be32(whole, index * 4).unwrap_or(0) as usize;
    let (structure, strings, reservations) = (field(2), field(3), field(4));
    if reservations > structure.min(strings) {
        return whole.len();
    }
    let end = structure.saturating_add(field(9));
    end.max(strings.saturating_add(field(8))).min(whole.len())
}

/// A tree cut into its blocks; each lies within it.
pub(super) struct Blobs<'a> {
    pub(super) whole: &'a [u8],
    pub(super) structure: &'a [u8],
    pub(super) strings: &'a [u8],
}

/// Checks the header of the tree at the start of `bytes`, and that its blocks lie within it.
pub(super) fn split(bytes: &[u8]) -> Result<Blobs<'_>, Error> {
    let claimed = total_size(bytes)?;
    if claimed < HEADER_SIZE {
        return Err(Error::NoHeader { available: claimed });
    }
    let whole = bytes.get(..claimed).ok_or(Error::BadTotalSize {
        claimed,
        available: bytes.len(),
    })?;
    let field = |index: usize| {
        be32(whole, index * 4).ok_or(Error::NoHeader {
            available: whole.len(),
        })
    };
    let (version, last_compatible) = (field(5)?, field(6)?);
    if version < VERSION || last_compatible > VERSION {
        return Err(Error::BadVersion {
            version,
            last_compatible,
        });
    }
    check_reservations(whole, field(4)? as usize)?;
    let structure = block(whole, Block::Structure, field(2)?, field(9)?)?;
    let strings = block(whole, Block::Strings, field(3)?, field(8)?)?;
    check_strings(strings)?;
    Ok(Blobs {
        whole,
        structure,
        strings,
    })
}

fn block(whole: &[u8], block: Block, offset: u32, size: u32) -> Result<&[u8], Error> {
    let (offset, size) = (offset as usize, size as usize);
    let wrong = Error::BadBlock {
        block,
        offset,
        size,
    };
    if offset < HEADER_SIZE || (block == Block::Structure && !offset.is_multiple_of(4)) {
        return Err(wrong);
    }
    let end = offset.checked_add(size).ok_or(wrong)?;
    whole.get(offset..end).ok_or(wrong)
}

/// The reservations end with an entry of address and size 0.
fn check_reservations(whole: &[u8], offset: usize) -> Result<(), Error> {
    if offset < HEADER_SIZE || offset > whole.len() || !offset.is_multiple_of(8) {
        return Err(Error::BadBlock {
            block: Block::Reservations,
            offset,
            size: 0,
        });
    }
    let entries = whole.get(offset..).unwrap_or_default();
    let ends = |entry: &[u8]| entry.iter().all(|&byte| byte == 0);
    if entries.chunks_exact(16).any(ends) {
        Ok(())
    } else {
        Err(Error::ReservationsUnterminated)
    }
}

/// Names are ASCII (Devicetree Specification 2.2.4), and a name may start anywhere in the block: so it must be ASCII as
/// a whole, and end with a terminator.
fn check_strings(strings: &[u8]) -> Result<(), Error> {
    if strings.is_ascii() && strings.last().is_none_or(|&byte| byte == 0) {
        Ok(())
    } else {
        Err(Error::BadStrings)
    }
}
