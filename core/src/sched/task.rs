//! The owned part of a thread: what a CPU needs to run it.
//!
//! A `Box<Task>` is held by exactly one of the CPU that runs it, a run queue, or its thread's parking place. Holding it is the
//! right to touch it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::task::{Context, Poll};

use halyard_cell::{FutureSlot, Linked};

use crate::machine::UserContext;
use crate::mm::AddressSpace;
use crate::process::thread::Thread;
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
    /// The number (x8) and first argument (x0) of the call in progress, for its restart after a signal.
    pub restart: Restart,
    /// The call that it waits in.
    call: FutureSlot<CALL_BYTES, Result<usize>>,
    next: Option<Box<Task>>,
}

/// What it takes to make a system call again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restart {
    /// x0 as the program gave it; the result has overwritten it by then.
    pub x0: u64,
    /// Whether the last trap was a system call whose result is in x0.
    pub in_call: bool,
}

impl Task {
    /// A task for `thread` that starts as `context` says.
    #[must_use]
    pub fn new(context: UserContext, thread: Arc<Thread>, space: Arc<AddressSpace>) -> Task {
        Task { context, thread, space, restart: Restart::default(), call: FutureSlot::new(), next: None }
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
    }

    /// Gives the program `errno`.
    #[inline]
    pub fn fail(&mut self, errno: Errno) {
        self.context.regs.x[0] = (errno.0 as i64).wrapping_neg() as u64;
    }
}

impl Linked for Task {
    fn link(&mut self) -> &mut Option<Box<Task>> {
        &mut self.next
    }
}
