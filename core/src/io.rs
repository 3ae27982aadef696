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

impl Source for &[u8] {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        let (taken, rest) = self.split_at_checked(into.len()).ok_or(Errno::EFAULT)?;
        into.copy_from_slice(taken);
        *self = rest;
        Ok(())
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        if count <= self.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }
}

impl Sink for &mut [u8] {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let (filled, rest) = core::mem::take(self)
            .split_at_mut_checked(bytes.len())
            .ok_or(Errno::EFAULT)?;
        filled.copy_from_slice(bytes);
        *self = rest;
        Ok(())
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        if count <= self.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }
}
