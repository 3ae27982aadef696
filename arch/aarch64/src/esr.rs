//! Reads exception syndromes (Arm ARM D19.2.37, ESR_EL1). Pure: owns nothing, never blocks.

use halyard_core::machine::{Access, FaultKind};

/// What an exception from a program was, as far as its syndrome says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `svc`.
    Syscall,
    /// FP or SIMD while it was switched off: the machine's own affair.
    FpDisabled,
    /// A fault; `far` says whether FAR_EL1 holds its address.
    Fault {
        /// What was wrong.
        kind: FaultKind,
        /// FAR_EL1 is the address; else it is the PC.
        far: bool,
    },
}

/// The exception class.
#[must_use]
pub const fn class(esr: u64) -> u64 {
    (esr >> 26) & 0x3f
}

/// The class of `svc` from AArch64.
pub const CLASS_SVC: u64 = 0x15;

/// Reads the syndrome of a synchronous exception from EL0.
#[must_use]
pub fn cause(esr: u64) -> Cause {
    let fault = |kind, far| Cause::Fault { kind, far };
    match class(esr) {
        CLASS_SVC => Cause::Syscall,
        0x07 => Cause::FpDisabled,
        0x20 => memory_fault(esr, Access::EXECUTE),
        0x24 if esr & (1 << 6) != 0 && esr & (1 << 8) == 0 => memory_fault(esr, Access::WRITE),
        // A cache maintenance instruction (CM) counts as a read, whatever WnR says.
        0x24 => memory_fault(esr, Access::READ),
        0x22 => fault(FaultKind::Alignment, true),
        0x26 => fault(FaultKind::Alignment, false),
        0x2c => fault(FaultKind::FloatingPoint, false),
        0x30 | 0x32 => fault(FaultKind::Step, false),
        0x34 => fault(FaultKind::Step, true),
        0x3c => fault(FaultKind::Breakpoint, false),
        // Unknown, trapped system registers, WFx, SVE, SME, pointer authentication, BTI: a program has no right to them.
        _ => fault(FaultKind::Undefined, false),
    }
}

/// Instruction and data aborts: the fault status code decides.
fn memory_fault(esr: u64, access: Access) -> Cause {
    let kind = match esr & 0x3f {
        // Address size, translation, access flag, permission; levels 0 to 3 and -1.
        0x00..=0x0f | 0x29..=0x2b => FaultKind::Page(access),
        0x21 => FaultKind::Alignment,
        // Unsupported atomic or exclusive on this memory.
        0x35 => FaultKind::Alignment,
        _ => FaultKind::External,
    };
    // FnV: the address is unknown for some external aborts.
    let far = esr & (1 << 10) == 0;
    Cause::Fault { kind, far }
}

/// A fault address as a program knows it: without the tag in the top byte (TCR_EL1.TBI0).
#[must_use]
pub const fn untag(far: u64) -> u64 {
    if far & (1 << 55) == 0 {
        far & (u64::MAX >> 8)
    } else {
        far | (0xff << 56)
    }
}

/// The exception class in words, for a panic.
#[must_use]
pub fn describe(esr: u64) -> &'static str {
    match class(esr) {
        0x00 => "unknown or undefined instruction",
        0x07 => "floating point in the kernel",
        0x0e => "illegal execution state",
        0x18 => "trapped system register",
        0x21 => "instruction abort",
        0x22 => "misaligned PC",
        0x25 => "data abort",
        0x26 => "misaligned stack pointer",
        0x2f => "SError",
        0x3c => "breakpoint",
        _ => "unexpected exception",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn esr(class: u64, iss: u64) -> u64 {
        class << 26 | 1 << 25 | iss
    }

    fn page(access: Access) -> Cause {
        Cause::Fault {
            kind: FaultKind::Page(access),
            far: true,
        }
    }

    #[test]
    fn data_abort_of_store_is_write() {
        assert_eq!(cause(esr(0x24, 1 << 6 | 0x07)), page(Access::WRITE));
        assert_eq!(cause(esr(0x24, 1 << 6 | 0x0f)), page(Access::WRITE));
    }

    #[test]
    fn data_abort_of_cache_maintenance_is_read() {
        assert_eq!(cause(esr(0x24, 1 << 8 | 1 << 6 | 0x07)), page(Access::READ));
    }

    #[test]
    fn instruction_abort_is_execute() {
        assert_eq!(cause(esr(0x20, 0x0d)), page(Access::EXECUTE));
    }

    #[test]
    fn external_abort_without_address_says_so() {
        assert_eq!(
            cause(esr(0x24, 1 << 10 | 0x10)),
            Cause::Fault {
                kind: FaultKind::External,
                far: false
            }
        );
    }

    #[test]
    fn unknown_classes_are_undefined_instructions() {
        for class in [0x00, 0x01, 0x18, 0x19, 0x1c, 0x3f] {
            assert_eq!(
                cause(esr(class, 0)),
                Cause::Fault {
                    kind: FaultKind::Undefined,
                    far: false
                }
            );
        }
    }

    #[test]
    fn untag_keeps_halves_apart() {
        assert_eq!(untag(0xab00_1234_5678_9abc), 0x0000_1234_5678_9abc);
        assert_eq!(untag(0x00ff_8000_0000_0000), 0xffff_8000_0000_0000);
    }
}
