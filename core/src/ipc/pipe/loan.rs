//! A look at the bytes in a pipe before they are taken: what splice and tee need, which must not take what the other side may
//! then refuse. While one looks, other readers hold off; since who looks never waits meanwhile, that is as short as a lock.

use super::{PIPE_BUF, Pipe};
use crate::Result;

/// The front of a pipe, borrowed. Whoever has it never waits.
pub(crate) struct Loan<'a> {
    pipe: &'a Pipe,
}

impl Pipe {
    /// Borrows the front of the pipe from other readers.
    pub(crate) fn borrow(&self) -> Loan<'_> {
        loop {
            let mut state = self.state.lock();
            if !state.lent {
                state.lent = true;
                return Loan { pipe: self };
            }
            drop(state);
            core::hint::spin_loop();
        }
    }
}

impl Loan<'_> {
    /// Copies what lies `offset` bytes behind the front; returns how much that is. None: nothing yet, but somebody may write.
    pub(crate) fn copy(&self, offset: usize, mut into: &mut [u8]) -> Result<Option<usize>> {
        let state = self.pipe.state.lock();
        let held = state.ring.len().saturating_sub(offset);
        let count = held.min(into.len());
        if count == 0 {
            return Ok((state.writers == 0).then_some(0));
        }
        state.ring.copy(&mut into, offset, count)?;
        Ok(Some(count))
    }

    /// Takes the first `count` bytes, which were copied.
    pub(crate) fn take(&self, count: usize) {
        let mut state = self.pipe.state.lock();
        let before = state.ring.room();
        state.ring.forget(count);
        let room = state.ring.room();
        drop(state);
        if room >= PIPE_BUF && before < PIPE_BUF {
            self.pipe.writers.wake_one();
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.lent = false;
        let left = state.ring.len();
        drop(state);
        if left > 0 {
            self.pipe.readers.pass_on();
        }
    }
}
