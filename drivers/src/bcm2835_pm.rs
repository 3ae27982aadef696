//! The Raspberry Pis' power management: a watchdog, and by it reset and power-off (bindings/soc/bcm/brcm,bcm2835-pm.yaml,
//! bindings/watchdog/brcm,bcm2835-pm-wdt.txt). No manual describes it: the registers are known from Linux,
//! drivers/watchdog/bcm2835_wdt.c.
//!
//! Time is counted in 65536ths of a second, at most sixteen seconds.

use core::time::Duration;

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::{LocalRegisterCopy, register_bitfields};

use crate::mmio::{ReadWrite, TooSmall, Window, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["brcm,bcm2835-pm", "brcm,bcm2711-pm"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x28;

register_bitfields![u32,
    /// Reset control.
    RSTC [
        /// What happens when the time is up.
        WRCFG OFFSET(4) NUMBITS(2) [Nothing = 0, FullReset = 2],
        /// Without it in a store, nothing is stored. The same in all three registers.
        PASSWORD OFFSET(24) NUMBITS(8) [Value = 0x5a]
    ],
    /// Reset status: the even bits up to 10 hold a number of six bits, the partition to boot from.
    RSTS [
        PARTITION OFFSET(0) NUMBITS(12) []
    ],
    /// Watchdog.
    WDOG [
        TIME OFFSET(0) NUMBITS(20) []
    ]
];

const RSTC_REGISTER: ReadWrite<u32, RSTC::Register> = ReadWrite::at(0x1c);
const RSTS_REGISTER: ReadWrite<u32, RSTS::Register> = ReadWrite::at(0x20);
const WDOG_REGISTER: ReadWrite<u32, WDOG::Register> = ReadWrite::at(0x24);

/// What RSTC holds when no watchdog runs.
const STOPPED: u32 = 0x102;
/// The even bits of the partition number, all set: 63, which the firmware takes for an order to stay off.
const PARTITION: u32 = 0x555;
/// Until a reset that is wanted now.
const AT_ONCE: u32 = 10;
/// Ticks a second.
const HERTZ: u32 = 1 << 16;
const MAX_TICKS: u32 = 0xf_ffff;

/// The longest time until a reset, in whole seconds.
pub const LONGEST: Duration = Duration::from_secs((MAX_TICKS / HERTZ) as u64);

/// The power management.
#[derive(Debug)]
pub struct Bcm2835Pm<W> {
    window: W,
}

impl<W: Window> Bcm2835Pm<W> {
    /// A driver over `window`. Touches nothing.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        Ok(Bcm2835Pm { window })
    }

    /// Resets the machine after `time`, unless this is called again, or [`Bcm2835Pm::stop`], before. Times that are too long become
    /// the longest, just below sixteen seconds.
    pub fn start(&mut self, time: Duration) {
        let ticks = time.as_nanos() * u128::from(HERTZ) / 1_000_000_000;
        self.run(
            u32::try_from(ticks)
                .unwrap_or(MAX_TICKS)
                .clamp(1, MAX_TICKS),
        );
    }

    /// The machine is not reset.
    pub fn stop(&mut self) {
        self.window.at(RSTC_REGISTER).set(with_password(STOPPED));
    }

    /// How long until the reset.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        let ticks = self.window.at(WDOG_REGISTER).read(WDOG::TIME);
        Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(HERTZ))
    }

    /// Resets the machine, within a fraction of a millisecond.
    pub fn reset(&mut self) {
        let status = self.window.at(RSTS_REGISTER).get();
        self.window
            .at(RSTS_REGISTER)
            .set(with_password(status & !PARTITION));
        self.run(AT_ONCE);
    }

    /// Resets the machine so that the firmware leaves it halted, which is as far off as a Pi goes.
    pub fn power_off(&mut self) {
        let status = self.window.at(RSTS_REGISTER).get();
        self.window
            .at(RSTS_REGISTER)
            .set(with_password(status | PARTITION));
        self.run(AT_ONCE);
    }

    fn run(&mut self, ticks: u32) {
        let window = &self.window;
        window.at(WDOG_REGISTER).set(with_password(ticks));
        let mut control =
            LocalRegisterCopy::<u32, RSTC::Register>::new(window.at(RSTC_REGISTER).get());
        control.modify(RSTC::PASSWORD::Value + RSTC::WRCFG::FullReset);
        window.at(RSTC_REGISTER).set(control.get());
    }
}

fn with_password(value: u32) -> u32 {
    RSTC::PASSWORD::Value.modify(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::fake::{Memory, Write};

    #[test]
    fn new_over_a_window_too_small_is_refused() {
        assert!(Bcm2835Pm::new(&Memory::new(0x24)).is_err());
    }

    #[test]
    fn start_sets_the_time_before_it_arms_the_reset() {
        let memory = Memory::new(0x114);
        memory.poke32(0x1c, STOPPED);
        let mut watchdog = Bcm2835Pm::new(&memory).unwrap();
        watchdog.start(Duration::from_millis(1500));
        let writes = [
            Write::Word(0x24, 0x5a01_8000),
            Write::Word(0x1c, 0x5a00_0122),
        ];
        assert_eq!(memory.take_writes(), writes);
        watchdog.stop();
        assert_eq!(memory.take_writes(), [Write::Word(0x1c, 0x5a00_0102)]);
    }

    #[test]
    fn start_for_longer_than_there_is_takes_the_longest() {
        let memory = Memory::new(0x114);
        let mut watchdog = Bcm2835Pm::new(&memory).unwrap();
        for time in [Duration::from_secs(16), Duration::MAX] {
            watchdog.start(time);
            assert_eq!(memory.take_writes()[0], Write::Word(0x24, 0x5a0f_ffff));
        }
        watchdog.start(Duration::ZERO);
        assert_eq!(memory.take_writes()[0], Write::Word(0x24, 0x5a00_0001));
    }

    #[test]
    fn time_left_is_in_ticks_of_a_65536th() {
        let memory = Memory::new(0x114);
        memory.poke32(0x24, 0x2_8000);
        let watchdog = Bcm2835Pm::new(&memory).unwrap();
        assert_eq!(watchdog.time_left(), Duration::from_millis(2500));
    }

    #[test]
    fn power_off_marks_the_halt_and_reset_clears_the_mark() {
        let memory = Memory::new(0x114);
        memory.poke32(0x20, 0x1002);
        let mut power = Bcm2835Pm::new(&memory).unwrap();
        power.power_off();
        assert_eq!(memory.take_writes()[0], Write::Word(0x20, 0x5a00_1557));
        power.reset();
        let writes = memory.take_writes();
        assert_eq!(writes[0], Write::Word(0x20, 0x5a00_1002));
        assert_eq!(writes[2], Write::Word(0x1c, 0x5a00_0020));
    }
}
