//! A wait queue: who waits for a change of one object, or watches it. Lock level 6; whoever is told is told without the lock.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::task::Waker;

use halyard_cell::SpinLock;
use halyard_cell::sync::atomic::{AtomicUsize, Ordering};

use crate::machine::OutOfMemory;

/// Threads that wait for a change of one object. Idle it owns no memory; after its first waiter it keeps room for a few.
pub struct WaitQueue {
    /// How many waiters no wake has reached yet. Written under the lock, read without it.
    armed: AtomicUsize,
    waiters: SpinLock<Waiters>,
}

/// Somebody who is told of each change of an object and does not wait for it.
pub trait Watcher: Send + Sync {
    /// The object has changed, or may have. Called without the queue's lock, but perhaps with the object's: takes locks
    /// from level 6 up alone. Tells whether somebody will act on it, so that an exclusive wake need go no further.
    fn changed(self: Arc<Self>) -> bool;
}

/// A watcher's place in a queue, to be given up with [`WaitQueue::unwatch`].
#[derive(Debug, PartialEq, Eq)]
pub struct Watch(i64);

/// Sorted by `rank`: shared waiters below zero, exclusive ones from zero up in the order of their arrival.
struct Waiters {
    entries: VecDeque<Entry>,
    last_shared: i64,
    next_exclusive: i64,
}

struct Entry {
    rank: i64,
    /// Absent once a wake has reached this waiter, until it arms itself again.
    who: Option<Who>,
}

/// Whom a wake reaches.
#[derive(Clone)]
enum Who {
    Waiter(Waker),
    Watcher(Arc<dyn Watcher>),
}

impl Who {
    /// Tells it; true if that counts as the wake of an exclusive waiter.
    #[inline]
    fn tell(self) -> bool {
        match self {
            Who::Waiter(waker) => {
                waker.wake();
                true
            }
            Who::Watcher(watcher) => watcher.changed(),
        }
    }
}

/// What a wake found in the queue.
struct Reached {
    rank: i64,
    who: Who,
    /// Nobody stands behind it.
    last: bool,
}

impl WaitQueue {
    /// A queue in which nobody waits.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> WaitQueue {
        WaitQueue {
            armed: AtomicUsize::new(0),
            waiters: SpinLock::new(Waiters::new()),
        }
    }

    /// A queue in which nobody waits.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> WaitQueue {
        WaitQueue {
            armed: AtomicUsize::new(0),
            waiters: SpinLock::new(Waiters::new()),
        }
    }

    /// Whether nobody waits whom a wake has not yet reached. One load.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        // The lock that orders the object's change and the waiter's attempt orders this load too (rule 2 of [`super`]).
        self.armed.load(Ordering::Acquire) == 0
    }

    /// Wakes the exclusive waiter that came first, and every shared one. One load if nobody waits. Call it after the
    /// change, best without the object's lock.
    #[inline]
    pub fn wake_one(&self) {
        if !self.is_idle() {
            self.wake_armed(i64::MIN, 1);
        }
    }

    /// Wakes everybody who waits now. One load if nobody does. Call it after the change, best without the object's lock.
    #[inline]
    pub fn wake_all(&self) {
        if !self.is_idle() {
            self.wake_armed(i64::MIN, usize::MAX);
        }
    }

    /// Wakes the exclusive waiter that came first and nobody else: who was served and leaves something passes the wake
    /// on. Shared waiters and watchers know already: the wake that told of the change reached them all.
    #[inline]
    pub fn pass_on(&self) {
        if !self.is_idle() {
            self.wake_armed(0, 1);
        }
    }

    /// Wakes shared waiters from rank `from` on and up to `exclusive` exclusive ones, one lock hold each: they are told
    /// without it.
    #[inline(never)]
    fn wake_armed(&self, mut from: i64, mut exclusive: usize) {
        let mut limit = None;
        while exclusive > 0 {
            let Some(reached) = self.reach(from, &mut limit) else {
                return;
            };
            let rank = reached.rank;
            if reached.who.tell() && rank >= 0 {
                exclusive = exclusive.saturating_sub(1);
            }
            if reached.last || self.is_idle() {
                return;
            }
            from = rank.saturating_add(1);
        }
    }

    /// The first armed waiter or watcher from rank `from` on, if it came before this wake began (`limit`).
    fn reach(&self, from: i64, limit: &mut Option<i64>) -> Option<Reached> {
        let mut waiters = self.waiters.lock();
        let limit = *limit.get_or_insert(waiters.next_exclusive);
        let start = waiters.index_of(from);
        let count = waiters.entries.len();
        let (at, entry) = waiters
            .entries
            .range_mut(start..)
            .enumerate()
            .find(|(_, entry)| entry.who.is_some())?;
        if entry.rank >= limit {
            return None;
        }
        let (rank, last) = (entry.rank, start + at + 1 == count);
        let who = match &entry.who {
            Some(Who::Watcher(watcher)) => Who::Watcher(Arc::clone(watcher)),
            _ => {
                let waiter = entry.who.take()?;
                self.note(&waiters, -1);
                waiter
            }
        };
        Some(Reached { rank, who, last })
    }

    /// Has `watcher` told of every wake from now on; an `exclusive` one in line with the exclusive waiters.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn watch(&self, watcher: Arc<dyn Watcher>, exclusive: bool) -> Result<Watch, OutOfMemory> {
        let mut waiters = self.waiters.lock();
        let rank = waiters.new_rank(!exclusive);
        waiters.put(rank, Who::Watcher(watcher))?;
        self.note(&waiters, 1);
        Ok(Watch(rank))
    }

    /// Ends what [`WaitQueue::watch`] began. A wake that is under way on another CPU may still reach the watcher.
    pub fn unwatch(&self, place: Watch) {
        let mut waiters = self.waiters.lock();
        let entry = waiters.remove(place.0);
        if entry.is_some() {
            self.note(&waiters, -1);
        }
        drop(waiters);
        drop(entry);
    }

    /// Adds to the count of armed waiters; the lock is held.
    fn note(&self, _held: &Waiters, change: isize) {
        let armed = self.armed.load(Ordering::Relaxed);
        self.armed
            .store(armed.wrapping_add_signed(change), Ordering::Release);
    }

    /// How many wait, woken or not.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.lock().entries.len()
    }
}

impl Default for WaitQueue {
    fn default() -> WaitQueue {
        WaitQueue::new()
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").finish_non_exhaustive()
    }
}

impl Waiters {
    const fn new() -> Waiters {
        Waiters {
            entries: VecDeque::new(),
            last_shared: 0,
            next_exclusive: 0,
        }
    }

    /// Where the entry of `rank` is, or would be.
    fn index_of(&self, rank: i64) -> usize {
        self.entries.partition_point(|entry| entry.rank < rank)
    }

    /// A rank behind all exclusive waiters, or before all shared ones.
    fn new_rank(&mut self, shared: bool) -> i64 {
        if shared {
            self.last_shared = self.last_shared.wrapping_sub(1);
            self.last_shared
        } else {
            let rank = self.next_exclusive;
            self.next_exclusive = rank.wrapping_add(1);
            rank
        }
    }

    /// Arms the entry of `rank` with `who`, making the entry if it is not there. Returns what it had.
    fn put(&mut self, rank: i64, who: Who) -> Result<Option<Who>, OutOfMemory> {
        let index = self.index_of(rank);
        if let Some(entry) = self.entries.get_mut(index)
            && entry.rank == rank
        {
            return Ok(entry.who.replace(who));
        }
        self.entries.try_reserve(1).map_err(|_| OutOfMemory)?;
        self.entries.insert(
            index,
            Entry {
                rank,
                who: Some(who),
            },
        );
        Ok(None)
    }

    fn remove(&mut self, rank: i64) -> Option<Entry> {
        let index = self.index_of(rank);
        self.entries.get(index).filter(|entry| entry.rank == rank)?;
        self.entries.remove(index)
    }
}

/// A waiter's rank in a queue that it names with each call: a place without the borrow.
#[derive(Debug)]
pub(crate) struct Rank {
    /// Kept from the first arming to the end: who was woken in vain comes before those who came later.
    rank: Option<i64>,
    shared: bool,
}

impl Rank {
    pub(crate) const EXCLUSIVE: Rank = Rank {
        rank: None,
        shared: false,
    };
    pub(super) const SHARED: Rank = Rank {
        rank: None,
        shared: true,
    };

    /// As [`super::Registration::arm`].
    pub(crate) fn arm(&mut self, queue: &WaitQueue, waker: &Waker) -> Result<(), OutOfMemory> {
        let waker = waker.clone();
        let mut waiters = queue.waiters.lock();
        let rank = *self
            .rank
            .get_or_insert_with(|| waiters.new_rank(self.shared));
        let replaced = waiters.put(rank, Who::Waiter(waker))?;
        if replaced.is_none() {
            queue.note(&waiters, 1);
        }
        // A waker may be the last hold on a thread: never dropped under the lock.
        drop(waiters);
        drop(replaced);
        Ok(())
    }

    /// As [`super::Registration::disarm`].
    #[inline]
    pub(crate) fn disarm(&mut self, queue: &WaitQueue) {
        // A wake is not used up by a shared waiter, so it may stay.
        if !self.shared {
            self.remove(queue);
        }
    }

    /// As [`super::Registration::leave`].
    pub(crate) fn leave(&mut self, queue: &WaitQueue, succeeded: bool) {
        let reached = self.remove(queue);
        // Reached after it had armed itself, and perhaps after the attempt that succeeded. Or it gives up, and those
        // behind may have waited for no other reason than that it came first.
        if self.rank.take().is_some() && !self.shared && (reached || !succeeded) {
            queue.pass_on();
        }
    }

    /// Takes the entry out of the queue, if it is there; true if a wake had reached it.
    fn remove(&self, queue: &WaitQueue) -> bool {
        let Some(rank) = self.rank else { return false };
        let mut waiters = queue.waiters.lock();
        let Some(entry) = waiters.remove(rank) else {
            return false;
        };
        let reached = entry.who.is_none();
        if !reached {
            queue.note(&waiters, -1);
        }
        drop(waiters);
        drop(entry);
        reached
    }
}
