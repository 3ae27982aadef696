//! The entry code: from the loader's jump (or PSCI's, or a spin-table's) to Rust in the upper half.
//!
//! Promises: whatever EL (1 or 2), register contents and load address it finds, it ends at EL1 with every control
//! register written, MMU and caches on, the image mapped W^X, an unmapped page below the stack, and zeroed statics.

use core::arch::global_asm;
use core::mem::{offset_of, size_of};

use halyard_core::machine::MAX_CPUS;

use super::cpu::PerCpu;
use crate::descriptor;

/// SCTLR_EL2 and SCTLR_EL1 with MMU and caches off: the RES1 bits of Armv8.0 (Arm ARM D19.2.124).
const SCTLR_EL2: u64 = 0x30c5_0830;
const SCTLR_OFF: u64 = 0x30d0_0800;
/// M, C, SA, SA0, ITD, SED, I, DZE, UCT, nTWI, nTWE, UCI: MMU and caches on, stack alignment checked, and EL0 may use what
/// Linux lets it use (DC ZVA, CTR_EL0, cache maintenance, WFI, WFE). SPAN is cleared where there is PAN.
const SCTLR_ON: u64 = SCTLR_OFF
    | 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 7
    | 1 << 8
    | 1 << 12
    | 1 << 14
    | 1 << 15
    | 1 << 16
    | 1 << 18
    | 1 << 26;
/// TCR_EL1: 48-bit halves, 4 KiB granules, walks write-back and inner shareable, top byte of user addresses ignored as Linux
/// has it. IPS and AS are filled in from the CPU's ID registers.
const TCR: u64 =
    16 | 1 << 8 | 1 << 10 | 3 << 12 | 16 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30 | 1 << 37;

global_asm!(
    include_str!("boot.s"),
    TEXT = const descriptor::page(descriptor::TEXT),
    RODATA = const descriptor::page(descriptor::RODATA),
    DATA = const descriptor::page(descriptor::DATA),
    TABLE = const descriptor::TABLE,
    IDENTITY_BLOCK = const descriptor::IDENTITY,
    MAIR = const descriptor::MAIR,
    SCTLR_EL2 = const SCTLR_EL2,
    SCTLR_OFF = const SCTLR_OFF,
    SCTLR_ON = const SCTLR_ON,
    TCR = const TCR,
    MAX_CPUS = const MAX_CPUS,
    CPU_MPIDR = const offset_of!(PerCpu, mpidr),
    CPU_STACK = const offset_of!(PerCpu, stack_top),
    CPU_SIZE = const size_of::<PerCpu>(),
);
