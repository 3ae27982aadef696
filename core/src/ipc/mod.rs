//! Inter-process communication: one file a mechanism.

pub mod fifo;
pub mod pipe;
pub mod futex;
