//! Stopping and going on: job control as far as signals go (signal(7), credentials(7)).
//!
//! A process stops when all its threads have parked; then its parent is told. What a thread was doing in the kernel goes
//! on unseen when it is made to run again.

use super::children;
use super::mask::offer;
use super::number::{Signal, SignalSet};
use super::process_signals::Resumed;
use crate::kernel::Kernel;
use crate::process::Pid;
use crate::process::state::Process;
use crate::process::table::{INIT, Life};
use crate::process::thread::Thread;
use crate::process::wait::WaitEvent;

/// Forgets what pends of `signals` for the process and all its threads.
pub(super) fn discard(process: &Process, signals: SignalSet) {
    process.signals.pending.discard(signals);
    process.for_each_thread(|thread| thread.signals.pending.discard(signals));
    process.posix_timers.on_discard(signals);
}

/// SIGCONT has been sent: what would stop the process is forgotten, and if it is stopped it goes on, whether SIGCONT is
/// blocked, ignored or neither.
pub(super) fn resume(process: &Process) {
    discard(process, SignalSet::STOPS);
    let mut kernel = None;
    let resumed = process.signals.resume(|| {
        process.for_each_thread(|thread| {
            kernel = Some(thread.kernel());
            if thread.signals.is_stopped() {
                thread.signals.set_stopped(false);
                thread.demand_attention();
            }
        });
    });
    if let (Some(kernel), Resumed::Stopped) = (kernel, resumed) {
        children::report(kernel, process, WaitEvent::Continued);
    }
}

/// Stops the process by `signal`, unless SIGCONT came since [`ProcessSignals::times_continued`] was `times`. The calling
/// thread parks when it looks again.
///
/// [`ProcessSignals::times_continued`]: super::ProcessSignals::times_continued
pub(super) fn begin(thread: &Thread, signal: Signal, times: u32) {
    let process = &thread.process;
    if process.signals.try_stop(signal, times) {
        process.for_each_thread(|other| {
            if other.tid != thread.tid {
                other.demand_attention();
            }
        });
    }
}

/// The calling thread is about to park because its process is stopped. The last one tells the parent. False: SIGCONT came
/// just now, and it is not to park.
pub(super) fn park(kernel: &Kernel, thread: &Thread) -> bool {
    // First the flag, then a second look, as `resume` ends the stop first and looks at the flag then: one sees the other.
    thread.signals.set_stopped(true);
    if !thread.process.signals.is_stopped() {
        thread.signals.set_stopped(false);
        return false;
    }
    tell_if_all_stopped(kernel, &thread.process);
    // It looks again as soon as it runs, whoever makes it run.
    thread.note_attention();
    true
}

fn tell_if_all_stopped(kernel: &Kernel, process: &Process) {
    let all_stopped = || {
        let mut all = true;
        process.for_each_thread(|thread| all &= thread.signals.is_stopped());
        all
    };
    if let Some(signal) = process.signals.stop_to_tell(all_stopped) {
        children::report(kernel, process, WaitEvent::Stopped(signal.number()));
    }
}

/// A thread of `process` has gone, and others are left: what it was told of is for them, and the stop that waited for it
/// alone is complete.
pub fn on_thread_exit(kernel: &Kernel, process: &Process) {
    let pending = process.signals.pending.set();
    if !pending.is_empty() {
        offer(process, pending);
    }
    if process.signals.is_stopped() {
        tell_if_all_stopped(kernel, process);
    }
}

/// Whether no member of `group` has a parent outside it in the same session: then nobody would make it go on, and the
/// terminal's stops do nothing to it (POSIX, 3.250 Orphaned Process Group). `leaving`, and what `leaving` is the parent of,
/// count as gone.
pub fn is_orphaned(kernel: &Kernel, group: Pid, leaving: Option<Pid>) -> bool {
    kernel
        .processes
        .group(group)
        .all(|member| !is_anchor(kernel, &member, leaving))
}

/// Whether `member` keeps its group from being orphaned.
pub(super) fn is_anchor(kernel: &Kernel, member: &Process, leaving: Option<Pid>) -> bool {
    let parent = member.parent();
    if parent == INIT
        || parent == 0
        || leaving.is_some_and(|pid| pid == member.pid || pid == parent)
    {
        return false;
    }
    if kernel.processes.life(member.pid) != Some(Life::Alive) {
        return false;
    }
    let parent = kernel.processes.process(parent);
    parent.is_some_and(|parent| {
        parent.group() != member.group() && parent.session() == member.session()
    })
}
