//! A share of a frame that gives itself back.

use super::Memory;
use crate::machine::{Frame, OutOfMemory};

/// One share of a frame: while it lives, the frame is not handed out anew. Dropping it releases the share (lock level 9).
pub struct FrameRef {
    memory: &'static Memory,
    frame: Frame,
}

impl FrameRef {
    /// Takes over a share that the caller has.
    #[inline]
    #[must_use]
    pub(super) const fn adopt(memory: &'static Memory, frame: Frame) -> FrameRef {
        FrameRef { memory, frame }
    }

    /// A frame full of zeros.
    pub fn zeroed(memory: &'static Memory) -> Result<FrameRef, OutOfMemory> {
        Ok(FrameRef {
            memory,
            frame: memory.zeroed_frame()?,
        })
    }

    /// The frame.
    #[inline]
    #[must_use]
    pub const fn frame(&self) -> Frame {
        self.frame
    }

    /// The share, to be released by the caller.
    #[must_use]
    pub(super) fn into_frame(self) -> Frame {
        let frame = self.frame;
        core::mem::forget(self);
        frame
    }
}

impl Drop for FrameRef {
    #[inline]
    fn drop(&mut self) {
        self.memory.frames.release(self.frame);
    }
}

impl core::fmt::Debug for FrameRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.frame.fmt(f)
    }
}
