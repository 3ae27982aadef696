//! What identifies a futex word.

use alloc::sync::Arc;

use crate::machine::UserAddr;
use crate::mm::{AddressSpace, FutexPlace, MemoryObject};
use crate::{Errno, Result};

/// What identifies a futex word. Who waits holds it, and with it the object: so that no other can come to be at the object's
/// address while somebody waits. A waiter's address space lives as long as the waiter, so its address is enough.
#[derive(Clone)]
pub enum Key {
    /// In memory of one address space: which (its address in the kernel), and where.
    Private(usize, usize),
    /// In an object that several may map: which, and the byte.
    Shared(Arc<MemoryObject>, u64),
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        match (self, other) {
            (Key::Private(space, at), Key::Private(other, there)) => space == other && at == there,
            (Key::Shared(object, byte), Key::Shared(other, there)) => {
                Arc::ptr_eq(object, other) && byte == there
            }
            _ => false,
        }
    }
}

impl Key {
    /// The key of the word at `at`. EINVAL: misaligned. EFAULT: nothing is mapped there; not found out for a `private` one.
    pub fn of(space: &Arc<AddressSpace>, at: UserAddr, private: bool) -> Result<Key> {
        if !at.0.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let own = Key::Private(Arc::as_ptr(space) as usize, at.0);
        if private {
            return Ok(own);
        }
        Ok(match space.futex_place(at)? {
            FutexPlace::Private => own,
            FutexPlace::Shared(object, byte) => Key::Shared(object, byte),
        })
    }

    /// Where it belongs in a table of `buckets`, a power of two.
    pub(super) fn bucket(&self, buckets: usize) -> usize {
        let (one, other) = match self {
            Key::Private(space, at) => (space >> 4, at >> 2),
            Key::Shared(object, byte) => (Arc::as_ptr(object) as usize >> 4, (byte >> 2) as usize),
        };
        // The model checker's runs must be alike: nothing may hang on where the allocator puts things.
        let one = if cfg!(loom) { 0 } else { one };
        let mixed = one
            .wrapping_mul(31)
            .wrapping_add(other)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) & (buckets - 1)
    }
}
