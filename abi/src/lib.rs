//! What the kernel and programs agree on: error numbers, call numbers, structures, `ipc_call` commands.
//!
//! Nothing here runs and nothing here is unsafe. What is written out in this crate has the values of the Linux arm64
//! ABI on every machine it is built for, so that the core's host tests see the numbers a program on the target uses.
//! [`raw`] is `linux-raw-sys` for the machine this is built on: constants outside [`nr`] and [`open`] are the same
//! everywhere, but `stat`, `epoll_event`, `MINSIGSTKSZ`, `SIGSTKSZ` and register frames are not.

#![no_std]
#![forbid(unsafe_code)]

mod errno;
pub mod ipc_call;
pub mod mqueue;
pub mod nr;
pub mod open;
pub mod socket;
pub mod sysv;

pub use errno::{Errno, MAX_ERRNO};
pub use linux_raw_sys as raw;
