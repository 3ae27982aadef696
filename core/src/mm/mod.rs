//! Memory: page frames, memory objects, address spaces, and access to a program's memory.
//!
//! - [`FramePool`] owns every page frame that nobody else does (lock level 9).
//! - [`MemoryObject`] is a growable array of frames: contents of a file or of shared memory (level 5).
//! - [`AddressSpace`] says what a program may reach and what is there (level 4).
//! - [`UserBuffer`] is a stretch of a program's memory as a source or sink of bytes.
//!
//! Nothing here is a global and nothing here waits: every function returns promptly or in time proportional to the pages
//! that it is asked to treat.

mod frame_pool;
mod frame_ref;
mod free_map;
mod hold;
mod object;
mod page_slots;
mod region;
mod room;
mod space;
#[cfg(test)]
mod tests;
mod user_buffer;
mod user_slice;

pub use frame_pool::{FramePool, MAX_RUN_ORDER, MetadataSize};
pub use frame_ref::FrameRef;
pub use hold::{Hold, Mapped};
pub use object::{MAX_SIZE, MemoryObject, Seals};
pub use region::{Backing, Label, Region};
pub use room::{InHand, Room};
pub use space::{AddressSpace, FaultError, Footprint, FutexPlace, MapRequest, Move, Placement};
pub use user_buffer::{IOV_MAX, UserBuffer};
pub use user_slice::UserSlice;

use crate::machine::{Frame, Machine, OutOfMemory};

/// What the memory of one kernel stands on: the machine and its page frames. Lives as long as the kernel.
pub struct Memory {
    /// The machine that the frames belong to.
    pub machine: &'static dyn Machine,
    /// The frames.
    pub frames: &'static FramePool,
}

impl Memory {
    /// The memory of `machine`, whose free frames are in `frames`.
    #[must_use]
    pub const fn new(machine: &'static dyn Machine, frames: &'static FramePool) -> Memory {
        Memory { machine, frames }
    }

    /// A frame full of zeros, held once.
    #[inline]
    pub fn zeroed_frame(&self) -> Result<Frame, OutOfMemory> {
        let frame = self.frames.allocate()?;
        self.machine.zero_frame(frame);
        Ok(frame)
    }
}

impl From<OutOfMemory> for crate::Errno {
    fn from(_: OutOfMemory) -> crate::Errno {
        crate::Errno::ENOMEM
    }
}
