//! What a parent is told of its children by signals, and what the end of a process means for groups and terminals.

use super::action::ActionFlags;
use super::info::SignalInfo;
use super::number::Signal;
use super::send::{send_to_group, send_to_process};
use super::stop;
use crate::kernel::Kernel;
use crate::process::Pid;
use crate::process::state::Process;
use crate::process::table::INIT;
use crate::process::wait::WaitEvent;
use crate::time::NANOS_PER_SECOND;
use core::sync::atomic::Ordering;

/// USER_HZ: the clock of `si_utime`.
const TICK: u64 = NANOS_PER_SECOND / 100;

/// Sends `parent` the signal for what happened to `child`: SIGCHLD, unless the parent wants none; at its end the signal
/// that clone(2) was given for it.
pub fn notify_parent(parent: &Process, child: &Process, event: WaitEvent) {
    let action = parent.signals.action(Signal::CHLD);
    let signal = match event {
        WaitEvent::Ended(_) => exit_signal(child),
        WaitEvent::Stopped(_) | WaitEvent::Continued => {
            Some(Signal::CHLD).filter(|_| !action.flags().contains(ActionFlags::NOCLDSTOP))
        }
    };
    let Some(signal) = signal else { return };
    if signal == Signal::CHLD && action.is_ignore() {
        return;
    }
    let (code, status) = event.to_siginfo();
    let ticks = child.times.own.load(Ordering::Relaxed) / TICK;
    let info = SignalInfo::child(code, child.pid, child.credentials().uid, status, ticks);
    // A signal of the kernel's never finds the queue full.
    let _ = send_to_process(parent, signal, info);
}

/// The signal of the child's end. Init gets SIGCHLD for those it adopted, whatever their maker wanted.
fn exit_signal(child: &Process) -> Option<Signal> {
    if child.parent() == INIT {
        Some(Signal::CHLD)
    } else {
        child.signals.exit_signal()
    }
}

/// Whether `process` leaves no zombie: its parent ignores SIGCHLD or set SA_NOCLDWAIT (sigaction(2)), or has gone.
#[must_use]
pub fn parent_ignores_children(kernel: &Kernel, process: &Process) -> bool {
    if exit_signal(process) != Some(Signal::CHLD) {
        return false;
    }
    let parent = kernel.processes.process(process.parent());
    parent.is_none_or(|parent| {
        let action = parent.signals.action(Signal::CHLD);
        action.is_ignore() || action.flags().contains(ActionFlags::NOCLDWAIT)
    })
}

/// Notes a stop or continuation for the parent's wait, wakes it and signals it.
pub(super) fn report(kernel: &Kernel, process: &Process, event: WaitEvent) {
    match event {
        WaitEvent::Stopped(_) => kernel.processes.stopped.fetch_add(1, Ordering::SeqCst),
        WaitEvent::Continued => kernel.processes.stopped.fetch_sub(1, Ordering::SeqCst),
        WaitEvent::Ended(_) => 0,
    };
    kernel.processes.report(process.pid, event);
    if let Some(parent) = kernel.processes.process(process.parent()) {
        notify_parent(&parent, process, event);
        parent.child_changed.wake_all();
    }
}

/// The last thread of `process` has gone and its parent does not know yet: its timers end, its terminal hangs up if it
/// leads the session, groups that it kept from being orphaned get SIGHUP and SIGCONT if a member is stopped.
pub fn on_process_end(kernel: &'static Kernel, process: &Process) {
    process.signals.timers.cancel(kernel);
    process.posix_timers.clear();
    if process.session() == process.pid {
        kernel.console.session_ended(kernel, process.pid);
    }
    if process.signals.end_stop() {
        kernel.processes.stopped.fetch_sub(1, Ordering::SeqCst);
    }
    if kernel.processes.stopped.load(Ordering::SeqCst) != 0 {
        hang_up_orphans(kernel, process);
    }
}

fn hang_up_orphans(kernel: &Kernel, process: &Process) {
    let (group, session) = (process.group(), process.session());
    if stop::is_anchor(kernel, process, None) {
        hang_up_if_orphaned(kernel, group, process.pid);
    }
    for child in kernel.processes.children(process.pid) {
        if child.group() != group && child.session() == session {
            hang_up_if_orphaned(kernel, child.group(), process.pid);
        }
    }
}

/// Sends SIGHUP and SIGCONT to `group` if the end of `leaving` orphans it while a member is stopped (POSIX, _Exit()).
fn hang_up_if_orphaned(kernel: &Kernel, group: Pid, leaving: Pid) {
    let stopped =
        |member: alloc::sync::Arc<Process>| member.pid != leaving && member.signals.is_stopped();
    if !kernel.processes.group(group).any(stopped) {
        return;
    }
    if stop::is_orphaned(kernel, group, Some(leaving)) {
        // Both are the kernel's own: no queue is full.
        let _ = send_to_group(kernel, group, Signal::HUP, SignalInfo::kernel());
        let _ = send_to_group(kernel, group, Signal::CONT, SignalInfo::kernel());
    }
}
