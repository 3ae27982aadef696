//! The PrimeCell real-time clock, PL031 (Arm DDI 0224C; binding rtc/arm,pl031.yaml). Only the clock is used, not its
//! alarm.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_bitfields;

use crate::mmio::{ReadOnly, ReadWrite, TooSmall, Window, WriteOnly, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["arm,pl031"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x10;

register_bitfields![u32,
    /// Control (3.3.4).
    RTCCR [
        /// Once set, stays set: clearing it would set the clock to 0.
        START OFFSET(0) NUMBITS(1) []
    ]
];

/// Seconds, counting up (3.3.1).
const RTCDR: ReadOnly<u32> = ReadOnly::at(0x000);
/// What to count on from (3.3.3).
const RTCLR: WriteOnly<u32> = WriteOnly::at(0x008);
const RTCCR: ReadWrite<u32, RTCCR::Register> = ReadWrite::at(0x00c);

/// A PL031.
#[derive(Debug)]
pub struct Pl031<W> {
    window: W,
}

impl<W: Window> Pl031<W> {
    /// A driver over `window`. Touches nothing.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        Ok(Pl031 { window })
    }

    /// Seconds since 1970-01-01 00:00:00 UTC, as firmware and emulators set the clock; ends in 2106. None if the clock
    /// stands still.
    #[must_use]
    pub fn seconds(&self) -> Option<u32> {
        let runs = self.window.at(RTCCR).is_set(RTCCR::START);
        runs.then(|| self.window.at(RTCDR).get())
    }

    /// Sets the clock and starts it. It shows the new time within a second.
    pub fn set_seconds(&mut self, seconds: u32) {
        self.window.at(RTCLR).set(seconds);
        self.window.at(RTCCR).write(RTCCR::START::SET);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::fake::{Memory, Write};

    #[test]
    fn seconds_of_a_running_clock_are_read() {
        let memory = Memory::new(0x1000);
        let clock = Pl031::new(&memory).unwrap();
        memory.poke32(0, 1_795_000_000);
        assert_eq!(clock.seconds(), None);
        memory.poke32(0x0c, 1);
        assert_eq!(clock.seconds(), Some(1_795_000_000));
    }

    #[test]
    fn set_seconds_loads_then_starts() {
        let memory = Memory::new(0x1000);
        Pl031::new(&memory).unwrap().set_seconds(7);
        assert_eq!(
            memory.take_writes(),
            [Write::Word(0x08, 7), Write::Word(0x0c, 1)]
        );
    }
}
