//! The 64-bit Arm machine: everything between a loader's jump and [`halyard_core::machine::Machine`].
//!
//! Owns: the entry code, the kernel's own translation tables, exception vectors, user page tables and ASIDs, FP state, the
//! generic timer, the other CPUs, the kernel heap. Knows no board: a [`Board`] says what a device tree cannot, and the tree
//! says the rest. The kernel runs at EL1 in the upper half with interrupts masked from end to end; programs run at EL0.
//!
//! Modules without `target_os = "none"` are arithmetic and are tested on the host.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

// memcpy and its kin.
use halyard_mem as _;

pub mod asid;
pub mod clock;
pub mod descriptor;
pub mod esr;
pub mod magazine;
pub mod ring;
pub mod symbols;

#[cfg(target_os = "none")]
mod hardware {
    mod backtrace;
    mod barrier;
    mod boot;
    mod console;
    mod cpu;
    mod device_tree;
    mod devices;
    mod entropy;
    mod fp;
    mod heap;
    mod interrupts;
    mod kernel_map;
    mod log;
    mod log_events;
    mod machine;
    mod memory;
    mod once;
    mod panic;
    mod power;
    mod ram;
    mod registers;
    mod shared;
    mod smp;
    mod start;
    mod table;
    mod timer;
    mod trap;
    mod user_table;

    pub use console::EarlyUart;
    pub use devices::{Driver, bindings, bindings_size};
    pub use start::{Board, start};
}

#[cfg(target_os = "none")]
pub use hardware::{Board, Driver, EarlyUart, bindings, bindings_size, start};

/// Makes the crate a kernel image for the board that the given static describes.
#[macro_export]
macro_rules! board {
    ($board:ident) => {
        /// Where the entry code arrives, on the boot CPU's stack with the MMU on.
        #[unsafe(no_mangle)]
        extern "C" fn board_main(device_tree: u64) -> ! {
            $crate::start(device_tree, &$board)
        }

        /// What the image has drivers for, for `cargo xtask dtb`; not loaded.
        #[used]
        #[unsafe(link_section = ".bindings")]
        static BINDINGS: [u8; $crate::bindings_size($board.drivers)] =
            $crate::bindings($board.drivers);
    };
}
