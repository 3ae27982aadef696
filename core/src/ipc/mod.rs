//! Inter-process communication: one file a mechanism.

pub mod fifo;
pub mod futex;
pub mod pipe;
