//! Seals: promises that an object will not change in some way any more, which nobody can take back (memfd_create(2), fcntl(2)).
//!
//! A seal is set first and then looked for what breaks it: a write or a change of size in progress, a shared mapping that may
//! store. Whoever writes says so first and then looks at the seals; whoever maps is known to the object before it looks at
//! them. So one of both sees the other.

use bitflags::bitflags;

use super::{
    Arc, AtomicU32, AtomicU64, Kind, Live, Memory, MemoryObject, Ordering, SpinLock, Weak,
};
use crate::{Errno, Result};

bitflags! {
    /// What is promised; the bits are those of F_ADD_SEALS (linux/fcntl.h).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Seals: u32 {
        /// F_SEAL_SEAL: no further seal is added.
        const SEAL = 0x01;
        /// F_SEAL_SHRINK: it does not become smaller.
        const SHRINK = 0x02;
        /// F_SEAL_GROW: it does not become larger.
        const GROW = 0x04;
        /// F_SEAL_WRITE: nothing in it changes.
        const WRITE = 0x08;
        /// F_SEAL_FUTURE_WRITE: nothing in it changes but through mappings that are there.
        const FUTURE_WRITE = 0x10;
        /// F_SEAL_EXEC: its permissions to execute do not change.
        const EXEC = 0x20;
    }
}

impl Seals {
    /// Those that forbid writing to it and mapping it for stores.
    pub const NO_NEW_WRITES: Seals = Seals::WRITE.union(Seals::FUTURE_WRITE);
}

/// What an object keeps of its seals.
pub(super) struct Sealing {
    /// Whether there can ever be more of them than at first.
    possible: bool,
    seals: AtomicU32,
    /// Writes and changes of size in progress.
    changes: AtomicU32,
}

impl Sealing {
    /// Of an object that cannot be sealed.
    pub(super) fn never() -> Sealing {
        Sealing {
            possible: false,
            seals: AtomicU32::new(Seals::SEAL.bits()),
            changes: AtomicU32::new(0),
        }
    }
}

/// A write or a change of size in progress.
pub(super) struct Change<'a>(Option<&'a Sealing>);

impl Drop for Change<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(sealing) = self.0 {
            sealing.changes.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl MemoryObject {
    /// An empty object that can be sealed.
    #[must_use]
    pub fn sealable(memory: &'static Memory) -> Arc<MemoryObject> {
        Arc::new(MemoryObject {
            memory,
            size: AtomicU64::new(0),
            pages: SpinLock::default(),
            appending: SpinLock::new(()),
            sealing: Sealing {
                possible: true,
                seals: AtomicU32::new(0),
                changes: AtomicU32::new(0),
            },
            _live: Live::new(Kind::MemoryObject),
        })
    }

    /// Whether it was made to be sealed.
    #[must_use]
    pub const fn can_be_sealed(&self) -> bool {
        self.sealing.possible
    }

    /// Its seals. What cannot be sealed has the seal against further ones.
    #[must_use]
    pub fn seals(&self) -> Seals {
        Seals::from_bits_truncate(self.sealing.seals.load(Ordering::SeqCst))
    }

    /// Adds seals. EPERM: it has the seal against further ones. EBUSY: somebody is writing to it, or, for [`Seals::WRITE`], has
    /// it mapped for stores.
    pub fn add_seals(&self, more: Seals) -> Result<()> {
        let pages = self.pages.lock();
        let before = self.seals();
        if before.contains(Seals::SEAL) {
            return Err(Errno::EPERM);
        }
        let new = more.difference(before);
        self.sealing.seals.fetch_or(new.bits(), Ordering::SeqCst);
        drop(pages);
        let busy = self.sealing.changes.load(Ordering::SeqCst) > 0
            || (new.contains(Seals::WRITE) && self.is_mapped_for_stores());
        if busy {
            self.sealing.seals.fetch_and(!new.bits(), Ordering::SeqCst);
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// A change begins. EPERM: a seal among `forbidding` is set.
    #[inline]
    pub(super) fn begin_change(&self, forbidding: Seals) -> Result<Change<'_>> {
        if !self.sealing.possible {
            return Ok(Change(None));
        }
        self.sealing.changes.fetch_add(1, Ordering::SeqCst);
        let change = Change(Some(&self.sealing));
        if self.seals().intersects(forbidding) {
            return Err(Errno::EPERM);
        }
        Ok(change)
    }

    /// EPERM: it would grow to `size` and a seal forbids it.
    #[inline]
    pub(super) fn check_growth(&self, size: u64) -> Result<()> {
        if self.sealing.possible && size > self.size() && self.seals().contains(Seals::GROW) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    fn is_mapped_for_stores(&self) -> bool {
        let mut found = false;
        self.for_each_mapper(|space| found |= space.maps_for_stores(self));
        found
    }

    /// Does `visit` for every space that ever mapped it and lives, with no lock held.
    pub(super) fn for_each_mapper(&self, mut visit: impl FnMut(&crate::mm::AddressSpace)) {
        let mut purges = None;
        let mut at = 0;
        loop {
            let pages = self.pages.lock();
            if purges
                .replace(pages.purges)
                .is_some_and(|before| before != pages.purges)
            {
                at = 0;
            }
            let Some(space) = pages.mappers.get(at).map(Weak::upgrade) else {
                return;
            };
            drop(pages);
            if let Some(space) = space {
                visit(&space);
            }
            at += 1;
        }
    }
}
