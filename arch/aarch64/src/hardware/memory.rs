//! Bulk access to page frames through the direct map.
//!
//! Programs may write to the same memory at the same time from other CPUs, so the bytes are moved by instructions that the
//! compiler does not see through. Frames are the pool's: the core asks only for frames that it holds.

use core::arch::asm;

use halyard_core::machine::{Frame, PAGE_SIZE};

use super::barrier;
use super::table::frame_address;

/// Copies `size` bytes, 64 at a time as long as there are.
///
/// # Safety
/// `from..from + size` must be readable and `to..to + size` writable RAM, apart from each other; nothing in Rust may borrow what
/// is written.
#[inline]
unsafe fn copy(to: usize, from: usize, size: usize) {
    // SAFETY: stays within the caller's two ranges: each step moves as many bytes as it counts down.
    unsafe {
        asm!(
            "subs {n}, {n}, #64",
            "b.lo 3f",
            "2:",
            "ldp {a}, {b}, [{f}], #16",
            "ldp {c}, {d}, [{f}], #16",
            "stp {a}, {b}, [{t}], #16",
            "stp {c}, {d}, [{t}], #16",
            "ldp {a}, {b}, [{f}], #16",
            "ldp {c}, {d}, [{f}], #16",
            "stp {a}, {b}, [{t}], #16",
            "stp {c}, {d}, [{t}], #16",
            "subs {n}, {n}, #64",
            "b.hs 2b",
            "3:",
            "add {n}, {n}, #64",
            "tbz {n}, #5, 4f",
            "ldp {a}, {b}, [{f}], #16",
            "ldp {c}, {d}, [{f}], #16",
            "stp {a}, {b}, [{t}], #16",
            "stp {c}, {d}, [{t}], #16",
            "4:",
            "tbz {n}, #4, 4f",
            "ldp {a}, {b}, [{f}], #16",
            "stp {a}, {b}, [{t}], #16",
            "4:",
            "tbz {n}, #3, 4f",
            "ldr {a}, [{f}], #8",
            "str {a}, [{t}], #8",
            "4:",
            "tbz {n}, #2, 4f",
            "ldr {a:w}, [{f}], #4",
            "str {a:w}, [{t}], #4",
            "4:",
            "tbz {n}, #1, 4f",
            "ldrh {a:w}, [{f}], #2",
            "strh {a:w}, [{t}], #2",
            "4:",
            "tbz {n}, #0, 4f",
            "ldrb {a:w}, [{f}]",
            "strb {a:w}, [{t}]",
            "4:",
            n = inout(reg) size => _,
            f = inout(reg) from => _,
            t = inout(reg) to => _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            options(nostack)
        );
    }
}

/// Where in the direct map `frame`'s bytes `offset..offset + size` are. A range that leaves the frame is the core's mistake.
#[inline]
fn place(frame: Frame, offset: usize, size: usize) -> usize {
    assert!(
        offset <= PAGE_SIZE && size <= PAGE_SIZE - offset,
        "access beyond a page frame"
    );
    frame_address(frame) + offset
}

#[inline]
pub(crate) fn read_frame(frame: Frame, offset: usize, into: &mut [u8]) {
    let from = place(frame, offset, into.len());
    // SAFETY: within a frame of RAM that the core holds; `into` is borrowed and is not user memory.
    unsafe { copy(into.as_mut_ptr().addr(), from, into.len()) }
}

#[inline]
pub(crate) fn write_frame(frame: Frame, offset: usize, from: &[u8]) {
    let to = place(frame, offset, from.len());
    // SAFETY: within a frame of RAM that the core holds and that Rust borrows nowhere.
    unsafe { copy(to, from.as_ptr().addr(), from.len()) }
}

pub(crate) fn copy_frame(from: Frame, to: Frame) {
    // SAFETY: two whole frames of RAM that the core holds; copying a frame onto itself changes nothing.
    unsafe { copy(frame_address(to), frame_address(from), PAGE_SIZE) }
}

/// Fills a frame with zeros, by cache line where the CPU lets us (DC ZVA, DCZID_EL0).
pub(crate) fn zero_frame(frame: Frame) {
    let address = frame_address(frame);
    // SAFETY: writes exactly the frame's bytes, which the caller holds: DC ZVA zeroes an aligned block of the size that
    // DCZID_EL0 says, at most 2 KiB and so a divisor of a frame; the other loop steps by what it stores.
    unsafe {
        asm!(
            "mrs {s}, dczid_el0",
            "tbnz {s}, #4, 3f",
            "mov {e:w}, #4",
            "and {s}, {s}, #0xf",
            "lsl {s}, {e}, {s}",
            "add {e}, {t}, #4096",
            "cmp {s}, #64",
            "b.ne 2f",
            // The usual size: eight blocks a round.
            "5:",
            "dc zva, {t}",
            "add {t}, {t}, {s}",
            "dc zva, {t}",
            "add {t}, {t}, {s}",
            "dc zva, {t}",
            "add {t}, {t}, {s}",
            "dc zva, {t}",
            "add {t}, {t}, {s}",
            "dc zva, {t}",
            "add {t}, {t}, {s}",
            "dc zva, {t}",
            "add {t}, {t}, {s}",
            "dc zva, {t}",
            "add {t}, {t}, {s}",
            "dc zva, {t}",
            "add {t}, {t}, {s}",
            "cmp {t}, {e}",
            "b.lo 5b",
            "b 4f",
            "2: dc zva, {t}",
            "add {t}, {t}, {s}",
            "cmp {t}, {e}",
            "b.lo 2b",
            "b 4f",
            "3: add {e}, {t}, #4096",
            "2: stp xzr, xzr, [{t}], #16",
            "stp xzr, xzr, [{t}], #16",
            "cmp {t}, {e}",
            "b.lo 2b",
            "4:",
            t = inout(reg) address => _, s = out(reg) _, e = out(reg) _,
            options(nostack)
        );
    }
}

/// An aligned word of a frame, for atomics.
#[inline]
fn word(frame: Frame, offset: usize) -> &'static core::sync::atomic::AtomicU32 {
    assert!(offset.is_multiple_of(4), "misaligned word");
    let address = place(frame, offset, 4);
    // SAFETY: an aligned word of RAM, of which any value is valid; programs reach it by plain and atomic accesses only, as
    // two CPUs would. It stays RAM for ever.
    unsafe { &*(address as *const core::sync::atomic::AtomicU32) }
}

#[inline]
pub(crate) fn compare_exchange_u32(frame: Frame, offset: usize, expected: u32, new: u32) -> u32 {
    use core::sync::atomic::Ordering::SeqCst;
    match word(frame, offset).compare_exchange(expected, new, SeqCst, SeqCst) {
        Ok(old) | Err(old) => old,
    }
}

#[inline]
pub(crate) fn load_u32(frame: Frame, offset: usize) -> u32 {
    word(frame, offset).load(core::sync::atomic::Ordering::SeqCst)
}

/// Makes instruction fetch on all CPUs see what was stored to `frame` (Arm ARM B2.7.4). CTR_EL0 may say that either half is not
/// needed.
pub(crate) fn sync_code(frame: Frame) {
    let ctr: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    let start = frame_address(frame);
    if ctr & (1 << 28) == 0 {
        let line = 4_usize << ((ctr >> 16) & 0xf);
        for address in (start..start + PAGE_SIZE).step_by(line) {
            // SAFETY: cleaning a line of mapped RAM changes nothing that a load sees.
            unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
        }
    }
    barrier::dsb_ish();
    if ctr & (1 << 29) == 0 {
        // By address would miss aliases in a VIPT instruction cache.
        // SAFETY: instructions are fetched again from memory.
        unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
        barrier::dsb_ish();
    }
    barrier::isb();
}
