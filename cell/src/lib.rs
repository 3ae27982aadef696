//! The few unsafe building blocks that the kernel stands on, each behind a safe interface and small enough to be read in
//! an hour. With `--cfg loom` the locks are loom's, so that what is built on them can be model-checked.
#![cfg_attr(not(loom), no_std)]

extern crate alloc;

mod spin_lock;

pub use spin_lock::{SpinGuard, SpinLock};
