//! Boots Halyard on a rig and judges what comes over its console.
//!
//! A rig is whatever can be switched on and read: today a QEMU machine, described by its entry in `boards.toml`.
//! The pieces are small and separate: [`board`] reads the board list, [`bootargs`] writes a kernel command line,
//! [`qemu`] makes a machine of a board, [`console`] reads its serial line against a deadline, [`tap`] understands
//! what a test program prints, [`suite`] puts them together and gives a [`verdict::Verdict`] for each test.

#![forbid(unsafe_code)]

pub mod board;
pub mod bootargs;
pub mod console;
pub mod qemu;
pub mod rig;
pub mod suite;
pub mod tap;
pub mod verdict;
