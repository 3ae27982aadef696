//! The Broadcom serial controller of the Raspberry Pis, a master of an I2C bus (BCM2835 ARM Peripherals 3;
//! bindings/i2c/brcm,bcm2835-i2c.yaml).
//!
//! A transaction is any number of writes and then at most one read: the controller can begin anew behind a write that is still under
//! way, not behind a read. What is more than its FIFO holds has to be brought and taken in time, or the bus waits: it holds the clock.
//!
//! The bus's clock is the core's, divided. Its frequency is the firmware's to choose (250 to 550 MHz) and the divider is made for the
//! highest, so that the bus has 45 to 100 kHz.

use core::task::Poll;
use core::time::Duration;

use halyard_device::{Direction, I2cBus, I2cError, Message, NoAcknowledgeSource};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::{LocalRegisterCopy, register_bitfields};

use crate::mmio::{ReadWrite, TooSmall, Window, require};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["brcm,bcm2835-i2c", "brcm,bcm2711-i2c"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x20;

/// Core clock by hundred kilohertz: 550 MHz, the highest there is without overclocking.
const DIVIDER: u32 = 5500;
/// A byte and its acknowledgement are nine clocks, of 22 us at worst.
const BYTE_TIME: Duration = Duration::from_micros(200);

register_bitfields![u32,
    /// Control.
    C [
        READ OFFSET(0) NUMBITS(1) [],
        CLEAR OFFSET(4) NUMBITS(2) [Fifo = 1],
        ST OFFSET(7) NUMBITS(1) [],
        I2CEN OFFSET(15) NUMBITS(1) []
    ],
    /// Status. DONE, ERR and CLKT go when they are written.
    S [
        TA OFFSET(0) NUMBITS(1) [],
        DONE OFFSET(1) NUMBITS(1) [],
        RXR OFFSET(3) NUMBITS(1) [],
        TXD OFFSET(4) NUMBITS(1) [],
        RXD OFFSET(5) NUMBITS(1) [],
        ERR OFFSET(8) NUMBITS(1) [],
        CLKT OFFSET(9) NUMBITS(1) []
    ]
];

const CONTROL: ReadWrite<u32, C::Register> = ReadWrite::at(0x00);
const STATUS: ReadWrite<u32, S::Register> = ReadWrite::at(0x04);
const LENGTH: ReadWrite<u32> = ReadWrite::at(0x08);
const ADDRESS: ReadWrite<u32> = ReadWrite::at(0x0c);
const FIFO: ReadWrite<u32> = ReadWrite::at(0x10);
const CLOCK_DIVIDER: ReadWrite<u32> = ReadWrite::at(0x14);

/// The status at one moment.
type Status = LocalRegisterCopy<u32, S::Register>;

/// Bytes that LENGTH can say.
const MOST: usize = 0xffff;

/// The controller.
#[derive(Debug)]
pub struct Bcm2835I2c<W> {
    window: W,
    /// The message under way.
    current: usize,
    /// Bytes of it that went into the FIFO, or came out.
    moved: usize,
}

impl<W: Window> Bcm2835I2c<W> {
    /// A driver over `window`; the bus is free.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        let mut bus = Bcm2835I2c {
            window,
            current: 0,
            moved: 0,
        };
        bus.window.at(CLOCK_DIVIDER).set(DIVIDER);
        bus.quiet();
        Ok(bus)
    }

    /// Ends what is under way, with the FIFO empty and nothing left to be told.
    fn quiet(&mut self) {
        let window = &self.window;
        window.at(CONTROL).write(C::CLEAR::Fifo);
        window
            .at(STATUS)
            .write(S::DONE::SET + S::ERR::SET + S::CLKT::SET);
    }

    /// A start condition, and the address of message `index`.
    fn start(&mut self, messages: &[Message<'_>], index: usize) {
        let Some(message) = messages.get(index) else {
            return;
        };
        (self.current, self.moved) = (index, 0);
        let window = &self.window;
        window.at(LENGTH).set(message.data.len() as u32);
        window.at(ADDRESS).set(message.address.into());
        let read = match message.direction {
            Direction::Read => C::READ::SET,
            Direction::Write => C::READ::CLEAR,
        };
        window.at(CONTROL).write(C::I2CEN::SET + C::ST::SET + read);
    }

    /// Fills the FIFO, or empties it: what is in it was read if a read has made it nearly full, or is over. Before, it may be what
    /// the write before it has not sent yet.
    fn shift(&mut self, message: &mut Message<'_>, status: Status) {
        let received = status.any_matching_bits_set(S::RXR::SET + S::DONE::SET);
        let window = &self.window;
        for byte in message.data.iter_mut().skip(self.moved) {
            match message.direction {
                Direction::Read if received && window.at(STATUS).is_set(S::RXD) => {
                    *byte = window.at(FIFO).get() as u8;
                }
                Direction::Write if window.at(STATUS).is_set(S::TXD) => {
                    window.at(FIFO).set((*byte).into());
                }
                _ => return,
            }
            self.moved += 1;
        }
    }

    fn end(&mut self, result: Result<(), I2cError>) -> Poll<Result<(), I2cError>> {
        self.quiet();
        Poll::Ready(result)
    }
}

impl<W: Window + Send> I2cBus for Bcm2835I2c<W> {
    fn can(&self, messages: &[Message<'_>]) -> bool {
        let last = messages.len().saturating_sub(1);
        messages.iter().enumerate().all(|(index, message)| {
            let length = message.data.len();
            match message.direction {
                Direction::Read => index == last && (1..=MOST).contains(&length),
                Direction::Write => length <= MOST,
            }
        })
    }

    fn begin(&mut self, messages: &mut [Message<'_>]) {
        self.quiet();
        self.start(messages, 0);
    }

    fn step(&mut self, messages: &mut [Message<'_>]) -> Poll<Result<(), I2cError>> {
        loop {
            let Some(message) = messages.get_mut(self.current) else {
                return self.end(Ok(()));
            };
            // Before the FIFO is looked at: what it says is then no older than what is there.
            let status = self.window.at(STATUS).extract();
            if status.is_set(S::ERR) {
                return self.end(Err(I2cError::NoAcknowledge(NoAcknowledgeSource::Unknown)));
            }
            if status.is_set(S::CLKT) {
                return self.end(Err(I2cError::Bus));
            }
            self.shift(message, status);
            let whole = self.moved == message.data.len();
            let next = self.current + 1;
            if next < messages.len()
                && whole
                && status.any_matching_bits_set(S::TA::SET + S::DONE::SET)
            {
                // The next start is noted while this message is on its way, and follows it without a stop.
                self.window.at(STATUS).write(S::DONE::SET);
                self.start(messages, next);
                continue;
            }
            return match (status.is_set(S::DONE), whole) {
                (false, _) => Poll::Pending,
                (true, true) => self.end(Ok(())),
                // It ended before all bytes had passed.
                (true, false) => self.end(Err(I2cError::Overrun)),
            };
        }
    }

    fn abort(&mut self) {
        self.quiet();
    }

    fn byte_time(&self) -> Duration {
        BYTE_TIME
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// What crossed the bus.
    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Start(u8, bool),
        Byte(u8),
        Stop,
    }

    /// The controller as its manual has it, and on its bus one device, at 0x48, which sends 0x10, 0x11 and so on.
    #[derive(Default)]
    struct Controller {
        fifo: VecDeque<u8>,
        started: Option<(u8, bool, u32)>,
        noted: Option<(u8, bool, u32)>,
        length: u32,
        address: u8,
        flags: u32,
        sent: u8,
        seen: Vec<Seen>,
        /// The clock is held.
        held: bool,
    }

    impl Controller {
        fn begin(&mut self, (address, read, length): (u8, bool, u32)) {
            self.seen.push(Seen::Start(address, read));
            if address == 0x48 {
                self.started = Some((address, read, length));
            } else {
                self.flags |= 0x100;
                self.seen.push(Seen::Stop);
            }
        }

        /// A byte's time passes.
        fn tick(&mut self) {
            let Some((address, read, left)) = self.started.filter(|_| !self.held) else {
                return;
            };
            if left > 0 {
                if read && self.fifo.len() < 16 {
                    self.fifo.push_back(0x10 + self.sent);
                    self.sent += 1;
                } else if let Some(byte) = (!read).then(|| self.fifo.pop_front()).flatten() {
                    self.seen.push(Seen::Byte(byte));
                } else {
                    return;
                }
                self.started = Some((address, read, left - 1));
            }
            if matches!(self.started, Some((.., 0))) {
                self.started = None;
                if let Some(next) = self.noted.take() {
                    self.begin(next);
                } else {
                    self.seen.push(Seen::Stop);
                    self.flags |= 2;
                }
            }
        }
    }

    struct Bus(Mutex<Controller>);

    impl Bus {
        fn new() -> Self {
            Bus(Mutex::default())
        }

        fn run(&self, messages: &mut [Message<'_>]) -> Result<(), I2cError> {
            let mut bus = Bcm2835I2c::new(self).unwrap();
            bus.begin(messages);
            for _ in 0..1000 {
                if let Poll::Ready(result) = bus.step(messages) {
                    return result;
                }
                self.0.lock().unwrap().tick();
            }
            bus.abort();
            Err(I2cError::Other)
        }

        fn seen(&self) -> Vec<Seen> {
            core::mem::take(&mut self.0.lock().unwrap().seen)
        }
    }

    impl Window for Bus {
        fn size(&self) -> usize {
            0x1000
        }
        fn read8(&self, _: usize) -> u8 {
            0
        }
        fn write8(&self, _: usize, _: u8) {}
        fn read32(&self, offset: usize) -> u32 {
            let mut c = self.0.lock().unwrap();
            match offset {
                0x04 => {
                    let active = u32::from(c.started.is_some());
                    let room = u32::from(c.fifo.len() < 16) << 4;
                    let waiting = u32::from(!c.fifo.is_empty()) << 5;
                    let reads = matches!(c.started, Some((_, true, _)));
                    let nearly_full = u32::from(reads && c.fifo.len() >= 12) << 3;
                    c.flags | active | nearly_full | room | waiting
                }
                0x10 => c.fifo.pop_front().unwrap_or(0xee).into(),
                _ => 0,
            }
        }
        fn write32(&self, offset: usize, value: u32) {
            let mut c = self.0.lock().unwrap();
            match offset {
                0x00 => {
                    if value & 0x30 != 0 {
                        c.fifo.clear();
                    }
                    if value & 0x8000 == 0 {
                        (c.started, c.noted) = (None, None);
                    }
                    if value & 0x8080 == 0x8080 {
                        let next = (c.address, value & 1 != 0, c.length);
                        if c.started.is_some() {
                            c.noted = Some(next);
                        } else {
                            c.begin(next);
                        }
                    }
                }
                0x04 => c.flags &= !(value & 0x302),
                0x08 => c.length = value,
                0x0c => c.address = value as u8,
                0x10 => c.fifo.push_back(value as u8),
                _ => {}
            }
        }
    }

    fn message(address: u8, direction: Direction, data: &mut [u8]) -> Message<'_> {
        Message {
            address,
            direction,
            data,
        }
    }

    #[test]
    fn write_and_read_have_no_stop_between_them() {
        let bus = Bus::new();
        let (mut register, mut value) = ([7], [0; 2]);
        let result = bus.run(&mut [
            message(0x48, Direction::Write, &mut register),
            message(0x48, Direction::Read, &mut value),
        ]);
        assert_eq!((result, value), (Ok(()), [0x10, 0x11]));
        let expected = [
            Seen::Start(0x48, false),
            Seen::Byte(7),
            Seen::Start(0x48, true),
            Seen::Stop,
        ];
        assert_eq!(bus.seen(), expected);
    }

    #[test]
    fn transfers_longer_than_the_fifo_pass_whole() {
        for length in [1, 16, 17, 100] {
            let bus = Bus::new();
            let mut data: Vec<u8> = (0..length).collect();
            assert_eq!(
                bus.run(&mut [message(0x48, Direction::Write, &mut data)]),
                Ok(())
            );
            let bytes = bus.seen().into_iter().filter_map(|seen| match seen {
                Seen::Byte(byte) => Some(byte),
                _ => None,
            });
            assert_eq!(bytes.collect::<Vec<_>>(), data);
            let mut data = vec![0; length.into()];
            assert_eq!(
                bus.run(&mut [message(0x48, Direction::Read, &mut data)]),
                Ok(())
            );
            let expected: Vec<u8> = (0x10..0x10 + length).collect();
            assert_eq!(data, expected);
        }
    }

    #[test]
    fn device_that_is_not_there_is_no_acknowledge_and_the_bus_works_on() {
        let bus = Bus::new();
        let mut byte = [0];
        let absent = bus.run(&mut [message(0x20, Direction::Read, &mut byte)]);
        let unknown = I2cError::NoAcknowledge(NoAcknowledgeSource::Unknown);
        assert_eq!(absent, Err(unknown));
        assert_eq!(
            bus.run(&mut [message(0x48, Direction::Read, &mut byte)]),
            Ok(())
        );
    }

    #[test]
    fn transaction_given_up_leaves_the_bus_free() {
        let bus = Bus::new();
        bus.0.lock().unwrap().held = true;
        let mut data = [1; 40];
        let result = bus.run(&mut [message(0x48, Direction::Write, &mut data)]);
        assert_eq!(result, Err(I2cError::Other));
        bus.0.lock().unwrap().held = false;
        let mut byte = [0];
        assert_eq!(
            bus.run(&mut [message(0x48, Direction::Read, &mut byte)]),
            Ok(())
        );
        assert_eq!(byte, [0x10], "nothing of the old is in the FIFO");
    }

    #[test]
    fn read_that_is_not_the_last_or_empty_cannot_be_done() {
        let bus = Bus::new();
        let bus = Bcm2835I2c::new(&bus).unwrap();
        let (mut one, mut two, mut none) = ([0], [0], []);
        let mut messages = [
            message(0x48, Direction::Read, &mut one),
            message(0x48, Direction::Read, &mut two),
        ];
        assert!(!bus.can(&messages));
        assert!(bus.can(&messages[1..]));
        messages[0].direction = Direction::Write;
        assert!(bus.can(&messages));
        assert!(!bus.can(&[message(0x48, Direction::Read, &mut none)]));
    }
}
