//! The random number generator of the Raspberry Pi 4 (binding rng/brcm,iproc-rng200.yaml; known from Linux,
//! drivers/char/hw_random/iproc-rng200.c).

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::register_bitfields;

use crate::mmio::{ReadOnly, ReadWrite, TooSmall, Window, WriteOnly, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["brcm,bcm2711-rng200", "brcm,iproc-rng200"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x28;

register_bitfields![u32,
    /// Control.
    CTRL [
        RBGEN OFFSET(0) NUMBITS(13) [Off = 0, On = 1]
    ],
    /// Resets the generator's own logic, or the random bits alone.
    RESET [
        RESET OFFSET(0) NUMBITS(1) []
    ],
    /// Interrupt status; a bit that is written is cleared.
    INTERRUPTS [
        /// The output failed the generator's own tests: all of it counts for nothing.
        NIST_FAIL OFFSET(5) NUMBITS(1) [],
        STARTUP_TRANSITIONS_MET OFFSET(17) NUMBITS(1) [],
        MASTER_FAIL_LOCKOUT OFFSET(31) NUMBITS(1) []
    ],
    COUNT [
        /// Words that wait.
        WORDS OFFSET(0) NUMBITS(8) []
    ]
];

const CTRL_REGISTER: ReadWrite<u32, CTRL::Register> = ReadWrite::at(0x00);
const RESET_REGISTER: WriteOnly<u32, RESET::Register> = WriteOnly::at(0x04);
const RBG_RESET_REGISTER: WriteOnly<u32, RESET::Register> = WriteOnly::at(0x08);
const STATUS_REGISTER: ReadWrite<u32, INTERRUPTS::Register> = ReadWrite::at(0x18);
const DATA_REGISTER: ReadOnly<u32> = ReadOnly::at(0x20);
const COUNT_REGISTER: ReadOnly<u32, COUNT::Register> = ReadOnly::at(0x24);

/// The generator.
#[derive(Debug)]
pub struct IprocRng200<W> {
    window: W,
}

impl<W: Window> IprocRng200<W> {
    /// A driver over `window`; switches the generator on. Its first words come after a while.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        let mut generator = IprocRng200 { window };
        generator.restart();
        Ok(generator)
    }

    /// A random word, if one waits. Does not block. A generator that finds itself wanting is started anew, and has none.
    pub fn try_word(&mut self) -> Option<u32> {
        let status = self.window.at(STATUS_REGISTER).extract();
        if status.is_set(INTERRUPTS::NIST_FAIL) || status.is_set(INTERRUPTS::MASTER_FAIL_LOCKOUT) {
            self.restart();
            return None;
        }
        let waiting = self.window.at(COUNT_REGISTER).read(COUNT::WORDS);
        (waiting > 0).then(|| self.window.at(DATA_REGISTER).get())
    }

    fn restart(&mut self) {
        let window = &self.window;
        window.at(CTRL_REGISTER).modify(CTRL::RBGEN::Off);
        window.at(STATUS_REGISTER).set(u32::MAX);
        for reset in [RBG_RESET_REGISTER, RESET_REGISTER] {
            window.at(reset).write(RESET::RESET::SET);
        }
        for reset in [RESET_REGISTER, RBG_RESET_REGISTER] {
            window.at(reset).write(RESET::RESET::CLEAR);
        }
        window.at(CTRL_REGISTER).modify(CTRL::RBGEN::On);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmio::fake::{Memory, Write};

    #[test]
    fn word_is_given_only_if_one_waits() {
        let memory = Memory::new(0x28);
        let mut generator = IprocRng200::new(&memory).unwrap();
        memory.poke32(0x18, 0);
        memory.poke32(0x20, 0x1234_5678);
        assert_eq!(generator.try_word(), None);
        memory.poke32(0x24, 3);
        assert_eq!(generator.try_word(), Some(0x1234_5678));
        assert_eq!(memory.read32(0), 1);
    }

    #[test]
    fn failed_generator_gives_nothing_and_is_started_anew() {
        for failure in [1 << 5, 1 << 31] {
            let memory = Memory::new(0x28);
            let mut generator = IprocRng200::new(&memory).unwrap();
            memory.take_writes();
            memory.poke32(0x18, failure);
            memory.poke32(0x24, 3);
            assert_eq!(generator.try_word(), None);
            let writes = memory.take_writes();
            assert_eq!(writes.first(), Some(&Write::Word(0x00, 0)));
            assert_eq!(writes.last(), Some(&Write::Word(0x00, 1)));
        }
    }

    #[test]
    fn new_over_a_window_too_small_is_refused() {
        assert!(IprocRng200::new(&Memory::new(0x24)).is_err());
    }
}
