//! Clocks and sleeping.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::{Answer, Call, DONE, Outcome};
use crate::Errno;
use crate::Result;
use crate::machine::UserAddr;
use crate::process::signal;
use crate::process::thread::Thread;
use crate::time::{Instant, NANOS_PER_SECOND, TimeSpec};
use crate::wait::{Interruption, wait_for_time};

const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
const CLOCK_PROCESS_CPUTIME_ID: u32 = 2;
const CLOCK_THREAD_CPUTIME_ID: u32 = 3;
const CLOCK_MONOTONIC_RAW: u32 = 4;
const CLOCK_REALTIME_COARSE: u32 = 5;
const CLOCK_MONOTONIC_COARSE: u32 = 6;
const CLOCK_BOOTTIME: u32 = 7;
const TIMER_ABSTIME: u32 = 1;

/// The time on a clock, in nanoseconds. EINVAL: no such clock.
fn read_clock(call: &Call<'_>, clock: u32) -> Result<u64> {
    let kernel = call.kernel;
    let now = kernel.machine.now();
    match clock {
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME => {
            Ok(now.0)
        }
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE => Ok(kernel.clock.real(now)),
        CLOCK_PROCESS_CPUTIME_ID => {
            Ok(call.process().times.own.load(Ordering::Relaxed) + call.task.ran(now))
        }
        CLOCK_THREAD_CPUTIME_ID => {
            Ok(call.thread().cpu_time.load(Ordering::Relaxed) + call.task.ran(now))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// clock_gettime(2).
pub(super) fn clock_gettime(call: &mut Call<'_>) -> Answer {
    let time = TimeSpec::from_nanos(read_clock(call, call.uint::<0>())?);
    call.space().write_user(call.addr::<1>(), &time)?;
    DONE
}

/// clock_getres(2): the counter ticks faster than a nanosecond can say, or nearly.
pub(super) fn clock_getres(call: &mut Call<'_>) -> Answer {
    read_clock(call, call.uint::<0>())?;
    if call.arg::<1>() != 0 {
        call.space().write_user(
            call.addr::<1>(),
            &TimeSpec {
                seconds: 0,
                nanos: 1,
            },
        )?;
    }
    DONE
}

/// clock_settime(2): the real-time clock alone, by the privileged alone.
pub(super) fn clock_settime(call: &mut Call<'_>) -> Answer {
    let time: TimeSpec = call.space().read_user(call.addr::<1>())?;
    if call.uint::<0>() != CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    let nanos = time.to_nanos()?;
    if !call.process().credentials().privileged() {
        return Err(Errno::EPERM);
    }
    call.kernel.clock.set_real(call.kernel.machine.now(), nanos);
    DONE
}

/// gettimeofday(2).
pub(super) fn gettimeofday(call: &mut Call<'_>) -> Answer {
    let nanos = call.kernel.clock.real(call.kernel.machine.now());
    if call.arg::<0>() != 0 {
        let time = [nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND / 1000];
        call.space().write_user(call.addr::<0>(), &time)?;
    }
    if call.arg::<1>() != 0 {
        call.space().write_user(call.addr::<1>(), &[0u32; 2])?;
    }
    DONE
}

/// times(2), in ticks of 1/100 s.
pub(super) fn times(call: &mut Call<'_>) -> Answer {
    const TICK: u64 = NANOS_PER_SECOND / 100;
    let now = call.kernel.machine.now();
    let times = &call.process().times;
    let own = (times.own.load(Ordering::Relaxed) + call.task.ran(now)) / TICK;
    let children = times.children.load(Ordering::Relaxed) / TICK;
    if call.arg::<0>() != 0 {
        call.space()
            .write_user(call.addr::<0>(), &[own, 0, children, 0])?;
    }
    Ok(Outcome::Done((now.0 / TICK) as usize))
}

/// nanosleep(2).
pub(super) fn nanosleep(call: &mut Call<'_>) -> Answer {
    let time: TimeSpec = call.space().read_user(call.addr::<0>())?;
    let until = call.kernel.machine.now().after(time.to_nanos()?);
    sleep_until(call, until, Some(call.addr::<1>()))
}

/// clock_nanosleep(2).
pub(super) fn clock_nanosleep(call: &mut Call<'_>) -> Answer {
    let clock = call.uint::<0>();
    let time: TimeSpec = call.space().read_user(call.addr::<2>())?;
    let nanos = time.to_nanos()?;
    if clock == CLOCK_THREAD_CPUTIME_ID {
        return Err(Errno::EINVAL);
    }
    let reading = read_clock(call, clock)?;
    let now = call.kernel.machine.now();
    if call.uint::<1>() & TIMER_ABSTIME != 0 {
        return sleep_until(call, now.after(nanos.saturating_sub(reading)), None);
    }
    sleep_until(call, now.after(nanos), Some(call.addr::<3>()))
}

/// Sleeps until `until`. Interrupted: EINTR, with what is left stored at `left` if that is given and not NULL; an absolute
/// sleep is made anew if no handler ran, a relative one goes on to the same end.
fn sleep_until(call: &mut Call<'_>, until: Instant, left: Option<UserAddr>) -> Answer {
    if call.kernel.machine.now() >= until {
        return DONE;
    }
    let thread = Arc::clone(call.thread());
    call.wait(async move {
        match wait_for_time(&thread, Some(until)).await {
            Interruption::TimedOut => Ok(0),
            Interruption::Signal => interrupted_sleep(&thread, until, left),
            Interruption::OutOfMemory => Err(Errno::ENOMEM),
        }
    })
}

fn interrupted_sleep(
    thread: &Arc<Thread>,
    until: Instant,
    left: Option<UserAddr>,
) -> Result<usize> {
    let Some(left) = left else {
        return Err(signal::RESTART_NO_HANDLER);
    };
    if left.0 != 0 {
        let rest = TimeSpec::from_nanos(until.since(thread.kernel().machine.now()));
        thread
            .process
            .space()
            .ok_or(Errno::EFAULT)?
            .write_user(left, &rest)?;
    }
    thread.signals.restart_sleep(until, left);
    Err(signal::RESTART_SLEEP)
}

/// restart_syscall(2): goes on with a sleep that a stop interrupted.
pub(super) fn restart_syscall(call: &mut Call<'_>) -> Answer {
    let (until, left) = call
        .thread()
        .signals
        .sleep_to_restart()
        .ok_or(Errno::EINTR)?;
    sleep_until(call, until, Some(left))
}
