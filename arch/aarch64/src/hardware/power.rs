//! How the machine, or one CPU of it, stops.

use core::arch::asm;

use super::console::println;

/// Stops this CPU for good.
pub(crate) fn stop_cpu() -> ! {
    loop {
        aarch64_cpu::asm::wfi();
    }
}

/// Asks the other CPUs to stop.
pub(crate) fn stop_others() {}

/// Ends a kernel that cannot go on.
pub(crate) fn die() -> ! {
    println!("halted");
    stop_cpu()
}
