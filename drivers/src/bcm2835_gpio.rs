//! The lines of the Raspberry Pis (BCM2835 ARM Peripherals 6; BCM2711 ARM Peripherals 5; bindings/pinctrl/brcm,bcm2835-gpio.txt).
//! Levels and directions: no events, no pulls, no alternate functions but those that the firmware chose.

use halyard_device::{Function, GpioChip};
use tock_registers::interfaces::{Readable, Writeable};

use crate::mmio::{ReadOnly, ReadWrite, TooSmall, Window, WriteOnly, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["brcm,bcm2835-gpio", "brcm,bcm2711-gpio"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x3c;

/// Three bits a line, ten lines a register: 0 is input, 1 output, another an alternate function.
const SELECT: ReadWrite<u32> = ReadWrite::at(0x00);
/// A bit a line, two registers: a 1 makes it high, or low.
const SET: WriteOnly<u32> = WriteOnly::at(0x1c);
const CLEAR: WriteOnly<u32> = WriteOnly::at(0x28);
const LEVEL: ReadOnly<u32> = ReadOnly::at(0x34);

const INPUT: u32 = 0;
const OUTPUT: u32 = 1;
const FIELD: u32 = 7;

/// The lines that a program may see: the BCM2835 has 54, the BCM2711 four more, which no board uses.
const LINES: u32 = 54;

/// The controller.
#[derive(Debug)]
pub struct Bcm2835Gpio<W> {
    window: W,
}

impl<W: Window> Bcm2835Gpio<W> {
    /// A driver over `window`. Touches nothing.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        Ok(Bcm2835Gpio { window })
    }

    fn selected(&self, line: u32) -> u32 {
        let word = self.window.at(SELECT.nth((line / 10) as usize)).get();
        (word >> (line % 10 * 3)) & FIELD
    }

    fn select(&mut self, line: u32, function: u32) {
        let (register, shift) = (SELECT.nth((line / 10) as usize), line % 10 * 3);
        let others = self.window.at(register).get() & !(FIELD << shift);
        self.window.at(register).set(others | function << shift);
    }
}

impl<W: Window + Send> GpioChip for Bcm2835Gpio<W> {
    fn label(&self) -> &'static str {
        "pinctrl-bcm2835"
    }

    fn lines(&self) -> u32 {
        LINES
    }

    fn function(&self, line: u32) -> Function {
        match self.selected(line) {
            INPUT if line < LINES => Function::Input,
            OUTPUT if line < LINES => Function::Output,
            _ => Function::Other,
        }
    }

    fn input(&mut self, line: u32) {
        if line < LINES {
            self.select(line, INPUT);
        }
    }

    fn output(&mut self, line: u32, high: bool) {
        if line < LINES {
            // Before it is driven, lest the line say for a moment what nobody meant.
            self.set(line, high);
            self.select(line, OUTPUT);
            // QEMU forgets what an input is set to.
            self.set(line, high);
        }
    }

    fn is_high(&self, line: u32) -> bool {
        let level = LEVEL.nth((line / 32) as usize);
        line < LINES && self.window.at(level).get() >> (line % 32) & 1 != 0
    }

    fn set(&mut self, line: u32, high: bool) {
        if line < LINES {
            let register = if high { SET } else { CLEAR };
            let register = register.nth((line / 32) as usize);
            self.window.at(register).set(1 << (line % 32));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::fake::{Memory, Write};

    #[test]
    fn output_is_set_before_it_is_driven_and_leaves_other_lines_alone() {
        let memory = Memory::new(0xf4);
        memory.poke32(0x04, 0x2492_4924);
        let mut gpio = Bcm2835Gpio::new(&memory).unwrap();
        gpio.output(17, true);
        let writes = [
            Write::Word(0x1c, 1 << 17),
            Write::Word(0x04, 0x2492_4924 & !(7 << 21) | 1 << 21),
            Write::Word(0x1c, 1 << 17),
        ];
        assert_eq!(memory.take_writes(), writes);
        assert_eq!(gpio.function(17), Function::Output);
        assert_eq!(gpio.function(16), Function::Other);
        gpio.set(17, false);
        assert_eq!(memory.take_writes(), [Write::Word(0x28, 1 << 17)]);
        gpio.input(17);
        assert_eq!(gpio.function(17), Function::Input);
    }

    #[test]
    fn lines_from_the_32nd_on_are_in_the_second_registers() {
        let memory = Memory::new(0xf4);
        memory.poke32(0x38, 1 << 21);
        let mut gpio = Bcm2835Gpio::new(&memory).unwrap();
        assert!(gpio.is_high(53) && !gpio.is_high(21));
        gpio.set(53, false);
        assert_eq!(memory.take_writes(), [Write::Word(0x2c, 1 << 21)]);
    }

    #[test]
    fn line_that_is_not_there_takes_nothing() {
        let memory = Memory::new(0xf4);
        let mut gpio = Bcm2835Gpio::new(&memory).unwrap();
        for line in [54, 64, u32::MAX] {
            gpio.output(line, true);
            gpio.input(line);
            assert!(!gpio.is_high(line));
            assert_eq!(gpio.function(line), Function::Other);
        }
        assert_eq!(memory.take_writes(), []);
    }
}
