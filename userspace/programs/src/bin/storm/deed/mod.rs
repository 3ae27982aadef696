//! What a worker does: one deed a mechanism, each with a partner or a crowd, each good to be killed in.
//!
//! Errors are of no interest here, nor are calls that a kernel has not: what counts is what is left in the end.

mod event;
mod memory;
mod pipe;
mod posix;
mod process;
mod socket;
mod sysv;

use halyard_rt::process::{kill, spawn, wait_pid};
use halyard_rt::{fd, prelude::*, wild};

use crate::chance::Chance;

/// Every deed.
pub(crate) const ALL: &[fn(&mut Chance)] = &[
    pipe::traffic,
    pipe::fifo,
    pipe::in_pipe,
    event::counters,
    event::timers,
    event::signals,
    memory::futex_partners,
    memory::robust_owner,
    memory::inheriting_owner,
    memory::memfd,
    posix::queues,
    posix::channels,
    process::threads,
    process::orphans,
    process::exec_itself,
    socket::descriptors_in_flight,
    socket::listeners,
    socket::datagrams,
    sysv::messages,
    sysv::segments,
    sysv::semaphores,
];

/// Removes what outlives processes.
pub(crate) fn clean_up() {
    sysv::clean_up();
    posix::clean_up();
    pipe::clean_up();
}

/// A call with the arguments given and the rest zero.
fn call<const N: usize>(nr: usize, args: [usize; N]) -> Result<usize> {
    let mut all = [0; 6];
    all.iter_mut().zip(args).for_each(|(all, arg)| *all = arg);
    wild::call(nr, all)
}

/// A descriptor that a call made.
fn made<const N: usize>(nr: usize, args: [usize; N]) -> Option<fd::Fd> {
    call(nr, args).ok().map(|fd| fd::Fd::from_raw(fd as i32))
}

/// Runs `one` in a child and `other` here, then takes the child in.
fn with_partner(one: impl FnOnce(), other: impl FnOnce()) {
    let partner = spawn(|| {
        one();
        0
    });
    other();
    if let Ok(pid) = partner {
        let _ = kill(pid, halyard_rt::signal::SIGKILL);
        let _ = wait_pid(pid);
    }
}

/// The current directory, for calls that take one.
const HERE: usize = halyard_rt::raw::general::AT_FDCWD as isize as usize;
