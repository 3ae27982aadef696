//! Who waits on which words: wait, wake, requeue.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use halyard_cell::{SpinGuard, SpinLock};

use super::ANY;
use super::key::Key;
use super::waiter::Waiter;
use crate::time::Instant;
use crate::wait::{Interruption, Sleeper};
use crate::{Errno, Result};

/// A power of two.
#[cfg(not(loom))]
const BUCKETS: usize = 64;
#[cfg(loom)]
const BUCKETS: usize = 2;

/// One who waits; `T` is what those who wait to be moved to a futex that inherits priority bring with them.
pub(super) struct Entry<T> {
    pub(super) key: Key,
    bitset: u32,
    pub(super) waiter: Arc<Waiter>,
    pub(super) target: Option<T>,
}

pub(super) type Bucket<T> = VecDeque<Entry<T>>;

/// Who waits on which words.
pub(super) struct Table<T> {
    buckets: [SpinLock<Bucket<T>>; BUCKETS],
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A place among the waiters; dropping it gives it up.
pub struct Place<'a, T> {
    table: &'a Table<T>,
    waiter: Arc<Waiter>,
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        drop(self.table.withdraw(&self.waiter));
    }
}

impl<T> Place<'_, T> {
    /// Waits to be woken. Both interruptions leave nothing behind, and no wake is used up by them.
    pub async fn wait<S: Sleeper>(
        self,
        sleeper: &S,
        deadline: Option<Instant>,
    ) -> Result<(), Interruption> {
        match self.waiter.wait(sleeper, deadline).await {
            Err(why) if self.table.withdraw(&self.waiter).is_some() => Err(why),
            // A wake that has chosen this waiter has taken it out.
            _ => Ok(()),
        }
    }

    /// Who waits.
    #[cfg(test)]
    pub(super) fn waiter(&self) -> &Arc<Waiter> {
        &self.waiter
    }
}

impl<T> Table<T> {
    /// Nobody waits.
    #[must_use]
    pub(super) fn new() -> Table<T> {
        Table {
            buckets: core::array::from_fn(|_| SpinLock::new(VecDeque::new())),
        }
    }

    fn at(&self, index: usize) -> SpinGuard<'_, Bucket<T>> {
        let [first, ..] = &self.buckets;
        self.buckets.get(index).unwrap_or(first).lock()
    }

    /// The bucket of `key`, locked.
    pub(super) fn bucket(&self, key: &Key) -> SpinGuard<'_, Bucket<T>> {
        self.at(key.bucket(BUCKETS))
    }

    /// Takes a place among the waiters of `key` if `unchanged` says, with the bucket locked, that the word is what the
    /// program expects. EAGAIN: it is not. ENOMEM.
    pub(super) fn enter(
        &self,
        key: Key,
        bitset: u32,
        target: Option<T>,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<Place<'_, T>> {
        let waiter = self.enter_bare(key, bitset, target, unchanged)?;
        Ok(Place {
            table: self,
            waiter,
        })
    }

    /// As [`Table::enter`], for who gives the place up in a way of its own.
    pub(super) fn enter_bare(
        &self,
        key: Key,
        bitset: u32,
        target: Option<T>,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<Arc<Waiter>> {
        let waiter = Arc::new(Waiter::new(key.bucket(BUCKETS)));
        let entry = Entry {
            key,
            bitset,
            waiter: Arc::clone(&waiter),
            target,
        };
        let mut bucket = self.bucket(&entry.key);
        // Nothing that `entry` holds is dropped with the bucket locked: it was made before.
        let room = bucket.try_reserve(1).map_err(|_| Errno::ENOMEM);
        match room.and_then(|()| unchanged()) {
            Ok(true) => bucket.push_back(entry),
            Ok(false) => {
                drop(bucket);
                return Err(Errno::EAGAIN);
            }
            Err(errno) => {
                drop(bucket);
                return Err(errno);
            }
        }
        drop(bucket);
        Ok(waiter)
    }

    /// Wakes up to `count` waiters of `key` whose bitset meets `bitset`, the first first; returns how many. EINVAL: one of them
    /// waits to be moved to a futex that inherits priority.
    pub(super) fn wake(&self, key: &Key, count: usize, bitset: u32) -> Result<usize> {
        let mut woken = 0;
        while woken < count {
            let mut bucket = self.bucket(key);
            let at = bucket
                .iter()
                .position(|it| it.bitset & bitset != 0 && it.key == *key);
            let Some(at) = at else { break };
            if bucket.get(at).is_some_and(|it| it.target.is_some()) {
                return Err(Errno::EINVAL);
            }
            let entry = bucket.remove(at);
            let waker = entry.as_ref().and_then(|entry| entry.waiter.wake());
            drop(bucket);
            drop(entry);
            if let Some(waker) = waker {
                waker.wake();
            }
            woken += 1;
        }
        Ok(woken)
    }

    /// Wakes up to `wake` waiters of `from` and makes up to `move_on` others wait on `to`, if `unchanged` says, with the bucket
    /// locked, that the word is what the program expects. Returns how many were woken and how many moved. EAGAIN, ENOMEM;
    /// EINVAL as [`Table::wake`].
    pub(super) fn requeue(
        &self,
        from: &Key,
        to: &Key,
        wake: usize,
        move_on: usize,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<(usize, usize)> {
        {
            let _bucket = self.bucket(from);
            if !unchanged()? {
                return Err(Errno::EAGAIN);
            }
        }
        let woken = self.wake(from, wake, ANY)?;
        if from == to {
            // Moving waiters to where they are changes nothing, and would never end.
            return Ok((woken, self.waiting(from).min(move_on)));
        }
        let mut moved = 0;
        while moved < move_on && self.move_one(from, to)? {
            moved += 1;
        }
        Ok((woken, moved))
    }

    /// FUTEX_WAKE_OP: makes `change`, which says whether the second of both words was what the program expects; then wakes so many
    /// waiters of `one`, and of `other` if it was. Returns how many. As `change` and [`Table::wake`].
    pub(super) fn wake_op(
        &self,
        one: (&Key, usize),
        other: (&Key, usize),
        change: impl FnOnce() -> Result<bool>,
    ) -> Result<usize> {
        let holds = change()?;
        let mut woken = self.wake(one.0, one.1, ANY)?;
        if holds {
            woken += self.wake(other.0, other.1, ANY)?;
        }
        Ok(woken)
    }

    /// How many wait on `key`.
    pub(super) fn waiting(&self, key: &Key) -> usize {
        self.bucket(key).iter().filter(|it| it.key == *key).count()
    }

    /// Makes the first waiter of `from` the last one of `to`. False: there is none.
    fn move_one(&self, from: &Key, to: &Key) -> Result<bool> {
        let (source, target) = (from.bucket(BUCKETS), to.bucket(BUCKETS));
        if source == target {
            let mut bucket = self.at(source);
            let Some(entry) = take_first(&mut bucket, from)? else {
                return Ok(false);
            };
            let before = push_moved(&mut bucket, entry, to, target);
            drop(bucket);
            drop(before);
            return Ok(true);
        }
        let (mut source, mut there) = if source < target {
            let source = self.at(source);
            (source, self.at(target))
        } else {
            let there = self.at(target);
            (self.at(source), there)
        };
        there.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let Some(entry) = take_first(&mut source, from)? else {
            return Ok(false);
        };
        let before = push_moved(&mut there, entry, to, target);
        drop((source, there));
        drop(before);
        Ok(true)
    }

    /// Takes `waiter` out. None: it was woken.
    pub(super) fn withdraw(&self, waiter: &Arc<Waiter>) -> Option<Entry<T>> {
        loop {
            let index = waiter.bucket();
            let mut bucket = self.at(index);
            let at = bucket.iter().position(|it| Arc::ptr_eq(&it.waiter, waiter));
            if let Some(at) = at {
                return bucket.remove(at);
            }
            // Moved between the look and the lock, or gone.
            if waiter.bucket() == index {
                return None;
            }
        }
    }
}

/// The first waiter of `key`. EINVAL as [`Table::wake`].
fn take_first<T>(bucket: &mut Bucket<T>, key: &Key) -> Result<Option<Entry<T>>> {
    let Some(at) = bucket.iter().position(|it| it.key == *key) else {
        return Ok(None);
    };
    if bucket.get(at).is_some_and(|it| it.target.is_some()) {
        return Err(Errno::EINVAL);
    }
    Ok(bucket.remove(at))
}

/// Adds `entry`, which waits on `to` from now on; what it waited on is to be dropped without the lock.
fn push_moved<T>(bucket: &mut Bucket<T>, mut entry: Entry<T>, to: &Key, index: usize) -> Key {
    let before = core::mem::replace(&mut entry.key, to.clone());
    entry.waiter.set_bucket(index);
    bucket.push_back(entry);
    before
}
