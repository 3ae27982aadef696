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

/// The ucontext and its first record, as the kernel lays them out.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Front {
    context: UserContextHead,
    fp: FpHead,
    v: [u128; 32],
    /// The fault's record, or the end mark.
    second: RecordHead,
    esr: u64,
}

/// All that the kernel writes at the stack pointer, in one piece.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, IntoBytes, Immutable)]
struct Written {
    info: RawInfo,
    front: Front,
    /// The end mark behind the fault's record.
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
    write(task, place, mask, (signal, info), fault)?;
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
    (signal, info): (Signal, &SignalInfo),
    fault: Option<(u64, UserAddr)>,
) -> Result<()> {
    let (regs, fp) = (&task.context.regs, &task.context.fp);
    let context = UserContextHead {
        flags: 0,
        link: 0,
        stack: task.thread.signals.stack(),
        mask: mask.0,
        unused: [0; 16],
        fault_address: fault.map_or(0, |(_, address)| address.0 as u64),
        x: regs.x,
        sp: regs.sp,
        pc: regs.pc,
        pstate: regs.pstate,
        align: 0,
    };
    let esr_record = RecordHead {
        magic: ESR_MAGIC,
        size: ESR_BYTES,
    };
    let (second, esr) = fault.map_or_else(Default::default, |(esr, _)| (esr_record, esr));
    let record = RecordHead {
        magic: FP_MAGIC,
        size: FP_BYTES,
    };
    let front = Front {
        context,
        fp: FpHead {
            record,
            fpsr: fp.fpsr,
            fpcr: fp.fpcr,
        },
        v: fp.v,
        second,
        esr,
    };
    let written = Written {
        info: info.to_raw(signal),
        front,
        end: [0; 2],
    };
    task.space.write_user(at(place.frame, 0), &written)?;
    task.space
        .write_user(at(place.record, 0), &[regs.x[29], regs.x[30]])
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
    let front: Front = task.space.read_user(at(context, 0))?;
    let (head, fp) = (&front.context, fp_state(&task.space, context, &front)?);
    if !returns_to_user(head.pstate) {
        return Err(Errno::EINVAL);
    }
    kernel.machine.release(&mut task.context);
    task.context.fp = fp;
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

/// The FP state of a frame whose ucontext is at `context`. What the kernel wrote is as it was written, most often; a program
/// may have put the records into another order. EINVAL: they make no sense.
fn fp_state(space: &AddressSpace, context: u64, front: &Front) -> Result<FpState> {
    let usual = RecordHead {
        magic: FP_MAGIC,
        size: FP_BYTES,
    };
    let (fp, v) = if front.fp.record == usual && front.second == RecordHead::default() {
        (front.fp, front.v)
    } else {
        let records = context.wrapping_add(RECORDS_OFFSET);
        let found = find_fp(space, records)?;
        let v = space.read_user(at(records, found + FP_VECTORS_OFFSET))?;
        (space.read_user(at(records, found))?, v)
    };
    Ok(FpState {
        v,
        fpsr: fp.fpsr,
        fpcr: fp.fpcr,
    })
}

/// Where among the records the FP state is. EINVAL: records that the kernel does not know, of a wrong size, twice, without
/// an end, or no FP state.
fn find_fp(space: &AddressSpace, records: u64) -> Result<u64> {
    let mut found = None;
    let mut offset = 0;
    while offset + size_of::<RecordHead>() as u64 <= RECORDS_BYTES {
        let head: RecordHead = space.read_user(at(records, offset))?;
        let size = u64::from(head.size);
        if size > RECORDS_BYTES - offset || !size.is_multiple_of(16) {
            return Err(Errno::EINVAL);
        }
        match head.magic {
            0 if size == 0 => return found.ok_or(Errno::EINVAL),
            FP_MAGIC if head.size == FP_BYTES && found.is_none() => found = Some(offset),
            ESR_MAGIC if head.size == ESR_BYTES => {}
            _ => return Err(Errno::EINVAL),
        }
        offset += size;
    }
    Err(Errno::EINVAL)
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
        assert_eq!(offset_of!(Front, second), 464 + FP_BYTES as usize);
        assert_eq!(
            (offset_of!(Written, front), size_of::<Written>()),
            (128, 1152)
        );
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
