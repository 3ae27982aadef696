//! Futexes: waiting for a word of a program's memory to change (futex(2), futex(7)).
//!
//! The kernel knows nothing of a futex but who waits on it. Waiters are in buckets by a hash of what identifies the word.
//! A waiter looks at the word with its bucket locked, and a waker locks the bucket before it looks for waiters, so that
//! no wake is lost. Lock level 3; two buckets are locked in rising order.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use halyard_cell::{SpinGuard, SpinLock};

use crate::counters::{Kind, Live};
use crate::machine::UserAddr;
use crate::mm::{AddressSpace, FutexPlace};
use crate::process::thread::Thread;
use crate::time::Instant;
use crate::wait::{Interruption, Sleeper, WaitQueue, wait_until};
use crate::{Errno, Result};

/// A power of two.
const BUCKETS: usize = 64;
/// The bitset that matches every waiter.
pub const ANY: u32 = u32::MAX;

const WAITERS: u32 = 0x8000_0000;
const OWNER_DIED: u32 = 0x4000_0000;
const TID_MASK: u32 = 0x3fff_ffff;
/// The most entries of a robust list that are followed (Linux's ROBUST_LIST_LIMIT).
const ROBUST_MAX: usize = 2048;

/// What identifies a futex word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// In memory of one address space: which (its address in the kernel), and where.
    Private(usize, usize),
    /// In an object that several may map: which, and the byte.
    Shared(usize, u64),
}

impl Key {
    /// The key of the word at `at`. EINVAL: misaligned. EFAULT: nothing is mapped there; not found out for a `private` one.
    pub fn of(space: &Arc<AddressSpace>, at: UserAddr, private: bool) -> Result<Key> {
        if !at.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let own = Key::Private(Arc::as_ptr(space) as usize, at.0);
        if private {
            return Ok(own);
        }
        Ok(match space.futex_place(at)? {
            FutexPlace::Private(_) => own,
            FutexPlace::Shared(object, byte) => Key::Shared(object, byte),
        })
    }

    const fn bucket(self) -> usize {
        let (one, other) = match self {
            Key::Private(space, at) => (space >> 4, at >> 2),
            Key::Shared(object, byte) => (object >> 4, (byte >> 2) as usize),
        };
        let mixed = one
            .wrapping_mul(31)
            .wrapping_add(other)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed >> (usize::BITS - BUCKETS.trailing_zeros())
    }
}

/// Somebody who waits.
struct Waiter {
    /// On what: changed by requeue, with the buckets of both keys locked.
    key: SpinLock<Key>,
    bitset: u32,
    woken: AtomicBool,
    queue: WaitQueue,
    _live: Live,
}

type Bucket = VecDeque<Arc<Waiter>>;

/// Who waits on which words.
pub struct FutexTable {
    buckets: [SpinLock<Bucket>; BUCKETS],
}

impl Default for FutexTable {
    fn default() -> Self {
        Self::new()
    }
}

/// A place among the waiters; dropping it gives it up.
pub struct Place<'a> {
    table: &'a FutexTable,
    waiter: Arc<Waiter>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        while !self.waiter.woken.load(Ordering::Acquire) && !self.table.withdraw(&self.waiter) {
            core::hint::spin_loop()
        }
    }
}

impl Place<'_> {
    /// Waits to be woken. Both interruptions leave nothing behind.
    pub async fn wait<S: Sleeper>(
        self,
        sleeper: &S,
        deadline: Option<Instant>,
    ) -> Result<(), Interruption> {
        let woken = || self.waiter.woken.load(Ordering::Acquire).then_some(());
        wait_until(sleeper, &self.waiter.queue, deadline, woken).await
    }
}

impl FutexTable {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> FutexTable {
        FutexTable {
            buckets: core::array::from_fn(|_| SpinLock::new(VecDeque::new())),
        }
    }

    fn bucket(&self, key: Key) -> SpinGuard<'_, Bucket> {
        let [first, ..] = &self.buckets;
        self.buckets.get(key.bucket()).unwrap_or(first).lock()
    }

    /// Takes a place among the waiters of `key` if `unchanged` says, with the bucket locked, that the word is what the
    /// program expects. EAGAIN: it is not. ENOMEM.
    pub fn enter(
        &self,
        key: Key,
        bitset: u32,
        unchanged: impl FnOnce() -> Result<bool>,
    ) -> Result<Place<'_>> {
        let waiter = Arc::new(Waiter {
            key: SpinLock::new(key),
            bitset,
            woken: AtomicBool::new(false),
            queue: WaitQueue::new(),
            _live: Live::new(Kind::FutexQueue),
        });
        let mut bucket = self.bucket(key);
        bucket.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        if !unchanged()? {
            return Err(Errno::EAGAIN);
        }
        bucket.push_back(Arc::clone(&waiter));
        drop(bucket);
        Ok(Place {
            table: self,
            waiter,
        })
    }

    /// Wakes up to `count` waiters of `key` whose bitset meets `bitset`, the first first; returns how many.
    pub fn wake(&self, key: Key, count: usize, bitset: u32) -> usize {
        let mut woken = 0;
        while woken < count {
            let mut bucket = self.bucket(key);
            let at = bucket
                .iter()
                .position(|it| *it.key.lock() == key && it.bitset & bitset != 0);
            let Some(waiter) = at.and_then(|at| bucket.remove(at)) else {
                break;
            };
            waiter.woken.store(true, Ordering::SeqCst);
            drop(bucket);
            waiter.queue.wake_all();
            woken += 1;
        }
        woken
    }

    /// Wakes up to `wake` waiters of `from` and makes up to `move_on` others wait on `to`, if `unchanged` says, with the buckets
    /// locked, that the word is what the program expects. Returns how many were woken and how many moved. EAGAIN, ENOMEM.
    pub fn requeue(
        &self,
        from: Key,
        to: Key,
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
        let woken = self.wake(from, wake, ANY);
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

    /// How many wait on `key`.
    fn waiting(&self, key: Key) -> usize {
        let bucket = self.bucket(key);
        bucket
            .iter()
            .filter(|waiter| *waiter.key.lock() == key)
            .count()
    }

    /// Makes the first waiter of `from` the last one of `to`. False: there is none.
    fn move_one(&self, from: Key, to: Key) -> Result<bool> {
        let matches = |waiter: &Arc<Waiter>| *waiter.key.lock() == from;
        if from.bucket() == to.bucket() {
            let mut bucket = self.bucket(from);
            let Some(waiter) = bucket
                .iter()
                .position(matches)
                .and_then(|at| bucket.remove(at))
            else {
                return Ok(false);
            };
            *waiter.key.lock() = to;
            bucket.push_back(waiter);
            return Ok(true);
        }
        let (mut source, mut target) = if from.bucket() < to.bucket() {
            let source = self.bucket(from);
            (source, self.bucket(to))
        } else {
            let target = self.bucket(to);
            (self.bucket(from), target)
        };
        target.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let Some(waiter) = source
            .iter()
            .position(matches)
            .and_then(|at| source.remove(at))
        else {
            return Ok(false);
        };
        *waiter.key.lock() = to;
        target.push_back(waiter);
        Ok(true)
    }

    /// Takes `waiter` out. False: it was moved meanwhile, or woken.
    fn withdraw(&self, waiter: &Arc<Waiter>) -> bool {
        let key = *waiter.key.lock();
        let mut bucket = self.bucket(key);
        let at = bucket.iter().position(|it| Arc::ptr_eq(it, waiter));
        let removed = at.and_then(|at| bucket.remove(at));
        drop(bucket);
        removed.is_some()
    }
}

/// `thread` ends, or executes another program: robust futexes that it holds are marked and their waiters told, and the word
/// that it promised to clear is cleared and its waiter woken (set_robust_list(2), set_tid_address(2)).
pub fn on_thread_exit(thread: &Thread, space: &Arc<AddressSpace>) {
    let list = thread.robust_list.swap(0, Ordering::Relaxed);
    if list != 0 {
        // A broken list is the program's own affair: what can be read of it is followed.
        let _ = follow_robust_list(thread, space, list);
    }
    let at = UserAddr(thread.clear_child_tid.swap(0, Ordering::Relaxed) as usize);
    if at.0 != 0 && space.write_user(at, &0u32).is_ok() {
        wake_word(thread, space, at);
    }
}

fn wake_word(thread: &Thread, space: &Arc<AddressSpace>, at: UserAddr) {
    // Whether those who wait said "private" or not is not known here, so both are told.
    for private in [true, false] {
        if let Ok(key) = Key::of(space, at, private)
            && thread.kernel().futexes.wake(key, 1, ANY) > 0
        {
            return;
        }
    }
}

/// `struct robust_list_head` (uapi/linux/futex.h): first entry, offset of the word in an entry, entry being locked.
fn follow_robust_list(thread: &Thread, space: &Arc<AddressSpace>, list: u64) -> Result<()> {
    let [first, offset, pending]: [u64; 3] = space.read_user(UserAddr(list as usize))?;
    // The lowest bit of an entry's address says that its futex inherits priority; there are none of these.
    let word = |entry: u64| UserAddr((entry & !1).wrapping_add(offset) as usize);
    let mut entry = first;
    for _ in 0..ROBUST_MAX {
        if entry & !1 == list {
            break;
        }
        let next: u64 = space.read_user(UserAddr((entry & !1) as usize))?;
        if entry != pending {
            release_robust(thread, space, word(entry))?;
        }
        entry = next;
    }
    if pending != 0 {
        release_robust(thread, space, word(pending))
    } else {
        Ok(())
    }
}

/// Marks the word at `at` as left behind if `thread` holds it, and wakes one waiter.
fn release_robust(thread: &Thread, space: &Arc<AddressSpace>, at: UserAddr) -> Result<()> {
    let mut value = space.load_u32(at)?;
    while value & TID_MASK == thread.tid {
        let found = space.compare_exchange_u32(at, value, value & WAITERS | OWNER_DIED)?;
        if found == value {
            if value & WAITERS != 0 {
                wake_word(thread, space, at);
            }
            return Ok(());
        }
        value = found;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Key = Key::Private(0x1000, 0x40);
    const OTHER: Key = Key::Private(0x1000, 0x80);

    fn enter(table: &FutexTable, key: Key, bitset: u32) -> Place<'_> {
        table.enter(key, bitset, || Ok(true)).ok().unwrap()
    }

    fn woken(place: &Place<'_>) -> bool {
        place.waiter.woken.load(Ordering::Acquire)
    }

    #[test]
    fn enter_with_a_changed_word_is_eagain_and_leaves_nobody() {
        let table = FutexTable::new();
        assert_eq!(
            table.enter(ONE, ANY, || Ok(false)).err(),
            Some(Errno::EAGAIN)
        );
        assert_eq!(table.wake(ONE, 1, ANY), 0);
    }

    #[test]
    fn wake_reaches_the_first_waiter_of_its_word_alone() {
        let table = FutexTable::new();
        let places = [
            enter(&table, OTHER, ANY),
            enter(&table, ONE, ANY),
            enter(&table, ONE, ANY),
        ];
        assert_eq!(table.wake(ONE, 1, ANY), 1);
        assert_eq!(places.each_ref().map(woken), [false, true, false]);
    }

    #[test]
    fn wake_passes_over_waiters_whose_bitset_differs() {
        let table = FutexTable::new();
        let places = [enter(&table, ONE, 1), enter(&table, ONE, 2)];
        assert_eq!(table.wake(ONE, 9, 2), 1);
        assert_eq!(places.each_ref().map(woken), [false, true]);
    }

    #[test]
    fn place_given_up_is_not_woken() {
        let table = FutexTable::new();
        drop(enter(&table, ONE, ANY));
        assert_eq!(table.wake(ONE, 1, ANY), 0);
    }

    #[test]
    fn requeue_wakes_some_and_moves_others() {
        let table = FutexTable::new();
        let places = [
            enter(&table, ONE, ANY),
            enter(&table, ONE, ANY),
            enter(&table, ONE, ANY),
        ];
        assert_eq!(table.requeue(ONE, OTHER, 1, 1, || Ok(true)), Ok((1, 1)));
        assert_eq!(table.wake(OTHER, 9, ANY), 1);
        assert_eq!(places.each_ref().map(woken), [true, true, false]);
    }

    #[test]
    fn moved_place_given_up_leaves_its_new_word() {
        let table = FutexTable::new();
        let place = enter(&table, ONE, ANY);
        assert_eq!(table.requeue(ONE, OTHER, 0, 1, || Ok(true)), Ok((0, 1)));
        drop(place);
        assert_eq!(table.wake(OTHER, 1, ANY), 0);
    }
}
