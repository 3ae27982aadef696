//! The end of a thread and of a process.

use alloc::boxed::Box;

use super::signal;
use super::state::Process;
use super::table::INIT;
use super::wait::{Status, WaitEvent};
use crate::ipc::futex;
use crate::kernel::Kernel;
use crate::machine::Shutdown;
use crate::sched::task::Task;

/// Why a thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitRequest {
    /// exit(2): this thread alone; the code counts if it is the last.
    Thread(u8),
    /// exit_group(2), or a signal that ends the process.
    Process(Status),
}

/// Ends the thread that `task` is; the last thread takes the process with it.
pub fn exit_thread(kernel: &'static Kernel, mut task: Box<Task>, request: ExitRequest) {
    task.stop_clock(kernel.machine.now());
    kernel.machine.release(&mut task.context);
    // The call it waited in is undone first: its drop may still touch what the thread owns.
    task.abandon_call();
    let thread = alloc::sync::Arc::clone(&task.thread);
    let process = alloc::sync::Arc::clone(&thread.process);
    let status = match request {
        ExitRequest::Thread(code) => Status::Exited(code),
        ExitRequest::Process(status) => {
            process.begin_exit(status);
            status
        }
    };
    futex::on_thread_exit(&thread, &task.space);
    drop(task);
    kernel.processes.remove_thread(thread.tid);
    let last = process.remove_thread(thread.tid);
    drop(thread);
    if last {
        end_process(kernel, &process, process.exiting().unwrap_or(status));
    } else {
        signal::on_thread_exit(kernel, &process);
    }
}

/// The last thread has gone.
fn end_process(kernel: &'static Kernel, process: &Process, status: Status) {
    process.strip();
    process.vfork.finish();
    if process.pid == INIT {
        kernel.init_ended(status);
    }
    signal::on_process_end(kernel, process);
    let unwanted = signal::parent_ignores_children(kernel, process);
    let ended = kernel.processes.end(process.pid, status, unwanted);
    if let Some(parent) = &ended.parent {
        signal::notify_parent(parent, process, WaitEvent::Ended(status));
        parent.child_changed.wake_all();
    }
    if let Some(init) = &ended.init {
        init.child_changed.wake_all();
    }
}

impl Kernel {
    /// Init has ended: the machine is switched off with its exit code.
    fn init_ended(&self, status: Status) -> ! {
        self.shut_down(Shutdown::PowerOff(status.shell_code()))
    }
}
