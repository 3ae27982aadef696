//! What is undone when a process ends (semop(2), SEM_UNDO).
//!
//! The sums are kept by the sets, under their locks: SETVAL and IPC_RMID make them void. A process has an [`UndoList`], which knows the sets that
//! have sums for it; processes made with CLONE_SYSVSEM share one. The drop of its last holder does what is to be done, however the process ended.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use halyard_abi::sysv::SEMVMX;
use halyard_cell::SpinLock;

use super::Keeper;
use super::semaphore::SemaphoreSet;
use crate::{Errno, Result};

/// The sets that have something to undo for the processes that hold this.
pub struct UndoList {
    keeper: &'static dyn Keeper,
    sets: SpinLock<Vec<Weak<SemaphoreSet>>>,
}

impl UndoList {
    /// Nothing to undo.
    #[must_use]
    pub fn new(keeper: &'static dyn Keeper) -> Arc<UndoList> {
        Arc::new(UndoList {
            keeper,
            sets: SpinLock::new(Vec::new()),
        })
    }

    /// What the sets call it.
    #[inline]
    #[must_use]
    pub fn number(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// `set` may have something to undo for it. ENOMEM.
    pub fn note(&self, set: &Arc<SemaphoreSet>) -> Result<()> {
        let mut sets = self.sets.lock();
        if sets.iter().any(|known| known.as_ptr() == Arc::as_ptr(set)) {
            return Ok(());
        }
        if sets.len() == sets.capacity() {
            sets.retain(|known| known.strong_count() > 0);
            sets.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        }
        sets.push(Arc::downgrade(set));
        Ok(())
    }
}

impl Drop for UndoList {
    fn drop(&mut self) {
        let (stamp, number) = (self.keeper.stamp(), self.number());
        for set in core::mem::take(self.sets.get_mut()) {
            if let Some(set) = set.upgrade() {
                set.undo(number, stamp);
            }
        }
    }
}

/// Of one set: what each undo list would add to each semaphore. Guarded by the set's lock.
pub(super) struct Adjustments {
    count: usize,
    /// Sorted by list.
    lists: Vec<(usize, Vec<i16>)>,
}

impl Adjustments {
    pub(super) const fn new(count: usize) -> Adjustments {
        Adjustments {
            count,
            lists: Vec::new(),
        }
    }

    fn index(&self, list: usize) -> core::result::Result<usize, usize> {
        self.lists.binary_search_by_key(&list, |entry| entry.0)
    }

    /// Makes room for the sums of `list`. ENOMEM.
    pub(super) fn reserve(&mut self, list: usize) -> Result<()> {
        let Err(at) = self.index(list) else {
            return Ok(());
        };
        let mut sums = Vec::new();
        sums.try_reserve_exact(self.count)
            .map_err(|_| Errno::ENOMEM)?;
        sums.resize(self.count, 0);
        self.lists.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.lists.insert(at, (list, sums));
        Ok(())
    }

    /// Adds `change` to what is to be added to semaphore `number`. ERANGE: more than any value.
    pub(super) fn add(&mut self, list: usize, number: usize, change: i32) -> Result<()> {
        let at = self.index(list).map_err(|_| Errno::ENOMEM)?;
        let sum = self
            .lists
            .get_mut(at)
            .and_then(|(_, sums)| sums.get_mut(number))
            .ok_or(Errno::EFBIG)?;
        let new = i32::from(*sum) + change;
        // As Linux has it: from -SEMAEM - 1 to SEMAEM.
        if !(-i32::from(SEMVMX) - 1..=i32::from(SEMVMX)).contains(&new) {
            return Err(Errno::ERANGE);
        }
        *sum = new as i16;
        Ok(())
    }

    /// Takes the sums of `list` out.
    pub(super) fn take(&mut self, list: usize) -> Option<Vec<i16>> {
        let at = self.index(list).ok()?;
        Some(self.lists.remove(at).1)
    }

    /// Nothing is to be undone on semaphore `number` any more.
    pub(super) fn forget_semaphore(&mut self, number: usize) {
        for (_, sums) in &mut self.lists {
            if let Some(sum) = sums.get_mut(number) {
                *sum = 0;
            }
        }
    }

    /// Nothing is to be undone any more.
    pub(super) fn forget_all(&mut self) {
        for (_, sums) in &mut self.lists {
            sums.fill(0);
        }
    }

    /// The sum of `list` for semaphore `number`.
    #[cfg(test)]
    pub(super) fn get(&self, list: usize, number: usize) -> i16 {
        let sums = self.index(list).ok().and_then(|at| self.lists.get(at));
        sums.and_then(|(_, sums)| sums.get(number).copied())
            .unwrap_or(0)
    }
}
