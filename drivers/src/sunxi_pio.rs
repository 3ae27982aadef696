//! The lines of Allwinner's A64 (A64 User Manual 3.21; bindings/pinctrl/allwinner,sun4i-a10-pinctrl.yaml). Levels and directions: no
//! events, no pulls, no other functions but those that the firmware chose.
//!
//! Lines are numbered as Linux numbers them: 32 a port, from port A; so PH9 is 233. What a port has not reads as low.

use halyard_device::{Function, GpioChip};
use tock_registers::interfaces::{Readable, Writeable};

use crate::mmio::{ReadWrite, TooSmall, Window, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["allwinner,sun50i-a64-pinctrl"];

/// Bytes of registers that the driver touches: ports A to H.
pub const WINDOW_SIZE: usize = PORTS as usize * PORT;

const PORTS: u32 = 8;
/// Bytes from a port's registers to the next one's.
const PORT: usize = 0x24;
/// Of a port: what its lines do, four bits each, eight lines a register; and their levels, a bit each.
const CONFIG: usize = 0x00;
const DATA: usize = 0x10;

const INPUT: u32 = 0;
const OUTPUT: u32 = 1;
/// The line is cut off, as after a reset: it is nobody's.
const DISABLED: u32 = 7;
const FIELD: u32 = 7;

/// The controller.
#[derive(Debug)]
pub struct SunxiPio<W> {
    window: W,
}

/// The register of a line, and where in it its bits are.
type Place = (ReadWrite<u32>, u32);

/// None: there is no such line.
fn config(line: u32) -> Option<Place> {
    let register = ReadWrite::at(port(line)? + CONFIG).nth((line % 32 / 8) as usize);
    Some((register, line % 8 * 4))
}

fn data(line: u32) -> Option<Place> {
    Some((ReadWrite::at(port(line)? + DATA), line % 32))
}

fn port(line: u32) -> Option<usize> {
    let port = line / 32;
    (port < PORTS).then_some(port as usize * PORT)
}

impl<W: Window> SunxiPio<W> {
    /// A driver over `window`. Touches nothing.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        Ok(SunxiPio { window })
    }

    fn change(&mut self, place: Option<Place>, field: u32, value: u32) {
        if let Some((register, shift)) = place {
            let others = self.window.at(register).get() & !(field << shift);
            self.window.at(register).set(others | value << shift);
        }
    }
}

impl<W: Window + Send> GpioChip for SunxiPio<W> {
    fn label(&self) -> &'static str {
        "1c20800.pinctrl"
    }

    fn lines(&self) -> u32 {
        PORTS * 32
    }

    fn function(&self, line: u32) -> Function {
        let selected =
            config(line).map(|(register, shift)| self.window.at(register).get() >> shift & FIELD);
        match selected {
            Some(INPUT | DISABLED) => Function::Input,
            Some(OUTPUT) => Function::Output,
            _ => Function::Other,
        }
    }

    fn input(&mut self, line: u32) {
        self.change(config(line), FIELD, INPUT);
    }

    fn output(&mut self, line: u32, high: bool) {
        // Before it is driven, lest the line say for a moment what nobody meant.
        self.set(line, high);
        self.change(config(line), FIELD, OUTPUT);
    }

    fn is_high(&self, line: u32) -> bool {
        data(line).is_some_and(|(register, shift)| self.window.at(register).get() >> shift & 1 != 0)
    }

    fn set(&mut self, line: u32, high: bool) {
        self.change(data(line), 1, high.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::fake::{Memory, Write};

    /// PH9, and its registers.
    const LINE: u32 = 233;
    const CONFIG_AT: usize = 7 * 0x24 + 4;
    const DATA_AT: usize = 7 * 0x24 + 0x10;

    #[test]
    fn output_is_set_before_it_is_driven_and_leaves_other_lines_alone() {
        let memory = Memory::new(0x400);
        memory.poke32(CONFIG_AT, 0x7777_7772);
        memory.poke32(DATA_AT, 0x8000_0001);
        let mut gpio = SunxiPio::new(&memory).unwrap();
        assert_eq!(gpio.function(LINE - 1), Function::Other);
        gpio.output(LINE, true);
        let writes = [
            Write::Word(DATA_AT, 0x8000_0201),
            Write::Word(CONFIG_AT, 0x7777_7712),
        ];
        assert_eq!(memory.take_writes(), writes);
        assert_eq!(gpio.function(LINE), Function::Output);
        assert!(gpio.is_high(LINE));
        gpio.set(LINE, false);
        assert!(!gpio.is_high(LINE));
        gpio.input(LINE);
        assert_eq!(memory.read32(CONFIG_AT), 0x7777_7702);
    }

    #[test]
    fn line_that_is_cut_off_is_nobodys() {
        let memory = Memory::new(0x400);
        memory.poke32(CONFIG_AT, 0x7777_7777);
        let gpio = SunxiPio::new(&memory).unwrap();
        assert_eq!(gpio.function(LINE), Function::Input);
    }

    #[test]
    fn line_that_is_not_there_takes_nothing() {
        let memory = Memory::new(0x400);
        let mut gpio = SunxiPio::new(&memory).unwrap();
        for line in [256, u32::MAX] {
            gpio.output(line, true);
            gpio.input(line);
            assert!(!gpio.is_high(line));
            assert_eq!(gpio.function(line), Function::Other);
        }
        assert_eq!(memory.take_writes(), []);
    }
}
