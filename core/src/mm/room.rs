//! How much of RAM what programs leave in the kernel may take: files, shared memory, names and messages, which stay when a
//! process ends, and bytes in pipes and sockets, which go when somebody takes them. All of these leave a part of RAM, the
//! margin, for the programs themselves, so that those who could free memory can still be started when it is full.
//! What a program has for itself may take the rest: it goes with the program (see [`crate::process::shortage`]).
//!
//! Read and written without a lock. The count may be some frames behind where several CPUs take frames at once.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::Result as CallResult;
use crate::io::Source;
use crate::machine::OutOfMemory;

/// The margin is this part of RAM, but at most [`MARGIN_MAX`].
const MARGIN_PART: usize = 8;

/// 64 MiB, in frames.
const MARGIN_MAX: usize = 16384;

/// What is left of RAM, and what of it is the margin.
#[derive(Debug)]
pub struct Room {
    /// Free frames.
    free: AtomicUsize,
    /// In frames.
    margin: AtomicUsize,
}

impl Room {
    /// Room in a pool that has nothing free yet, without a margin.
    #[must_use]
    pub(crate) const fn new() -> Room {
        Room {
            free: AtomicUsize::new(0),
            margin: AtomicUsize::new(0),
        }
    }

    /// How many frames the margin of a pool of `total` frames is.
    #[must_use]
    pub const fn margin_of(total: usize) -> usize {
        let part = total / MARGIN_PART;
        if part < MARGIN_MAX { part } else { MARGIN_MAX }
    }

    #[inline]
    pub(super) fn note(&self, free: usize) {
        self.free.store(free, Ordering::Relaxed);
    }

    pub(super) fn set_margin(&self, frames: usize) {
        self.margin.store(frames, Ordering::Relaxed);
    }

    /// How many frames are left for what stays when a process ends.
    #[must_use]
    pub fn left(&self) -> usize {
        let margin = self.margin.load(Ordering::Relaxed);
        self.free.load(Ordering::Relaxed).saturating_sub(margin)
    }

    /// Whether there is room for something that stays when a process ends. Fails when only the margin is left.
    #[inline]
    pub fn for_lasting(&self) -> Result<(), OutOfMemory> {
        self.more_than(self.margin.load(Ordering::Relaxed))
    }

    /// Whether there is room for bytes on their way. Fails when only half of the margin is left: when files fill the memory,
    /// a pipeline still works.
    #[inline]
    pub fn for_passing(&self) -> Result<(), OutOfMemory> {
        self.more_than(self.margin.load(Ordering::Relaxed) / 2)
    }

    #[inline]
    fn more_than(&self, kept: usize) -> Result<(), OutOfMemory> {
        if kept == 0 || self.free.load(Ordering::Relaxed) > kept {
            Ok(())
        } else {
            Err(OutOfMemory)
        }
    }
}

/// Bytes that the kernel has in its hands and would put into a pipe or socket, if there is room for them there.
#[derive(Debug)]
pub struct InHand<'a> {
    /// The bytes that are left.
    pub bytes: &'a [u8],
    /// What there must be room in.
    pub room: &'a Room,
}

impl Source for InHand<'_> {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn take(&mut self, into: &mut [u8]) -> CallResult<()> {
        self.bytes.take(into)
    }

    fn skip(&mut self, count: usize) {
        self.bytes.skip(count);
    }

    fn prepare(&mut self, count: usize) -> CallResult<()> {
        self.bytes.prepare(count)
    }

    fn may_be_held(&self) -> CallResult<()> {
        Ok(self.room.for_passing()?)
    }

    fn peek(&mut self, into: &mut [u8]) -> CallResult<()> {
        self.bytes.peek(into)
    }
}
