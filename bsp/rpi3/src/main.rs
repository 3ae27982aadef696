//! Kernel image for the Raspberry Pi 3: what its device tree cannot say.
#![no_std]
#![no_main]

use halyard_arch_aarch64::{Board, Driver, EarlyUart};

/// The mini UART (BCM2835 ARM Peripherals 2.2, the BCM2837's peripherals beginning at 0x3f00_0000): the firmware sets it up on
/// GPIO 14 and 15 with `enable_uart=1`.
static BOARD: Board = Board {
    name: "rpi3",
    early_uart: Some(EarlyUart::Mini(0x3f21_5040)),
    drivers: &[
        Driver::BCM2835_GPIO,
        Driver::BCM2835_MBOX,
        Driver::BCM2835_I2C,
        Driver::BCM2835_PM,
        Driver::BCM2835_RNG,
    ],
};

halyard_arch_aarch64::board!(BOARD);
