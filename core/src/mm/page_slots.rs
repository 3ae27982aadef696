//! The frames of a memory object by page number: a vector for the first pages, chunks by number for the others, so that a
//! small file costs little and a sparse one only what it holds.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;

use crate::machine::{Frame, OutOfMemory};

/// Pages of the vector, and of each chunk.
const CHUNK: u64 = 64;

/// What a page of an object has: no frame yet, or one, and whether instruction fetch is known to see what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl Slot {
    /// A hole.
    pub(super) const EMPTY: Slot = Slot(0);

    /// A frame to which something was just written.
    pub(super) const fn written(frame: Frame) -> Slot {
        Slot((frame.0 + 1) << 1)
    }

    /// The same frame, ready to be executed.
    pub(super) const fn synced(self) -> Slot {
        Slot(self.0 | 1)
    }

    #[inline]
    pub(super) const fn frame(self) -> Option<Frame> {
        match (self.0 >> 1).checked_sub(1) {
            Some(number) => Some(Frame(number)),
            None => None,
        }
    }

    pub(super) const fn is_synced(self) -> bool {
        self.0 & 1 == 1
    }
}

/// Slots by page number.
#[derive(Default)]
pub(super) struct PageSlots {
    head: Vec<Slot>,
    chunks: BTreeMap<u64, Vec<Slot>>,
}

impl PageSlots {
    /// What is at page `index`.
    #[inline]
    pub(super) fn get(&self, index: u64) -> Slot {
        if index < CHUNK {
            return self.head.get(index as usize).copied().unwrap_or_default();
        }
        let chunk = self.chunks.get(&(index / CHUNK));
        chunk
            .and_then(|chunk| chunk.get((index % CHUNK) as usize))
            .copied()
            .unwrap_or_default()
    }

    /// Makes room to set page `index`. The caller has asked whether the heap's reserve is intact (a tree node may be
    /// needed).
    pub(super) fn reserve(&mut self, index: u64) -> Result<(), OutOfMemory> {
        if index < CHUNK {
            let wanted = index as usize + 1;
            return grow(&mut self.head, wanted);
        }
        if let Entry::Vacant(place) = self.chunks.entry(index / CHUNK) {
            let mut chunk = Vec::new();
            chunk
                .try_reserve_exact(CHUNK as usize)
                .map_err(|_| OutOfMemory)?;
            chunk.resize(CHUNK as usize, Slot::EMPTY);
            place.insert(chunk);
        }
        Ok(())
    }

    /// Sets page `index`, for which there is room.
    pub(super) fn set(&mut self, index: u64, slot: Slot) {
        let place = if index < CHUNK {
            self.head.get_mut(index as usize)
        } else {
            self.chunks
                .get_mut(&(index / CHUNK))
                .and_then(|chunk| chunk.get_mut((index % CHUNK) as usize))
        };
        if let Some(place) = place {
            *place = slot;
        }
    }

    /// Forgets all pages from `first` on; calls `gone` for each frame.
    pub(super) fn cut(&mut self, first: u64, mut gone: impl FnMut(Frame)) {
        let kept = (first.min(CHUNK) as usize).min(self.head.len());
        self.head
            .drain(kept..)
            .filter_map(Slot::frame)
            .for_each(&mut gone);
        while let Some(mut last) = self.chunks.last_entry() {
            let base = *last.key() * CHUNK;
            if base + CHUNK <= first {
                break;
            }
            let kept = first.saturating_sub(base) as usize;
            for slot in last.get_mut().iter_mut().skip(kept) {
                core::mem::take(slot).frame().map(&mut gone);
            }
            if kept > 0 {
                break;
            }
            last.remove();
        }
    }
}

fn grow(slots: &mut Vec<Slot>, length: usize) -> Result<(), OutOfMemory> {
    if let Some(more) = length.checked_sub(slots.len()) {
        slots.try_reserve(more).map_err(|_| OutOfMemory)?;
        slots.resize(length, Slot::EMPTY);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn index() -> impl Strategy<Value = u64> {
        prop_oneof![0..200_u64, (1_u64 << 40)..(1 << 40) + 100]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn slots_any_steps_agree_with_a_map(
            steps in prop::collection::vec((any::<bool>(), index(), 0..1000_usize), 1..60),
        ) {
            let mut slots = PageSlots::default();
            let mut model: BTreeMap<u64, usize> = BTreeMap::new();
            for (cut, index, frame) in steps {
                if cut {
                    let mut gone = alloc::vec::Vec::new();
                    slots.cut(index, |frame| gone.push(frame.0));
                    let mut expected: alloc::vec::Vec<_> = model.split_off(&index).into_values().collect();
                    gone.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(gone, expected);
                } else {
                    slots.reserve(index).unwrap();
                    slots.set(index, Slot::written(Frame(frame)));
                    model.insert(index, frame);
                }
                for probe in [index, index + 1, index.saturating_sub(1), 63, 64] {
                    prop_assert_eq!(slots.get(probe).frame().map(|frame| frame.0), model.get(&probe).copied());
                }
            }
        }
    }

    #[test]
    fn slot_of_frame_0_is_not_a_hole() {
        assert_eq!(Slot::written(Frame(0)).frame(), Some(Frame(0)));
        assert_eq!(Slot::EMPTY.frame(), None);
        assert!(Slot::written(Frame(0)).synced().is_synced());
    }

    #[test]
    fn slot_far_out_costs_one_chunk() {
        let mut slots = PageSlots::default();
        slots.reserve(1 << 50).unwrap();
        assert_eq!((slots.head.len(), slots.chunks.len()), (0, 1));
    }
}
