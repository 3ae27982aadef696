//! What a board and a desk say to each other over a serial line beside text.
//!
//! Both ends are built from this one crate: the kernel and the chainloader on the board, `xtask` and the test harness at the
//! desk. Pure arithmetic on bytes: no allocation, no device, no clock.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod checksum;
pub mod frame;
pub mod load;
pub mod result;
pub mod rzcobs;
pub mod split;
