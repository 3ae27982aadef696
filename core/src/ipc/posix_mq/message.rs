//! Messages of a queue, in the order in which they are delivered: the highest priority first, within it the oldest.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use crate::io::Source;
use crate::{Errno, Result};

/// A message.
#[derive(Debug)]
pub struct Message {
    priority: u32,
    /// The how-manieth of its queue it is; given when it is sent.
    number: u64,
    bytes: Vec<u8>,
}

impl Message {
    /// All that `source` has, copied into `room`, which is memory that an earlier message left behind. EFAULT, ENOMEM.
    pub(super) fn copy(source: &mut dyn Source, priority: u32, room: Vec<u8>) -> Result<Message> {
        let length = source.remaining();
        let mut bytes = room;
        if let Some(more) = length.checked_sub(bytes.len()) {
            bytes.try_reserve_exact(more).map_err(|_| Errno::ENOMEM)?;
        }
        // What an earlier message left in it is overwritten, so that only what is new need be zeroed.
        bytes.resize(length, 0);
        source.take(&mut bytes)?;
        Ok(Message {
            priority,
            number: 0,
            bytes,
        })
    }

    /// Its priority.
    #[must_use]
    pub const fn priority(&self) -> u32 {
        self.priority
    }

    /// What it says.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The memory that it leaves behind.
    pub(super) fn into_room(self) -> Vec<u8> {
        self.bytes
    }

    const fn rank(&self) -> (u32, Reverse<u64>) {
        (self.priority, Reverse(self.number))
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Message) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Message {}

impl PartialOrd for Message {
    fn partial_cmp(&self, other: &Message) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Message {
    fn cmp(&self, other: &Message) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

/// The messages that nobody has received yet.
#[derive(Debug, Default)]
pub(super) struct Messages {
    heap: BinaryHeap<Message>,
    bytes: usize,
    sent: u64,
}

impl Messages {
    /// How many there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// How many bytes they have.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next number: a message that is sent takes its place behind those sent before.
    pub(super) const fn number(&mut self, message: &mut Message) {
        message.number = self.sent;
        self.sent = self.sent.wrapping_add(1);
    }

    /// Room for one more. ENOMEM.
    #[inline]
    pub(super) fn reserve(&mut self) -> Result<()> {
        if self.heap.len() < self.heap.capacity() {
            return Ok(());
        }
        self.heap.try_reserve(1).map_err(|_| Errno::ENOMEM)
    }

    /// Adds a message that has its number.
    pub(super) fn put(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(message.bytes.len());
        self.heap.push(message);
    }

    /// The one that is delivered next.
    #[inline]
    pub(super) fn first(&self) -> Option<&Message> {
        self.heap.peek()
    }

    /// Takes the one that is delivered next.
    pub(super) fn take(&mut self) -> Option<Message> {
        let message = self.heap.pop()?;
        self.bytes = self.bytes.saturating_sub(message.bytes.len());
        Some(message)
    }
}
