//! The device tree in memory: mapped as far as it goes, and checked before it is trusted.

use core::fmt;
use core::ops::Range;

use halyard_drivers::dt::{self, MAX_SIZE, Tree};

use super::kernel_map::{self, DIRECT_MAP, MapError};
use crate::descriptor::BLOCK_2M;

/// Why there is no device tree.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoTree {
    /// The loader gave no address that can be one's.
    Address,
    /// It cannot be mapped.
    Map(MapError),
    /// What is there is none, or it is broken.
    Broken(dt::Error),
}

impl fmt::Display for NoTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoTree::Address => {
                f.write_str("no tree can be there; the loader must pass its address in x0")
            }
            NoTree::Map(error) => error.fmt(f),
            NoTree::Broken(error) => error.fmt(f),
        }
    }
}

/// Maps the blocks in which physical `start..start + size` lies, and lends the bytes.
fn bytes(start: usize, size: usize) -> Result<&'static [u8], NoTree> {
    let end = start.checked_add(size).ok_or(NoTree::Address)?;
    let blocks_end = end
        .checked_next_multiple_of(BLOCK_2M)
        .ok_or(NoTree::Address)?;
    kernel_map::map_ram(start & !(BLOCK_2M - 1), blocks_end).map_err(NoTree::Map)?;
    // SAFETY: mapped just now; the loader left the tree there (booting.rst), and `ram` keeps it from being given away. If
    // nothing answers at the address, the fault is reported like any of the kernel's.
    Ok(unsafe { core::slice::from_raw_parts((DIRECT_MAP + start) as *const u8, size) })
}

/// The device tree at physical address `address`, and where what means something of it is.
pub(crate) fn find(address: u64) -> Result<(Tree<'static>, Range<usize>), NoTree> {
    let start = usize::try_from(address).map_err(|_| NoTree::Address)?;
    if start == 0 || !start.is_multiple_of(8) {
        return Err(NoTree::Address);
    }
    let size = dt::total_size(bytes(start, 8)?).map_err(NoTree::Broken)?;
    let size = size.min(MAX_SIZE);
    let bytes = bytes(start, size)?;
    let tree = Tree::new(bytes).map_err(NoTree::Broken)?;
    Ok((tree, start..start + tree.used()))
}
