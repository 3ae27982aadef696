//! Futexes that inherit priority: the word holds the owner's thread number, and the kernel knows of one only while somebody
//! waits for it (futex(2), "Priority-inheritance futexes"). Lock level 3: behind the buckets, before the world of inheritance.
//!
//! A lock that is free is taken, and one that nobody waits for given up, by the program alone. Who finds it taken sets the
//! word's WAITERS bit and enters here; from then on the owner must come here to give it up, and ownership is handed to the waiter of
//! the highest rank by writing its number into the word: nobody can get in between.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use halyard_cell::{SpinGuard, SpinLock};

use super::key::Key;
use super::waiter::Waiter;
use crate::counters::{Kind, Live};
use crate::sched::inherit::{Claim, Goal, Member, World};
use crate::{Errno, Result};

/// Others wait in the kernel.
pub(super) const WAITERS: u32 = 0x8000_0000;
/// The owner ended without giving it up.
pub(super) const OWNER_DIED: u32 = 0x4000_0000;
/// The owner's number.
pub(super) const TID_MASK: u32 = 0x3fff_ffff;

#[cfg(not(loom))]
const BUCKETS: usize = 16;
#[cfg(loom)]
const BUCKETS: usize = 1;

/// A thread that may own such futexes.
pub(super) trait Owner: Member {
    /// Its number.
    fn tid(&self) -> u32;
    /// Whether it is past giving up what it owns: it will own nothing any more.
    fn has_left(&self) -> bool;
    /// It owns one more for which somebody waits (or one less): what [`PiTable::release_all`] goes by.
    fn count(&self, more: bool);
}

/// A word in the memory of a program. EFAULT if it cannot be reached.
pub(super) trait Word {
    fn load(&self) -> Result<u32>;
    /// Stores `new` if the word is `expected`; returns what it was.
    fn compare_exchange(&self, expected: u32, new: u32) -> Result<u32>;
}

/// Somebody who waits to own one.
pub(super) struct Applicant<M, W> {
    pub(super) thread: M,
    pub(super) waiter: Arc<Waiter>,
    /// The word as this thread reaches it.
    pub(super) word: W,
}

struct Futex<M, W> {
    key: Key,
    claim: Arc<Claim<M>>,
    applicants: Vec<Applicant<M, W>>,
    _live: Live,
}

/// Futexes that inherit priority and for which somebody waits.
pub(super) struct PiTable<M, W> {
    states: SpinLock<States<M, W>>,
}

pub(super) struct States<M, W> {
    buckets: [Vec<Futex<M, W>>; BUCKETS],
}

/// What came of an attempt to own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Owned,
    Waits,
    /// The word's owner is not the one that was looked up: look again.
    Changed,
}

impl<M: Owner, W: Word> PiTable<M, W> {
    pub(super) fn new() -> PiTable<M, W> {
        PiTable {
            states: SpinLock::new(States {
                buckets: core::array::from_fn(|_| Vec::new()),
            }),
        }
    }

    pub(super) fn lock(&self) -> SpinGuard<'_, States<M, W>> {
        self.states.lock()
    }
}

impl<M: Owner, W: Word> States<M, W> {
    fn bucket(&mut self, key: &Key) -> &mut Vec<Futex<M, W>> {
        let index = key.bucket(BUCKETS);
        let [first, rest @ ..] = &mut self.buckets;
        match index.checked_sub(1).and_then(|at| rest.get_mut(at)) {
            Some(bucket) => bucket,
            None => first,
        }
    }

    fn find(&mut self, key: &Key) -> Option<&mut Futex<M, W>> {
        self.bucket(key).iter_mut().find(|it| it.key == *key)
    }

    /// Makes `applicant` the owner of `key`, or one who waits for it. `looked_up` is the number in the word when the caller
    /// looked, `owner` the thread of that number, if there is one. `more`: others will be added, so the word is to say so.
    ///
    /// EDEADLK: it owns the futex, or the owner waits for it. ESRCH: no such owner. EAGAIN: the owner is about to end; or it
    /// is taken and `try_only`. EINVAL: the word and the kernel disagree. EFAULT, ENOMEM.
    pub(super) fn apply(
        &mut self,
        world: &SpinLock<World<M>>,
        key: &Key,
        applicant: Applicant<M, W>,
        (looked_up, owner): (u32, Option<&M>),
        (try_only, more): (bool, bool),
    ) -> Result<Attempt> {
        let mut word = applicant.word.load()?;
        loop {
            let tid = word & TID_MASK;
            if tid == applicant.thread.tid() {
                return Err(Errno::EDEADLK);
            }
            if let Some(futex) = self.find(key) {
                return futex.join(world, applicant, tid, try_only);
            }
            if tid != 0 && tid != looked_up {
                return Ok(Attempt::Changed);
            }
            let wanted = if tid == 0 {
                let waiters = if more { WAITERS } else { 0 };
                word & OWNER_DIED | waiters | applicant.thread.tid()
            } else {
                may_be_awaited(owner)?;
                if try_only {
                    return Err(Errno::EAGAIN);
                }
                word | WAITERS
            };
            let found = applicant.word.compare_exchange(word, wanted)?;
            if found != word {
                word = found;
                continue;
            }
            return match owner {
                Some(owner) if tid != 0 => self.begin(world, key, applicant, owner),
                _ => Ok(Attempt::Owned),
            };
        }
    }

    /// `applicant` is the first to wait for what `owner` has.
    fn begin(
        &mut self,
        world: &SpinLock<World<M>>,
        key: &Key,
        applicant: Applicant<M, W>,
        owner: &M,
    ) -> Result<Attempt> {
        let bucket = self.bucket(key);
        bucket.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let mut futex = Futex {
            key: key.clone(),
            claim: Arc::new(Claim::new()),
            applicants: Vec::new(),
            _live: Live::new(Kind::PiFutex),
        };
        world.lock().own(&futex.claim, owner.clone());
        let attempt = futex.join(world, applicant, owner.tid(), false)?;
        owner.count(true);
        bucket.push(futex);
        Ok(attempt)
    }

    /// `owner` gives up the futex that `word` is. EPERM: it does not own it. EINVAL: word and kernel disagree. EFAULT.
    pub(super) fn release(
        &mut self,
        world: &SpinLock<World<M>>,
        key: &Key,
        owner: &M,
        word: &W,
    ) -> Result<Option<Handed<M, W>>> {
        let mut value = word.load()?;
        loop {
            if value & TID_MASK != owner.tid() {
                return Err(Errno::EPERM);
            }
            let next = match self.find(key) {
                Some(futex) => futex.successor(owner)?,
                None => 0,
            };
            let found = word.compare_exchange(value, next)?;
            if found == value {
                break;
            }
            value = found;
        }
        Ok(self.hand_over(world, key))
    }

    /// The claim on `key` goes to the one who is next, whose number the word has by now.
    fn hand_over(&mut self, world: &SpinLock<World<M>>, key: &Key) -> Option<Handed<M, W>> {
        let bucket = self.bucket(key);
        let at = bucket.iter().position(|it| it.key == *key)?;
        let futex = bucket.get_mut(at)?;
        let (before, next) = world.lock().hand_over(&futex.claim);
        if let Some(owner) = &before {
            owner.count(false);
        }
        let applicant = next.as_ref().and_then(|next| futex.take(next));
        if let Some(applicant) = &applicant {
            applicant.thread.count(true);
        }
        let ended = futex.applicants.is_empty().then(|| bucket.swap_remove(at));
        if let (Some(_), Some(applicant)) = (&ended, &applicant) {
            // Nobody waits for the new owner: the kernel knows of the futex no more.
            applicant.thread.count(false);
        }
        let waker = applicant.as_ref().and_then(|it| it.waiter.wake());
        Some(Handed {
            waker,
            _remains: Remains {
                _futex: ended,
                _applicant: applicant,
                _goal: None,
                _owner: next,
            },
            _before: before,
        })
    }

    /// `waiter` waits no more. None: it owns the futex that it waited for.
    pub(super) fn withdraw(
        &mut self,
        world: &SpinLock<World<M>>,
        key: &Key,
        waiter: &Arc<Waiter>,
    ) -> Option<Remains<M, W>> {
        let bucket = self.bucket(key);
        let at = bucket.iter().position(|it| it.key == *key)?;
        let futex = bucket.get_mut(at)?;
        let mine = futex
            .applicants
            .iter()
            .position(|it| Arc::ptr_eq(&it.waiter, waiter))?;
        let applicant = futex.applicants.remove(mine);
        let goal = world.lock().leave(&applicant.thread);
        let ended = futex.applicants.is_empty().then(|| bucket.swap_remove(at));
        let owner = ended.as_ref().and_then(|futex| futex.claim.owner());
        if let Some(owner) = &owner {
            owner.count(false);
        }
        Some(Remains {
            _futex: ended,
            _applicant: Some(applicant),
            _goal: goal,
            _owner: owner,
        })
    }

    /// Hands on one futex that `owner`, which ends, has with others waiting: marked as left behind.
    pub(super) fn abandon_one(
        &mut self,
        world: &SpinLock<World<M>>,
        owner: &M,
    ) -> Option<Handed<M, W>> {
        let futex = self
            .buckets
            .iter_mut()
            .flatten()
            .find(|it| it.claim.owner().is_some_and(|it| it.is(owner)))?;
        if let Ok(next) = futex.successor(owner) {
            futex.write(owner, next | OWNER_DIED);
        }
        let key = futex.key.clone();
        self.hand_over(world, &key)
    }
}

/// ESRCH: there is no such thread. EAGAIN: it is about to end.
fn may_be_awaited<M: Owner>(owner: Option<&M>) -> Result<()> {
    match owner {
        None => Err(Errno::ESRCH),
        Some(owner) if owner.has_left() => Err(Errno::EAGAIN),
        Some(_) => Ok(()),
    }
}

impl<M: Owner, W: Word> Futex<M, W> {
    fn join(
        &mut self,
        world: &SpinLock<World<M>>,
        applicant: Applicant<M, W>,
        tid: u32,
        try_only: bool,
    ) -> Result<Attempt> {
        if self.claim.owner().is_none_or(|owner| owner.tid() != tid) {
            return Err(Errno::EINVAL);
        }
        if try_only {
            return Err(Errno::EAGAIN);
        }
        self.applicants.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        world.lock().wait(&self.claim, &applicant.thread)?;
        self.applicants.push(applicant);
        Ok(Attempt::Waits)
    }

    fn take(&mut self, thread: &M) -> Option<Applicant<M, W>> {
        let at = self.applicants.iter().position(|it| it.thread.is(thread))?;
        Some(self.applicants.remove(at))
    }

    /// What the word is to be when `owner` has given it up. EINVAL: the kernel knows another owner.
    fn successor(&self, owner: &M) -> Result<u32> {
        if self.claim.owner().is_none_or(|it| !it.is(owner)) {
            return Err(Errno::EINVAL);
        }
        let next = self.claim.first().map_or(0, |next| next.tid());
        let waiters = if self.applicants.len() > 1 {
            WAITERS
        } else {
            0
        };
        Ok(next | waiters)
    }

    /// Stores `value` into the word if it still names `owner`, by the memory of one who waits: the owner's may be gone.
    fn write(&self, owner: &M, value: u32) {
        let Some(applicant) = self.applicants.first() else {
            return;
        };
        let word = &applicant.word;
        let Ok(mut found) = word.load() else { return };
        while found & TID_MASK == owner.tid() {
            match word.compare_exchange(found, value) {
                Ok(before) if before != found => found = before,
                _ => return,
            }
        }
    }
}

/// What is left of a hand-over: the new owner is to be woken, the rest dropped, both without a lock.
pub(super) struct Handed<M, W> {
    waker: Option<Waker>,
    _remains: Remains<M, W>,
    _before: Option<M>,
}

impl<M, W> Handed<M, W> {
    pub(super) fn finish(mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// What is taken out of the table, by a hand-over or a wait that was given up: to be dropped without a lock.
pub(super) struct Remains<M, W> {
    _futex: Option<Futex<M, W>>,
    _applicant: Option<Applicant<M, W>>,
    _goal: Option<Goal<M>>,
    _owner: Option<M>,
}

#[cfg(all(test, loom))]
mod loom_move_tests;

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(all(test, not(loom)))]
mod model_tests;
