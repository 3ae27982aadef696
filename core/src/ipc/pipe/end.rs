//! The ends of a pipe, as files. An end counts itself in when it is made and out when it is dropped; the last of a kind
//! wakes whoever waits at the other side.

use alloc::sync::Arc;

use halyard_cell::SpinGuard;

use super::{DEFAULT_CAPACITY, Pipe, State};
use crate::fs::file::{File, Readiness, Side, Special};
use crate::io::{Sink, Source};
use crate::machine::PAGE_SIZE;
use crate::wait::WaitQueue;
use crate::{Errno, Result};

/// An end that reads.
pub struct PipeReader {
    pipe: Arc<Pipe>,
    /// For a FIFO opened while nobody could write: poll does not call that a hang-up while the count of writers'
    /// opens is this.
    silent: Option<u32>,
}

/// An end that writes.
pub struct PipeWriter {
    pipe: Arc<Pipe>,
    /// For a FIFO opened while nobody could read: the count of readers' opens then.
    alone: Option<u32>,
}

/// A FIFO opened for both.
pub struct PipeDuplex {
    reader: PipeReader,
    writer: PipeWriter,
}

impl PipeReader {
    pub(crate) fn open(pipe: Arc<Pipe>) -> PipeReader {
        let mut state = pipe.state.lock();
        state.readers += 1;
        state.reader_opens = state.reader_opens.wrapping_add(1);
        let silent = (state.writers == 0).then_some(state.writer_opens);
        drop(state);
        pipe.writers.wake_all();
        PipeReader { pipe, silent }
    }

    /// The pipe.
    #[cfg(all(test, loom))]
    pub(crate) fn shared(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Whether a writing end is open, or was since this end was opened.
    pub(crate) fn met_writer(&self) -> bool {
        self.silent
            .is_none_or(|before| self.pipe.state.lock().writer_opens != before)
    }

    /// Where whoever waits for [`PipeReader::met_writer`] is woken.
    pub(crate) fn queue(&self) -> &WaitQueue {
        &self.pipe.readers
    }
}

impl PipeWriter {
    pub(crate) fn open(pipe: Arc<Pipe>) -> PipeWriter {
        let state = pipe.state.lock();
        PipeWriter::enter(&pipe, state)
    }

    /// ENXIO while nobody reads.
    pub(crate) fn open_if_read(pipe: Arc<Pipe>) -> Result<PipeWriter> {
        let state = pipe.state.lock();
        if state.readers == 0 {
            return Err(Errno::ENXIO);
        }
        Ok(PipeWriter::enter(&pipe, state))
    }

    fn enter(pipe: &Arc<Pipe>, mut state: SpinGuard<'_, State>) -> PipeWriter {
        state.writers += 1;
        state.writer_opens = state.writer_opens.wrapping_add(1);
        let alone = (state.readers == 0).then_some(state.reader_opens);
        drop(state);
        pipe.readers.wake_all();
        PipeWriter {
            pipe: pipe.clone(),
            alone,
        }
    }

    /// The pipe.
    #[cfg(not(loom))]
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Whether a reading end is open, or was since this end was opened.
    pub(crate) fn met_reader(&self) -> bool {
        self.alone
            .is_none_or(|before| self.pipe.state.lock().reader_opens != before)
    }

    /// Where whoever waits for [`PipeWriter::met_reader`] is woken.
    pub(crate) fn queue(&self) -> &WaitQueue {
        &self.pipe.writers
    }
}

impl PipeDuplex {
    pub(crate) fn open(pipe: Arc<Pipe>) -> PipeDuplex {
        let reader = PipeReader::open(pipe.clone());
        PipeDuplex {
            reader,
            writer: PipeWriter::open(pipe),
        }
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.readers = state.readers.saturating_sub(1);
        let last = state.readers == 0;
        drop(state);
        if last {
            self.pipe.writers.wake_all();
        }
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.writers = state.writers.saturating_sub(1);
        let last = state.writers == 0;
        drop(state);
        if last {
            self.pipe.readers.wake_all();
        }
    }
}

impl File for PipeReader {
    fn try_read(&self, sink: &mut dyn Sink, _at: u64) -> Result<usize> {
        self.pipe.try_read(sink)
    }

    fn try_write(&self, _source: &mut dyn Source, _at: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn poll(&self) -> Readiness {
        self.pipe.poll_read(self.silent)
    }

    fn wait_queue(&self, _side: Side) -> Option<&WaitQueue> {
        Some(&self.pipe.readers)
    }

    /// More than an ordinary pipe holds: a read takes what is there once, and does not come back for what was written
    /// meanwhile. A larger pipe is read in pieces.
    fn piece(&self) -> usize {
        DEFAULT_CAPACITY + PAGE_SIZE
    }

    fn special(&self) -> Special<'_> {
        Special::Pipe(&self.pipe)
    }
}

impl File for PipeWriter {
    fn try_read(&self, _sink: &mut dyn Sink, _at: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn try_write(&self, source: &mut dyn Source, _at: u64) -> Result<usize> {
        self.pipe.try_write(source)
    }

    fn poll(&self) -> Readiness {
        self.pipe.poll_write()
    }

    fn wait_queue(&self, _side: Side) -> Option<&WaitQueue> {
        Some(&self.pipe.writers)
    }

    /// As for reading: a write that does not wait takes the room that there was once.
    fn piece(&self) -> usize {
        DEFAULT_CAPACITY + PAGE_SIZE
    }

    fn special(&self) -> Special<'_> {
        Special::Pipe(&self.pipe)
    }
}

impl File for PipeDuplex {
    fn try_read(&self, sink: &mut dyn Sink, at: u64) -> Result<usize> {
        self.reader.try_read(sink, at)
    }

    fn try_write(&self, source: &mut dyn Source, at: u64) -> Result<usize> {
        self.writer.try_write(source, at)
    }

    fn poll(&self) -> Readiness {
        self.reader.poll() | self.writer.poll()
    }

    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        match side {
            Side::Read => self.reader.wait_queue(side),
            Side::Write => self.writer.wait_queue(side),
        }
    }

    fn piece(&self) -> usize {
        DEFAULT_CAPACITY + PAGE_SIZE
    }

    fn special(&self) -> Special<'_> {
        self.reader.special()
    }
}
