//! mmap, munmap and mprotect on an address space.

use alloc::sync::Arc;

use super::{AddressSpace, Inner, allowed, checked_range, whole_pages};
use crate::machine::{Access, Mapping, PAGE_SIZE, USER_END, USER_START, UserAddr};
use crate::mm::region::{Backing, Label, Region};
use crate::mm::{Memory, MemoryObject, Seals};
use crate::{Errno, Result};

/// Where a mapping is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// There if it is free, else anywhere; 0: anywhere.
    Hint(UserAddr),
    /// There; what is mapped there goes (MAP_FIXED).
    Fixed(UserAddr),
    /// There, or EEXIST (MAP_FIXED_NOREPLACE).
    FixedIfFree(UserAddr),
}

/// A mapping to be made.
#[derive(Clone, Debug)]
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Bytes; rounded up to pages.
    pub length: usize,
    /// What the program may do.
    pub access: Access,
    /// What mprotect may make of it.
    pub max_access: Access,
    /// What is behind it.
    pub backing: Backing,
    /// A fault shortly below it extends it (MAP_GROWSDOWN).
    pub grows_down: bool,
    /// Even if it is larger than all RAM, so that it can never be filled (MAP_NORESERVE).
    pub unreserved: bool,
    /// What it is called.
    pub label: Label,
}

impl MapRequest {
    /// Zeros of the program's own, wherever there is room. Other requests are made of this one.
    #[must_use]
    pub const fn anonymous(length: usize, access: Access) -> MapRequest {
        MapRequest {
            placement: Placement::Hint(UserAddr(0)),
            length,
            access,
            max_access: Access::all(),
            backing: Backing::Anonymous,
            grows_down: false,
            unreserved: false,
            label: Label::None,
        }
    }

    /// As `self`, but there, whatever is mapped there now.
    #[must_use]
    pub fn at(self, at: UserAddr) -> MapRequest {
        MapRequest {
            placement: Placement::Fixed(at),
            ..self
        }
    }
}

impl AddressSpace {
    /// Makes a mapping; returns where. EINVAL: empty or misaligned. ENOMEM: no room, over the limit, or behind user memory.
    /// EPERM: below what a program may map; sealed. EEXIST.
    pub fn map(self: &Arc<Self>, request: MapRequest) -> Result<UserAddr> {
        if request.length == 0 {
            return Err(Errno::EINVAL);
        }
        let length = whole_pages(request.length)?;
        let own = request.backing.object().is_none() && !request.unreserved;
        if own && length / PAGE_SIZE > self.memory.frames.total() {
            return Err(Errno::ENOMEM);
        }
        let mut inner = self.inner.lock();
        let start = inner.find_place(request.placement, length)?;
        let end = start + length;
        let replaced = match request.placement {
            Placement::Fixed(_) => inner.regions.covered_bytes(start, end),
            _ => 0,
        };
        inner.check_limit(length - replaced)?;
        // The mapping, and what is left of a region in the middle of which it comes to lie.
        inner.regions.reserve(3)?;
        if let Some(object) = request.backing.object() {
            object.attach(self)?;
            let stores = request.backing.is_shared() && request.max_access.contains(Access::WRITE);
            if stores && object.seals().intersects(Seals::NO_NEW_WRITES) {
                return Err(Errno::EPERM);
            }
        }
        if replaced > 0 {
            inner.remove(self.memory, start, end);
        }
        inner.mapped += length;
        inner.regions.insert(Region {
            start,
            end,
            access: request.access,
            max_access: request.max_access,
            grows_down: request.grows_down,
            has_copies: false,
            backing: request.backing,
            label: request.label,
        });
        Ok(UserAddr(start))
    }

    /// Maps zeros of the program's own at `start`, where nothing is. For program images.
    pub fn map_anonymous(
        self: &Arc<Self>,
        start: UserAddr,
        length: usize,
        access: Access,
        label: Label,
    ) -> Result<()> {
        let placement = Placement::FixedIfFree(start);
        // A program may have more zeros, and a stack, than there is RAM: it is to use little of them.
        let request = MapRequest {
            placement,
            label,
            unreserved: true,
            ..MapRequest::anonymous(length, access)
        };
        self.map(request).map(|_| ())
    }

    /// Maps `object` from byte `offset`, a multiple of the page size, on at `start`, where nothing is, private to the program.
    pub fn map_private(
        self: &Arc<Self>,
        start: UserAddr,
        length: usize,
        access: Access,
        object: &Arc<MemoryObject>,
        offset: u64,
    ) -> Result<()> {
        if !offset.is_multiple_of(PAGE_SIZE as u64) {
            return Err(Errno::EINVAL);
        }
        let placement = Placement::FixedIfFree(start);
        let backing = Backing::Private(Arc::clone(object), offset / PAGE_SIZE as u64);
        self.map(MapRequest {
            placement,
            backing,
            ..MapRequest::anonymous(length, access)
        })
        .map(|_| ())
    }

    /// Takes away all mappings in `start..start + length`. EINVAL: empty, misaligned, or not user memory. ENOMEM: a mapping
    /// would have to be cut in two and cannot.
    pub fn unmap(&self, start: UserAddr, length: usize) -> Result<()> {
        let mut next = Some(start);
        while let Some(from) = next {
            next = self.unmap_piece(from, start.0.wrapping_add(length).wrapping_sub(from.0))?;
        }
        Ok(())
    }

    /// As [`AddressSpace::unmap`], but no more than takes little time; returns where it is to go on.
    pub fn unmap_piece(&self, start: UserAddr, length: usize) -> Result<Option<UserAddr>> {
        let (start, end) = checked_range(start, length).map_err(|_| Errno::EINVAL)?;
        if start == end {
            return Err(Errno::EINVAL);
        }
        let mut inner = self.inner.lock();
        inner.regions.reserve(1)?;
        let until = inner.piece_end(start, end);
        inner.remove(self.memory, start, until);
        Ok((until < end).then_some(UserAddr(until)))
    }

    /// Changes what the program may do in `start..start + length`. EINVAL: misaligned. ENOMEM: not all of it is mapped.
    /// EACCES: more than a mapping allows. Changes nothing then.
    pub fn protect(&self, start: UserAddr, length: usize, access: Access) -> Result<()> {
        let mut next = Some(start);
        while let Some(from) = next {
            let left = start.0.wrapping_add(length).wrapping_sub(from.0);
            next = self.protect_piece(from, left, access)?;
        }
        Ok(())
    }

    /// As [`AddressSpace::protect`], but no more than takes little time; returns where it is to go on.
    pub fn protect_piece(
        &self,
        start: UserAddr,
        length: usize,
        access: Access,
    ) -> Result<Option<UserAddr>> {
        let (start, end) = checked_range(start, length)?;
        let mut inner = self.inner.lock();
        if !inner.regions.covers(start, end) {
            return Err(Errno::ENOMEM);
        }
        let first = inner.regions.first_above(start);
        let mut touched = inner
            .regions
            .iter()
            .skip(first)
            .take_while(|region| region.start < end);
        if !touched.all(|region| region.max_access.contains(access)) {
            return Err(Errno::EACCES);
        }
        inner.regions.reserve(2)?;
        let until = inner.piece_end(start, end);
        inner.protect(self.memory, start, until, access);
        Ok((until < end).then_some(UserAddr(until)))
    }
}

impl Inner {
    /// Where `length` bytes are to go.
    pub(super) fn find_place(&mut self, placement: Placement, length: usize) -> Result<usize> {
        match placement {
            Placement::Hint(hint) => {
                if let Some(start) = self.at_hint(hint.0, length) {
                    return Ok(start);
                }
                let top = self.top;
                let found = self.regions.find_gap(length, USER_START, top);
                // When all below is full: between there and the end.
                found
                    .or_else(|| self.regions.find_gap_anew(length, top, USER_END))
                    .ok_or(Errno::ENOMEM)
            }
            Placement::Fixed(at) | Placement::FixedIfFree(at) => {
                let (start, end) = checked_range(at, length)?;
                if start < USER_START {
                    return Err(Errno::EPERM);
                }
                let free =
                    matches!(placement, Placement::Fixed(_)) || self.regions.is_free(start, end);
                if free { Ok(start) } else { Err(Errno::EEXIST) }
            }
        }
    }

    fn at_hint(&self, hint: usize, length: usize) -> Option<usize> {
        if hint == 0 {
            return None;
        }
        let start = hint.checked_next_multiple_of(PAGE_SIZE)?.max(USER_START);
        let end = start.checked_add(length).filter(|end| *end <= USER_END)?;
        self.regions.is_free(start, end).then_some(start)
    }

    /// Takes regions and pages in `start..end` out. Room for one region was reserved.
    pub(super) fn remove(&mut self, memory: &Memory, start: usize, end: usize) {
        let removed = self.regions.remove(start, end);
        if removed > 0 {
            self.drop_pages(memory, start, end);
            self.mapped -= removed;
        }
    }

    /// Gives the regions of `start..end`, which cover it, and their pages `access`. Room for two regions was reserved.
    fn protect(&mut self, memory: &Memory, start: usize, end: usize, access: Access) {
        self.regions.split(start);
        self.regions.split(end);
        let mut at = self.regions.first_above(start);
        while let Some(region) = self.regions.get_mut(at).filter(|region| region.start < end) {
            at += 1;
            if region.access == access {
                continue;
            }
            region.access = access;
            let executes = access.contains(Access::EXECUTE);
            self.table.update_range(
                UserAddr(region.start),
                UserAddr(region.end),
                &mut |_, there| {
                    if executes && !there.access.contains(Access::EXECUTE) {
                        memory.machine.sync_code(there.frame);
                    }
                    Some(Mapping {
                        access: allowed(memory, region, there.frame),
                        ..there
                    })
                },
            );
        }
        self.regions.join(start, end);
    }
}
