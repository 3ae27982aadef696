//! One direction of a stream: bytes, and marks at those bytes that came with something besides.
//!
//! Bytes of several sends are received together, but never beyond a message with descriptors, nor, by a reader that
//! wants to know who sent, of two senders at once (unix(7)).

use alloc::collections::VecDeque;

use super::bytes::Bytes;
use super::link::{Channel, Half};
use super::rights::Rights;
use super::{Arrival, Attachment, Request, Ucred};
use crate::io::{Sink, Source};
use crate::machine::PAGE_SIZE;
use crate::{Errno, Result};

/// What a mark counts against the sender's limit, in bytes: about what it takes.
const MARK_COST: usize = 64;

/// Bytes on the way, and what came with them.
#[derive(Default)]
pub(super) struct Stream {
    bytes: Bytes,
    /// How many bytes have been received before the first one here.
    base: u64,
    /// In order, without overlap.
    marks: VecDeque<Mark>,
}

/// Bytes `start` to `end` of the stream came with something.
struct Mark {
    start: u64,
    end: u64,
    credentials: Option<Ucred>,
    rights: Rights,
}

impl Stream {
    /// How many bytes can be received.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// How much of the sender's limit is used.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.bytes.len() + self.marks.len() * MARK_COST
    }

    /// The descriptors that are on the way.
    pub(super) fn rights(&self) -> impl Iterator<Item = &Rights> {
        self.marks.iter().map(|mark| &mark.rights)
    }

    /// Appends `count` bytes that come with `attachment`, whose descriptors it takes. All or, on an error, nothing. EFAULT,
    /// ENOMEM.
    #[inline]
    fn append(
        &mut self,
        source: &mut dyn Source,
        count: usize,
        attachment: &mut Attachment,
    ) -> Result<()> {
        if attachment.is_empty() {
            return self.bytes.append(source, count);
        }
        self.marks.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let start = self.base + self.bytes.len() as u64;
        self.bytes.append(source, count)?;
        let end = start + count as u64;
        let credentials = attachment.credentials;
        let rights = core::mem::take(&mut attachment.rights);
        if let Some(last) = self.marks.back_mut()
            && last.end == start
            && last.credentials == credentials
            && rights.is_empty()
            && last.rights.is_empty()
        {
            last.end = end;
        } else {
            self.marks.push_back(Mark {
                start,
                end,
                credentials,
                rights,
            });
        }
        Ok(())
    }

    /// How many bytes from `at` on can go to the reader of `arrival` as one piece, and the mark that they are under.
    fn piece(&self, at: u64, arrival: &Arrival, request: Request) -> (usize, Option<usize>) {
        let end = (self.base + self.bytes.len() as u64).min(arrival.until);
        let index = self.marks.partition_point(|mark| mark.end <= at);
        let (until, under, credentials) = match self.marks.get(index) {
            Some(mark) if mark.start <= at => (mark.end, Some(index), mark.credentials),
            Some(mark) => (mark.start, None, None),
            None => (end, None, None),
        };
        let known = arrival.credentials.filter(|_| request.credentials);
        if known.is_some_and(|known| known != credentials) {
            return (0, None);
        }
        (until.min(end).saturating_sub(at) as usize, under)
    }

    /// Tells `arrival` what came with the piece under the mark of that index.
    fn note(&mut self, under: Option<usize>, request: Request, arrival: &mut Arrival) {
        let mark = under.and_then(|index| self.marks.get_mut(index));
        arrival
            .credentials
            .get_or_insert(mark.as_ref().and_then(|mark| mark.credentials));
        let Some(mark) = mark.filter(|mark| !mark.rights.is_empty()) else {
            return;
        };
        if !arrival.rights.is_empty() {
            return;
        }
        arrival.until = mark.end;
        arrival.rights = if request.peek {
            mark.rights.copy()
        } else {
            core::mem::take(&mut mark.rights)
        };
    }

    /// The first `count` bytes have been received.
    #[inline]
    fn discard(&mut self, count: usize) {
        self.bytes.discard(count);
        self.base += count as u64;
        while self.marks.front().is_some_and(|mark| mark.end <= self.base) {
            self.marks.pop_front();
        }
    }
}

impl Channel {
    /// Sends as much as there is room for. ENOTCONN; EPIPE: shut, or the peer has closed. EAGAIN: no room. EFAULT, ENOMEM:
    /// nothing was sent.
    pub(super) fn send_stream(
        &self,
        source: &mut dyn Source,
        attachment: &mut Attachment,
    ) -> Result<usize> {
        let wanted = source.remaining();
        let mut done = 0;
        loop {
            let mut half = self.half.lock();
            if !half.open {
                return Err(Errno::ENOTCONN);
            }
            let outcome = if half.shut {
                Err(Errno::EPIPE)
            } else if done == wanted {
                return Ok(done);
            } else {
                half.take_piece(source, wanted - done, attachment)
            };
            let roomy = half.roomy();
            drop(half);
            match outcome {
                Ok(count) => done += count,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => return Ok(done),
            }
            self.readers.wake_one();
            if done == wanted {
                if roomy {
                    self.writers.wake_one();
                }
                return Ok(done);
            }
        }
    }

    /// Receives as much as is there, up to the room in `sink`; what came with it goes to `arrival`. 0: `sink` is full, or
    /// nothing is left and nobody can send. EINVAL: not connected. EAGAIN: nothing there. ECONNRESET, once. EFAULT:
    /// nothing was received, nothing is lost.
    pub(super) fn receive_stream(
        &self,
        sink: &mut dyn Sink,
        request: Request,
        arrival: &mut Arrival,
    ) -> Result<usize> {
        let wanted = sink.remaining();
        let mut done = 0;
        loop {
            let mut half = self.half.lock();
            if !half.open {
                return Err(Errno::EINVAL);
            }
            let base = half.stream.base;
            let at = base.max(if request.peek { arrival.looked } else { base });
            if at >= base + half.stream.len() as u64 {
                return if done > 0 {
                    Ok(done)
                } else {
                    half.nothing_left()
                };
            }
            if wanted == 0 {
                return Ok(0);
            }
            let moved = half.stream.give(sink, wanted - done, at, request, arrival);
            let (roomy, more) = (half.roomy(), half.stream.len() > 0);
            drop(half);
            match moved {
                Ok(count) => done += count,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => return Ok(done),
            }
            if roomy && !request.peek {
                self.writers.wake_one();
            }
            if done == wanted || arrival.complete || !more {
                if more {
                    self.readers.wake_one();
                }
                return Ok(done);
            }
        }
    }
}

impl Half {
    /// Takes the next piece of at most `left` bytes: up to a page, whole if there is room at all, so that small messages are
    /// never torn. EAGAIN: no room.
    #[inline]
    fn take_piece(
        &mut self,
        source: &mut dyn Source,
        left: usize,
        attachment: &mut Attachment,
    ) -> Result<usize> {
        if self.stream.used() >= self.limit {
            return Err(Errno::EAGAIN);
        }
        let count = left.min(PAGE_SIZE);
        self.stream.append(source, count, attachment)?;
        Ok(count)
    }

    /// What a receiver is told who finds nothing: the error, once; the end; EAGAIN.
    pub(super) fn nothing_left(&mut self) -> Result<usize> {
        match self.error.take() {
            Some(errno) => Err(errno),
            None if self.shut => Ok(0),
            None => Err(Errno::EAGAIN),
        }
    }
}

impl Stream {
    /// Gives up to `room` bytes from `at` on, a page at most. Nothing, and `arrival` is complete, where those begin that
    /// must not be received together with what it has.
    #[inline]
    fn give(
        &mut self,
        sink: &mut dyn Sink,
        room: usize,
        at: u64,
        request: Request,
        arrival: &mut Arrival,
    ) -> Result<usize> {
        let offset = (at - self.base) as usize;
        let plain = self.marks.is_empty() && !request.credentials && arrival.until == u64::MAX;
        let (length, under) = if plain {
            (self.len() - offset, None)
        } else {
            self.piece(at, arrival, request)
        };
        if length == 0 {
            arrival.complete = true;
            return Ok(0);
        }
        let count = room.min(length).min(PAGE_SIZE);
        self.bytes.copy(offset, sink, count)?;
        if !plain {
            self.note(under, request, arrival);
            arrival.complete = at + count as u64 == arrival.until;
        }
        if request.peek {
            arrival.looked = at + count as u64;
        } else {
            self.discard(count);
        }
        Ok(count)
    }
}
