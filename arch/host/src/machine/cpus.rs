//! Emulated CPUs, their clock, alarms and interrupts. Each CPU of [`Cpus::run`] is an OS thread, but only the one that holds
//! the turn runs, and it passes the turn where it enters a program or idles: so a run is the same every time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex};
use std::vec;
use std::vec::Vec;

use halyard_core::machine::{CpuId, Irq, Shutdown};
use halyard_core::time::Instant;

use super::{Chance, locked};

/// How [`super::HostMachine::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The kernel shut the machine down.
    Shutdown(Shutdown),
    /// Every CPU idled, with no alarm set and nothing pending.
    Idle,
}

/// What unwinds the CPUs' threads when the machine ends.
struct MachineEnded;

pub(super) struct Cpus {
    state: Mutex<State>,
    turn: Condvar,
}

struct State {
    now: Instant,
    current: usize,
    /// Whether [`Cpus::run`] is under way, so that turns are passed.
    running: bool,
    end: Option<End>,
    cpus: Vec<Cpu>,
    chance: Chance,
}

#[derive(Clone)]
struct Cpu {
    alarm: Instant,
    kicked: bool,
    console: bool,
    idle: bool,
}

impl State {
    /// The interrupt that `cpu` has to take now.
    fn take_pending(&mut self, cpu: usize) -> Option<Irq> {
        let now = self.now;
        let cpu = self.cpus.get_mut(cpu)?;
        if std::mem::take(&mut cpu.kicked) {
            Some(Irq::Kick)
        } else if std::mem::take(&mut cpu.console) {
            Some(Irq::Console)
        } else if cpu.alarm <= now && cpu.alarm != Instant::NEVER {
            cpu.alarm = Instant::NEVER;
            Some(Irq::Timer)
        } else {
            None
        }
    }

    fn can_go_on(&self, cpu: &Cpu) -> bool {
        !cpu.idle
            || cpu.kicked
            || cpu.console
            || (cpu.alarm != Instant::NEVER && cpu.alarm <= self.now)
    }

    /// Chooses who goes on. If all idle, time passes to the next alarm; without one the machine has come to its end.
    fn choose(&mut self) {
        loop {
            let able: Vec<usize> = self
                .cpus
                .iter()
                .enumerate()
                .filter(|(_, cpu)| self.can_go_on(cpu))
                .map(|(id, _)| id)
                .collect();
            if !able.is_empty() {
                let chosen = self.chance.next() as usize % able.len();
                self.current = able.get(chosen).copied().unwrap_or(0);
                return;
            }
            match self.cpus.iter().map(|cpu| cpu.alarm).min() {
                Some(alarm) if alarm != Instant::NEVER => self.now = self.now.max(alarm),
                _ => {
                    self.end.get_or_insert(End::Idle);
                    return;
                }
            }
        }
    }
}

impl Cpus {
    pub(super) fn new(count: usize, seed: u64) -> Cpus {
        let cpu = Cpu {
            alarm: Instant::NEVER,
            kicked: false,
            console: false,
            idle: false,
        };
        Cpus {
            state: Mutex::new(State {
                now: Instant(0),
                current: 0,
                running: false,
                end: None,
                cpus: vec![cpu; count],
                chance: Chance(seed.rotate_left(17) | 1),
            }),
            turn: Condvar::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        locked(&self.state).now
    }

    pub(super) fn advance(&self, ns: u64) {
        let mut state = locked(&self.state);
        state.now = state.now.after(ns);
    }

    pub(super) fn current(&self) -> CpuId {
        CpuId(locked(&self.state).current as u8)
    }

    pub(super) fn select(&self, cpu: u8) {
        locked(&self.state).current = usize::from(cpu);
    }

    pub(super) fn set_alarm(&self, at: Instant) {
        let mut state = locked(&self.state);
        let current = state.current;
        if let Some(cpu) = state.cpus.get_mut(current) {
            cpu.alarm = at;
        }
    }

    pub(super) fn kick(&self, id: CpuId) {
        if let Some(cpu) = locked(&self.state).cpus.get_mut(usize::from(id.0)) {
            cpu.kicked = true;
        }
    }

    pub(super) fn console_input(&self) {
        if let Some(cpu) = locked(&self.state).cpus.first_mut() {
            cpu.console = true;
        }
    }

    /// The interrupt that the current CPU has to take now.
    pub(super) fn pending(&self) -> Option<Irq> {
        let mut state = locked(&self.state);
        let current = state.current;
        state.take_pending(current)
    }

    /// Lets another CPU go on if chance says so.
    pub(super) fn give_way(&self) {
        let mut state = locked(&self.state);
        if !state.running {
            return;
        }
        let me = state.current;
        state.choose();
        drop(state);
        self.wait_for_turn(me);
    }

    /// Idles until there is an interrupt for the current CPU.
    pub(super) fn idle(&self) -> Irq {
        let mut state = locked(&self.state);
        let me = state.current;
        if let Some(irq) = state.take_pending(me) {
            return irq;
        }
        if let Some(cpu) = state.cpus.get_mut(me) {
            cpu.idle = true;
        }
        state.choose();
        assert!(
            state.running || state.end.is_none(),
            "nothing will ever happen again"
        );
        let running = state.running;
        drop(state);
        if running {
            self.wait_for_turn(me);
        }
        let mut state = locked(&self.state);
        if let Some(cpu) = state.cpus.get_mut(me) {
            cpu.idle = false;
        }
        state.take_pending(me).unwrap_or(Irq::Spurious)
    }

    /// The machine is over.
    pub(super) fn shutdown(&self, how: Shutdown) -> ! {
        locked(&self.state).end.get_or_insert(End::Shutdown(how));
        self.turn.notify_all();
        resume_unwind(std::boxed::Box::new(MachineEnded))
    }

    /// Waits until `me` is to go on; unwinds if the machine ended.
    fn wait_for_turn(&self, me: usize) {
        self.turn.notify_all();
        let mut state = locked(&self.state);
        while state.current != me && state.end.is_none() {
            state = self
                .turn
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if state.end.is_some() {
            drop(state);
            resume_unwind(std::boxed::Box::new(MachineEnded));
        }
    }

    pub(super) fn run(&self, cpu_main: &(impl Fn() + Send + Sync)) -> End {
        let count = {
            let mut state = locked(&self.state);
            state.running = true;
            state.end = None;
            state.choose();
            state.cpus.len()
        };
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|me| scope.spawn(move || self.run_one(me, cpu_main)))
                .collect();
            threads
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect::<Vec<_>>()
        });
        let mut state = locked(&self.state);
        state.running = false;
        let end = state.end.unwrap_or(End::Idle);
        drop(state);
        match results.into_iter().find_map(Result::err) {
            Some(panic) => resume_unwind(panic),
            None => end,
        }
    }

    /// One CPU's thread. A panic that is not the machine's end ends the machine, and then the test.
    fn run_one(&self, me: usize, cpu_main: &impl Fn()) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.wait_for_turn(me);
            cpu_main();
        }));
        locked(&self.state).end.get_or_insert(End::Idle);
        self.turn.notify_all();
        if let Err(panic) = result
            && !panic.is::<MachineEnded>()
        {
            resume_unwind(panic);
        }
    }
}
