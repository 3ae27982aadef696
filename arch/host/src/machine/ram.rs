//! Emulated page frames.

use std::sync::Mutex;
use std::vec;
use std::vec::Vec;

use halyard_core::machine::{Frame, PAGE_SIZE};

use super::locked;

/// The frames, whole: every access is one critical section, so that u32 operations are atomic.
pub(super) struct Ram {
    first: usize,
    bytes: Mutex<Vec<u8>>,
}

impl Ram {
    pub(super) fn new(first: usize, frames: usize) -> Ram {
        Ram {
            first,
            bytes: Mutex::new(vec![0; frames * PAGE_SIZE]),
        }
    }

    /// Does `access` on `count` bytes of a frame. A frame that does not exist or a range that leaves it is a fault of the
    /// kernel and ends the test.
    pub(super) fn with<R>(
        &self,
        frame: Frame,
        offset: usize,
        count: usize,
        access: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        assert!(
            offset + count <= PAGE_SIZE,
            "{offset} + {count} leaves the frame"
        );
        let at = frame
            .0
            .checked_sub(self.first)
            .map(|index| index * PAGE_SIZE + offset);
        let mut bytes = locked(&self.bytes);
        match at.and_then(|at| bytes.get_mut(at..at + count)) {
            Some(bytes) => access(bytes),
            None => panic!("{frame:?} is not RAM"),
        }
    }

    pub(super) fn copy(&self, from: Frame, to: Frame) {
        let mut page = [0; PAGE_SIZE];
        self.with(from, 0, PAGE_SIZE, |bytes| page.copy_from_slice(bytes));
        self.with(to, 0, PAGE_SIZE, |bytes| bytes.copy_from_slice(&page));
    }

    /// The aligned word at `offset`, replaced by `new` if it is `expected`; what it was.
    pub(super) fn compare_exchange(
        &self,
        frame: Frame,
        offset: usize,
        expected: u32,
        new: u32,
    ) -> u32 {
        assert!(offset.is_multiple_of(4), "a word is aligned");
        self.with(frame, offset, 4, |bytes| {
            let mut word = [0; 4];
            word.copy_from_slice(bytes);
            let old = u32::from_le_bytes(word);
            if old == expected {
                bytes.copy_from_slice(&new.to_le_bytes());
            }
            old
        })
    }
}
