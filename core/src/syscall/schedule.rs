//! Scheduling: policies, priorities, affinity (sched(7)).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::{Answer, Call, DONE, Outcome};
use crate::process::state::Process;
use crate::process::thread::Thread;
use crate::sched::SCHED_RESET_ON_FORK;
use crate::sched::run_queue::Policy;
use crate::{Errno, Result};

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_BATCH: u32 = 3;
const SCHED_IDLE: u32 = 5;

/// sched_yield(2).
pub(super) fn sched_yield(call: &mut Call<'_>) -> Answer {
    call.kernel.this_cpu().give_way();
    DONE
}

/// The thread that argument 0 names; 0 is the caller. EINVAL if negative, ESRCH.
fn named(call: &Call<'_>) -> Result<Arc<Thread>> {
    match call.int::<0>() {
        0 => Ok(Arc::clone(call.thread())),
        tid if tid < 0 => Err(Errno::EINVAL),
        tid => call.kernel.processes.thread(tid as u32).ok_or(Errno::ESRCH),
    }
}

/// EPERM unless the caller may change the scheduling of `process`'s threads.
fn may_change(call: &Call<'_>, process: &Process) -> Result<()> {
    let own = call.process().credentials();
    let other = process.credentials();
    if own.privileged() || own.euid == other.uid || own.euid == other.euid {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// What a program asks for. SCHED_BATCH and SCHED_IDLE are kept and shown, but scheduled as SCHED_OTHER: they are hints. EINVAL.
fn policy_of(number: u32, priority: i32, nice: i8) -> Result<Policy> {
    match (number & !SCHED_RESET_ON_FORK, priority) {
        (SCHED_OTHER | SCHED_BATCH | SCHED_IDLE, 0) => Ok(Policy::Fair(nice)),
        (SCHED_FIFO, 1..=99) => Ok(Policy::Fifo(priority as u8)),
        (SCHED_RR, 1..=99) => Ok(Policy::RoundRobin(priority as u8)),
        _ => Err(Errno::EINVAL),
    }
}

const fn nice_of(policy: Policy) -> i8 {
    match policy {
        Policy::Fair(nice) => nice,
        Policy::Fifo(_) | Policy::RoundRobin(_) => 0,
    }
}

/// Gives `thread` the policy, chosen by `number`. EPERM: not the caller's to change; a real-time one, or an end to
/// SCHED_RESET_ON_FORK, without privilege.
fn change(call: &Call<'_>, thread: &Arc<Thread>, number: u32, policy: Policy) -> Answer {
    may_change(call, &thread.process)?;
    let before = thread.schedule.chosen.load(Ordering::Relaxed);
    let more = policy.rank() > 0 || before & !number & SCHED_RESET_ON_FORK != 0;
    if more && !call.process().credentials().privileged() {
        return Err(Errno::EPERM);
    }
    thread.schedule.chosen.store(number, Ordering::Relaxed);
    call.kernel.scheduler.set_policy(thread, policy);
    DONE
}

/// sched_setscheduler(2).
pub(super) fn sched_setscheduler(call: &mut Call<'_>) -> Answer {
    if call.arg::<2>() == 0 {
        return Err(Errno::EINVAL);
    }
    let priority: i32 = call.space().read_user(call.addr::<2>())?;
    let thread = named(call)?;
    let number = call.uint::<1>();
    let policy = policy_of(number, priority, nice_of(thread.schedule.base()))?;
    change(call, &thread, number, policy)
}

/// sched_setparam(2).
pub(super) fn sched_setparam(call: &mut Call<'_>) -> Answer {
    if call.arg::<1>() == 0 {
        return Err(Errno::EINVAL);
    }
    let priority: i32 = call.space().read_user(call.addr::<1>())?;
    let thread = named(call)?;
    let number = number_of(&thread);
    let policy = policy_of(number, priority, nice_of(thread.schedule.base()))?;
    change(call, &thread, number, policy)
}

/// The policy of `thread` as programs number it, with SCHED_RESET_ON_FORK.
fn number_of(thread: &Thread) -> u32 {
    thread.schedule.chosen.load(Ordering::Relaxed)
}

/// sched_getscheduler(2).
pub(super) fn sched_getscheduler(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(number_of(&*named(call)?) as usize))
}

/// sched_getparam(2).
pub(super) fn sched_getparam(call: &mut Call<'_>) -> Answer {
    if call.arg::<1>() == 0 {
        return Err(Errno::EINVAL);
    }
    let priority = named(call)?.schedule.base().rank() as i32;
    call.space().write_user(call.addr::<1>(), &priority)?;
    DONE
}

/// The least and greatest priority of a policy. EINVAL: no such policy.
fn priorities(number: u32) -> Result<(usize, usize)> {
    match number {
        SCHED_FIFO | SCHED_RR => Ok((1, 99)),
        SCHED_OTHER | SCHED_BATCH | SCHED_IDLE => Ok((0, 0)),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_max(2).
pub(super) fn sched_get_priority_max(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(priorities(call.uint::<0>())?.1))
}

/// sched_get_priority_min(2).
pub(super) fn sched_get_priority_min(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(priorities(call.uint::<0>())?.0))
}

/// sched_getaffinity(2): every thread may run on every CPU that is up. Returns the bytes of the mask, as the system call
/// (not the C function) does.
pub(super) fn sched_getaffinity(call: &mut Call<'_>) -> Answer {
    let size = call.size::<1>();
    if size < 8 || !size.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    named(call)?;
    let mask = (1u64 << call.kernel.scheduler.online_count()) - 1;
    call.space().write_user(call.addr::<2>(), &mask)?;
    Ok(Outcome::Done(8))
}

/// sched_setaffinity(2): accepted only where it asks for all CPUs, which is what every thread has; a thread cannot be bound,
/// and EINVAL says so rather than pretend.
pub(super) fn sched_setaffinity(call: &mut Call<'_>) -> Answer {
    let thread = named(call)?;
    let size = call.size::<1>().min(8);
    let mut mask = [0u8; 8];
    for (at, byte) in mask.iter_mut().enumerate().take(size) {
        *byte = call.space().read_user(crate::machine::UserAddr(
            call.addr::<2>().0.wrapping_add(at),
        ))?;
    }
    may_change(call, &thread.process)?;
    let all = (1u64 << call.kernel.scheduler.online_count()) - 1;
    if u64::from_le_bytes(mask) & all == all {
        DONE
    } else {
        Err(Errno::EINVAL)
    }
}

const PRIO_PROCESS: u32 = 0;

/// setpriority(2), for processes (their threads) and single threads; groups and users are EINVAL.
pub(super) fn setpriority(call: &mut Call<'_>) -> Answer {
    let nice = call.int::<2>().clamp(-20, 19) as i8;
    let privileged = call.process().credentials().privileged();
    let target = prioritised(call)?;
    may_change(call, target.as_ref().unwrap_or(call.process()))?;
    for_each_prioritised(call, target.as_deref(), |thread| {
        if let Policy::Fair(before) = thread.schedule.base() {
            if nice < before && !privileged {
                return Err(Errno::EACCES);
            }
            call.kernel.scheduler.set_policy(thread, Policy::Fair(nice));
        }
        Ok(())
    })?;
    DONE
}

/// getpriority(2): 20 minus the nice value, as the system call has it.
pub(super) fn getpriority(call: &mut Call<'_>) -> Answer {
    let mut least = i8::MAX;
    let target = prioritised(call)?;
    for_each_prioritised(call, target.as_deref(), |thread| {
        least = least.min(nice_of(thread.schedule.base()));
        Ok(())
    })?;
    Ok(Outcome::Done((20 - i32::from(least)) as usize))
}

/// The process whose threads arguments 0 and 1 name; None: the calling thread alone. ESRCH.
fn prioritised(call: &Call<'_>) -> Result<Option<Arc<Process>>> {
    if call.uint::<0>() != PRIO_PROCESS {
        return Err(Errno::EINVAL);
    }
    match u32::try_from(call.int::<1>()) {
        Ok(0) => Ok(None),
        Ok(who) => call
            .kernel
            .processes
            .process(who)
            .map(Some)
            .ok_or(Errno::ESRCH),
        Err(_) => Err(Errno::ESRCH),
    }
}

/// Does `visit`, which takes only locks above the process's, for each thread of `process`, or for the calling one, up to the first error. ESRCH: it
/// has none left.
fn for_each_prioritised(
    call: &Call<'_>,
    process: Option<&Process>,
    mut visit: impl FnMut(&Arc<Thread>) -> Result<()>,
) -> Result<()> {
    let Some(process) = process else {
        return visit(call.thread());
    };
    let mut outcome = Err(Errno::ESRCH);
    let mut over = false;
    process.for_each_thread(|thread| {
        if !over {
            outcome = visit(thread);
            over = outcome.is_err();
        }
    });
    outcome
}
