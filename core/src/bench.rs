//! The bench: a kernel on an emulated machine ([`kernel`]), and programs that run on it: written step by step
//! ([`program`]), drawn by chance ([`actors`]), or under the model checker ([`interleaved`]).

#[cfg(not(loom))]
pub(crate) mod actors;
#[cfg(loom)]
pub(crate) mod interleaved;
#[cfg(not(loom))]
pub(crate) mod judged;
pub(crate) mod kernel;

#[cfg(not(loom))]
mod program;

#[cfg(not(loom))]
pub(crate) use program::*;
