//! brk(2): the heap behind a program's data.

use super::{AddressSpace, Inner};
use crate::machine::{Access, PAGE_SIZE, USER_END, UserAddr};
use crate::mm::Memory;
use crate::mm::region::{Backing, Label, Region};
use crate::{Errno, Result};

impl AddressSpace {
    /// The heap begins on the first page from `start` on, and is empty. (Were it to begin within a page, its first bytes
    /// would be on one that is not its own.)
    pub fn set_heap_start(&self, start: UserAddr) {
        let start = start.0.min(USER_END).next_multiple_of(PAGE_SIZE);
        self.inner.lock().heap = (start, start);
    }

    /// Moves the end of the heap to `wanted` if it can be; returns where it is then. An end below the start only asks.
    pub fn set_heap_end(&self, wanted: UserAddr) -> UserAddr {
        let mut inner = self.inner.lock();
        if inner.move_heap_end(self.memory, wanted.0).is_ok() {
            inner.heap.1 = wanted.0;
        }
        UserAddr(inner.heap.1)
    }
}

impl Inner {
    fn move_heap_end(&mut self, memory: &Memory, end: usize) -> Result<()> {
        let (start, old) = self.heap;
        if end < start || end >= USER_END {
            return Err(Errno::ENOMEM);
        }
        let (old, new) = (
            old.next_multiple_of(PAGE_SIZE),
            end.next_multiple_of(PAGE_SIZE),
        );
        if new <= old {
            if new < old {
                self.regions.reserve(1)?;
                self.remove(memory, new, old);
            }
            return Ok(());
        }
        self.check_limit(new - old)?;
        // A page stays free behind it, as with Linux, so that it does not run into its neighbour.
        let too_large = (new - start) / PAGE_SIZE > memory.frames.total();
        if too_large || !self.regions.is_free(old, new + PAGE_SIZE) {
            return Err(Errno::ENOMEM);
        }
        self.regions.reserve(1)?;
        self.regions.insert(Region {
            start: old,
            end: new,
            access: Access::READ | Access::WRITE,
            max_access: Access::all(),
            grows_down: false,
            has_copies: false,
            backing: Backing::Anonymous,
            label: Label::Heap,
        });
        self.mapped += new - old;
        Ok(())
    }
}
