//! The bench: a kernel on an emulated machine ([`kernel`]), and programs under test that run on it ([`program`]).

#[cfg(loom)]
pub(crate) mod interleaved;
pub(crate) mod kernel;

// The model checker has programs of its own.
#[cfg(not(loom))]
mod program;

#[cfg(not(loom))]
pub(crate) use program::*;
