//! The other CPUs: a stack for each, and the firmware's way to start it (PSCI, or a spin-table).
//!
//! A CPU arrives in the entry code with nothing but its MPIDR, by which it finds its data, stack and so on.

use core::arch::asm;
use core::sync::atomic::Ordering;

use aarch64_cpu::registers::{TTBR0_EL1, Writeable};
use halyard_core::machine::{CpuId, MAX_CPUS, OutOfMemory, PAGE_SIZE};
use halyard_core::mm::FramePool;
use halyard_drivers::dt::{Cpu, EnableMethod, Tree};

use super::console::println;
use super::kernel_map::{self, DIRECT_MAP, Image, PHYSICAL_END, STACKS};
use super::{barrier, cpu, power, start, timer};

/// Virtual bytes for one CPU's stacks, guard pages included.
const SLOT: usize = 0x10000;
/// In a slot: a hole, the stack for faults, a hole, the stack.
const EMERGENCY: core::ops::Range<usize> = 0x1000..0x3000;
const STACK: core::ops::Range<usize> = 0x4000..0xc000;

fn map_stack(bottom: usize, size: usize, frames: &FramePool) -> Result<(), OutOfMemory> {
    for page in (bottom..bottom + size).step_by(PAGE_SIZE) {
        let frame = frames.allocate()?;
        kernel_map::map_stack_page(page, frame.0 * PAGE_SIZE).map_err(|_| OutOfMemory)?;
    }
    Ok(())
}

/// Gives CPU `id` its stacks and its name.
fn prepare(id: CpuId, mpidr: u64, frames: &FramePool) -> Result<(), OutOfMemory> {
    let data = cpu::get(id).ok_or(OutOfMemory)?;
    let slot = STACKS + SLOT * usize::from(id.0);
    map_stack(slot + EMERGENCY.start, EMERGENCY.len(), frames)?;
    map_stack(slot + STACK.start, STACK.len(), frames)?;
    let top = |end: usize| (slot + end) as u64;
    data.emergency_top
        .store(top(EMERGENCY.end), Ordering::Relaxed);
    data.stack_top.store(top(STACK.end), Ordering::Relaxed);
    data.mpidr.store(mpidr, Ordering::Release);
    barrier::dsb_sy();
    Ok(())
}

/// Starts every CPU of the tree but this one, as many as the image drives; returns how many were started. They run on their own
/// from here.
#[inline(never)]
pub(crate) fn start_others(tree: &Tree<'_>, frames: &FramePool) -> usize {
    let mut next = 1;
    for found in tree.cpus() {
        let found = match found {
            Ok(found) if found.mpidr == cpu::affinity() => continue,
            Ok(found) => found,
            Err(error) => {
                println!("a CPU is left out: {error}");
                continue;
            }
        };
        if next >= MAX_CPUS {
            println!("only {MAX_CPUS} CPUs are used");
            break;
        }
        if prepare(CpuId(next as u8), found.mpidr, frames).is_err() {
            println!(
                "CPU {:#x} is left out: no memory for its stack",
                found.mpidr
            );
            break;
        }
        if launch(&found) {
            next += 1;
        } else {
            println!("CPU {:#x} does not start", found.mpidr);
        }
    }
    next - 1
}

fn launch(found: &Cpu<'_>) -> bool {
    let entry = Image::secondary_entry() as u64;
    match found.enable_method {
        EnableMethod::Psci => power::start_cpu(found.mpidr, entry),
        EnableMethod::SpinTable { release } => launch_from_table(release, entry),
        EnableMethod::None | EnableMethod::Other(_) => false,
    }
}

/// Writes the entry where the parked CPU looks, past the caches that it does not use, and wakes it
/// (Documentation/arch/arm64/booting.rst).
fn launch_from_table(release: u64, entry: u64) -> bool {
    let physical = release as usize;
    let address = DIRECT_MAP.wrapping_add(physical);
    if physical >= PHYSICAL_END || !release.is_multiple_of(8) || !kernel_map::is_mapped(address) {
        return false;
    }
    // SAFETY: an aligned word of mapped RAM that the tree gives to this purpose, and that the pool does not have: pages with
    // release words are reserved (`start`).
    unsafe {
        core::ptr::write_volatile(address as *mut u64, entry);
        asm!("dc civac, {}", "dsb sy", "sev", in(reg) address, options(nostack, preserves_flags));
    }
    true
}

/// Where the entry code leads the other CPUs, each on its own stack.
#[unsafe(no_mangle)]
extern "C" fn secondary_main() -> ! {
    leave_identity();
    timer::init_cpu();
    start::run_secondary()
}

/// No translation of the lower half is left from the entry code.
pub(crate) fn leave_identity() {
    TTBR0_EL1.set(kernel_map::empty_table());
    barrier::isb();
    // SAFETY: this CPU forgets what it can walk again.
    unsafe { asm!("tlbi vmalle1", options(nostack, preserves_flags)) };
    barrier::dsb_ish();
    barrier::isb();
}
