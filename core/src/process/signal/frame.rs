//! The frame on a program's stack from which a handler starts and to which it returns: Linux's arm64 `struct rt_sigframe`
//! (arch/arm64/kernel/signal.c, uapi/asm/sigcontext.h), which debuggers, unwinders and `ucontext_t` users know.
//!
//! From the stack pointer up: siginfo, ucontext with the general registers, then records in 4096 bytes (FP/SIMD state; the
//! fault's ESR; an end mark), and above it all a frame record by which an unwinder goes on to what was interrupted.
//! Everything is written and read by copying; a program may hand back whatever it likes, and gets SIGSEGV for what makes no
//! sense.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::action::{Action, ActionFlags};
use super::altstack::AltStack;
use super::info::{RawInfo, SignalInfo};
use super::mask::set_mask;
use super::number::{Signal, SignalSet};
use super::send::force;
use crate::kernel::Kernel;
use crate::machine::{FpState, PAGE_SIZE, USER_END, UserAddr, UserRegs};
use crate::mm::AddressSpace;
use crate::sched::task::Task;
use crate::{Errno, Result};

/// What a handler returns to unless its action says otherwise: `mov x8, #139` (rt_sigreturn), `svc #0`. Unwinders know a
/// signal frame by just these instructions.
pub const TRAMPOLINE: [u8; 8] = {
    let [a, b, c, d] = 0xd280_1168_u32.to_le_bytes();
    let [e, f, g, h] = 0xd400_0001_u32.to_le_bytes();
    [a, b, c, d, e, f, g, h]
};

/// Where every program finds [`TRAMPOLINE`]: the last page but one that it could map; nothing else is mapped there.
pub const TRAMPOLINE_AT: UserAddr = UserAddr(USER_END - 2 * PAGE_SIZE);

/// From the start of the frame to the ucontext.
const CONTEXT_OFFSET: u64 = size_of::<RawInfo>() as u64;
/// From the ucontext to the records: `uc_mcontext.__reserved`.
const RECORDS_OFFSET: u64 = 464;
/// Bytes of records.
const RECORDS_BYTES: u64 = 4096;
/// `sizeof(struct rt_sigframe)`.
const FRAME_BYTES: u64 = CONTEXT_OFFSET + RECORDS_OFFSET + RECORDS_BYTES;
/// FPSIMD_MAGIC.
const FP_MAGIC: u32 = 0x4650_8001;
/// `sizeof(struct fpsimd_context)`.
const FP_BYTES: u32 = 528;
/// Where the V registers stand in it.
const FP_VECTORS_OFFSET: u64 = 16;
/// ESR_MAGIC.
const ESR_MAGIC: u32 = 0x4553_5201;
/// `sizeof(struct esr_context)`.
const ESR_BYTES: u32 = 16;

/// `struct ucontext` up to where the records begin.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct UserContextHead {
    flags: u64,
    link: u64,
    stack: AltStack,
    mask: u64,
    /// Room for a sigset_t of 1024 bits, and alignment to 16.
    unused: [u64; 16],
    fault_address: u64,
    x: [u64; 31],
    sp: u64,
    pc: u64,
    pstate: u64,
    align: u64,
}

const _: () = assert!(size_of::<UserContextHead>() as u64 == RECORDS_OFFSET);

/// The head of a record.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
struct RecordHead {
    magic: u32,
    size: u32,
}

/// `struct fpsimd_context` up to the V registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct FpHead {
    record: RecordHead,
    fpsr: u32,
    fpcr: u32,
}

/// What the kernel writes in one piece before the V registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Front {
    context: UserContextHead,
    fp: FpHead,
}

/// What the kernel writes behind the V registers: the fault's record if there is one, and the end mark.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Back {
    esr_record: RecordHead,
    esr: u64,
    end: [u64; 2],
}

/// `base` and then `offset` bytes.
const fn at(base: u64, offset: u64) -> UserAddr {
    UserAddr(base.wrapping_add(offset) as usize)
}

/// Where the frame goes, and the frame record above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    frame: u64,
    record: u64,
}

impl Place {
    /// Below `top`, the stack pointer or the upper end of the alternate stack.
    const fn below(top: u64) -> Place {
        let record = top.wrapping_sub(16) & !15;
        Place {
            frame: record.wrapping_sub(FRAME_BYTES),
            record,
        }
    }
}

const _: () = assert!(FRAME_BYTES.is_multiple_of(16));

/// Makes `task` enter the handler of `action` for `signal`; `mask` comes back when it returns. EFAULT: the frame cannot be
/// written; then registers are as before.
pub(super) fn enter(
    kernel: &Kernel,
    task: &mut Task,
    (signal, info): (Signal, &SignalInfo),
    action: &Action,
    mask: SignalSet,
) -> Result<()> {
    let stack = task.thread.signals.stack();
    let sp = task.context.regs.sp;
    let on_stack = action.flags().contains(ActionFlags::ONSTACK);
    let place = Place::below(if on_stack {
        stack.entry(sp).unwrap_or(sp)
    } else {
        sp
    });
    // The frame shows the FP state, which may still be in the CPU's registers.
    kernel.machine.release(&mut task.context);
    let fault = if SignalSet::SYNCHRONOUS.contains(signal) {
        task.thread.signals.take_fault()
    } else {
        None
    };
    write(task, place, mask, &stack, fault)?;
    if action.flags().contains(ActionFlags::SIGINFO) {
        task.space
            .write_user(at(place.frame, 0), &info.to_raw(signal))?;
    }
    if stack.is_disarmed_on_entry() {
        task.thread.signals.set_stack(AltStack::NONE);
    }
    let regs = &mut task.context.regs;
    regs.x[0] = u64::from(signal.number());
    if action.flags().contains(ActionFlags::SIGINFO) {
        regs.x[1] = place.frame;
        regs.x[2] = place.frame.wrapping_add(CONTEXT_OFFSET);
    }
    regs.x[29] = place.record;
    regs.x[30] = if action.flags().contains(ActionFlags::RESTORER) {
        action.restorer
    } else {
        TRAMPOLINE_AT.0 as u64
    };
    regs.sp = place.frame;
    regs.pc = action.handler;
    Ok(())
}

fn write(
    task: &Task,
    place: Place,
    mask: SignalSet,
    stack: &AltStack,
    fault: Option<(u64, UserAddr)>,
) -> Result<()> {
    let (regs, fp) = (&task.context.regs, &task.context.fp);
    let space = &task.space;
    space.write_user(at(place.record, 0), &[regs.x[29], regs.x[30]])?;
    let front = Front {
        context: UserContextHead {
            flags: 0,
            link: 0,
            stack: *stack,
            mask: mask.0,
            unused: [0; 16],
            fault_address: fault.map_or(0, |(_, address)| address.0 as u64),
            x: regs.x,
            sp: regs.sp,
            pc: regs.pc,
            pstate: regs.pstate,
            align: 0,
        },
        fp: FpHead {
            record: RecordHead {
                magic: FP_MAGIC,
                size: FP_BYTES,
            },
            fpsr: fp.fpsr,
            fpcr: fp.fpcr,
        },
    };
    let context = place.frame.wrapping_add(CONTEXT_OFFSET);
    space.write_user(at(context, 0), &front)?;
    space.write_user(at(context, RECORDS_OFFSET + FP_VECTORS_OFFSET), &fp.v)?;
    let esr_record = RecordHead {
        magic: ESR_MAGIC,
        size: ESR_BYTES,
    };
    let back = fault.map_or_else(Back::default, |(esr, _)| Back {
        esr_record,
        esr,
        end: [0; 2],
    });
    space.write_user(at(context, RECORDS_OFFSET + u64::from(FP_BYTES)), &back)
}

/// rt_sigreturn(2): goes on where the frame at the stack pointer says, with its mask, alternate stack and FP state. A frame
/// that makes no sense is a SIGSEGV.
pub fn sigreturn(kernel: &Kernel, task: &mut Task) {
    // A sleep that the handler interrupted has ended in EINTR.
    task.thread.signals.forget_restart();
    if restore(kernel, task).is_err() {
        let address = UserAddr(task.context.regs.sp as usize);
        force(
            &task.thread,
            Signal::SEGV,
            SignalInfo::fault(super::info::SI_KERNEL, address),
            false,
        );
    }
}

fn restore(kernel: &Kernel, task: &mut Task) -> Result<()> {
    let sp = task.context.regs.sp;
    if !sp.is_multiple_of(16) {
        return Err(Errno::EFAULT);
    }
    let context = sp.wrapping_add(CONTEXT_OFFSET);
    let Front { context: head, fp } = task.space.read_user(at(context, 0))?;
    let records = context.wrapping_add(RECORDS_OFFSET);
    let fp_at = find_fp(&task.space, records, fp.record)?;
    let fp = if fp_at == 0 {
        fp
    } else {
        task.space.read_user(at(records, fp_at))?
    };
    let v = task
        .space
        .read_user(at(records, fp_at + FP_VECTORS_OFFSET))?;
    if !returns_to_user(head.pstate) {
        return Err(Errno::EINVAL);
    }
    kernel.machine.release(&mut task.context);
    task.context.fp = FpState {
        v,
        fpsr: fp.fpsr,
        fpcr: fp.fpcr,
    };
    task.context.regs = UserRegs {
        x: head.x,
        sp: head.sp,
        pc: head.pc,
        pstate: UserRegs::sanitised_pstate(head.pstate),
    };
    restore_stack(task, head.stack);
    set_mask(
        &task.thread,
        SignalSet(head.mask).minus(SignalSet::UNBLOCKABLE),
    );
    Ok(())
}

/// As sigaltstack(2), whose refusals do not matter here.
fn restore_stack(task: &Task, wanted: AltStack) {
    let signals = &task.thread.signals;
    let now = signals.stack();
    if now != wanted
        && let Ok(stack) = now.replaced_by(wanted, task.context.regs.sp)
    {
        signals.set_stack(stack);
    }
}

/// Whether PSTATE is of EL0 in AArch64 and masks nothing (Arm ARM C5.2.18: M[4:0] and DAIF are 0).
const fn returns_to_user(pstate: u64) -> bool {
    pstate & 0x3df == 0
}

/// Where among the records the FP state is; `first` is the first record's head. EINVAL: records that the kernel does not
/// know, of a wrong size, twice, without an end, or no FP state.
fn find_fp(space: &AddressSpace, records: u64, first: RecordHead) -> Result<u64> {
    let mut found = None;
    let (mut offset, mut head) = (0, first);
    loop {
        let room = RECORDS_BYTES.saturating_sub(offset);
        let size = u64::from(head.size);
        if size > room || !size.is_multiple_of(16) {
            return Err(Errno::EINVAL);
        }
        match head.magic {
            0 if size == 0 => return found.ok_or(Errno::EINVAL),
            FP_MAGIC if head.size == FP_BYTES && found.is_none() => found = Some(offset),
            ESR_MAGIC if head.size == ESR_BYTES => {}
            _ => return Err(Errno::EINVAL),
        }
        offset += size;
        if RECORDS_BYTES.saturating_sub(offset) < size_of::<RecordHead>() as u64 {
            return Err(Errno::EINVAL);
        }
        head = space.read_user(at(records, offset))?;
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    /// Offsets that C programs compiled against Linux's headers use.
    #[test]
    fn layout_is_that_of_linux() {
        assert_eq!(FRAME_BYTES, 4688);
        assert_eq!(offset_of!(UserContextHead, stack), 16);
        assert_eq!(offset_of!(UserContextHead, mask), 40);
        assert_eq!(offset_of!(UserContextHead, fault_address), 176);
        assert_eq!(offset_of!(UserContextHead, sp), 176 + 8 + 31 * 8);
        assert_eq!(offset_of!(UserContextHead, pstate), 176 + 8 + 33 * 8);
        assert_eq!(offset_of!(Front, fp), 464);
        assert_eq!(size_of::<FpHead>() as u64, FP_VECTORS_OFFSET);
        assert_eq!(
            FP_VECTORS_OFFSET as usize + size_of::<[u128; 32]>(),
            FP_BYTES as usize
        );
    }

    #[test]
    fn frame_is_aligned_wherever_the_stack_pointer_is() {
        for sp in 0x1_0000..0x1_0020u64 {
            let place = Place::below(sp);
            assert_eq!((place.frame % 16, place.record % 16), (0, 0));
            assert!(place.record + 16 <= sp && place.frame + FRAME_BYTES == place.record);
        }
    }

    #[test]
    fn pstate_of_another_level_or_with_masks_does_not_return() {
        for bad in [
            0b00101,
            0b00100,
            0b01001,
            0x10,
            1 << 6,
            1 << 7,
            1 << 8,
            1 << 9,
        ] {
            assert!(!returns_to_user(bad), "{bad:#x}");
        }
        assert!(returns_to_user(0xf000_0000));
    }
}
