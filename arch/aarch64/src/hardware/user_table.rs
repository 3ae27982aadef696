//! Page tables of user address spaces: [`PageTable`] over hardware.
//!
//! Owns the frames of its tables and an ASID. Promises what [`PageTable`] does: when a call returns, no CPU uses an old
//! translation. Its caller holds the address space's lock (level 4); frames come from the pool (9).

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{Readable, TCR_EL1};
use halyard_cell::SpinLock;
use halyard_core::machine::{
    Access, Frame, Mapping, OutOfMemory, PAGE_SIZE, PageTable, SpaceToken, UserAddr,
};
use halyard_core::mm::FramePool;

use super::barrier;
use super::memory::zero_frame;
use super::table::Table;
use crate::asid::Asids;
use crate::descriptor::{ADDRESS, Bits, TABLE};

static ASIDS: SpinLock<Asids> = SpinLock::new(Asids::new());

/// Changed pages up to which each is forgotten by itself; beyond, the whole ASID is.
const FEW_PAGES: usize = 32;

/// Entries of a table.
const ENTRIES: usize = 512;
/// What a level-3 table maps.
const LEAF_BYTES: usize = ENTRIES * PAGE_SIZE;

/// A user address space's tables, four levels.
pub(crate) struct UserTable {
    root: Frame,
    asid: u16,
    frames: &'static FramePool,
    /// The tables below the root, so that a space that goes need not be searched for them; None once they are too many.
    below: Option<Below>,
}

/// Tables of an ordinary program's space.
const FEW_TABLES: usize = 24;

/// Some tables.
struct Below {
    tables: [Frame; FEW_TABLES],
    count: usize,
}

/// What every present user page has: never executed by the kernel, of one ASID.
const USER_PAGE: u64 = Bits::VALID
    .union(Bits::TABLE)
    .union(Bits::NORMAL)
    .union(Bits::SHARED)
    .union(Bits::ACCESSED)
    .union(Bits::NOT_GLOBAL)
    .union(Bits::PXN)
    .bits();

/// The hardware's form of a mapping. A page that may be written may be read; one with no right at all is present and out of reach.
const fn encode(mapping: Mapping) -> u64 {
    let access = mapping.access;
    let mut bits = USER_PAGE | (mapping.frame.0 * PAGE_SIZE) as u64;
    if access.intersects(Access::READ.union(Access::WRITE)) {
        bits |= Bits::USER.bits();
    }
    if !access.contains(Access::WRITE) {
        bits |= Bits::READ_ONLY.bits();
    }
    if !access.contains(Access::EXECUTE) {
        bits |= Bits::UXN.bits();
    }
    bits
}

/// The mapping that a level-3 descriptor stands for.
const fn decode(descriptor: u64) -> Option<Mapping> {
    if descriptor & Bits::VALID.bits() == 0 {
        return None;
    }
    let mut access = Access::empty();
    if descriptor & Bits::USER.bits() != 0 {
        access = access.union(Access::READ);
        if descriptor & Bits::READ_ONLY.bits() == 0 {
            access = access.union(Access::WRITE);
        }
    }
    if descriptor & Bits::UXN.bits() == 0 {
        access = access.union(Access::EXECUTE);
    }
    let frame = Frame((descriptor & ADDRESS) as usize / PAGE_SIZE);
    Some(Mapping { frame, access })
}

impl UserTable {
    /// An empty table.
    pub(crate) fn new(frames: &'static FramePool) -> Result<Self, OutOfMemory> {
        let root = frames.allocate()?;
        zero_frame(root);
        // TCR_EL1.AS was set at boot if the CPU has 16-bit ASIDs.
        let bits = if TCR_EL1.is_set(TCR_EL1::AS) { 16 } else { 8 };
        // Held over the flush: until it is done, nobody may be given what it makes fresh.
        let mut asids = ASIDS.lock();
        let Some(fresh) = asids.allocate(bits) else {
            frames.release(root);
            return Err(OutOfMemory);
        };
        if fresh.flush_first {
            barrier::flush_all();
        }
        Ok(Self {
            root,
            asid: fresh.asid,
            frames,
            below: Some(Below {
                tables: [Frame(0); FEW_TABLES],
                count: 0,
            }),
        })
    }

    #[inline(always)]
    fn root(&self) -> &Table {
        // SAFETY: the root is a table from `new` to `drop`.
        unsafe { Table::in_ram((self.root.0 * PAGE_SIZE) as u64) }
    }

    /// The table that `entry` leads to.
    #[inline(always)]
    fn below(&self, entry: u64) -> Option<&Table> {
        // SAFETY: a valid descriptor above level 3 was made by `make_tables` and leads to a table of ours; tables go only in `drop`.
        (entry & TABLE == TABLE).then(|| unsafe { Table::in_ram(entry) })
    }

    /// Makes the tables that are missing above `page`.
    #[cold]
    fn make_tables(&mut self, page: usize) -> Result<(), OutOfMemory> {
        while let Err(hole) = self.leaf_table(page) {
            let frame = self.frames.allocate()?;
            zero_frame(frame);
            let descriptor = (frame.0 * PAGE_SIZE) as u64 | TABLE;
            // Zeros first, then the way to them: a walk on another CPU must not see what was in the frame.
            barrier::dsb_ishst();
            self.hole_entry(page, hole)
                .store(descriptor, Ordering::Release);
            match &mut self.below {
                Some(below) if below.count < FEW_TABLES => {
                    below.tables[below.count] = frame;
                    below.count += 1;
                }
                _ => self.below = None,
            }
        }
        Ok(())
    }

    /// The absent entry above `page` whose hole is of that size.
    fn hole_entry(&self, page: usize, hole: usize) -> &AtomicU64 {
        let mut table = self.root();
        for level in 0..3 {
            let entry = table.entry(page, level);
            match self.below(entry.load(Ordering::Relaxed)) {
                Some(below) if hole < 1 << (39 - 9 * level) => table = below,
                _ => return entry,
            }
        }
        table.entry(page, 3)
    }

    /// The level-3 table for `page`, or the size of the hole above it that has none.
    #[inline]
    fn leaf_table(&self, page: usize) -> Result<&Table, usize> {
        let mut table = self.root();
        for level in 0..3 {
            let entry = table.entry(page, level).load(Ordering::Relaxed);
            table = self.below(entry).ok_or(1_usize << (39 - 9 * level))?;
        }
        Ok(table)
    }

    /// Writes a descriptor over another; with break-before-make where the frame changes (Arm ARM D8.17.1). Whether the old one may
    /// still be in a TLB.
    #[inline]
    fn replace(&self, entry: &AtomicU64, page: usize, old: u64, new: u64) -> bool {
        let valid = Bits::VALID.bits();
        if old & valid == 0 {
            entry.store(new, Ordering::Release);
            return false;
        }
        if new & valid != 0 && (old ^ new) & ADDRESS != 0 {
            entry.store(0, Ordering::Release);
            barrier::dsb_ishst();
            self.forget_page(page);
            barrier::dsb_ish();
            entry.store(new, Ordering::Release);
            return false;
        }
        entry.store(new, Ordering::Release);
        old != new
    }

    /// Starts to forget the translation of `page` on all CPUs.
    #[inline]
    fn forget_page(&self, page: usize) {
        let operand = (page >> 12) as u64 | u64::from(self.asid) << 48;
        // SAFETY: forgetting a translation costs time only.
        unsafe { asm!("tlbi vale1is, {}", in(reg) operand, options(nostack, preserves_flags)) }
    }

    /// Starts to forget all translations of the space on all CPUs.
    fn forget_all(&self) {
        let operand = u64::from(self.asid) << 48;
        // SAFETY: forgetting translations costs time only.
        unsafe { asm!("tlbi aside1is, {}", in(reg) operand, options(nostack, preserves_flags)) }
    }

    /// Completes the stores before, forgets `page`, waits for that.
    fn finish_page(&self, page: usize) {
        barrier::dsb_ishst();
        self.forget_page(page);
        barrier::dsb_ish();
    }

    fn release_below(&self, table: &Table, level: u32) {
        // Most entries are absent: eight are passed over at a time.
        for group in table.entries().chunks_exact(8) {
            let load = |entry: &AtomicU64| entry.load(Ordering::Relaxed);
            if group.iter().fold(0, |all, entry| all | load(entry)) == 0 {
                continue;
            }
            for entry in group.iter().map(load) {
                if let Some(below) = self.below(entry) {
                    if level < 2 {
                        self.release_below(below, level + 1);
                    }
                    self.frames
                        .release(Frame((entry & ADDRESS) as usize / PAGE_SIZE));
                }
            }
        }
    }
}

impl PageTable for UserTable {
    fn map(&mut self, page: UserAddr, mapping: Mapping) -> Result<(), OutOfMemory> {
        let UserAddr(page) = page;
        let table = match self.leaf_table(page) {
            Ok(table) => table,
            Err(_) => {
                self.make_tables(page)?;
                self.leaf_table(page).map_err(|_| OutOfMemory)?
            }
        };
        let entry = table.entry(page, 3);
        let old = entry.load(Ordering::Relaxed);
        if self.replace(entry, page, old, encode(mapping)) {
            self.finish_page(page);
        } else {
            // The walk that follows the return to the program must see it; absent entries are in no TLB.
            barrier::dsb_ishst();
        }
        Ok(())
    }

    fn unmap(&mut self, page: UserAddr) -> Option<Mapping> {
        let UserAddr(page) = page;
        let entry = self.leaf_table(page).ok()?.entry(page, 3);
        let old = decode(entry.load(Ordering::Relaxed))?;
        entry.store(0, Ordering::Release);
        self.finish_page(page);
        Some(old)
    }

    fn protect(&mut self, page: UserAddr, access: Access) {
        let UserAddr(page) = page;
        let Ok(table) = self.leaf_table(page) else {
            return;
        };
        let entry = table.entry(page, 3);
        let old = entry.load(Ordering::Relaxed);
        let Some(Mapping { frame, .. }) = decode(old) else {
            return;
        };
        if self.replace(entry, page, old, encode(Mapping { frame, access })) {
            self.finish_page(page);
        }
    }

    #[inline]
    fn lookup(&self, page: UserAddr) -> Option<Mapping> {
        let UserAddr(page) = page;
        let table = self.leaf_table(page).ok()?;
        decode(table.entry(page, 3).load(Ordering::Relaxed))
    }

    fn update_range(
        &mut self,
        start: UserAddr,
        end: UserAddr,
        visit: &mut dyn FnMut(UserAddr, Mapping) -> Option<Mapping>,
    ) {
        let (UserAddr(mut page), UserAddr(end)) = (start, end);
        let mut changed = [0; FEW_PAGES];
        let mut count = 0;
        while page < end {
            let table = match self.leaf_table(page) {
                Ok(table) => table,
                Err(hole) => {
                    page = (page & !(hole - 1)) + hole;
                    continue;
                }
            };
            let table_end = (page | (LEAF_BYTES - 1)) + 1;
            let first = page / PAGE_SIZE % ENTRIES;
            let pages = (end.min(table_end) - page).div_ceil(PAGE_SIZE);
            let entries = table
                .entries()
                .get(first..first + pages)
                .unwrap_or_default();
            // Most entries are absent: eight are passed over at a time.
            for group in entries.chunks(8) {
                let load = |entry: &AtomicU64| entry.load(Ordering::Relaxed);
                if group.iter().fold(0, |all, entry| all | load(entry)) == 0 {
                    page += group.len() * PAGE_SIZE;
                    continue;
                }
                for entry in group {
                    let old = load(entry);
                    if let Some(mapping) = decode(old) {
                        let new = visit(UserAddr(page), mapping).map_or(0, encode);
                        if new != old && self.replace(entry, page, old, new) {
                            if let Some(place) = changed.get_mut(count) {
                                *place = page;
                            }
                            count += 1;
                        }
                    }
                    page += PAGE_SIZE;
                }
            }
        }
        barrier::dsb_ishst();
        if count == 0 {
            return;
        }
        match changed.get(..count) {
            Some(pages) => pages.iter().for_each(|&page| self.forget_page(page)),
            None => self.forget_all(),
        }
        barrier::dsb_ish();
    }

    fn first_present(&self, start: UserAddr, end: UserAddr) -> Option<UserAddr> {
        let (UserAddr(mut page), UserAddr(end)) = (start, end);
        while page < end {
            match self.leaf_table(page) {
                Err(hole) => page = (page & !(hole - 1)) + hole,
                Ok(table) => {
                    let first = page / PAGE_SIZE % ENTRIES;
                    let present =
                        |entry: &AtomicU64| entry.load(Ordering::Relaxed) & Bits::VALID.bits() != 0;
                    let entries = table.entries().get(first..).unwrap_or_default();
                    if let Some(at) = entries.iter().position(present) {
                        let found = page + at * PAGE_SIZE;
                        return (found < end).then_some(UserAddr(found));
                    }
                    page = (page | (LEAF_BYTES - 1)) + 1;
                }
            }
        }
        None
    }

    fn map_absent(&mut self, start: UserAddr, frames: &mut [Option<Frame>], access: Access) {
        let UserAddr(mut page) = start;
        let mut rest = frames;
        while !rest.is_empty() {
            let first = page / PAGE_SIZE % ENTRIES;
            let count = rest.len().min(ENTRIES - first);
            let (here, later) = rest.split_at_mut(count);
            rest = later;
            // Without a table the frames are left where they are.
            if self.leaf_table(page).is_err() {
                let _ = self.make_tables(page);
            }
            if let Ok(table) = self.leaf_table(page) {
                let entries = table.entries().get(first..).unwrap_or_default();
                for (entry, place) in entries.iter().zip(here) {
                    if let Some(frame) = *place
                        && entry.load(Ordering::Relaxed) & Bits::VALID.bits() == 0
                    {
                        entry.store(encode(Mapping { frame, access }), Ordering::Release);
                        *place = None;
                    }
                }
            }
            page += count * PAGE_SIZE;
        }
        // The walk that follows the return to the program must see them; absent entries are in no TLB.
        barrier::dsb_ishst();
    }

    fn clear_range(&mut self, start: UserAddr, end: UserAddr, gone: &mut dyn FnMut(Frame)) {
        let (UserAddr(mut page), UserAddr(end)) = (start, end);
        while page < end {
            let table = match self.leaf_table(page) {
                Ok(table) => table,
                Err(hole) => {
                    page = (page & !(hole - 1)) + hole;
                    continue;
                }
            };
            let first = page / PAGE_SIZE % ENTRIES;
            let count = (end - page).div_ceil(PAGE_SIZE).min(ENTRIES - first);
            page += count * PAGE_SIZE;
            let entries = table.entries().get(first..first + count);
            for group in entries.unwrap_or_default().chunks(8) {
                let load = |entry: &AtomicU64| entry.load(Ordering::Relaxed);
                if group.iter().fold(0, |all, entry| all | load(entry)) == 0 {
                    continue;
                }
                for entry in group {
                    let old = load(entry);
                    if old & Bits::VALID.bits() != 0 {
                        entry.store(0, Ordering::Relaxed);
                        gone(Frame((old & ADDRESS) as usize / PAGE_SIZE));
                    }
                }
            }
        }
    }

    fn token(&self) -> SpaceToken {
        SpaceToken((self.root.0 * PAGE_SIZE) as u64 | u64::from(self.asid) << 48)
    }
}

impl Drop for UserTable {
    fn drop(&mut self) {
        // No CPU runs in it, and none has it in TTBR0_EL1 (`Machine::release`): what TLBs hold of it nobody asks for, until the
        // flush that makes the ASID fresh.
        match &self.below {
            Some(below) => {
                for frame in below.tables.iter().take(below.count) {
                    self.frames.release(*frame);
                }
            }
            None => self.release_below(self.root(), 0),
        }
        self.frames.release(self.root);
        ASIDS.lock().release(self.asid);
    }
}
