//! Sets of semaphores (semop(2), semctl(2)): arrays of operations that happen all at once or not at all.
//!
//! Owns the values, the line of those who wait, and what is to be undone for processes that end. Promises: an array is never seen half done;
//! who changes a value also does the operations of all sleepers that can be done then, first come first, and none that cannot stops those
//! behind it; GETNCNT and GETZCNT count who really sleeps, by the operation that stops it. One lock of level 3; nothing here waits.

mod operation;

use alloc::sync::Arc;
use alloc::vec::Vec;

use halyard_abi::sysv::SEMVMX;
use halyard_cell::SpinLock;

use super::line::{Line, Lined, Place};
use super::permission::Ownership;
use super::table::{Header, Object};
use super::undo::Adjustments;
use super::{Stamp, SysV};
use crate::counters::{Kind, Live};
use crate::process::Pid;
use crate::{Errno, Result};

pub use self::operation::{Operation, Operations};

/// One semaphore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Semaphore {
    /// Its value, at most [`SEMVMX`].
    pub value: u16,
    /// Who operated on it last; 0: nobody.
    pub pid: Pid,
}

/// Marks the line of those who wait for an array of operations.
#[derive(Debug)]
pub enum Operating {}

/// Somebody whose operations cannot be done yet.
#[derive(Debug)]
pub struct Waiter {
    operations: Operations,
    /// Whose undo list counts; 0: nobody's.
    list: usize,
    pid: Pid,
    /// The operation that stops it.
    stopped: Operation,
}

/// A semop that waits.
pub type OperatingPlace = Place<Operating, SemaphoreSet>;

/// A set of semaphores.
pub struct SemaphoreSet {
    header: Header,
    count: usize,
    /// Where it is counted.
    home: Option<&'static SysV>,
    state: SpinLock<State>,
    _live: Live,
}

struct State {
    semaphores: Vec<Semaphore>,
    adjustments: Adjustments,
    line: Line<Waiter, Result<()>>,
    removed: bool,
    operated: u64,
    changed: u64,
}

/// What IPC_STAT tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Key, owner, mode.
    pub ownership: Ownership,
    /// How many semaphores.
    pub count: usize,
    /// Last semop, ns since 1970; 0: never.
    pub operated: u64,
    /// When it was made or changed.
    pub changed: u64,
}

/// What became of an attempt.
enum Attempt {
    /// Done; whether a value changed.
    Done(bool),
    /// This operation stops it.
    Stopped(Operation),
}

impl SemaphoreSet {
    /// `count` semaphores of value 0. They were counted in at `home`. ENOMEM.
    pub fn new(
        header: Header,
        count: usize,
        home: Option<&'static SysV>,
        now: u64,
    ) -> Result<SemaphoreSet> {
        let mut semaphores = Vec::new();
        semaphores
            .try_reserve_exact(count)
            .map_err(|_| Errno::ENOMEM)?;
        semaphores.resize(count, Semaphore::default());
        Ok(SemaphoreSet {
            header,
            count,
            home,
            state: SpinLock::new(State {
                semaphores,
                adjustments: Adjustments::new(count),
                line: Line::new(),
                removed: false,
                operated: 0,
                changed: now,
            }),
            _live: Live::new(Kind::SemaphoreSet),
        })
    }

    /// How many semaphores.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Does the operations, or takes a place in which they will be done. `list`: the undo list that SEM_UNDO counts for; it knows this set.
    /// EAGAIN: they cannot be done now, and the one that stops them says IPC_NOWAIT. ERANGE: a value would be too great. EFBIG: no such semaphore.
    /// EIDRM, ENOMEM.
    pub fn operate(
        self: &Arc<Self>,
        operations: &Operations,
        list: usize,
        stamp: Stamp,
    ) -> Result<Option<OperatingPlace>> {
        let mut state = self.state.lock();
        state.check_alive()?;
        if operations.highest() >= self.count {
            return Err(Errno::EFBIG);
        }
        if operations.any_undo() {
            state.adjustments.reserve(list)?;
        }
        match state.attempt(operations.as_slice(), list, stamp.pid)? {
            Attempt::Done(changed) => {
                state.operated = stamp.time;
                if changed {
                    state.update(stamp.time);
                }
                let calls = state.line.calls();
                drop(state);
                calls.ring(&**self);
                Ok(None)
            }
            Attempt::Stopped(stopped) if stopped.nowait() => Err(Errno::EAGAIN),
            Attempt::Stopped(stopped) => {
                let ticket = state.line.enter(Waiter {
                    operations: operations.try_clone()?,
                    list,
                    pid: stamp.pid,
                    stopped,
                })?;
                Ok(Some(Place::new(self, ticket)))
            }
        }
    }

    /// The semaphore of that number. EINVAL, EIDRM.
    pub fn semaphore(&self, number: usize) -> Result<Semaphore> {
        let state = self.state.lock();
        state.check_alive()?;
        state.semaphores.get(number).copied().ok_or(Errno::EINVAL)
    }

    /// SETVAL: what others wanted undone on this semaphore is forgotten. EINVAL, ERANGE, EIDRM.
    pub fn set_value(&self, number: usize, value: u16, stamp: Stamp) -> Result<()> {
        if value > SEMVMX {
            return Err(Errno::ERANGE);
        }
        let mut state = self.state.lock();
        state.check_alive()?;
        let semaphore = state.semaphores.get_mut(number).ok_or(Errno::EINVAL)?;
        *semaphore = Semaphore {
            value,
            pid: stamp.pid,
        };
        state.adjustments.forget_semaphore(number);
        self.settle(state, stamp.time);
        Ok(())
    }

    /// GETALL: the values, as many as `into` has room for. EIDRM.
    pub fn values(&self, into: &mut [u16]) -> Result<()> {
        let state = self.state.lock();
        state.check_alive()?;
        for (into, semaphore) in into.iter_mut().zip(&state.semaphores) {
            *into = semaphore.value;
        }
        Ok(())
    }

    /// SETALL: what others wanted undone on this set is forgotten. ERANGE: nothing was changed. EIDRM.
    pub fn set_values(&self, values: &[u16], stamp: Stamp) -> Result<()> {
        if values.iter().any(|value| *value > SEMVMX) {
            return Err(Errno::ERANGE);
        }
        let mut state = self.state.lock();
        state.check_alive()?;
        for (semaphore, value) in state.semaphores.iter_mut().zip(values) {
            *semaphore = Semaphore {
                value: *value,
                pid: stamp.pid,
            };
        }
        state.adjustments.forget_all();
        self.settle(state, stamp.time);
        Ok(())
    }

    /// Values were set: sleepers whose operations can be done go on.
    fn settle(&self, mut state: halyard_cell::SpinGuard<'_, State>, now: u64) {
        state.changed = now;
        state.update(now);
        let calls = state.line.calls();
        drop(state);
        calls.ring(self);
    }

    /// How many sleep until semaphore `number` is 0 (GETZCNT) or, if not `zero`, greater (GETNCNT). EINVAL, EIDRM.
    pub fn sleepers(&self, number: usize, zero: bool) -> Result<usize> {
        if number >= self.count {
            return Err(Errno::EINVAL);
        }
        let state = self.state.lock();
        state.check_alive()?;
        let stopped = state.line.wants().filter(|waiter| {
            usize::from(waiter.stopped.number) == number && (waiter.stopped.change == 0) == zero
        });
        Ok(stopped.count())
    }

    /// How many sleep in all.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.lock().line.wants().count()
    }

    /// What it is like now.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            ownership: self.header.permission.ownership(),
            count: self.count,
            operated: state.operated,
            changed: state.changed,
        }
    }

    /// It was changed by IPC_SET.
    pub fn set_changed(&self, now: u64) {
        self.state.lock().changed = now;
    }

    /// It was taken out of its table: everybody who sleeps gets EIDRM.
    pub fn remove(&self) {
        let mut state = self.state.lock();
        state.removed = true;
        state.adjustments.forget_all();
        state.line.answer_all(|| Err(Errno::EIDRM));
        let calls = state.line.calls();
        drop(state);
        calls.ring(self);
    }

    /// The last user of the undo list has ended: what it says is done, as far as values go (semop(2): never below 0 nor above the greatest).
    pub(super) fn undo(&self, list: usize, stamp: Stamp) {
        let mut state = self.state.lock();
        let Some(adjustment) = state.adjustments.take(list) else {
            return;
        };
        for (semaphore, change) in state.semaphores.iter_mut().zip(&adjustment) {
            if *change != 0 {
                let value = i32::from(semaphore.value) + i32::from(*change);
                semaphore.value = value.clamp(0, i32::from(SEMVMX)) as u16;
                semaphore.pid = stamp.pid;
            }
        }
        state.operated = stamp.time;
        state.update(stamp.time);
        let calls = state.line.calls();
        drop(state);
        calls.ring(self);
    }

    /// What the undo list would add to semaphore `number`.
    #[cfg(test)]
    pub(super) fn adjustment(&self, list: usize, number: usize) -> i16 {
        self.state.lock().adjustments.get(list, number)
    }
}

impl State {
    const fn check_alive(&self) -> Result<()> {
        if self.removed {
            return Err(Errno::EIDRM);
        }
        Ok(())
    }

    /// Does all of the operations or none. ERANGE.
    fn attempt(&mut self, operations: &[Operation], list: usize, pid: Pid) -> Result<Attempt> {
        let mut changed = false;
        for (index, operation) in operations.iter().enumerate() {
            let outcome = self.step(operation, list);
            if let Ok(true) = outcome {
                changed |= operation.change != 0;
                continue;
            }
            for done in operations.iter().take(index).rev() {
                self.take_back(done, list);
            }
            return outcome.map(|_| Attempt::Stopped(*operation));
        }
        for operation in operations {
            if let Some(semaphore) = self.semaphores.get_mut(usize::from(operation.number)) {
                semaphore.pid = pid;
            }
        }
        Ok(Attempt::Done(changed))
    }

    /// Does one operation. False: it must wait. ERANGE: the value or the adjustment would be too great.
    #[inline]
    fn step(&mut self, operation: &Operation, list: usize) -> Result<bool> {
        let number = usize::from(operation.number);
        let semaphore = self.semaphores.get_mut(number).ok_or(Errno::EFBIG)?;
        let value = i32::from(semaphore.value);
        if operation.change == 0 {
            return Ok(value == 0);
        }
        let new = value + i32::from(operation.change);
        if new < 0 {
            return Ok(false);
        }
        if new > i32::from(SEMVMX) {
            return Err(Errno::ERANGE);
        }
        if operation.undo() {
            self.adjustments
                .add(list, number, -i32::from(operation.change))?;
        }
        semaphore.value = new as u16;
        Ok(true)
    }

    /// The opposite of a step that was done.
    fn take_back(&mut self, operation: &Operation, list: usize) {
        let number = usize::from(operation.number);
        if let Some(semaphore) = self.semaphores.get_mut(number) {
            let value = i32::from(semaphore.value) - i32::from(operation.change);
            semaphore.value = value.clamp(0, i32::from(SEMVMX)) as u16;
        }
        if operation.undo() && operation.change != 0 {
            // It had the opposite value before, so it can have it again.
            let _ = self
                .adjustments
                .add(list, number, i32::from(operation.change));
        }
    }

    /// Does the operations of sleepers that can be done now, first come first. One that changes something may free one before it, so then it
    /// begins anew.
    fn update(&mut self, now: u64) {
        let mut place = 0;
        while place < self.line.len() {
            let Some(waiter) = self.line.waiting(place) else {
                place += 1;
                continue;
            };
            // Taken out while they are done: they and the values are parts of one thing.
            let operations = core::mem::take(&mut waiter.operations);
            let (list, pid) = (waiter.list, waiter.pid);
            let attempt = self.attempt(operations.as_slice(), list, pid);
            let mut again = false;
            let answer = match attempt {
                Ok(Attempt::Done(changed)) => {
                    again = changed;
                    self.operated = now;
                    Some(Ok(()))
                }
                Ok(Attempt::Stopped(by)) if by.nowait() => Some(Err(Errno::EAGAIN)),
                Ok(Attempt::Stopped(by)) => {
                    if let Some(waiter) = self.line.waiting(place) {
                        waiter.stopped = by;
                        waiter.operations = operations;
                    }
                    None
                }
                Err(errno) => Some(Err(errno)),
            };
            if let Some(answer) = answer {
                self.line.answer(place, answer);
            }
            place = if again { 0 } else { place + 1 };
        }
    }
}

impl Object for SemaphoreSet {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Lined<Operating> for SemaphoreSet {
    type Want = Waiter;
    type Answer = Result<()>;

    fn with_line<T>(&self, work: impl FnOnce(&mut Line<Waiter, Result<()>>) -> T) -> T {
        work(&mut self.state.lock().line)
    }
}

impl Drop for SemaphoreSet {
    fn drop(&mut self) {
        if let Some(home) = self.home {
            home.release_semaphores(self.count);
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;

#[cfg(all(test, loom))]
mod loom_tests;
