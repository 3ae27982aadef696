//! Faults of a program's instructions: resolved by its address space, or a signal to the thread that caused them
//! (sigaction(2), "The si_code field").

use super::info::SignalInfo;
use super::number::Signal;
use super::send::force;
use crate::machine::{FaultKind, UserAddr};
use crate::mm::FaultError;
use crate::process::shortage;
use crate::sched::task::Task;

const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const BUS_OBJERR: i32 = 3;
const ILL_ILLOPC: i32 = 1;
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
const FPE_FLTUNK: i32 = 14;

/// An instruction of `task`'s program failed at or on `address`. Resolves what can be resolved; the rest becomes a signal,
/// which ends the program if it blocks or ignores it. `esr` is ESR_EL1.
#[inline]
pub fn on_fault(task: &mut Task, kind: FaultKind, address: UserAddr, esr: u64) {
    let (signal, code) = match kind {
        FaultKind::Page(access) => match task.space.fault(address, access) {
            Ok(()) => return,
            Err(error) => match unresolved(error) {
                Some(signal) => signal,
                None => return shortage::on_shortage(task),
            },
        },
        FaultKind::Alignment => (Signal::BUS, BUS_ADRALN),
        FaultKind::External => (Signal::BUS, BUS_OBJERR),
        FaultKind::Undefined => (Signal::ILL, ILL_ILLOPC),
        FaultKind::Breakpoint => (Signal::TRAP, TRAP_BRKPT),
        FaultKind::Step => (Signal::TRAP, TRAP_TRACE),
        FaultKind::FloatingPoint => (Signal::FPE, FPE_FLTUNK),
    };
    let address = match signal {
        // What is wrong there is the instruction.
        Signal::ILL | Signal::TRAP | Signal::FPE => UserAddr(task.context.regs.pc as usize),
        _ => address,
    };
    task.thread.signals.note_fault(esr, address);
    force(
        &task.thread,
        signal,
        SignalInfo::fault(code, address),
        false,
    );
}

/// The signal for a page fault that the address space could not resolve. None: for want of memory, which is nobody's fault.
const fn unresolved(error: FaultError) -> Option<(Signal, i32)> {
    match error {
        FaultError::NotMapped => Some((Signal::SEGV, SEGV_MAPERR)),
        FaultError::Denied => Some((Signal::SEGV, SEGV_ACCERR)),
        FaultError::BeyondObject | FaultError::ObjectFull => Some((Signal::BUS, BUS_ADRERR)),
        FaultError::OutOfMemory => None,
    }
}
