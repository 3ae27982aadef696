//! The heap: free lists of powers of two over `brk`, whole mappings for what is larger.
//!
//! A freed block goes to its size's list and stays with the program; a freed mapping goes back to the kernel. One
//! spin lock guards the lists, so threads may allocate; a thread that finds it taken yields.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::{Result, mm, process};

/// The smallest block; also every block's least alignment.
const SMALLEST: usize = 16;
/// Sizes 16, 32, ... 16384.
const CLASSES: usize = 11;
/// The largest block of a list.
const LARGEST: usize = SMALLEST << (CLASSES - 1);
/// How much is taken from the kernel at a time.
const GROWTH: usize = 64 * 1024;

struct Free {
    next: Option<NonNull<Free>>,
}

struct Lists {
    classes: [Option<NonNull<Free>>; CLASSES],
    fresh: usize,
    fresh_end: usize,
}

struct Heap {
    locked: AtomicBool,
    lists: UnsafeCell<Lists>,
}

// SAFETY: the lists are only reached by who holds the lock.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap {
    locked: AtomicBool::new(false),
    lists: UnsafeCell::new(Lists {
        classes: [None; CLASSES],
        fresh: 0,
        fresh_end: 0,
    }),
};

impl Heap {
    fn with<T>(&self, body: impl FnOnce(&mut Lists) -> T) -> T {
        while self.locked.swap(true, Ordering::Acquire) {
            process::yield_now();
        }
        // SAFETY: the lock is ours, and `body` cannot call back into the heap: it is code of this module only.
        let result = body(unsafe { &mut *self.lists.get() });
        self.locked.store(false, Ordering::Release);
        result
    }
}

/// The list for a layout: none if it wants a mapping.
fn class(layout: &Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(SMALLEST);
    (size <= LARGEST).then(|| (size.next_power_of_two() / SMALLEST).trailing_zeros() as usize)
}

impl Lists {
    fn take(&mut self, class: usize) -> *mut u8 {
        let head = self.classes.get_mut(class);
        if let Some(slot) = head
            && let Some(block) = *slot
        {
            // SAFETY: a block on a list is free memory of its class, and was written by `give`.
            *slot = unsafe { block.as_ref().next };
            return block.as_ptr().cast();
        }
        self.carve(SMALLEST << class).unwrap_or(null_mut())
    }

    fn give(&mut self, class: usize, block: *mut u8) {
        if let (Some(slot), Some(block)) = (
            self.classes.get_mut(class),
            NonNull::new(block.cast::<Free>()),
        ) {
            // SAFETY: the block was handed out by `take`, is aligned for its class, and is no longer used.
            unsafe { block.write(Free { next: *slot }) };
            *slot = Some(block);
        }
    }

    /// A block from memory never used yet. Blocks are aligned to their size.
    fn carve(&mut self, size: usize) -> Option<*mut u8> {
        let mut aligned = self.fresh.next_multiple_of(size);
        if aligned + size > self.fresh_end {
            self.grow().ok()?;
            aligned = self.fresh.next_multiple_of(size);
        }
        self.fresh = aligned + size;
        Some(aligned as *mut u8)
    }

    /// More fresh memory, next to the old where the kernel allows it.
    fn grow(&mut self) -> Result<()> {
        let end = mm::brk(0);
        let wanted = end.next_multiple_of(mm::PAGE) + GROWTH;
        if mm::brk(wanted) == wanted {
            if end != self.fresh_end {
                self.fresh = end;
            }
            self.fresh_end = wanted;
            return Ok(());
        }
        self.fresh = mm::map_heap(GROWTH)? as usize;
        self.fresh_end = self.fresh + GROWTH;
        Ok(())
    }
}

// SAFETY: blocks are disjoint, live until given back, and at least as large and as aligned as asked for: a class is a
// power of two not below size and alignment, and blocks are aligned to their class; mappings are whole pages.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class(&layout) {
            Some(class) => self.with(|lists| lists.take(class)),
            None if layout.align() <= mm::PAGE => mm::map_heap(layout.size()).unwrap_or(null_mut()),
            None => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(&layout) {
            Some(class) => self.with(|lists| lists.give(class, block)),
            // SAFETY: `alloc` made this mapping for this layout, and its owner is done with it.
            None => unsafe { mm::unmap_heap(block, layout.size()) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller gives a size that makes a valid layout with the same alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if class(&layout).is_some() && class(&layout) == class(&new) {
            return block;
        }
        // SAFETY: `new` is not of size zero, by the caller's promise.
        let moved = unsafe { self.alloc(new) };
        if !moved.is_null() {
            let kept = layout.size().min(new_size);
            // SAFETY: both blocks hold at least `kept` bytes and are disjoint.
            unsafe { core::ptr::copy_nonoverlapping(block, moved, kept) };
            // SAFETY: the old block is the caller's to give back.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}
