//! The devices that one board has and another has not: which drivers an image links is the board's to say.
//!
//! A [`Board`](super::start::Board) lists its [`Driver`]s; each is started over the nodes of the device tree that it follows. A driver
//! that no board lists is not in the image. What the kernel cannot run without (interrupt controller, timer, console) is not here.
//! Owns the devices from then on, each behind a lock of level 9: nothing is called while it is held.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use halyard_cell::SpinLock;
use halyard_core::devices::Found;
use halyard_device::{Firmware, GpioChip, I2cBus, RandomSource, Watchdog};
use halyard_drivers::bcm2835_gpio::{self, Bcm2835Gpio};
use halyard_drivers::bcm2835_i2c::{self, Bcm2835I2c};
use halyard_drivers::bcm2835_mbox::{self, Bcm2835Mbox};
use halyard_drivers::bcm2835_pm::{self, Bcm2835Pm};
use halyard_drivers::bcm2835_rng::{self, Bcm2835Rng};
use halyard_drivers::dt::{Node, Tree};
use halyard_drivers::iproc_rng200::{self, IprocRng200};
use halyard_drivers::mmio::TooSmall;
use halyard_drivers::pl031::{self, Pl031};
use halyard_drivers::pl061::{self, Pl061};
use halyard_drivers::plan;
use halyard_drivers::sunxi_pio::{self, SunxiPio};
use halyard_drivers::sunxi_wdt::{self, SunxiWdt};

use super::console::println;
use super::log::log_at;
use super::once::Once;
use super::registers::Registers;
use super::shared::Shared;

/// A driver that a board's image has.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// The bindings that it follows.
    compatible: &'static [&'static str],
    /// Makes it over the first entry of a node's `reg`.
    start: fn(Registers) -> Result<Device, NoDevice>,
}

/// Why a driver was not made.
enum NoDevice {
    /// The tree is wrong about its registers.
    TooSmall(TooSmall),
    /// What it shares memory with does not reach any, or another has it.
    NoSharedMemory,
}

impl From<TooSmall> for NoDevice {
    fn from(why: TooSmall) -> Self {
        NoDevice::TooSmall(why)
    }
}

impl fmt::Display for NoDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoDevice::TooSmall(why) => why.fmt(f),
            NoDevice::NoSharedMemory => f.write_str("no memory to share with it"),
        }
    }
}

/// A device that was found, by what it does.
enum Device {
    Firmware(Box<dyn Firmware>),
    Gpio(Box<dyn GpioChip>),
    I2c(Box<dyn I2cBus>),
    Random(Box<dyn RandomSource>),
    Watchdog(Box<dyn Watchdog>),
    /// A clock: seconds since 1970, None if it stands still.
    Clock(Option<u32>),
}

impl Driver {
    /// The lines of the Raspberry Pis.
    pub const BCM2835_GPIO: Driver = Driver {
        compatible: bcm2835_gpio::COMPATIBLE,
        start: |registers| Ok(Device::Gpio(Box::new(Bcm2835Gpio::new(registers)?))),
    };

    /// The I2C buses of the Raspberry Pis.
    pub const BCM2835_I2C: Driver = Driver {
        compatible: bcm2835_i2c::COMPATIBLE,
        start: |registers| Ok(Device::I2c(Box::new(Bcm2835I2c::new(registers)?))),
    };

    /// The way to the firmware of the Raspberry Pis.
    pub const BCM2835_MBOX: Driver = Driver {
        compatible: bcm2835_mbox::COMPATIBLE,
        start: |registers| {
            let shared = Shared::take().ok_or(NoDevice::NoSharedMemory)?;
            let mailbox = Bcm2835Mbox::new(registers, shared)?;
            Ok(Device::Firmware(Box::new(mailbox)))
        },
    };

    /// Power management of the Raspberry Pis: watchdog, reset, power-off.
    pub const BCM2835_PM: Driver = Driver {
        compatible: bcm2835_pm::COMPATIBLE,
        start: |registers| Ok(Device::Watchdog(Box::new(Bcm2835Pm::new(registers)?))),
    };

    /// The random number generator of the Raspberry Pis up to the third.
    pub const BCM2835_RNG: Driver = Driver {
        compatible: bcm2835_rng::COMPATIBLE,
        start: |registers| Ok(Device::Random(Box::new(Bcm2835Rng::new(registers)?))),
    };

    /// The random number generator of the Raspberry Pi 4.
    pub const IPROC_RNG200: Driver = Driver {
        compatible: iproc_rng200::COMPATIBLE,
        start: |registers| Ok(Device::Random(Box::new(IprocRng200::new(registers)?))),
    };

    /// The PrimeCell controller of lines.
    pub const PL061: Driver = Driver {
        compatible: pl061::COMPATIBLE,
        start: |registers| Ok(Device::Gpio(Box::new(Pl061::new(registers)?))),
    };

    /// The PrimeCell real-time clock.
    pub const PL031: Driver = Driver {
        compatible: pl031::COMPATIBLE,
        start: |registers| Ok(Device::Clock(Pl031::new(registers)?.seconds())),
    };

    /// The lines of Allwinner's A64.
    pub const SUNXI_PIO: Driver = Driver {
        compatible: sunxi_pio::COMPATIBLE,
        start: |registers| Ok(Device::Gpio(Box::new(SunxiPio::new(registers)?))),
    };

    /// The watchdog of Allwinner's A31 and later.
    pub const SUNXI_WDT: Driver = Driver {
        compatible: sunxi_wdt::COMPATIBLE,
        start: |registers| Ok(Device::Watchdog(Box::new(SunxiWdt::new(registers)?))),
    };
}

/// How many bytes [`bindings`] needs for these drivers.
#[must_use]
pub const fn bindings_size(drivers: &[Driver]) -> usize {
    let (mut size, mut driver) = (0, 0);
    while driver < drivers.len() {
        let (texts, mut text) = (drivers[driver].compatible, 0);
        while text < texts.len() {
            size += texts[text].len() + 1;
            text += 1;
        }
        driver += 1;
    }
    size
}

/// The bindings that the drivers follow, each with a zero byte behind it: for whoever reads the kernel's file. `SIZE` is
/// [`bindings_size`]'s.
#[must_use]
pub const fn bindings<const SIZE: usize>(drivers: &[Driver]) -> [u8; SIZE] {
    let mut all = [0; SIZE];
    let (mut at, mut driver) = (0, 0);
    while driver < drivers.len() {
        let (texts, mut text) = (drivers[driver].compatible, 0);
        while text < texts.len() {
            let (bytes, mut byte) = (texts[text].as_bytes(), 0);
            while byte < bytes.len() {
                all[at + byte] = bytes[byte];
                byte += 1;
            }
            at += bytes.len() + 1;
            text += 1;
        }
        driver += 1;
    }
    all
}

static WATCHDOG: Once<SpinLock<Box<dyn Watchdog>>> = Once::new();
static CLOCK: Once<u32> = Once::new();

/// The watchdog for programs: the kernel resets the machine by the same one.
struct Ours;

impl Ours {
    fn with<T>(f: impl FnOnce(&mut dyn Watchdog) -> T) -> Option<T> {
        WATCHDOG.get().map(|watchdog| f(&mut **watchdog.lock()))
    }
}

impl Watchdog for Ours {
    fn longest(&self) -> Duration {
        Self::with(|watchdog| watchdog.longest()).unwrap_or_default()
    }
    fn start(&mut self, time: Duration) {
        Self::with(|watchdog| watchdog.start(time));
    }
    fn stop(&mut self) {
        Self::with(|watchdog| watchdog.stop());
    }
    fn reset(&mut self) {
        Self::with(|watchdog| watchdog.reset());
    }
}

/// Starts the drivers over what the tree has for them, and gives what programs may use; `take` is given words of the generators.
/// What cannot be started is said and left out, and of watchdogs, clocks and generators the first counts.
pub(crate) fn init(tree: &Tree<'_>, drivers: &[Driver], mut take: impl FnMut(u32)) -> Found {
    let mut found = Found::default();
    for driver in drivers {
        for (node, region) in plan::devices(tree, driver.compatible) {
            let registers = match region.map(Registers::of) {
                Ok(Ok(registers)) => registers,
                Ok(Err(error)) => {
                    println!("{node}: {error}");
                    continue;
                }
                Err(error) => {
                    println!("{node}: {error}");
                    continue;
                }
            };
            match (driver.start)(registers) {
                Ok(device) => {
                    log_at!(info, "driver for {=str}", node.name());
                    keep(device, tree, &node, &mut found, &mut take);
                }
                Err(error) => println!("{node}: {error}"),
            }
        }
    }
    found
}

fn keep(
    device: Device,
    tree: &Tree<'_>,
    node: &Node<'_>,
    found: &mut Found,
    take: &mut impl FnMut(u32),
) {
    match device {
        Device::Firmware(firmware) => {
            found.firmware.get_or_insert(firmware);
        }
        Device::Gpio(chip) => found.gpio.push(chip),
        Device::I2c(bus) => {
            let number = plan::number(tree, node, "i2c");
            let free = |number: &u32| found.i2c.iter().all(|(other, _)| other != number);
            // The tree's number, or the first that is left.
            let number = number.into_iter().chain(0..).find(free).unwrap_or(0);
            found.i2c.push((number, bus));
        }
        Device::Random(mut source) => {
            words(&mut *source).for_each(take);
            found.random.get_or_insert(source);
        }
        Device::Watchdog(watchdog) => {
            if WATCHDOG.set(SpinLock::new(watchdog)).is_some() {
                found.watchdog = Some(Box::new(Ours));
            }
        }
        Device::Clock(seconds) => {
            seconds.and_then(|seconds| CLOCK.set(seconds));
        }
    }
}

/// Up to [`WORDS`] words, as far as they come within the time that boot has for them.
fn words(source: &mut dyn RandomSource) -> impl Iterator<Item = u32> {
    (0..PATIENCE)
        .filter_map(move |_| source.try_word())
        .take(WORDS)
}

/// Words that are asked of a generator: 256 bits.
const WORDS: usize = 8;
/// How often a generator is asked: a few milliseconds. One that takes longer to warm up is done without.
const PATIENCE: u32 = 20_000;

/// How long after [`reset`] or [`power_off`] the machine has obeyed, if it ever does.
pub(crate) const SETTLING: Duration = Duration::from_secs(1);

/// Has the watchdog reset the machine; whether there is one.
pub(crate) fn reset() -> bool {
    Ours::with(|watchdog| watchdog.reset()).is_some()
}

/// Has the watchdog switch the machine off; whether there is one that can.
pub(crate) fn power_off() -> bool {
    Ours::with(|watchdog| watchdog.power_off()).unwrap_or(false)
}

/// Wall-clock time when the kernel began, in ns since 1970; 0 if no clock runs.
pub(crate) fn real_time() -> u64 {
    u64::from(CLOCK.get().copied().unwrap_or(0)) * 1_000_000_000
}
