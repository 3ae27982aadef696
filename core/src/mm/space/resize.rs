//! mremap(2): a mapping gets another length, and another place if it must.

use super::map::Placement;
use super::{AddressSpace, BATCH, Inner, checked_range, whole_pages};
use crate::machine::{Access, Frame, Mapping, PAGE_SIZE, USER_END, UserAddr};
use crate::mm::Memory;
use crate::mm::region::Region;
use crate::{Errno, Result};

/// Where mremap may put what it cannot grow in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nowhere: ENOMEM.
    No,
    /// Anywhere.
    May,
    /// There, whatever is there now.
    To(UserAddr),
}

impl AddressSpace {
    /// Gives the mapping at `start` another length (mremap(2)) and returns where it is. EINVAL: no length, not on a page, old and
    /// new overlap. EFAULT: not within one mapping. ENOMEM.
    pub fn resize(
        &self,
        start: UserAddr,
        old_length: usize,
        new_length: usize,
        may_move: Move,
    ) -> Result<UserAddr> {
        let (start, old_end) = checked_range(start, old_length).map_err(|_| Errno::EINVAL)?;
        let new_length = whole_pages(new_length)?;
        if start == old_end || new_length == 0 {
            return Err(Errno::EINVAL);
        }
        let mut inner = self.inner.lock();
        let (_, region) = inner.regions.find(start).ok_or(Errno::EFAULT)?;
        if region.end < old_end {
            return Err(Errno::EFAULT);
        }
        // What a fixed target and the old place may be the middle of, and the new mapping.
        inner.regions.reserve(4)?;
        match may_move {
            Move::To(to) => inner.move_to(self.memory, (start, old_end), to, new_length),
            _ if start + new_length <= old_end => {
                inner.remove(self.memory, start + new_length, old_end);
                Ok(UserAddr(start))
            }
            _ => match inner.grow(start, old_end, new_length) {
                Ok(()) => Ok(UserAddr(start)),
                Err(_) if may_move == Move::May => {
                    inner.relocate(self.memory, (start, old_end), new_length)
                }
                Err(errno) => Err(errno),
            },
        }
    }
}

impl Inner {
    /// Lengthens the mapping that ends at `old_end` where it is.
    fn grow(&mut self, start: usize, old_end: usize, new_length: usize) -> Result<()> {
        let new_end = start
            .checked_add(new_length)
            .filter(|end| *end <= USER_END)
            .ok_or(Errno::ENOMEM)?;
        let (index, region) = self.regions.find(start).ok_or(Errno::EFAULT)?;
        if region.end != old_end || !self.regions.is_free(old_end, new_end) {
            return Err(Errno::ENOMEM);
        }
        self.check_limit(new_end - old_end)?;
        if let Some(region) = self.regions.get_mut(index) {
            region.end = new_end;
        }
        self.mapped += new_end - old_end;
        self.regions.join(start, new_end);
        Ok(())
    }

    /// Moves the mapping `old` to `to`, whatever is there, with another length.
    fn move_to(
        &mut self,
        memory: &Memory,
        (start, old_end): (usize, usize),
        to: UserAddr,
        new_length: usize,
    ) -> Result<UserAddr> {
        let (to, to_end) = checked_range(to, new_length).map_err(|_| Errno::EINVAL)?;
        if to < old_end && start < to_end {
            return Err(Errno::EINVAL);
        }
        self.find_place(Placement::Fixed(UserAddr(to)), new_length)?;
        let gone = self.regions.covered_bytes(to, to_end) + (old_end - start);
        self.check_limit(new_length.saturating_sub(gone))?;
        self.remove(memory, to, to_end);
        self.carry(memory, (start, old_end), to, new_length)
    }

    fn relocate(
        &mut self,
        memory: &Memory,
        old: (usize, usize),
        new_length: usize,
    ) -> Result<UserAddr> {
        self.check_limit(new_length - (old.1 - old.0))?;
        let to = self.find_place(Placement::Hint(UserAddr(0)), new_length)?;
        self.carry(memory, old, to, new_length)
    }

    /// Makes a mapping at `to`, where nothing is, of what is mapped at `old`, and removes that. Changes nothing if memory for
    /// the page table runs out.
    fn carry(
        &mut self,
        memory: &Memory,
        (start, old_end): (usize, usize),
        to: usize,
        new_length: usize,
    ) -> Result<UserAddr> {
        let (_, region) = self.regions.find(start).ok_or(Errno::EFAULT)?;
        let region = Region {
            start: to,
            end: to + new_length,
            ..region.part(start)
        };
        let kept_end = old_end.min(start + new_length);
        if self.carry_pages(memory, start, kept_end, to).is_err() {
            self.drop_pages(memory, to, to + new_length);
            return Err(Errno::ENOMEM);
        }
        self.regions.insert(region);
        self.mapped += new_length;
        self.remove(memory, start, old_end);
        Ok(UserAddr(to))
    }

    /// Makes what is present in `start..end` present at `to` too.
    fn carry_pages(&mut self, memory: &Memory, start: usize, end: usize, to: usize) -> Result<()> {
        let mut next = start;
        while let Some(UserAddr(from)) = self.table.first_present(UserAddr(next), UserAddr(end)) {
            let until = end.min(from + BATCH * PAGE_SIZE);
            next = until;
            let mut present = [(
                0,
                Mapping {
                    frame: Frame(0),
                    access: Access::empty(),
                },
            ); BATCH];
            let mut count = 0;
            self.table
                .update_range(UserAddr(from), UserAddr(until), &mut |page, mapping| {
                    if let Some(place) = present.get_mut(count) {
                        *place = (page.0, mapping);
                        count += 1;
                    }
                    Some(mapping)
                });
            for (page, mapping) in present.into_iter().take(count) {
                memory.frames.share(mapping.frame)?;
                self.install(memory, to + (page - start), mapping)
                    .map_err(|_| Errno::ENOMEM)?;
            }
        }
        Ok(())
    }
}
