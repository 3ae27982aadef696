//! Kernel image for QEMU's `virt` machine: what its device tree cannot say.
#![no_std]
#![no_main]

use halyard_arch_aarch64::{Board, Driver, EarlyUart};

/// The PL011 that `virt` has had at this address since its first version (QEMU, `hw/arm/virt.c`, `VIRT_UART0`).
static BOARD: Board = Board {
    name: "qemu-virt",
    early_uart: Some(EarlyUart::Pl011(0x0900_0000)),
    drivers: &[Driver::PL031, Driver::PL061],
};

halyard_arch_aarch64::board!(BOARD);
