//! The 64-bit Arm machine as a loader leaves it: one CPU, at EL2 or EL1, MMU and data cache off, interrupts masked.
//!
//! For a program that only puts a kernel into memory. Owns: the entry code, [`Rooms`] over the memory that the device tree names, windows
//! on device registers, the jump into a kernel. Promises: runs wherever it is put, on a 4 KiB boundary; a [`Room`] is
//! memory that nobody else has; the kernel finds the machine as this program found it (Documentation/arch/arm64/booting.rst).
//! All memory is device memory to the CPU while its MMU is off: accesses must be aligned, which the target's `strict-align`
//! sees to, and there are no atomics.
#![no_std]

#[cfg(test)]
extern crate std;

mod rooms;
pub use rooms::{Full, Ranges};

#[cfg(target_os = "none")]
mod hardware;
#[cfg(target_os = "none")]
pub use hardware::{NoMachine, Registers, Room, Rooms, clock, device_tree, jump, pause, rest};

/// Makes the crate an image whose first Rust is `$main`, which gets the physical address of the device tree and does not return.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// Where the entry code arrives, with a stack and zeroed statics.
        #[unsafe(no_mangle)]
        extern "C" fn bare_main(device_tree: usize) -> ! {
            $main(device_tree)
        }
    };
}
