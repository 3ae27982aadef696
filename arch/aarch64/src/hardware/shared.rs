//! Memory that the graphics processor of a Raspberry Pi sees too: a piece of the image, which the firmware itself has loaded where it
//! can reach it.
//!
//! That processor knows nothing of our caches: lines are written back and thrown away (`dc civac`) before and after it has its turn.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use halyard_drivers::bcm2835_mbox::{LONGEST, SharedMemory};

use super::barrier;
use super::kernel_map::Image;

/// The longest line of a cache that there is, and more than the 16 bytes that a mail's address needs.
#[repr(C, align(128))]
struct Block(UnsafeCell<[u32; LONGEST]>);

// SAFETY: only the one `Shared` touches it, by `&mut self`.
unsafe impl Sync for Block {}

static BLOCK: Block = Block(UnsafeCell::new([0; LONGEST]));
static TAKEN: AtomicBool = AtomicBool::new(false);

/// RAM as the graphics processor sees it past its own cache (BCM2835 ARM Peripherals 1.2.4).
const BUS_ALIAS: u32 = 0xc000_0000;
/// What it sees ends here.
const REACH: usize = 1 << 30;

/// The memory: there is one.
#[derive(Debug)]
pub(crate) struct Shared {
    bus_address: u32,
}

impl Shared {
    /// The memory, if it is not taken and the graphics processor reaches it.
    pub(crate) fn take() -> Option<Self> {
        let offset = BLOCK.0.get().addr() - Image::base();
        let physical = Image::physical() + offset;
        if physical >= REACH || TAKEN.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(Shared {
            bus_address: BUS_ALIAS | physical as u32,
        })
    }

    fn words(&mut self) -> impl Iterator<Item = *mut u32> + use<> {
        let first = BLOCK.0.get().cast::<u32>();
        // SAFETY: stays within the block.
        (0..LONGEST).map(move |index| unsafe { first.add(index) })
    }

    /// Has the caches hold nothing of it.
    fn flush(&mut self) {
        barrier::dsb_sy();
        for word in self.words() {
            // SAFETY: writes back and forgets a line of the block; no Rust object but the block is in it.
            unsafe { asm!("dc civac, {}", in(reg) word, options(nostack, preserves_flags)) };
        }
        barrier::dsb_sy();
    }
}

impl SharedMemory for Shared {
    fn bus_address(&self) -> u32 {
        self.bus_address
    }

    fn write(&mut self, words: &[u32]) {
        for (to, word) in self.words().zip(words) {
            // SAFETY: a word of the block, which is this one's alone (`take`); the other side's turn has not begun.
            unsafe { to.write_volatile(*word) };
        }
        self.flush();
    }

    fn read(&mut self, into: &mut [u32]) {
        self.flush();
        for (from, word) in self.words().zip(into) {
            // SAFETY: as in `write`; the other side's turn is over.
            *word = unsafe { from.read_volatile() };
        }
    }
}
