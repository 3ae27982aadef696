//! The boot CPU's way from the entry code to the core's loop.

use super::console::{self, EarlyUart, println};
use super::cpu;
use super::kernel_map::Image;

/// What a device tree cannot say about a board.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Its name, as in `boards.toml`.
    pub name: &'static str,
    /// A UART for messages before the device tree is understood.
    pub early_uart: Option<EarlyUart>,
}

/// Boots the kernel; `device_tree` is the physical address that the loader gave.
pub fn start(device_tree: u64, board: &'static Board) -> ! {
    cpu::init_boot_cpu(Image::stack_top(), Image::emergency_top());
    if let Some(uart) = board.early_uart {
        console::init_early(uart);
    }
    println!("Halyard on {}", board.name);
    panic!("device tree at {device_tree:#x}");
}

#[unsafe(no_mangle)]
extern "C" fn secondary_main() -> ! {
    super::power::stop_cpu()
}
