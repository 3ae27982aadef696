//! Translation table descriptors, 4 KiB granule, stage 1 (Arm ARM D8.3). Plain values: owns nothing, never blocks.

use bitflags::bitflags;

bitflags! {
    /// The fields of a descriptor that are not an address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Bits: u64 {
        /// The descriptor means something.
        const VALID = 1;
        /// At levels 0 to 2 a table follows; at level 3 it must be set in a page.
        const TABLE = 1 << 1;
        /// AttrIndx 1: normal memory, write-back (see [`MAIR`]). Index 0 is device memory.
        const NORMAL = 1 << 2;
        /// AP\[1\]: EL0 may access.
        const USER = 1 << 6;
        /// AP\[2\]: nobody may write.
        const READ_ONLY = 1 << 7;
        /// SH: inner shareable.
        const SHARED = 3 << 8;
        /// The access flag; without it an access faults.
        const ACCESSED = 1 << 10;
        /// Belongs to one ASID.
        const NOT_GLOBAL = 1 << 11;
        /// EL1 does not execute.
        const PXN = 1 << 53;
        /// EL0 does not execute.
        const UXN = 1 << 54;
    }
}

/// MAIR_EL1: index 0 Device-nGnRE, index 1 normal write-back, index 2 normal non-cacheable.
pub const MAIR: u64 = 0x04 | (0xff << 8) | (0x44 << 16);

/// The bits of a descriptor that hold an address (48-bit output).
pub const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Bytes of a page, level 3.
pub const PAGE: usize = 4096;
/// Bytes of a block at level 2.
pub const BLOCK_2M: usize = 2 << 20;
/// Bytes of a block at level 1.
pub const BLOCK_1G: usize = 1 << 30;
/// Descriptors in a table.
pub const ENTRIES: usize = 512;

const MEMORY: Bits = Bits::VALID
    .union(Bits::NORMAL)
    .union(Bits::SHARED)
    .union(Bits::ACCESSED);

/// A descriptor that leads to the table at the address or-ed in.
pub const TABLE: u64 = Bits::VALID.union(Bits::TABLE).bits();
/// Kernel code: read and executed at EL1 only. A block; [`page`] makes it one of level 3.
pub const TEXT: u64 = MEMORY.union(Bits::READ_ONLY).union(Bits::UXN).bits();
/// Kernel constants.
pub const RODATA: u64 = TEXT | Bits::PXN.bits();
/// Kernel data, and the direct map.
pub const DATA: u64 = MEMORY.union(Bits::PXN).union(Bits::UXN).bits();
/// Device registers, Device-nGnRE.
pub const DEVICE: u64 = DATA & !(Bits::NORMAL.bits() | Bits::SHARED.bits());
/// The entry code where it was loaded; of no ASID that a program has.
pub const IDENTITY: u64 = TEXT | Bits::NOT_GLOBAL.bits();

/// The same attributes for a page of level 3.
#[must_use]
pub const fn page(block: u64) -> u64 {
    block | Bits::TABLE.bits()
}

/// The index of `address` in a table of `level` (0 to 3).
#[must_use]
pub const fn index(address: usize, level: u32) -> usize {
    (address >> (39 - 9 * level)) % ENTRIES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_attributes_never_allow_write_and_execute() {
        for bits in [TEXT, RODATA, DATA, DEVICE, IDENTITY] {
            let bits = Bits::from_bits_retain(bits);
            assert!(bits.contains(Bits::READ_ONLY) || bits.contains(Bits::PXN));
            assert!(bits.contains(Bits::UXN) && !bits.contains(Bits::USER));
        }
    }

    #[test]
    fn index_of_level_takes_nine_bits() {
        let address = (3 << 39) | (5 << 30) | (7 << 21) | (9 << 12) | 0xfff;
        assert_eq!(
            [0, 1, 2, 3].map(|level| index(address, level)),
            [3, 5, 7, 9]
        );
    }
}
