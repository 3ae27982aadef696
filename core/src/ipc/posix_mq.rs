//! POSIX message queues (mq_overview(7)): messages with priorities, kept apart, bounded in number and size.
//!
//! Owns the messages, those who wait on either side, and the one registration for notification. Promises: a message is
//! delivered once, the highest priority first and within it the oldest; whoever waits is served in the order of arrival
//! and cannot be overtaken; a send that faults sends nothing; a receiver that dies after it was given a message gives it
//! back. One lock of level 3, held for the copy of one message; nothing here waits but [`Queue::send`] and
//! [`Queue::receive`].
//!
//! Memory: a message's bytes are allocated when it is sent; one emptied buffer is kept for the next. What a queue may come
//! to is charged to its maker when it is made (`names`).

mod line;
mod message;
mod names;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;

use halyard_cell::SpinLock;

use self::line::{Left, Line};
use self::message::Messages;
use self::names::Charge;
use crate::counters::{Kind, Live};
use crate::fs::file::{File, Readiness, Side, Special};
use crate::io::{Sink, Source};
use crate::machine::OutOfMemory;
use crate::process::signal::Signal;
use crate::process::state::Process;
use crate::text_line::TextLine;
use crate::time::Instant;
use crate::wait::{Interruption, Registration, Sleeper, WaitQueue, wait_in};
use crate::{Errno, Result};
pub use message::Message;
pub use names::{DEFAULT_SHAPE, MqOpen, PosixQueues, QUEUES_MAX, Shape};

/// A queue.
pub struct Queue {
    shape: Shape,
    state: SpinLock<State>,
    /// What stat tells of its file's length, which ftruncate(2) sets and which nothing heeds.
    size: AtomicU64,
    /// Told when a message arrives for which nobody waits, and when room appears for which nobody waits (poll).
    changed: WaitQueue,
    _charge: Option<Charge>,
    _live: Live,
}

#[derive(Default)]
struct State {
    messages: Messages,
    receivers: Line,
    senders: Line,
    notification: Option<Notification>,
    spare: Vec<u8>,
}

/// Who is told, once, that a message has arrived in the empty queue (mq_notify(3)).
#[derive(Debug)]
pub struct Notification {
    /// The process.
    pub owner: Weak<Process>,
    /// Its descriptor table ([`crate::fs::descriptors::DescriptorTable::owner`]): when a descriptor of the queue is closed
    /// there, the registration is gone.
    pub table: u64,
    /// The signal to be sent and its value; None: nothing is sent, but the registration is used up.
    pub signal: Option<(Signal, u64)>,
}

/// Whom a change of the queue concerns. To be told with no lock held.
#[derive(Default)]
struct News {
    waker: Option<Waker>,
    changed: bool,
    notification: Option<Notification>,
}

impl Queue {
    /// What stat tells of a new queue's length: room for the line that a read gives.
    pub const FILE_SIZE: u64 = 80;

    /// The longest that its file can be said to be: what a file system may say that knows of no large files.
    const FILE_SIZE_MAX: u64 = i32::MAX as u64;

    /// An empty queue. `charge` gives back, with it, what its maker was charged.
    #[must_use]
    pub(crate) fn new(shape: Shape, charge: Option<Charge>) -> Arc<Queue> {
        Arc::new(Queue {
            shape,
            state: SpinLock::new(State::default()),
            size: AtomicU64::new(Queue::FILE_SIZE),
            changed: WaitQueue::new(),
            _charge: charge,
            _live: Live::new(Kind::PosixQueue),
        })
    }

    /// How many messages of how many bytes it takes.
    #[inline]
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// How many messages it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().messages.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends all that `source` has, at most [`Shape::bytes`]. Returns whom the caller must tell ([`Notification`]). EAGAIN:
    /// full. EFAULT, ENOMEM: nothing was sent.
    pub fn try_send(&self, source: &mut dyn Source, priority: u32) -> Result<Option<Notification>> {
        let mut state = self.state.lock();
        if state.messages.len() >= self.shape.messages {
            return Err(Errno::EAGAIN);
        }
        let room = core::mem::take(&mut state.spare);
        let mut message = Message::copy(source, priority, room)?;
        state.messages.reserve()?;
        state.messages.number(&mut message);
        let news = state.deliver(message);
        drop(state);
        Ok(self.tell(news))
    }

    /// Sends `message` as soon as there is room. Returns whom the caller must tell.
    ///
    /// # Errors
    /// [`Interruption`]: nothing was sent.
    pub async fn send<S: Sleeper>(
        &self,
        sleeper: &S,
        message: Message,
        deadline: Option<Instant>,
    ) -> core::result::Result<Option<Notification>, Interruption> {
        let place = match self.enter_to_send(message)? {
            Entered::Done(news) => return Ok(self.tell(news)),
            Entered::Place(place) => place,
        };
        // A receiver that makes room takes the message at once: the queue was full, so nobody is told of its arrival.
        wait_in(sleeper, place, deadline, |place| place.collect())
            .await
            .map(|_| None)
    }

    /// A message to be sent by [`Queue::send`]. EFAULT, ENOMEM.
    pub fn message(source: &mut dyn Source, priority: u32) -> Result<Message> {
        Message::copy(source, priority, Vec::new())
    }

    fn enter_to_send(
        &self,
        mut message: Message,
    ) -> core::result::Result<Entered<'_, News>, Interruption> {
        let mut state = self.state.lock();
        state.messages.number(&mut message);
        if state.messages.len() < self.shape.messages {
            state
                .messages
                .reserve()
                .map_err(|_| Interruption::OutOfMemory)?;
            let news = state.deliver(message);
            return Ok(Entered::Done(news));
        }
        let entered = state.senders.enter(Some(message));
        drop(state);
        match entered {
            Ok(id) => Ok(Entered::Place(self.place(Side::Write, id))),
            Err(_) => Err(Interruption::OutOfMemory),
        }
    }

    /// Has `copy` deliver the next message. EAGAIN: there is none. An error of `copy` leaves the message in the queue.
    pub fn try_receive(&self, copy: impl FnOnce(&Message) -> Result<()>) -> Result<usize> {
        let mut state = self.state.lock();
        let first = state.messages.first().ok_or(Errno::EAGAIN)?;
        copy(first)?;
        let length = first.bytes().len();
        let (taken, news) = state.take();
        if let Some(message) = taken {
            let left = core::mem::replace(&mut state.spare, message.into_room());
            drop(state);
            drop(left);
        } else {
            drop(state);
        }
        self.tell(news);
        Ok(length)
    }

    /// The next message, as soon as there is one. Who gets it and cannot use it gives it back ([`Queue::give_back`]).
    ///
    /// # Errors
    /// [`Interruption`].
    pub async fn receive<S: Sleeper>(
        &self,
        sleeper: &S,
        deadline: Option<Instant>,
    ) -> core::result::Result<Message, Interruption> {
        let place = match self.enter_to_receive()? {
            Entered::Done((message, news)) => {
                self.tell(news);
                return Ok(message);
            }
            Entered::Place(place) => place,
        };
        // Whoever serves a receiver gives it a message.
        wait_in(sleeper, place, deadline, |place| place.collect().flatten()).await
    }

    fn enter_to_receive(&self) -> core::result::Result<Entered<'_, (Message, News)>, Interruption> {
        let mut state = self.state.lock();
        if let (Some(message), news) = state.take() {
            return Ok(Entered::Done((message, news)));
        }
        let entered = state.receivers.enter(None);
        drop(state);
        match entered {
            Ok(id) => Ok(Entered::Place(self.place(Side::Read, id))),
            Err(_) => Err(Interruption::OutOfMemory),
        }
    }

    /// Puts a message that was received and could not be used in its old place, or gives it to whoever waits. The queue may
    /// come to hold one more than it takes. Returns whom the caller must tell.
    pub fn give_back(&self, message: Message) -> Option<Notification> {
        let mut state = self.state.lock();
        // Without memory the message is lost, as it is when its receiver dies with it.
        if state.messages.reserve().is_err() {
            drop(state);
            return None;
        }
        let news = state.deliver(message);
        drop(state);
        self.tell(news)
    }

    /// Done with a message that was received; its memory serves the next. Returns its length.
    pub fn consume(&self, message: Message) -> usize {
        let length = message.bytes().len();
        let room = message.into_room();
        let left = core::mem::replace(&mut self.state.lock().spare, room);
        drop(left);
        length
    }

    const fn place(&self, side: Side, id: u64) -> Place<'_> {
        Place {
            queue: self,
            side,
            id,
        }
    }

    /// Wakes whom `news` concerns; what is left is the caller's to tell.
    #[inline]
    fn tell(&self, news: News) -> Option<Notification> {
        if let Some(waker) = news.waker {
            waker.wake();
        }
        if news.changed {
            self.changed.wake_all();
        }
        news.notification
    }

    /// Registers `notification`. EBUSY: somebody is registered.
    pub fn register(&self, notification: Notification) -> Result<()> {
        let mut state = self.state.lock();
        if state.notification.is_some() {
            drop(state);
            return Err(Errno::EBUSY);
        }
        state.notification = Some(notification);
        Ok(())
    }

    /// Takes the registration of `owner` away, if it has one.
    pub fn unregister(&self, owner: &Arc<Process>) {
        self.withdraw(|it| core::ptr::eq(it.owner.as_ptr(), Arc::as_ptr(owner)));
    }

    fn withdraw(&self, is_meant: impl FnOnce(&Notification) -> bool) {
        let mut state = self.state.lock();
        let gone = state.notification.take_if(|it| is_meant(it));
        drop(state);
        drop(gone);
    }

    /// What a read(2) of the queue's file says.
    fn describe(&self) -> TextLine<96> {
        let state = self.state.lock();
        let bytes = state.messages.bytes();
        let (notify, signal, pid) = match &state.notification {
            None => (0, 0, 0),
            Some(it) => {
                let pid = it.owner.upgrade().map_or(0, |owner| owner.pid);
                match it.signal {
                    Some((signal, _)) => (0, signal.number(), pid),
                    None => (1, 0, pid),
                }
            }
        };
        drop(state);
        let mut text = TextLine::new();
        // It fits: each field has its width.
        let _ = writeln!(
            text,
            "QSIZE:{bytes:<10} NOTIFY:{notify:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}"
        );
        text
    }
}

impl State {
    /// Gives `message`, for which there is room, to the first who waits, or to the queue.
    #[inline]
    fn deliver(&mut self, message: Message) -> News {
        if !self.receivers.is_empty() {
            let waker = self.receivers.serve(|given| *given = Some(message));
            return News {
                waker: waker.flatten(),
                ..News::default()
            };
        }
        self.messages.put(message);
        let notification = if self.messages.len() == 1 {
            self.notification.take()
        } else {
            None
        };
        News {
            waker: None,
            changed: true,
            notification,
        }
    }

    /// Takes the next message; the first who waits to send puts its own in the room that is left.
    #[inline]
    fn take(&mut self) -> (Option<Message>, News) {
        let message = self.messages.take();
        let mut news = News::default();
        if message.is_none() {
            return (None, news);
        }
        if self.senders.is_empty() {
            news.changed = true;
            return (message, news);
        }
        let mut brought = None;
        let waker = self.senders.serve(|message| brought = message.take());
        if let Some(brought) = brought {
            self.messages.put(brought);
        }
        news.waker = waker.flatten();
        (message, news)
    }
}

/// What came of standing in line.
enum Entered<'a, T> {
    /// There was no need.
    Done(T),
    /// A place.
    Place(Place<'a>),
}

/// A place in line; the wait leaves it.
struct Place<'a> {
    queue: &'a Queue,
    side: Side,
    id: u64,
}

impl Place<'_> {
    fn with_line<T>(&self, act: impl FnOnce(&mut Line) -> T) -> T {
        let mut state = self.queue.state.lock();
        match self.side {
            Side::Read => act(&mut state.receivers),
            Side::Write => act(&mut state.senders),
        }
    }

    /// What it was given, if it has been served.
    fn collect(&self) -> Option<Option<Message>> {
        self.with_line(|line| line.collect(self.id))
    }
}

impl Registration for Place<'_> {
    fn arm(&mut self, waker: &Waker) -> core::result::Result<(), OutOfMemory> {
        let waker = waker.clone();
        let unneeded = self.with_line(|line| line.arm(self.id, waker));
        drop(unneeded);
        Ok(())
    }

    /// Who was served is told so by the line and not by the wake, so no wake can be lost with it.
    fn disarm(&mut self) {}

    fn leave(&mut self, _: bool) {
        match self.with_line(|line| line.leave(self.id)) {
            // It died between being given the message and taking it: it was not the arrival of that message in an empty queue
            // that anybody registered for.
            Left::Served(Some(message)) => drop(self.queue.give_back(message)),
            Left::Unserved(message, waker) => drop((message, waker)),
            Left::Served(None) | Left::Gone => {}
        }
    }
}

impl File for Queue {
    /// What mq_overview(7) says of a queue's file: how many bytes it holds, and who is registered.
    fn try_read(&self, sink: &mut dyn Sink, at: u64) -> Result<usize> {
        let text = self.describe();
        let rest = usize::try_from(at)
            .ok()
            .and_then(|at| text.text().get(at..))
            .unwrap_or_default();
        let part = rest
            .get(..rest.len().min(sink.remaining()))
            .unwrap_or_default();
        sink.put(part)?;
        Ok(part.len())
    }

    fn poll(&self) -> Readiness {
        let held = self.len();
        let mut ready = Readiness::empty();
        ready.set(Readiness::IN | Readiness::RDNORM, held > 0);
        ready.set(
            Readiness::OUT | Readiness::WRNORM,
            held < self.shape.messages,
        );
        ready
    }

    fn wait_queue(&self, _: Side) -> Option<&WaitQueue> {
        Some(&self.changed)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn end(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// EFBIG.
    fn truncate(&self, length: u64) -> Result<()> {
        if length > Queue::FILE_SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        self.size.store(length, Ordering::Relaxed);
        Ok(())
    }

    fn special(&self) -> Special<'_> {
        Special::MessageQueue(self)
    }

    fn flushes(&self) -> bool {
        true
    }

    /// Who closes a descriptor of the queue is not registered any more (mq_notify(3)).
    fn flush(&self, table: u64) {
        self.withdraw(|it| it.table == table);
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
