//! What a machine gives the core. `arch/aarch64` implements it over hardware, `arch/host` over an emulation in a test
//! process. Every method is called with interrupts masked and returns promptly, but `run_user` and `idle`.

use alloc::boxed::Box;

use bitflags::bitflags;

use crate::log::Event;
use crate::time::Instant;

/// Bytes in a page and in a page frame.
pub const PAGE_SIZE: usize = 4096;

/// A CPU, counted from 0 in the order in which they came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u8);

/// The most CPUs that a kernel image drives.
pub const MAX_CPUS: usize = 8;

/// A physical page frame, by number (address / [`PAGE_SIZE`]). Says nothing about who owns it: see `mm::FramePool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub usize);

/// A user virtual address, as the program gave it: not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UserAddr(pub usize);

/// First address that a program may map and first beyond what it may map (48-bit lower half, Arm ARM D8.1).
pub const USER_START: usize = 0x1000;
/// See [`USER_START`].
pub const USER_END: usize = 1 << 47;

bitflags! {
    /// What a program may do with a page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u8 {
        /// Load from it.
        const READ = 1;
        /// Store to it.
        const WRITE = 2;
        /// Fetch instructions from it. A page that is written and executed is refused by no rule of Linux's ABI, so W^X for
        /// programs is their own affair; the kernel's own mappings are strict.
        const EXECUTE = 4;
    }
}

/// A present page: where it is and what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The frame behind it.
    pub frame: Frame,
    /// What the hardware lets the program do.
    pub access: Access,
}

/// No frame, or no kernel heap, was to be had. Becomes ENOMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// Names an address space to [`Machine::run_user`]: on arm64 the value of TTBR0_EL1 (table address and ASID).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceToken(pub u64);

/// A hardware page table for one user address space. Calls take page-aligned addresses below [`USER_END`]. All TLB
/// maintenance is the implementation's: when a call returns, no CPU uses the old translation. Intermediate tables come from
/// the frame pool; the mapped frames belong to the caller. Dropped only when no CPU runs in it.
pub trait PageTable: Send + Sync {
    /// Makes `page` present, replacing what was there. Fails only for want of a frame for an intermediate table.
    fn map(&mut self, page: UserAddr, mapping: Mapping) -> Result<(), OutOfMemory>;
    /// Removes `page` and returns what was there.
    fn unmap(&mut self, page: UserAddr) -> Option<Mapping>;
    /// Changes the access of `page` if it is present.
    fn protect(&mut self, page: UserAddr, access: Access);
    /// What is at `page`.
    fn lookup(&self, page: UserAddr) -> Option<Mapping>;
    /// Calls `visit` for each present page in `start..end`, in rising order, with leave to change or remove it (None).
    /// One TLB maintenance for the whole range at the end. Skips absent tables quickly.
    fn update_range(
        &mut self,
        start: UserAddr,
        end: UserAddr,
        visit: &mut dyn FnMut(UserAddr, Mapping) -> Option<Mapping>,
    );
    /// Makes those of the consecutive pages from `start` on present, with `access`, that are not and for which there is a frame.
    /// A frame that was taken is None afterwards; one for which memory for an intermediate table is missing is left.
    fn map_absent(&mut self, start: UserAddr, frames: &mut [Option<Frame>], access: Access) {
        for (page, place) in (start.0..).step_by(PAGE_SIZE).map(UserAddr).zip(frames) {
            if let Some(frame) = *place
                && self.lookup(page).is_none()
                && self.map(page, Mapping { frame, access }).is_ok()
            {
                *place = None;
            }
        }
    }
    /// Removes all pages in `start..end` of a space in which no CPU runs or ever will: without TLB maintenance. Calls `gone`
    /// for each frame, which may be used for something else at once.
    fn clear_range(&mut self, start: UserAddr, end: UserAddr, gone: &mut dyn FnMut(Frame)) {
        self.update_range(start, end, &mut |_, mapping| {
            gone(mapping.frame);
            None
        });
    }
    /// The first present page in `start..end`. Skips absent tables quickly.
    fn first_present(&self, start: UserAddr, end: UserAddr) -> Option<UserAddr>;
    /// The name to run it by.
    fn token(&self) -> SpaceToken;
}

/// A program's general registers, in the order of Linux's `struct user_pt_regs` (asm/ptrace.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserRegs {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP_EL0.
    pub sp: u64,
    /// Where it continues.
    pub pc: u64,
    /// SPSR_EL1: flags; mode bits must be EL0 ([`UserRegs::sanitised_pstate`]).
    pub pstate: u64,
}

impl UserRegs {
    /// The bits of PSTATE that a program may choose: NZCV, and nothing that masks interrupts or leaves EL0
    /// (Arm ARM C5.2.18).
    #[must_use]
    pub const fn sanitised_pstate(pstate: u64) -> u64 {
        pstate & 0xf000_0000
    }
}

/// FP/SIMD state as Linux's `struct user_fpsimd_state` has it.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FpState {
    /// V0 to V31.
    pub v: [u128; 32],
    /// FPSR.
    pub fpsr: u32,
    /// FPCR.
    pub fpcr: u32,
}

/// All that a CPU needs to run a thread of a program. Owned by the task.
#[repr(C, align(16))]
#[derive(Clone, Debug, Default)]
pub struct UserContext {
    /// General registers.
    pub regs: UserRegs,
    /// TPIDR_EL0: the thread's TLS base.
    pub tpidr: u64,
    /// For the machine alone: whether FP state is live in a CPU's registers. 0 in a new context.
    pub fp_live: u64,
    /// FP/SIMD state; true only after [`Machine::release`].
    pub fp: FpState,
}

/// Why a program's instruction could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A page absent, or present without the right. Resolved by the address space, else SIGSEGV or SIGBUS.
    Page(Access),
    /// Misaligned PC, SP or access: SIGBUS, BUS_ADRALN.
    Alignment,
    /// Undefined or disabled instruction: SIGILL, ILL_ILLOPC.
    Undefined,
    /// BRK: SIGTRAP, TRAP_BRKPT.
    Breakpoint,
    /// Single step or watchpoint: SIGTRAP, TRAP_TRACE.
    Step,
    /// Trapped floating-point exception: SIGFPE.
    FloatingPoint,
    /// The memory system reported an error: SIGBUS.
    External,
}

/// An interrupt that the machine has already acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irq {
    /// The CPU's alarm rang ([`Machine::set_alarm`]).
    Timer,
    /// Another CPU called [`Machine::kick`].
    Kick,
    /// Console input is waiting ([`Machine::console_read`]).
    Console,
    /// Nothing that concerns the core.
    Spurious,
}

/// Why [`Machine::run_user`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `svc #0`: number in x8, arguments in x0 to x5; PC is behind the instruction.
    Syscall,
    /// An instruction failed; PC is at it. `address` is the faulting address where there is one, else the PC.
    Fault {
        /// What was wrong.
        kind: FaultKind,
        /// Where.
        address: UserAddr,
        /// ESR_EL1, for the signal frame.
        esr: u64,
    },
    /// An interrupt came while the program ran.
    Interrupt(Irq),
}

/// How the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Off; the code goes to whoever started an emulator, if it can.
    PowerOff(u8),
    /// Start anew.
    Reboot,
    /// Stop and stay.
    Halt,
}

/// The machine.
pub trait Machine: Sync {
    /// The CPU that asks.
    fn cpu(&self) -> CpuId;
    /// Monotonic time. Reads a register; never goes backward on any CPU.
    fn now(&self) -> Instant;
    /// Sets this CPU's one alarm; replaces the one before. [`Instant::NEVER`] switches it off.
    fn set_alarm(&self, at: Instant);
    /// Makes `cpu` leave user mode or idle soon, with [`Irq::Kick`].
    fn kick(&self, cpu: CpuId);
    /// Waits for an interrupt, acknowledges it and says which. May return spuriously.
    fn idle(&self) -> Irq;

    /// Acknowledges an interrupt that waits and says which; [`Irq::Spurious`] if none does.
    fn poll_interrupt(&self) -> Irq {
        Irq::Spurious
    }

    /// Runs the program until it traps. The caller keeps the address space of `space` alive over the call.
    fn run_user(&self, context: &mut UserContext, space: SpaceToken) -> Trap;
    /// The caller is about to give `context` away, look at its FP state, or change it: writes back what this CPU holds
    /// and leaves no user address space active on this CPU.
    fn release(&self, context: &mut UserContext);
    /// As [`Machine::release`], with the address space of `next` active instead of none: its caller holds the task that keeps
    /// that alive, and runs it or calls [`Machine::release`].
    fn switch(&self, context: &mut UserContext, next: SpaceToken) {
        let _ = next;
        self.release(context);
    }
    /// New code was written to `frame`: makes instruction fetch see it (Arm ARM B2.7.4).
    fn sync_code(&self, frame: Frame);

    /// Copies out of a pool frame; `offset + dst.len() <= PAGE_SIZE`.
    fn read_frame(&self, frame: Frame, offset: usize, dst: &mut [u8]);
    /// Copies into a pool frame; `offset + src.len() <= PAGE_SIZE`.
    fn write_frame(&self, frame: Frame, offset: usize, src: &[u8]);
    /// Fills a pool frame with zeros.
    fn zero_frame(&self, frame: Frame);
    /// Copies a whole pool frame.
    fn copy_frame(&self, from: Frame, to: Frame);
    /// Copies between pool frames; neither range leaves its frame, and they do not overlap.
    fn copy_between(
        &self,
        from: Frame,
        from_offset: usize,
        to: Frame,
        to_offset: usize,
        count: usize,
    ) {
        let mut buffer = [0; 256];
        let mut done = 0;
        while let Some(part) = buffer.get_mut(..(count - done).min(256)) {
            if part.is_empty() {
                break;
            }
            self.read_frame(from, from_offset + done, part);
            self.write_frame(to, to_offset + done, part);
            done += part.len();
        }
    }
    /// Compares the aligned u32 at `offset` with `expected` and if equal stores `new`; atomic against programs on all
    /// CPUs. Returns what was there. (Futex words.)
    fn compare_exchange_u32(&self, frame: Frame, offset: usize, expected: u32, new: u32) -> u32;
    /// Atomically loads the aligned u32 at `offset`.
    fn load_u32(&self, frame: Frame, offset: usize) -> u32;
    /// An empty page table.
    fn new_page_table(&self) -> Result<Box<dyn PageTable>, OutOfMemory>;
    /// Whether the kernel heap's reserve is intact, so that small allocations cannot fail (docs/architecture.md).
    fn heap_ready(&self) -> bool;

    /// Writes text to the console; blocks for the UART at most.
    fn console_write(&self, text: &[u8]);
    /// Puts an event into the log, if there is one; does not wait for long, and loses the event rather.
    fn log(&self, event: &Event<'_>) {
        let _ = event;
    }
    /// Takes waiting console input; returns how many bytes.
    fn console_read(&self, into: &mut [u8]) -> usize;
    /// Fills with the best randomness there is; `seed` of the generator in `core`.
    fn entropy(&self, into: &mut [u8]);
    /// Ends it all.
    fn shutdown(&self, how: Shutdown) -> !;
}
