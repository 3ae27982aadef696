//! Freed pieces of memory that a CPU keeps for its next allocations, by size. Pure.
//!
//! Bonwick and Adams, "Magazines and Vmem" (USENIX 2001), gives the idea and the name: what a CPU frees it soon wants again,
//! and needs no lock for it. A list is threaded through the pieces themselves.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;

/// Sizes differ by so many bytes, and pieces are aligned to [`ALIGN`].
const STEP: usize = 32;
const ALIGN: usize = 16;
/// How many sizes there are.
const CLASSES: usize = 40;
/// Pieces of one size kept at most, and bytes in them (but always [`LEAST`] pieces).
const MOST: usize = 16;
const MOST_BYTES: usize = 4096;
const LEAST: usize = 4;

/// A size of pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class(usize);

impl Class {
    /// The class of an allocation; None: too large, too strictly aligned, or empty.
    #[inline]
    #[must_use]
    pub const fn of(layout: Layout) -> Option<Class> {
        let index = layout.size().wrapping_sub(1) / STEP;
        if index < CLASSES && layout.align() <= ALIGN {
            Some(Class(index))
        } else {
            None
        }
    }

    /// Size and alignment of every piece of the class.
    #[inline]
    #[must_use]
    pub const fn layout(self) -> Layout {
        match Layout::from_size_align((self.0 + 1) * STEP, ALIGN) {
            Ok(layout) => layout,
            // The largest is 1,280 bytes.
            Err(_) => Layout::new::<[u8; CLASSES * STEP]>(),
        }
    }

    /// Pieces that a magazine holds at most.
    const fn capacity(self) -> usize {
        let by_bytes = MOST_BYTES / ((self.0 + 1) * STEP);
        if by_bytes < LEAST {
            LEAST
        } else if by_bytes > MOST {
            MOST
        } else {
            by_bytes
        }
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Class> {
        (0..CLASSES).map(Class)
    }
}

/// What stands in a piece that is kept: the one below it.
#[repr(transparent)]
struct Kept(Option<NonNull<Kept>>);

const _: () = assert!(size_of::<Kept>() <= STEP && align_of::<Kept>() <= ALIGN);

/// A stack of free pieces of one size.
#[repr(C)]
struct Magazine {
    top: Cell<Option<NonNull<Kept>>>,
    /// How many there are.
    count: Cell<usize>,
}

/// One CPU's pieces.
#[repr(transparent)]
pub struct Magazines([Magazine; CLASSES]);

impl Magazines {
    /// No pieces.
    #[must_use]
    pub const fn new() -> Self {
        Self(
            [const {
                Magazine {
                    top: Cell::new(None),
                    count: Cell::new(0),
                }
            }; CLASSES],
        )
    }

    /// Takes a piece of `class`.
    #[inline]
    pub fn take(&self, class: Class) -> Option<NonNull<u8>> {
        let magazine = self.0.get(class.0)?;
        let piece = magazine.top.get()?;
        // SAFETY: `put` wrote a `Kept` into the piece, and its promise is that nobody touched it since.
        magazine.top.set(unsafe { piece.as_ref() }.0);
        magazine.count.set(magazine.count.get() - 1);
        Some(piece.cast())
    }

    /// Keeps a piece of `class`; false: there is no room for it.
    ///
    /// # Safety
    /// `piece` must be memory of the class's layout, writable and nobody else's until `take` gives it back.
    #[inline]
    #[must_use]
    pub unsafe fn put(&self, class: Class, piece: NonNull<u8>) -> bool {
        let Some(magazine) = self.0.get(class.0) else {
            return false;
        };
        let count = magazine.count.get();
        if count >= class.capacity() {
            return false;
        }
        let piece = piece.cast::<Kept>();
        // SAFETY: the caller's promise; the class's alignment and size are enough for a `Kept` (asserted above).
        unsafe { piece.write(Kept(magazine.top.get())) };
        magazine.top.set(Some(piece));
        magazine.count.set(count + 1);
        true
    }

    /// Takes half of the pieces of `class`, each into `sink`: there is room again.
    pub fn unload(&self, class: Class, mut sink: impl FnMut(NonNull<u8>)) {
        for _ in 0..class.capacity().div_ceil(2) {
            match self.take(class) {
                Some(piece) => sink(piece),
                None => return,
            }
        }
    }
}

impl Default for Magazines {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn class_has_room_for_what_it_serves() {
        for size in 1..=1024 {
            for align in [1, 2, 4, 8, 16] {
                let piece = Class::of(layout(size, align)).unwrap().layout();
                assert!(piece.size() >= size && piece.size() < size + STEP);
                assert!(piece.align() >= align);
            }
        }
    }

    #[test]
    fn class_refuses_what_is_empty_large_or_strictly_aligned() {
        for (size, align) in [
            (0, 1),
            (1281, 8),
            (usize::MAX >> 1, 1),
            (64, 32),
            (64, 4096),
        ] {
            assert_eq!(Class::of(layout(size, align)), None);
        }
    }

    #[test]
    fn magazine_keeps_each_piece_once_and_no_more_than_it_holds() {
        let magazines = Magazines::new();
        for class in Class::all() {
            let mut memory: Vec<Box<[u128]>> = Vec::new();
            let mut kept = Vec::new();
            loop {
                let mut piece = std::vec![0_u128; class.layout().size() / 16].into_boxed_slice();
                let at = NonNull::from(&mut *piece).cast::<u8>();
                memory.push(piece);
                // SAFETY: the piece is as large and aligned as the class says, and `memory` outlives its stay.
                if !unsafe { magazines.put(class, at) } {
                    break;
                }
                kept.push(at);
            }
            assert_eq!(kept.len(), class.capacity());
            let mut given = Vec::new();
            magazines.unload(class, |piece| given.push(piece));
            assert_eq!(given.len(), kept.len().div_ceil(2));
            while let Some(piece) = magazines.take(class) {
                given.push(piece);
            }
            kept.reverse();
            assert_eq!(given, kept, "last in, first out");
        }
    }
}
