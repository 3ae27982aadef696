//! The random number generator of the Raspberry Pis up to the third (binding rng/brcm,bcm2835.yaml; known from Linux,
//! drivers/char/hw_random/bcm2835-rng.c).

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::mmio::{ReadOnly, ReadWrite, TooSmall, Window, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["brcm,bcm2835-rng"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x0c;

register_bitfields![u32,
    /// Control.
    CTRL [
        RBGEN OFFSET(0) NUMBITS(1) []
    ],
    /// Status.
    STATUS [
        /// Stored: how many numbers are thrown away first.
        WARM_UP OFFSET(0) NUMBITS(20) [Value = 0x4_0000],
        /// Words that wait.
        COUNT OFFSET(24) NUMBITS(8) []
    ]
];

const CTRL_REGISTER: ReadWrite<u32, CTRL::Register> = ReadWrite::at(0x00);
const STATUS_REGISTER: ReadWrite<u32, STATUS::Register> = ReadWrite::at(0x04);
const DATA_REGISTER: ReadOnly<u32> = ReadOnly::at(0x08);

/// The generator.
#[derive(Debug)]
pub struct Bcm2835Rng<W> {
    window: W,
}

impl<W: Window> Bcm2835Rng<W> {
    /// A driver over `window`; switches the generator on. Its first words come after a while.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        window.at(STATUS_REGISTER).write(STATUS::WARM_UP::Value);
        window.at(CTRL_REGISTER).modify(CTRL::RBGEN::SET);
        Ok(Bcm2835Rng { window })
    }

    /// A random word, if one waits. Does not block.
    pub fn try_word(&mut self) -> Option<u32> {
        let waiting = self.window.at(STATUS_REGISTER).read(STATUS::COUNT);
        (waiting > 0).then(|| self.window.at(DATA_REGISTER).get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::fake::{Memory, Write};

    #[test]
    fn new_warms_the_generator_up_and_switches_it_on() {
        let memory = Memory::new(0x10);
        Bcm2835Rng::new(&memory).unwrap();
        let writes = [Write::Word(0x04, 0x4_0000), Write::Word(0x00, 1)];
        assert_eq!(memory.take_writes(), writes);
        assert!(Bcm2835Rng::new(&Memory::new(8)).is_err());
    }

    #[test]
    fn word_is_given_only_if_one_waits() {
        let memory = Memory::new(0x10);
        let mut generator = Bcm2835Rng::new(&memory).unwrap();
        memory.poke32(0x08, 0x1234_5678);
        assert_eq!(generator.try_word(), None);
        memory.poke32(0x04, 0x0200_0000);
        assert_eq!(generator.try_word(), Some(0x1234_5678));
    }
}
