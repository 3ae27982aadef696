//! What tests read and write pipes with: buffers that fault, and the blocking loops over an end.

use alloc::vec::Vec;

use crate::fs::file::{File, Side};
use crate::io::{Sink, Source};
use crate::wait::testing::TestSleeper;
use crate::wait::{Interruption, wait_until};
use crate::{Errno, Result};

/// Bytes, of which those from `fault_at` on cannot be read.
pub(crate) struct TestSource<'a> {
    bytes: &'a [u8],
    fault_at: usize,
    at: usize,
}

impl<'a> TestSource<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> TestSource<'a> {
        TestSource::faulting(bytes, usize::MAX)
    }

    pub(crate) fn faulting(bytes: &'a [u8], fault_at: usize) -> TestSource<'a> {
        TestSource {
            bytes,
            fault_at,
            at: 0,
        }
    }
}

impl Source for TestSource<'_> {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        let wanted = into.len();
        let good = wanted.min(self.fault_at.saturating_sub(self.at));
        into[..good].copy_from_slice(&self.bytes[self.at..self.at + good]);
        self.at += good;
        if good == wanted {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    #[cfg(not(loom))]
    fn peek(&mut self, into: &mut [u8]) -> Result<()> {
        let at = self.at;
        let taken = self.take(into);
        self.at = at;
        taken
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        if self.at + count <= self.fault_at {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }
}

/// Room for `room` bytes, of which those from `fault_at` on cannot be stored.
pub(crate) struct TestSink {
    pub(crate) bytes: Vec<u8>,
    room: usize,
    fault_at: usize,
}

impl TestSink {
    pub(crate) fn new(room: usize) -> TestSink {
        TestSink::faulting(room, usize::MAX)
    }

    pub(crate) fn faulting(room: usize, fault_at: usize) -> TestSink {
        TestSink {
            bytes: Vec::new(),
            room,
            fault_at,
        }
    }
}

impl Sink for TestSink {
    fn remaining(&self) -> usize {
        self.room - self.bytes.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let good = bytes
            .len()
            .min(self.fault_at.saturating_sub(self.bytes.len()));
        self.bytes.extend_from_slice(&bytes[..good]);
        if good == bytes.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        if self.bytes.len() + count <= self.fault_at {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }
}

/// Writes without waiting.
#[cfg(not(loom))]
pub(crate) fn try_write(end: &dyn File, bytes: &[u8]) -> Result<usize> {
    end.try_write(&mut TestSource::new(bytes), 0)
}

/// Reads up to `room` bytes without waiting.
pub(crate) fn try_read(end: &dyn File, room: usize) -> Result<Vec<u8>> {
    let mut sink = TestSink::new(room);
    let count = end.try_read(&mut sink, 0)?;
    assert_eq!(count, sink.bytes.len());
    Ok(sink.bytes)
}

/// write(2), as `syscall::transfer` does it: until all is written, or something ends it.
pub(crate) async fn write_all(
    end: &dyn File,
    bytes: &[u8],
    sleeper: &TestSleeper,
) -> Result<usize> {
    let mut source = TestSource::new(bytes);
    let mut done = 0;
    let Some(queue) = end.wait_queue(Side::Write) else {
        return Err(Errno::EINVAL);
    };
    while source.remaining() > 0 {
        let attempt = wait_until(sleeper, queue, None, || {
            match end.try_write(&mut source, 0) {
                Err(Errno::EAGAIN) => None,
                other => Some(other),
            }
        });
        match attempt.await {
            Ok(Ok(count)) => done += count,
            Ok(Err(errno)) if done == 0 => return Err(errno),
            Err(Interruption::Signal) if done == 0 => return Err(Errno::EINTR),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    Ok(done)
}

/// read(2): whatever is there, once something is.
pub(crate) async fn read_some(
    end: &dyn File,
    room: usize,
    sleeper: &TestSleeper,
) -> Result<Vec<u8>> {
    let Some(queue) = end.wait_queue(Side::Read) else {
        return Err(Errno::EINVAL);
    };
    let attempt = wait_until(sleeper, queue, None, || match try_read(end, room) {
        Err(Errno::EAGAIN) => None,
        other => Some(other),
    });
    attempt.await.unwrap_or_else(|why| Err(why.errno()))
}
