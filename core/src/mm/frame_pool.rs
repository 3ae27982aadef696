//! The page frames of RAM: which are free, and how many holders each of the others has.
//!
//! Owns every frame that was given to it ([`FramePool::give`]) and not handed out since. Promises: a frame that is handed
//! out was given before, is handed out once at a time, and is free again when its last holder has released it. Lock
//! level 9; a share count is changed without the lock.

use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use halyard_cell::SpinLock;

use super::free_map::FreeMap;
use super::room::Room;
use crate::machine::{Frame, OutOfMemory};

/// The greatest run is 2 to the power of this many frames (4 MiB).
pub const MAX_RUN_ORDER: u32 = 10;

/// Frames are counted from a multiple of this, so that a run is aligned in RAM where it is aligned in the map.
const ALIGNMENT: usize = 1 << MAX_RUN_ORDER;

/// How much memory the pool needs for its own books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataSize {
    /// Words of 64 bits: the free map and its summary.
    pub words: usize,
    /// Share counts, of 32 bits.
    pub shares: usize,
}

/// All page frames of RAM between the lowest and the highest.
pub struct FramePool {
    /// The number of the frame that bit 0 of the map stands for.
    base: usize,
    /// Holders of each frame that is not free. Of a free frame it means nothing: so the pool starts without touching
    /// them, which for a GiB of RAM are a MiB.
    shares: &'static [AtomicU32],
    free: SpinLock<FreeMap>,
    room: Room,
}

impl FramePool {
    /// What [`FramePool::new`] needs for RAM that ends before `end` and starts at `first`.
    #[must_use]
    pub const fn metadata_size(first: Frame, end: Frame) -> MetadataSize {
        let frames = end.0.saturating_sub(first.0 / ALIGNMENT * ALIGNMENT);
        MetadataSize {
            words: FreeMap::words_for(frames),
            shares: frames,
        }
    }

    /// A pool for frames from `first` to before `end`, none of them free yet. The books may hold anything at first;
    /// None if they are smaller than [`FramePool::metadata_size`] says.
    #[must_use]
    pub fn new(
        first: Frame,
        end: Frame,
        words: &'static mut [u64],
        shares: &'static [AtomicU32],
    ) -> Option<FramePool> {
        let size = Self::metadata_size(first, end);
        let base = first.0 / ALIGNMENT * ALIGNMENT;
        let shares = shares.get(..size.shares)?;
        let free = FreeMap::new(words.get_mut(..size.words)?, size.shares)?;
        Some(FramePool {
            base,
            shares,
            free: SpinLock::new(free),
            room: Room::new(),
        })
    }

    /// Makes the frames of `range` free. For RAM that nobody holds: at boot, and when boot lets go of what it used.
    /// Frames outside the pool are left alone.
    pub fn give(&self, range: Range<Frame>) {
        let first = range.start.0.max(self.base) - self.base;
        let end = range.end.0.saturating_sub(self.base).min(self.shares.len());
        let mut free = self.free.lock();
        free.give(first..end.max(first));
        self.room.note(free.free());
    }

    /// A free frame, held once; its contents are whatever they were. Fails when only the reserve is left.
    #[inline]
    pub fn allocate(&self) -> Result<Frame, OutOfMemory> {
        let mut free = self.free.lock();
        let index = free.take().ok_or(OutOfMemory)?;
        self.room.note(free.free());
        drop(free);
        self.hold(index);
        Ok(Frame(self.base + index))
    }

    /// As [`FramePool::allocate`], from the reserve too: for what the kernel needs to go on.
    pub fn allocate_reserved(&self) -> Result<Frame, OutOfMemory> {
        self.allocate_run(0)
    }

    /// The first of 2^`order` consecutive free frames, aligned to as many, each held once (and released one by one, or
    /// by [`FramePool::release_run`]). May use the reserve: it is for kernel heap and tables. Takes time proportional
    /// to RAM when it is nearly full.
    pub fn allocate_run(&self, order: u32) -> Result<Frame, OutOfMemory> {
        if order > MAX_RUN_ORDER {
            return Err(OutOfMemory);
        }
        let mut free = self.free.lock();
        let first = free.take_run(order).ok_or(OutOfMemory)?;
        self.room.note(free.free());
        drop(free);
        for index in first..first + (1 << order) {
            self.hold(index);
        }
        Ok(Frame(self.base + first))
    }

    /// Releases each of 2^`order` frames.
    pub fn release_run(&self, first: Frame, order: u32) {
        for number in first.0..first.0.saturating_add(1 << order) {
            self.release(Frame(number));
        }
    }

    /// Adds a holder. Fails, changing nothing, for a frame that is not of the pool or has as many holders as can
    /// be counted: more than there can be pages mapped in all programs together.
    #[inline]
    pub fn share(&self, frame: Frame) -> Result<(), OutOfMemory> {
        let count = self.count_of(frame).ok_or(OutOfMemory)?;
        // The caller is a holder or keeps one from going, so nothing is to be synchronised with.
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                count.checked_add(1)
            })
            .map(|_| ())
            .map_err(|_| OutOfMemory)
    }

    /// Takes a holder away; true if it was the last and the frame is free now.
    #[inline]
    pub fn release(&self, frame: Frame) -> bool {
        let Some(count) = self.count_of(frame) else {
            return false;
        };
        // A lone holder cannot be joined by another meanwhile: only holders share.
        if count.load(Ordering::Acquire) > 1 && count.fetch_sub(1, Ordering::AcqRel) > 1 {
            return false;
        }
        let mut free = self.free.lock();
        free.put(frame.0 - self.base);
        self.room.note(free.free());
        true
    }

    /// How many holders a frame has that the caller holds. 1: nobody else can reach it.
    #[inline]
    #[must_use]
    pub fn share_count(&self, frame: Frame) -> usize {
        self.count_of(frame)
            .map_or(0, |count| count.load(Ordering::Acquire) as usize)
    }

    /// Whether the pool has that frame, free or not.
    #[inline]
    #[must_use]
    pub const fn contains(&self, frame: Frame) -> bool {
        frame.0 >= self.base && frame.0 - self.base < self.shares.len()
    }

    /// Free frames, the reserve included.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.lock().free()
    }

    /// Frames that were ever given to the pool.
    #[must_use]
    pub fn total(&self) -> usize {
        self.free.lock().given()
    }

    /// Keeps the last `frames` frames for [`FramePool::allocate_run`] and [`FramePool::allocate_reserved`], so that programs
    /// run out of memory before the kernel does.
    pub fn set_reserve(&self, frames: usize) {
        self.free.lock().set_reserve(frames);
    }

    /// What of the free frames may be taken for what programs leave in the kernel.
    #[inline]
    #[must_use]
    pub const fn room(&self) -> &Room {
        &self.room
    }

    /// Sets the margin of [`FramePool::room`]: as good a one as there is for so many frames.
    pub fn set_margin(&self) {
        self.room.set_margin(Room::margin_of(self.total()));
    }

    #[inline]
    fn hold(&self, index: usize) {
        if let Some(count) = self.shares.get(index) {
            count.store(1, Ordering::Relaxed);
        }
    }

    #[inline]
    fn count_of(&self, frame: Frame) -> Option<&AtomicU32> {
        self.shares.get(frame.0.checked_sub(self.base)?)
    }
}
