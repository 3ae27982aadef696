//! wait4 and waitid: what a parent learns of its children.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::state::Process;
use super::table::Choice;
use super::thread::Thread;
use crate::Result;
use crate::kernel::Kernel;
use crate::process::signal::RESTART;
use crate::wait::{Interruption, wait_until};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By exit or exit_group with a code.
    Exited(u8),
    /// By a signal.
    Killed {
        /// Which.
        signal: u8,
        /// Whether its default action is to dump core. Halyard writes none, so the flag is never set in a status.
        core: bool,
    },
}

impl Status {
    /// The word that wait4 stores (wait(2), WIFEXITED and others).
    #[must_use]
    pub const fn to_word(self) -> i32 {
        match self {
            Status::Exited(code) => (code as i32) << 8,
            Status::Killed { signal, .. } => signal as i32,
        }
    }

    /// The exit code that a shell would show: the code, or 128 plus the signal.
    #[must_use]
    pub const fn shell_code(self) -> u8 {
        match self {
            Status::Exited(code) => code,
            Status::Killed { signal, .. } => 128 | signal,
        }
    }
}

/// What happened to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEvent {
    /// It ended.
    Ended(Status),
    /// It was stopped by a signal.
    Stopped(u8),
    /// It was continued by SIGCONT.
    Continued,
}

impl WaitEvent {
    /// The word that wait4 stores.
    #[must_use]
    pub const fn to_word(self) -> i32 {
        match self {
            WaitEvent::Ended(status) => status.to_word(),
            WaitEvent::Stopped(signal) => (signal as i32) << 8 | 0x7f,
            WaitEvent::Continued => 0xffff,
        }
    }

    /// `si_code` and `si_status` of waitid's siginfo and of SIGCHLD (CLD_EXITED and others).
    #[must_use]
    pub const fn to_siginfo(self) -> (i32, i32) {
        match self {
            WaitEvent::Ended(Status::Exited(code)) => (1, code as i32),
            WaitEvent::Ended(Status::Killed {
                signal,
                core: false,
            }) => (2, signal as i32),
            WaitEvent::Ended(Status::Killed { signal, core: true }) => (3, signal as i32),
            WaitEvent::Stopped(signal) => (5, signal as i32),
            WaitEvent::Continued => (6, 18),
        }
    }
}

/// Which events a wait is for, and how it looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// WEXITED; wait4 always.
    pub ended: bool,
    /// WUNTRACED, WSTOPPED.
    pub stopped: bool,
    /// WCONTINUED.
    pub continued: bool,
    /// Not WNOWAIT: the event is consumed.
    pub take: bool,
}

impl Options {
    const fn accepts(self, event: WaitEvent) -> bool {
        match event {
            WaitEvent::Ended(_) => self.ended,
            WaitEvent::Stopped(_) => self.stopped,
            WaitEvent::Continued => self.continued,
        }
    }
}

/// An event of `parent`'s children, if there is one now. ECHILD: no such child.
pub fn try_wait(
    kernel: &Kernel,
    parent: &Process,
    choice: Choice,
    options: Options,
) -> Result<Option<(Arc<Process>, WaitEvent)>> {
    let found = kernel.processes.child_event(
        parent.pid,
        choice,
        |event| options.accepts(event),
        options.take,
    )?;
    if let Some((child, WaitEvent::Ended(_))) = &found
        && options.take
    {
        let times =
            child.times.own.load(Ordering::Relaxed) + child.times.children.load(Ordering::Relaxed);
        parent.times.children.fetch_add(times, Ordering::Relaxed);
    }
    Ok(found)
}

/// Waits for an event of the children. Interrupted by a signal: restarted if the handler says so.
pub async fn wait(
    thread: &Arc<Thread>,
    choice: Choice,
    options: Options,
) -> Result<(Arc<Process>, WaitEvent)> {
    let kernel = thread.kernel();
    let process = &thread.process;
    let attempt = || try_wait(kernel, process, choice, options).transpose();
    match wait_until(thread, &process.child_changed, None, attempt).await {
        Ok(outcome) => outcome,
        Err(Interruption::Signal) => Err(RESTART),
        Err(other) => Err(other.errno()),
    }
}
