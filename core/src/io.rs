//! Where bytes come from and go to: the two traits by which objects move data without knowing whether the other side is
//! a program's memory, a kernel buffer or a test.

use crate::machine::{Frame, Machine};
use crate::{Errno, Result};

/// Bytes that are moved at once where neither side can be reached directly.
const BOUNCE: usize = 256;

/// Bytes to be taken, in order: the data of a `write`.
pub trait Source {
    /// How many are left.
    fn remaining(&self) -> usize;
    /// Takes exactly `into.len()` bytes (at most [`Source::remaining`]). EFAULT if they cannot all be read; then the
    /// position is where the fault was and `into` holds what was read before it.
    fn take(&mut self, into: &mut [u8]) -> Result<()>;
    /// Drops the next `count` bytes (at most [`Source::remaining`]) unread.
    fn skip(&mut self, count: usize);
    /// Makes sure that the next `count` bytes can be read now (pages filled in); EFAULT if not. Moves nothing.
    fn prepare(&mut self, count: usize) -> Result<()>;
    /// Whether the kernel may hold these bytes until somebody takes them. ENOMEM: memory is too short for that
    /// ([`crate::mm::Room::for_passing`]).
    fn may_be_held(&self) -> Result<()> {
        Ok(())
    }
    /// As [`Source::take`], but the position stays: for who decides by the bytes whether it takes them. EINVAL: a source
    /// that cannot be looked at ahead.
    fn peek(&mut self, into: &mut [u8]) -> Result<()> {
        let _ = into;
        Err(Errno::EINVAL)
    }

    /// As [`Source::take`], to `count` bytes at `offset` of a frame that the caller holds, without a stop in between where
    /// the source is memory too.
    fn take_to_frame(
        &mut self,
        machine: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        let mut buffer = [0; BOUNCE];
        for at in (0..count).step_by(BOUNCE) {
            let part = buffer.get_mut(..BOUNCE.min(count - at)).unwrap_or_default();
            let before = self.remaining();
            let taken = self.take(part);
            let done = before - self.remaining();
            machine.write_frame(frame, offset + at, part.get(..done).unwrap_or_default());
            taken?;
        }
        Ok(())
    }
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

    /// As [`Sink::put`], from `count` bytes at `offset` of a frame that the caller holds, without a stop in between where
    /// the sink is memory too.
    fn put_from_frame(
        &mut self,
        machine: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        let mut buffer = [0; BOUNCE];
        for at in (0..count).step_by(BOUNCE) {
            let part = buffer.get_mut(..BOUNCE.min(count - at)).unwrap_or_default();
            machine.read_frame(frame, offset + at, part);
            self.put(part)?;
        }
        Ok(())
    }
}

/// The next bytes of a source or sink, and no more: what one try of a long read or write is given.
pub struct Piece<'a, T> {
    of: &'a mut T,
    left: usize,
}

impl<'a, T> Piece<'a, T> {
    /// The next `most` bytes of `of`, or all if it has less.
    pub fn new(of: &'a mut T, most: usize) -> Piece<'a, T> {
        Piece { of, left: most }
    }
}

impl<T: Source> Source for Piece<'_, T> {
    fn remaining(&self) -> usize {
        self.left.min(self.of.remaining())
    }

    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        let before = self.of.remaining();
        let taken = self.of.take(into);
        self.left = self.left.saturating_sub(before - self.of.remaining());
        taken
    }

    fn skip(&mut self, count: usize) {
        let count = count.min(self.left);
        self.of.skip(count);
        self.left -= count;
    }

    fn peek(&mut self, into: &mut [u8]) -> Result<()> {
        self.of.peek(into)
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        self.of.prepare(count)
    }

    fn may_be_held(&self) -> Result<()> {
        self.of.may_be_held()
    }

    fn take_to_frame(
        &mut self,
        machine: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        let before = self.of.remaining();
        let taken = self.of.take_to_frame(machine, frame, offset, count);
        self.left = self.left.saturating_sub(before - self.of.remaining());
        taken
    }
}

impl<T: Sink> Sink for Piece<'_, T> {
    fn remaining(&self) -> usize {
        self.left.min(self.of.remaining())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let before = self.of.remaining();
        let put = self.of.put(bytes);
        self.left = self.left.saturating_sub(before - self.of.remaining());
        put
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        self.of.prepare(count)
    }

    fn put_from_frame(
        &mut self,
        machine: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        let before = self.of.remaining();
        let put = self.of.put_from_frame(machine, frame, offset, count);
        self.left = self.left.saturating_sub(before - self.of.remaining());
        put
    }
}

impl Source for &[u8] {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        let (now, later) = self.split_at_checked(into.len()).ok_or(Errno::EFAULT)?;
        into.copy_from_slice(now);
        *self = later;
        Ok(())
    }

    fn skip(&mut self, count: usize) {
        *self = self.get(count..).unwrap_or_default();
    }

    fn peek(&mut self, into: &mut [u8]) -> Result<()> {
        let mut ahead = *self;
        ahead.take(into)
    }

    fn prepare(&mut self, count: usize) -> Result<()> {
        if count <= self.len() {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    fn take_to_frame(
        &mut self,
        machine: &dyn Machine,
        frame: Frame,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        let (now, later) = self.split_at_checked(count).ok_or(Errno::EFAULT)?;
        machine.write_frame(frame, offset, now);
        *self = later;
        Ok(())
    }
}

impl Sink for &mut [u8] {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let (now, later) = core::mem::take(self)
            .split_at_mut_checked(bytes.len())
            .ok_or(Errno::EFAULT)?;
        now.copy_from_slice(bytes);
        *self = later;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piece_of_a_source_is_taken_and_looked_at_like_the_source() {
        let mut bytes: &[u8] = b"halyard";
        let mut piece = Piece::new(&mut bytes, 3);
        let mut three = [0; 3];
        assert_eq!(piece.peek(&mut three), Ok(()));
        assert_eq!((&three, Source::remaining(&piece)), (b"hal", 3));
        assert_eq!(piece.take(&mut three[..2]), Ok(()));
        assert_eq!(Source::remaining(&piece), 1);
        assert_eq!(bytes, b"lyard");
    }

    #[test]
    fn piece_of_a_sink_has_room_for_no_more_than_the_sink() {
        let mut room = [0; 2];
        let mut sink: &mut [u8] = &mut room;
        let mut piece = Piece::new(&mut sink, 9);
        assert_eq!(Sink::remaining(&piece), 2);
        assert_eq!(piece.put(b"a"), Ok(()));
        assert_eq!(Sink::remaining(&piece), 1);
    }
}
