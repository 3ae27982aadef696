//! What the kernel and programs agree on: error numbers, call numbers, structures, `ipc_call` commands.
//!
//! Nothing here runs and nothing here is unsafe. The values are those of the Linux arm64 ABI on every machine this is
//! built for, so that the core's host tests see the numbers a program on the target uses.

#![no_std]
#![forbid(unsafe_code)]

mod errno;

pub use errno::{Errno, MAX_ERRNO};
