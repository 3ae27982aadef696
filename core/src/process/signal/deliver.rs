//! Delivery: what a thread does about its signals before it goes on in user mode.

use super::action::{Action, Response};
use super::info::{SI_USER, SignalInfo};
use super::number::{Signal, SignalSet};
use super::send::{force, is_immune};
use super::{frame, mask, restart, stop};
use crate::kernel::Kernel;
use crate::log::Event;
use crate::machine::UserAddr;
use crate::process::exit::ExitRequest;
use crate::process::thread::Thread;
use crate::process::wait::Status;
use crate::sched::task::Task;

/// What a thread that has looked at its signals is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, as its registers say.
    Run,
    /// End.
    Exit(ExitRequest),
    /// Park until it is called, then look again.
    Stop,
}

/// Looks at everything that [`Thread::demand_attention`] may have meant: the end of the process, an exec by another
/// thread, a stop, signals. Called by the kernel's loop for the task it is about to run; does not wait.
pub fn deliver(kernel: &Kernel, task: &mut Task) -> Verdict {
    // Cleared before looking: what comes later sets it again.
    task.thread.clear_attention();
    if let Some(request) = task.thread.process.doomed(task.thread.tid) {
        return Verdict::Exit(request);
    }
    loop {
        if task.thread.process.signals.is_stopped() && stop::park(kernel, &task.thread) {
            return Verdict::Stop;
        }
        let times_continued = task.thread.process.signals.times_continued();
        let Some((signal, info)) = next(&task.thread) else {
            restart::settle(task, None);
            mask::end_masked_wait(&task.thread);
            return Verdict::Run;
        };
        match respond(kernel, &task.thread, signal) {
            Response::Ignore => {}
            Response::Stop => stop::begin(&task.thread, signal, times_continued),
            Response::Handle(action) => enter_handler(kernel, task, signal, &info, &action),
            Response::End(_) => {
                log_fault(kernel, task, signal, &info);
                let status = Status::Killed {
                    signal: signal.number(),
                    core: false,
                };
                return Verdict::Exit(ExitRequest::Process(status));
            }
        }
    }
}

/// `signal` ends the process: if an instruction of its own is the cause, the log says so.
#[cold]
fn log_fault(kernel: &Kernel, task: &Task, signal: Signal, info: &SignalInfo) {
    // Codes of what a program sent are not above 0 (sigaction(2)).
    if !SignalSet::SYNCHRONOUS.contains(signal) || info.code <= SI_USER {
        return;
    }
    let process = &task.thread.process;
    let [address, ..] = info.fields;
    kernel.log(Event::Fault {
        pid: process.pid,
        name: &process.name.lock(),
        signal: signal.number(),
        address: UserAddr(address as usize),
        pc: task.context.regs.pc,
    });
}

/// Takes the next signal.
#[inline]
fn next(thread: &Thread) -> Option<(Signal, SignalInfo)> {
    mask::take_awaited(thread, SignalSet(!thread.signals.mask().0))
}

/// What to do with `signal`, all things considered.
#[inline]
fn respond(kernel: &Kernel, thread: &Thread, signal: Signal) -> Response {
    let process = &thread.process;
    let response = process.signals.action_for_delivery(signal).response(signal);
    match response {
        Response::Ignore | Response::Handle(_) => response,
        Response::Stop | Response::End(_) if is_immune(process, signal) => Response::Ignore,
        // The terminal's stops do nothing where nobody would undo them; SIGSTOP always stops.
        Response::Stop
            if signal != Signal::STOP && stop::is_orphaned(kernel, process.group(), None) =>
        {
            Response::Ignore
        }
        Response::Stop | Response::End(_) => response,
    }
}

fn enter_handler(
    kernel: &Kernel,
    task: &mut Task,
    signal: Signal,
    info: &SignalInfo,
    action: &Action,
) {
    restart::settle(task, Some(action));
    let blocked = task.thread.signals.mask();
    let comes_back = task.thread.signals.take_saved_mask().unwrap_or(blocked);
    match frame::enter(kernel, task, (signal, info), action, comes_back) {
        Ok(()) => mask::set_mask(&task.thread, blocked.union(action.blocks(signal))),
        Err(_) => {
            mask::set_mask(&task.thread, comes_back);
            force(
                &task.thread,
                Signal::SEGV,
                SignalInfo::kernel(),
                signal == Signal::SEGV,
            );
        }
    }
}
