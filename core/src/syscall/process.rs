//! Calls on processes and threads: clone, execve, exit, wait, numbers, groups and sessions.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::{Answer, Call, DONE, Outcome};
use crate::machine::UserAddr;
use crate::process::exec::{self, ExecRequest};
use crate::process::exit::ExitRequest;
use crate::process::fork::{self, CloneFlags, CloneRequest};
use crate::process::state::Process;
use crate::process::table::Choice;
use crate::process::thread::Killable;
use crate::process::wait::{self, Options, Status, WaitEvent};
use crate::wait::wait_until;
use crate::{Errno, Result};

/// exit(2): ends the calling thread.
pub(super) fn exit(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Exit(ExitRequest::Thread(call.arg::<0>() as u8)))
}

/// exit_group(2): ends the process.
pub(super) fn exit_group(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Exit(ExitRequest::Process(Status::Exited(
        call.arg::<0>() as u8,
    ))))
}

/// clone(2), arm64 order of arguments: flags, stack, parent_tid, tls, child_tid.
pub(super) fn clone(call: &mut Call<'_>) -> Answer {
    let flags = call.arg::<0>() & 0xffff_ffff;
    let request = CloneRequest {
        flags: CloneFlags::from_bits(flags & !0xff).ok_or(Errno::EINVAL)?,
        exit_signal: (flags & 0xff) as u8,
        stack: call.arg::<1>(),
        parent_tid: call.addr::<2>(),
        tls: call.arg::<3>(),
        child_tid: call.addr::<4>(),
    };
    make_child(call, &request)
}

/// clone3(2): the same by a structure. What it offers beyond clone (pidfd, cgroups, set_tid) is EINVAL.
pub(super) fn clone3(call: &mut Call<'_>) -> Answer {
    const FIELDS: usize = 8;
    let size = call.size::<1>();
    if size < FIELDS * 8 {
        return Err(Errno::EINVAL);
    }
    if size > crate::machine::PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    let base = call.arg::<0>();
    for extra in (FIELDS * 8..size).step_by(8) {
        let word: u64 = call
            .space()
            .read_user(UserAddr(base.wrapping_add(extra as u64) as usize))?;
        if word != 0 {
            return Err(if extra >= 11 * 8 {
                Errno::E2BIG
            } else {
                Errno::EINVAL
            });
        }
    }
    let fields: [u64; FIELDS] = call.space().read_user(UserAddr(base as usize))?;
    let [
        flags,
        _pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack,
        stack_size,
        tls,
    ] = fields;
    let request = CloneRequest {
        flags: CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?,
        exit_signal: u8::try_from(exit_signal).map_err(|_| Errno::EINVAL)?,
        stack: stack.wrapping_add(stack_size),
        parent_tid: UserAddr(parent_tid as usize),
        tls,
        child_tid: UserAddr(child_tid as usize),
    };
    if (stack == 0) != (stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    make_child(call, &request)
}

fn make_child(call: &mut Call<'_>, request: &CloneRequest) -> Answer {
    let child = fork::clone(call.kernel, call.task, request)?;
    let tid = child.tid as usize;
    if !request.flags.contains(CloneFlags::VFORK) {
        return Ok(Outcome::Done(tid));
    }
    let parent = Killable(Arc::clone(call.thread()));
    let process = Arc::clone(&child.process);
    call.wait(async move {
        let over = || (!process.vfork.pending()).then_some(());
        // Interrupted only if this process ends: then nobody looks at the result.
        let _ = wait_until(&parent, &process.vfork.queue, None, over).await;
        Ok(tid)
    })
}

/// execve(2).
pub(super) fn execve(call: &mut Call<'_>) -> Answer {
    let request = ExecRequest {
        path: call.addr::<0>(),
        argv: call.addr::<1>(),
        envp: call.addr::<2>(),
    };
    exec::execve(call, &request)
}

/// getpid(2).
pub(super) fn getpid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(call.process().pid as usize))
}

/// getppid(2).
pub(super) fn getppid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(call.process().parent() as usize))
}

/// gettid(2).
pub(super) fn gettid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(call.thread().tid as usize))
}

/// set_tid_address(2).
pub(super) fn set_tid_address(call: &mut Call<'_>) -> Answer {
    call.thread()
        .clear_child_tid
        .store(call.arg::<0>(), Ordering::Relaxed);
    gettid(call)
}

/// setpgid(2).
pub(super) fn setpgid(call: &mut Call<'_>) -> Answer {
    let own = call.process().pid;
    let (pid, group) = (call.int::<0>(), call.int::<1>());
    if pid < 0 || group < 0 {
        return Err(Errno::EINVAL);
    }
    let pid = if pid == 0 { own } else { pid as u32 };
    let group = if group == 0 { pid } else { group as u32 };
    call.kernel.processes.set_group(own, pid, group)?;
    DONE
}

/// getpgid(2).
pub(super) fn getpgid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(named(call)?.group() as usize))
}

/// setsid(2).
pub(super) fn setsid(call: &mut Call<'_>) -> Answer {
    let pid = call.process().pid;
    call.kernel.processes.set_session(pid)?;
    Ok(Outcome::Done(pid as usize))
}

/// getsid(2).
pub(super) fn getsid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(named(call)?.session() as usize))
}

/// The process that argument 0 names; 0 is the caller. ESRCH.
fn named(call: &Call<'_>) -> Result<Arc<Process>> {
    match call.int::<0>() {
        0 => Ok(Arc::clone(call.process())),
        pid => u32::try_from(pid)
            .ok()
            .and_then(|pid| call.kernel.processes.process(pid))
            .ok_or(Errno::ESRCH),
    }
}

const WNOHANG: u32 = 1;
const WUNTRACED: u32 = 2;
const WEXITED: u32 = 4;
const WCONTINUED: u32 = 8;
const WNOWAIT: u32 = 0x0100_0000;
/// __WNOTHREAD, __WALL and __WCLONE: without effect here, where any thread may wait for any child.
const W_LINUX: u32 = 0xe000_0000;

/// wait4(2).
pub(super) fn wait4(call: &mut Call<'_>) -> Answer {
    let bits = call.uint::<2>();
    if bits & !(WNOHANG | WUNTRACED | WCONTINUED | W_LINUX) != 0 {
        return Err(Errno::EINVAL);
    }
    let options = Options {
        ended: true,
        stopped: bits & WUNTRACED != 0,
        continued: bits & WCONTINUED != 0,
        take: true,
    };
    let choice = match call.int::<0>() {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Choice::Any,
        0 => Choice::Group(call.process().group()),
        pid if pid > 0 => Choice::One(pid as u32),
        group => Choice::Group(group.unsigned_abs()),
    };
    let (status, usage) = (call.addr::<1>(), call.addr::<3>());
    match wait::try_wait(call.kernel, call.process(), choice, options)? {
        Some((child, event)) => {
            report_wait4(call.thread(), &child, event, status, usage).map(Outcome::Done)
        }
        None if bits & WNOHANG != 0 => DONE,
        None => {
            let thread = Arc::clone(call.thread());
            call.wait(async move {
                let (child, event) = wait::wait(&thread, choice, options).await?;
                report_wait4(&thread, &child, event, status, usage)
            })
        }
    }
}

fn report_wait4(
    waiter: &crate::process::thread::Thread,
    child: &Process,
    event: WaitEvent,
    status: UserAddr,
    usage: UserAddr,
) -> Result<usize> {
    let space = waiter.process.space().ok_or(Errno::EFAULT)?;
    if status.0 != 0 {
        space.write_user(status, &event.to_word())?;
    }
    if usage.0 != 0 {
        space.write_user(
            usage,
            &super::info::rusage(child.times.own.load(Ordering::Relaxed)),
        )?;
    }
    Ok(child.pid as usize)
}

/// waitid(2).
pub(super) fn waitid(call: &mut Call<'_>) -> Answer {
    const P_ALL: u32 = 0;
    const P_PID: u32 = 1;
    const P_PGID: u32 = 2;
    let bits = call.uint::<3>();
    let known = WNOHANG | WEXITED | WUNTRACED | WCONTINUED | WNOWAIT | W_LINUX;
    if bits & !known != 0 || bits & (WEXITED | WUNTRACED | WCONTINUED) == 0 {
        return Err(Errno::EINVAL);
    }
    let options = Options {
        ended: bits & WEXITED != 0,
        stopped: bits & WUNTRACED != 0,
        continued: bits & WCONTINUED != 0,
        take: bits & WNOWAIT == 0,
    };
    let id = call.int::<1>();
    let choice = match call.uint::<0>() {
        P_ALL => Choice::Any,
        P_PID if id > 0 => Choice::One(id as u32),
        P_PGID if id > 0 => Choice::Group(id as u32),
        P_PGID if id == 0 => Choice::Group(call.process().group()),
        _ => return Err(Errno::EINVAL),
    };
    let (info, usage) = (call.addr::<2>(), call.addr::<4>());
    match wait::try_wait(call.kernel, call.process(), choice, options)? {
        Some((child, event)) => {
            report_waitid(call.thread(), Some((&child, event)), info, usage).map(Outcome::Done)
        }
        None if bits & WNOHANG != 0 => {
            report_waitid(call.thread(), None, info, usage).map(Outcome::Done)
        }
        None => {
            let thread = Arc::clone(call.thread());
            call.wait(async move {
                let (child, event) = wait::wait(&thread, choice, options).await?;
                report_waitid(&thread, Some((&child, event)), info, usage)
            })
        }
    }
}

/// Stores the siginfo of waitid: SIGCHLD with who and what, or zeros where nothing happened.
fn report_waitid(
    waiter: &crate::process::thread::Thread,
    found: Option<(&Arc<Process>, WaitEvent)>,
    info: UserAddr,
    usage: UserAddr,
) -> Result<usize> {
    const SIGCHLD: i32 = 17;
    let space = waiter.process.space().ok_or(Errno::EFAULT)?;
    if info.0 != 0 {
        // si_signo, si_errno, si_code, padding, si_pid, si_uid, si_status (asm-generic/siginfo.h).
        let fields: [i32; 7] = found.map_or([0; 7], |(child, event)| {
            let (code, status) = event.to_siginfo();
            [
                SIGCHLD,
                0,
                code,
                0,
                child.pid as i32,
                child.credentials().uid as i32,
                status,
            ]
        });
        space.write_user(info, &fields)?;
    }
    if let Some((child, _)) = found
        && usage.0 != 0
    {
        space.write_user(
            usage,
            &super::info::rusage(child.times.own.load(Ordering::Relaxed)),
        )?;
    }
    Ok(0)
}
