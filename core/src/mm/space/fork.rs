//! fork: a second space with the same contents, its pages shared until one side stores.

use alloc::sync::Arc;

use super::{AddressSpace, Inner};
use crate::Result;
use crate::machine::{Access, Mapping, OutOfMemory, PageTable, UserAddr};
use crate::mm::Memory;

impl AddressSpace {
    /// A copy of this space, copy-on-write where it is private, shared where it is shared. ENOMEM.
    ///
    /// Takes time proportional to the pages that are the program's own; pages that an object can give anew are left to faults.
    pub fn fork(&self) -> Result<Arc<AddressSpace>> {
        let child = AddressSpace::new(self.memory)?;
        let forked = self.fork_into(&child);
        // On failure the child is dropped here, when the parent's lock is free again, with what it had got so far.
        forked.map(|()| child)
    }

    fn fork_into(&self, child: &Arc<AddressSpace>) -> Result<()> {
        let mut parent = self.inner.lock();
        // Two locks of one level; but nobody else knows the child yet, save objects that are cut, who take one at a time.
        let mut into = child.inner.lock();
        into.heap = parent.heap;
        into.mapped = parent.mapped;
        into.top = parent.top;
        into.limit = parent.limit;
        into.stack_limit = parent.stack_limit;
        into.regions.copy_from(&parent.regions)?;
        for object in parent
            .regions
            .iter()
            .filter_map(|region| region.backing.object())
        {
            object.attach(child)?;
        }
        let parent = &mut *parent;
        for region in parent
            .regions
            .iter()
            .filter(|region| region.may_own_pages())
        {
            let range = (UserAddr(region.start), UserAddr(region.end));
            share_pages(self.memory, &mut *parent.table, &mut into, range)?;
        }
        Ok(())
    }
}

/// Makes the present pages of a private region present in `into` too, without the right to store in either.
fn share_pages(
    memory: &Memory,
    table: &mut dyn PageTable,
    into: &mut Inner,
    (start, end): (UserAddr, UserAddr),
) -> Result<(), OutOfMemory> {
    let mut result = Ok(());
    table.update_range(start, end, &mut |page, mapping| {
        if result.is_err() {
            return Some(mapping);
        }
        let shared = Mapping {
            access: mapping.access.difference(Access::WRITE),
            ..mapping
        };
        result = memory.frames.share(mapping.frame).and_then(|()| {
            into.install(memory, page.0, shared)
                .map_err(|_| OutOfMemory)
        });
        Some(if result.is_ok() { shared } else { mapping })
    });
    result
}
