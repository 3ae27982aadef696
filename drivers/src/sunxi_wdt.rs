//! The watchdog of Allwinner's A31 and later, the A64's among them (Allwinner A64 User Manual 4.6, "Watchdog"; binding
//! watchdog/allwinner,sun4i-a10-wdt.yaml, `allwinner,sun6i-a31-wdt`).
//!
//! It knows a dozen intervals and takes the next longer one.

use core::time::Duration;

use tock_registers::interfaces::{ReadWriteable, Writeable};
use tock_registers::register_bitfields;

use crate::mmio::{ReadWrite, TooSmall, Window, WriteOnly, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["allwinner,sun6i-a31-wdt"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x1c;

register_bitfields![u32,
    /// Control.
    CTRL [
        /// Begins to count anew.
        RESTART OFFSET(0) NUMBITS(1) [],
        KEY OFFSET(1) NUMBITS(12) [Value = 0xa57]
    ],
    /// Configuration.
    CFG [
        CONFIG OFFSET(0) NUMBITS(2) [WholeSystem = 1, OnlyInterrupt = 2]
    ],
    /// Mode.
    MODE [
        EN OFFSET(0) NUMBITS(1) [],
        INTERVAL OFFSET(4) NUMBITS(4) []
    ]
];

const CTRL_REGISTER: WriteOnly<u32, CTRL::Register> = WriteOnly::at(0x10);
const CFG_REGISTER: ReadWrite<u32, CFG::Register> = ReadWrite::at(0x14);
const MODE_REGISTER: ReadWrite<u32, MODE::Register> = ReadWrite::at(0x18);

/// Milliseconds of each value of INTERVAL.
const INTERVALS: [u64; 12] = [
    500, 1000, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 12_000, 14_000, 16_000,
];

/// The longest time until a reset.
pub const LONGEST: Duration = Duration::from_secs(16);

/// The watchdog.
#[derive(Debug)]
pub struct SunxiWdt<W> {
    window: W,
}

impl<W: Window> SunxiWdt<W> {
    /// A driver over `window`. Touches nothing.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        Ok(SunxiWdt { window })
    }

    /// Resets the machine after `time` or a little more, unless this is called again, or [`SunxiWdt::stop`], before. Times that are
    /// too long become sixteen seconds.
    pub fn start(&mut self, time: Duration) {
        let fits = |&&interval: &&u64| Duration::from_millis(interval) >= time;
        let shorter = INTERVALS
            .iter()
            .take_while(|interval| !fits(interval))
            .count();
        let interval = shorter.min(INTERVALS.len() - 1) as u32;
        let window = &self.window;
        window.at(CFG_REGISTER).write(CFG::CONFIG::WholeSystem);
        window
            .at(MODE_REGISTER)
            .write(MODE::EN::SET + MODE::INTERVAL.val(interval));
        window
            .at(CTRL_REGISTER)
            .write(CTRL::KEY::Value + CTRL::RESTART::SET);
    }

    /// The machine is not reset.
    pub fn stop(&mut self) {
        self.window.at(MODE_REGISTER).modify(MODE::EN::CLEAR);
    }

    /// Resets the machine, within half a second.
    pub fn reset(&mut self) {
        self.start(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::fake::{Memory, Write};

    fn mode(time: Duration) -> u32 {
        let memory = Memory::new(0x20);
        SunxiWdt::new(&memory).unwrap().start(time);
        match memory.take_writes()[..] {
            [
                Write::Word(0x14, 1),
                Write::Word(0x18, mode),
                Write::Word(0x10, 0x14af),
            ] => mode,
            ref others => panic!("{others:?}"),
        }
    }

    #[test]
    fn start_takes_the_next_longer_interval() {
        assert_eq!(mode(Duration::ZERO), 0x01);
        assert_eq!(mode(Duration::from_millis(500)), 0x01);
        assert_eq!(mode(Duration::from_millis(501)), 0x11);
        assert_eq!(mode(Duration::from_secs(7)), 0x71);
        assert_eq!(mode(Duration::from_secs(16)), 0xb1);
        assert_eq!(mode(Duration::MAX), 0xb1);
    }

    #[test]
    fn stop_keeps_the_interval() {
        let memory = Memory::new(0x20);
        memory.poke32(0x18, 0x71);
        SunxiWdt::new(&memory).unwrap().stop();
        assert_eq!(memory.take_writes(), [Write::Word(0x18, 0x70)]);
    }

    #[test]
    fn new_over_a_window_too_small_is_refused() {
        assert!(SunxiWdt::new(&Memory::new(0x18)).is_err());
    }
}
