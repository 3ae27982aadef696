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

use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::task::{Context, Poll, Waker};

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
mod queue;

pub(crate) use queue::Rank;
pub use queue::{WaitQueue, Watch, Watcher};

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod trial;

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
