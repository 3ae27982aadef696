//! The boot CPU's way from the entry code to the core's loop.
//!
//! Whatever stops it is said in a plain sentence on the early console.

use alloc::boxed::Box;
use core::fmt;

use halyard_core::boot::{self, BootInfo};
use halyard_core::devices::Found;
use halyard_core::kernel::Kernel;
use halyard_core::machine::{Frame, PAGE_SIZE};
use halyard_core::mm::Memory;
use halyard_drivers::dt::Tree;
use halyard_drivers::plan::{Plan, Wire};

use super::console::{self, EarlyUart, println};
use super::device_tree;
use super::devices::{self, Driver};
use super::interrupts::Interrupts;
use super::kernel_map::Image;
use super::log::{self, log_at};
use super::machine::{self, Aarch64};
use super::once::Once;
use super::ram::{self, Ram};
use super::timer::{self, Clock};
use super::{cpu, entropy, power, smp};

/// What a device tree cannot say about a board.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Its name, as in `boards.toml`.
    pub name: &'static str,
    /// A UART for messages before the device tree is understood.
    pub early_uart: Option<EarlyUart>,
    /// The drivers that its image has, besides those that every board needs.
    pub drivers: &'static [Driver],
}

/// Ends a boot that cannot go on.
fn cannot_boot(why: fmt::Arguments<'_>) -> ! {
    println!("Halyard cannot boot: {why}");
    power::die()
}

/// Boots the kernel; `device_tree` is the physical address that the loader gave.
pub fn start(device_tree: u64, board: &'static Board) -> ! {
    let entered = timer::counter();
    cpu::init_boot_cpu(Image::stack_top(), Image::emergency_top());
    smp::leave_identity();
    if let Some(uart) = board.early_uart {
        console::init_early(uart);
    }
    let (tree, tree_at) = match device_tree::find(device_tree) {
        Ok(found) => found,
        Err(error) => cannot_boot(format_args!("the device tree at {device_tree:#x}: {error}")),
    };
    let plan = Plan::of(&tree);
    log::init(plan.command_line);
    power::init(&plan);
    let console = console::init(&plan);
    let ram = match ram::find(&tree, tree_at, tree.cpus().count()) {
        Ok(ram) => ram,
        Err(error) => cannot_boot(format_args!("{error}")),
    };
    log_at!(
        info,
        "{=str}: {=usize} KiB of RAM",
        board.name,
        (ram.frames.total() * PAGE_SIZE) >> 10
    );
    entropy::init(&tree);
    let devices = devices::init(&tree, board.drivers, entropy::add);
    let machine = bring_up(&plan, console, &ram, entered);
    run(machine, &tree, ram, devices, plan.command_line)
}

/// Timer and interrupts: all that the core asks for but other CPUs. `entered` is the counter when the kernel was entered.
fn bring_up(plan: &Plan<'_>, console: Option<Wire>, ram: &Ram, entered: u64) -> &'static Aarch64 {
    let timer = match plan.timer {
        Ok(timer) => timer,
        Err(error) => cannot_boot(format_args!("the timer: {error}")),
    };
    let Some(clock) = Clock::new(timer.hertz, entered) else {
        cannot_boot(format_args!("the timer's frequency is unknown"));
    };
    let interrupts = match Interrupts::open(plan, timer.wire, console) {
        Ok(interrupts) => interrupts,
        Err(error) => cannot_boot(format_args!("the interrupt controller: {error}")),
    };
    timer::init_cpu();
    if let Err(error) = interrupts.init_cpu() {
        cannot_boot(format_args!("the interrupt controller: {error}"));
    }
    if let Err(error) = interrupts.enable_console() {
        println!("no console input: {error}");
    }
    let made = machine::set(Aarch64 {
        clock,
        interrupts,
        frames: ram.frames,
    });
    let Some(machine) = made else {
        cannot_boot(format_args!("it was started twice"));
    };
    machine
}

/// Hands over to the core, and starts the other CPUs once there is a kernel for them.
fn run(
    machine: &'static Aarch64,
    tree: &Tree<'_>,
    ram: Ram,
    devices: Found,
    command_line: &'static str,
) -> ! {
    let mut seed = [0; 32];
    entropy::fill(&mut seed);
    let memory: &'static Memory = Box::leak(Box::new(Memory::new(machine, ram.frames)));
    let (initramfs, initramfs_frames) = match ram.initrd {
        Some((bytes, frames)) => (Some(bytes), frames),
        None => (None, Frame(0)..Frame(0)),
    };
    let info = BootInfo {
        machine,
        memory,
        initramfs,
        initramfs_frames,
        kernel_bytes: ram.kernel_bytes,
        command_line,
        seed,
        real_time: super::devices::real_time(),
        devices,
    };
    let kernel = match boot::boot(info) {
        Ok(kernel) => kernel,
        Err(error) => cannot_boot(format_args!("{error}")),
    };
    KERNEL.set(kernel);
    let started = smp::start_others(tree, ram.frames);
    log_at!(info, "{=usize} other CPUs started", started);
    ram.frames.give(ram.after_tree);
    kernel.run_cpu()
}

/// What every CPU runs.
static KERNEL: Once<&'static Kernel> = Once::new();

/// What the other CPUs do, each on its own stack.
pub(crate) fn run_secondary() -> ! {
    let (Some(kernel), Some(machine)) = (KERNEL.get(), machine::get()) else {
        power::stop_cpu()
    };
    if let Err(error) = machine.interrupts.init_cpu() {
        println!("CPU {} is left out: {error}", cpu::this().id().0);
        power::stop_cpu()
    }
    log_at!(info, "CPU {=u8} is up", cpu::this().id().0);
    kernel.run_cpu()
}
