//! Those who wait on one side of a queue, served in the order of their arrival.
//!
//! Whoever changes the queue serves the first in line at once, on its behalf: gives a receiver its message, takes a sender's.
//! So nobody who comes later is quicker, and what the queue says of itself is true before the one who was served has run.

use alloc::collections::VecDeque;
use core::task::Waker;

use super::message::Message;

/// Somebody in line.
struct Waiter {
    id: u64,
    waker: Option<Waker>,
    /// A sender's message until it is taken; a receiver's once it is given.
    message: Option<Message>,
}

/// Those who wait on one side.
#[derive(Default)]
pub(super) struct Line {
    /// By rising id.
    waiting: VecDeque<Waiter>,
    /// Served, and not run since. By rising id.
    served: VecDeque<Waiter>,
    next: u64,
}

/// What becomes of somebody who leaves the line.
pub(super) enum Left {
    /// It was not in line any more.
    Gone,
    /// It had not been served; what it had brought.
    Unserved(Option<Message>, Option<Waker>),
    /// It had been served; what it was given.
    Served(Option<Message>),
}

impl Line {
    /// Whether nobody waits to be served.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a place at the end, with a sender's message. Returns its id; the message again if there is no memory.
    pub(super) fn enter(&mut self, message: Option<Message>) -> Result<u64, Option<Message>> {
        // Whoever is served finds room among the served.
        let room = self.waiting.len().saturating_add(1);
        if self.waiting.try_reserve(1).is_err() || self.served.try_reserve(room).is_err() {
            return Err(message);
        }
        let id = self.next;
        self.next = id.wrapping_add(1);
        self.waiting.push_back(Waiter {
            id,
            waker: None,
            message,
        });
        Ok(id)
    }

    /// `id` is to be woken by `waker`. Gives back the waker that is not needed, to be dropped with no lock held: the one it
    /// had, or this one if it has been served.
    pub(super) fn arm(&mut self, id: u64, waker: Waker) -> Option<Waker> {
        let at = self.waiting.partition_point(|waiter| waiter.id < id);
        match self.waiting.get_mut(at) {
            Some(waiter) if waiter.id == id => waiter.waker.replace(waker),
            _ => Some(waker),
        }
    }

    /// Serves the first in line: `exchange` gives it a message or takes the one it brought. Returns its waker.
    pub(super) fn serve(
        &mut self,
        exchange: impl FnOnce(&mut Option<Message>),
    ) -> Option<Option<Waker>> {
        let mut first = self.waiting.pop_front()?;
        exchange(&mut first.message);
        let waker = first.waker.take();
        self.served.push_back(first);
        Some(waker)
    }

    /// Whether `id` has been served; what it was given. It leaves the line then.
    pub(super) fn collect(&mut self, id: u64) -> Option<Option<Message>> {
        take(&mut self.served, id).map(|waiter| waiter.message)
    }

    /// Takes `id` out, served or not.
    pub(super) fn leave(&mut self, id: u64) -> Left {
        if let Some(waiter) = take(&mut self.waiting, id) {
            return Left::Unserved(waiter.message, waiter.waker);
        }
        match self.collect(id) {
            Some(message) => Left::Served(message),
            None => Left::Gone,
        }
    }

    /// How many are in it, served or not.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.served.len()
    }
}

fn take(waiters: &mut VecDeque<Waiter>, id: u64) -> Option<Waiter> {
    let at = waiters.partition_point(|waiter| waiter.id < id);
    waiters.get(at).filter(|waiter| waiter.id == id)?;
    waiters.remove(at)
}
