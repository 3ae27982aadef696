//! What a program may ask about pages: give them back (madvise), are they there (mincore), is all of a range mapped (msync,
//! mlock).

use super::{AddressSpace, checked_range, page_of};
use crate::machine::{Access, PAGE_SIZE, UserAddr};
use crate::mm::FaultError;
use crate::{Errno, Result};

impl AddressSpace {
    /// Whether all of `start..start + length` is mapped. EINVAL: misaligned. ENOMEM: not user memory.
    pub fn is_mapped(&self, start: UserAddr, length: usize) -> Result<bool> {
        let (start, end) = checked_range(start, length)?;
        Ok(self.inner.lock().regions.covers(start, end))
    }

    /// Forgets what is in the range: private pages read as zeros or as the object has them, shared ones are untouched in
    /// their object (MADV_DONTNEED). ENOMEM: part of it is not mapped; the rest is treated nevertheless.
    pub fn discard(&self, start: UserAddr, length: usize) -> Result<()> {
        let mut next = Some(start);
        while let Some(from) = next {
            next = self.discard_piece(from, start.0.wrapping_add(length).wrapping_sub(from.0))?;
        }
        self.is_mapped(start, length)?
            .then_some(())
            .ok_or(Errno::ENOMEM)
    }

    /// As [`AddressSpace::discard`], but no more than takes little time; returns where it is to go on. Whether all is mapped
    /// is not looked at.
    pub fn discard_piece(&self, start: UserAddr, length: usize) -> Result<Option<UserAddr>> {
        let (start, end) = checked_range(start, length)?;
        let mut inner = self.inner.lock();
        let until = inner.piece_end(start, end);
        if start < until {
            inner.drop_pages(self.memory, start, until);
        }
        Ok((until < end).then_some(UserAddr(until)))
    }

    /// Whether all of the range is private memory without an object (what MADV_FREE takes).
    #[must_use]
    pub fn is_anonymous(&self, start: UserAddr, length: usize) -> bool {
        let end = start.0.saturating_add(length);
        let inner = self.inner.lock();
        let first = inner.regions.first_above(start.0);
        let mut touched = inner
            .regions
            .iter()
            .skip(first)
            .take_while(|region| region.start < end);
        touched.all(|region| region.backing.object().is_none())
    }

    /// Tells of each page from `start` on whether it is in memory, be it the program's or its object's: 1 or 0. ENOMEM: one
    /// is not mapped.
    pub fn residency(&self, start: UserAddr, pages: &mut [u8]) -> Result<()> {
        let inner = self.inner.lock();
        let mut page = page_of(start.0);
        for resident in pages {
            let (_, region) = inner.regions.find(page).ok_or(Errno::ENOMEM)?;
            let present = inner.table.lookup(UserAddr(page)).is_some();
            *resident = u8::from(present || region.object_has(page));
            page += PAGE_SIZE;
        }
        Ok(())
    }

    /// Makes all pages of the range present with what their regions allow, as far as that goes (MAP_POPULATE, mlock).
    pub fn populate(&self, start: UserAddr, length: usize) -> Result<(), FaultError> {
        let end = start.0.saturating_add(length);
        let mut page = page_of(start.0);
        while page < end {
            let mut inner = self.inner.lock();
            let (_, region) = inner.regions.find(page).ok_or(FaultError::NotMapped)?;
            let wanted = if region.access.contains(Access::WRITE) {
                Access::WRITE
            } else {
                region.access
            };
            if !wanted.is_empty() {
                inner.resolve(self.memory, page, wanted)?;
            }
            page += PAGE_SIZE;
        }
        Ok(())
    }
}
