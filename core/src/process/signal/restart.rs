//! What becomes of a call that a signal interrupted (signal(7), "Interruption of system calls and library functions by
//! signal handlers"). Owns the internal error numbers by which a call says what it wants; no program ever sees one.
//!
//! An arm64 call is made anew by giving x0 its old value and setting the PC back to the `svc` (four bytes).

use super::action::{Action, ActionFlags};
use crate::Errno;
use crate::ipc::channel;
use crate::sched::task::Task;

/// Internal error numbers are above all that programs know (as Linux has them, include/linux/errno.h).
const FIRST_INTERNAL: u16 = 512;

const fn internal(code: u16) -> Errno {
    match Errno::from_code(code) {
        Some(errno) => errno,
        None => Errno::EINTR,
    }
}

/// Made anew, unless a handler without SA_RESTART ran: then EINTR.
pub const RESTART: Errno = internal(512);
/// Made anew, whatever ran.
pub const RESTART_ALWAYS: Errno = internal(513);
/// Made anew, unless a handler ran: then EINTR.
pub const RESTART_NO_HANDLER: Errno = internal(514);
/// As [`RESTART_NO_HANDLER`], but the call made is restart_syscall(2), which goes on with the sleep that
/// [`super::ThreadSignals::restart_sleep`] noted.
pub const RESTART_SLEEP: Errno = internal(516);
/// As [`RESTART_NO_HANDLER`], and the call made anew finds the deadline that [`super::ThreadSignals::keep_deadline`] noted,
/// so that it waits no longer in all than it was asked to.
pub const RESTART_TIMED: Errno = internal(517);

/// `__NR_restart_syscall` of arm64.
const RESTART_SYSCALL: u64 = 128;

/// The length of the `svc` instruction.
const SVC_BYTES: u64 = 4;

/// Whether it is one of the errors above, which must not reach a program.
#[inline]
#[must_use]
pub const fn is_internal(errno: Errno) -> bool {
    errno.code() >= FIRST_INTERNAL
}

/// Settles the interrupted call, if there is one: `handler` is the action whose handler is about to run, None if the
/// thread goes on without one.
pub(super) fn settle(task: &mut Task, handler: Option<&Action>) {
    if let Some(action) = handler
        && task.exchange.is_some()
    {
        channel::interrupt(task, action.flags().contains(ActionFlags::RESTART));
        return;
    }
    let Some(wish) = task.restart.wish.take() else {
        return;
    };
    let again = match handler {
        None => true,
        Some(action) => {
            wish == RESTART_ALWAYS
                || wish == RESTART && action.flags().contains(ActionFlags::RESTART)
        }
    };
    if !again {
        task.thread.signals.forget_restart();
        task.fail(Errno::EINTR);
        return;
    }
    let regs = &mut task.context.regs;
    regs.x[0] = task.restart.x0;
    regs.pc = regs.pc.wrapping_sub(SVC_BYTES);
    if wish == RESTART_SLEEP {
        regs.x[8] = RESTART_SYSCALL;
    }
}
