//! The owned part of a thread: what a CPU needs to run it.
//!
//! A `Box<Task>` is held by exactly one of the CPU that runs it, a run queue, or its thread's parking place. Holding it is the
//! right to touch it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::sync::atomic::Ordering;
use core::task::{Context, Poll};

use halyard_cell::{FutureSlot, Linked};

use crate::fs::descriptors::DescriptorTable;
use crate::ipc::channel::{self, Owed, Waiting};
use crate::machine::UserContext;
use crate::mm::AddressSpace;
use crate::process::signal;
use crate::process::thread::Thread;
use crate::sched::run_queue::{Policy, Schedulable};
use crate::time::Instant;
use crate::{Errno, Result};

/// The most bytes that the future of a waiting call may take.
pub const CALL_BYTES: usize = 512;

/// The owned part of a thread.
pub struct Task {
    /// Registers.
    pub context: UserContext,
    /// The shared part.
    pub thread: Arc<Thread>,
    /// The address space it runs in: its process's, but for a moment in exec.
    pub space: Arc<AddressSpace>,
    /// The descriptors it uses: its process's.
    pub files: Arc<DescriptorTable>,
    /// When it was given the CPU.
    started: Instant,
    /// What it takes to make the call in progress again after a signal.
    pub restart: Restart,
    /// The channel exchange that it waits in.
    pub(crate) exchange: Option<Waiting>,
    /// The call that it serves: whom it owes a reply.
    pub(crate) owed: Option<Owed>,
    /// Counts its calls over channels, so that a reply that comes too late finds that.
    pub(crate) ticket: u64,
    /// The call that it waits in.
    call: FutureSlot<CALL_BYTES, Result<usize>>,
    next: Option<Box<Task>>,
}

/// What it takes to make a system call again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restart {
    /// x0 as the program gave it; the result has overwritten it by then.
    pub x0: u64,
    /// What the call that has just failed wants: one of the internal errors of `process::signal`, which delivery settles
    /// before the program runs on.
    pub wish: Option<Errno>,
}

impl Task {
    /// A task for `thread` that starts as `context` says.
    #[must_use]
    pub fn new(
        context: UserContext,
        thread: Arc<Thread>,
        space: Arc<AddressSpace>,
        files: Arc<DescriptorTable>,
    ) -> Task {
        let (started, restart) = (Instant::default(), Restart::default());
        Task {
            context,
            thread,
            space,
            files,
            started,
            restart,
            exchange: None,
            owed: None,
            ticket: 0,
            call: FutureSlot::new(),
            next: None,
        }
    }

    /// It has been given the CPU.
    pub fn start_clock(&mut self, now: Instant) {
        self.started = now;
    }

    /// Nanoseconds since it was given the CPU.
    #[must_use]
    pub fn ran(&self, now: Instant) -> u64 {
        now.since(self.started)
    }

    /// It is about to lose the CPU: charges what it used to its thread and process.
    pub fn stop_clock(&mut self, now: Instant) {
        let ran = self.ran(now);
        self.started = now;
        // Only the holder of the task writes it.
        let before = self.thread.cpu_time.load(Ordering::Relaxed);
        self.thread
            .cpu_time
            .store(before.wrapping_add(ran), Ordering::Relaxed);
        self.thread
            .process
            .times
            .own
            .fetch_add(ran, Ordering::Relaxed);
    }

    /// Whether it waits in a call.
    #[inline]
    #[must_use]
    pub fn blocked(&self) -> bool {
        !self.call.is_empty()
    }

    /// Makes the task wait in `call`, whose result becomes the result of the system call.
    #[inline]
    pub fn wait_in<F: Future<Output = Result<usize>> + Send + 'static>(&mut self, call: F) {
        self.call.emplace(call);
    }

    /// Polls the call it waits in; Ready leaves the slot empty.
    pub fn poll_call(&mut self, context: &mut Context<'_>) -> Poll<Result<usize>> {
        self.call.poll(context)
    }

    /// Drops the call it waits in, undone.
    pub fn abandon_call(&mut self) {
        self.call.clear();
        if self.exchange.is_some() {
            channel::abandon(self);
        }
    }

    /// Gives the program `errno`. An internal one is kept until delivery has settled it.
    #[inline]
    pub fn fail(&mut self, errno: Errno) {
        self.context.regs.x[0] = errno.to_return() as u64;
        if signal::is_internal(errno) {
            self.restart.wish = Some(errno);
            self.thread.note_attention();
        }
    }
}

impl Linked for Task {
    fn link(&mut self) -> &mut Option<Box<Task>> {
        &mut self.next
    }
}

impl Schedulable for Task {
    #[inline]
    fn policy(&self) -> Policy {
        self.thread.schedule.policy()
    }
}
