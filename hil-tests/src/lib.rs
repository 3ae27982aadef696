//! Boots Halyard on a rig and judges what comes over its console.
//!
//! A rig is whatever can be switched on and read: a QEMU machine, described by its entry in `boards.toml`, on pipes
//! ([`qemu`]) or behind a pseudo terminal ([`pty`]), or a board on a serial cable ([`board_rig`]).
//! The pieces are small and separate: [`board`] reads the board list, [`bootargs`] writes a kernel command line,
//! [`qemu`] makes a machine of a board, [`console`] reads its serial line against a deadline, [`tap`] understands
//! what a test program prints, [`suite`] puts them together and gives a [`verdict::Verdict`] for each test. For many boards
//! at once [`rig_file`] says what stands where, [`serial`] opens their lines, [`place`] runs the suites from the shell's prompt,
//! [`load`] sends kernels to a chainloader, and [`results`] and [`page`] write it down.

#![forbid(unsafe_code)]

pub mod board;
pub mod board_rig;
pub mod bootargs;
pub mod console;
pub mod load;
pub mod orders;
pub mod page;
pub mod place;
pub mod pty;
pub mod qemu;
pub mod results;
pub mod rig;
pub mod rig_file;
pub mod sealed;
pub mod serial;
pub mod suite;
pub mod tap;
pub mod verdict;
