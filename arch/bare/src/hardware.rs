//! What needs the machine itself. Owns all `unsafe` of a program without an MMU.

use core::arch::{asm, global_asm};
use core::fmt;
use core::ops::Range;
use core::ptr::{read_volatile, write_volatile};

use halyard_drivers::dt::{self, Region, Tree};
use halyard_drivers::mmio::Window;

use crate::rooms::{Full, Ranges};

global_asm!(include_str!("entry.s"));

unsafe extern "C" {
    static _head: u8;
    static __image_end: u8;
    fn bare_jump(tree: usize, kernel: usize) -> !;
}

/// What rooms are made of: no line of a cache belongs to two.
const PAGE: usize = 4096;

/// Why there is no machine to work with.
#[derive(Clone, Copy, Debug)]
pub enum NoMachine {
    /// The loader gave no device tree.
    NoTree,
    /// The tree makes no sense.
    Tree(dt::Error),
    /// Its memory is in too many pieces.
    Scattered,
}

impl From<dt::Error> for NoMachine {
    fn from(error: dt::Error) -> Self {
        NoMachine::Tree(error)
    }
}

impl From<Full> for NoMachine {
    fn from(_: Full) -> Self {
        NoMachine::Scattered
    }
}

impl fmt::Display for NoMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoMachine::NoTree => f.write_str("the loader gave no device tree"),
            NoMachine::Tree(error) => error.fmt(f),
            NoMachine::Scattered => f.write_str("memory is in too many pieces"),
        }
    }
}

/// The device tree that the loader left at `address`.
pub fn device_tree(address: usize) -> Result<Tree<'static>, NoMachine> {
    if address == 0 || !address.is_multiple_of(8) {
        return Err(NoMachine::NoTree);
    }
    // SAFETY: the loader leaves the tree's address in x0 (booting.rst), and nobody writes there: `Rooms` takes it out.
    let header = unsafe { core::slice::from_raw_parts(address as *const u8, 8) };
    let size = dt::total_size(header)?;
    if address.checked_add(size).is_none() {
        return Err(NoMachine::NoTree);
    }
    // SAFETY: as above; the header says how long it is, at most 2 MiB.
    let bytes = unsafe { core::slice::from_raw_parts(address as *const u8, size) };
    Ok(Tree::new(bytes)?)
}

/// The registers of a device.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    address: usize,
    size: usize,
}

impl Registers {
    /// Those of a region that a tree names. Error: it is beyond the addresses there are.
    pub fn of(region: Region) -> Result<Self, dt::Error> {
        let wrong = |_| dt::Error::BadProperty("reg");
        Ok(Self {
            address: usize::try_from(region.address).map_err(wrong)?,
            size: usize::try_from(region.size).map_err(wrong)?,
        })
    }

    fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        let address = self.address.checked_add(offset)?;
        (end <= self.size && address.is_multiple_of(size_of::<T>())).then_some(address as *mut T)
    }
}

impl Window for Registers {
    fn size(&self) -> usize {
        self.size
    }

    fn read8(&self, offset: usize) -> u8 {
        // SAFETY: within the registers that the tree names, aligned; no Rust object lies there. All accesses are to device
        // memory while the MMU is off.
        self.at(offset).map_or(0, |at| unsafe { read_volatile(at) })
    }

    fn write8(&self, offset: usize, value: u8) {
        if let Some(at) = self.at(offset) {
            // SAFETY: as in `read8`.
            unsafe { write_volatile(at, value) }
        }
    }

    fn read32(&self, offset: usize) -> u32 {
        // SAFETY: as in `read8`.
        self.at(offset).map_or(0, |at| unsafe { read_volatile(at) })
    }

    fn write32(&self, offset: usize, value: u32) {
        if let Some(at) = self.at(offset) {
            // SAFETY: as in `read8`.
            unsafe { write_volatile(at, value) }
        }
    }
}

/// The machine's free memory.
pub struct Rooms {
    ranges: Ranges,
}

/// Memory that is one's own: whole pages.
pub struct Room {
    range: Range<usize>,
    size: usize,
}

impl Rooms {
    /// What the tree names as memory, without what it reserves, the first page (a Raspberry Pi's other CPUs wait in it), the tree and this
    /// program.
    pub fn of(tree: &Tree<'_>, tree_at: usize) -> Result<Self, NoMachine> {
        let mut ranges = Ranges::default();
        for bank in tree.memory() {
            let bank = bank?;
            ranges.bank(bank.address as usize..bank.end() as usize)?;
        }
        for reserved in tree.reserved() {
            let region = reserved?.region;
            ranges.take(region.address as usize..region.end() as usize)?;
        }
        ranges.take(0..4096)?;
        ranges.take(tree_at..tree_at.saturating_add(tree.size()))?;
        ranges.take((&raw const _head).addr()..(&raw const __image_end).addr())?;
        Ok(Self { ranges })
    }

    /// Memory of `size` bytes on a multiple of `unit`, a power of two, zeroed. None: there is none left.
    pub fn take(&mut self, size: usize, unit: usize) -> Option<Room> {
        let pages = size.max(1).checked_next_multiple_of(PAGE)?;
        let range = self.ranges.fit(pages, unit.max(PAGE))?;
        self.ranges.take(range.clone()).ok()?;
        let room = Room { range, size };
        room.forget_cached();
        // SAFETY: memory by the tree, and nobody's until now; zeros are bytes.
        unsafe { core::ptr::write_bytes(room.range.start as *mut u8, 0, room.range.len()) };
        Some(room)
    }

    /// Takes memory back.
    pub fn give(&mut self, room: Room) {
        self.ranges.give(&room.range);
    }
}

impl Room {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> usize {
        self.range.start
    }

    /// What lies in it.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: memory by the tree, nobody's before and taken out of what is free when this was made, zeroed since.
        unsafe { core::slice::from_raw_parts_mut(self.range.start as *mut u8, self.size) }
    }

    /// Throws away what caches hold of it: it is written past them, and a line from before would hide or overwrite that.
    fn forget_cached(&self) {
        let line = {
            let ctr: usize;
            // SAFETY: reads a register without side effects.
            unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack)) };
            4_usize << ((ctr >> 16) & 15)
        };
        let mut at = self.range.start;
        while at < self.range.end {
            // SAFETY: the room's own lines, whole pages of them; what they held is nobody's.
            unsafe { asm!("dc ivac, {}", in(reg) at, options(nostack)) };
            at += line;
        }
        // SAFETY: a barrier.
        unsafe { asm!("dsb sy", options(nostack)) };
    }
}

/// The counter, and its steps in a second.
fn counter() -> (u64, u64) {
    let (count, hertz): (u64, u64);
    // SAFETY: reads two registers without side effects, which EL1 and EL2 may.
    unsafe {
        asm!("isb", "mrs {}, cntpct_el0", "mrs {}, cntfrq_el0", out(reg) count, out(reg) hertz, options(nostack));
    }
    // Firmware that has not said how fast it counts: as the fastest here, so that waits are longer.
    let hertz = if hertz < 1_000_000 { 62_500_000 } else { hertz };
    (count, hertz)
}

/// Milliseconds since some moment.
#[must_use]
pub fn clock() -> u64 {
    let (count, hertz) = counter();
    count / (hertz / 1000)
}

/// Waits so many microseconds, without looking at any device.
pub fn pause(microseconds: u64) {
    let (start, hertz) = counter();
    let steps = hertz / 1_000_000 * microseconds;
    while counter().0.wrapping_sub(start) < steps {}
}

/// Enters the kernel that lies in `kernel`, with the tree that lies in `tree`.
pub fn jump(kernel: &Room, tree: &Room) -> ! {
    // SAFETY: the caller has put a kernel there. From here on nothing of this program runs.
    unsafe { bare_jump(tree.address(), kernel.address()) }
}

/// Does nothing, for good.
pub fn rest() -> ! {
    loop {
        // SAFETY: waits.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}
