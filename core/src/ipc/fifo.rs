//! FIFOs: pipes with a name (fifo(7)). An inode of type FIFO owns one [`Fifo`]; whoever has it open owns the pipe, so what
//! is in it is gone with the last close.
//!
//! Opening is in two steps, so that nothing here waits: [`Fifo::open`] makes the end, and counts it, at once; where the open
//! must wait for a peer, [`Opening`] says so and what to wait on. Lock level 3.

use alloc::sync::{Arc, Weak};

use halyard_cell::SpinLock;

use crate::Result;
use crate::fs::file::File;
use crate::ipc::pipe::{Pipe, PipeDuplex, PipeReader, PipeWriter};
use crate::wait::{Interruption, Sleeper, wait_until};

/// How a FIFO is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// O_RDONLY.
    Read,
    /// O_WRONLY.
    Write,
    /// O_RDWR: never waits (Linux's extension).
    Both,
}

/// The rendezvous behind a name.
#[derive(Default)]
pub struct Fifo {
    pipe: SpinLock<Weak<Pipe>>,
}

/// An end that is open but may have to wait for its peer. Dropping it closes the end again.
pub enum Opening {
    /// Nothing to wait for.
    Done(Arc<dyn File>),
    /// A reading end that waits for a writer.
    Reader(Arc<PipeReader>),
    /// A writing end that waits for a reader.
    Writer(Arc<PipeWriter>),
}

impl Fifo {
    /// A FIFO that nobody has open.
    #[must_use]
    pub const fn new() -> Fifo {
        Fifo {
            pipe: SpinLock::new(Weak::new()),
        }
    }

    /// Opens an end. ENXIO: for writing, without waiting, while nobody reads. ENOMEM.
    pub fn open(&self, access: Access, nonblocking: bool) -> Result<Opening> {
        let pipe = self.current()?;
        Ok(match access {
            Access::Both => Opening::Done(Arc::new(PipeDuplex::open(pipe))),
            Access::Read => {
                let reader = Arc::new(PipeReader::open(pipe));
                if nonblocking || reader.met_writer() {
                    Opening::Done(reader)
                } else {
                    Opening::Reader(reader)
                }
            }
            Access::Write => {
                let writer = if nonblocking {
                    PipeWriter::open_if_read(pipe)?
                } else {
                    PipeWriter::open(pipe)
                };
                let writer = Arc::new(writer);
                if writer.met_reader() {
                    Opening::Done(writer)
                } else {
                    Opening::Writer(writer)
                }
            }
        })
    }

    /// The pipe of those who have it open now, or a new one.
    fn current(&self) -> Result<Arc<Pipe>> {
        let mut current = self.pipe.lock();
        if let Some(pipe) = current.upgrade() {
            return Ok(pipe);
        }
        let pipe = Pipe::new()?;
        // The old pipe's ends are gone; what is left of it is its memory.
        let old = core::mem::replace(&mut *current, Arc::downgrade(&pipe));
        drop(current);
        drop(old);
        Ok(pipe)
    }
}

impl Opening {
    /// The end, if its peer is there or has been.
    #[must_use]
    pub fn ready(&self) -> Option<Arc<dyn File>> {
        match self {
            Opening::Done(end) => Some(end.clone()),
            Opening::Reader(end) if end.met_writer() => Some(end.clone()),
            Opening::Writer(end) if end.met_reader() => Some(end.clone()),
            Opening::Reader(_) | Opening::Writer(_) => None,
        }
    }

    /// Waits for the peer. An interrupted open has opened nothing.
    ///
    /// # Errors
    /// `Signal` (EINTR, or restarted), `OutOfMemory`.
    pub async fn complete<S: Sleeper>(
        self,
        sleeper: &S,
    ) -> core::result::Result<Arc<dyn File>, Interruption> {
        let queue = match &self {
            Opening::Done(end) => return Ok(end.clone()),
            Opening::Reader(end) => end.queue(),
            Opening::Writer(end) => end.queue(),
        };
        wait_until(sleeper, queue, None, || self.ready()).await
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
