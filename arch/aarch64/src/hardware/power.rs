//! How the machine, or one CPU of it, starts and stops: PSCI (Arm DEN 0022), the board's watchdog where there is no PSCI or it refuses,
//! and semihosting where an emulator listens.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

use aarch64_cpu::registers::{CNTFRQ_EL0, Readable};
use halyard_drivers::plan::{self, Plan};
use halyard_drivers::psci::{Conduit, Psci};
use smccc::{Call, Hvc, Smc, psci};

use super::console::println;
use super::once::Once;
use super::{devices, timer};

static PSCI: Once<Psci> = Once::new();
/// An emulator takes HLT #0xf000; on metal it is an undefined instruction.
static SEMIHOSTING: AtomicBool = AtomicBool::new(false);

/// The exit code that tells an emulator's user of a panic.
const PANIC_CODE: u8 = 101;

/// What the device tree and the command line say.
pub(crate) fn init(plan: &Plan<'_>) {
    match plan.psci {
        Ok(Some(psci)) => {
            PSCI.set(psci);
        }
        Ok(None) => {}
        Err(error) => println!("PSCI: {error}"),
    }
    let wanted = plan::words(plan.command_line).any(|word| word == "semihosting");
    SEMIHOSTING.store(wanted, Ordering::Relaxed);
}

/// Starts the CPU with affinity `mpidr` at physical address `entry`; whether the firmware did.
pub(crate) fn start_cpu(mpidr: u64, entry: u64) -> bool {
    let mut arguments = [0; 17];
    arguments[..2].copy_from_slice(&[mpidr, entry]);
    let [result, ..] = match PSCI.get() {
        Some(psci) if psci.conduit == Conduit::Hvc => Hvc::call64(psci.cpu_on, arguments),
        Some(psci) => Smc::call64(psci.cpu_on, arguments),
        None => return false,
    };
    result == 0
}

/// The machine is about to end: CPUs that are kicked stop.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// The other CPUs stop as they leave the kernel or are between two pieces of long work: soon, as no work there is long. One
/// that waits for a lock of a CPU that has stopped waits for ever, which is as good.
pub(crate) fn stop_others() {
    STOPPING.store(true, Ordering::Relaxed);
    super::machine::stop_others();
}

/// Whether the machine is about to end.
pub(crate) fn is_stopping() -> bool {
    STOPPING.load(Ordering::Relaxed)
}

/// Stops this CPU for good.
pub(crate) fn stop_cpu() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}

/// Tells an emulator to end with `code` (Arm semihosting 7.5, SYS_EXIT with ADP_Stopped_ApplicationExit).
fn semihosting_exit(code: u8) {
    if !SEMIHOSTING.load(Ordering::Relaxed) {
        return;
    }
    let block: [u64; 2] = [0x20026, code.into()];
    // SAFETY: the command line promises an emulator behind HLT; it reads the block, which lives until after.
    unsafe {
        asm!("hlt #0xf000", inout("x0") 0x18_u64 => _, in("x1") &raw const block, options(nostack))
    };
}

/// Switches the machine off, or what comes nearest.
pub(crate) fn off(code: u8) -> ! {
    semihosting_exit(code);
    // What returns was refused.
    let _ = match conduit() {
        Some(Conduit::Hvc) => psci::system_off::<Hvc>(),
        Some(Conduit::Smc) => psci::system_off::<Smc>(),
        None => Ok(()),
    };
    if devices::power_off() {
        wait_for_the_end();
    }
    halt()
}

/// Starts the machine anew, or stops it where that cannot be done.
pub(crate) fn reboot() -> ! {
    let _ = match conduit() {
        Some(Conduit::Hvc) => psci::system_reset::<Hvc>(),
        Some(Conduit::Smc) => psci::system_reset::<Smc>(),
        None => Ok(()),
    };
    if devices::reset() {
        wait_for_the_end();
    }
    halt()
}

/// Gives the hardware time to do what it was told.
fn wait_for_the_end() {
    let start = timer::counter();
    let ticks = CNTFRQ_EL0.get() * devices::SETTLING.as_secs();
    while timer::counter().wrapping_sub(start) < ticks {
        core::hint::spin_loop();
    }
}

/// How to ask for SYSTEM_OFF and SYSTEM_RESET, if they are there.
fn conduit() -> Option<Conduit> {
    PSCI.get()
        .filter(|psci| psci.has_system_calls)
        .map(|psci| psci.conduit)
}

/// Says so and stops this CPU.
pub(crate) fn halt() -> ! {
    println!("halted");
    stop_cpu()
}

/// Ends a kernel that cannot go on: an emulator is told, a person can read the screen.
pub(crate) fn die() -> ! {
    semihosting_exit(PANIC_CODE);
    halt()
}
