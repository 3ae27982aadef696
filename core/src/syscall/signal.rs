//! Calls on signals: actions, masks, sending, waiting for them, interval timers (signal(7)).

use alloc::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call, DONE, Outcome};
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::Pid;
use crate::process::signal::action::Action;
use crate::process::signal::info::{RawInfo, SI_TKILL, SI_USER};
use crate::process::signal::{
    self, AltStack, IntervalTimer, RESTART_NO_HANDLER, RESTART_TIMED, Signal, SignalInfo,
    SignalSet, TimerKind,
};
use crate::process::state::Process;
use crate::process::table::INIT;
use crate::process::thread::Thread;
use crate::time::{Instant, NANOS_PER_SECOND, TimeSpec};
use crate::wait::{Interruption, WaitQueue, wait_until};
use crate::{Errno, Result};

/// The only size of a set that the calls take.
const SET_BYTES: usize = size_of::<u64>();

/// EINVAL unless argument `N` is the size of a set.
#[inline]
fn check_set_size<const N: usize>(call: &Call<'_>) -> Result<()> {
    if call.size::<N>() == SET_BYTES {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

fn read_set(call: &Call<'_>, from: UserAddr) -> Result<SignalSet> {
    Ok(SignalSet(call.space().read_user(from)?))
}

/// rt_sigaction(2): signal, new action, old action, size of a set.
pub(super) fn rt_sigaction(call: &mut Call<'_>) -> Answer {
    check_set_size::<3>(call)?;
    let (new, old) = (call.addr::<1>(), call.addr::<2>());
    let number = call.int::<0>();
    let before = if new.0 == 0 {
        call.process().signals.action(Signal::from_number(number)?)
    } else {
        let action: Action = call.space().read_user(new)?;
        signal::set_action(call.process(), Signal::from_number(number)?, action)?
    };
    if old.0 != 0 {
        call.space().write_user(old, &before)?;
    }
    DONE
}

const SIG_BLOCK: i32 = 0;
const SIG_UNBLOCK: i32 = 1;
const SIG_SETMASK: i32 = 2;

/// rt_sigprocmask(2): how, new set, old set, size of a set. `how` counts only with a new set.
pub(super) fn rt_sigprocmask(call: &mut Call<'_>) -> Answer {
    check_set_size::<3>(call)?;
    let (new, old) = (call.addr::<1>(), call.addr::<2>());
    let before = call.thread().signals.mask();
    if new.0 != 0 {
        let set = read_set(call, new)?;
        let mask = match call.int::<0>() {
            SIG_BLOCK => before.union(set),
            SIG_UNBLOCK => before.minus(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        signal::set_mask(call.thread(), mask);
    }
    if old.0 != 0 {
        call.space().write_user(old, &before.0)?;
    }
    DONE
}

/// rt_sigpending(2): what pends and is blocked.
pub(super) fn rt_sigpending(call: &mut Call<'_>) -> Answer {
    let size = call.size::<1>();
    if size > SET_BYTES {
        return Err(Errno::EINVAL);
    }
    let set = signal::blocked_pending(call.thread()).0.to_le_bytes();
    for (at, byte) in set.iter().enumerate().take(size) {
        call.space()
            .write_user(UserAddr(call.addr::<0>().0.wrapping_add(at)), byte)?;
    }
    DONE
}

/// rt_sigsuspend(2): waits under another mask until a handler has run.
pub(super) fn rt_sigsuspend(call: &mut Call<'_>) -> Answer {
    check_set_size::<1>(call)?;
    let mask = read_set(call, call.addr::<0>())?;
    signal::begin_masked_wait(call.thread(), mask);
    if call.thread().attention() {
        return Err(RESTART_NO_HANDLER);
    }
    let thread = Arc::clone(call.thread());
    call.wait(async move {
        let nobody = WaitQueue::new();
        let _ = wait_until(&thread, &nobody, None, || None::<()>).await;
        Err(RESTART_NO_HANDLER)
    })
}

/// rt_sigtimedwait(2): set, siginfo, time-out, size of a set. EAGAIN: none came in time. EINTR: another signal did.
pub(super) fn rt_sigtimedwait(call: &mut Call<'_>) -> Answer {
    check_set_size::<3>(call)?;
    let wanted = read_set(call, call.addr::<0>())?.minus(SignalSet::UNBLOCKABLE);
    let (info, timeout) = (call.addr::<1>(), call.addr::<2>());
    let deadline = match timeout.0 {
        0 => None,
        _ => {
            let time: TimeSpec = call.space().read_user(timeout)?;
            let until = call.kernel.machine.now().after(time.to_nanos()?);
            Some(call.thread().signals.kept_deadline().unwrap_or(until))
        }
    };
    if let Some(taken) = signal::take_awaited(call.thread(), wanted) {
        return report_taken(call.space(), taken, info).map(Outcome::Done);
    }
    if deadline.is_some_and(|at| at <= call.kernel.machine.now()) {
        return Err(Errno::EAGAIN);
    }
    await_signal(call, wanted, info, deadline)
}

fn await_signal(
    call: &mut Call<'_>,
    wanted: SignalSet,
    info: UserAddr,
    deadline: Option<Instant>,
) -> Answer {
    let (thread, space) = (Arc::clone(call.thread()), Arc::clone(call.space()));
    thread.signals.set_awaited(wanted);
    call.wait(async move {
        let nobody = WaitQueue::new();
        let take = || signal::take_awaited(&thread, wanted);
        let taken = wait_until(&thread, &nobody, deadline, take).await;
        thread.signals.set_awaited(SignalSet::EMPTY);
        match taken {
            Ok(taken) => report_taken(&space, taken, info),
            Err(Interruption::TimedOut) => Err(Errno::EAGAIN),
            Err(Interruption::Signal) if !signal::is_interrupted(&thread) => {
                thread
                    .signals
                    .keep_deadline(deadline.unwrap_or(Instant::NEVER));
                Err(RESTART_TIMED)
            }
            Err(other) => Err(other.errno()),
        }
    })
}

fn report_taken(
    space: &AddressSpace,
    (signal, what): (Signal, SignalInfo),
    info: UserAddr,
) -> Result<usize> {
    if info.0 != 0 {
        space.write_user(info, &what.to_raw(signal))?;
    }
    Ok(usize::from(signal.number()))
}

/// rt_sigreturn(2): the end of a handler.
pub(super) fn rt_sigreturn(call: &mut Call<'_>) -> Answer {
    signal::sigreturn(call.kernel, call.task);
    Ok(Outcome::Resumed)
}

/// sigaltstack(2): new stack, old stack.
pub(super) fn sigaltstack(call: &mut Call<'_>) -> Answer {
    let (new, old) = (call.addr::<0>(), call.addr::<1>());
    let sp = call.task.context.regs.sp;
    let before = call.thread().signals.stack();
    if new.0 != 0 {
        let wanted: AltStack = call.space().read_user(new)?;
        call.thread()
            .signals
            .set_stack(before.replaced_by(wanted, sp)?);
    }
    if old.0 != 0 {
        call.space().write_user(old, &before.seen_at(sp))?;
    }
    DONE
}

/// What a sending call sends: None is signal 0, which only asks whether it could.
type Sent = Option<Signal>;

/// The signal of that number; 0 is None. EINVAL.
fn sent(number: i32) -> Result<Sent> {
    if number == 0 {
        Ok(None)
    } else {
        Signal::from_number(number).map(Some)
    }
}

/// EPERM unless the caller may send `signal` to `target`; to itself it always may.
#[inline]
fn check_permission(call: &Call<'_>, target: &Process, signal: Sent) -> Result<()> {
    let own = call.process();
    if own.pid == target.pid {
        return Ok(());
    }
    signal::check_permission(&own.credentials(), own.session(), target, signal)
}

/// What the receiver learns of the caller.
fn signature(call: &Call<'_>, code: i32) -> SignalInfo {
    SignalInfo::sent(code, call.process().pid, call.process().credentials().uid)
}

/// kill(2).
pub(super) fn kill(call: &mut Call<'_>) -> Answer {
    let (target, number) = (call.int::<0>(), call.int::<1>());
    match target {
        i32::MIN => Err(Errno::ESRCH),
        -1 => kill_all(call, number),
        0 => kill_group(call, call.process().group(), number),
        pid if pid > 0 => kill_process(call, pid.unsigned_abs(), number),
        group => kill_group(call, group.unsigned_abs(), number),
    }
}

/// kill(2) of one process, which may be named by any of its threads.
fn kill_process(call: &Call<'_>, pid: Pid, number: i32) -> Answer {
    if pid == call.process().pid {
        return kill_one(call, call.process(), number).map(|()| Outcome::Done(0));
    }
    let table = &call.kernel.processes;
    let target = table
        .process(pid)
        .or_else(|| table.thread(pid).map(|thread| Arc::clone(&thread.process)));
    let target = target.ok_or(Errno::ESRCH)?;
    kill_one(call, &target, number).map(|()| Outcome::Done(0))
}

fn kill_one(call: &Call<'_>, target: &Process, number: i32) -> Result<()> {
    let signal = sent(number)?;
    check_permission(call, target, signal)?;
    match signal {
        Some(signal) => signal::send_to_process(target, signal, signature(call, SI_USER)),
        None => Ok(()),
    }
}

/// kill(2) of a group: succeeds if any member could be signalled.
fn kill_group(call: &Call<'_>, group: Pid, number: i32) -> Answer {
    let mut outcome = Err(Errno::ESRCH);
    for member in call.kernel.processes.group(group) {
        let one = kill_one(call, &member, number);
        if outcome.is_err() {
            outcome = one;
        }
    }
    outcome.map(|()| Outcome::Done(0))
}

/// kill(-1): everybody but init and the caller.
fn kill_all(call: &Call<'_>, number: i32) -> Answer {
    let own = call.process().pid;
    let mut outcome = Err(Errno::ESRCH);
    for process in call.kernel.processes.each(|_| true) {
        if process.pid == INIT || process.pid == own {
            continue;
        }
        match kill_one(call, &process, number) {
            Err(Errno::EPERM) if outcome.is_ok() => {}
            one => outcome = one,
        }
    }
    outcome.map(|()| Outcome::Done(0))
}

/// The thread `tid`, of process `group` if that is given. EINVAL: numbers below 1. ESRCH.
fn named_thread(call: &Call<'_>, group: Option<i32>, tid: i32) -> Result<Arc<Thread>> {
    if tid <= 0 || group.is_some_and(|group| group <= 0) {
        return Err(Errno::EINVAL);
    }
    let thread = call
        .kernel
        .processes
        .thread(tid.unsigned_abs())
        .ok_or(Errno::ESRCH)?;
    if group.is_some_and(|group| group.unsigned_abs() != thread.process.pid) {
        return Err(Errno::ESRCH);
    }
    Ok(thread)
}

fn send_to_thread(call: &Call<'_>, thread: &Thread, number: i32, info: SignalInfo) -> Answer {
    let signal = sent(number)?;
    check_permission(call, &thread.process, signal)?;
    if let Some(signal) = signal {
        signal::send_to_thread(thread, signal, info)?;
    }
    DONE
}

/// tkill(2).
pub(super) fn tkill(call: &mut Call<'_>) -> Answer {
    let thread = named_thread(call, None, call.int::<0>())?;
    send_to_thread(call, &thread, call.int::<1>(), signature(call, SI_TKILL))
}

/// tgkill(2).
pub(super) fn tgkill(call: &mut Call<'_>) -> Answer {
    let thread = named_thread(call, Some(call.int::<0>()), call.int::<1>())?;
    send_to_thread(call, &thread, call.int::<2>(), signature(call, SI_TKILL))
}

/// The siginfo that a program gave. EPERM: it says that the kernel or kill(2) sent it, and the target is somebody else.
fn forged_info(call: &Call<'_>, from: UserAddr, target: Pid) -> Result<SignalInfo> {
    let raw: RawInfo = call.space().read_user(from)?;
    let info = SignalInfo::from_raw(&raw);
    if (info.code >= 0 || info.code == SI_TKILL) && target != call.process().pid {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

/// rt_sigqueueinfo(2): process, signal, siginfo.
pub(super) fn rt_sigqueueinfo(call: &mut Call<'_>) -> Answer {
    let pid = u32::try_from(call.int::<0>()).map_err(|_| Errno::ESRCH)?;
    let info = forged_info(call, call.addr::<2>(), pid)?;
    let target = call.kernel.processes.process(pid).ok_or(Errno::ESRCH)?;
    let signal = sent(call.int::<1>())?;
    check_permission(call, &target, signal)?;
    if let Some(signal) = signal {
        signal::send_to_process(&target, signal, info)?;
    }
    DONE
}

/// rt_tgsigqueueinfo(2): process, thread, signal, siginfo.
pub(super) fn rt_tgsigqueueinfo(call: &mut Call<'_>) -> Answer {
    let (group, tid) = (call.int::<0>(), call.int::<1>());
    if group <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let info = forged_info(call, call.addr::<3>(), group.unsigned_abs())?;
    let thread = named_thread(call, Some(group), tid)?;
    send_to_thread(call, &thread, call.int::<2>(), info)
}

/// `struct timeval`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct TimeVal {
    seconds: i64,
    micros: i64,
}

impl TimeVal {
    const fn from_nanos(nanos: u64) -> TimeVal {
        // Rounded up: what is not yet over never reads 0.
        let micros = nanos.div_ceil(1000);
        TimeVal {
            seconds: (micros / 1_000_000) as i64,
            micros: (micros % 1_000_000) as i64,
        }
    }

    const fn to_nanos(self) -> Result<u64> {
        if self.seconds < 0 || self.micros < 0 || self.micros >= 1_000_000 {
            return Err(Errno::EINVAL);
        }
        Ok((self.seconds as u64)
            .saturating_mul(NANOS_PER_SECOND)
            .saturating_add(self.micros as u64 * 1000))
    }
}

/// `struct itimerval`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct TimerValue {
    interval: TimeVal,
    value: TimeVal,
}

impl From<IntervalTimer> for TimerValue {
    fn from(timer: IntervalTimer) -> TimerValue {
        TimerValue {
            interval: TimeVal::from_nanos(timer.interval),
            value: TimeVal::from_nanos(timer.left),
        }
    }
}

fn timer_kind(number: i32) -> Result<TimerKind> {
    match number {
        0 => Ok(TimerKind::Real),
        1 => Ok(TimerKind::Virtual),
        2 => Ok(TimerKind::Profiling),
        _ => Err(Errno::EINVAL),
    }
}

/// getitimer(2).
pub(super) fn getitimer(call: &mut Call<'_>) -> Answer {
    let kind = timer_kind(call.int::<0>())?;
    let value = TimerValue::from(signal::interval_timer(call.kernel, call.process(), kind));
    call.space().write_user(call.addr::<1>(), &value)?;
    DONE
}

/// setitimer(2). NULL for the new value switches the timer off, as Linux does.
pub(super) fn setitimer(call: &mut Call<'_>) -> Answer {
    let (new, old) = (call.addr::<1>(), call.addr::<2>());
    let wanted = match new.0 {
        0 => IntervalTimer::default(),
        _ => {
            let value: TimerValue = call.space().read_user(new)?;
            IntervalTimer {
                left: value.value.to_nanos()?,
                interval: value.interval.to_nanos()?,
            }
        }
    };
    let kind = timer_kind(call.int::<0>())?;
    // CPU time counts from now on, not from the last switch.
    let now = call.kernel.machine.now();
    call.task.stop_clock(now);
    let before = TimerValue::from(signal::set_interval_timer(
        call.kernel,
        call.process(),
        kind,
        wanted,
    ));
    if old.0 != 0 {
        call.space().write_user(old, &before)?;
    }
    DONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeval_out_of_range_is_einval() {
        for bad in [(-1, 0), (0, -1), (0, 1_000_000)] {
            assert_eq!(
                TimeVal {
                    seconds: bad.0,
                    micros: bad.1
                }
                .to_nanos(),
                Err(Errno::EINVAL)
            );
        }
        assert_eq!(
            TimeVal {
                seconds: i64::MAX,
                micros: 0
            }
            .to_nanos(),
            Ok(u64::MAX)
        );
    }

    #[test]
    fn timeval_of_what_is_left_never_reads_zero() {
        let one = TimeVal::from_nanos(1);
        assert_eq!((one.seconds, one.micros), (0, 1));
        let second = TimeVal::from_nanos(999_999_001);
        assert_eq!((second.seconds, second.micros), (1, 0));
    }

    #[test]
    fn signal_zero_sends_nothing_and_65_is_einval() {
        assert_eq!(sent(0), Ok(None));
        assert_eq!(sent(65), Err(Errno::EINVAL));
        assert_eq!(sent(-1), Err(Errno::EINVAL));
    }
}
