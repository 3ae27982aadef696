//! Atomics by one name: the processor's, or under `--cfg loom` the model checker's. For state whose races are to be
//! modelled; plain counters can use `core::sync::atomic` directly.

/// Atomic integers.
pub mod atomic {
    #[cfg(not(loom))]
    pub use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
    #[cfg(loom)]
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
}
