//! The board's devices as files of /dev: what kinds there are, their numbers, and what is opened under a number.
//!
//! A kind is a trait of [`halyard_device`], which a driver implements; the machine hands its devices over at boot
//! ([`BootInfo`](crate::boot::BootInfo)). docs/devices.md. Owns the devices from then on, each behind a lock of level 9 that is
//! held for a step at most, never while anybody waits.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use halyard_device::{Firmware, GpioChip, I2cBus, RandomSource, Watchdog};

use crate::fs::file::File;
use crate::fs::inode::{DeviceNumber, Inode};
use crate::machine::Machine;
use crate::{Errno, Result};

pub mod gpio;
mod hwrng;
pub mod i2c;
#[cfg(test)]
mod testing;
mod turn;
pub mod vcio;
pub mod watchdog;

/// What the machine found, for the core to make files of.
#[derive(Default)]
pub struct Found {
    /// The generator of random numbers.
    pub random: Option<Box<dyn RandomSource>>,
    /// The watchdog.
    pub watchdog: Option<Box<dyn Watchdog>>,
    /// The way to the firmware.
    pub firmware: Option<Box<dyn Firmware>>,
    /// Controllers of lines, in the order of their numbers.
    pub gpio: Vec<Box<dyn GpioChip>>,
    /// Buses of I2C with their numbers.
    pub i2c: Vec<(u32, Box<dyn I2cBus>)>,
}

/// The devices of a running kernel.
#[derive(Default)]
pub struct Devices {
    random: Option<Arc<hwrng::Generator>>,
    watchdog: Option<Arc<watchdog::Timer>>,
    mailbox: Option<Arc<vcio::Mailbox>>,
    gpio: Vec<Arc<gpio::Chip>>,
    i2c: Vec<Arc<i2c::Bus>>,
}

/// Character devices by major number (Documentation/admin-guide/devices.txt of Linux).
const MISC: u32 = 10;
const I2C: u32 = 89;
/// As Raspberry Pi's Linux has it.
const VCIO: u32 = 100;
/// Linux gives it whatever is free, from the top.
const GPIO: u32 = 254;
/// Minor numbers of [`MISC`].
const WATCHDOG: u32 = 130;
const HWRNG: u32 = 183;

/// A name of /dev.
pub struct DeviceName {
    /// The name.
    pub name: String,
    /// What it names.
    pub number: DeviceNumber,
    /// Who may do what.
    pub permissions: u32,
}

impl Devices {
    /// Devices as `found`.
    #[must_use]
    pub fn new(machine: &'static dyn Machine, found: Found) -> Self {
        let chip = |(number, chip)| Arc::new(gpio::Chip::new(number, chip));
        let bus = |(number, bus)| Arc::new(i2c::Bus::new(number, bus));
        Devices {
            random: found.random.map(hwrng::Generator::new).map(Arc::new),
            watchdog: found
                .watchdog
                .map(|driver| Arc::new(watchdog::Timer::new(machine, driver))),
            mailbox: found.firmware.map(vcio::Mailbox::new).map(Arc::new),
            gpio: (0..).zip(found.gpio).map(chip).collect(),
            i2c: found.i2c.into_iter().map(bus).collect(),
        }
    }

    /// Their names in /dev.
    pub fn names(&self) -> impl Iterator<Item = DeviceName> {
        let one = |here: bool, name: &str, major, minor| {
            here.then(|| DeviceName {
                name: String::from(name),
                number: DeviceNumber { major, minor },
                permissions: 0o600,
            })
        };
        let numbered = |kind: &str, major, minor| {
            let mut name = String::from(kind);
            // Nothing refuses text to a string.
            let _ = write!(name, "{minor}");
            DeviceName {
                name,
                number: DeviceNumber { major, minor },
                permissions: 0o600,
            }
        };
        let chips = self.gpio.iter().map(|chip| chip.number);
        let chips = chips.map(move |number| numbered("gpiochip", GPIO, number));
        let buses = self.i2c.iter().map(|bus| bus.number);
        let buses = buses.map(move |number| numbered("i2c-", I2C, number));
        one(self.random.is_some(), "hwrng", MISC, HWRNG)
            .into_iter()
            .chain(one(self.watchdog.is_some(), "watchdog", MISC, WATCHDOG))
            .chain(one(self.mailbox.is_some(), "vcio", VCIO, 0))
            .chain(chips)
            .chain(buses)
    }

    /// Opens the device of that number. ENXIO: there is none. EBUSY: it is open, and may be open once.
    pub fn open(&self, number: DeviceNumber, inode: Arc<Inode>) -> Result<Arc<dyn File>> {
        let file: Option<Arc<dyn File>> = match (number.major, number.minor) {
            (MISC, HWRNG) => match &self.random {
                Some(generator) => Some(Arc::new(hwrng::HwrngFile::new(generator, inode))),
                None => None,
            },
            (MISC, WATCHDOG) => match &self.watchdog {
                Some(timer) => Some(Arc::new(watchdog::WatchdogFile::open(timer, inode)?)),
                None => None,
            },
            (VCIO, 0) => match &self.mailbox {
                Some(mailbox) => Some(Arc::new(vcio::VcioFile::new(mailbox, inode))),
                None => None,
            },
            (GPIO, minor) => match self.gpio.get(minor as usize) {
                Some(chip) => Some(Arc::new(gpio::ChipFile::new(chip, inode))),
                None => None,
            },
            (I2C, minor) => match self.i2c.iter().find(|bus| bus.number == minor) {
                Some(bus) => Some(Arc::new(i2c::I2cFile::new(bus, inode))),
                None => None,
            },
            _ => None,
        };
        file.ok_or(Errno::ENXIO)
    }
}
