//! From the kernel's entry to `main`, and out again.
//!
//! At entry the stack pointer is at `argc`; then `argv`, a null, `envp`, a null, and the auxiliary vector (Linux
//! `fs/binfmt_elf.c`, `create_elf_tables`). All other registers are undefined.

use core::fmt::Write;
use core::panic::PanicInfo;

use crate::{Errno, args, process};

/// What `main` may return, and the exit code it means.
pub trait Termination {
    /// The exit code, 0 to 255; a failure is told on standard error first.
    fn code(self) -> i32;
}

impl Termination for () {
    fn code(self) -> i32 {
        0
    }
}

impl Termination for i32 {
    fn code(self) -> i32 {
        self
    }
}

impl<T: Termination> Termination for Result<T, Errno> {
    fn code(self) -> i32 {
        match self {
            Ok(value) => value.code(),
            Err(errno) => {
                crate::eprintln!("{}: {errno}", args::program());
                1
            }
        }
    }
}

/// Names the function that is the program: `entry!(main);`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn _halyard_main() -> i32 {
            $crate::__run($main)
        }
    };
}

unsafe extern "C" {
    /// Given by the program, through [`entry!`].
    safe fn _halyard_main() -> i32;
}

/// Runs `main` and gives its exit code.
pub fn run<T: Termination>(main: fn() -> T) -> i32 {
    main().code()
}

core::arch::global_asm!(
    ".pushsection .text._start, \"ax\"",
    ".global _start",
    ".type _start, %function",
    "_start:",
    // A null frame record ends every backtrace here.
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    // The ABI wants 16-byte alignment; the kernel gives it, and this costs nothing.
    "and sp, x0, #-16",
    "b {begin}",
    ".size _start, . - _start",
    ".popsection",
    begin = sym begin,
);

/// First Rust code of the process; `stack` is the stack pointer at entry.
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: `_start` passes the stack as the kernel laid it out, and nothing else has run yet.
    unsafe { args::init(stack) };
    process::exit(_halyard_main())
}

/// A panic is a plain line on standard error and exit code 101.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(crate::print::Stderr, "{}: {info}", args::program());
    process::exit(101)
}
