//! The few unsafe building blocks that the kernel stands on, each behind a safe interface and small enough to be read in
//! an hour.
//!
//! | block | what for |
//! |---|---|
//! | [`SpinLock`] | a value that one CPU at a time may touch |
//! | [`FutureSlot`] | a fixed place for the future of one waiting call |
//! | [`BoxQueue`] | a queue of boxes that allocates nothing: run queues |
//! | [`sync::atomic`] | atomics that the model checker can see |
//!
//! Wakers need no block of their own: `core::task::Waker::from(Arc<impl Wake>)` is safe, a clone is one increment.
//!
//! With `--cfg loom` locks and atomics are loom's, so that what is built on them can be model-checked.
#![cfg_attr(not(loom), no_std)]

extern crate alloc;

mod box_queue;
mod future_slot;
#[cfg(not(loom))]
mod spin_lock;
#[cfg(loom)]
#[path = "spin_lock_loom.rs"]
mod spin_lock;
pub mod sync;

pub use box_queue::{BoxQueue, Linked};
pub use future_slot::FutureSlot;
pub use spin_lock::{SpinGuard, SpinLock};
