//! The PrimeCell general-purpose input and output, PL061 (Arm DDI 0190B; binding gpio/pl061-gpio.yaml): eight pins, as
//! `embedded-hal` pins. Levels only: its interrupts are not used.

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, InputPin, OutputPin, StatefulOutputPin};
use halyard_device::{Function, GpioChip};
use tock_registers::interfaces::{Readable, Writeable};

use crate::mmio::{ReadWrite, TooSmall, Window, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["arm,pl061"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x424;

/// The data register, 256 times over: the address is a mask of which pins an access concerns (3.3.1), so that pins are
/// written without a look at their neighbours.
const GPIODATA: ReadWrite<u32> = ReadWrite::at(0x000);
/// A bit a pin: 1 is output (3.3.2).
const GPIODIR: ReadWrite<u32> = ReadWrite::at(0x400);
/// Interrupt mask (3.3.6).
const GPIOIE: ReadWrite<u32> = ReadWrite::at(0x410);
/// A bit a pin: 1 gives the pin to another device (3.3.10).
const GPIOAFSEL: ReadWrite<u32> = ReadWrite::at(0x420);

/// A PL061.
#[derive(Debug)]
pub struct Pl061<W> {
    window: W,
}

/// A pin of eight: 0 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinNumber(u8);

impl PinNumber {
    /// Pin `number`; None from 8 on.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < 8 {
            Some(PinNumber(number))
        } else {
            None
        }
    }

    fn mask(self) -> u32 {
        1 << self.0
    }
}

impl<W: Window + Clone> Pl061<W> {
    /// A driver over `window`, all interrupts masked.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        window.at(GPIOIE).set(0);
        Ok(Pl061 { window })
    }

    /// Makes a pin an input.
    pub fn input(&mut self, pin: PinNumber) -> Input<W> {
        self.change(GPIODIR, pin, false);
        self.change(GPIOAFSEL, pin, false);
        Input(self.pin(pin))
    }

    /// Makes a pin an output, which starts at `high`.
    pub fn output(&mut self, pin: PinNumber, high: bool) -> Output<W> {
        let output = Output(self.pin(pin));
        // Set before, so that the pin does not glitch, and after, for a level written to an input may be lost.
        output.0.set(high);
        self.change(GPIOAFSEL, pin, false);
        self.change(GPIODIR, pin, true);
        output.0.set(high);
        output
    }

    fn pin(&self, pin: PinNumber) -> Pin<W> {
        Pin {
            window: self.window.clone(),
            mask: pin.mask(),
        }
    }

    fn change(&mut self, register: ReadWrite<u32>, pin: PinNumber, on: bool) {
        let others = self.window.at(register).get() & !pin.mask();
        let bit = if on { pin.mask() } else { 0 };
        self.window.at(register).set(others | bit);
    }
}

impl<W: Window + Clone + Send> GpioChip for Pl061<W> {
    fn label(&self) -> &'static str {
        "pl061"
    }

    fn lines(&self) -> u32 {
        8
    }

    fn function(&self, line: u32) -> Function {
        let Some(pin) = number(line) else {
            return Function::Other;
        };
        let has = |register: ReadWrite<u32>| self.window.at(register).get() & pin.mask() != 0;
        match (has(GPIOAFSEL), has(GPIODIR)) {
            (true, _) => Function::Other,
            (false, true) => Function::Output,
            (false, false) => Function::Input,
        }
    }

    fn input(&mut self, line: u32) {
        if let Some(pin) = number(line) {
            Pl061::input(self, pin);
        }
    }

    fn output(&mut self, line: u32, high: bool) {
        if let Some(pin) = number(line) {
            Pl061::output(self, pin, high);
        }
    }

    fn is_high(&self, line: u32) -> bool {
        number(line).is_some_and(|pin| self.pin(pin).is_high())
    }

    fn set(&mut self, line: u32, high: bool) {
        if let Some(pin) = number(line) {
            self.pin(pin).set(high);
        }
    }
}

fn number(line: u32) -> Option<PinNumber> {
    u8::try_from(line).ok().and_then(PinNumber::new)
}

#[derive(Debug)]
struct Pin<W> {
    window: W,
    mask: u32,
}

impl<W: Window> Pin<W> {
    fn set(&self, high: bool) {
        let level = if high { self.mask } else { 0 };
        self.window.at(GPIODATA.nth(self.mask as usize)).set(level);
    }

    fn is_high(&self) -> bool {
        self.window.at(GPIODATA.nth(self.mask as usize)).get() & self.mask != 0
    }
}

/// A pin that is read.
#[derive(Debug)]
pub struct Input<W>(Pin<W>);

/// A pin that is driven.
#[derive(Debug)]
pub struct Output<W>(Pin<W>);

impl<W> ErrorType for Input<W> {
    type Error = Infallible;
}

impl<W> ErrorType for Output<W> {
    type Error = Infallible;
}

impl<W: Window> InputPin for Input<W> {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.is_high())
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.is_high())
    }
}

impl<W: Window> OutputPin for Output<W> {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set(true);
        Ok(())
    }
}

impl<W: Window> StatefulOutputPin for Output<W> {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.is_high())
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.is_high())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::fake::{Memory, Write};

    const PIN: PinNumber = PinNumber(3);

    #[test]
    fn output_writes_through_the_mask_of_its_pin_alone() {
        let memory = Memory::new(0x1000);
        let mut gpio = Pl061::new(&memory).unwrap();
        let mut pin = gpio.output(PIN, false);
        memory.take_writes();
        pin.set_high().unwrap();
        assert_eq!(pin.is_set_high(), Ok(true));
        pin.set_low().unwrap();
        assert_eq!(pin.is_set_low(), Ok(true));
        assert_eq!(
            memory.take_writes(),
            [Write::Word(0x20, 8), Write::Word(0x20, 0)]
        );
    }

    #[test]
    fn direction_of_the_other_pins_is_kept() {
        let memory = Memory::new(0x1000);
        memory.poke32(0x400, 0x81);
        let mut gpio = Pl061::new(&memory).unwrap();
        gpio.output(PIN, true);
        assert_eq!(memory.read32(0x400), 0x89);
        gpio.input(PIN);
        assert_eq!(memory.read32(0x400), 0x81);
    }

    #[test]
    fn input_reads_its_own_bit() {
        let memory = Memory::new(0x1000);
        let mut gpio = Pl061::new(&memory).unwrap();
        let mut pin = gpio.input(PIN);
        memory.poke32(0x20, 0xf7);
        assert_eq!(pin.is_high(), Ok(false));
        memory.poke32(0x20, 0x08);
        assert_eq!(pin.is_low(), Ok(false));
    }

    #[test]
    fn pin_numbers_from_eight_on_are_refused() {
        assert_eq!(PinNumber::new(7), Some(PinNumber(7)));
        assert_eq!(PinNumber::new(8), None);
    }
}
