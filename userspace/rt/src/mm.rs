//! The program's address space: mappings, and the end of its data.

use core::sync::atomic::AtomicU32;

use crate::fd::AsFd;
use crate::sys::sys;
use crate::{Errno, Result, nr, raw};

pub use raw::general::{PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE};

/// The size of a page in bytes.
pub const PAGE: usize = 4096;

/// Whether writes to a mapping are seen by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// They stay with the writer.
    Private,
    /// They reach the file, and everybody who maps it; over a fork, parent and child.
    Shared,
}

/// Sets the end of the data segment and says where it is; it stays where it was if that can't be, or for 0.
pub(crate) fn brk(end: usize) -> usize {
    // SAFETY: only the heap moves it, and only upwards.
    unsafe { sys!(nr::BRK, end) }.unwrap_or(0)
}

/// Fresh memory for the heap, of whole pages.
pub(crate) fn map_heap(size: usize) -> Result<*mut u8> {
    map(size, PROT_READ | PROT_WRITE, Sharing::Private, None).map(|base| base as *mut u8)
}

/// Gives memory of [`map_heap`] back.
///
/// # Safety
/// It came from there with that size, and nobody uses it any more.
pub(crate) unsafe fn unmap_heap(base: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    let _ = unsafe { sys!(nr::MUNMAP, base, size) };
}

fn map(length: usize, prot: u32, sharing: Sharing, file: Option<(i32, u64)>) -> Result<usize> {
    let mut flags = match sharing {
        Sharing::Private => raw::general::MAP_PRIVATE,
        Sharing::Shared => raw::general::MAP_SHARED,
    };
    let (fd, offset) = file.unwrap_or_else(|| {
        flags |= raw::general::MAP_ANONYMOUS;
        (-1, 0)
    });
    // SAFETY: without MAP_FIXED the kernel chooses a place where nothing is.
    unsafe { sys!(nr::MMAP, 0, length, prot, flags, fd, offset) }
}

/// A mapping of whole pages, unmapped when it goes.
///
/// It is reached byte by byte or as atomics, never as a slice: others may change it at any time. What its protection
/// forbids raises `SIGSEGV`; what lies behind the end of its file raises `SIGBUS`.
#[derive(Debug)]
pub struct Mapping {
    base: usize,
    length: usize,
}

impl Mapping {
    /// Zeroed memory.
    ///
    /// # Errors
    /// `ENOMEM`, `EINVAL` for length 0.
    pub fn anonymous(length: usize, prot: u32, sharing: Sharing) -> Result<Self> {
        map(length, prot, sharing, None).map(|base| Self { base, length })
    }

    /// A part of a file; `offset` is a multiple of the page size.
    ///
    /// # Errors
    /// `EACCES`, `EBADF`, `EINVAL`, `ENODEV`, `ENOMEM`.
    pub fn file(
        fd: impl AsFd,
        offset: u64,
        length: usize,
        prot: u32,
        sharing: Sharing,
    ) -> Result<Self> {
        let base = map(length, prot, sharing, Some((fd.fd(), offset)))?;
        Ok(Self { base, length })
    }

    /// Where it begins.
    pub fn address(&self) -> usize {
        self.base
    }

    /// Its length in bytes, as asked for.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The address of a byte within its pages.
    ///
    /// # Panics
    /// If `index` is behind its last page.
    fn at(&self, index: usize) -> usize {
        assert!(
            index < self.length.next_multiple_of(PAGE),
            "outside the mapping"
        );
        self.base + index
    }

    /// Reads a byte.
    pub fn load(&self, index: usize) -> u8 {
        // SAFETY: within the mapping; any bits are a byte.
        unsafe { (self.at(index) as *const u8).read_volatile() }
    }

    /// Writes a byte.
    pub fn store(&self, index: usize, value: u8) {
        // SAFETY: within the mapping, of which nobody holds references but as atomics.
        unsafe { (self.at(index) as *mut u8).write_volatile(value) }
    }

    /// A word of it for atomic use; `index` is a byte index and a multiple of 4.
    ///
    /// # Panics
    /// If it isn't.
    pub fn atomic(&self, index: usize) -> &AtomicU32 {
        let address = self.at(index);
        assert!(address.is_multiple_of(4), "an atomic is aligned");
        // SAFETY: an aligned word of pages that live as long as `self`.
        unsafe { AtomicU32::from_ptr(address as *mut u32) }
    }

    /// Changes the protection of a part: whole pages.
    ///
    /// # Errors
    /// `EACCES`, `EINVAL`, `ENOMEM`.
    pub fn protect(&self, offset: usize, length: usize, prot: u32) -> Result<()> {
        if offset
            .checked_add(length)
            .is_none_or(|end| end > self.length.next_multiple_of(PAGE))
        {
            return Err(Errno::ENOMEM);
        }
        // SAFETY: pages of this mapping only; no Rust reference into them but atomics is ever handed out.
        unsafe { sys!(nr::MPROTECT, self.base + offset, length, prot) }.map(drop)
    }

    /// Leaves it mapped for as long as the process lives.
    pub fn leak(self) -> &'static Self {
        alloc::boxed::Box::leak(alloc::boxed::Box::new(self))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is ours, and what borrowed it is gone.
        let _ = unsafe { sys!(nr::MUNMAP, self.base, self.length) };
    }
}
