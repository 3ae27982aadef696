//! The kernel's own half of the address space, shared by all CPUs.
//!
//! Owns: the tables under TTBR1_EL1. Everything is mapped once, at boot, by the boot CPU; nothing is unmapped again.
//! - image: where it is linked, pages, W^X, mapped by the entry code;
//! - direct map: all RAM at [`DIRECT_MAP`] + physical address, 1 GiB and 2 MiB blocks;
//! - devices: at [`DEVICE_MAP`] + physical address, 2 MiB blocks of Device-nGnRE;
//! - stacks of the other CPUs: at [`STACKS`], pages.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::barrier;
use super::table::Table;
use crate::descriptor::{ADDRESS, BLOCK_1G, BLOCK_2M, DATA, DEVICE, PAGE, TABLE, page};

/// RAM at physical address `p` is at `DIRECT_MAP + p`.
pub(crate) const DIRECT_MAP: usize = 0xffff_0000_0000_0000;
/// Registers at physical address `p` are at `DEVICE_MAP + p`, once mapped.
pub(crate) const DEVICE_MAP: usize = 0xffff_8000_0000_0000;
/// Stacks of the CPUs beyond the first.
pub(crate) const STACKS: usize = 0xffff_c000_0000_0000;
/// First physical address that has no place in the maps: one level-1 table each.
pub(crate) const PHYSICAL_END: usize = halyard_drivers::plan::PHYSICAL_END as usize;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".tables")]
static KERNEL_ROOT: Table = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tables")]
static KERNEL_L1: Table = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tables")]
static KERNEL_L2: Table = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tables")]
static KERNEL_L3: [Table; 2] = [const { Table::new() }; 2];
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tables")]
static IDENTITY_ROOT: Table = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tables")]
static IDENTITY_L1: Table = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".tables")]
static IDENTITY_L2: Table = Table::new();

/// Tables for what is mapped after the image: RAM that does not fill its GiB takes one a GiB, so does each GiB with devices.
static SPARE: [Table; 16] = [const { Table::new() }; 16];
static SPARE_USED: AtomicUsize = AtomicUsize::new(0);
/// TTBR0_EL1 when no program runs: translates nothing.
static EMPTY: Table = Table::new();

/// Physical address of the image's first byte; the entry code stores it.
#[unsafe(no_mangle)]
static KERNEL_PHYS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    static __kernel_base: u8;
    static __kernel_end: u8;
    static __rodata_start: u8;
    static __stack_top: u8;
    static __emergency_top: u8;
    static secondary_entry: u8;
}

/// Addresses that the linker script gives.
pub(crate) struct Image;

impl Image {
    pub(crate) fn base() -> usize {
        (&raw const __kernel_base).addr()
    }
    pub(crate) fn end() -> usize {
        (&raw const __kernel_end).addr()
    }
    pub(crate) fn text_end() -> usize {
        (&raw const __rodata_start).addr()
    }
    pub(crate) fn stack_top() -> usize {
        (&raw const __stack_top).addr()
    }
    pub(crate) fn emergency_top() -> usize {
        (&raw const __emergency_top).addr()
    }
    /// Physical address of the other CPUs' entry.
    pub(crate) fn secondary_entry() -> usize {
        (&raw const secondary_entry).addr() - Self::base() + Self::physical()
    }
    /// Where it was loaded.
    pub(crate) fn physical() -> usize {
        KERNEL_PHYS.load(Ordering::Relaxed)
    }
}

/// Why something could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// Beyond [`PHYSICAL_END`].
    TooHigh,
    /// The spare tables are used up.
    NoTable,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            MapError::TooHigh => "it lies beyond the first 512 GiB",
            MapError::NoTable => "memory and devices are scattered over too many GiB",
        })
    }
}

/// Physical address of a static of the image.
fn physical_of(table: &Table) -> usize {
    core::ptr::from_ref(table).addr() - Image::base() + Image::physical()
}

/// The table at a physical address that one of these functions put into a descriptor.
fn table_at(descriptor: u64) -> &'static Table {
    let address = (descriptor & ADDRESS) as usize - Image::physical() + Image::base();
    // SAFETY: table descriptors of this half are made only of `Table` statics of the image (`next_level` and the entry code),
    // and the image is mapped where it is linked.
    unsafe { &*(address as *const Table) }
}

/// Physical address of a table that translates nothing, for TTBR0_EL1.
pub(crate) fn empty_table() -> u64 {
    physical_of(&EMPTY) as u64
}

/// The table that `entry` leads to, made if it is absent. None if `entry` is a block.
fn next_level(entry: &AtomicU64) -> Result<Option<&'static Table>, MapError> {
    let old = entry.load(Ordering::Relaxed);
    if old & TABLE == TABLE {
        return Ok(Some(table_at(old)));
    }
    if old != 0 {
        return Ok(None);
    }
    let spare = SPARE
        .get(SPARE_USED.fetch_add(1, Ordering::Relaxed))
        .ok_or(MapError::NoTable)?;
    entry.store(physical_of(spare) as u64 | TABLE, Ordering::Release);
    Ok(Some(spare))
}

/// Maps the aligned block of `size` (a level's block or page size) at `virt`. What is mapped stays as it is.
fn map_one(virt: usize, phys: usize, size: usize, attributes: u64) -> Result<(), MapError> {
    let level = match size {
        BLOCK_1G => 1,
        BLOCK_2M => 2,
        _ => 3,
    };
    let mut table = &KERNEL_ROOT;
    for above in 0..level {
        match next_level(table.entry(virt, above))? {
            Some(next) => table = next,
            None => return Ok(()),
        }
    }
    let last = table.entry(virt, level);
    if last.load(Ordering::Relaxed) == 0 {
        let attributes = if level == 3 {
            page(attributes)
        } else {
            attributes
        };
        last.store(phys as u64 | attributes, Ordering::Release);
    }
    Ok(())
}

/// Whether the GiB of `virt` has a level-2 table already, so that it cannot become one block.
fn is_split(virt: usize) -> bool {
    let root = KERNEL_ROOT.entry(virt, 0).load(Ordering::Relaxed);
    root & TABLE == TABLE && table_at(root).entry(virt, 1).load(Ordering::Relaxed) & TABLE == TABLE
}

/// Maps RAM `start..end` (physical, 2 MiB aligned) into the direct map.
pub(crate) fn map_ram(start: usize, end: usize) -> Result<(), MapError> {
    if end > PHYSICAL_END {
        return Err(MapError::TooHigh);
    }
    let mut at = start;
    while at < end {
        let whole = at.is_multiple_of(BLOCK_1G) && end - at >= BLOCK_1G;
        let size = if whole && !is_split(DIRECT_MAP + at) {
            BLOCK_1G
        } else {
            BLOCK_2M
        };
        map_one(DIRECT_MAP + at, at, size, DATA)?;
        at += size;
    }
    barrier::dsb_ishst();
    barrier::isb();
    Ok(())
}

/// Maps the registers at physical `start..start + size` and returns where they are.
pub(crate) fn map_device(start: usize, size: usize) -> Result<usize, MapError> {
    let end = start.checked_add(size).ok_or(MapError::TooHigh)?;
    if end > PHYSICAL_END {
        return Err(MapError::TooHigh);
    }
    let mut at = start & !(BLOCK_2M - 1);
    while at < end {
        map_one(DEVICE_MAP + at, at, BLOCK_2M, DEVICE)?;
        at += BLOCK_2M;
    }
    barrier::dsb_ishst();
    barrier::isb();
    Ok(DEVICE_MAP + start)
}

/// Maps the frame at physical `frame` as a page of a stack at `virt`, in the [`STACKS`] area.
pub(crate) fn map_stack_page(virt: usize, frame: usize) -> Result<(), MapError> {
    map_one(virt, frame, PAGE, DATA)?;
    barrier::dsb_ishst();
    barrier::isb();
    Ok(())
}

/// Whether `address` lies in memory that is mapped for stacks or data of the image, so that a backtrace may read it.
pub(crate) fn is_stack(address: usize) -> bool {
    (Image::text_end()..Image::end()).contains(&address)
        || (STACKS..STACKS + BLOCK_1G).contains(&address)
}

/// Whether the kernel may read `address` (AT S1E1R).
pub(crate) fn is_mapped(address: usize) -> bool {
    let result: u64;
    // SAFETY: address translation changes nothing but PAR_EL1, which nothing else uses.
    unsafe {
        core::arch::asm!("at s1e1r, {a}", "isb", "mrs {r}, par_el1", a = in(reg) address, r = out(reg) result,
            options(nostack, preserves_flags));
    }
    result & 1 == 0
}
