//! The interval timers of a process (setitimer(2), alarm(2)): real time, and CPU time.
//!
//! CPU time is not watched: its timers ring at the earliest instant at which the process could have used what is left,
//! look, and look again if it has not, a millisecond later at the soonest. A thread's time is charged when it leaves the CPU and when that is interrupted, which
//! a look does: where another CPU runs the process, they may be late by one look more. User and system time are not told apart: ITIMER_VIRTUAL
//! and ITIMER_PROF count the same.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use halyard_cell::SpinLock;

use super::info::SignalInfo;
use super::number::Signal;
use super::send::send_to_process;
use crate::kernel::Kernel;
use crate::machine::CpuId;
use crate::process::state::Process;
use crate::sched::alarm::{AlarmKey, Expire};

/// The shortest time from one ring or look to the next, in nanoseconds.
const SHORTEST_NS: u64 = 1_000_000;

/// Which of the three timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// ITIMER_REAL: SIGALRM.
    Real,
    /// ITIMER_VIRTUAL: SIGVTALRM.
    Virtual,
    /// ITIMER_PROF: SIGPROF.
    Profiling,
}

impl TimerKind {
    const fn signal(self) -> Signal {
        match self {
            TimerKind::Real => Signal::ALRM,
            TimerKind::Virtual => Signal::VTALRM,
            TimerKind::Profiling => Signal::PROF,
        }
    }

    /// What its clock reads, in nanoseconds.
    fn clock(self, kernel: &Kernel, process: &Process) -> u64 {
        match self {
            TimerKind::Real => kernel.machine.now().0,
            TimerKind::Virtual | TimerKind::Profiling => process.times.own.load(Ordering::Relaxed),
        }
    }
}

/// What a timer is set to, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntervalTimer {
    /// Until it rings; 0: it is off.
    pub left: u64,
    /// Between rings after that; 0: it rings once.
    pub interval: u64,
}

#[derive(Default)]
struct Setting {
    /// What its clock reads when it rings.
    due: u64,
    interval: u64,
    /// None: it is off.
    alarm: Option<(CpuId, AlarmKey)>,
}

/// The timers of a process. Lock level 2.
#[derive(Default)]
pub(super) struct IntervalTimers {
    real: SpinLock<Setting>,
    virtual_time: SpinLock<Setting>,
    profiling: SpinLock<Setting>,
}

/// What the alarm queue holds while a timer is on.
struct Ring {
    kernel: &'static Kernel,
    process: Arc<Process>,
    kind: TimerKind,
}

impl IntervalTimers {
    const fn of(&self, kind: TimerKind) -> &SpinLock<Setting> {
        match kind {
            TimerKind::Real => &self.real,
            TimerKind::Virtual => &self.virtual_time,
            TimerKind::Profiling => &self.profiling,
        }
    }

    /// Switches all off: the process has ended.
    pub(super) fn cancel(&self, kernel: &Kernel) {
        for timer in [&self.real, &self.virtual_time, &self.profiling] {
            silence(kernel, &mut timer.lock());
        }
    }
}

/// getitimer(2).
pub fn interval_timer(kernel: &Kernel, process: &Process, kind: TimerKind) -> IntervalTimer {
    left_of(
        &process.signals.timers.of(kind).lock(),
        kind.clock(kernel, process),
    )
}

/// setitimer(2): sets a timer and returns what it was set to. Allocates a little.
pub fn set_interval_timer(
    kernel: &'static Kernel,
    process: &Arc<Process>,
    kind: TimerKind,
    to: IntervalTimer,
) -> IntervalTimer {
    let clock = kind.clock(kernel, process);
    let mut setting = process.signals.timers.of(kind).lock();
    let before = left_of(&setting, clock);
    silence(kernel, &mut setting);
    if to.left != 0 {
        setting.due = clock.saturating_add(to.left);
        setting.interval = to.interval;
        let ring = Ring {
            kernel,
            process: Arc::clone(process),
            kind,
        };
        setting.alarm = Some(wind(kernel, to.left, Arc::new(ring)));
    }
    before
}

fn left_of(setting: &Setting, clock: u64) -> IntervalTimer {
    if setting.alarm.is_none() {
        return IntervalTimer {
            left: 0,
            interval: setting.interval,
        };
    }
    // One that is on never reads 0, which would mean off.
    IntervalTimer {
        left: setting.due.saturating_sub(clock).max(1),
        interval: setting.interval,
    }
}

fn silence(kernel: &Kernel, setting: &mut Setting) {
    if let Some((cpu, key)) = setting.alarm.take() {
        kernel.scheduler.cpu(cpu).alarms.cancel(key);
    }
    setting.interval = 0;
}

fn wind(kernel: &Kernel, left: u64, ring: Arc<Ring>) -> (CpuId, AlarmKey) {
    let cpu = kernel.this_cpu();
    (
        cpu.id,
        cpu.alarms
            .set(kernel.machine.now().after(left), ring as Arc<dyn Expire>),
    )
}

impl Expire for Ring {
    fn expired(self: Arc<Self>) {
        let (kernel, process, kind) = (self.kernel, Arc::clone(&self.process), self.kind);
        let clock = kind.clock(kernel, &process);
        let mut setting = process.signals.timers.of(kind).lock();
        if setting.alarm.is_none() {
            return;
        }
        let due = setting.due <= clock;
        if due {
            // At most once in a millisecond: a timer that asks for more would leave its CPU nothing else to do.
            let soonest = if setting.interval > 0 {
                clock.saturating_add(SHORTEST_NS)
            } else {
                0
            };
            setting.due = next_due(&setting, clock).max(soonest);
        }
        setting.alarm = if setting.due > clock {
            // CPU time may stand still for ever just before the ring: looks keep their distance too.
            let left = (setting.due - clock).max(SHORTEST_NS);
            Some(wind(kernel, left, self))
        } else {
            None
        };
        drop(setting);
        if !due {
            kernel.charge_others(process.pid);
        } else {
            // A signal of the kernel's never finds the queue full.
            let _ = send_to_process(&process, kind.signal(), SignalInfo::kernel());
        }
    }
}

/// The first ring after `clock`, by whole intervals; 0 if there is none.
const fn next_due(setting: &Setting, clock: u64) -> u64 {
    match clock
        .saturating_sub(setting.due)
        .checked_div(setting.interval)
    {
        Some(missed) => setting
            .due
            .saturating_add(missed.saturating_add(1).saturating_mul(setting.interval)),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_ring_is_the_first_in_the_future_by_whole_intervals() {
        let setting = Setting {
            due: 100,
            interval: 10,
            alarm: None,
        };
        assert_eq!(next_due(&setting, 100), 110);
        assert_eq!(next_due(&setting, 109), 110);
        assert_eq!(next_due(&setting, 110), 120);
        assert_eq!(next_due(&setting, 1000), 1010);
        assert_eq!(
            next_due(
                &Setting {
                    interval: 0,
                    ..setting
                },
                100
            ),
            0
        );
    }

    #[test]
    fn next_ring_near_the_end_of_time_does_not_overflow() {
        let setting = Setting {
            due: u64::MAX - 1,
            interval: u64::MAX,
            alarm: None,
        };
        assert_eq!(next_due(&setting, u64::MAX), u64::MAX);
    }
}
