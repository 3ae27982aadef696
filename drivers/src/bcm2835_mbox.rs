//! The mailbox of the Raspberry Pis, by which the firmware on the graphics processor is asked
//! (bindings/mailbox/brcm,bcm2835-mbox.txt; the wiki of raspberrypi/firmware, "Mailboxes" and "Mailbox property interface").
//!
//! A question is a buffer in memory that both sides see: its bytes, a code, tags with their values, a zero. The answer stands in it
//! afterwards, and the code says whether it was understood.

use core::task::Poll;

use halyard_device::{Firmware, FirmwareError};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_bitfields;

use crate::mmio::{ReadOnly, TooSmall, Window, WriteOnly, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["brcm,bcm2835-mbox"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x3c;

/// Words of the longest question.
pub const LONGEST: usize = 256;

register_bitfields![u32,
    /// State of one direction.
    STATUS [
        EMPTY OFFSET(30) NUMBITS(1) [],
        FULL OFFSET(31) NUMBITS(1) []
    ]
];

/// From the firmware to us.
const READ: ReadOnly<u32> = ReadOnly::at(0x00);
const READ_STATUS: ReadOnly<u32, STATUS::Register> = ReadOnly::at(0x18);
/// From us to the firmware.
const WRITE: WriteOnly<u32> = WriteOnly::at(0x20);
const WRITE_STATUS: ReadOnly<u32, STATUS::Register> = ReadOnly::at(0x38);

/// The lowest four bits of a mail say whom it is for: the one that knows properties.
const PROPERTIES: u32 = 8;
const CHANNEL: u32 = 0xf;
/// The code of a buffer that was understood.
const UNDERSTOOD: u32 = 0x8000_0000;
/// As many mails as the firmware can have sent without being read.
const MAILS: usize = 8;

/// Memory that the graphics processor sees too.
pub trait SharedMemory: Send {
    /// Its address there: a multiple of 16.
    fn bus_address(&self) -> u32;
    /// Stores words at its beginning, where the other side sees them.
    fn write(&mut self, words: &[u32]);
    /// Reads words from its beginning, as the other side has left them.
    fn read(&mut self, into: &mut [u32]);
}

/// The mailbox, and a buffer of [`LONGEST`] words.
#[derive(Debug)]
pub struct Bcm2835Mbox<W, M> {
    window: W,
    memory: M,
    /// The buffer is the firmware's.
    asked: bool,
}

impl<W: Window, M: SharedMemory> Bcm2835Mbox<W, M> {
    /// A driver over `window`. Touches nothing.
    pub fn new(window: W, memory: M) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        Ok(Bcm2835Mbox {
            window,
            memory,
            asked: false,
        })
    }

    /// Takes the mails that are there; the one for our buffer makes it ours again.
    fn collect(&mut self) {
        let ours = self.memory.bus_address() | PROPERTIES;
        for _ in 0..MAILS {
            if self.window.at(READ_STATUS).is_set(STATUS::EMPTY) {
                return;
            }
            if self.window.at(READ).get() == ours {
                self.asked = false;
            }
        }
    }
}

impl<W: Window + Send, M: SharedMemory> Firmware for Bcm2835Mbox<W, M> {
    fn longest(&self) -> usize {
        LONGEST
    }

    fn begin(&mut self, question: &[u32]) -> Result<(), FirmwareError> {
        if question.len() > LONGEST {
            return Err(FirmwareError::TooLong);
        }
        self.collect();
        if self.asked || self.window.at(WRITE_STATUS).is_set(STATUS::FULL) {
            return Err(FirmwareError::Busy);
        }
        self.memory.write(question);
        self.asked = true;
        let mail = self.memory.bus_address() & !CHANNEL | PROPERTIES;
        self.window.at(WRITE).set(mail);
        Ok(())
    }

    fn step(&mut self, answer: &mut [u32]) -> Poll<Result<(), FirmwareError>> {
        self.collect();
        if self.asked {
            return Poll::Pending;
        }
        self.memory.read(answer);
        let understood = answer.get(1) == Some(&UNDERSTOOD);
        Poll::Ready(if understood {
            Ok(())
        } else {
            Err(FirmwareError::Refused)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    const AT: u32 = 0xc001_0040;

    #[derive(Default)]
    struct Side {
        mails: Vec<u32>,
        memory: Vec<u32>,
        sent: Vec<u32>,
    }

    /// Both sides of the mailbox.
    struct Fake(Mutex<Side>);

    impl Fake {
        fn answer(&self, code: u32, value: u32) {
            let mut side = self.0.lock().unwrap();
            side.memory[1] = code;
            side.memory[5] = value;
            side.mails.push(AT | 8);
        }
    }

    impl Window for &Fake {
        fn size(&self) -> usize {
            0x40
        }
        fn read8(&self, _: usize) -> u8 {
            0
        }
        fn write8(&self, _: usize, _: u8) {}
        fn read32(&self, offset: usize) -> u32 {
            let mut side = self.0.lock().unwrap();
            match offset {
                0x00 => side.mails.pop().unwrap(),
                0x18 => u32::from(side.mails.is_empty()) << 30,
                _ => 0,
            }
        }
        fn write32(&self, _: usize, value: u32) {
            self.0.lock().unwrap().sent.push(value);
        }
    }

    impl SharedMemory for &Fake {
        fn bus_address(&self) -> u32 {
            AT
        }
        fn write(&mut self, words: &[u32]) {
            self.0.lock().unwrap().memory = words.to_vec();
        }
        fn read(&mut self, into: &mut [u32]) {
            into.copy_from_slice(&self.0.lock().unwrap().memory[..into.len()]);
        }
    }

    const BOARD_REVISION: [u32; 7] = [28, 0, 0x10002, 4, 0, 0, 0];

    #[test]
    fn question_is_answered_once_its_own_mail_comes() {
        let fake = Fake(Mutex::default());
        let mut firmware = Bcm2835Mbox::new(&fake, &fake).unwrap();
        firmware.begin(&BOARD_REVISION).unwrap();
        assert_eq!(fake.0.lock().unwrap().sent, [AT | 8]);
        let mut answer = BOARD_REVISION;
        assert_eq!(firmware.step(&mut answer), Poll::Pending);
        fake.0.lock().unwrap().mails.push(0x1234_5671);
        assert_eq!(firmware.step(&mut answer), Poll::Pending, "another's mail");
        fake.answer(0x8000_0000, 0xa0_2082);
        assert_eq!(firmware.step(&mut answer), Poll::Ready(Ok(())));
        assert_eq!(answer[5], 0xa0_2082);
        firmware.begin(&BOARD_REVISION).unwrap();
        fake.answer(0x8000_0001, 0);
        let refused = Poll::Ready(Err(FirmwareError::Refused));
        assert_eq!(firmware.step(&mut answer), refused);
    }

    #[test]
    fn question_that_was_given_up_keeps_the_buffer_until_it_is_answered() {
        let fake = Fake(Mutex::default());
        let mut firmware = Bcm2835Mbox::new(&fake, &fake).unwrap();
        firmware.begin(&BOARD_REVISION).unwrap();
        let again = firmware.begin(&BOARD_REVISION);
        assert_eq!(again, Err(FirmwareError::Busy));
        fake.answer(0x8000_0000, 7);
        assert_eq!(firmware.begin(&BOARD_REVISION), Ok(()));
        let long = vec![0; LONGEST + 1];
        assert_eq!(firmware.begin(&long), Err(FirmwareError::TooLong));
    }
}
