//! The alternate stack of a thread (sigaltstack(2)). Only the thread itself changes it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Errno, Result};

/// In use.
const SS_ONSTACK: u32 = 1;
/// There is none.
const SS_DISABLE: u32 = 2;
/// Given up when a handler is entered on it, and set again when that returns.
const SS_AUTODISARM: u32 = 1 << 31;

/// The least size in bytes: `MINSIGSTKSZ` of arm64.
const LEAST_BYTES: u64 = 5120;

/// `stack_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct AltStack {
    /// Lowest address.
    pub base: u64,
    /// SS_*.
    pub flags: u32,
    pub(super) pad: u32,
    /// Bytes; 0: there is none.
    pub size: u64,
}

impl AltStack {
    /// None.
    pub const NONE: AltStack = AltStack {
        base: 0,
        flags: SS_DISABLE,
        pad: 0,
        size: 0,
    };

    /// Whether the program runs on it. One that disarms itself never counts as in use.
    #[inline]
    #[must_use]
    pub const fn in_use(&self, sp: u64) -> bool {
        self.disarms() == 0 && sp > self.base && sp - self.base <= self.size
    }

    const fn disarms(&self) -> u32 {
        self.flags & SS_AUTODISARM
    }

    /// Whether it is given up on entering a handler.
    #[inline]
    #[must_use]
    pub const fn is_disarmed_on_entry(&self) -> bool {
        self.disarms() != 0
    }

    /// Where a handler's frame goes that asks for it: its upper end, or None if there is none or it is in use.
    #[inline]
    #[must_use]
    pub const fn entry(&self, sp: u64) -> Option<u64> {
        if self.size == 0 || self.in_use(sp) {
            None
        } else {
            Some(self.base.wrapping_add(self.size))
        }
    }

    /// As sigaltstack(2) tells it to a program that runs at `sp`.
    #[must_use]
    pub const fn seen_at(&self, sp: u64) -> AltStack {
        let state = if self.size == 0 {
            SS_DISABLE
        } else if self.in_use(sp) {
            SS_ONSTACK
        } else {
            0
        };
        AltStack {
            flags: state | self.disarms(),
            pad: 0,
            ..*self
        }
    }

    /// What becomes of it if a program that runs at `sp` asks for `wanted`. EPERM: it is in use. EINVAL: unknown flags.
    /// ENOMEM: too small.
    pub const fn replaced_by(&self, wanted: AltStack, sp: u64) -> Result<AltStack> {
        if self.in_use(sp) {
            return Err(Errno::EPERM);
        }
        match wanted.flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(AltStack {
                base: 0,
                size: 0,
                pad: 0,
                ..wanted
            }),
            0 | SS_ONSTACK if wanted.size < LEAST_BYTES => Err(Errno::ENOMEM),
            0 | SS_ONSTACK => Ok(AltStack { pad: 0, ..wanted }),
            _ => Err(Errno::EINVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: AltStack = AltStack {
        base: 0x1_0000,
        flags: 0,
        pad: 0,
        size: 0x4000,
    };

    #[test]
    fn too_small_is_enomem_and_bad_flags_einval() {
        let small = AltStack {
            size: LEAST_BYTES - 1,
            ..STACK
        };
        assert_eq!(AltStack::NONE.replaced_by(small, 0), Err(Errno::ENOMEM));
        let odd = AltStack { flags: 4, ..STACK };
        assert_eq!(AltStack::NONE.replaced_by(odd, 0), Err(Errno::EINVAL));
        assert_eq!(AltStack::NONE.replaced_by(STACK, 0), Ok(STACK));
    }

    #[test]
    fn change_while_in_use_is_eperm() {
        assert_eq!(
            STACK.replaced_by(AltStack::NONE, 0x1_4000),
            Err(Errno::EPERM)
        );
        assert_eq!(STACK.replaced_by(STACK, 0x1_0001), Err(Errno::EPERM));
        let gone = STACK.replaced_by(
            AltStack {
                flags: SS_DISABLE,
                ..STACK
            },
            0x1_0000,
        );
        assert_eq!(
            gone,
            Ok(AltStack {
                flags: SS_DISABLE,
                ..AltStack::NONE
            })
        );
    }

    #[test]
    fn one_that_disarms_itself_is_never_in_use() {
        let stack = AltStack {
            flags: SS_AUTODISARM,
            ..STACK
        };
        assert!(!stack.in_use(0x1_2000));
        assert_eq!(stack.entry(0x1_2000), Some(0x1_4000));
        assert_eq!(stack.seen_at(0x1_2000).flags, SS_AUTODISARM);
    }

    #[test]
    fn entry_while_in_use_stays_on_the_stack() {
        assert_eq!(STACK.entry(0x1_2000), None);
        assert_eq!(STACK.entry(0x9_0000), Some(0x1_4000));
        assert_eq!(STACK.seen_at(0x1_2000).flags, SS_ONSTACK);
        assert_eq!(AltStack::NONE.seen_at(0).flags, SS_DISABLE);
    }
}
