//! Message queues (msgop(2)): messages with a type, received in order or by type.
//!
//! Owns the messages and both lines of waiters. Promises: a message is seen whole or not at all; one that nobody could store stays; a sleeping
//! receiver is given the first message that it asked for, and a sleeping sender's message is queued as soon as there is room for it. One lock of
//! level 3, under which a message is copied to its receiver; nothing here waits.
//!
//! The limits are the queue's own: System V's, or those of the handbook's queue of 64 messages of 256 bytes.

mod message;

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use halyard_abi::sysv::{MSGMAX, MSGMNB};
use halyard_cell::SpinLock;

use super::Stamp;
use super::line::{Calls, Line, Lined, Place};
use super::permission::Ownership;
use super::table::{Header, Object};
use crate::counters::{Kind, Live};
use crate::process::Pid;
use crate::{Errno, Result};

pub use self::message::{INLINE, Message, Select};

/// What a queue can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all messages together (msg_qbytes).
    pub bytes: usize,
    /// Bytes of one message.
    pub message: usize,
    /// Messages; as many as bytes too, so that empty ones do not go on for ever.
    pub count: usize,
}

impl Limits {
    /// Of msgget(2).
    pub const SYSTEM_V: Limits = Limits {
        bytes: MSGMNB,
        message: MSGMAX,
        count: usize::MAX,
    };
    /// Of the handbook's queue (section 29.4).
    pub const HANDBOOK: Limits = Limits {
        bytes: 64 * 256,
        message: 256,
        count: 64,
    };
}

/// What a receiver asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which message.
    pub select: Select,
    /// How many bytes it has room for.
    pub room: usize,
    /// A longer message is cut (MSG_NOERROR); else it is E2BIG and stays.
    pub truncate: bool,
}

impl Wanted {
    /// How much of a message of `length` bytes it gets. E2BIG.
    fn count(&self, length: usize) -> Result<usize> {
        if length > self.room && !self.truncate {
            return Err(Errno::E2BIG);
        }
        Ok(length.min(self.room))
    }
}

/// Marks the line of receivers.
#[derive(Debug)]
pub enum Receiving {}
/// Marks the line of senders.
#[derive(Debug)]
pub enum Sending {}

/// A receiver that sleeps.
#[derive(Debug)]
pub struct Receiver {
    wanted: Wanted,
    pid: Pid,
}

/// A sender that sleeps, with its message.
#[derive(Debug)]
pub struct Sender {
    message: Option<Message>,
    length: usize,
    pid: Pid,
}

/// A message queue.
pub struct MessageQueue {
    header: Header,
    state: SpinLock<State>,
    _live: Live,
}

struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    limits: Limits,
    receivers: Line<Receiver, Result<Message>>,
    senders: Line<Sender, Result<()>>,
    removed: bool,
    sent: Stamp,
    received: Stamp,
    changed: u64,
}

/// What IPC_STAT tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Key, owner, mode.
    pub ownership: Ownership,
    /// Last message sent.
    pub sent: Stamp,
    /// Last message received.
    pub received: Stamp,
    /// When it was made or changed, ns since 1970.
    pub changed: u64,
    /// Bytes in it.
    pub bytes: usize,
    /// Messages in it.
    pub count: usize,
    /// Bytes that it may hold.
    pub limit: usize,
}

/// A receive that was not over at once.
pub type ReceiverPlace = Place<Receiving, MessageQueue>;
/// A send that was not over at once.
pub type SenderPlace = Place<Sending, MessageQueue>;

/// What became of a receive.
pub enum Received {
    /// So many bytes were taken.
    Done(usize),
    /// There is no such message: it waits.
    Waits(ReceiverPlace),
}

impl MessageQueue {
    /// An empty queue, made at `now` (ns since 1970).
    #[must_use]
    pub fn new(header: Header, limits: Limits, now: u64) -> MessageQueue {
        MessageQueue {
            header,
            state: SpinLock::new(State {
                messages: VecDeque::new(),
                bytes: 0,
                limits,
                receivers: Line::new(),
                senders: Line::new(),
                removed: false,
                sent: Stamp::default(),
                received: Stamp::default(),
                changed: now,
            }),
            _live: Live::new(Kind::MessageQueue),
        }
    }

    /// Sends. None: done. Some: the queue is full, and `wait` was said: the message goes in as soon as there is room. EAGAIN: full. EINVAL: longer
    /// than any message here. EIDRM: removed. ENOMEM.
    pub fn send(
        self: &Arc<Self>,
        message: Message,
        wait: bool,
        stamp: Stamp,
    ) -> Result<Option<SenderPlace>> {
        let length = message.len();
        let mut state = self.state.lock();
        state.check_alive()?;
        if length > state.limits.message {
            return Err(Errno::EINVAL);
        }
        if state.fits(length) {
            state.deliver(message, stamp)?;
            let calls = state.receivers.calls();
            drop(state);
            calls.ring::<Receiving, _>(&**self);
            return Ok(None);
        }
        if !wait {
            return Err(Errno::EAGAIN);
        }
        let message = Some(message);
        let ticket = state.senders.enter(Sender {
            message,
            length,
            pid: stamp.pid,
        })?;
        Ok(Some(Place::new(self, ticket)))
    }

    /// Receives the first message that is `wanted`, which `store` stores as many bytes of as it is told; if it fails, the message stays and its
    /// error is the answer. ENOMSG: there is none, and `wait` was not said. E2BIG: too long, and stays. EIDRM, ENOMEM.
    pub fn receive(
        self: &Arc<Self>,
        wanted: Wanted,
        wait: bool,
        stamp: Stamp,
        store: impl FnOnce(&Message, usize) -> Result<()>,
    ) -> Result<Received> {
        let mut state = self.state.lock();
        state.check_alive()?;
        let Some(at) = wanted.select.find(&state.messages) else {
            if !wait {
                return Err(Errno::ENOMSG);
            }
            let ticket = state.receivers.enter(Receiver {
                wanted,
                pid: stamp.pid,
            })?;
            return Ok(Received::Waits(Place::new(self, ticket)));
        };
        let message = state.messages.get(at).ok_or(Errno::ENOMSG)?;
        let count = wanted.count(message.len())?;
        store(message, count)?;
        let taken = state.take(at, stamp);
        state.admit_senders(stamp.time);
        let (senders, receivers) = (state.senders.calls(), state.receivers.calls());
        drop(state);
        self.ring(senders, receivers);
        drop(taken);
        Ok(Received::Done(count))
    }

    /// Stores a message that a sleeping receiver was given, as [`MessageQueue::receive`] does. If that fails, it becomes the first of the queue again.
    pub fn finish_receive(
        &self,
        message: Message,
        wanted: &Wanted,
        store: impl FnOnce(&Message, usize) -> Result<()>,
    ) -> Result<usize> {
        let stored = wanted
            .count(message.len())
            .and_then(|count| store(&message, count).map(|()| count));
        if stored.is_err() {
            self.put_back(message);
        }
        stored
    }

    /// MSG_COPY: stores the message at `index` without taking it. ENOMSG, E2BIG, EIDRM, and what `store` fails with.
    pub fn copy(
        &self,
        index: usize,
        wanted: &Wanted,
        store: impl FnOnce(&Message, usize) -> Result<()>,
    ) -> Result<usize> {
        let state = self.state.lock();
        state.check_alive()?;
        let message = state.messages.get(index).ok_or(Errno::ENOMSG)?;
        let count = wanted.count(message.len())?;
        store(message, count)?;
        Ok(count)
    }

    fn ring(&self, senders: Calls, receivers: Calls) {
        senders.ring::<Sending, _>(self);
        receivers.ring::<Receiving, _>(self);
    }

    fn put_back(&self, message: Message) {
        let mut state = self.state.lock();
        if state.removed {
            drop(state);
            return;
        }
        let then = state.received.time;
        let unclaimed = state.hand_over(message, then);
        if let Some(message) = unclaimed
            && state.messages.try_reserve(1).is_ok()
        {
            state.bytes += message.len();
            state.messages.push_front(message);
        }
        let calls = state.receivers.calls();
        drop(state);
        calls.ring::<Receiving, _>(self);
    }

    /// What it is like now.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            ownership: self.header.permission.ownership(),
            sent: state.sent,
            received: state.received,
            changed: state.changed,
            bytes: state.bytes,
            count: state.messages.len(),
            limit: state.limits.bytes,
        }
    }

    /// IPC_SET: how many bytes it may hold; senders for whom there is room now go on.
    pub fn set_limit(&self, bytes: usize, now: u64) {
        let mut state = self.state.lock();
        state.limits.bytes = bytes;
        state.changed = now;
        state.admit_senders(now);
        let (senders, receivers) = (state.senders.calls(), state.receivers.calls());
        drop(state);
        self.ring(senders, receivers);
    }

    /// It was taken out of its table: everybody who sleeps gets EIDRM, and the messages go.
    pub fn remove(&self) {
        let mut state = self.state.lock();
        state.removed = true;
        let messages = core::mem::take(&mut state.messages);
        state.bytes = 0;
        state.senders.answer_all(|| Err(Errno::EIDRM));
        state.receivers.answer_all(|| Err(Errno::EIDRM));
        let (senders, receivers) = (state.senders.calls(), state.receivers.calls());
        drop(state);
        self.ring(senders, receivers);
        drop(messages);
    }

    /// How many sleep: senders and receivers.
    #[must_use]
    pub fn sleepers(&self) -> (usize, usize) {
        let state = self.state.lock();
        (
            state.senders.wants().count(),
            state.receivers.wants().count(),
        )
    }
}

impl State {
    const fn check_alive(&self) -> Result<()> {
        if self.removed {
            return Err(Errno::EIDRM);
        }
        Ok(())
    }

    #[inline]
    fn fits(&self, length: usize) -> bool {
        let count = self.messages.len();
        self.bytes.saturating_add(length) <= self.limits.bytes
            && count < self.limits.count.min(self.limits.bytes)
    }

    /// Gives the message to whoever sleeps for it, else queues it. ENOMEM: nothing was done.
    #[inline]
    fn deliver(&mut self, message: Message, stamp: Stamp) -> Result<()> {
        self.messages.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        if let Some(message) = self.hand_over(message, stamp.time) {
            self.bytes += message.len();
            self.messages.push_back(message);
        }
        self.sent = stamp;
        Ok(())
    }

    /// Gives the message to the first sleeping receiver that wants it. One that it is too long for gets E2BIG, and the next is asked.
    #[inline]
    fn hand_over(&mut self, message: Message, now: u64) -> Option<Message> {
        for place in 0..self.receivers.len() {
            let Some(receiver) = self.receivers.waiting(place) else {
                continue;
            };
            if !receiver.wanted.select.wants(message.kind) {
                continue;
            }
            if receiver.wanted.count(message.len()).is_err() {
                self.receivers.answer(place, Err(Errno::E2BIG));
                continue;
            }
            self.received = Stamp {
                pid: receiver.pid,
                time: now,
            };
            self.receivers.answer(place, Ok(message));
            return None;
        }
        Some(message)
    }

    fn take(&mut self, at: usize, stamp: Stamp) -> Option<Message> {
        let message = self.messages.remove(at)?;
        self.bytes = self.bytes.saturating_sub(message.len());
        self.received = stamp;
        Some(message)
    }

    /// Queues the messages of sleeping senders for which there is room now.
    #[inline]
    fn admit_senders(&mut self, now: u64) {
        for place in 0..self.senders.len() {
            let Some(sender) = self.senders.waiting(place) else {
                continue;
            };
            let length = sender.length;
            if !self.fits(length) {
                continue;
            }
            let Some(sender) = self.senders.waiting(place) else {
                continue;
            };
            let stamp = Stamp {
                pid: sender.pid,
                time: now,
            };
            let Some(message) = sender.message.take() else {
                continue;
            };
            let answer = self.deliver(message, stamp);
            self.senders.answer(place, answer);
        }
    }
}

impl Object for MessageQueue {
    fn header(&self) -> &Header {
        &self.header
    }
}

impl Lined<Receiving> for MessageQueue {
    type Want = Receiver;
    type Answer = Result<Message>;

    fn with_line<T>(&self, work: impl FnOnce(&mut Line<Receiver, Result<Message>>) -> T) -> T {
        work(&mut self.state.lock().receivers)
    }

    /// A receiver was killed between being given a message and taking it.
    fn take_back(&self, answer: Result<Message>) {
        if let Ok(message) = answer {
            self.put_back(message);
        }
    }
}

impl Lined<Sending> for MessageQueue {
    type Want = Sender;
    type Answer = Result<()>;

    fn with_line<T>(&self, work: impl FnOnce(&mut Line<Sender, Result<()>>) -> T) -> T {
        work(&mut self.state.lock().senders)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;

#[cfg(all(test, loom))]
mod loom_tests;
