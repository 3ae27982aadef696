//! Kernel image for the Raspberry Pi 4: what its device tree cannot say.
#![no_std]
#![no_main]

use halyard_arch_aarch64::{Board, Driver, EarlyUart};

/// The first PL011 (BCM2711 ARM Peripherals 11.5, low peripheral mode): on GPIO 14 and 15 with `dtoverlay=disable-bt`.
static BOARD: Board = Board {
    name: "rpi4",
    early_uart: Some(EarlyUart::Pl011(0xfe20_1000)),
    drivers: &[
        Driver::BCM2835_GPIO,
        Driver::BCM2835_MBOX,
        Driver::BCM2835_I2C,
        Driver::BCM2835_PM,
        Driver::IPROC_RNG200,
    ],
};

halyard_arch_aarch64::board!(BOARD);
