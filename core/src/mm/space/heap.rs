//! brk(2): the heap behind a program's data.

use super::AddressSpace;
use super::map::{MapRequest, Placement};
use crate::machine::{Access, PAGE_SIZE, UserAddr};
use crate::mm::region::{Backing, Label};

impl AddressSpace {
    /// The heap begins at `start`, and is empty.
    pub fn set_heap_start(&self, start: UserAddr) {
        self.inner.lock().heap = (start.0, start.0);
    }

    /// Below `top`, places for mappings are sought.
    pub fn set_top(&self, top: UserAddr) {
        self.inner.lock().top = top.0;
    }

    /// Moves the end of the heap to `wanted` if it can be; returns where it is then. An end below the start only asks.
    pub fn set_heap_end(self: &alloc::sync::Arc<Self>, wanted: UserAddr) -> UserAddr {
        let (start, end) = self.inner.lock().heap;
        if wanted.0 < start {
            return UserAddr(end);
        }
        let (old, new) = (
            end.next_multiple_of(PAGE_SIZE),
            wanted.0.checked_next_multiple_of(PAGE_SIZE),
        );
        let Some(new) = new else { return UserAddr(end) };
        let moved = if new > old {
            let request = MapRequest {
                placement: Placement::FixedIfFree(UserAddr(old)),
                length: new - old,
                access: Access::READ | Access::WRITE,
                max_access: Access::all(),
                backing: Backing::Anonymous,
                label: Label::Heap,
            };
            self.map(request).is_ok()
        } else {
            new == old || self.unmap(UserAddr(new), old - new).is_ok()
        };
        if !moved {
            return UserAddr(end);
        }
        self.inner.lock().heap.1 = wanted.0;
        wanted
    }
}
