//! The socket calls (socket(2) and its kin), for Unix-domain sockets.
//!
//! `address` reads and writes names, `connect` makes and joins sockets, `message` reads message headers, `send` and
//! `receive` move bytes and messages, `control` has what comes besides bytes, `option` getsockopt and setsockopt.

mod address;
mod connect;
mod control;
mod many;
mod message;
mod option;
mod receive;
mod send;

pub(super) use connect::{
    accept, accept4, bind, connect, getpeername, getsockname, listen, shutdown, socket, socketpair,
};
pub(super) use many::{recvmmsg, sendmmsg};
pub(super) use option::{getsockopt, setsockopt};
pub(super) use receive::{read, readv, recvfrom, recvmsg};
pub(super) use send::{sendmsg, sendto, write, writev};

use alloc::sync::Arc;

use super::Call;
use super::transfer::restartable;
use crate::Errno;
use crate::fs::descriptors::DescriptorTable;
use crate::ipc::unix::Ucred;
use crate::kernel::Kernel;
use crate::mm::AddressSpace;
use crate::process::state::Process;
use crate::process::thread::Thread;
use crate::time::Instant;
use crate::wait::Interruption;

/// Whose call it is: what stays when the caller waits.
#[derive(Clone)]
struct Caller {
    thread: Arc<Thread>,
    space: Arc<AddressSpace>,
    files: Arc<DescriptorTable>,
    /// One more than the greatest descriptor it may have.
    limit: usize,
}

/// The same, borrowed while nothing waits.
#[derive(Clone, Copy)]
struct Party<'a> {
    kernel: &'static Kernel,
    process: &'a Arc<Process>,
    space: &'a Arc<AddressSpace>,
    files: &'a DescriptorTable,
    limit: usize,
}

impl Caller {
    fn of(call: &Call<'_>) -> Caller {
        Caller {
            thread: Arc::clone(call.thread()),
            space: Arc::clone(call.space()),
            files: Arc::clone(call.files()),
            limit: call.descriptor_limit(),
        }
    }

    fn party(&self) -> Party<'_> {
        Party {
            kernel: self.thread.kernel(),
            process: &self.thread.process,
            space: &self.space,
            files: &self.files,
            limit: self.limit,
        }
    }
}

impl<'a> Party<'a> {
    fn of(call: &'a Call<'_>) -> Party<'a> {
        Party {
            kernel: call.kernel,
            process: call.process(),
            space: call.space(),
            files: call.files(),
            limit: call.descriptor_limit(),
        }
    }
}

/// Who the caller is, as a connection keeps it: by its effective ids.
fn peer_identity(call: &Call<'_>) -> Ucred {
    let ids = call.process().credentials();
    Ucred {
        pid: call.process().pid as i32,
        uid: ids.euid,
        gid: ids.egid,
    }
}

/// Who the process is, as a message tells it that does not say itself: by its real ids.
fn sender_identity(process: &Process) -> Ucred {
    let ids = process.credentials();
    Ucred {
        pid: process.pid as i32,
        uid: ids.uid,
        gid: ids.gid,
    }
}

/// What an interrupted call returns that has done nothing. One with a time-out is never made anew (signal(7)).
fn interrupted(why: Interruption, deadline: Option<Instant>) -> Errno {
    match why {
        Interruption::TimedOut => Errno::EAGAIN,
        Interruption::Signal if deadline.is_some() => Errno::EINTR,
        other => restartable(other),
    }
}
