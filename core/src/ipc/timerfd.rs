//! Timerfd: a timer behind a descriptor (timerfd_create(2)).
//!
//! Owns a [`Countdown`] and its alarm. How often it expired is computed from the clock when it is asked: only the first
//! expiry since the last read rings, however short the interval. One lock of level 3; nothing here waits.

use alloc::sync::{Arc, Weak};

use halyard_cell::SpinLock;

use crate::counters::{Kind, Live};
use crate::fs::file::{File, Readiness, Side, Special};
use crate::io::Sink;
use crate::kernel::Kernel;
use crate::machine::CpuId;
use crate::sched::alarm::{AlarmKey, Expire};
use crate::time::{Countdown, OnClockSet};
use crate::wait::WaitQueue;
use crate::{Errno, Result};

/// What is read at once, in bytes.
const UNIT: usize = size_of::<u64>();

/// The clocks that a timer may run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerClock {
    /// Time since boot.
    Monotonic,
    /// The wall clock, which may be set.
    Real,
}

/// What a timer is set to, in nanoseconds (`struct itimerspec`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerSetting {
    /// Until it expires, or the reading at which it does; 0: it is off.
    pub value: u64,
    /// Between one expiry and the next; 0: it expires once.
    pub interval: u64,
}

/// How a setting is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerMode {
    /// `value` is a reading of the clock.
    pub absolute: bool,
    /// A jump of the wall clock makes the next read fail with ECANCELED.
    pub cancel_on_set: bool,
}

/// A timer behind a descriptor.
pub struct TimerFd {
    shared: Arc<Shared>,
    _live: Live,
}

/// What the alarm and the wall clock hold too.
struct Shared {
    kernel: &'static Kernel,
    clock: TimerClock,
    state: SpinLock<State>,
    queue: WaitQueue,
}

struct State {
    countdown: Countdown,
    /// The clock of the present setting: a length of time is not changed by setting the wall clock.
    clock: TimerClock,
    cancel_on_set: bool,
    cancelled: bool,
    alarm: Option<(CpuId, AlarmKey)>,
    /// What it had expired when the alarm rang: setting the clock back does not take that away.
    rung: u64,
}

impl TimerFd {
    /// A timer that is off. ENOMEM.
    pub fn new(kernel: &'static Kernel, clock: TimerClock) -> Result<TimerFd> {
        let shared = Arc::new(Shared {
            kernel,
            clock,
            state: SpinLock::new(State {
                countdown: Countdown::default(),
                clock,
                cancel_on_set: false,
                cancelled: false,
                alarm: None,
                rung: 0,
            }),
            queue: WaitQueue::new(),
        });
        if clock == TimerClock::Real {
            let listener: Weak<dyn OnClockSet> = Arc::<Shared>::downgrade(&shared);
            kernel.clock.listen(listener)?;
        }
        Ok(TimerFd {
            shared,
            _live: Live::new(Kind::TimerFd),
        })
    }

    /// timerfd_settime(2): returns what it was set to.
    pub fn set(&self, to: TimerSetting, mode: TimerMode) -> TimerSetting {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        let before = shared.left(&state);
        state.clock = if mode.absolute {
            shared.clock
        } else {
            TimerClock::Monotonic
        };
        let now = state.clock.read(shared.kernel);
        state.countdown = match (to.value, mode.absolute) {
            (0, _) => Countdown::off(to.interval),
            (due, true) => Countdown::at(due, to.interval),
            (length, false) => Countdown::at(now.saturating_add(length), to.interval),
        };
        state.cancel_on_set =
            mode.absolute && mode.cancel_on_set && shared.clock == TimerClock::Real;
        (state.cancelled, state.rung) = (false, 0);
        shared.wind(&mut state);
        before
    }

    /// timerfd_gettime(2).
    #[must_use]
    pub fn get(&self) -> TimerSetting {
        self.shared.left(&self.shared.state.lock())
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        self.shared.silence(&mut self.shared.state.lock());
    }
}

impl TimerClock {
    /// What it reads, in nanoseconds.
    #[must_use]
    pub fn read(self, kernel: &Kernel) -> u64 {
        match self {
            TimerClock::Monotonic => kernel.machine.now().0,
            TimerClock::Real => kernel.wall_clock(),
        }
    }
}

impl Shared {
    fn left(&self, state: &State) -> TimerSetting {
        TimerSetting {
            value: state.countdown.left(state.clock.read(self.kernel)),
            interval: state.countdown.interval(),
        }
    }

    fn silence(&self, state: &mut State) {
        if let Some((cpu, key)) = state.alarm.take() {
            self.kernel.scheduler.cpu(cpu).alarms.cancel(key);
        }
    }

    /// Sets the alarm to the next expiry.
    fn wind(self: &Arc<Shared>, state: &mut State) {
        self.silence(state);
        if let Some(due) = state.countdown.due() {
            let left = due.saturating_sub(state.clock.read(self.kernel));
            let at = self.kernel.machine.now().after(left);
            let cpu = self.kernel.this_cpu();
            let who = Arc::clone(self) as Arc<dyn Expire>;
            state.alarm = Some((cpu.id, cpu.alarms.set(at, who)));
        }
    }

    /// Counts what has expired and tells whether anything has; else the alarm is set anew: the wall clock was set.
    fn ring(self: &Arc<Shared>, state: &mut State) -> bool {
        let now = state.clock.read(self.kernel);
        let times = state.countdown.take(now);
        state.rung = state.rung.saturating_add(times);
        if times == 0 {
            self.wind(state);
        } else {
            self.silence(state);
        }
        times > 0
    }

    /// Takes what a read gets. EAGAIN: it has not expired. ECANCELED: the wall clock has jumped.
    fn take(self: &Arc<Shared>) -> Result<u64> {
        let mut state = self.state.lock();
        if state.cancelled {
            (state.cancelled, state.rung) = (false, 0);
            self.wind(&mut state);
            return Err(Errno::ECANCELED);
        }
        let now = state.clock.read(self.kernel);
        let times = state.rung.saturating_add(state.countdown.take(now));
        state.rung = 0;
        match times {
            0 => Err(Errno::EAGAIN),
            times => {
                self.wind(&mut state);
                Ok(times)
            }
        }
    }

    fn is_ready(&self) -> bool {
        let state = self.state.lock();
        let now = || state.clock.read(self.kernel);
        state.cancelled || state.rung > 0 || state.countdown.has_expired(now())
    }
}

impl Expire for Shared {
    fn expired(self: Arc<Shared>) {
        let mut state = self.state.lock();
        if state.alarm.take().is_none() {
            return;
        }
        let rang = self.ring(&mut state);
        drop(state);
        if rang {
            self.queue.wake_one();
        }
    }
}

impl OnClockSet for Shared {
    fn clock_set(self: Arc<Shared>) {
        let mut state = self.state.lock();
        if state.clock != TimerClock::Real || state.countdown.due().is_none() {
            return;
        }
        state.cancelled |= state.cancel_on_set;
        if state.rung == 0 {
            self.ring(&mut state);
        }
        drop(state);
        self.queue.wake_all();
    }
}

impl File for TimerFd {
    /// How often it has expired since it was last read. EINVAL: room for fewer than eight bytes.
    fn try_read(&self, sink: &mut dyn Sink, _at: u64) -> Result<usize> {
        if sink.remaining() < UNIT {
            return Err(Errno::EINVAL);
        }
        if !self.shared.is_ready() {
            return Err(Errno::EAGAIN);
        }
        sink.prepare(UNIT)?;
        let times = self.shared.take()?;
        sink.put(&times.to_le_bytes())?;
        Ok(UNIT)
    }

    fn poll(&self) -> Readiness {
        if self.shared.is_ready() {
            Readiness::IN | Readiness::RDNORM
        } else {
            Readiness::empty()
        }
    }

    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        (side == Side::Read).then_some(&self.shared.queue)
    }

    fn special(&self) -> Special<'_> {
        Special::TimerFd(self)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
