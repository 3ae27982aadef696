//! The one instruction by which a program reaches the kernel.
//!
//! Linux arm64: number in x8, arguments in x0 to x5, result or negated error in x0; all other registers are kept.

use core::arch::asm;

use crate::{Errno, Result};

/// A system call with up to six arguments.
///
/// # Safety
/// The kernel reads and writes the memory that the arguments name, and changes the address space as they say: that
/// must be memory of which the caller may dispose in that way for as long as the kernel uses it.
#[inline(always)]
pub(crate) unsafe fn call(nr: usize, args: [usize; 6]) -> Result<usize> {
    let mut x0 = args[0] as isize;
    // SAFETY: `svc` clobbers x0 and what the kernel is asked to write; the caller answers for the latter.
    unsafe {
        asm!(
            "svc #0",
            in("x8") nr,
            inlateout("x0") x0,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack),
        );
    }
    Errno::from_return(x0)
}

/// `sys!(number, arguments...)`: [`call`] with the arguments cast to registers and the rest zero.
macro_rules! sys {
    ($nr:expr) => { $crate::sys::call($nr, [0; 6]) };
    ($nr:expr, $a:expr) => { $crate::sys::call($nr, [$a as usize, 0, 0, 0, 0, 0]) };
    ($nr:expr, $a:expr, $b:expr) => {
        $crate::sys::call($nr, [$a as usize, $b as usize, 0, 0, 0, 0])
    };
    ($nr:expr, $a:expr, $b:expr, $c:expr) => {
        $crate::sys::call($nr, [$a as usize, $b as usize, $c as usize, 0, 0, 0])
    };
    ($nr:expr, $a:expr, $b:expr, $c:expr, $d:expr) => {
        $crate::sys::call($nr, [$a as usize, $b as usize, $c as usize, $d as usize, 0, 0])
    };
    ($nr:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        $crate::sys::call($nr, [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, 0])
    };
    ($nr:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $f:expr) => {
        $crate::sys::call(
            $nr,
            [$a as usize, $b as usize, $c as usize, $d as usize, $e as usize, $f as usize],
        )
    };
}
pub(crate) use sys;

/// A call whose arguments are all plain numbers (descriptors, process ids, signals, flags).
///
/// Only for calls that neither take a pointer nor change the caller's address space: that is what makes it safe.
#[inline(always)]
pub(crate) fn plain(nr: usize, a: isize, b: isize, c: isize) -> Result<usize> {
    // SAFETY: the callers in this crate use it for calls of the said kind only, which touch no memory of ours.
    unsafe { call(nr, [a as usize, b as usize, c as usize, 0, 0, 0]) }
}
