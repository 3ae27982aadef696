//! Eventfd: a counter behind a descriptor (eventfd(2)).
//!
//! Owns one number. Promises: what is written adds up and is read once; a read that faults takes nothing. One lock of
//! level 3, held for an addition; nothing here waits.

use halyard_cell::SpinLock;

use crate::counters::{Kind, Live};
use crate::fs::file::{File, Readiness, Side, Special};
use crate::io::{Sink, Source};
use crate::wait::WaitQueue;
use crate::{Errno, Result};

/// What is read and written at once, in bytes.
const UNIT: usize = size_of::<u64>();

/// The most that the counter holds.
const MOST: u64 = u64::MAX - 1;

/// A counter of events.
pub struct EventFd {
    count: SpinLock<u64>,
    /// Each read takes one.
    semaphore: bool,
    readers: WaitQueue,
    writers: WaitQueue,
    _live: Live,
}

impl EventFd {
    /// A counter that begins at `count`; as a `semaphore` each read takes one of it, else all.
    #[must_use]
    pub fn new(count: u32, semaphore: bool) -> EventFd {
        EventFd {
            count: SpinLock::new(u64::from(count)),
            semaphore,
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            _live: Live::new(Kind::EventFd),
        }
    }

    /// Takes what a read gets, and tells what is left. EAGAIN: nothing is there.
    fn take(&self) -> Result<(u64, u64)> {
        let mut count = self.count.lock();
        let taken = match *count {
            0 => return Err(Errno::EAGAIN),
            _ if self.semaphore => 1,
            all => all,
        };
        *count -= taken;
        Ok((taken, *count))
    }

    /// EAGAIN: `more` would make the counter pass what it can hold.
    fn add(&self, more: u64) -> Result<()> {
        let mut count = self.count.lock();
        let sum = count.checked_add(more).filter(|sum| *sum <= MOST);
        *count = sum.ok_or(Errno::EAGAIN)?;
        Ok(())
    }
}

impl File for EventFd {
    /// EINVAL: room for fewer than eight bytes.
    fn try_read(&self, sink: &mut dyn Sink, _at: u64) -> Result<usize> {
        if sink.remaining() < UNIT {
            return Err(Errno::EINVAL);
        }
        if *self.count.lock() == 0 {
            return Err(Errno::EAGAIN);
        }
        sink.prepare(UNIT)?;
        let (taken, left) = self.take()?;
        if left > 0 {
            self.readers.pass_on();
        }
        // Who waits to write little may go on though the first wants to write much.
        self.writers.wake_all();
        sink.put(&taken.to_le_bytes())?;
        Ok(UNIT)
    }

    /// EINVAL: not eight bytes, or the one number that the counter can never hold.
    fn try_write(&self, source: &mut dyn Source, _at: u64) -> Result<usize> {
        // Exactly one number, as Linux has it today; the manual page still has it that more is taken for eight.
        if source.remaining() != UNIT {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; UNIT];
        source.peek(&mut bytes)?;
        match u64::from_le_bytes(bytes) {
            u64::MAX => return Err(Errno::EINVAL),
            more => self.add(more)?,
        }
        // It has just been read, so it can be taken.
        let _ = source.take(&mut bytes);
        self.readers.wake_one();
        Ok(UNIT)
    }

    fn poll(&self) -> Readiness {
        let count = *self.count.lock();
        let mut ready = Readiness::empty();
        ready.set(Readiness::IN | Readiness::RDNORM, count > 0);
        ready.set(Readiness::OUT | Readiness::WRNORM, count < MOST);
        ready
    }

    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        Some(match side {
            Side::Read => &self.readers,
            Side::Write => &self.writers,
        })
    }

    fn special(&self) -> Special<'_> {
        Special::EventFd
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
