//! Sending signals: to a thread, a process, a group; who may; what a program may set a signal's action to.
//!
//! Nothing here waits. Real-time signals are bounded by RLIMIT_SIGPENDING for each thread and each process; Linux bounds them
//! for each user.

use super::action::Action;
use super::info::SignalInfo;
use super::mask::tell_one;
use super::number::{Signal, SignalSet};
use super::stop;
use crate::kernel::Kernel;
use crate::process::Pid;
use crate::process::credentials::Credentials;
use crate::process::limits::Resource;
use crate::process::state::Process;
use crate::process::table::INIT;
use crate::process::thread::Thread;
use crate::process::wait::Status;
use crate::{Errno, Result};

/// Sends `signal` to any one thread of `process` that does not block it. A process that has ended takes it and does
/// nothing. EAGAIN: its queue of real-time signals is full (not for what the kernel or kill(2) sends).
pub fn send_to_process(process: &Process, signal: Signal, info: SignalInfo) -> Result<()> {
    if !has_effect(process, None, signal) {
        return Ok(());
    }
    if signal == Signal::KILL {
        process.begin_exit(Status::Killed {
            signal: signal.number(),
            core: false,
        });
        return Ok(());
    }
    process
        .signals
        .pending
        .post(signal, info, queue_limit(process, signal), info.code >= 0)?;
    tell_one(process, signal);
    process.signal_watch.tell(signal);
    Ok(())
}

/// Sends `signal` to `thread`. SIGKILL ends its process; SIGSTOP and SIGCONT too concern the whole process. EAGAIN: its
/// queue of real-time signals is full.
pub fn send_to_thread(thread: &Thread, signal: Signal, info: SignalInfo) -> Result<()> {
    let process = &thread.process;
    if !has_effect(process, Some(thread), signal) {
        return Ok(());
    }
    if signal == Signal::KILL {
        process.begin_exit(Status::Killed {
            signal: signal.number(),
            core: false,
        });
        return Ok(());
    }
    thread
        .signals
        .pending
        .post(signal, info, queue_limit(process, signal), info.code >= 0)?;
    if thread.signals.wants(signal) {
        thread.demand_attention();
    }
    process.signal_watch.tell(signal);
    Ok(())
}

/// Sends the signal of a timer to `thread`, or else to `process`; true if it pends now and did not before: then its
/// taking will be told to the timer. Each timer has one at most in a queue, so no limit bounds them.
pub fn send_for_timer(
    process: &Process,
    thread: Option<&Thread>,
    signal: Signal,
    info: SignalInfo,
) -> bool {
    if !has_effect(process, thread, signal) {
        return false;
    }
    if signal == Signal::KILL {
        process.begin_exit(Status::Killed {
            signal: signal.number(),
            core: false,
        });
        return false;
    }
    let pending = thread.map_or(&process.signals.pending, |thread| &thread.signals.pending);
    let added = pending.post(signal, info, usize::MAX, false);
    if added != Ok(true) {
        return false;
    }
    match thread {
        Some(thread) if thread.signals.wants(signal) => thread.demand_attention(),
        Some(_) => {}
        None => tell_one(process, signal),
    }
    process.signal_watch.tell(signal);
    true
}

/// Sends `signal` from the kernel to all processes of `group`: the terminal's keys, orphaned groups. Nobody's permission
/// counts. ESRCH: there is no such group.
pub fn send_to_group(kernel: &Kernel, group: Pid, signal: Signal, info: SignalInfo) -> Result<()> {
    let mut found = Err(Errno::ESRCH);
    for member in kernel.processes.group(group) {
        send_to_process(&member, signal, info)?;
        found = Ok(());
    }
    found
}

/// Sends `signal` to the calling thread itself for something that it did: SIGPIPE of a write that nobody reads.
pub fn raise_current(thread: &Thread, signal: Signal) {
    let process = &thread.process;
    let info = SignalInfo::sent(super::info::SI_USER, process.pid, process.credentials().uid);
    // A signal of the kernel's never finds the queue full.
    let _ = send_to_thread(thread, signal, info);
}

fn queue_limit(process: &Process, signal: Signal) -> usize {
    if !signal.is_real_time() {
        return 0;
    }
    let limit = process.limits.get(Resource::PENDING_SIGNALS).soft;
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Does what `signal` does on being sent (SIGCONT and stops undo each other), and tells whether it is to pend: not if it
/// is ignored and not blocked (a blocked one pends, for its action may change), nor if init has set nothing for it.
fn has_effect(process: &Process, thread: Option<&Thread>, signal: Signal) -> bool {
    if signal == Signal::CONT {
        stop::resume(process);
    } else if SignalSet::STOPS.contains(signal) && !is_immune(process, signal) {
        stop::discard(process, Signal::CONT.set());
    }
    let action = process.signals.action(signal);
    if !action.ignores(signal) && !is_immune(process, signal) {
        return true;
    }
    is_blocked(process, thread, signal)
}

/// Whether `signal` does nothing to `process` because that is init and has set no handler (kill(2), "The only signals that
/// can be sent to process ID 1").
pub(super) fn is_immune(process: &Process, signal: Signal) -> bool {
    process.pid == INIT
        && !process.signals.is_mortal()
        && process.signals.action(signal).is_default()
}

/// Whether the thread, or else the oldest thread of the process, blocks `signal`.
fn is_blocked(process: &Process, thread: Option<&Thread>, signal: Signal) -> bool {
    if let Some(thread) = thread {
        return thread.signals.mask().contains(signal);
    }
    let mut blocked = None;
    process.for_each_thread(|thread| {
        blocked.get_or_insert(thread.signals.mask().contains(signal));
    });
    blocked.unwrap_or(false)
}

/// Whether a process with `own` ids in `session` may send `signal` to `target` (kill(2)). EPERM.
pub fn check_permission(
    own: &Credentials,
    session: Pid,
    target: &Process,
    signal: Option<Signal>,
) -> Result<()> {
    let other = target.credentials();
    let same_user = [own.euid, own.uid]
        .into_iter()
        .any(|uid| uid == other.uid || uid == other.suid);
    if own.privileged()
        || same_user
        || (signal == Some(Signal::CONT) && target.session() == session)
    {
        return Ok(());
    }
    Err(Errno::EPERM)
}

/// sigaction(2): replaces the action for `signal` and returns the old one. What pends and is ignored from now on is
/// forgotten, blocked or not. EINVAL: SIGKILL and SIGSTOP.
pub fn set_action(process: &Process, signal: Signal, action: Action) -> Result<Action> {
    if SignalSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let action = action.sanitised();
    let before = process.signals.replace_action(signal, action);
    if action.ignores(signal) {
        stop::discard(process, signal.set());
    }
    process.posix_timers.on_release(signal.set());
    Ok(before)
}

/// Makes `thread`, the caller's, take `signal` for what its program did: a fault, or a frame that cannot be used. Blocked
/// or ignored, it ends the process; so it does if `fatal`.
pub(super) fn force(thread: &Thread, signal: Signal, info: SignalInfo, fatal: bool) {
    let process = &thread.process;
    let mask = thread.signals.mask();
    let blocked = mask.contains(signal);
    if fatal || blocked || process.signals.action(signal).is_ignore() {
        process.signals.replace_action(signal, Action::default());
    }
    if process.signals.action(signal).is_default() {
        process.signals.make_mortal();
    }
    if blocked {
        thread.signals.store_mask(mask.minus(signal.set()));
    }
    // A standard signal always finds room.
    let _ = thread.signals.pending.post(signal, info, 0, true);
    thread.note_attention();
}
