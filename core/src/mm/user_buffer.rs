//! A stretch of a program's memory, or several, as a source or sink of bytes: the buffers of read, write, readv, writev.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::AddressSpace;
use crate::io::{Sink, Source};
use crate::machine::{Access, Frame, Machine, PAGE_SIZE, USER_END, UserAddr};
use crate::{Errno, Result};

/// The most stretches of one call (IOV_MAX, readv(2)).
pub const IOV_MAX: usize = 1024;

/// The most bytes of one call (MAX_RW_COUNT, read(2)).
const TRANSFER_MAX: usize = (i32::MAX as usize) & !(PAGE_SIZE - 1);

/// Stretches that are kept without asking the heap, besides the first.
const INLINE: usize = 3;

/// `struct iovec` (readv(2)).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Segment {
    base: usize,
    length: usize,
}

impl Segment {
    /// EFAULT: no program can have it. An empty one may be anywhere.
    #[inline]
    fn check(&self) -> Result<()> {
        let end = self.base.checked_add(self.length);
        let possible = self.length == 0 || end.is_some_and(|end| end <= USER_END);
        if possible { Ok(()) } else { Err(Errno::EFAULT) }
    }
}

#[derive(Debug)]
enum Rest {
    Inline([Segment; INLINE]),
    Heap(Vec<Segment>),
}

/// Memory of a program, read or written in order. Holds the address space.
#[derive(Debug)]
pub struct UserBuffer {
    space: Arc<AddressSpace>,
    current: Segment,
    /// What comes after, from index `next` on.
    rest: Rest,
    next: usize,
    remaining: usize,
}

impl UserBuffer {
    /// `length` bytes at `at`. EFAULT: no program can have them. Whether they are there is seen when they are used.
    #[inline]
    pub fn new(space: &Arc<AddressSpace>, at: UserAddr, length: usize) -> Result<UserBuffer> {
        let current = Segment { base: at.0, length };
        current.check()?;
        Ok(UserBuffer {
            space: Arc::clone(space),
            current,
            rest: Rest::Inline([Segment::default(); INLINE]),
            next: INLINE,
            remaining: length,
        })
    }

    /// What an array of `count` iovecs at `at` describes; more than MAX_RW_COUNT bytes are cut off. EINVAL: more than
    /// [`IOV_MAX`], or a length or the sum is beyond what a signed word holds. EFAULT: the array, or what no program
    /// can have. ENOMEM.
    pub fn from_iovec(space: &Arc<AddressSpace>, at: UserAddr, count: usize) -> Result<UserBuffer> {
        if count > IOV_MAX {
            return Err(Errno::EINVAL);
        }
        let mut buffer = UserBuffer::new(space, UserAddr(0), 0)?;
        if count <= INLINE {
            let mut segments = [Segment::default(); INLINE];
            // They stand at the end, so that the last is always the one before the end.
            let used = segments.get_mut(INLINE - count..).unwrap_or_default();
            space.read_bytes(at, used.as_mut_bytes())?;
            buffer.remaining = clip(used)?;
            buffer.next = INLINE - count;
            buffer.rest = Rest::Inline(segments);
        } else {
            let mut segments = Vec::new();
            segments
                .try_reserve_exact(count)
                .map_err(|_| Errno::ENOMEM)?;
            segments.resize(count, Segment::default());
            space.read_bytes(at, segments.as_mut_slice().as_mut_bytes())?;
            buffer.remaining = clip(&mut segments)?;
            buffer.next = 0;
            buffer.rest = Rest::Heap(segments);
        }
        buffer.advance(0);
        Ok(buffer)
    }

    /// The address space.
    #[must_use]
    pub const fn space(&self) -> &Arc<AddressSpace> {
        &self.space
    }

    /// Passes over `count` bytes of the current stretch, and over empty ones.
    #[inline]
    fn advance(&mut self, count: usize) {
        self.remaining -= count;
        self.current.base = self.current.base.wrapping_add(count);
        self.current.length -= count;
        while self.current.length == 0 {
            let segments = match &self.rest {
                Rest::Inline(segments) => segments.as_slice(),
                Rest::Heap(segments) => segments.as_slice(),
            };
            let Some(segment) = segments.get(self.next) else {
                return;
            };
            self.current = *segment;
            self.next += 1;
        }
    }

    /// Has `copy` move the next `count` bytes, stretch by stretch: it gets address, bytes done before and bytes of this
    /// stretch, and tells how many it has moved.
    #[inline]
    fn transfer(
        &mut self,
        count: usize,
        mut copy: impl FnMut(&AddressSpace, UserAddr, usize, usize) -> (usize, Result<()>),
    ) -> Result<()> {
        if count > self.remaining {
            return Err(Errno::EFAULT);
        }
        let mut done = 0;
        while done < count {
            let now = self.current.length.min(count - done);
            let (moved, outcome) = copy(&self.space, UserAddr(self.current.base), done, now);
            self.advance(moved);
            outcome?;
            done += now;
        }
        Ok(())
    }

    /// Makes sure that the next `count` bytes allow `access`. EFAULT.
    fn reach(&self, count: usize, access: Access) -> Result<()> {
        self.visit(count, |at, _, now| self.space.prepare(at, now, access).1)
    }

    /// Shows `look` the next `count` bytes stretch by stretch: address, bytes before it, its bytes.
    fn visit(
        &self,
        count: usize,
        mut look: impl FnMut(UserAddr, usize, usize) -> Result<()>,
    ) -> Result<()> {
        let segments = match &self.rest {
            Rest::Inline(segments) => segments.as_slice(),
            Rest::Heap(segments) => segments.as_slice(),
        };
        let later = segments.get(self.next..).unwrap_or_default();
        let count = count.min(self.remaining);
        let mut left = count;
        for segment in core::iter::once(&self.current).chain(later) {
            let now = segment.length.min(left);
            look(UserAddr(segment.base), count - left, now)?;
            left -= now;
            if left == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Checks the stretches and cuts them to the most that a call moves; returns how much they have.
fn clip(segments: &mut [Segment]) -> Result<usize> {
    let mut sum = 0_usize;
    let mut kept = 0;
    for segment in &mut *segments {
        sum = sum
            .checked_add(segment.length)
            .filter(|sum| isize::try_from(*sum).is_ok())
            .ok_or(Errno::EINVAL)?;
    }
    for segment in segments {
        segment.check()?;
        segment.length = segment.length.min(TRANSFER_MAX - kept);
        kept += segment.length;
    }
    Ok(kept)
}

impl Source for UserBuffer {
    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }

    #[inline]
    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        self.transfer(into.len(), |space, at, done, count| {
            space.read_partly(at, into.get_mut(done..done + count).unwrap_or_default())
        })
    }

    fn skip(&mut self, count: usize) {
        let count = count.min(self.remaining);
        // Nothing is touched, so nothing can fail.
        let _ = self.transfer(count, |_, _, _, now| (now, Ok(())));
    }

    fn peek(&mut self, into: &mut [u8]) -> Result<()> {
        if into.len() > self.remaining {
            return Err(Errno::EFAULT);
        }
        self.visit(into.len(), |at, done, now| {
            let part = into.get_mut(done..done + now).unwrap_or_default();
            self.space.read_partly(at, part).1
        })
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        self.reach(count, Access::READ)
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
        self.transfer(count, |space, at, done, count| {
            space.read_to_frame(at, frame, offset + done, count)
        })
    }
}

impl Sink for UserBuffer {
    #[inline]
    fn remaining(&self) -> usize {
        self.remaining
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.transfer(bytes.len(), |space, at, done, count| {
            space.write_partly(at, bytes.get(done..done + count).unwrap_or_default())
        })
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        self.reach(count, Access::WRITE)
    }

    fn put_from_frame(
        &mut self,
        _: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        self.transfer(count, |space, at, done, count| {
            space.write_from_frame(at, frame, offset + done, count)
        })
    }
}
