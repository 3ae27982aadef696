//! Kernel image for the Pine64 and Pine64+: what their device tree cannot say.
#![no_std]
#![no_main]

use halyard_arch_aarch64::{Board, Driver, EarlyUart};

/// UART0 (Allwinner A64 User Manual 3.1), where the boot loader speaks.
static BOARD: Board = Board {
    name: "pine64",
    early_uart: Some(EarlyUart::DesignWare(0x01c2_8000)),
    drivers: &[Driver::SUNXI_PIO, Driver::SUNXI_WDT],
};

halyard_arch_aarch64::board!(BOARD);
