//! shmdt(2): what one attach has mapped goes, as far as it is still there.

use alloc::sync::Arc;

use super::{AddressSpace, Inner};
use crate::machine::{PAGE_SIZE, UserAddr};
use crate::mm::MemoryObject;
use crate::mm::region::{Backing, Label, Region};
use crate::{Errno, Result};

impl AddressSpace {
    /// Takes away the regions that the attach of a counted object at `start` has made and that are left of it. EINVAL: there was none.
    pub fn detach(&self, start: UserAddr) -> Result<()> {
        if !start.0.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let mut inner = self.inner.lock();
        inner.regions.reserve(1)?;
        let object = inner.attached_at(start.0, None).ok_or(Errno::EINVAL)?.0;
        while let Some((_, from, to)) = inner.attached_at(start.0, Some(&object)) {
            inner.remove(self.memory, from, to);
        }
        Ok(())
    }
}

impl Inner {
    /// The first region of an attach at `start`: of `object`, if that is known. With a part of its front unmapped, what is left lies as many
    /// pages behind `start` as its first page behind the object's.
    fn attached_at(
        &self,
        start: usize,
        object: Option<&Arc<MemoryObject>>,
    ) -> Option<(Arc<MemoryObject>, usize, usize)> {
        let belongs = |region: &&Region| match (&region.label, &region.backing) {
            (Label::Counted(_), Backing::Shared(behind, first)) => {
                (region.start - start) / PAGE_SIZE == *first as usize
                    && object.is_none_or(|object| Arc::ptr_eq(object, behind))
            }
            _ => false,
        };
        let from = self.regions.first_above(start);
        let above = |region: &&Region| region.start >= start;
        let region = self.regions.iter().skip(from).filter(above).find(belongs)?;
        let behind = region.backing.object()?;
        Some((Arc::clone(behind), region.start, region.end))
    }
}
