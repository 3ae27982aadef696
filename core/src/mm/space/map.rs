//! mmap, munmap, mprotect, mremap and madvise on an address space.

use alloc::sync::Arc;

use super::{AddressSpace, Inner, is_user_range, mapping, page_of};
use crate::machine::{Access, PAGE_SIZE, USER_START, UserAddr};
use crate::mm::MemoryObject;
use crate::mm::region::{Backing, Label, Region};
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
    /// What it is called.
    pub label: Label,
}

impl AddressSpace {
    /// Makes a mapping; returns where. EINVAL: empty or misaligned. ENOMEM: no room, or behind user memory. EEXIST.
    pub fn map(self: &Arc<Self>, request: MapRequest) -> Result<UserAddr> {
        let length = request
            .length
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or(Errno::ENOMEM)?;
        if length == 0 {
            return Err(Errno::EINVAL);
        }
        if let Some(object) = request.backing.object() {
            object.attach(self)?;
        }
        let mut inner = self.inner.lock();
        inner.regions.reserve(3)?;
        let start = inner.find_place(request.placement, length)?;
        if matches!(request.placement, Placement::Fixed(_)) {
            inner.regions.remove(start, start + length);
            inner.drop_pages(self.memory, start, start + length);
        }
        inner.regions.insert(Region {
            start,
            end: start + length,
            access: request.access,
            max_access: request.max_access,
            grows_down: false,
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
        self.map_fixed(start, length, access, Backing::Anonymous, label)
    }

    /// Maps `object` from byte `offset`, a multiple of the page size, on at `start`, private to the program.
    pub fn map_private(
        self: &Arc<Self>,
        start: UserAddr,
        length: usize,
        access: Access,
        object: &Arc<MemoryObject>,
        offset: u64,
    ) -> Result<()> {
        let backing = Backing::Private(Arc::clone(object), offset / PAGE_SIZE as u64);
        self.map_fixed(start, length, access, backing, Label::None)
    }

    fn map_fixed(
        self: &Arc<Self>,
        start: UserAddr,
        length: usize,
        access: Access,
        backing: Backing,
        label: Label,
    ) -> Result<()> {
        let placement = Placement::FixedIfFree(start);
        self.map(MapRequest {
            placement,
            length,
            access,
            max_access: Access::all(),
            backing,
            label,
        })
        .map(|_| ())
    }

    /// Takes away all mappings in `start..start + length`. EINVAL: empty, misaligned, or not user memory. ENOMEM: a mapping
    /// would have to be cut in two and cannot.
    pub fn unmap(&self, start: UserAddr, length: usize) -> Result<()> {
        let (start, end) = checked_range(start, length).map_err(|_| Errno::EINVAL)?;
        if start == end {
            return Err(Errno::EINVAL);
        }
        let mut inner = self.inner.lock();
        inner.regions.reserve(2)?;
        inner.regions.remove(start, end);
        inner.drop_pages(self.memory, start, end);
        Ok(())
    }

    /// Changes what the program may do in `start..start + length`. ENOMEM: not all of it is mapped. EACCES: more than a
    /// mapping allows.
    pub fn protect(&self, start: UserAddr, length: usize, access: Access) -> Result<()> {
        let (start, end) = checked_range(start, length)?;
        let mut inner = self.inner.lock();
        if !inner.regions.covers(start, end) {
            return Err(Errno::ENOMEM);
        }
        let first = inner.regions.first_above(start);
        let touched = inner
            .regions
            .iter()
            .skip(first)
            .take_while(|region| region.start < end);
        if touched
            .into_iter()
            .any(|region| !region.max_access.contains(access))
        {
            return Err(Errno::EACCES);
        }
        inner.regions.reserve(2)?;
        inner.regions.split(start);
        inner.regions.split(end);
        let mut at = inner.regions.first_above(start);
        while let Some(region) = inner
            .regions
            .get_mut(at)
            .filter(|region| region.start < end)
        {
            region.access = access;
            let region = region.clone();
            self.update_access(&mut inner, &region);
            at += 1;
        }
        inner.regions.join(start, end);
        Ok(())
    }

    /// Gives the present pages of `region` the access that it has now.
    fn update_access(&self, inner: &mut Inner, region: &Region) {
        let memory = self.memory;
        let executes = region.access.contains(Access::EXECUTE);
        inner.table.update_range(
            UserAddr(region.start),
            UserAddr(region.end),
            &mut |_, there| {
                if executes && !there.access.contains(Access::EXECUTE) {
                    memory.machine.sync_code(there.frame);
                }
                Some(mapping(
                    there.frame,
                    Inner::allowed(memory, region, there.frame),
                ))
            },
        );
    }

    /// Forgets the contents of the program's own pages in `start..start + length`, which read as zeros or as the file again
    /// (MADV_DONTNEED). ENOMEM: not all of it is mapped.
    pub fn discard(&self, start: UserAddr, length: usize) -> Result<()> {
        let (start, end) = checked_range(start, length)?;
        let mut inner = self.inner.lock();
        let covered = inner.regions.covers(start, end);
        inner.drop_pages(self.memory, start, end);
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Whether all of `start..start + length` is mapped.
    pub fn is_mapped(&self, start: UserAddr, length: usize) -> Result<bool> {
        let (start, end) = checked_range(start, length)?;
        Ok(self.inner.lock().regions.covers(start, end))
    }

    /// Makes the mapping of `old` bytes at `start` `new` bytes long, where it is or, with `may_move`, elsewhere. EFAULT: no
    /// one mapping is there. ENOMEM: no room (mremap(2)).
    pub fn resize(
        self: &Arc<Self>,
        start: UserAddr,
        old: usize,
        new: usize,
        may_move: bool,
    ) -> Result<UserAddr> {
        let (at, old_end) = checked_range(start, old)?;
        let (_, new_end) = checked_range(start, new).map_err(|_| Errno::ENOMEM)?;
        let (old, new) = (old_end - at, new_end - at);
        if new <= old {
            if new < old {
                self.unmap(UserAddr(at + new), old - new)?;
            }
            return Ok(start);
        }
        let region = self
            .inner
            .lock()
            .regions
            .find(at)
            .map(|(_, region)| region.clone())
            .ok_or(Errno::EFAULT)?;
        if old_end > region.end {
            return Err(Errno::EFAULT);
        }
        let skipped = (at - region.start) / PAGE_SIZE;
        let beyond = MapRequest {
            placement: Placement::FixedIfFree(UserAddr(old_end)),
            length: new - old,
            access: region.access,
            max_access: region.max_access,
            backing: region.backing.advanced((skipped + old / PAGE_SIZE) as u64),
            label: region.label.clone(),
        };
        match self.map(beyond.clone()) {
            Ok(_) => return Ok(start),
            Err(_) if !may_move => return Err(Errno::ENOMEM),
            Err(_) => {}
        }
        let backing = region.backing.advanced(skipped as u64);
        let placement = Placement::Hint(UserAddr(0));
        let to = self.map(MapRequest {
            placement,
            length: new,
            backing,
            ..beyond
        })?;
        self.move_pages(at, old, to.0, region.has_copies);
        self.unmap(start, old)?;
        Ok(to)
    }

    /// Moves the present pages of `from..from + length` to `to`. A page for which there is no table is left behind and lost.
    fn move_pages(&self, from: usize, length: usize, to: usize, has_copies: bool) {
        let mut inner = self.inner.lock();
        if let Some((index, _)) = inner.regions.find(to)
            && let Some(region) = inner.regions.get_mut(index)
        {
            region.has_copies |= has_copies;
        }
        for offset in (0..length).step_by(PAGE_SIZE) {
            let Some(there) = inner.table.unmap(UserAddr(from + offset)) else {
                continue;
            };
            if inner.table.map(UserAddr(to + offset), there).is_err() {
                self.memory.frames.release(there.frame);
            }
        }
    }
}

impl Inner {
    fn find_place(&mut self, placement: Placement, length: usize) -> Result<usize> {
        match placement {
            Placement::Hint(UserAddr(hint)) => {
                let hint = page_of(hint);
                if hint != 0
                    && is_user_range(hint, length)
                    && self.regions.is_free(hint, hint + length)
                {
                    return Ok(hint);
                }
                self.regions
                    .find_gap(length, USER_START, self.top)
                    .ok_or(Errno::ENOMEM)
            }
            Placement::Fixed(UserAddr(at)) | Placement::FixedIfFree(UserAddr(at)) => {
                if at % PAGE_SIZE != 0 {
                    return Err(Errno::EINVAL);
                }
                if !is_user_range(at, length) {
                    return Err(if at < USER_START {
                        Errno::EPERM
                    } else {
                        Errno::ENOMEM
                    });
                }
                let free = matches!(placement, Placement::Fixed(_))
                    || self.regions.is_free(at, at + length);
                if free { Ok(at) } else { Err(Errno::EEXIST) }
            }
        }
    }
}

/// Start and end of a range in whole pages. EINVAL: misaligned. ENOMEM: not user memory.
fn checked_range(start: UserAddr, length: usize) -> Result<(usize, usize)> {
    if start.0 % PAGE_SIZE != 0 {
        return Err(Errno::EINVAL);
    }
    let length = length
        .checked_next_multiple_of(PAGE_SIZE)
        .ok_or(Errno::ENOMEM)?;
    if length > 0 && !is_user_range(start.0, length) {
        return Err(Errno::ENOMEM);
    }
    Ok((start.0, start.0.saturating_add(length)))
}
