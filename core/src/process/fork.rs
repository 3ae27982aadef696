//! clone: a new process or thread that goes on where its maker is (clone(2)).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use bitflags::bitflags;

use super::Pid;
use super::limits::Resource;
use super::signal::{Signal, ThreadSignals};
use super::state::{Parts, Process};
use super::thread::Thread;
use crate::kernel::Kernel;
use crate::machine::{UserAddr, UserContext};
use crate::sched::task::Task;
use crate::{Errno, Result};

bitflags! {
    /// The CLONE_* flags of clone(2) (uapi/linux/sched.h); the low byte is the exit signal and not part of these.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        /// Share the address space.
        const VM = 0x100;
        /// Share root, current directory and umask.
        const FS = 0x200;
        /// Share the descriptor table.
        const FILES = 0x400;
        /// Share signal dispositions.
        const SIGHAND = 0x800;
        /// The maker waits until the child has executed or ended.
        const VFORK = 0x4000;
        /// The child's parent is the maker's parent.
        const PARENT = 0x8000;
        /// A thread of the same process.
        const THREAD = 0x1_0000;
        /// Share the list of SysV semaphore undo values.
        const SYSVSEM = 0x4_0000;
        /// Set TPIDR_EL0 from the `tls` argument.
        const SETTLS = 0x8_0000;
        /// Store the child's number at `parent_tid`.
        const PARENT_SETTID = 0x10_0000;
        /// Zero and wake `child_tid` when the child ends.
        const CHILD_CLEARTID = 0x20_0000;
        /// Without meaning since Linux 2.6.
        const DETACHED = 0x40_0000;
        /// A tracer cannot force itself on the child; there are no tracers.
        const UNTRACED = 0x80_0000;
        /// Store the child's number at `child_tid` in its memory.
        const CHILD_SETTID = 0x100_0000;
    }
}

/// What clone is asked for.
#[derive(Clone, Copy, Debug)]
pub struct CloneRequest {
    /// What is shared.
    pub flags: CloneFlags,
    /// The signal that the parent gets when the child ends; 0: none.
    pub exit_signal: u8,
    /// Stack pointer of the child; 0: the maker's.
    pub stack: u64,
    /// Where PARENT_SETTID stores.
    pub parent_tid: UserAddr,
    /// Where CHILD_SETTID stores and CHILD_CLEARTID clears.
    pub child_tid: UserAddr,
    /// TLS base for SETTLS.
    pub tls: u64,
}

impl CloneRequest {
    /// The combinations that clone(2) refuses. EINVAL.
    fn check(&self) -> Result<()> {
        let flags = self.flags;
        let thread_without_sighand =
            flags.contains(CloneFlags::THREAD) && !flags.contains(CloneFlags::SIGHAND);
        let sighand_without_vm =
            flags.contains(CloneFlags::SIGHAND) && !flags.contains(CloneFlags::VM);
        if thread_without_sighand || sighand_without_vm || self.exit_signal > 64 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

/// Makes the child of `task` that `request` asks for and starts it. Returns the child, whose thread has the same number
/// unless it is a thread of the same process.
pub fn clone(
    kernel: &'static Kernel,
    task: &mut Task,
    request: &CloneRequest,
) -> Result<Arc<Thread>> {
    request.check()?;
    check_limit(kernel, &task.thread.process)?;
    let tid = kernel.processes.number()?;
    let process = if request.flags.contains(CloneFlags::THREAD) {
        Arc::clone(&task.thread.process)
    } else {
        child_process(task, request, tid)?
    };
    let space = process.space().ok_or(Errno::ESRCH)?;
    let files = process.files().ok_or(Errno::ESRCH)?;
    let signals = ThreadSignals::for_child_of(&task.thread.signals, request.flags);
    let (policy, chosen) = task.thread.schedule.for_child();
    let thread = Arc::new(Thread::new(
        kernel,
        Arc::clone(&process),
        tid,
        policy,
        signals,
    ));
    thread.schedule.chosen.store(chosen, Ordering::Relaxed);
    store_numbers(task, &space, request, tid)?;
    if request.flags.contains(CloneFlags::CHILD_CLEARTID) {
        thread
            .clear_child_tid
            .store(request.child_tid.0 as u64, Ordering::Relaxed);
    }
    kernel.machine.release(&mut task.context);
    let child = Task::new(
        child_context(&task.context, request),
        Arc::clone(&thread),
        space,
        files,
    );
    // The process may have begun to end or to execute another program meanwhile: no thread joins it then.
    process.add_thread(Arc::clone(&thread))?;
    if !request.flags.contains(CloneFlags::THREAD) {
        let maker = &task.thread.process;
        let parent = if request.flags.contains(CloneFlags::PARENT) {
            maker.parent()
        } else {
            maker.pid
        };
        let added = kernel
            .processes
            .add_made(Arc::clone(&process), parent, &task.thread);
        if added.is_err() {
            // Process and thread hold each other until the thread leaves.
            process.remove_thread(tid);
        }
        added?;
    }
    kernel.processes.add_thread(Arc::clone(&thread));
    kernel.scheduler.enqueue(kernel.machine, Box::new(child));
    Ok(thread)
}

/// EAGAIN: the user of `maker` has as many processes and threads, the ended ones that nobody waited for included, as
/// RLIMIT_NPROC allows (getrlimit(2)); it does not bind the privileged. Takes time proportional to the processes there are.
/// Nothing is locked throughout, so calls on several CPUs at once may pass the limit by one each.
fn check_limit(kernel: &Kernel, maker: &Process) -> Result<()> {
    let who = maker.credentials();
    if who.uid == 0 || who.privileged() {
        return Ok(());
    }
    let limit = maker.limits.get(Resource::PROCESSES).soft;
    let mut count = 0;
    for process in kernel.processes.each(|_| true) {
        if process.credentials().uid == who.uid {
            count += process.thread_count().max(1) as u64;
        }
        if count >= limit {
            return Err(Errno::EAGAIN);
        }
    }
    Ok(())
}

fn child_context(maker: &UserContext, request: &CloneRequest) -> UserContext {
    let mut context = maker.clone();
    context.fp_live = 0;
    context.regs.x[0] = 0;
    if request.stack != 0 {
        context.regs.sp = request.stack;
    }
    if request.flags.contains(CloneFlags::SETTLS) {
        context.tpidr = request.tls;
    }
    context
}

fn store_numbers(
    task: &Task,
    child_space: &Arc<crate::mm::AddressSpace>,
    request: &CloneRequest,
    tid: Pid,
) -> Result<()> {
    if request.flags.contains(CloneFlags::PARENT_SETTID) {
        task.space.write_user(request.parent_tid, &tid)?;
    }
    if request.flags.contains(CloneFlags::CHILD_SETTID) {
        // As Linux: a bad address is the child's affair and does not fail the call.
        let _ = child_space.write_user(request.child_tid, &tid);
    }
    Ok(())
}

fn child_process(task: &Task, request: &CloneRequest, pid: Pid) -> Result<Arc<Process>> {
    let maker = &task.thread.process;
    let space = if request.flags.contains(CloneFlags::VM) {
        Arc::clone(&task.space)
    } else {
        task.space.fork()?
    };
    let files = if request.flags.contains(CloneFlags::FILES) {
        Arc::clone(&task.files)
    } else {
        task.files.fork()?
    };
    let fs = maker.fs().ok_or(Errno::ESRCH)?;
    let fs = if request.flags.contains(CloneFlags::FS) {
        fs
    } else {
        Arc::new(fs.fork())
    };
    // A sibling of the maker's ends as the maker does: its parent has not asked for another signal.
    let exit_signal = if request.flags.contains(CloneFlags::PARENT) {
        maker.signals.exit_signal().map_or(0, Signal::number)
    } else {
        request.exit_signal
    };
    let signals = maker.signals.for_child(request.flags, exit_signal);
    let (credentials, limits) = (maker.credentials(), maker.limits.clone());
    let child = Process::new(
        pid,
        Parts {
            space,
            files,
            fs,
            credentials,
            signals,
            limits,
        },
    );
    child.inherit_names(maker);
    if request.flags.contains(CloneFlags::SYSVSEM) {
        child.share_undo_list(maker, task.thread.kernel());
    }
    child
        .vfork
        .set_pending(request.flags.contains(CloneFlags::VFORK));
    Ok(Arc::new(child))
}
