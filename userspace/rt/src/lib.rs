//! A small runtime for Rust programs on Halyard, and on Linux arm64.
//!
//! It owns what a program needs between the kernel's entry and `main`: the start-up code, the system calls, a heap,
//! printing, and files, processes, pipes, signals and time with their failures as [`Errno`]. A program is
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! use halyard_rt::prelude::*;
//!
//! entry!(main);
//!
//! fn main() -> i32 {
//!     println!("hello from process {}", process::id());
//!     0
//! }
//! ```
//!
//! All `unsafe` of a program's world is in this crate. It promises that safe use of it is sound, with one exception
//! that is named for what it is: [`wild`], by which tests reach the kernel with any number and any pointer.

#![no_std]

extern crate alloc;

// memcpy and its kin.
use halyard_mem as _;

mod agree;
pub mod args;
pub mod channel;
mod cstr;
pub mod epoll;
pub mod event;
pub mod fd;
pub mod firmware;
pub mod fs;
pub mod gpio;
mod heap;
pub mod i2c;
pub mod io;
pub mod ipc;
pub mod memfd;
pub mod mm;
pub mod mqueue;
pub mod mutex;
pub mod net;
pub mod objects;
pub mod poll;
pub mod print;
pub mod process;
pub mod signal;
mod start;
mod sys;
pub mod system;
pub mod sysv;
pub mod thread;
pub mod time;
pub mod timer;
pub mod tty;
pub mod wild;

pub use halyard_abi::{Errno, nr, open, raw};
pub use start::Termination;

/// The result of whatever can fail: an [`Errno`] says why.
pub type Result<T> = core::result::Result<T, Errno>;

/// What nearly every program uses.
pub mod prelude {
    pub use crate::fd::{AsFd, Fd, STDERR, STDIN, STDOUT};
    pub use crate::io::{self, BufWriter, Lines};
    pub use crate::{Errno, Result, args, fs, process, time};
    pub use crate::{entry, eprint, eprintln, print, println};
    pub use alloc::borrow::ToOwned;
    pub use alloc::boxed::Box;
    pub use alloc::format;
    pub use alloc::string::{String, ToString};
    pub use alloc::vec;
    pub use alloc::vec::Vec;
    pub use core::fmt::Write as _;
}

/// What [`entry!`] expands to needs a name for; not for programs.
#[doc(hidden)]
pub use start::run as __run;
