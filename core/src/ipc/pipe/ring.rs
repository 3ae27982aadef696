//! The bytes in a pipe: a ring of pages, each allocated when a byte first reaches it. Owns the pages; knows nothing of ends,
//! locks or waiting.
//!
//! Bytes are written behind the last visible one and become visible all together, or not at all. A page whose front has
//! been read is room again when it is empty: so on Linux, where programs see it by what fits, and so the ring can be
//! moved page by page. When the ring runs empty it starts again at its first page, so that small messages stay in one
//! page and one cache.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::io::{Sink, Source};
use crate::machine::PAGE_SIZE;
use crate::{Errno, Result};

type Page = Box<[u8; PAGE_SIZE]>;

/// A ring of bytes.
pub(super) struct Ring {
    /// A power of two of them; None has never been written.
    pages: Vec<Option<Page>>,
    /// Where the first byte is; less than the capacity.
    head: usize,
    len: usize,
}

impl Ring {
    /// An empty ring of `pages` pages, a power of two. ENOMEM.
    pub(super) fn new(pages: usize) -> Result<Ring> {
        debug_assert!(pages.is_power_of_two());
        let mut slots = Vec::new();
        slots.try_reserve_exact(pages).map_err(|_| Errno::ENOMEM)?;
        slots.resize_with(pages, || None);
        Ok(Ring {
            pages: slots,
            head: 0,
            len: 0,
        })
    }

    /// How many bytes it can hold.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.pages.len() * PAGE_SIZE
    }

    /// How many bytes it holds.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many more bytes it can take: what was read of its first page does not count.
    #[inline]
    pub(super) fn room(&self) -> usize {
        self.capacity()
            .saturating_sub(self.head % PAGE_SIZE + self.len)
    }

    /// Appends the next `count` bytes of `source`, at most [`Ring::room`]: all or, on an error, none. EFAULT, ENOMEM.
    #[inline]
    pub(super) fn append(&mut self, source: &mut dyn Source, count: usize) -> Result<()> {
        let mut done = 0;
        while done < count {
            let (page, span) = self.span(self.len + done, count - done);
            let slot = self.pages.get_mut(page).ok_or(Errno::EIO)?;
            if slot.is_none() {
                source.may_be_held()?;
            }
            let bytes = filled(slot)?;
            source.take(bytes.get_mut(span.clone()).ok_or(Errno::EIO)?)?;
            done += span.len();
        }
        self.len += count;
        Ok(())
    }

    /// Moves the first `count` bytes, at most [`Ring::len`], to `sink`: all or, on an error, none. EFAULT.
    #[inline]
    pub(super) fn remove(&mut self, sink: &mut dyn Sink, count: usize) -> Result<()> {
        let mut done = 0;
        while done < count {
            let (page, span) = self.span(done, count - done);
            let bytes = self
                .pages
                .get(page)
                .and_then(Option::as_deref)
                .ok_or(Errno::EIO)?;
            sink.put(bytes.get(span.clone()).ok_or(Errno::EIO)?)?;
            done += span.len();
        }
        self.forget(count);
        Ok(())
    }

    /// Copies `count` bytes, which there are, from `offset` behind the first on to `sink`; they stay.
    pub(super) fn copy(&self, sink: &mut dyn Sink, offset: usize, count: usize) -> Result<()> {
        let mut done = 0;
        while done < count {
            let (page, span) = self.span(offset + done, count - done);
            let bytes = self
                .pages
                .get(page)
                .and_then(Option::as_deref)
                .ok_or(Errno::EIO)?;
            sink.put(bytes.get(span.clone()).ok_or(Errno::EIO)?)?;
            done += span.len();
        }
        Ok(())
    }

    /// Drops the first `count` bytes, at most [`Ring::len`].
    #[inline]
    pub(super) fn forget(&mut self, count: usize) {
        self.len = self.len.saturating_sub(count);
        self.head = if self.len == 0 {
            0
        } else {
            (self.head + count) & (self.capacity() - 1)
        };
    }

    /// The page and the bytes in it that lie `offset` behind the head, at most `limit` of them.
    #[inline]
    fn span(&self, offset: usize, limit: usize) -> (usize, core::ops::Range<usize>) {
        let at = (self.head + offset) & (self.capacity() - 1);
        let start = at % PAGE_SIZE;
        (at / PAGE_SIZE, start..start + limit.min(PAGE_SIZE - start))
    }

    /// Gives the ring room for `pages` pages, a power of two, keeping what is in it. EBUSY if that lies in more pages; ENOMEM,
    /// and then nothing has changed. Pages that hold nothing are given back, the others move as they are.
    pub(super) fn resize(&mut self, pages: usize) -> Result<()> {
        let start = self.head % PAGE_SIZE;
        let touched = (start + self.len).div_ceil(PAGE_SIZE);
        if touched > pages {
            return Err(Errno::EBUSY);
        }
        let mut resized = Ring::new(pages)?;
        let first = self.head / PAGE_SIZE;
        for (at, slot) in resized.pages.iter_mut().take(touched).enumerate() {
            let from = (first + at) & (self.pages.len() - 1);
            *slot = self.pages.get_mut(from).and_then(Option::take);
        }
        (resized.head, resized.len) = (start, self.len);
        *self = resized;
        Ok(())
    }
}

/// The page, allocated now if it was not yet.
#[inline]
fn filled(slot: &mut Option<Page>) -> Result<&mut [u8; PAGE_SIZE]> {
    if slot.is_none() {
        *slot = Some(new_page()?);
    }
    slot.as_deref_mut().ok_or(Errno::ENOMEM)
}

#[cold]
fn new_page() -> Result<Page> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(PAGE_SIZE)
        .map_err(|_| Errno::ENOMEM)?;
    bytes.resize(PAGE_SIZE, 0);
    bytes
        .into_boxed_slice()
        .try_into()
        .map_err(|_| Errno::ENOMEM)
}
