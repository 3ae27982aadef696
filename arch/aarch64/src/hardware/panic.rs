//! The end of a kernel that cannot go on: plain text with registers and a backtrace, then the machine stops.
//!
//! Takes the console away from whoever has it. The first CPU to panic speaks; the others stop.

use core::arch::asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use super::backtrace::{self, BuildId, Code};
use super::console::{self, println};
use super::cpu::{self, FaultFrame};
use super::{kernel_map, machine, power};
use crate::esr;

/// 0: nobody panicked; else 1 + number of the CPU that did.
static PANICKING: AtomicU32 = AtomicU32::new(0);

/// Whether a CPU panicked, so that the others stop.
pub(crate) fn is_panicking() -> bool {
    PANICKING.load(Ordering::Relaxed) != 0
}

/// Makes this CPU the one that speaks; stops it if another is, or if it fell while speaking.
fn begin() {
    let me = u32::from(cpu::this().id().0) + 1;
    match PANICKING.compare_exchange(0, me, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => console::seize(),
        Err(first) if first == me => {
            console::seize();
            println!("panic while panicking");
            power::die()
        }
        Err(_) => power::stop_cpu(),
    }
    machine::stop_others();
}

/// A fault of the kernel itself. `slot` is the vector's number.
pub(crate) fn kernel_fault(frame: &FaultFrame, slot: u64) -> ! {
    begin();
    let what = match slot % 4 {
        0 if kernel_map::is_stack(frame.far as usize)
            && !kernel_map::is_mapped(frame.far as usize) =>
        {
            "stack overflow"
        }
        0 => esr::describe(frame.esr),
        1 | 2 => "interrupt in the kernel",
        _ => "SError",
    };
    println!("\nkernel fault on CPU {}: {what}", cpu::this().id().0);
    println!(
        "  at {}\n  address {:#018x}, syndrome {:#x}, pstate {:#x}, sp {:#018x}",
        Code(frame.pc),
        frame.far,
        frame.esr,
        frame.pstate,
        frame.sp
    );
    for (index, value) in frame.x.iter().enumerate() {
        let end = if index % 4 == 3 { "\n" } else { "" };
        console::print!("  x{index:<2} {value:016x}{end}");
    }
    println!("\nbuild {BuildId}\nbacktrace:");
    println!("  {}", Code(frame.pc));
    println!("  {} (link register)", Code(frame.x[30]));
    backtrace::print(frame.x[29]);
    power::die()
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let frame: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    begin();
    println!(
        "\nkernel panic on CPU {}: {}",
        cpu::this().id().0,
        info.message()
    );
    if let Some(place) = info.location() {
        println!("  at {place}");
    }
    println!("build {BuildId}\nbacktrace:");
    backtrace::print(frame);
    power::die()
}
