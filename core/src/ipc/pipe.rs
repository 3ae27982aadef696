//! Pipes: bytes from writers to readers, in order, bounded (pipe(7)).
//!
//! Owns the bytes in flight and the counts of both ends. Promises: a write of up to [`PIPE_BUF`] bytes is seen whole or
//! not at all, also when it faults; what has been written can be read after the writers have gone; the last drop of an end
//! wakes the other side. One lock of level 3, held for no more than a page's copy; nothing here waits. User pages
//! that are not there yet are resolved under it, which the lock order allows.
//!
//! Memory: the pages of the ring are allocated as bytes reach them and kept until the pipe goes, at most its capacity.

mod end;
mod loan;
mod ring;

use alloc::sync::Arc;

use halyard_cell::SpinLock;

use crate::counters::{Kind, Live};
use crate::fs::file::Readiness;
use crate::io::{Sink, Source};
use crate::machine::PAGE_SIZE;
use crate::wait::WaitQueue;
use crate::{Errno, Result};
pub use end::{PipeDuplex, PipeReader, PipeWriter};
use ring::Ring;

/// Writes of up to this many bytes are atomic (limits.h).
pub const PIPE_BUF: usize = 4096;

/// What a new pipe holds, in bytes (pipe(7)).
pub const DEFAULT_CAPACITY: usize = 65536;

/// The most that a program without CAP_SYS_RESOURCE may ask for, in bytes: /proc/sys/fs/pipe-max-size.
pub const MAX_CAPACITY: usize = 1 << 20;

/// What no pipe may exceed, in bytes: the list of pages of a larger one is more than Linux allocates in one piece.
const LIMIT: usize = 256 << 20;

/// A pipe.
pub struct Pipe {
    state: SpinLock<State>,
    readers: WaitQueue,
    writers: WaitQueue,
    _live: Live,
}

struct State {
    ring: Ring,
    readers: u32,
    writers: u32,
    /// How often a reading and a writing end was opened: whoever opens a FIFO waits for the other count to move.
    reader_opens: u32,
    writer_opens: u32,
    /// Somebody looks at what comes first (`loan`): nobody else takes it meanwhile.
    lent: bool,
}

impl Pipe {
    /// A pipe without ends. ENOMEM.
    pub(crate) fn new() -> Result<Arc<Pipe>> {
        let state = State {
            ring: Ring::new(DEFAULT_CAPACITY / PAGE_SIZE)?,
            readers: 0,
            writers: 0,
            reader_opens: 0,
            writer_opens: 0,
            lent: false,
        };
        Ok(Arc::new(Pipe {
            state: SpinLock::new(state),
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            _live: Live::new(Kind::Pipe),
        }))
    }

    /// A pipe with one end of each kind (pipe2(2)). ENOMEM.
    pub fn pair() -> Result<(PipeReader, PipeWriter)> {
        let pipe = Pipe::new()?;
        Ok((PipeReader::open(pipe.clone()), PipeWriter::open(pipe)))
    }

    /// How many bytes can be read now (FIONREAD).
    #[must_use]
    pub fn unread(&self) -> usize {
        self.state.lock().ring.len()
    }

    /// How many bytes it can hold (F_GETPIPE_SZ).
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.state.lock().ring.capacity()
    }

    /// Changes how many bytes it can hold, rounded up to a power of two of pages (F_SETPIPE_SZ), and returns that.
    /// EPERM beyond [`MAX_CAPACITY`] when growing without `privileged`; EBUSY below the pages in
    /// use; ENOMEM, also beyond 256 MiB.
    pub fn set_capacity(&self, bytes: usize, privileged: bool) -> Result<usize> {
        let bytes = bytes.max(PAGE_SIZE).next_power_of_two();
        let mut state = self.state.lock();
        if bytes > MAX_CAPACITY && bytes > state.ring.capacity() && !privileged {
            return Err(Errno::EPERM);
        }
        if bytes > LIMIT {
            return Err(Errno::ENOMEM);
        }
        state.ring.resize(bytes / PAGE_SIZE)?;
        drop(state);
        self.writers.wake_all();
        Ok(bytes)
    }

    /// Reads as much as is there, up to the room in `sink`. 0: `sink` is full, or nothing is left and nobody can write.
    /// EAGAIN: nothing there yet. EFAULT: nothing was read, nothing is lost.
    fn try_read(&self, sink: &mut dyn Sink) -> Result<usize> {
        let mut wanted = sink.remaining();
        let mut done = 0;
        while done < wanted {
            let mut state = self.state.lock();
            if state.lent {
                drop(state);
                core::hint::spin_loop();
                continue;
            }
            if done == 0 && state.ring.len() > 0 {
                // What is written while this copies is for the next read, as if the lock were held throughout.
                wanted = wanted.min(state.ring.len());
            }
            let count = state.ring.len().min(wanted - done).min(PAGE_SIZE);
            if count == 0 {
                let over = done > 0 || state.writers == 0;
                return if over { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            let before = state.ring.room();
            let moved = state.ring.remove(sink, count);
            let (left, room) = (state.ring.len(), state.ring.room());
            drop(state);
            if let Err(errno) = moved {
                // What it could not take is for the next.
                self.readers.pass_on();
                return if done > 0 { Ok(done) } else { Err(errno) };
            }
            done += count;
            // Nobody waits while there is so much room, so only coming to it is news.
            if room >= PIPE_BUF && before < PIPE_BUF {
                self.writers.wake_one();
            }
            if left == 0 {
                break;
            }
            if done == wanted {
                self.readers.pass_on();
            }
        }
        Ok(done)
    }

    /// Writes as much as there is room for; up to [`PIPE_BUF`] bytes all or nothing. EAGAIN: no room. EPIPE: nobody can
    /// read (the caller raises SIGPIPE). EFAULT, ENOMEM: nothing was written.
    fn try_write(&self, source: &mut dyn Source) -> Result<usize> {
        let mut wanted = source.remaining();
        let whole = wanted <= PIPE_BUF;
        let (mut done, mut room) = (0, 0);
        while done < wanted {
            match self.write_piece(source, wanted - done, whole) {
                Ok((count, left)) => {
                    if done == 0 {
                        // Room that readers make while this copies is for the next write, as if the lock were held throughout.
                        wanted = wanted.min(count + left);
                    }
                    (done, room) = (done + count, left);
                }
                Err(errno) if done == 0 => {
                    if errno != Errno::EAGAIN {
                        // The room that it could not use is for the next.
                        self.writers.pass_on();
                    }
                    return Err(errno);
                }
                Err(_) => break,
            }
        }
        if done > 0 {
            // Not sooner: a reader that waited gets all of it, not the first page.
            self.readers.wake_one();
        }
        if room >= PIPE_BUF {
            self.writers.pass_on();
        }
        Ok(done)
    }

    /// Writes the next piece, a page at most, of `left` bytes; all of them if `whole`. Returns how much that was and
    /// how much room it leaves.
    #[inline]
    fn write_piece(
        &self,
        source: &mut dyn Source,
        left: usize,
        whole: bool,
    ) -> Result<(usize, usize)> {
        let mut state = self.state.lock();
        if state.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let room = state.ring.room();
        let count = if whole {
            left
        } else {
            left.min(room).min(PAGE_SIZE)
        };
        if count > room || count == 0 {
            return Err(Errno::EAGAIN);
        }
        state.ring.append(source, count)?;
        Ok((count, room - count))
    }

    /// What poll(2) says of the reading side. `silent`: HUP is not reported while no more than this many writing ends
    /// have been opened.
    fn poll_read(&self, silent: Option<u32>) -> Readiness {
        let state = self.state.lock();
        let mut ready = Readiness::empty();
        if state.ring.len() > 0 {
            ready |= Readiness::IN | Readiness::RDNORM;
        }
        if state.writers == 0 && silent != Some(state.writer_opens) {
            ready |= Readiness::HUP;
        }
        ready
    }

    /// What poll(2) says of the writing side.
    fn poll_write(&self) -> Readiness {
        let state = self.state.lock();
        let mut ready = Readiness::empty();
        if state.ring.room() >= PIPE_BUF {
            ready |= Readiness::OUT | Readiness::WRNORM;
        }
        if state.readers == 0 {
            ready |= Readiness::ERR;
        }
        ready
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;

#[cfg(all(test, loom))]
mod loom_tests;
