//! The bytes in one direction of a stream: a queue of pages. Owns the pages; knows nothing of messages, locks or waiting.
//!
//! A page that has been read goes behind the others, to be written again; when the queue runs empty it starts at the
//! beginning of a page, so that small messages stay in one page and one cache.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::io::{Sink, Source};
use crate::machine::PAGE_SIZE;
use crate::{Errno, Result};

type Page = Box<[u8; PAGE_SIZE]>;

/// Pages that an empty queue keeps; the others go back to the heap.
const KEPT: usize = 16;

/// A queue of bytes.
#[derive(Default)]
pub(super) struct Bytes {
    pages: VecDeque<Page>,
    /// Where the first byte is in the first page; less than a page.
    head: usize,
    len: usize,
}

impl Bytes {
    /// How many bytes it holds.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends the next `count` bytes of `source`: all or, on an error, none. EFAULT, ENOMEM.
    #[inline]
    pub(super) fn append(&mut self, source: &mut dyn Source, count: usize) -> Result<()> {
        let mut done = 0;
        while done < count {
            let at = self.head + self.len + done;
            let (page, start) = (at / PAGE_SIZE, at % PAGE_SIZE);
            if page >= self.pages.len() {
                source.may_be_held()?;
                self.pages.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                self.pages.push_back(new_page()?);
            }
            let end = PAGE_SIZE.min(start + count - done);
            let bytes = self.pages.get_mut(page).ok_or(Errno::EIO)?;
            source.take(bytes.get_mut(start..end).ok_or(Errno::EIO)?)?;
            done += end - start;
        }
        self.len += count;
        Ok(())
    }

    /// Copies `count` bytes, `offset` behind the first, to `sink`; they stay. There must be that many. EFAULT.
    #[inline]
    pub(super) fn copy(&self, offset: usize, sink: &mut dyn Sink, count: usize) -> Result<()> {
        let mut done = 0;
        while done < count {
            let at = self.head + offset + done;
            let (page, start) = (at / PAGE_SIZE, at % PAGE_SIZE);
            let end = PAGE_SIZE.min(start + count - done);
            let bytes = self.pages.get(page).ok_or(Errno::EIO)?;
            sink.put(bytes.get(start..end).ok_or(Errno::EIO)?)?;
            done += end - start;
        }
        Ok(())
    }

    /// Forgets the first `count` bytes, at most [`Bytes::len`].
    #[inline]
    pub(super) fn discard(&mut self, count: usize) {
        self.len = self.len.saturating_sub(count);
        self.head += count;
        while self.head >= PAGE_SIZE {
            self.head -= PAGE_SIZE;
            self.pages.rotate_left(1);
        }
        if self.len == 0 {
            self.head = 0;
            self.pages.truncate(KEPT);
        }
    }
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
