//! The timers of a process that timer_create(2) makes.
//!
//! Owns each timer's [`Countdown`], its alarm and its count of overruns. Promises: of one timer at most one signal pends;
//! what expires meanwhile is counted and told with it. Not inherited by fork, gone after exec and with the process. The
//! table is of lock level 2, a timer of level 3; signals are sent with neither held. Nothing here waits.
//!
//! While a timer's signal pends its alarm is off, however short its interval: delivery counts what has expired by then and
//! sets the alarm anew. So it is while the signal cannot be sent, because it is ignored or pends already for another
//! reason: the timer is *stuck* until one of these changes ([`PosixTimers::on_release`]).
//!
//! CPU time is not watched: such a timer rings at the earliest instant at which it could be due, looks, and rings again, at
//! most a thousand times a second for all timers of a process together.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use halyard_cell::SpinLock;

use super::limits::Resource;
use super::signal::{self, Signal, SignalInfo, SignalSet};
use super::state::Process;
use super::thread::Thread;
use crate::counters::{Kind, Live};
use crate::ipc::timerfd::{TimerClock, TimerSetting};
use crate::kernel::Kernel;
use crate::machine::CpuId;
use crate::sched::alarm::{AlarmKey, Expire};
use crate::time::{Countdown, OnClockSet};
use crate::{Errno, Result};

/// The shortest time from one ring in vain to the next, in nanoseconds, for each timer of the process.
const SHORTEST_NS: u64 = 1_000_000;

/// The most overruns that are told (DELAYTIMER_MAX).
const OVERRUNS_MAX: u64 = i32::MAX as u64;

/// What a timer counts.
#[derive(Clone)]
pub enum Base {
    /// A clock of the machine.
    Clock(TimerClock),
    /// CPU time of the process.
    ProcessTime,
    /// CPU time of one thread.
    ThreadTime(Weak<Thread>),
}

/// Whom a timer tells (`sigev_notify`).
#[derive(Clone)]
pub enum Notify {
    /// SIGEV_NONE: nobody.
    Nobody,
    /// SIGEV_SIGNAL: the process.
    Process(Signal),
    /// SIGEV_THREAD_ID: one thread.
    Thread(Signal, Weak<Thread>),
}

impl Notify {
    const fn signal(&self) -> Option<Signal> {
        match self {
            Notify::Nobody => None,
            Notify::Process(signal) | Notify::Thread(signal, _) => Some(*signal),
        }
    }
}

/// One timer.
pub struct PosixTimer {
    id: i32,
    kernel: &'static Kernel,
    process: Weak<Process>,
    base: Base,
    notify: Notify,
    /// `si_value`.
    value: u64,
    state: SpinLock<State>,
    _live: Live,
}

#[derive(Default)]
struct State {
    countdown: Countdown,
    /// A length of time by the wall clock is counted by the other: setting the clock does not change it.
    relative: bool,
    alarm: Option<(CpuId, AlarmKey)>,
    /// Its signal pends, or it is stuck.
    queued: bool,
    /// Its signal could not be sent.
    stuck: bool,
    /// How often it was tried to send it.
    tries: u64,
    overrun: u32,
    deleted: bool,
}

/// The timers of a process.
#[derive(Default)]
pub struct PosixTimers {
    table: SpinLock<Table>,
    /// Whether there ever was one: read without the lock.
    any: AtomicBool,
    /// How many there are.
    count: AtomicU64,
    /// The signals for which a timer may be stuck.
    stuck: AtomicU64,
}

#[derive(Default)]
struct Table {
    timers: BTreeMap<i32, Arc<PosixTimer>>,
    next: i32,
}

impl Table {
    /// A number that is not in use, the one after the last given if possible.
    fn free_id(&mut self) -> i32 {
        while self.timers.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1) & i32::MAX;
        }
        let id = self.next;
        self.next = id.wrapping_add(1) & i32::MAX;
        id
    }
}

impl PosixTimers {
    /// timer_create(2): a timer that is off. `value` is what its signal carries; None: its number. EAGAIN: as many as
    /// RLIMIT_SIGPENDING allows. ENOMEM.
    pub fn create(
        &self,
        kernel: &'static Kernel,
        process: &Arc<Process>,
        base: Base,
        notify: Notify,
        value: Option<u64>,
    ) -> Result<Arc<PosixTimer>> {
        let most = process.limits.get(Resource::PENDING_SIGNALS).soft;
        let mut table = self.table.lock();
        if table.timers.len() as u64 >= most {
            return Err(Errno::EAGAIN);
        }
        let id = table.free_id();
        let timer = Arc::new(PosixTimer {
            id,
            kernel,
            process: Arc::downgrade(process),
            base,
            notify,
            value: value.unwrap_or(id as u64),
            state: SpinLock::default(),
            _live: Live::new(Kind::PosixTimer),
        });
        if let Base::Clock(TimerClock::Real) = timer.base {
            let listener: Weak<dyn OnClockSet> = Arc::<PosixTimer>::downgrade(&timer);
            kernel.clock.listen(listener)?;
        }
        table.timers.insert(id, Arc::clone(&timer));
        self.note_count(&table);
        self.any.store(true, Ordering::Relaxed);
        Ok(timer)
    }

    /// The timer of that number. EINVAL.
    pub fn get(&self, id: i32) -> Result<Arc<PosixTimer>> {
        let found = self.table.lock().timers.get(&id).cloned();
        found.ok_or(Errno::EINVAL)
    }

    /// timer_delete(2). EINVAL.
    pub fn delete(&self, id: i32) -> Result<()> {
        let mut table = self.table.lock();
        let timer = table.timers.remove(&id);
        self.note_count(&table);
        drop(table);
        timer.ok_or(Errno::EINVAL)?.end();
        Ok(())
    }

    /// Ends all: the process has ended, or executes another program.
    pub fn clear(&self) {
        if self.any.load(Ordering::Relaxed) {
            let mut table = self.table.lock();
            let timers = core::mem::take(&mut table.timers);
            self.note_count(&table);
            drop(table);
            timers.into_values().for_each(|timer| timer.end());
        }
    }

    /// A signal of a timer's is being taken: counts what has expired and says so in `info`; the timer goes on.
    pub fn on_delivery(&self, info: &mut SignalInfo) {
        if let Ok(timer) = self.get(info.timer_id()) {
            timer.delivered(info);
        }
    }

    fn note_count(&self, table: &Table) {
        self.count
            .store(table.timers.len() as u64, Ordering::Relaxed);
    }

    /// What pended of `signals` has been forgotten: their timers go on.
    pub fn on_discard(&self, signals: SignalSet) {
        if self.any.load(Ordering::Relaxed) {
            self.go_on(|timer| timer.tells_by(signals));
        }
    }

    /// Those of `signals` that could not be sent may be sent now: none of them pends, or they are not ignored any more, or
    /// blocked. Timers that are stuck for them go on.
    #[inline]
    pub fn on_release(&self, signals: SignalSet) {
        // Who is stuck has said so before it looked whether its signal can be sent, and what makes that possible was done
        // before this: one of both sees the other.
        if self.stuck.load(Ordering::SeqCst) & signals.0 != 0 {
            self.stuck.fetch_and(!signals.0, Ordering::SeqCst);
            self.go_on(|timer| timer.tells_by(signals) && timer.state.lock().stuck);
        }
    }

    /// Has the timers that `wanted` admits go on as if their signals had been taken.
    #[cold]
    fn go_on(&self, wanted: impl Fn(&PosixTimer) -> bool) {
        let mut next = 0;
        loop {
            let table = self.table.lock();
            let Some((id, timer)) = table.timers.range(next..).next() else {
                return;
            };
            let (id, timer) = (*id, Arc::clone(timer));
            drop(table);
            if wanted(&timer) {
                timer.delivered(&mut SignalInfo::default());
            }
            let Some(after) = id.checked_add(1) else {
                return;
            };
            next = after;
        }
    }

    /// The numbers of all (for tests and /proc).
    #[must_use]
    pub fn ids(&self) -> Vec<i32> {
        self.table.lock().timers.keys().copied().collect()
    }
}

impl PosixTimer {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> i32 {
        self.id
    }

    /// timer_settime(2): returns what it was set to.
    pub fn set(self: &Arc<Self>, to: TimerSetting, absolute: bool) -> TimerSetting {
        let mut state = self.state.lock();
        let before = self.left(&state);
        if state.deleted {
            return before;
        }
        state.relative = !absolute;
        state.overrun = 0;
        state.queued &= !state.stuck;
        state.stuck = false;
        state.countdown = match (to.value, absolute) {
            // An interval without a first expiry means nothing, and is not kept.
            (0, _) => Countdown::off(0),
            (due, true) => Countdown::at(due, to.interval),
            (length, false) => Countdown::at(self.read(&state).saturating_add(length), to.interval),
        };
        self.wind(&mut state, 0);
        before
    }

    /// timer_gettime(2).
    #[must_use]
    pub fn setting(&self) -> TimerSetting {
        self.left(&self.state.lock())
    }

    /// timer_getoverrun(2): what expired between the signal delivered last and its delivery.
    #[must_use]
    pub fn overrun(&self) -> u32 {
        self.state.lock().overrun
    }

    fn left(&self, state: &State) -> TimerSetting {
        TimerSetting {
            value: state.countdown.left(self.read(state)),
            interval: state.countdown.interval(),
        }
    }

    /// What its clock reads; one whose owner has gone stands still.
    fn read(&self, state: &State) -> u64 {
        match &self.base {
            Base::Clock(TimerClock::Real) if state.relative => {
                TimerClock::Monotonic.read(self.kernel)
            }
            Base::Clock(clock) => clock.read(self.kernel),
            Base::ProcessTime => self
                .process
                .upgrade()
                .map_or(0, |process| process.times.own.load(Ordering::Relaxed)),
            Base::ThreadTime(thread) => thread
                .upgrade()
                .map_or(0, |thread| thread.cpu_time.load(Ordering::Relaxed)),
        }
    }

    fn silence(&self, state: &mut State) {
        if let Some((cpu, key)) = state.alarm.take() {
            self.kernel.scheduler.cpu(cpu).alarms.cancel(key);
        }
    }

    /// Sets the alarm to the next expiry, but no sooner than in `least` nanoseconds.
    fn wind(self: &Arc<Self>, state: &mut State, least: u64) {
        self.silence(state);
        if matches!(self.notify, Notify::Nobody) || state.deleted {
            return;
        }
        if let Some(due) = state.countdown.due() {
            let left = due.saturating_sub(self.read(state)).max(least);
            let at = self.kernel.machine.now().after(left);
            let cpu = self.kernel.this_cpu();
            let who = Arc::clone(self) as Arc<dyn Expire>;
            state.alarm = Some((cpu.id, cpu.alarms.set(at, who)));
        }
    }

    fn end(&self) {
        let mut state = self.state.lock();
        state.deleted = true;
        self.silence(&mut state);
    }

    /// Its signal is no longer pending.
    fn delivered(self: &Arc<Self>, info: &mut SignalInfo) {
        let mut state = self.state.lock();
        if !state.queued {
            return;
        }
        state.queued = false;
        state.stuck = false;
        let now = self.read(&state);
        let times = state.countdown.take(now);
        let overrun = times.saturating_sub(1).min(OVERRUNS_MAX) as u32;
        state.overrun = overrun;
        info.set_overrun(overrun);
        self.wind(&mut state, 0);
    }

    /// Whether it tells by one of `signals`.
    fn tells_by(&self, signals: SignalSet) -> bool {
        self.notify
            .signal()
            .is_some_and(|signal| signals.contains(signal))
    }

    /// The signal of try `this` could not be sent: waits until it can be, which it may be by now.
    fn get_stuck(&self, this: u64) {
        let (Some(signal), Some(process)) = (self.notify.signal(), self.process.upgrade()) else {
            return;
        };
        let mine = |state: &State| state.queued && state.tries == this;
        let mut state = self.state.lock();
        if !mine(&state) {
            return;
        }
        state.stuck = true;
        drop(state);
        let stuck = &process.posix_timers.stuck;
        stuck.fetch_or(signal.set().0, Ordering::SeqCst);
        if self.send() {
            let mut state = self.state.lock();
            if mine(&state) {
                state.stuck = false;
            }
        }
    }

    /// Sends its signal; true if it pends now and was not pending before.
    fn send(&self) -> bool {
        let info = SignalInfo::timer(self.id as u32, 0, self.value);
        match &self.notify {
            Notify::Nobody => false,
            Notify::Process(signal) => self
                .process
                .upgrade()
                .is_some_and(|process| signal::send_for_timer(&process, None, *signal, info)),
            Notify::Thread(signal, thread) => thread.upgrade().is_some_and(|thread| {
                signal::send_for_timer(&thread.process, Some(&thread), *signal, info)
            }),
        }
    }
}

impl Expire for PosixTimer {
    fn expired(self: Arc<Self>) {
        let mut state = self.state.lock();
        if state.alarm.is_none() || state.queued {
            return;
        }
        if !state.countdown.has_expired(self.read(&state)) {
            // CPU time that was not used or not charged yet, or a clock that was set back.
            let process = self.process.upgrade();
            let together = process.as_ref().map_or(1, |process| {
                process.posix_timers.count.load(Ordering::Relaxed).max(1)
            });
            self.wind(&mut state, SHORTEST_NS * together);
            drop(state);
            if let (false, Some(process)) = (matches!(self.base, Base::Clock(_)), process) {
                self.kernel.charge_others(process.pid);
            }
            return;
        }
        state.alarm = None;
        state.queued = true;
        state.tries += 1;
        let this = state.tries;
        drop(state);
        if !self.send() {
            self.get_stuck(this);
        }
    }
}

impl OnClockSet for PosixTimer {
    fn clock_set(self: Arc<Self>) {
        let mut state = self.state.lock();
        if !state.relative && !state.queued {
            self.wind(&mut state, 0);
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;
