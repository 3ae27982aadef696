//! A stretch of a program's memory as a source or sink of bytes: one buffer, or an array of them (readv(2)).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::AddressSpace;
use crate::io::{Sink, Source};
use crate::machine::{Access, Frame, Machine, PAGE_SIZE, USER_END, UserAddr};
use crate::{Errno, Result};

/// The most buffers in an array (IOV_MAX).
const BUFFERS_MAX: usize = 1024;

/// A place in a program's memory, and how far it goes.
#[derive(Clone, Copy, Debug)]
struct Segment {
    at: usize,
    length: usize,
}

/// A stretch of a program's memory. Small: it lives in the futures of waiting calls.
pub struct UserBuffer {
    space: Arc<AddressSpace>,
    now: Segment,
    /// The segments to come, the next one last.
    later: Vec<Segment>,
    remaining: usize,
}

impl UserBuffer {
    /// `length` bytes at `at`. EFAULT: not user memory.
    #[inline]
    pub fn new(space: &Arc<AddressSpace>, at: UserAddr, length: usize) -> Result<UserBuffer> {
        let now = segment(at.0, length)?;
        Ok(UserBuffer {
            space: Arc::clone(space),
            now,
            later: Vec::new(),
            remaining: length,
        })
    }

    /// The buffers of the array of `count` `struct iovec` at `array`. EINVAL: too many, or too long together. EFAULT.
    pub fn from_iovec(
        space: &Arc<AddressSpace>,
        array: UserAddr,
        count: usize,
    ) -> Result<UserBuffer> {
        if count > BUFFERS_MAX {
            return Err(Errno::EINVAL);
        }
        let mut later = Vec::new();
        later.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        let mut remaining = 0usize;
        for index in (0..count).rev() {
            let place = UserAddr(array.0.wrapping_add(index * 16));
            let [at, length]: [u64; 2] = space.read_user(place)?;
            let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
            if isize::try_from(length).is_err() {
                return Err(Errno::EINVAL);
            }
            remaining = remaining.checked_add(length).ok_or(Errno::EINVAL)?;
            later.push(segment(at as usize, length)?);
        }
        isize::try_from(remaining).map_err(|_| Errno::EINVAL)?;
        let now = later.pop().unwrap_or(Segment { at: 0, length: 0 });
        Ok(UserBuffer {
            space: Arc::clone(space),
            now,
            later,
            remaining,
        })
    }

    /// Moves on by the bytes that `work` does of a piece (its address, where it begins in all, how long it is), until `count`
    /// are done.
    #[inline]
    fn advance(
        &mut self,
        count: usize,
        mut work: impl FnMut(&AddressSpace, UserAddr, usize, usize) -> (usize, Result<()>),
    ) -> Result<()> {
        let mut done = 0;
        while done < count {
            if self.now.length == 0 {
                self.now = self.later.pop().ok_or(Errno::EFAULT)?;
                continue;
            }
            let piece = self.now.length.min(count - done);
            let (moved, outcome) = work(&self.space, UserAddr(self.now.at), done, piece);
            self.now = Segment {
                at: self.now.at + moved,
                length: self.now.length - moved,
            };
            self.remaining -= moved;
            outcome?;
            done += moved;
        }
        Ok(())
    }

    fn prepare_for(&self, count: usize, access: Access) -> Result<()> {
        let mut left = count;
        for segment in core::iter::once(&self.now).chain(self.later.iter().rev()) {
            let piece = segment.length.min(left);
            self.space.prepare(UserAddr(segment.at), piece, access).1?;
            left -= piece;
            if left == 0 {
                return Ok(());
            }
        }
        Err(Errno::EFAULT)
    }
}

/// EFAULT unless the bytes could be a program's. An empty segment may be anywhere.
#[inline]
fn segment(at: usize, length: usize) -> Result<Segment> {
    if length == 0 || at.checked_add(length).is_some_and(|end| end <= USER_END) {
        Ok(Segment { at, length })
    } else {
        Err(Errno::EFAULT)
    }
}

impl Source for UserBuffer {
    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        let count = into.len();
        self.advance(count, |space, at, done, piece| {
            space.read_partly(at, into.get_mut(done..done + piece).unwrap_or_default())
        })
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        self.prepare_for(count, Access::READ)
    }

    fn take_to_frame(
        &mut self,
        _: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        debug_assert!(offset + count <= PAGE_SIZE);
        self.advance(count, |space, at, done, piece| {
            space.read_to_frame(at, frame, offset + done, piece)
        })
    }
}

impl Sink for UserBuffer {
    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.advance(bytes.len(), |space, at, done, piece| {
            space.write_partly(at, bytes.get(done..done + piece).unwrap_or_default())
        })
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        self.prepare_for(count, Access::WRITE)
    }

    fn put_from_frame(
        &mut self,
        _: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        self.advance(count, |space, at, done, piece| {
            space.write_from_frame(at, frame, offset + done, piece)
        })
    }
}
