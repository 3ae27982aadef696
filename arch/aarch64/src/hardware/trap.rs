//! The way into a program and back, and faults of the kernel itself.
//!
//! A program runs with SP_EL1 at its [`UserContext`]: on an exception the vectors store its registers there, so nothing is
//! copied. `enter_program` is an ordinary function to Rust: it returns when the program traps.

use core::arch::global_asm;
use core::mem::offset_of;

use aarch64_cpu::registers::{FAR_EL1, Readable, TTBR0_EL1, Writeable};
use halyard_core::machine::{FaultKind, SpaceToken, Trap, UserAddr, UserContext, UserRegs};

use super::cpu::{self, FaultFrame, PerCpu};
use super::{barrier, fp, kernel_map};
use crate::esr::{self, Cause};

global_asm!(
    include_str!("vectors.s"),
    CPU_FAULT = const offset_of!(PerCpu, fault),
    CPU_KERNEL_SP = const offset_of!(PerCpu, kernel_sp),
    CPU_EMERGENCY = const offset_of!(PerCpu, emergency_top),
    CTX_PC = const offset_of!(UserRegs, pc),
    CTX_TPIDR = const offset_of!(UserContext, tpidr),
);

// The vectors address these by number.
const _: () = assert!(offset_of!(UserContext, regs) == 0 && offset_of!(UserRegs, x) == 0);
const _: () = assert!(offset_of!(UserRegs, sp) == 248 && offset_of!(UserRegs, pstate) == 264);
const _: () = assert!(offset_of!(FaultFrame, sp) == 248 && offset_of!(FaultFrame, pc) == 256);
const _: () = assert!(offset_of!(FaultFrame, esr) == 272);

/// Bits of `enter_program`'s result above ESR_EL1's 56: an interrupt, or an SError.
const CAUSE_IRQ: u64 = 1 << 62;
const CAUSE_SERROR: u64 = 2 << 62;

unsafe extern "C" {
    fn enter_program(context: *mut UserContext, cpu: *const PerCpu) -> u64;
}

/// Runs the program until it traps; see [`halyard_core::machine::Machine::run_user`]. `interrupt` acknowledges and says
/// which.
#[inline]
pub(crate) fn run_user(
    context: &mut UserContext,
    space: SpaceToken,
    interrupt: impl Fn() -> Trap,
) -> Trap {
    let cpu = cpu::this();
    if cpu.space.get() != space.0 {
        // The exception return synchronises; stores to the new tables were completed by whoever made them.
        TTBR0_EL1.set(space.0);
        cpu.space.set(space.0);
    }
    loop {
        fp::check(cpu, context);
        // SAFETY: `context` is borrowed exclusively until the return, so the vectors are the only ones to write it; its
        // PSTATE stays within what the core may set (EL0, `UserRegs::sanitised_pstate`); the CPU's data is this CPU's.
        let cause = unsafe { enter_program(context, cpu) };
        // The other causes have no class.
        if esr::class(cause) == esr::CLASS_SVC {
            return Trap::Syscall;
        }
        if cause == CAUSE_IRQ {
            return interrupt();
        }
        match other_trap(cpu, context, cause) {
            Some(trap) => return trap,
            None => continue,
        }
    }
}

/// A trap that is neither a system call nor an interrupt; None if it was the machine's own affair.
#[cold]
fn other_trap(cpu: &PerCpu, context: &mut UserContext, cause: u64) -> Option<Trap> {
    let pc = context.regs.pc;
    if cause == CAUSE_SERROR {
        // It comes late: what went wrong may have been the kernel's doing, or a device's, long before the program ran. Nobody
        // can be charged with it, and nothing that was written can be relied on.
        panic!("SError while a program ran at {pc:#x}");
    }
    match esr::cause(cause) {
        Cause::Syscall => Some(Trap::Syscall),
        Cause::FpDisabled => {
            fp::load(cpu, context);
            None
        }
        Cause::Fault { kind, far } => {
            let address = if far { esr::untag(FAR_EL1.get()) } else { pc };
            Some(fault(kind, address, cause))
        }
    }
}

fn fault(kind: FaultKind, address: u64, esr: u64) -> Trap {
    Trap::Fault {
        kind,
        address: UserAddr(address as usize),
        esr,
    }
}

/// See [`halyard_core::machine::Machine::release`].
pub(crate) fn release(context: &mut UserContext) {
    let cpu = cpu::this();
    fp::save(cpu, context);
    if cpu.space.replace(0) != 0 {
        TTBR0_EL1.set(kernel_map::empty_table());
        // Before the caller may give the tables away: no walk of them starts here any more.
        barrier::isb();
    }
}

/// See [`halyard_core::machine::Machine::switch`].
#[inline]
pub(crate) fn switch(context: &mut UserContext, next: SpaceToken) {
    let cpu = cpu::this();
    fp::save(cpu, context);
    if cpu.space.replace(next.0) != next.0 {
        TTBR0_EL1.set(next.0);
        // Before the caller may give the old tables away: no walk of them starts here any more.
        barrier::isb();
    }
}

/// Where the vectors arrive after an exception in the kernel, on the emergency stack.
#[unsafe(no_mangle)]
extern "C" fn kernel_fault_entry(frame: *const FaultFrame, slot: u64) -> ! {
    // SAFETY: the vectors pass this CPU's own fault frame, filled just now, and nothing writes it but another fault.
    let frame = unsafe { &*frame };
    super::panic::kernel_fault(frame, slot)
}
