//! The signals of a process: what it does on each, what pends for any of its threads, whether it is stopped. Lock level 2.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use halyard_cell::SpinLock;

use super::action::{Action, ActionFlags, ActionTable};
use super::interval_timer::IntervalTimers;
use super::number::{Signal, SignalSet};
use super::pending::Pending;
use crate::process::fork::CloneFlags;

/// The signals of a process.
pub struct ProcessSignals {
    /// What was sent to the process.
    pub(super) pending: Pending,
    /// The timers of setitimer(2).
    pub(super) timers: IntervalTimers,
    state: SpinLock<State>,
    /// Whether `state.stop` is set: read without the lock.
    stopped: AtomicBool,
    /// How often SIGCONT has come. A stop that was decided on before the last one does not happen.
    continued: AtomicU32,
    /// The signal that the parent gets when the process ends; 0: none.
    exit_signal: AtomicU8,
    /// A fault of its own takes init away like any other process.
    mortal: AtomicBool,
}

struct State {
    actions: Actions,
    stop: Option<Stop>,
}

/// A stop in progress.
#[derive(Clone, Copy, Debug)]
struct Stop {
    signal: Signal,
    /// The parent has been told: all threads have stopped.
    told: bool,
}

/// The table of actions: shared with a process made by clone(2) with CLONE_SIGHAND and without CLONE_THREAD, which is so
/// rare that the others need not pay for another lock.
enum Actions {
    Own(Box<ActionTable>),
    Shared(Arc<SpinLock<ActionTable>>),
}

impl Actions {
    fn with<R>(&mut self, change: impl FnOnce(&mut ActionTable) -> R) -> R {
        match self {
            Actions::Own(table) => change(table),
            Actions::Shared(table) => change(&mut table.lock()),
        }
    }

    fn copy(&mut self) -> Actions {
        Actions::Own(Box::new(self.with(|table| table.clone())))
    }

    fn share(&mut self) -> Actions {
        if let Actions::Own(table) = self {
            *self = Actions::Shared(Arc::new(SpinLock::new((**table).clone())));
        }
        match self {
            Actions::Shared(table) => Actions::Shared(Arc::clone(table)),
            Actions::Own(table) => Actions::Own(table.clone()),
        }
    }
}

/// What SIGCONT found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// The process was not stopped.
    NotStopped,
    /// It had been asked to stop, and its parent does not know yet.
    Early,
    /// It was stopped, and its parent knows.
    Stopped,
}

impl Default for ProcessSignals {
    fn default() -> Self {
        ProcessSignals::new(Actions::Own(Box::default()), Some(Signal::CHLD))
    }
}

impl ProcessSignals {
    fn new(actions: Actions, exit_signal: Option<Signal>) -> ProcessSignals {
        ProcessSignals {
            pending: Pending::default(),
            timers: IntervalTimers::default(),
            state: SpinLock::new(State {
                actions,
                stop: None,
            }),
            stopped: AtomicBool::new(false),
            continued: AtomicU32::new(0),
            exit_signal: AtomicU8::new(exit_signal.map_or(0, Signal::number)),
            mortal: AtomicBool::new(false),
        }
    }

    /// Those of a child process: nothing pends, no timer runs, the actions are copied or (CLONE_SIGHAND) shared. Allocates
    /// a little. An exit signal beyond 64 is none.
    #[must_use]
    pub fn for_child(&self, flags: CloneFlags, exit_signal: u8) -> ProcessSignals {
        let mut state = self.state.lock();
        let shared = flags.contains(CloneFlags::SIGHAND);
        let actions = if shared {
            state.actions.share()
        } else {
            state.actions.copy()
        };
        drop(state);
        ProcessSignals::new(actions, Signal::from_number(i32::from(exit_signal)).ok())
    }

    /// As execve(2) leaves them: handlers become the default, and nobody shares them any more.
    pub fn reset_for_exec(&self) {
        let mut state = self.state.lock();
        let before = if let Actions::Shared(_) = state.actions {
            let copy = state.actions.copy();
            Some(core::mem::replace(&mut state.actions, copy))
        } else {
            None
        };
        state.actions.with(ActionTable::reset_handlers);
        drop(state);
        drop(before);
        self.exit_signal
            .store(Signal::CHLD.number(), Ordering::Relaxed);
    }

    /// What pends here.
    #[must_use]
    pub fn pending_set(&self) -> SignalSet {
        self.pending.set()
    }

    /// The action for `signal`.
    #[inline]
    #[must_use]
    pub fn action(&self, signal: Signal) -> Action {
        self.state.lock().actions.with(|table| table.get(signal))
    }

    /// Replaces the action for `signal`; returns the old one. What becomes of a pending signal that is now ignored is the
    /// caller's affair ([`super::send::set_action`]).
    #[inline]
    pub(super) fn replace_action(&self, signal: Signal, action: Action) -> Action {
        self.state.lock().actions.with(|table| {
            let before = table.get(signal);
            table.set(signal, action);
            before
        })
    }

    /// The action by which `signal` is delivered now. SA_RESETHAND resets it.
    #[inline]
    pub(super) fn action_for_delivery(&self, signal: Signal) -> Action {
        self.state.lock().actions.with(|table| {
            let action = table.get(signal);
            if action.flags().contains(ActionFlags::RESETHAND) && !action.is_ignore() {
                table.set(signal, action.without_handler());
            }
            action
        })
    }

    /// The signal that the parent gets when the process ends.
    #[must_use]
    pub fn exit_signal(&self) -> Option<Signal> {
        Signal::from_number(i32::from(self.exit_signal.load(Ordering::Relaxed))).ok()
    }

    /// Whether init is to be treated like any other process: a fault of its own is being delivered.
    pub(super) fn is_mortal(&self) -> bool {
        self.mortal.load(Ordering::Relaxed)
    }

    pub(super) fn make_mortal(&self) {
        self.mortal.store(true, Ordering::Relaxed);
    }

    /// Whether the process is stopped or about to be.
    #[inline]
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// How often SIGCONT has come, for [`ProcessSignals::try_stop`].
    #[inline]
    pub(super) fn times_continued(&self) -> u32 {
        self.continued.load(Ordering::SeqCst)
    }

    /// Asks the threads to stop; not if SIGCONT has come since [`ProcessSignals::times_continued`] was `times`. Tells
    /// whether it asked.
    pub(super) fn try_stop(&self, signal: Signal, times: u32) -> bool {
        let mut state = self.state.lock();
        if self.times_continued() != times {
            return false;
        }
        if state.stop.is_none() {
            state.stop = Some(Stop {
                signal,
                told: false,
            });
            self.stopped.store(true, Ordering::SeqCst);
        }
        true
    }

    /// The signal by which the process stopped, if `all_stopped` says that all threads have and the parent has not been
    /// told yet: the caller tells it.
    pub(super) fn stop_to_tell(&self, all_stopped: impl FnOnce() -> bool) -> Option<Signal> {
        let mut state = self.state.lock();
        let stop = state.stop.as_mut().filter(|stop| !stop.told)?;
        if !all_stopped() {
            return None;
        }
        stop.told = true;
        Some(stop.signal)
    }

    /// The process has ended; tells whether its parent knew it as stopped.
    pub(super) fn end_stop(&self) -> bool {
        self.is_stopped() && self.state.lock().stop.take().is_some_and(|stop| stop.told)
    }

    /// SIGCONT has come: the threads may go on. `meanwhile` is done before any of them can stop again.
    pub(super) fn resume(&self, meanwhile: impl FnOnce()) -> Resumed {
        let mut state = self.state.lock();
        self.continued.fetch_add(1, Ordering::SeqCst);
        self.stopped.store(false, Ordering::SeqCst);
        let stop = state.stop.take();
        meanwhile();
        match stop {
            None => Resumed::NotStopped,
            Some(Stop { told: false, .. }) => Resumed::Early,
            Some(Stop { told: true, .. }) => Resumed::Stopped,
        }
    }
}
