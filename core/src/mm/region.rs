//! Regions: what a program may do where, and what is behind it. Plain data, guarded by the address space's lock.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Hold, MemoryObject};
use crate::machine::{Access, OutOfMemory, PAGE_SIZE, USER_END};

/// The most regions of an address space (Linux's vm.max_map_count).
pub(super) const MAX_REGIONS: usize = 65_530;

/// Pages that stay unmapped below a region that grows down (Linux's stack_guard_gap).
pub(super) const GUARD_BYTES: usize = 256 * PAGE_SIZE;

/// What a region is called in /proc/PID/maps.
#[derive(Clone, Debug, Default)]
pub enum Label {
    /// Nothing.
    #[default]
    None,
    /// `[heap]`.
    Heap,
    /// `[stack]`.
    Stack,
    /// `[vdso]`: the page of kernel-provided code.
    Vdso,
    /// The path of a file.
    Path(Arc<str>),
    /// What its object is called, which counts its regions.
    Counted(Hold),
}

impl Label {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Label::None => "",
            Label::Heap => "[heap]",
            Label::Stack => "[stack]",
            Label::Vdso => "[vdso]",
            Label::Path(path) => path,
            Label::Counted(hold) => hold.name(),
        }
    }

    fn same(&self, other: &Label) -> bool {
        match (self, other) {
            (Label::Path(one), Label::Path(other)) => Arc::ptr_eq(one, other),
            // Each counts, so none is joined to another.
            (Label::Counted(_), Label::Counted(_)) => false,
            _ => core::mem::discriminant(self) == core::mem::discriminant(other),
        }
    }
}

/// What is behind a region.
#[derive(Clone, Debug)]
pub enum Backing {
    /// Zeros, of its own.
    Anonymous,
    /// An object's pages from this one on, copied when written.
    Private(Arc<MemoryObject>, u64),
    /// An object's pages from this one on.
    Shared(Arc<MemoryObject>, u64),
}

impl Backing {
    /// The object, if there is one.
    #[must_use]
    pub const fn object(&self) -> Option<&Arc<MemoryObject>> {
        match self {
            Backing::Anonymous => None,
            Backing::Private(object, _) | Backing::Shared(object, _) => Some(object),
        }
    }

    /// Whether stores are seen by everybody who maps the object.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Backing::Shared(..))
    }

    fn advanced(&self, pages: u64) -> Backing {
        match self {
            Backing::Anonymous => Backing::Anonymous,
            Backing::Private(object, first) => Backing::Private(Arc::clone(object), first + pages),
            Backing::Shared(object, first) => Backing::Shared(Arc::clone(object), first + pages),
        }
    }

    /// Whether `next` goes on where this ends after `pages` pages.
    fn continues(&self, next: &Backing, pages: u64) -> bool {
        match (self, next) {
            (Backing::Anonymous, Backing::Anonymous) => true,
            (Backing::Private(a, at), Backing::Private(b, next))
            | (Backing::Shared(a, at), Backing::Shared(b, next)) => {
                Arc::ptr_eq(a, b) && at + pages == *next
            }
            _ => false,
        }
    }
}

/// A stretch of addresses that are treated alike. Never empty; its ends are multiples of the page size.
#[derive(Clone, Debug)]
pub struct Region {
    /// First address.
    pub start: usize,
    /// First address behind it.
    pub end: usize,
    /// What the program may do.
    pub access: Access,
    /// What mprotect may make of it.
    pub max_access: Access,
    /// A fault shortly below it extends it (stacks).
    pub grows_down: bool,
    /// Private over an object and may hold pages of its own.
    pub(super) has_copies: bool,
    /// What is behind it.
    pub backing: Backing,
    /// What it is called.
    pub label: Label,
}

impl Region {
    /// What the page table is to allow: stores imply loads, as in the hardware (Arm ARM D8.4).
    #[inline]
    pub(super) const fn page_access(&self) -> Access {
        if self.access.contains(Access::WRITE) {
            self.access.union(Access::READ)
        } else {
            self.access
        }
    }

    /// Length in bytes.
    #[must_use]
    pub const fn length(&self) -> usize {
        self.end - self.start
    }

    /// The page of the object that is behind `page`.
    #[inline]
    pub(super) const fn object_page(&self, first: u64, page: usize) -> u64 {
        first + ((page - self.start) / PAGE_SIZE) as u64
    }

    /// Whether present pages are this region's own and not an object's, as far as is known.
    pub(super) const fn may_own_pages(&self) -> bool {
        match self.backing {
            Backing::Anonymous => true,
            Backing::Private(..) => self.has_copies,
            Backing::Shared(..) => false,
        }
    }

    /// What is from `start`, which lies within, to the end.
    pub(super) fn part(&self, start: usize) -> Region {
        let pages = ((start - self.start) / PAGE_SIZE) as u64;
        Region {
            start,
            backing: self.backing.advanced(pages),
            ..self.clone()
        }
    }

    /// Whether the object behind the region, if any, has a frame for `address`.
    pub(super) fn object_has(&self, address: usize) -> bool {
        match &self.backing {
            Backing::Anonymous => false,
            Backing::Private(object, first) | Backing::Shared(object, first) => {
                object.has_frame(self.object_page(*first, address))
            }
        }
    }

    /// Cuts the region at `at`, which lies within; returns the upper part.
    fn split_off(&mut self, at: usize) -> Region {
        // Only the lowest part of a stack has free room below it.
        let upper = Region {
            grows_down: false,
            ..self.part(at)
        };
        self.end = at;
        upper
    }

    /// Whether `next` could be part of this region.
    fn joins(&self, next: &Region) -> bool {
        self.end == next.start
            && self.access == next.access
            && self.max_access == next.max_access
            && !next.grows_down
            && self
                .backing
                .continues(&next.backing, (self.length() / PAGE_SIZE) as u64)
            && self.label.same(&next.label)
    }
}

/// Regions in rising order, none overlapping another.
#[derive(Debug, Default)]
pub(super) struct RegionMap {
    regions: Vec<Region>,
    /// Above this there was no gap larger than `gap_above` when a place was last sought.
    searched: usize,
    gap_above: usize,
}

impl RegionMap {
    #[inline]
    pub(super) fn iter(&self) -> core::slice::Iter<'_, Region> {
        self.regions.iter()
    }

    /// Becomes a copy of `other`; this map is empty.
    pub(super) fn copy_from(&mut self, other: &RegionMap) -> Result<(), OutOfMemory> {
        self.regions
            .try_reserve_exact(other.regions.len())
            .map_err(|_| OutOfMemory)?;
        self.regions.extend_from_slice(&other.regions);
        self.searched = other.searched;
        self.gap_above = other.gap_above;
        Ok(())
    }

    /// The index of the first region that ends above `address`.
    #[inline]
    pub(super) fn first_above(&self, address: usize) -> usize {
        self.regions.partition_point(|region| region.end <= address)
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Region> {
        self.regions.get(index)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Region> {
        self.regions.get_mut(index)
    }

    /// The region that has `address`, and its index.
    #[inline]
    pub(super) fn find(&self, address: usize) -> Option<(usize, &Region)> {
        let index = self.first_above(address);
        self.regions
            .get(index)
            .filter(|region| region.start <= address)
            .map(|region| (index, region))
    }

    /// Makes room for `more` regions.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), OutOfMemory> {
        if self.regions.len() + more > MAX_REGIONS {
            return Err(OutOfMemory);
        }
        self.regions.try_reserve(more).map_err(|_| OutOfMemory)
    }

    /// Whether no region touches `start..end`.
    pub(super) fn is_free(&self, start: usize, end: usize) -> bool {
        self.regions
            .get(self.first_above(start))
            .is_none_or(|region| region.start >= end)
    }

    /// Whether regions cover all of `start..end`.
    pub(super) fn covers(&self, start: usize, end: usize) -> bool {
        let mut at = start;
        for region in self.regions.iter().skip(self.first_above(start)) {
            if at >= end || region.start > at {
                break;
            }
            at = region.end;
        }
        at >= end
    }

    /// Bytes of `start..end` that regions cover.
    pub(super) fn covered_bytes(&self, start: usize, end: usize) -> usize {
        let touched = self
            .regions
            .iter()
            .skip(self.first_above(start))
            .take_while(|region| region.start < end);
        touched
            .map(|region| region.end.min(end) - region.start.max(start))
            .sum()
    }

    /// Adds a region where there is none, joined to its neighbours where it can be. Room for it was reserved.
    pub(super) fn insert(&mut self, region: Region) {
        let index = self.first_above(region.start);
        self.regions.insert(index, region);
        self.join_at(index + 1);
        self.join_at(index);
    }

    /// Makes `at` an end of whatever region has it within. Room for one was reserved.
    pub(super) fn split(&mut self, at: usize) {
        let index = self.first_above(at);
        if let Some(region) = self.regions.get_mut(index)
            && region.start < at
        {
            let upper = region.split_off(at);
            self.regions.insert(index + 1, upper);
        }
    }

    /// Takes `start..end` out; returns how many bytes of it there were. Room for one was reserved.
    pub(super) fn remove(&mut self, start: usize, end: usize) -> usize {
        let first = self.first_above(start);
        let Some(region) = self.regions.get(first).filter(|region| region.start < end) else {
            return 0;
        };
        let exactly = region.start == start && region.end == end;
        self.note_gap(end);
        if exactly {
            self.regions.remove(first);
            return end - start;
        }
        let bytes = self.covered_bytes(start, end);
        self.split(start);
        self.split(end);
        let first = self.first_above(start);
        let behind = self.regions.partition_point(|region| region.start < end);
        self.regions.drain(first..behind);
        bytes
    }

    /// Joins the regions that touch `start..end` where they can be.
    pub(super) fn join(&mut self, start: usize, end: usize) {
        let mut index = self.regions.partition_point(|region| region.start <= end);
        let first = self.first_above(start);
        while index > first {
            self.join_at(index);
            index -= 1;
        }
        self.join_at(first);
    }

    /// Joins the region at `index` to the one before it, if it can be.
    fn join_at(&mut self, index: usize) {
        let Some([before, region]) = index
            .checked_sub(1)
            .and_then(|before| self.regions.get_mut(before..=index))
        else {
            return;
        };
        if before.joins(region) {
            before.end = region.end;
            before.has_copies |= region.has_copies;
            self.regions.remove(index);
        }
    }

    /// The highest place for `length` bytes below `top`, that leaves a guard below regions that grow down.
    pub(super) fn find_gap(&mut self, length: usize, floor: usize, top: usize) -> Option<usize> {
        if length <= self.gap_above || self.searched > top || self.searched == 0 {
            self.searched = top;
            self.gap_above = 0;
        }
        let found = self.search(length, floor, self.searched);
        if let Some((start, skipped)) = found {
            self.searched = start + length;
            self.gap_above = self.gap_above.max(skipped);
        }
        found.map(|(start, _)| start)
    }

    /// Forgets where gaps were not: another top is to be sought from.
    pub(super) const fn forget_search(&mut self) {
        self.searched = 0;
    }

    /// As [`RegionMap::find_gap`], from the top without what is remembered of the last time.
    pub(super) fn find_gap_anew(&self, length: usize, floor: usize, top: usize) -> Option<usize> {
        self.search(length, floor, top).map(|(start, _)| start)
    }

    /// Seeks downward from `top`; returns the place and the greatest gap that was too small.
    fn search(&self, length: usize, floor: usize, top: usize) -> Option<(usize, usize)> {
        let mut end = top;
        let mut skipped = 0;
        let mut index = self.regions.partition_point(|region| region.start < top);
        loop {
            let below = index
                .checked_sub(1)
                .and_then(|below| self.regions.get(below));
            let bottom = below.map_or(floor, |region| region.end.max(floor));
            let gap = end.saturating_sub(bottom);
            if gap >= length {
                return Some((end - length, skipped));
            }
            skipped = skipped.max(gap);
            let region = below?;
            let guard = if region.grows_down { GUARD_BYTES } else { 0 };
            end = end.min(region.start.saturating_sub(guard));
            index -= 1;
        }
    }

    /// A place below `end` becomes free.
    fn note_gap(&mut self, end: usize) {
        if end > self.searched {
            // The gap may reach up to the next region; seeking from that one's end honours its guard.
            let next = self.regions.get(self.first_above(end));
            self.searched = next.map_or(USER_END, |region| region.end);
        }
    }
}
