//! FP/SIMD state, switched lazily: the kernel itself uses none, so a program's state stays in the registers over traps
//! and is loaded only when the program touches them.
//!
//! Which context's state is in this CPU's registers: [`PerCpu::fp_owner`] and the context's `fp_live` hold the same number,
//! never 0 and never given twice on a CPU. A context that was dropped without [`save`] leaves an owner that no other context has.

use core::arch::asm;

use aarch64_cpu::registers::{CPACR_EL1, Writeable};
use halyard_core::machine::{FpState, UserContext};

use super::barrier;
use super::cpu::PerCpu;

/// Before each return to the program: FP is on if and only if the registers hold this context's state.
#[inline(always)]
pub(crate) fn check(cpu: &PerCpu, context: &mut UserContext) {
    if context.fp_live != cpu.fp_owner.get() {
        disown(cpu, context);
    }
}

/// The registers hold what belongs to no living context, or to another.
#[cold]
fn disown(cpu: &PerCpu, context: &mut UserContext) {
    context.fp_live = 0;
    cpu.fp_owner.set(0);
    CPACR_EL1.write(CPACR_EL1::FPEN::TrapEl0El1);
}

/// The program touched FP: gives it its state.
pub(crate) fn load(cpu: &PerCpu, context: &mut UserContext) {
    CPACR_EL1.write(CPACR_EL1::FPEN::TrapNothing);
    barrier::isb();
    // SAFETY: FP is on, and the registers belong to no living context (`check` ran before the program did).
    unsafe { load_registers(&context.fp) };
    let serial = cpu.fp_serial.get() + 1;
    cpu.fp_serial.set(serial);
    cpu.fp_owner.set(serial);
    context.fp_live = serial;
}

/// Writes the state back to `context` if the registers hold it, and switches FP off.
#[inline(always)]
pub(crate) fn save(cpu: &PerCpu, context: &mut UserContext) {
    if context.fp_live != 0 && context.fp_live == cpu.fp_owner.get() {
        write_back(cpu, context);
    }
}

#[inline(never)]
fn write_back(cpu: &PerCpu, context: &mut UserContext) {
    // SAFETY: FP is on, as the registers hold this context's state.
    unsafe { save_registers(&mut context.fp) };
    context.fp_live = 0;
    cpu.fp_owner.set(0);
    CPACR_EL1.write(CPACR_EL1::FPEN::TrapEl0El1);
    barrier::isb();
}

/// # Safety
/// FP must be on, and the registers' content must be nobody's.
unsafe fn load_registers(state: &FpState) {
    // SAFETY: reads exactly the fields of `FpState`; the compiler keeps nothing in FP registers (soft-float target).
    unsafe {
        asm!(
            ".arch_extension fp",
            ".arch_extension simd",
            "ldp q0, q1, [{s}]", "ldp q2, q3, [{s}, #32]",
            "ldp q4, q5, [{s}, #64]", "ldp q6, q7, [{s}, #96]",
            "ldp q8, q9, [{s}, #128]", "ldp q10, q11, [{s}, #160]",
            "ldp q12, q13, [{s}, #192]", "ldp q14, q15, [{s}, #224]",
            "ldp q16, q17, [{s}, #256]", "ldp q18, q19, [{s}, #288]",
            "ldp q20, q21, [{s}, #320]", "ldp q22, q23, [{s}, #352]",
            "ldp q24, q25, [{s}, #384]", "ldp q26, q27, [{s}, #416]",
            "ldp q28, q29, [{s}, #448]", "ldp q30, q31, [{s}, #480]",
            "msr fpsr, {sr}", "msr fpcr, {cr}",
            ".arch_extension nosimd",
            ".arch_extension nofp",
            s = in(reg) state,
            sr = in(reg) u64::from(state.fpsr),
            cr = in(reg) u64::from(state.fpcr),
            options(nostack, readonly, preserves_flags)
        );
    }
}

/// # Safety
/// FP must be on.
unsafe fn save_registers(state: &mut FpState) {
    let (sr, cr): (u64, u64);
    // SAFETY: writes exactly `v`, which has room for 32 quadwords.
    unsafe {
        asm!(
            ".arch_extension fp",
            ".arch_extension simd",
            "stp q0, q1, [{s}]", "stp q2, q3, [{s}, #32]",
            "stp q4, q5, [{s}, #64]", "stp q6, q7, [{s}, #96]",
            "stp q8, q9, [{s}, #128]", "stp q10, q11, [{s}, #160]",
            "stp q12, q13, [{s}, #192]", "stp q14, q15, [{s}, #224]",
            "stp q16, q17, [{s}, #256]", "stp q18, q19, [{s}, #288]",
            "stp q20, q21, [{s}, #320]", "stp q22, q23, [{s}, #352]",
            "stp q24, q25, [{s}, #384]", "stp q26, q27, [{s}, #416]",
            "stp q28, q29, [{s}, #448]", "stp q30, q31, [{s}, #480]",
            "mrs {sr}, fpsr", "mrs {cr}, fpcr",
            ".arch_extension nosimd",
            ".arch_extension nofp",
            s = in(reg) state,
            sr = out(reg) sr,
            cr = out(reg) cr,
            options(nostack, preserves_flags)
        );
    }
    // The upper halves of both registers are reserved.
    (state.fpsr, state.fpcr) = (sr as u32, cr as u32);
}
