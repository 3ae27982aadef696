//! Memory objects: the contents of a file, of shared memory, of an anonymous shared mapping.
//!
//! An object owns one share of each frame that it has; mappings own theirs. Lock level 5, taken for a page at a time; no
//! bytes are moved under it, so that a source or sink may take the address-space lock.

mod seals;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use halyard_cell::SpinLock;

use self::seals::Sealing;
pub use self::seals::Seals;
use super::page_slots::{PageSlots, Slot};
use super::{AddressSpace, FrameRef, Memory};
use crate::counters::{Kind, Live};
use crate::io::{Sink, Source};
use crate::machine::{Frame, OutOfMemory, PAGE_SIZE};
use crate::{Errno, Result};

/// The greatest size: what a signed 64-bit file offset can reach.
pub const MAX_SIZE: u64 = i64::MAX as u64;

const PAGE_BYTES: u64 = PAGE_SIZE as u64;

static ZEROS: [u8; 512] = [0; 512];

/// A growable array of page frames. Pages that were never written are holes: they read as zeros and take no memory.
pub struct MemoryObject {
    memory: &'static Memory,
    /// In bytes. Changed with the lock held.
    size: AtomicU64,
    pages: SpinLock<Pages>,
    /// Whose turn it is to write at the end. Level 3: taken before the address space that the bytes come from.
    appending: SpinLock<()>,
    sealing: Sealing,
    _live: Live,
}

#[derive(Default)]
struct Pages {
    slots: PageSlots,
    /// Frames in `slots`.
    resident: usize,
    /// Who ever mapped the object; the dead are purged when the list would grow.
    mappers: Vec<Weak<AddressSpace>>,
    /// How often the list was purged, and so lost its order.
    purges: u32,
}

/// What a page that is to be mapped turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageState {
    /// Behind the end of the object.
    Beyond,
    /// Without a frame.
    Hole,
    /// Without a frame, and there is no room for one.
    Full,
    /// This frame, shared for the caller.
    Present(Frame),
}

/// What a fault asks an object for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Which page of the window.
    pub(super) offset: usize,
    /// If it is a hole, it is filled.
    pub(super) fill: bool,
    /// The frames are to be executed.
    pub(super) executable: bool,
}

impl MemoryObject {
    /// An object of `size` bytes, all holes. Allocates a little.
    #[must_use]
    pub fn new(memory: &'static Memory, size: u64) -> Arc<MemoryObject> {
        Arc::new(MemoryObject {
            memory,
            size: AtomicU64::new(size.min(MAX_SIZE)),
            pages: SpinLock::default(),
            appending: SpinLock::new(()),
            sealing: Sealing::never(),
            _live: Live::new(Kind::MemoryObject),
        })
    }

    /// An object with these contents. ENOMEM.
    pub fn from_bytes(memory: &'static Memory, mut bytes: &[u8]) -> Result<Arc<MemoryObject>> {
        let object = Self::new(memory, 0);
        let length = bytes.len();
        if object.write_at(&mut bytes, 0)? < length {
            return Err(Errno::ENOMEM);
        }
        Ok(object)
    }

    /// Its size in bytes.
    #[inline]
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// How many frames it has.
    #[must_use]
    pub fn resident_pages(&self) -> usize {
        self.pages.lock().resident
    }

    /// The memory that it takes its frames from.
    #[must_use]
    pub const fn memory(&self) -> &'static Memory {
        self.memory
    }

    /// Reads from byte `at` on: as much as there is and the sink takes; 0 at the end. EFAULT if the sink fails at once.
    pub fn read_at(&self, sink: &mut dyn Sink, at: u64) -> Result<usize> {
        let start = sink.remaining();
        let available = self.size().saturating_sub(at);
        let total = start.min(usize::try_from(available).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < total {
            let position = at + done as u64;
            let offset = (position % PAGE_BYTES) as usize;
            let count = (PAGE_SIZE - offset).min(total - done);
            let put = match self.present_page(position / PAGE_BYTES) {
                Ok(Some(page)) => {
                    sink.put_from_frame(self.memory.machine, page.frame(), offset, count)
                }
                Ok(None) => put_zeros(sink, count),
                Err(error) => Err(error.into()),
            };
            done = start - sink.remaining();
            if let Err(errno) = put {
                return if done > 0 { Ok(done) } else { Err(errno) };
            }
        }
        Ok(done)
    }

    /// Writes at byte `at` all that the source has, and grows if need be. Less than all, if memory runs out or the source
    /// fails after some. EFBIG: behind the greatest size; ENOSPC: there is no room ([`super::Room`]); ENOMEM, EFAULT, EPERM
    /// (sealed): nothing was written.
    pub fn write_at(&self, source: &mut dyn Source, at: u64) -> Result<usize> {
        let start = source.remaining();
        let room = usize::try_from(MAX_SIZE.saturating_sub(at)).unwrap_or(usize::MAX);
        if start == 0 {
            return Ok(0);
        }
        if room == 0 {
            return Err(Errno::EFBIG);
        }
        let _change = self.begin_change(Seals::NO_NEW_WRITES)?;
        let total = start.min(room);
        self.check_growth(at.saturating_add(total as u64))?;
        let mut done = 0;
        while done < total {
            let position = at + done as u64;
            let offset = (position % PAGE_BYTES) as usize;
            let count = (PAGE_SIZE - offset).min(total - done);
            let written = self.write_page(source, position / PAGE_BYTES, offset, count);
            done = start - source.remaining();
            if let Err(errno) = written {
                return if done > 0 { Ok(done) } else { Err(errno) };
            }
        }
        Ok(done)
    }

    /// Writes at the end; returns how much, and where the end is then. Errors of [`MemoryObject::write_at`]. Those who append
    /// at once do so one after the other.
    pub fn append(&self, source: &mut dyn Source) -> Result<(usize, u64)> {
        let _turn = self.appending.lock();
        let end = self.size();
        let count = self.write_at(source, end)?;
        Ok((count, end + count as u64))
    }

    /// Cuts or extends to `size` bytes. What is cut off is gone from every mapping (a later access there is SIGBUS), what is
    /// added reads as zeros. EFBIG; EPERM: sealed. Takes time proportional to the pages cut off and, then, to the mappings.
    pub fn set_size(&self, size: u64) -> Result<()> {
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let _change = self.begin_change(Seals::empty())?;
        self.check_growth(size)?;
        if size < self.size() && self.seals().contains(Seals::SHRINK) {
            return Err(Errno::EPERM);
        }
        let mut pages = self.pages.lock();
        let old = self.size.swap(size, Ordering::Relaxed);
        self.zero_behind(&pages, size.min(old));
        if size >= old {
            return Ok(());
        }
        let first_gone = size.div_ceil(PAGE_BYTES);
        let mut gone = 0;
        pages.slots.cut(first_gone, |frame| {
            self.memory.frames.release(frame);
            gone += 1;
        });
        pages.resident -= gone;
        drop(pages);
        self.unmap_everywhere(first_gone);
        Ok(())
    }

    /// The frame of page `index`, filled with zeros if it was a hole. EINVAL: behind the end. ENOSPC, ENOMEM.
    pub fn page(&self, index: u64) -> Result<FrameRef> {
        let mut pages = self.pages.lock();
        match self.share(&mut pages, index, false)? {
            PageState::Present(frame) => Ok(FrameRef::adopt(self.memory, frame)),
            PageState::Beyond => Err(Errno::EINVAL),
            _ => match self.fill(&mut pages, index)? {
                PageState::Present(frame) => Ok(FrameRef::adopt(self.memory, frame)),
                _ => Err(Errno::ENOSPC),
            },
        }
    }

    /// Whether page `index` has a frame.
    pub(super) fn has_frame(&self, index: u64) -> bool {
        self.pages.lock().slots.get(index).frame().is_some()
    }

    /// What page `index` is; for a fault. `executable`: the frame is to be executed. Fails when the frame has too many
    /// holders.
    #[inline]
    pub(super) fn page_state(
        &self,
        index: u64,
        executable: bool,
    ) -> Result<PageState, OutOfMemory> {
        self.share(&mut self.pages.lock(), index, executable)
    }

    /// What the page `wanted` of those from `first` on is, for a fault. If it is present, `frames` gets it and all the others
    /// that are, each shared for the caller.
    pub(super) fn window(
        &self,
        first: u64,
        wanted: &Wanted,
        frames: &mut [Option<Frame>],
    ) -> Result<PageState, OutOfMemory> {
        let mut pages = self.pages.lock();
        let index = first + wanted.offset as u64;
        let mut state = self.share(&mut pages, index, wanted.executable)?;
        if state == PageState::Hole && wanted.fill {
            state = self.fill(&mut pages, index)?;
            if let (PageState::Present(frame), true) = (state, wanted.executable) {
                self.memory.machine.sync_code(frame);
            }
        }
        let PageState::Present(frame) = state else {
            return Ok(state);
        };
        for (at, place) in (first..).zip(frames) {
            *place = if at == index {
                Some(frame)
            } else {
                match self.share(&mut pages, at, wanted.executable) {
                    Ok(PageState::Present(frame)) => Some(frame),
                    _ => None,
                }
            };
        }
        Ok(state)
    }

    /// Remembers `space` as one to be told when the object is cut.
    pub(super) fn attach(&self, space: &Arc<AddressSpace>) -> Result<(), OutOfMemory> {
        let mut pages = self.pages.lock();
        let same = |known: &Weak<AddressSpace>| core::ptr::eq(known.as_ptr(), Arc::as_ptr(space));
        if pages.mappers.last().is_some_and(same) {
            return Ok(());
        }
        if pages.mappers.len() == pages.mappers.capacity() {
            pages
                .mappers
                .retain(|known| known.strong_count() > 0 && !same(known));
            pages.purges = pages.purges.wrapping_add(1);
            let room = pages.mappers.len().max(2);
            pages.mappers.try_reserve(room).map_err(|_| OutOfMemory)?;
        }
        pages.mappers.push(Arc::downgrade(space));
        Ok(())
    }

    /// Zeros what the last page has behind byte `end`: a cut must not come to light again, nor what a mapping stored there.
    fn zero_behind(&self, pages: &Pages, end: u64) {
        let kept = (end % PAGE_BYTES) as usize;
        if kept > 0
            && let Some(frame) = pages.slots.get(end / PAGE_BYTES).frame()
        {
            zero_range(self.memory, frame, kept, PAGE_SIZE - kept);
        }
    }

    /// The frame of page `index`; None: it is a hole.
    fn present_page(&self, index: u64) -> Result<Option<FrameRef>, OutOfMemory> {
        let pages = self.pages.lock();
        let Some(frame) = pages.slots.get(index).frame() else {
            return Ok(None);
        };
        self.memory.frames.share(frame)?;
        Ok(Some(FrameRef::adopt(self.memory, frame)))
    }

    #[inline]
    fn share(
        &self,
        pages: &mut Pages,
        index: u64,
        executable: bool,
    ) -> Result<PageState, OutOfMemory> {
        if index >= self.size().div_ceil(PAGE_BYTES) {
            return Ok(PageState::Beyond);
        }
        let slot = pages.slots.get(index);
        let Some(frame) = slot.frame() else {
            return Ok(PageState::Hole);
        };
        self.memory.frames.share(frame)?;
        if executable && !slot.is_synced() {
            self.memory.machine.sync_code(frame);
            pages.slots.set(index, slot.synced());
        }
        Ok(PageState::Present(frame))
    }

    /// Fills the hole at `index`, if there is room; the frame is shared for the caller.
    fn fill(&self, pages: &mut Pages, index: u64) -> Result<PageState, OutOfMemory> {
        if self.memory.frames.room().for_lasting().is_err() {
            return Ok(PageState::Full);
        }
        self.reserve(pages, index)?;
        let frame = self.memory.zeroed_frame()?;
        // Two holders: cannot fail.
        self.memory.frames.share(frame)?;
        pages.slots.set(index, Slot::written(frame));
        pages.resident += 1;
        Ok(PageState::Present(frame))
    }

    fn reserve(&self, pages: &mut Pages, index: u64) -> Result<(), OutOfMemory> {
        if !self.memory.machine.heap_ready() {
            return Err(OutOfMemory);
        }
        pages.slots.reserve(index)
    }

    fn write_page(
        &self,
        source: &mut dyn Source,
        index: u64,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        self.check_growth(index * PAGE_BYTES + (offset + count) as u64)?;
        let machine = self.memory.machine;
        let before = source.remaining();
        let present = self.page_to_write(index)?;
        let fresh = present.is_none();
        let page = match present {
            Some(page) => page,
            None => self.new_page(offset, count)?,
        };
        let taken = source.take_to_frame(machine, page.frame(), offset, count);
        let done = before - source.remaining();
        if fresh {
            if done < count {
                zero_range(self.memory, page.frame(), offset + done, count - done);
            }
            if done > 0 {
                self.publish(index, page, offset, done);
            }
        }
        if done > 0 {
            self.grow_to(index * PAGE_BYTES + (offset + done) as u64);
        }
        taken
    }

    /// The frame of page `index`, if it has one; else there is room to set it.
    fn page_to_write(&self, index: u64) -> Result<Option<FrameRef>> {
        let mut pages = self.pages.lock();
        match pages.slots.get(index).frame() {
            Some(frame) => {
                self.memory.frames.share(frame)?;
                pages.slots.set(index, Slot::written(frame));
                Ok(Some(FrameRef::adopt(self.memory, frame)))
            }
            None => {
                self.reserve(&mut pages, index)?;
                Ok(None)
            }
        }
    }

    /// A frame of zeros but for the `count` bytes at `offset`, which are to be written before anybody sees them. ENOSPC, ENOMEM.
    fn new_page(&self, offset: usize, count: usize) -> Result<FrameRef> {
        let room = self.memory.frames.room();
        room.for_lasting().map_err(|_| Errno::ENOSPC)?;
        let frame = self.memory.frames.allocate()?;
        if count < PAGE_SIZE / 2 {
            self.memory.machine.zero_frame(frame);
        } else {
            zero_range(self.memory, frame, 0, offset);
            zero_range(
                self.memory,
                frame,
                offset + count,
                PAGE_SIZE - offset - count,
            );
        }
        Ok(FrameRef::adopt(self.memory, frame))
    }

    /// Makes `page` the object's page `index`. If another writer was faster, its page gets the bytes instead. The room made
    /// before may have been cut away since: then the page is lost, as if the cut had come after the write.
    fn publish(&self, index: u64, page: FrameRef, offset: usize, count: usize) {
        let mut pages = self.pages.lock();
        let other = pages.slots.get(index).frame();
        match other {
            None => {
                if pages.slots.reserve(index).is_ok() {
                    pages.slots.set(index, Slot::written(page.into_frame()));
                    pages.resident += 1;
                }
            }
            Some(frame) => {
                self.memory
                    .machine
                    .copy_between(page.frame(), offset, frame, offset, count)
            }
        }
    }

    fn grow_to(&self, size: u64) {
        if self.size() < size {
            let _pages = self.pages.lock();
            self.size.fetch_max(size, Ordering::Relaxed);
        }
    }

    /// Takes the pages from `first` on out of all spaces that map them.
    fn unmap_everywhere(&self, first: u64) {
        self.for_each_mapper(|space| space.unmap_object(self, first));
    }
}

fn put_zeros(sink: &mut dyn Sink, mut count: usize) -> Result<()> {
    while count > 0 {
        let part = ZEROS.get(..count.min(ZEROS.len())).unwrap_or_default();
        sink.put(part)?;
        count -= part.len();
    }
    Ok(())
}

fn zero_range(memory: &Memory, frame: Frame, mut offset: usize, mut count: usize) {
    while count > 0 {
        let part = ZEROS.get(..count.min(ZEROS.len())).unwrap_or_default();
        memory.machine.write_frame(frame, offset, part);
        offset += part.len();
        count -= part.len();
    }
}

impl Drop for MemoryObject {
    fn drop(&mut self) {
        let frames = self.memory.frames;
        self.pages.get_mut().slots.cut(0, |frame| {
            frames.release(frame);
        });
    }
}

impl fmt::Debug for MemoryObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryObject")
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}
