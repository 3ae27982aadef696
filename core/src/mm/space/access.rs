//! The kernel's access to a program's memory: page by page, through the kernel's own mapping of the frame, under the
//! address-space lock. Never a fault in the kernel: what cannot be reached is EFAULT, and ENOMEM if only for want of memory.

use alloc::sync::Arc;
use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{AddressSpace, Inner, is_user_range};
use crate::machine::{Access, Frame, Machine, PAGE_SIZE, UserAddr};
use crate::mm::MemoryObject;
use crate::mm::region::Backing;
use crate::{Errno, Result};

/// What identifies a futex word (futex(2)): for memory that others may map too, the object and the place in it; else the
/// address space and the address.
pub enum FutexPlace {
    /// In memory of the program's own.
    Private,
    /// In an object: which, and the byte.
    Shared(Arc<MemoryObject>, u64),
}

impl AddressSpace {
    /// Does `work` on each piece of `length` bytes at `start` that lies in one page: frame, offset, piece's offset and
    /// length. Returns how many bytes were done, and EFAULT if not all.
    #[inline]
    fn for_each_piece(
        &self,
        start: usize,
        length: usize,
        access: Access,
        mut work: impl FnMut(&'static dyn Machine, Frame, usize, usize, usize),
    ) -> (usize, Result<()>) {
        if length > 0 && !is_user_range(start, length) {
            return (0, Err(Errno::EFAULT));
        }
        let mut done = 0;
        while done < length {
            let at = start + done;
            let offset = at % PAGE_SIZE;
            let count = (PAGE_SIZE - offset).min(length - done);
            let mut inner = self.inner.lock();
            match inner.reach(self.memory, at, access) {
                Ok(frame) => work(self.memory.machine, frame, offset, done, count),
                Err(error) => return (done, Err(error.into())),
            }
            done += count;
        }
        (done, Ok(()))
    }

    /// Copies from the program. Returns how many bytes were copied, and EFAULT if not all.
    #[inline]
    pub fn read_partly(&self, at: UserAddr, into: &mut [u8]) -> (usize, Result<()>) {
        let length = into.len();
        self.for_each_piece(
            at.0,
            length,
            Access::READ,
            |machine, frame, offset, done, count| {
                if let Some(piece) = into.get_mut(done..done + count) {
                    machine.read_frame(frame, offset, piece);
                }
            },
        )
    }

    /// Copies to the program. Returns how many bytes were copied, and EFAULT if not all.
    #[inline]
    pub fn write_partly(&self, at: UserAddr, from: &[u8]) -> (usize, Result<()>) {
        self.for_each_piece(
            at.0,
            from.len(),
            Access::WRITE,
            |machine, frame, offset, done, count| {
                if let Some(piece) = from.get(done..done + count) {
                    machine.write_frame(frame, offset, piece);
                }
            },
        )
    }

    /// Copies `count` bytes from the program to byte `to_offset` of a frame that the caller holds.
    pub(in crate::mm) fn read_to_frame(
        &self,
        at: UserAddr,
        to: Frame,
        to_offset: usize,
        count: usize,
    ) -> (usize, Result<()>) {
        self.for_each_piece(
            at.0,
            count,
            Access::READ,
            |machine, frame, offset, done, count| {
                copy_frames(machine, (frame, offset), (to, to_offset + done), count);
            },
        )
    }

    /// Copies `count` bytes from byte `from_offset` of a frame that the caller holds to the program.
    pub(in crate::mm) fn write_from_frame(
        &self,
        at: UserAddr,
        from: Frame,
        from_offset: usize,
        count: usize,
    ) -> (usize, Result<()>) {
        self.for_each_piece(
            at.0,
            count,
            Access::WRITE,
            |machine, frame, offset, done, count| {
                copy_frames(machine, (from, from_offset + done), (frame, offset), count);
            },
        )
    }

    /// Makes the pages of `length` bytes at `at` present with `access`. EFAULT.
    pub(in crate::mm) fn prepare(
        &self,
        at: UserAddr,
        length: usize,
        access: Access,
    ) -> (usize, Result<()>) {
        self.for_each_piece(at.0, length, access, |_, _, _, _, _| {})
    }

    /// Copies bytes from the program. EFAULT.
    pub fn read_bytes(&self, at: UserAddr, into: &mut [u8]) -> Result<()> {
        self.read_partly(at, into).1
    }

    /// Copies bytes to the program. EFAULT.
    pub fn write_bytes(&self, at: UserAddr, from: &[u8]) -> Result<()> {
        self.write_partly(at, from).1
    }

    /// Copies a value from the program; the address need not be aligned. EFAULT.
    #[inline]
    pub fn read_user<T: FromBytes + IntoBytes>(&self, at: UserAddr) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read_partly(at, value.as_mut_bytes()).1?;
        Ok(value)
    }

    /// Copies a value to the program; the address need not be aligned. EFAULT.
    #[inline]
    pub fn write_user<T: IntoBytes + Immutable>(&self, at: UserAddr, value: &T) -> Result<()> {
        self.write_partly(at, value.as_bytes()).1
    }

    /// Copies a string without its NUL. ENAMETOOLONG: it has no NUL within `max` bytes. EFAULT, ENOMEM.
    pub fn read_cstr(&self, at: UserAddr, max: usize) -> Result<Vec<u8>> {
        const CHUNK: usize = 64;
        let mut text = Vec::new();
        let mut chunk = [0u8; CHUNK];
        while text.len() < max {
            let next = UserAddr(at.0.wrapping_add(text.len()));
            // Never beyond the page: what is behind the NUL need not be there.
            let count = (PAGE_SIZE - next.0 % PAGE_SIZE)
                .min(CHUNK)
                .min(max - text.len());
            let piece = chunk.get_mut(..count).unwrap_or_default();
            self.read_bytes(next, piece)?;
            let end = piece.iter().position(|byte| *byte == 0);
            let part = piece.get(..end.unwrap_or(count)).unwrap_or_default();
            text.try_reserve(part.len()).map_err(|_| Errno::ENOMEM)?;
            text.extend_from_slice(part);
            if end.is_some() {
                return Ok(text);
            }
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Fills with zeros. EFAULT.
    pub fn zero(&self, at: UserAddr, length: usize) -> Result<()> {
        static ZEROS: [u8; 256] = [0; 256];
        for done in (0..length).step_by(ZEROS.len()) {
            let part = ZEROS
                .get(..ZEROS.len().min(length - done))
                .unwrap_or_default();
            self.write_bytes(UserAddr(at.0.wrapping_add(done)), part)?;
        }
        Ok(())
    }

    /// Loads the aligned word at `at`, atomically. EFAULT; EINVAL: misaligned.
    pub fn load_u32(&self, at: UserAddr) -> Result<u32> {
        let (frame, offset, _inner) = self.word(at, Access::READ)?;
        Ok(self.memory.machine.load_u32(frame, offset))
    }

    /// Stores `new` in the aligned word at `at` if it is `expected`, atomically; returns what was there. EFAULT, EINVAL.
    pub fn compare_exchange_u32(&self, at: UserAddr, expected: u32, new: u32) -> Result<u32> {
        let (frame, offset, _inner) = self.word(at, Access::WRITE)?;
        Ok(self
            .memory
            .machine
            .compare_exchange_u32(frame, offset, expected, new))
    }

    fn word(
        &self,
        at: UserAddr,
        access: Access,
    ) -> Result<(Frame, usize, halyard_cell::SpinGuard<'_, Inner>)> {
        if !at.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if !is_user_range(at.0, 4) {
            return Err(Errno::EFAULT);
        }
        let mut inner = self.inner.lock();
        let frame = inner.reach(self.memory, at.0, access)?;
        Ok((frame, at.0 % PAGE_SIZE, inner))
    }

    /// What identifies the futex word at `at`. EFAULT: nothing is mapped there.
    pub fn futex_place(&self, at: UserAddr) -> Result<FutexPlace> {
        let inner = self.inner.lock();
        let (_, region) = inner.regions.find(at.0).ok_or(Errno::EFAULT)?;
        Ok(match &region.backing {
            Backing::Shared(object, first) => {
                let byte = first * PAGE_SIZE as u64 + (at.0 - region.start) as u64;
                FutexPlace::Shared(Arc::clone(object), byte)
            }
            Backing::Anonymous | Backing::Private(..) => FutexPlace::Private,
        })
    }
}

fn copy_frames(machine: &dyn Machine, from: (Frame, usize), to: (Frame, usize), count: usize) {
    if from.0 == to.0 {
        // A program reads the very page of a file that it has mapped: over a buffer, for the ranges may overlap.
        let mut buffer = [0; PAGE_SIZE];
        let piece = buffer.get_mut(..count).unwrap_or_default();
        machine.read_frame(from.0, from.1, piece);
        machine.write_frame(to.0, to.1, piece);
    } else {
        machine.copy_between(from.0, from.1, to.0, to.1, count);
    }
}
