//! timer_create(2) and its kin, timerfd_create(2) and its kin, signalfd4(2).

use alloc::sync::Arc;

use halyard_abi::raw::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Answer, Call, DONE, Outcome};
use crate::fs::file::Special;
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::ipc::signalfd::SignalFd;
use crate::ipc::timerfd::{TimerClock, TimerFd, TimerMode, TimerSetting};
use crate::machine::UserAddr;
use crate::process::posix_timer::{Base, Notify, PosixTimer};
use crate::process::signal::{Signal, SignalSet};
use crate::time::TimeSpec;
use crate::{Errno, Result};

/// `struct itimerspec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Setting {
    interval: TimeSpec,
    value: TimeSpec,
}

impl From<TimerSetting> for Setting {
    fn from(setting: TimerSetting) -> Setting {
        Setting {
            interval: TimeSpec::from_nanos(setting.interval),
            value: TimeSpec::from_nanos(setting.value),
        }
    }
}

/// What a program asks for at `from`. EFAULT, EINVAL.
fn read_setting(call: &Call<'_>, from: UserAddr) -> Result<TimerSetting> {
    let setting: Setting = call.space().read_user(from)?;
    Ok(TimerSetting {
        value: setting.value.to_nanos()?,
        interval: setting.interval.to_nanos()?,
    })
}

fn write_setting(call: &Call<'_>, to: UserAddr, setting: TimerSetting) -> Result<()> {
    if to.0 == 0 {
        return Ok(());
    }
    call.space().write_user(to, &Setting::from(setting))
}

/// A clock of the machine; those that wake it from sleep are the same to one that never sleeps. EINVAL.
fn machine_clock(number: u32) -> Result<TimerClock> {
    match number {
        raw::CLOCK_REALTIME | raw::CLOCK_REALTIME_ALARM => Ok(TimerClock::Real),
        raw::CLOCK_MONOTONIC | raw::CLOCK_BOOTTIME | raw::CLOCK_BOOTTIME_ALARM => {
            Ok(TimerClock::Monotonic)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// EPERM: a clock that wakes the machine is for the privileged.
fn check_alarm_clock(call: &Call<'_>, number: u32) -> Result<()> {
    let wakes = matches!(
        number,
        raw::CLOCK_REALTIME_ALARM | raw::CLOCK_BOOTTIME_ALARM
    );
    if wakes && !call.process().credentials().privileged() {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// timerfd_create(2): clock, flags.
pub(super) fn timerfd_create(call: &mut Call<'_>) -> Answer {
    let (number, flags) = (call.uint::<0>(), call.uint::<1>());
    if flags & !(raw::TFD_CLOEXEC | raw::TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let clock = machine_clock(number)?;
    check_alarm_clock(call, number)?;
    let file = TimerFd::new(call.kernel, clock)?;
    let fd = call.open_anonymous(
        Arc::new(file),
        flags & raw::TFD_NONBLOCK != 0,
        flags & raw::TFD_CLOEXEC != 0,
    )?;
    Ok(Outcome::Done(fd as usize))
}

/// EINVAL: not a timerfd.
fn timer_file(file: &OpenFile) -> Result<&TimerFd> {
    match file.file().special() {
        Special::TimerFd(timer) => Ok(timer),
        _ => Err(Errno::EINVAL),
    }
}

/// timerfd_settime(2): descriptor, flags, new setting, old setting.
pub(super) fn timerfd_settime(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<1>();
    let setting = read_setting(call, call.addr::<2>());
    if setting == Err(Errno::EFAULT) {
        return Err(Errno::EFAULT);
    }
    if flags & !(raw::TFD_TIMER_ABSTIME | raw::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let setting = setting?;
    let file = call.file::<0>()?;
    let mode = TimerMode {
        absolute: flags & raw::TFD_TIMER_ABSTIME != 0,
        cancel_on_set: flags & raw::TFD_TIMER_CANCEL_ON_SET != 0,
    };
    let before = timer_file(&file)?.set(setting, mode);
    write_setting(call, call.addr::<3>(), before)?;
    DONE
}

/// timerfd_gettime(2).
pub(super) fn timerfd_gettime(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let setting = timer_file(&file)?.get();
    call.space()
        .write_user(call.addr::<1>(), &Setting::from(setting))?;
    DONE
}

/// signalfd4(2): descriptor to change or -1, mask, its size, flags.
pub(super) fn signalfd4(call: &mut Call<'_>) -> Answer {
    let (fd, flags) = (call.int::<0>(), call.uint::<3>());
    if call.size::<2>() != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let mask = SignalSet(call.space().read_user(call.addr::<1>())?);
    // SFD_CLOEXEC and SFD_NONBLOCK have the values of O_CLOEXEC and O_NONBLOCK.
    let nonblocking = OpenFlags::NONBLOCK.bits();
    if flags & !(super::descriptor::O_CLOEXEC | nonblocking) != 0 {
        return Err(Errno::EINVAL);
    }
    if fd == -1 {
        let file = SignalFd::new(call.kernel, mask);
        let fd = call.open_anonymous(
            Arc::new(file),
            flags & nonblocking != 0,
            flags & super::descriptor::O_CLOEXEC != 0,
        )?;
        return Ok(Outcome::Done(fd as usize));
    }
    let file = call.file::<0>()?;
    let Special::SignalFd(signals) = file.file().special() else {
        return Err(Errno::EINVAL);
    };
    signals.set_mask(mask);
    Ok(Outcome::Done(fd as usize))
}

/// `struct sigevent`, as far as the kernel reads it; it is 64 bytes long.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct SigEvent {
    value: u64,
    signo: i32,
    notify: i32,
    thread: i32,
    pad: [u32; 11],
}

const _: () = assert!(size_of::<SigEvent>() == raw::SIGEV_MAX_SIZE as usize);

/// Whom `event` names. EINVAL.
fn notify(call: &Call<'_>, event: &SigEvent) -> Result<Notify> {
    let signal = || Signal::from_number(event.signo);
    match event.notify.cast_unsigned() {
        raw::SIGEV_NONE => Ok(Notify::Nobody),
        // SIGEV_THREAD is the C library's affair: to the kernel it is a signal.
        raw::SIGEV_SIGNAL | raw::SIGEV_THREAD => Ok(Notify::Process(signal()?)),
        raw::SIGEV_THREAD_ID => {
            let tid = u32::try_from(event.thread).map_err(|_| Errno::EINVAL)?;
            let thread = call.kernel.processes.thread(tid).ok_or(Errno::EINVAL)?;
            if thread.process.pid != call.process().pid {
                return Err(Errno::EINVAL);
            }
            Ok(Notify::Thread(signal()?, Arc::downgrade(&thread)))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The clock of timer_create(2). EINVAL: no such clock. EOPNOTSUPP: no timers run by it.
fn timer_base(call: &Call<'_>, number: u32) -> Result<Base> {
    match number {
        raw::CLOCK_PROCESS_CPUTIME_ID => Ok(Base::ProcessTime),
        raw::CLOCK_THREAD_CPUTIME_ID => Ok(Base::ThreadTime(Arc::downgrade(call.thread()))),
        raw::CLOCK_MONOTONIC_RAW | raw::CLOCK_REALTIME_COARSE | raw::CLOCK_MONOTONIC_COARSE => {
            Err(Errno::EOPNOTSUPP)
        }
        other => machine_clock(other).map(Base::Clock),
    }
}

/// timer_create(2): clock, event (NULL: SIGALRM with the timer's number), where its number goes.
pub(super) fn timer_create(call: &mut Call<'_>) -> Answer {
    let (number, event) = (call.uint::<0>(), call.addr::<1>());
    let event: Option<SigEvent> = match event.0 {
        0 => None,
        _ => Some(call.space().read_user(event)?),
    };
    let base = timer_base(call, number)?;
    let (notify, value) = match &event {
        None => (Notify::Process(Signal::ALRM), None),
        Some(event) => (notify(call, event)?, Some(event.value)),
    };
    check_alarm_clock(call, number)?;
    let process = call.process();
    let timers = &process.posix_timers;
    let timer = timers.create(call.kernel, process, base, notify, value)?;
    if let Err(fault) = call.space().write_user(call.addr::<2>(), &timer.id()) {
        timers.delete(timer.id())?;
        return Err(fault);
    }
    DONE
}

/// The timer that argument 0 names. CPU time that was used up to now is charged, so that its clock is right. EINVAL.
fn timer(call: &mut Call<'_>) -> Result<Arc<PosixTimer>> {
    let now = call.kernel.machine.now();
    call.task.stop_clock(now);
    call.process().posix_timers.get(call.int::<0>())
}

/// timer_settime(2): timer, flags, new setting, old setting.
pub(super) fn timer_settime(call: &mut Call<'_>) -> Answer {
    let setting = read_setting(call, call.addr::<2>())?;
    let absolute = call.uint::<1>() & raw::TIMER_ABSTIME != 0;
    let before = timer(call)?.set(setting, absolute);
    write_setting(call, call.addr::<3>(), before)?;
    DONE
}

/// timer_gettime(2).
pub(super) fn timer_gettime(call: &mut Call<'_>) -> Answer {
    let setting = timer(call)?.setting();
    call.space()
        .write_user(call.addr::<1>(), &Setting::from(setting))?;
    DONE
}

/// timer_getoverrun(2).
pub(super) fn timer_getoverrun(call: &mut Call<'_>) -> Answer {
    let overrun = timer(call)?.overrun();
    Ok(Outcome::Done(overrun as usize))
}

/// timer_delete(2).
pub(super) fn timer_delete(call: &mut Call<'_>) -> Answer {
    call.process().posix_timers.delete(call.int::<0>())?;
    DONE
}
