//! Operations on semaphores, as a program gives them.

use alloc::vec::Vec;

use halyard_abi::sysv::{IPC_NOWAIT, SEM_UNDO, SEMOPM};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Errno, Result};

/// Arrays of up to this many take no memory of their own.
const INLINE: usize = 4;

/// `struct sembuf`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Operation {
    /// Which semaphore.
    pub number: u16,
    /// What is added; 0: wait until the value is 0.
    pub change: i16,
    /// IPC_NOWAIT, SEM_UNDO.
    pub flags: u16,
}

impl Operation {
    /// EAGAIN instead of a wait.
    #[inline]
    #[must_use]
    pub const fn nowait(self) -> bool {
        self.flags & IPC_NOWAIT as u16 != 0
    }

    /// To be undone when the process ends.
    #[inline]
    #[must_use]
    pub const fn undo(self) -> bool {
        self.flags & SEM_UNDO != 0
    }
}

/// An array of operations.
#[derive(Debug)]
pub enum Operations {
    /// So many of these.
    Short(usize, [Operation; INLINE]),
    /// Many.
    Long(Vec<Operation>),
}

impl Default for Operations {
    fn default() -> Operations {
        Operations::Short(0, [Operation::default(); INLINE])
    }
}

impl Operations {
    /// `count` operations that `fill` fills in. EINVAL: none. E2BIG: more than SEMOPM. ENOMEM, and what `fill` fails with.
    #[inline]
    pub fn with(
        count: usize,
        fill: impl FnOnce(&mut [Operation]) -> Result<()>,
    ) -> Result<Operations> {
        match count {
            0 => Err(Errno::EINVAL),
            1..=INLINE => {
                let mut operations = [Operation::default(); INLINE];
                fill(operations.get_mut(..count).unwrap_or_default())?;
                Ok(Operations::Short(count, operations))
            }
            _ if count <= SEMOPM => {
                let mut operations = Vec::new();
                operations
                    .try_reserve_exact(count)
                    .map_err(|_| Errno::ENOMEM)?;
                operations.resize(count, Operation::default());
                fill(&mut operations)?;
                Ok(Operations::Long(operations))
            }
            _ => Err(Errno::E2BIG),
        }
    }

    /// The operations.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[Operation] {
        match self {
            Operations::Short(count, operations) => operations.get(..*count).unwrap_or_default(),
            Operations::Long(operations) => operations,
        }
    }

    /// A copy. ENOMEM.
    pub fn try_clone(&self) -> Result<Operations> {
        let from = self.as_slice();
        Operations::with(from.len(), |into| {
            into.copy_from_slice(from);
            Ok(())
        })
    }

    /// The highest number among them.
    #[inline]
    #[must_use]
    pub fn highest(&self) -> usize {
        let numbers = self.as_slice().iter().map(|operation| operation.number);
        usize::from(numbers.max().unwrap_or(0))
    }

    /// Whether any changes a value.
    #[inline]
    #[must_use]
    pub fn any_change(&self) -> bool {
        self.as_slice()
            .iter()
            .any(|operation| operation.change != 0)
    }

    /// Whether any is to be undone.
    #[inline]
    #[must_use]
    pub fn any_undo(&self) -> bool {
        self.as_slice().iter().any(|operation| operation.undo())
    }
}
