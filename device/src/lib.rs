//! What kinds of device there are: the traits between drivers, which know registers, and the core, which knows programs.
//!
//! A driver implements the trait of its kind and knows nobody who uses it; the core makes a file in /dev of each kind and knows no
//! driver; the arch brings them together. Owns nothing. No method blocks, sleeps or allocates: what takes time is moved along in
//! steps by whoever waits for it, who also sets the limits. Drivers take no locks: what changes a device takes `&mut self`.
#![no_std]
#![forbid(unsafe_code)]

mod firmware;
mod gpio;
mod i2c;
mod random;
mod watchdog;

pub use firmware::{Firmware, FirmwareError};
pub use gpio::{Function, GpioChip};
pub use i2c::{Direction, I2cBus, Message};
pub use random::RandomSource;
pub use watchdog::Watchdog;

/// Why a transfer failed (embedded-hal's own).
pub use embedded_hal::i2c::{ErrorKind as I2cError, NoAcknowledgeSource};
