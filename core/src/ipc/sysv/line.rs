//! Those who wait for an object, each with what it waits for, first come first.
//!
//! Unlike with a [`WaitQueue`](crate::wait::WaitQueue), who changes the object also does what a waiter waits for, on its behalf, and leaves
//! it the answer: so a wake reaches exactly those who can go on, in the order in which they came, and nobody comes between. A line is part of
//! what its object's lock guards (level 3); wakers run when that lock is free again.
//!
//! No wake is lost: the place is taken under the lock that decided to wait, an answer is left under the same lock, and a waiter looks for
//! its answer after it has left its waker.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::task::Waker;

use crate::machine::OutOfMemory;
use crate::time::Instant;
use crate::wait::{Interruption, Registration, Sleeper, wait_in};
use crate::{Errno, Result};

/// Those who wait, in the order in which they came.
pub struct Line<W, A> {
    entries: VecDeque<Entry<W, A>>,
    next: u64,
    /// Entries that have an answer and have not been called yet.
    uncalled: usize,
}

/// One who waits.
pub(super) struct Entry<W, A> {
    ticket: u64,
    /// For what.
    pub(super) want: W,
    pub(super) answer: Option<A>,
    waker: Option<Waker>,
}

/// Wakers to be called when the lock is free.
#[must_use]
pub(super) struct Calls {
    first: Option<Waker>,
    more: bool,
}

impl<W, A> Line<W, A> {
    pub(super) const fn new() -> Line<W, A> {
        Line {
            entries: VecDeque::new(),
            next: 0,
            uncalled: 0,
        }
    }

    /// Stands at the end; returns the ticket. ENOMEM.
    pub(super) fn enter(&mut self, want: W) -> Result<u64> {
        self.entries.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let ticket = self.next;
        self.next = ticket.wrapping_add(1);
        self.entries.push_back(Entry {
            ticket,
            want,
            answer: None,
            waker: None,
        });
        Ok(ticket)
    }

    /// How many places there are to look at with [`Line::waiting`].
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the one in that place wants, if it has no answer yet.
    #[inline]
    pub(super) fn waiting(&mut self, place: usize) -> Option<&mut W> {
        let entry = self.entries.get_mut(place)?;
        entry.answer.is_none().then_some(&mut entry.want)
    }

    /// What all want that have no answer yet.
    pub(super) fn wants(&self) -> impl Iterator<Item = &W> {
        let waiting = self.entries.iter().filter(|entry| entry.answer.is_none());
        waiting.map(|entry| &entry.want)
    }

    /// Gives the one in that place its answer.
    #[inline]
    pub(super) fn answer(&mut self, place: usize, answer: A) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.answer = Some(answer);
            self.uncalled += usize::from(entry.waker.is_some());
        }
    }

    /// Gives everybody who has none yet an answer.
    pub(super) fn answer_all(&mut self, answer: impl Fn() -> A) {
        for place in 0..self.entries.len() {
            if self.waiting(place).is_some() {
                self.answer(place, answer());
            }
        }
    }

    /// Whom to call, now that answers were given.
    #[inline]
    pub(super) fn calls(&mut self) -> Calls {
        let first = self.take_call();
        Calls {
            first,
            more: self.uncalled > 0,
        }
    }

    #[inline]
    fn take_call(&mut self) -> Option<Waker> {
        if self.uncalled == 0 {
            return None;
        }
        let answered = |entry: &&mut Entry<W, A>| entry.answer.is_some() && entry.waker.is_some();
        let waker = self.entries.iter_mut().find(answered)?.waker.take()?;
        self.uncalled -= 1;
        Some(waker)
    }

    /// Tickets rise along the line.
    fn index_of(&self, ticket: u64) -> Option<usize> {
        if self.entries.front()?.ticket == ticket {
            return Some(0);
        }
        let found = self
            .entries
            .binary_search_by_key(&ticket, |entry| entry.ticket);
        found.ok()
    }

    /// Leaves a waker; returns the one that was there, to be dropped with no lock held.
    fn arm(&mut self, ticket: u64, waker: Waker) -> Option<Waker> {
        let entry = self
            .index_of(ticket)
            .and_then(|at| self.entries.get_mut(at))?;
        if entry.answer.is_some() {
            // Whoever waits looks for it next.
            return Some(waker);
        }
        entry.waker.replace(waker)
    }

    /// Takes the answer and leaves, if there is one.
    fn collect(&mut self, ticket: u64) -> Option<Entry<W, A>> {
        let at = self.index_of(ticket)?;
        self.entries.get(at)?.answer.as_ref()?;
        self.remove(at)
    }

    /// Leaves, answered or not.
    fn leave(&mut self, ticket: u64) -> Option<Entry<W, A>> {
        self.index_of(ticket).and_then(|at| self.remove(at))
    }

    fn remove(&mut self, at: usize) -> Option<Entry<W, A>> {
        let entry = self.entries.remove(at)?;
        if entry.answer.is_some() && entry.waker.is_some() {
            self.uncalled -= 1;
        }
        Some(entry)
    }
}

/// An object with a line of those who wait for `K`.
pub trait Lined<K>: Send + Sync {
    /// What each waits for.
    type Want;
    /// What it is given.
    type Answer;

    /// Does `work` with the line, under the object's lock.
    fn with_line<T>(&self, work: impl FnOnce(&mut Line<Self::Want, Self::Answer>) -> T) -> T;

    /// Somebody was given `answer` and will not have it any more: killed.
    fn take_back(&self, answer: Self::Answer) {
        drop(answer);
    }
}

impl Calls {
    /// Calls those who have got an answer. The object's lock is free.
    #[inline]
    pub(super) fn ring<K, O: Lined<K>>(self, object: &O) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        if self.more {
            while let Some(waker) = object.with_line(Line::take_call) {
                waker.wake();
            }
        }
    }
}

/// A place in an object's line. Dropping it gives it up.
#[must_use]
pub struct Place<K, O: Lined<K>> {
    object: Arc<O>,
    ticket: u64,
    kind: PhantomData<fn() -> K>,
}

impl<K, O: Lined<K>> Place<K, O> {
    pub(super) fn new(object: &Arc<O>, ticket: u64) -> Place<K, O> {
        Place {
            object: Arc::clone(object),
            ticket,
            kind: PhantomData,
        }
    }

    /// The object.
    #[must_use]
    pub const fn object(&self) -> &Arc<O> {
        &self.object
    }

    /// Waits for the answer. An answer that came before the interruption was noticed counts.
    ///
    /// # Errors
    /// [`Interruption`]: nothing was done.
    pub async fn wait<S: Sleeper>(
        &mut self,
        sleeper: &S,
        deadline: Option<Instant>,
    ) -> Result<O::Answer, Interruption> {
        let collect = |place: &mut &mut Self| place.collect();
        let waited = wait_in(sleeper, &mut *self, deadline, collect).await;
        waited.or_else(|why| self.end().ok_or(why))
    }

    fn collect(&self) -> Option<O::Answer> {
        let entry = self.object.with_line(|line| line.collect(self.ticket));
        entry.and_then(|entry| entry.answer)
    }

    /// Leaves the line; returns the answer if there was one.
    fn end(&self) -> Option<O::Answer> {
        let entry = self.object.with_line(|line| line.leave(self.ticket));
        entry.and_then(|entry| entry.answer)
    }
}

impl<K, O: Lined<K>> Registration for &mut Place<K, O> {
    fn arm(&mut self, waker: &Waker) -> Result<(), OutOfMemory> {
        let waker = waker.clone();
        let replaced = self.object.with_line(|line| line.arm(self.ticket, waker));
        drop(replaced);
        Ok(())
    }

    // An answer stays until it is taken, so there is no wake that could be lost.
    fn disarm(&mut self) {}
    fn leave(&mut self, _: bool) {}
}

impl<K, O: Lined<K>> Drop for Place<K, O> {
    fn drop(&mut self) {
        if let Some(answer) = self.end() {
            self.object.take_back(answer);
        }
    }
}
