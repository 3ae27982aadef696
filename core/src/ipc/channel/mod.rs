//! Channels: a call to a server and its reply, with up to eight words in registers and a descriptor (docs/ipc/channels.md).
//!
//! Owns who waits on a channel. No futures and no wait queues: a thread that calls or receives parks with its part of the
//! exchange noted in its place ([`Exchange`]), and its peer completes it: it takes the task out of the place, writes the
//! message into its registers, and runs it at once or queues it. Lock level 3; under it the places of threads, and the world
//! of inheritance, which comes last of its level.
//!
//! Who completes an exchange holds the channel's lock while it takes the thread off the channel's lists; who withdraws from
//! one does too. So a thread that looks for itself in the lists is there, or was completed, or is a caller that is being served:
//! that one is found by its place and [`Task::ticket`] alone.
//!
//! [`Task::ticket`]: crate::sched::task::Task

mod commands;
mod end;
mod exchange;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use halyard_cell::SpinLock;

use crate::counters::{Kind, Live};
use crate::process::thread::Thread;
use crate::wait::WaitQueue;

pub(crate) use commands::{call, client, create, receive, reply, reply_receive};
pub use end::{ClientEnd, ServerEnd};
pub(crate) use exchange::{Delivery, Letter, Owed, Waiting, abandon, interrupt, settle};
pub use exchange::{Exchange, WORDS};

/// What both ends share.
pub struct Channel {
    state: SpinLock<State>,
    /// Told when a call is queued: for poll.
    called: WaitQueue,
    /// Told when the server's end has gone: for poll.
    closed: WaitQueue,
    _live: Live,
}

struct State {
    /// Whether there is a server's end.
    open: bool,
    /// Threads that wait in receive; the one that came last is taken first, as its memory is warm.
    servers: Vec<Arc<Thread>>,
    /// Calls that no server has taken, in the order of their arrival.
    calls: VecDeque<Queued>,
}

/// A call that no server has taken.
struct Queued {
    caller: Arc<Thread>,
    ticket: u64,
    letter: Letter,
}

impl Channel {
    fn new() -> Arc<Channel> {
        Arc::new(Channel {
            state: SpinLock::new(State {
                open: true,
                servers: Vec::new(),
                calls: VecDeque::new(),
            }),
            called: WaitQueue::new(),
            closed: WaitQueue::new(),
            _live: Live::new(Kind::Channel),
        })
    }
}

impl State {
    /// Takes the call of the highest rank that came first.
    fn next_call(&mut self) -> Option<Queued> {
        if self.calls.len() <= 1 {
            return self.calls.pop_front();
        }
        let mut best = (0, 0);
        for (at, call) in self.calls.iter().enumerate() {
            let rank = call.caller.schedule.policy().rank();
            if rank > best.1 {
                best = (at, rank);
            }
        }
        self.calls.remove(best.0)
    }

    /// Takes `thread` off the list of those who receive.
    fn remove_server(&mut self, thread: &Arc<Thread>) -> Option<Arc<Thread>> {
        let at = self.servers.iter().position(|it| Arc::ptr_eq(it, thread))?;
        Some(self.servers.remove(at))
    }

    /// Takes the call that `thread` makes off the list.
    fn remove_call(&mut self, thread: &Arc<Thread>) -> Option<Queued> {
        let at = self
            .calls
            .iter()
            .position(|it| Arc::ptr_eq(&it.caller, thread))?;
        self.calls.remove(at)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;

#[cfg(all(test, loom))]
mod loom_tests;
