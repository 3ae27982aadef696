//! Halyard's portable kernel: processes, scheduling, memory, files and IPC.
//!
//! Principles, which the modules hold to:
//! - **Safe Rust only.** What hardware demands is behind [`machine::Machine`]; what memory demands is in `halyard-cell`.
//! - **A loop per CPU.** The kernel is never re-entered and never preempted ([`kernel`]).
//! - **Ownership is the scheduler.** Whoever holds a `Box<Task>` may touch it ([`task`]).
//! - **One way to wait** ([`wait`]): everything that blocks can be interrupted, timed out and killed.
//! - **No reference to user memory.** Pages are resolved and copied ([`io`], `mm`).
//! - **Errors are values.** Nothing a program does panics the kernel.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;
// The emulated machine is compiled into the tests, where it finds this crate under the name it has outside.
#[cfg(test)]
extern crate self as halyard_core;
#[cfg(test)]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "no one test uses all of it"
)]
#[path = "../../arch/host/src/machine/mod.rs"]
pub(crate) mod host;

#[cfg(test)]
pub(crate) mod bench;

pub mod boot;
pub mod counters;
pub mod devices;
pub mod fs;
pub mod io;
pub mod ipc;
pub mod kernel;
pub mod log;
pub mod machine;
pub mod mm;
pub mod process;
pub mod sched;
pub mod syscall;
mod text_line;
pub mod time;
pub mod tty;
pub mod version;
pub mod wait;

pub use halyard_abi::Errno;

/// What a kernel operation returns: a value, or the errno that the program sees.
pub type Result<T, E = Errno> = core::result::Result<T, E>;
