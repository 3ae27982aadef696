//! The trial behind docs/adr/0001-execution-model.md: the same blocking calls over the same objects, once as futures
//! ([`futures`]) and once as a state machine written by hand ([`state_machine`]), under one executor ([`executor`]).
//!
//! - [`tests`] and [`loom_tests`] hold both to the same results, also when a call is dropped at any point where it waits.
//! - [`figures`] counts instructions and sizes: `core/src/wait/trial/count.sh`.

mod channel;
#[cfg(not(loom))]
mod executor;
#[cfg(not(loom))]
mod figures;
mod futures;
#[cfg(loom)]
mod loom_tests;
mod state_machine;
#[cfg(not(loom))]
mod tests;

use alloc::sync::Arc;
use core::task::{Context, Poll};

use channel::Channel;

use crate::io::{Sink, Source};
use crate::ipc::pipe::{PipeReader, PipeWriter};
use crate::time::Instant;
use crate::wait::testing::TestSleeper;
use crate::{Errno, Result};

/// The shared part of a thread.
struct Thread {
    sleeper: TestSleeper,
}

impl Thread {
    fn new() -> Arc<Thread> {
        Arc::new(Thread {
            sleeper: TestSleeper::new(),
        })
    }
}

/// A system call that a thread of the trial makes.
enum Call {
    Read {
        end: Arc<PipeReader>,
        room: Room,
    },
    Write {
        end: Arc<PipeWriter>,
        bytes: Bytes,
    },
    /// Sends a message and waits for the reply.
    Ask {
        channel: Arc<Channel>,
        message: usize,
    },
    /// Gives the reply to the message received last, if there is one, and waits for the next.
    Answer {
        channel: Arc<Channel>,
        reply: Option<usize>,
    },
    SleepUntil(Instant),
}

/// A way to carry a call over its waits.
trait Model: Default + Send + 'static {
    /// Makes a call. None: it waits.
    fn start(&mut self, call: Call, thread: &Arc<Thread>) -> Option<Result<usize>>;
    /// Goes on with the call that waits.
    fn poll(&mut self, thread: &Thread, context: &mut Context<'_>) -> Poll<Result<usize>>;
    /// Gives up the call that waits.
    fn clear(&mut self);
    /// Whether no call waits.
    fn is_empty(&self) -> bool;
}

/// User memory to read into: as large as a real handle, of which what lies beyond `fault_at` is not there.
struct Room {
    left: usize,
    fault_at: usize,
}

/// User memory to write from.
struct Bytes {
    left: usize,
}

impl Room {
    const fn new(bytes: usize) -> Room {
        Room {
            left: bytes,
            fault_at: usize::MAX,
        }
    }

    const fn faulting(bytes: usize) -> Room {
        Room {
            left: bytes,
            fault_at: 0,
        }
    }
}

impl Bytes {
    const fn new(bytes: usize) -> Bytes {
        Bytes { left: bytes }
    }
}

impl Sink for Room {
    fn remaining(&self) -> usize {
        self.left
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.prepare(bytes.len())?;
        core::hint::black_box(bytes);
        self.left -= bytes.len();
        Ok(())
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        if count <= self.fault_at {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }
}

impl Source for Bytes {
    fn remaining(&self) -> usize {
        self.left
    }

    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        into.fill(1);
        self.left -= into.len();
        Ok(())
    }

    fn skip(&mut self, count: usize) {
        self.left -= count;
    }

    fn prepare(&mut self, _: usize) -> Result<()> {
        Ok(())
    }
}
