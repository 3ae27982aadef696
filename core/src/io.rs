//! Where bytes come from and go to: the two traits by which objects move data without knowing whether the other side is
//! a program's memory, a kernel buffer or a test.

use crate::{Errno, Result};

/// Bytes to be taken, in order: the data of a `write`.
pub trait Source {
    /// How many are left.
    fn remaining(&self) -> usize;
    /// Takes exactly `into.len()` bytes (at most [`Source::remaining`]). EFAULT if they cannot all be read; then the
    /// position is where the fault was and `into` holds what was read before it.
    fn take(&mut self, into: &mut [u8]) -> Result<()>;
    /// Makes sure that the next `count` bytes can be read now (pages filled in); EFAULT if not. Moves nothing.
    fn prepare(&mut self, count: usize) -> Result<()>;
    /// Passes over the next `count` bytes (at most [`Source::remaining`]) without reading them.
    fn skip(&mut self, count: usize);
}

/// Room to be filled, in order: the buffer of a `read`.
pub trait Sink {
    /// How much room is left.
    fn remaining(&self) -> usize;
    /// Stores all of `bytes` (at most [`Sink::remaining`]). EFAULT if they cannot all be stored; then the position is
    /// where the fault was.
    fn put(&mut self, bytes: &[u8]) -> Result<()>;
    /// Makes sure that the next `count` bytes can be stored now (pages filled in, copied); EFAULT if not.
    fn prepare(&mut self, count: usize) -> Result<()>;
}

/// A kernel buffer as a [`Source`].
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// All of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes(bytes)
    }
}

impl Source for Bytes<'_> {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        let (taken, left) = self.0.split_at_checked(into.len()).ok_or(Errno::EFAULT)?;
        into.copy_from_slice(taken);
        self.0 = left;
        Ok(())
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        if count <= self.0.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }
}

/// A kernel buffer as a [`Sink`].
pub struct Room<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl<'a> Room<'a> {
    /// All of `room`.
    #[must_use]
    pub const fn new(room: &'a mut [u8]) -> Room<'a> {
        Room { room, used: 0 }
    }
}

impl Sink for Room<'_> {
    fn remaining(&self) -> usize {
        self.room.len() - self.used
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.used + bytes.len();
        self.room.get_mut(self.used..end).ok_or(Errno::EFAULT)?.copy_from_slice(bytes);
        self.used = end;
        Ok(())
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        if count <= self.remaining() { Ok(()) } else { Err(Errno::EFAULT) }
    }
}
