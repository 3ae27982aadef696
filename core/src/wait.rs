//! The one way to wait. Everything that blocks goes through this module, so everything that blocks can be
//! woken, timed out, interrupted by a signal and killed. Lock level 6 (the queue); wakers run with no lock held.
//!
//! Waiting is level-triggered: a waiter repeats an attempt (`op`) until it succeeds. What makes that free of lost wake-ups:
//! 1. Who waits arms its place in the queue *before* the attempt that decides that it must wait.
//! 2. Who changes an object wakes *after* the change, and the change and the attempt take the same lock.
//!
//! So either the attempt sees the change, or the change's wake sees the place armed.
//!
//! Exclusive waiters ([`wait_until`]) are woken one at a time, first come first served, and keep their place while somebody
//! else was quicker. Shared waiters ([`wait_any`], for poll) are woken by every wake. An exclusive waiter that ends
//! without success (signal, deadline, kill) wakes the next, so no wake is lost with it. A waiter that succeeds and
//! leaves the object ready for the next wakes the next: that is the object's duty ([`WaitQueue::pass_on`]).
//!
//! Watchers ([`Watcher`], for epoll) do not wait: they stay in the queue and are told of every wake until they leave.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::task::{Context, Poll, Waker};

use halyard_cell::SpinLock;
use halyard_cell::sync::atomic::{AtomicUsize, Ordering};

use crate::Errno;
use crate::machine::OutOfMemory;
use crate::time::Instant;

/// Who waits: the running thread, or a test.
pub trait Sleeper: Send + Sync {
    /// Whether a signal wants to be delivered (or the thread is to die): waits end with [`Interruption::Signal`]. Who
    /// makes this true wakes the thread afterwards.
    fn interrupted(&self) -> bool;
    /// The monotonic clock.
    fn now(&self) -> Instant;
    /// Sets or clears the thread's one alarm, which wakes it.
    fn set_deadline(&self, at: Option<Instant>);
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// A signal.
    Signal,
    /// The deadline.
    TimedOut,
    /// No memory for a place in the queue.
    OutOfMemory,
}

impl Interruption {
    /// What a call whose waits may not be restarted returns: EINTR, ETIMEDOUT, ENOMEM.
    #[must_use]
    pub const fn errno(self) -> Errno {
        match self {
            Interruption::Signal => Errno::EINTR,
            Interruption::TimedOut => Errno::ETIMEDOUT,
            Interruption::OutOfMemory => Errno::ENOMEM,
        }
    }
}

impl From<OutOfMemory> for Interruption {
    fn from(_: OutOfMemory) -> Interruption {
        Interruption::OutOfMemory
    }
}

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
        // The lock that orders the object's change and the waiter's attempt orders this load too (module text, 2).
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

/// A waiter's hold on whatever wakes it: a place in a queue, in several, in a futex table.
pub(crate) trait Registration {
    /// From now on the next wake reaches `waker`. Repeated after each wake that did not help.
    fn arm(&mut self, waker: &Waker) -> Result<(), OutOfMemory>;
    /// Called before an attempt that follows a wake: from now on no wake reaches this waiter, so that one that comes
    /// after the attempt has succeeded is not lost with it.
    fn disarm(&mut self);
    /// Gives the place up. A wake that may have ended here in vain goes to the next in line.
    fn leave(&mut self, succeeded: bool);
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
    const SHARED: Rank = Rank {
        rank: None,
        shared: true,
    };

    /// As [`Registration::arm`].
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

    /// As [`Registration::disarm`].
    #[inline]
    pub(crate) fn disarm(&mut self, queue: &WaitQueue) {
        // A wake is not used up by a shared waiter, so it may stay.
        if !self.shared {
            self.remove(queue);
        }
    }

    /// As [`Registration::leave`].
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

/// A place in a queue. Dropping it leaves without success.
struct Place<'a> {
    queue: &'a WaitQueue,
    rank: Rank,
}

impl Registration for Place<'_> {
    #[inline]
    fn arm(&mut self, waker: &Waker) -> Result<(), OutOfMemory> {
        self.rank.arm(self.queue, waker)
    }

    #[inline]
    fn disarm(&mut self) {
        self.rank.disarm(self.queue);
    }

    #[inline]
    fn leave(&mut self, succeeded: bool) {
        self.rank.leave(self.queue, succeeded);
    }
}

/// Places in several queues.
impl Registration for Vec<Place<'_>> {
    fn arm(&mut self, waker: &Waker) -> Result<(), OutOfMemory> {
        self.iter_mut().try_for_each(|place| place.arm(waker))
    }

    fn disarm(&mut self) {
        self.iter_mut().for_each(Registration::disarm);
    }

    fn leave(&mut self, succeeded: bool) {
        self.iter_mut().for_each(|place| place.leave(succeeded));
    }
}

/// A wait in progress: the leaf of every blocking call.
struct Wait<'a, S: Sleeper, R: Registration> {
    sleeper: &'a S,
    deadline: Option<Instant>,
    registration: R,
    begun: bool,
}

impl<S: Sleeper, R: Registration> Wait<'_, S, R> {
    #[inline]
    fn poll<T>(
        &mut self,
        context: &Context<'_>,
        op: &mut impl FnMut(&mut R) -> Option<T>,
    ) -> Poll<Result<T, Interruption>> {
        if self.begun {
            self.registration.disarm();
            if let Some(value) = op(&mut self.registration) {
                return self.end(Ok(value));
            }
        }
        if self.registration.arm(context.waker()).is_err() {
            return self.end(Err(Interruption::OutOfMemory));
        }
        if let Some(value) = op(&mut self.registration) {
            return self.end(Ok(value));
        }
        if self.sleeper.interrupted() {
            return self.end(Err(Interruption::Signal));
        }
        if let Some(deadline) = self.deadline {
            if self.sleeper.now() >= deadline {
                return self.end(Err(Interruption::TimedOut));
            }
            if !self.begun {
                self.sleeper.set_deadline(Some(deadline));
            }
        }
        self.begun = true;
        Poll::Pending
    }

    fn end<T>(&mut self, result: Result<T, Interruption>) -> Poll<Result<T, Interruption>> {
        self.registration.leave(result.is_ok());
        self.clear_alarm();
        Poll::Ready(result)
    }

    fn clear_alarm(&mut self) {
        if self.begun && self.deadline.take().is_some() {
            self.sleeper.set_deadline(None);
        }
    }
}

impl<S: Sleeper, R: Registration> Drop for Wait<'_, S, R> {
    fn drop(&mut self) {
        self.registration.leave(false);
        self.clear_alarm();
    }
}

/// Repeats `op` until it yields a value, as an exclusive waiter of `queue`. Order of precedence: the value, a signal, the
/// deadline. Whoever calls this has tried once already, or does not care that a place is taken in vain.
///
/// Dropping the future gives up the place and the alarm, and wakes the next in line.
///
/// # Errors
/// [`Interruption`].
pub fn wait_until<'a, S: Sleeper, T>(
    sleeper: &'a S,
    queue: &'a WaitQueue,
    deadline: Option<Instant>,
    mut op: impl FnMut() -> Option<T>,
) -> impl Future<Output = Result<T, Interruption>> {
    wait_in(
        sleeper,
        Place {
            queue,
            rank: Rank::EXCLUSIVE,
        },
        deadline,
        move |_| op(),
    )
}

/// As [`wait_until`], as a shared waiter of all of `queues`: every wake of any of them repeats `op`.
///
/// # Errors
/// [`Interruption`]; `OutOfMemory` also if there is no memory for the list of places.
pub fn wait_any<'a, S: Sleeper, T>(
    sleeper: &'a S,
    queues: impl Iterator<Item = &'a WaitQueue>,
    deadline: Option<Instant>,
    mut op: impl FnMut() -> Option<T>,
) -> Result<impl Future<Output = Result<T, Interruption>>, Interruption> {
    let mut places = Vec::new();
    for queue in queues {
        places
            .try_reserve(1)
            .map_err(|_| Interruption::OutOfMemory)?;
        places.push(Place {
            queue,
            rank: Rank::SHARED,
        });
    }
    Ok(wait_in(sleeper, places, deadline, move |_| op()))
}

/// Waits for the deadline, or for a signal for ever if there is none (nanosleep, pause).
///
/// # Errors
/// Always: [`Interruption::TimedOut`] is the good end.
pub async fn wait_for_time<S: Sleeper>(sleeper: &S, deadline: Option<Instant>) -> Interruption {
    match wait_in(sleeper, Nowhere, deadline, |_| {
        None::<core::convert::Infallible>
    })
    .await
    {
        Ok(never) => match never {},
        Err(why) => why,
    }
}

/// A place where no wake comes.
struct Nowhere;

impl Registration for Nowhere {
    fn arm(&mut self, _: &Waker) -> Result<(), OutOfMemory> {
        Ok(())
    }
    fn disarm(&mut self) {}
    fn leave(&mut self, _: bool) {}
}

/// The leaf over any registration.
pub(crate) fn wait_in<S: Sleeper, R: Registration, T>(
    sleeper: &S,
    registration: R,
    deadline: Option<Instant>,
    mut op: impl FnMut(&mut R) -> Option<T>,
) -> impl Future<Output = Result<T, Interruption>> {
    let mut wait = Wait {
        sleeper,
        deadline,
        registration,
        begun: false,
    };
    poll_fn(move |context| wait.poll(context, &mut op))
}

pub mod pause;

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod trial;

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
