//! The kernel and memory without a net, for programs that test what happens there.
//!
//! These functions are safe to call and unsound to misuse: a call may change the memory of the program itself. Rust
//! cannot forbid it any more than it can forbid writing to `/proc/self/mem`. A program that uses this module gives up
//! the promise of the rest of this crate, and does so in a child process.

use crate::{Errno, Result, sys};

/// Any call with any arguments.
///
/// # Errors
/// Whatever the kernel says.
pub fn call(nr: usize, args: [usize; 6]) -> Result<usize> {
    // SAFETY: none can be given; see the module's text.
    unsafe { sys::call(nr, args) }
}

/// As [`call`], and what x1 to x5 hold afterwards: a kernel keeps them.
pub fn call_and_registers(nr: usize, args: [usize; 6]) -> (Result<usize>, [usize; 5]) {
    let [mut x0, mut x1, mut x2, mut x3, mut x4, mut x5] = args;
    // SAFETY: none can be given; see the module's text.
    unsafe {
        core::arch::asm!(
            "svc #0",
            in("x8") nr,
            inlateout("x0") x0,
            inlateout("x1") x1,
            inlateout("x2") x2,
            inlateout("x3") x3,
            inlateout("x4") x4,
            inlateout("x5") x5,
            options(nostack),
        );
    }
    (Errno::from_return(x0 as isize), [x1, x2, x3, x4, x5])
}

/// Reads a byte anywhere: one instruction, which a signal handler may step over; then it gives 0.
pub fn load(address: usize) -> u8 {
    let mut value = 0u64;
    // SAFETY: a read that is not allowed is a signal, not a wrong value.
    unsafe {
        core::arch::asm!("ldrb {0:w}, [{1}]", inout(reg) value, in(reg) address, options(nostack))
    };
    value as u8
}

/// Writes a byte anywhere: one instruction, which a signal handler may step over.
pub fn store(address: usize, value: u8) {
    // SAFETY: none can be given; see the module's text.
    unsafe {
        core::arch::asm!("strb {0:w}, [{1}]", in(reg) u64::from(value), in(reg) address, options(nostack));
    }
}

/// Calls whatever code is at an address.
pub fn run(address: usize) {
    // SAFETY: none can be given; see the module's text.
    unsafe { core::arch::asm!("blr {0}", in(reg) address, clobber_abi("C")) };
}

/// Makes code that was written to memory visible to instruction fetch, and executable pages of it consistent
/// (Arm ARM B2.4.4).
pub fn synchronise_code(address: usize, length: usize) {
    for line in (address & !63..address + length).step_by(64) {
        // SAFETY: cache maintenance by address, allowed at EL0 under Linux and Halyard; it changes no value.
        unsafe { core::arch::asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", in(reg) line) };
    }
    // SAFETY: barriers only.
    unsafe { core::arch::asm!("dsb ish", "isb") };
}

/// Puts the pattern into all 32 vector registers, lets `between` run, and says whether they still hold it.
///
/// The program itself is built without vector instructions, so `between` changes them only through the kernel.
pub fn vectors_survive(pattern: u64, between: fn()) -> bool {
    // SAFETY: this build keeps nothing in vector registers.
    unsafe {
        core::arch::asm!(
            ".arch_extension simd",
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "add {t}, {t}, #1",
            "dup v\\n\\().2d, {t}",
            ".endr",
            t = inout(reg) pattern => _,
            options(nomem, nostack),
        );
    }
    between();
    let mut bad = 0u64;
    // SAFETY: reads vector registers only.
    unsafe {
        core::arch::asm!(
            ".arch_extension simd",
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "add {t}, {t}, #1",
            "umov {u}, v\\n\\().d[0]",
            "eor {u}, {u}, {t}",
            "orr {bad}, {bad}, {u}",
            "umov {u}, v\\n\\().d[1]",
            "eor {u}, {u}, {t}",
            "orr {bad}, {bad}, {u}",
            ".endr",
            t = inout(reg) pattern => _,
            u = out(reg) _,
            bad = inout(reg) bad,
            options(nomem, nostack),
        );
    }
    bad == 0
}
