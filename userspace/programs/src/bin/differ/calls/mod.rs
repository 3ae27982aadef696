//! The calls that steps are made of, by mechanism.

mod event;
mod fifo;
mod file;
mod memory;
mod mqueue;
mod pipe;
mod signal;
mod socket;
mod sysv;

use crate::op::Family;

/// Every family.
pub(crate) const ALL: &[&Family] = &[
    &pipe::FAMILY,
    &fifo::FAMILY,
    &signal::FAMILY,
    &event::FAMILY,
    &memory::FAMILY,
    &sysv::MESSAGES,
    &sysv::SEMAPHORES,
    &sysv::SEGMENTS,
    &mqueue::FAMILY,
    &socket::FAMILY,
];

pub(crate) use sysv::remove;

/// Removes what a program leaves in the world: names, and what is found by keys.
pub(crate) fn clean_up(actor: &crate::actor::Actor) {
    fifo::clean_up(actor);
    sysv::clean_up(actor);
    mqueue::clean_up(actor);
}
