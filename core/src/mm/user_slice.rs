//! One stretch of a program's memory, borrowed for the length of a call that does not wait: what most reads and writes need.

use super::AddressSpace;
use crate::io::{Sink, Source};
use crate::machine::{Access, Frame, Machine, USER_END, UserAddr};
use crate::{Errno, Result};

/// One stretch of a program's memory, read or written in order.
#[derive(Debug)]
pub struct UserSlice<'a> {
    space: &'a AddressSpace,
    at: usize,
    remaining: usize,
}

impl<'a> UserSlice<'a> {
    /// `length` bytes at `at`. EFAULT: no program can have them. Whether they are there is seen when they are used.
    #[inline(always)]
    pub fn new(space: &'a AddressSpace, at: UserAddr, length: usize) -> Result<UserSlice<'a>> {
        // Checked apart from the making, so that the slice need not be packed into a result and unpacked.
        if !possible(at.0, length) {
            return Err(Errno::EFAULT);
        }
        Ok(UserSlice {
            space,
            at: at.0,
            remaining: length,
        })
    }

    /// Cuts it to its first `most` bytes, if it has more.
    #[inline(always)]
    pub fn shorten(&mut self, most: usize) {
        self.remaining = self.remaining.min(most);
    }

    /// Has `copy` move the next `count` bytes from an address on; it tells how many it has moved.
    #[inline]
    fn transfer(
        &mut self,
        count: usize,
        copy: impl FnOnce(&AddressSpace, UserAddr) -> (usize, Result<()>),
    ) -> Result<()> {
        if count > self.remaining {
            return Err(Errno::EFAULT);
        }
        let (moved, outcome) = copy(self.space, UserAddr(self.at));
        self.at = self.at.wrapping_add(moved);
        self.remaining -= moved;
        outcome
    }
}

/// Whether a program can have these bytes. An empty stretch may be anywhere.
#[inline(always)]
const fn possible(at: usize, length: usize) -> bool {
    length == 0 || (at <= USER_END && length <= USER_END - at)
}

impl Source for UserSlice<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }

    #[inline]
    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        self.transfer(into.len(), |space, at| space.read_partly(at, into))
    }

    fn skip(&mut self, count: usize) {
        let count = count.min(self.remaining);
        self.at = self.at.wrapping_add(count);
        self.remaining -= count;
    }

    fn peek(&mut self, into: &mut [u8]) -> Result<()> {
        if into.len() > self.remaining {
            return Err(Errno::EFAULT);
        }
        self.space.read_partly(UserAddr(self.at), into).1
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        let count = count.min(self.remaining);
        self.space.prepare(UserAddr(self.at), count, Access::READ).1
    }

    fn may_be_held(&self) -> Result<()> {
        Ok(self.space.memory().frames.room().for_passing()?)
    }

    fn take_to_frame(
        &mut self,
        _: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        self.transfer(count, |space, at| {
            space.read_to_frame(at, frame, offset, count)
        })
    }
}

impl Sink for UserSlice<'_> {
    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.transfer(bytes.len(), |space, at| space.write_partly(at, bytes))
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        let count = count.min(self.remaining);
        self.space
            .prepare(UserAddr(self.at), count, Access::WRITE)
            .1
    }

    fn put_from_frame(
        &mut self,
        _: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        self.transfer(count, |space, at| {
            space.write_from_frame(at, frame, offset, count)
        })
    }
}
