//! fork: a second address space with the same contents.
//!
//! Pages of the program's own are shared by both until one stores to them; pages of objects are not even mapped in the
//! child: it finds them where the parent did.

use alloc::sync::Arc;

use super::{AddressSpace, Inner, mapping};
use crate::machine::{Access, OutOfMemory, PageTable, UserAddr};
use crate::mm::Memory;
use crate::mm::region::Region;
use crate::{Errno, Result};

impl AddressSpace {
    /// A copy. ENOMEM. Takes time proportional to the regions and to the pages of the program's own.
    pub fn fork(&self) -> Result<Arc<AddressSpace>> {
        let child = AddressSpace::new(self.memory)?;
        let mut parent = self.inner.lock();
        let parent = &mut *parent;
        // The child is known to nobody yet, so its lock, of the same level, is free.
        let mut inner = child.inner.lock();
        (inner.heap, inner.top) = (parent.heap, parent.top);
        inner.regions.reserve(parent.regions.iter().len())?;
        for region in parent.regions.iter() {
            if let Some(object) = region.backing.object() {
                object.attach(&child)?;
            }
            if region.may_own_pages() {
                share_pages(self.memory, &mut *parent.table, &mut inner, region)
                    .map_err(|_| Errno::ENOMEM)?;
            }
            inner.regions.insert(region.clone());
        }
        drop(inner);
        Ok(child)
    }
}

/// Maps the present pages of `region` in the child too; neither may store to them any more.
fn share_pages(
    memory: &Memory,
    table: &mut dyn PageTable,
    child: &mut Inner,
    region: &Region,
) -> core::result::Result<(), OutOfMemory> {
    let mut outcome = Ok(());
    table.update_range(
        UserAddr(region.start),
        UserAddr(region.end),
        &mut |page, there| {
            if outcome.is_err() {
                return Some(there);
            }
            let read_only = mapping(there.frame, there.access.difference(Access::WRITE));
            outcome = memory.frames.share(there.frame).and_then(|()| {
                child.table.map(page, read_only).inspect_err(|_| {
                    memory.frames.release(there.frame);
                })
            });
            if outcome.is_err() {
                Some(there)
            } else {
                Some(read_only)
            }
        },
    );
    outcome
}
