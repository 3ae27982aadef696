//! A translation table in memory (Arm ARM D8.2), and RAM through the direct map.

use core::sync::atomic::AtomicU64;

use halyard_core::machine::{Frame, PAGE_SIZE};

use super::kernel_map::DIRECT_MAP;
use crate::descriptor::{ADDRESS, ENTRIES, index};

/// A translation table. Atomic, because the hardware walks it.
#[repr(C, align(4096))]
pub(crate) struct Table([AtomicU64; ENTRIES]);

impl Table {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; ENTRIES])
    }

    /// The entry for `address` in a table of `level`.
    #[inline(always)]
    pub(crate) fn entry(&self, address: usize, level: u32) -> &AtomicU64 {
        &self.0[index(address, level)]
    }

    /// All entries.
    pub(crate) fn entries(&self) -> &[AtomicU64; ENTRIES] {
        &self.0
    }

    /// The table in RAM that a table descriptor leads to.
    ///
    /// # Safety
    /// `descriptor` must lead to a frame of the direct map that stays a table for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn in_ram<'a>(descriptor: u64) -> &'a Table {
        let address = DIRECT_MAP + (descriptor & ADDRESS) as usize;
        // SAFETY: the caller's promise; a frame is aligned, and any bits are a valid table.
        unsafe { &*(address as *const Table) }
    }
}

/// Where the kernel sees a frame of RAM.
#[inline(always)]
pub(crate) const fn frame_address(frame: Frame) -> usize {
    DIRECT_MAP + frame.0 * PAGE_SIZE
}
