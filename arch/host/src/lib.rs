//! The machine in a test process: emulated frames, page tables, clock, CPUs and programs behind `core`'s `Machine`.
//!
//! The core's own unit tests compile [`machine`] into themselves (see `core/src/lib.rs`), so it uses nothing but `std` and
//! `halyard_core`.
#![forbid(unsafe_code)]

pub mod machine;

pub use machine::{Config, End, HostCpu, HostMachine, Label, Program, Step};
