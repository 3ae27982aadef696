//! Memory is out and a program touches a page that it was promised: who has most ends, so that the others go on.
//!
//! What programs leave in the kernel cannot take the last of RAM ([`crate::mm::Room`]), so it is pages of their own that
//! did, and these come back when their process ends. The one that asked waits for that and then asks again. One process
//! ends at a time: while any is ending nobody is chosen. Init is never chosen; nor are pages counted that others share
//! through an object, since they would not come back.

use core::fmt::Write;

use alloc::sync::Arc;

use super::state::Process;
use super::table::{INIT, Life};
use super::wait::Status;
use crate::kernel::Kernel;
use crate::log::Event;
use crate::machine::PAGE_SIZE;
use crate::process::signal::Signal;
use crate::process::thread::Thread;
use crate::sched::task::Task;
use crate::text_line::TextLine;
use crate::wait::wait_for_time;

/// Nanoseconds until the page is asked for again.
const PATIENCE: u64 = 1_000_000;

/// No frame was to be had for a page of `task`'s. Ends a process, and unless that is its own lets `task` wait before it
/// tries again.
#[cold]
pub fn on_shortage(task: &mut Task) {
    let thread = &task.thread;
    let kernel = thread.kernel();
    let own = &thread.process;
    // A wait takes a little of the heap, too. Who cannot wait tries again at once, until its turn ends; nobody else has one
    // then if it is for real time.
    let can_wait = kernel.admit().is_ok();
    let hinders = !can_wait && thread.schedule.policy().rank() > 0 && own.pid != INIT;
    match choose(kernel) {
        Choice::Nobody => end(kernel, own, own_pages(own)),
        _ if hinders => end(kernel, own, own_pages(own)),
        Choice::Wait => {}
        Choice::End(chosen, pages) => end(kernel, &chosen, pages),
    }
    if can_wait && own.exiting().is_none() {
        let thread = Arc::clone(thread);
        // Nothing was called: the register keeps what it has.
        let kept = task.context.regs.x[0] as usize;
        task.wait_in(async move {
            rest(&thread).await;
            Ok(kept)
        });
    }
}

async fn rest(thread: &Arc<Thread>) {
    let until = thread.kernel().machine.now().after(PATIENCE);
    // However it ended, the page is asked for again, after whatever signals there are.
    wait_for_time(thread, Some(until)).await;
}

/// What is to be done about a shortage.
enum Choice {
    /// One is ending: what it had will be free.
    Wait,
    /// This one is to end; how many pages it has.
    End(Arc<Process>, usize),
    /// There is nobody but init.
    Nobody,
}

fn choose(kernel: &Kernel) -> Choice {
    let mut choice = Choice::Nobody;
    for process in kernel.processes.each(|process| process.pid != INIT) {
        if kernel.processes.life(process.pid) != Some(Life::Alive) {
            continue;
        }
        if process.exiting().is_some() {
            return Choice::Wait;
        }
        let pages = own_pages(&process);
        match &choice {
            Choice::End(_, most) if pages <= *most => {}
            _ => choice = Choice::End(process, pages),
        }
    }
    choice
}

fn own_pages(process: &Process) -> usize {
    process.space().map_or(0, |space| space.own_pages())
}

fn end(kernel: &Kernel, process: &Process, pages: usize) {
    process.begin_exit(Status::Killed {
        signal: Signal::KILL.number(),
        core: false,
    });
    let kibibytes = pages * PAGE_SIZE / 1024;
    let name = process.name.lock();
    let logged = kernel.log(Event::Shortage {
        pid: process.pid,
        name: &name,
        kibibytes,
    });
    if logged {
        return;
    }
    // Nobody reads the log: a person at the console is to know all the same.
    let mut line = TextLine::<96>::new();
    // It fits: a name has 15 characters at most.
    let _ = writeln!(
        line,
        "out of memory: process {} ({}) is ended, which has {kibibytes} KiB",
        process.pid, &*name,
    );
    drop(name);
    kernel.machine.console_write(line.text());
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
