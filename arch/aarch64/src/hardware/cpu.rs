//! What each CPU has for itself, found through TPIDR_EL1.
//!
//! Owns: [`PER_CPU`]. The `Cell`s of an entry are touched by its own CPU only; as the kernel is never re-entered, that
//! makes them safe. Atomics are for all. No locks.

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{MPIDR_EL1, Readable, TPIDR_EL1};
use halyard_core::machine::{CpuId, MAX_CPUS};

use crate::magazine::Magazines;

/// The registers at a fault in the kernel, as the vectors store them.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct FaultFrame {
    pub(crate) x: [u64; 31],
    pub(crate) sp: u64,
    pub(crate) pc: u64,
    pub(crate) pstate: u64,
    pub(crate) esr: u64,
    pub(crate) far: u64,
}

/// One CPU's own data. The assembler knows some fields by their offset.
#[repr(C, align(64))]
pub(crate) struct PerCpu {
    /// SP in the kernel while a program runs.
    pub(crate) kernel_sp: Cell<u64>,
    /// Top of the stack for faults in the kernel.
    pub(crate) emergency_top: AtomicU64,
    /// Affinity fields of MPIDR_EL1; all ones if no CPU has the entry.
    pub(crate) mpidr: AtomicU64,
    /// Top of the kernel stack.
    pub(crate) stack_top: AtomicU64,
    /// TTBR0_EL1 as last written; 0 after a release.
    pub(crate) space: Cell<u64>,
    /// Names the context whose FP state is in the registers (its `fp_live`); 0 if none.
    pub(crate) fp_owner: Cell<u64>,
    /// The name given last.
    pub(crate) fp_serial: Cell<u64>,
    /// Registers at a fault in the kernel.
    pub(crate) fault: UnsafeCell<FaultFrame>,
    /// Pieces of the heap that it keeps.
    pub(crate) magazines: Magazines,
    /// How often the heap had shrunk when it last gave them up.
    pub(crate) settled: Cell<u32>,
}

// SAFETY: `Cell`s, magazines and the fault frame are touched only by the CPU whose TPIDR_EL1 points here (`this`), which is never
// re-entered; the rest is atomic.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    const fn new() -> Self {
        Self {
            kernel_sp: Cell::new(0),
            emergency_top: AtomicU64::new(0),
            mpidr: AtomicU64::new(u64::MAX),
            stack_top: AtomicU64::new(0),
            space: Cell::new(0),
            fp_owner: Cell::new(0),
            fp_serial: Cell::new(0),
            fault: UnsafeCell::new(FaultFrame {
                x: [0; 31],
                sp: 0,
                pc: 0,
                pstate: 0,
                esr: 0,
                far: 0,
            }),
            magazines: Magazines::new(),
            settled: Cell::new(0),
        }
    }

    /// This CPU's number.
    pub(crate) fn id(&self) -> CpuId {
        let offset = core::ptr::from_ref(self).addr() - (&raw const PER_CPU).addr();
        CpuId((offset / size_of::<PerCpu>()) as u8)
    }
}

#[unsafe(no_mangle)]
static PER_CPU: [PerCpu; MAX_CPUS] = [const { PerCpu::new() }; MAX_CPUS];

/// This CPU's own data.
#[inline(always)]
pub(crate) fn this() -> &'static PerCpu {
    // SAFETY: the entry code points TPIDR_EL1 at an entry of `PER_CPU` before any Rust runs, and nothing else writes it.
    unsafe { &*(TPIDR_EL1.get() as *const PerCpu) }
}

/// The data of CPU `id`, if the image drives so many.
pub(crate) fn get(id: CpuId) -> Option<&'static PerCpu> {
    PER_CPU.get(usize::from(id.0))
}

/// The affinity fields of this CPU's MPIDR_EL1 (Arm ARM D19.2.103).
pub(crate) fn affinity() -> u64 {
    MPIDR_EL1.get() & 0xff_00ff_ffff
}

/// Fills the boot CPU's entry.
pub(crate) fn init_boot_cpu(stack_top: usize, emergency_top: usize) {
    let cpu = this();
    cpu.stack_top.store(stack_top as u64, Ordering::Relaxed);
    cpu.emergency_top
        .store(emergency_top as u64, Ordering::Relaxed);
    cpu.mpidr.store(affinity(), Ordering::Relaxed);
}
