//! The PrimeCell UART, PL011 (Arm DDI 0183G; binding serial/pl011.yaml, `arm,pl011`).
//!
//! Sends by polling, receives by polling or interrupt, FIFOs on. Leaves clock and speed as the firmware set them unless
//! asked for another. Takes no lock; polls are bounded, so that a line that does not drain loses text and does not stop
//! the kernel. Only [`embedded_io::Read::read`] waits for ever: it is for its caller to know that a byte will come.

use tock_registers::interfaces::{ReadWriteable, Readable, Writeable};
use tock_registers::{LocalRegisterCopy, register_bitfields};

use crate::mmio::{ReadOnly, ReadWrite, TooSmall, Window, WriteOnly, require};
pub use crate::serial::{BadSpeed, LineError};
use crate::serial::{PATIENCE, fill, stream_traits};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &["arm,pl011"];

/// Bytes of registers that the driver touches.
pub const WINDOW_SIZE: usize = 0x48;

register_bitfields![u32,
    /// Data (3.3.1).
    UARTDR [
        DATA OFFSET(0) NUMBITS(8) [],
        /// Framing error.
        FE OFFSET(8) NUMBITS(1) [],
        /// Parity error.
        PE OFFSET(9) NUMBITS(1) [],
        /// Break.
        BE OFFSET(10) NUMBITS(1) [],
        /// Bytes were lost before this one.
        OE OFFSET(11) NUMBITS(1) []
    ],
    /// Flags (3.3.3).
    UARTFR [
        BUSY OFFSET(3) NUMBITS(1) [],
        /// Receive FIFO empty.
        RXFE OFFSET(4) NUMBITS(1) [],
        /// Transmit FIFO full.
        TXFF OFFSET(5) NUMBITS(1) []
    ],
    /// Integer part of the divisor (3.3.5).
    UARTIBRD [DIVINT OFFSET(0) NUMBITS(16) []],
    /// Fractional part, in 64ths (3.3.6).
    UARTFBRD [DIVFRAC OFFSET(0) NUMBITS(6) []],
    /// Line control (3.3.7).
    UARTLCR_H [
        /// FIFOs on.
        FEN OFFSET(4) NUMBITS(1) [],
        WLEN OFFSET(5) NUMBITS(2) [Bits8 = 3]
    ],
    /// Control (3.3.8).
    UARTCR [
        UARTEN OFFSET(0) NUMBITS(1) [],
        /// Loop back.
        LBE OFFSET(7) NUMBITS(1) [],
        TXE OFFSET(8) NUMBITS(1) [],
        RXE OFFSET(9) NUMBITS(1) []
    ],
    /// At which fill the FIFOs interrupt (3.3.9).
    UARTIFLS [
        TXIFLSEL OFFSET(0) NUMBITS(3) [],
        RXIFLSEL OFFSET(3) NUMBITS(3) [OneEighth = 0]
    ],
    /// Interrupts: which are let through (IMSC, 3.3.10), which of those wait (MIS, 3.3.12), which to clear (ICR,
    /// 3.3.13).
    INTERRUPTS [
        /// Receive FIFO filled to its mark.
        RX OFFSET(4) NUMBITS(1) [],
        /// Bytes have lain in the receive FIFO for 32 bit times.
        RT OFFSET(6) NUMBITS(1) [],
        /// Overrun.
        OE OFFSET(10) NUMBITS(1) [],
        ALL OFFSET(0) NUMBITS(11) []
    ]
];

const UARTDR: ReadWrite<u32, UARTDR::Register> = ReadWrite::at(0x000);
const UARTFR: ReadOnly<u32, UARTFR::Register> = ReadOnly::at(0x018);
const UARTIBRD: ReadWrite<u32, UARTIBRD::Register> = ReadWrite::at(0x024);
const UARTFBRD: ReadWrite<u32, UARTFBRD::Register> = ReadWrite::at(0x028);
const UARTLCR_H: ReadWrite<u32, UARTLCR_H::Register> = ReadWrite::at(0x02c);
const UARTCR: ReadWrite<u32, UARTCR::Register> = ReadWrite::at(0x030);
const UARTIFLS: ReadWrite<u32, UARTIFLS::Register> = ReadWrite::at(0x034);
const UARTIMSC: ReadWrite<u32, INTERRUPTS::Register> = ReadWrite::at(0x038);
const UARTMIS: ReadOnly<u32, INTERRUPTS::Register> = ReadOnly::at(0x040);
const UARTICR: WriteOnly<u32, INTERRUPTS::Register> = WriteOnly::at(0x044);

/// The divisor for `baud` bits per second from a clock of `clock_hz`, in 64ths, to the nearest (DDI 0183G 3.3.6): 1 to
/// 65535 whole parts.
fn divisor(clock_hz: u32, baud: u32) -> Result<u32, BadSpeed> {
    let (clock, baud) = (u64::from(clock_hz), u64::from(baud));
    let sixty_fourths = (8 * clock / baud.max(1)).div_ceil(2);
    match u32::try_from(sixty_fourths) {
        Ok(divisor) if baud > 0 && (64..=0xffff << 6).contains(&divisor) => Ok(divisor),
        _ => Err(BadSpeed),
    }
}

/// A PL011.
#[derive(Debug)]
pub struct Pl011<W> {
    window: W,
}

impl<W: Window> Pl011<W> {
    /// A driver over `window`. Touches nothing: an early console may print through a UART as the firmware left it.
    pub fn new(window: W) -> Result<Self, TooSmall> {
        require(&window, WINDOW_SIZE)?;
        Ok(Pl011 { window })
    }

    /// Switches the UART on with FIFOs, all interrupts masked and none pending. What is being sent is sent first. Keeps
    /// speed and format if the firmware had the UART on, else sets eight bits, no parity. Waits for the line to drain.
    pub fn init(&mut self) {
        let was_on = self.window.at(UARTCR).is_set(UARTCR::UARTEN);
        self.stop();
        let mut line = self.window.at(UARTLCR_H).extract();
        if !was_on {
            line.set(UARTLCR_H::WLEN::Bits8.value);
        }
        self.start(line);
        // QEMU's hands on no byte that came before, until it is asked for one; to the device it means nothing.
        let _ = self.window.at(UARTDR).get();
    }

    /// Like [`Pl011::init`], at `baud` bits per second from a clock of `clock_hz`, eight bits, no parity. On error
    /// nothing has changed.
    pub fn init_speed(&mut self, clock_hz: u32, baud: u32) -> Result<(), BadSpeed> {
        let divisor = divisor(clock_hz, baud)?;
        self.stop();
        self.window
            .at(UARTIBRD)
            .write(UARTIBRD::DIVINT.val(divisor >> 6));
        self.window
            .at(UARTFBRD)
            .write(UARTFBRD::DIVFRAC.val(divisor & 0x3f));
        self.start(LocalRegisterCopy::new(UARTLCR_H::WLEN::Bits8.value));
        Ok(())
    }

    /// The order of DDI 0183G 3.3.8: off, finish the current byte, flush the FIFOs by switching them off.
    fn stop(&mut self) {
        self.drain();
        self.window.at(UARTCR).modify(UARTCR::UARTEN::CLEAR);
        self.drain();
        self.window.at(UARTLCR_H).modify(UARTLCR_H::FEN::CLEAR);
    }

    /// The write to UARTLCR_H also takes the divisor over (3.3.7).
    fn start(&mut self, line: LocalRegisterCopy<u32, UARTLCR_H::Register>) {
        let window = &self.window;
        window.at(UARTIMSC).set(0);
        window
            .at(UARTLCR_H)
            .set(UARTLCR_H::FEN::SET.modify(line.get()));
        window.at(UARTICR).write(INTERRUPTS::ALL.val(0x7ff));
        window.at(UARTIFLS).modify(UARTIFLS::RXIFLSEL::OneEighth);
        window
            .at(UARTCR)
            .modify(UARTCR::UARTEN::SET + UARTCR::TXE::SET + UARTCR::RXE::SET + UARTCR::LBE::CLEAR);
    }

    /// Lets the UART interrupt when bytes are waiting, or not.
    pub fn set_receive_interrupt(&mut self, on: bool) {
        let mask = if on {
            INTERRUPTS::RX::SET + INTERRUPTS::RT::SET + INTERRUPTS::OE::SET
        } else {
            INTERRUPTS::RX::CLEAR + INTERRUPTS::RT::CLEAR + INTERRUPTS::OE::CLEAR
        };
        self.window.at(UARTIMSC).modify(mask);
    }

    /// Whether the UART has an interrupt to tell of.
    #[must_use]
    pub fn interrupt_pending(&self) -> bool {
        self.window.at(UARTMIS).get() != 0
    }

    /// What an interrupt is answered with: takes the waiting bytes, as many as `into` has room for; returns how many.
    /// Bytes with errors are left out. The receive interrupts are not cleared but go with the last byte (DDI 0183G
    /// 3.4): what does not fit interrupts again.
    pub fn handle_interrupt(&mut self, into: &mut [u8]) -> usize {
        self.window.at(UARTICR).write(INTERRUPTS::OE::SET);
        self.receive(into)
    }

    /// Takes the waiting bytes, as many as `into` has room for; returns how many. Bytes with errors are left out. Does
    /// not block.
    pub fn receive(&mut self, into: &mut [u8]) -> usize {
        fill(into, || self.try_receive())
    }

    /// Takes one waiting byte, if there is one.
    #[inline]
    pub fn try_receive(&mut self) -> Option<Result<u8, LineError>> {
        if self.window.at(UARTFR).is_set(UARTFR::RXFE) {
            return None;
        }
        let data = self.window.at(UARTDR).extract();
        let error = [
            (UARTDR::BE, LineError::Break),
            (UARTDR::FE, LineError::Framing),
            (UARTDR::PE, LineError::Parity),
        ];
        let error = error.into_iter().find(|&(field, _)| data.is_set(field));
        Some(match error {
            Some((_, error)) => Err(error),
            // The byte that comes with an overrun is good; those before it are gone.
            None => Ok(data.read(UARTDR::DATA) as u8),
        })
    }

    /// Hands one byte to the transmitter, if it has room; whether it had. Does not block.
    #[inline]
    pub fn try_send(&mut self, byte: u8) -> bool {
        if self.window.at(UARTFR).is_set(UARTFR::TXFF) {
            return false;
        }
        self.window.at(UARTDR).set(u32::from(byte));
        true
    }

    /// Sends one byte; waits for room. A byte for which no room comes in some tens of milliseconds is dropped; whether
    /// it was sent.
    pub fn send(&mut self, byte: u8) -> bool {
        (0..PATIENCE).any(|_| self.try_send(byte))
    }

    /// Waits until all has left the wire, or it takes too long.
    pub fn drain(&mut self) {
        let _ = (0..PATIENCE).any(|_| !self.window.at(UARTFR).is_set(UARTFR::BUSY));
    }
}

impl<W: Window> embedded_io::ReadReady for Pl011<W> {
    fn read_ready(&mut self) -> Result<bool, LineError> {
        Ok(!self.window.at(UARTFR).is_set(UARTFR::RXFE))
    }
}

impl<W: Window> embedded_io::WriteReady for Pl011<W> {
    fn write_ready(&mut self) -> Result<bool, LineError> {
        Ok(!self.window.at(UARTFR).is_set(UARTFR::TXFF))
    }
}

stream_traits!(Pl011);

#[cfg(test)]
mod tests {
    use core::fmt;
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    use embedded_io::{Read, ReadReady, Write, WriteReady};

    use super::*;
    use crate::mmio::fake::Memory;

    /// A PL011 with FIFOs of four and a line that takes a byte whenever the flags have been read twice.
    struct Fake {
        memory: Memory,
        receive: RefCell<VecDeque<u32>>,
        transmit: RefCell<VecDeque<u8>>,
        line: RefCell<Vec<u8>>,
        stuck: Cell<bool>,
        reads: Cell<u32>,
    }

    impl Fake {
        fn new() -> Self {
            Fake {
                memory: Memory::new(0x1000),
                receive: RefCell::default(),
                transmit: RefCell::default(),
                line: RefCell::default(),
                stuck: Cell::new(false),
                reads: Cell::new(0),
            }
        }

        fn flags(&self) -> u32 {
            self.reads.set(self.reads.get() + 1);
            if self.reads.get().is_multiple_of(2) && !self.stuck.get() {
                let sent = self.transmit.borrow_mut().pop_front();
                self.line.borrow_mut().extend(sent);
            }
            let waiting = self.transmit.borrow().len();
            let mut flags = LocalRegisterCopy::<u32, UARTFR::Register>::new(0);
            flags.modify(UARTFR::RXFE.val(self.receive.borrow().is_empty().into()));
            flags.modify(UARTFR::TXFF.val((waiting >= 4).into()));
            flags.modify(UARTFR::BUSY.val((waiting > 0).into()));
            flags.get()
        }

        fn register(&self, register: impl crate::mmio::Register) -> u32 {
            self.memory.read32(register.offset())
        }
    }

    impl Window for Fake {
        fn size(&self) -> usize {
            self.memory.size()
        }
        fn read8(&self, _: usize) -> u8 {
            panic!("registers are words")
        }
        fn write8(&self, _: usize, _: u8) {
            panic!("registers are words")
        }
        fn read32(&self, offset: usize) -> u32 {
            match offset {
                0x000 => self.receive.borrow_mut().pop_front().unwrap_or(0),
                0x018 => self.flags(),
                _ => self.memory.read32(offset),
            }
        }
        fn write32(&self, offset: usize, value: u32) {
            if offset == 0 {
                self.transmit.borrow_mut().push_back(value as u8);
            }
            self.memory.write32(offset, value);
        }
    }

    fn uart(fake: &Fake) -> Pl011<&Fake> {
        Pl011::new(fake).unwrap()
    }

    #[test]
    fn new_over_a_window_too_small_is_refused_and_touches_nothing() {
        let memory = Memory::new(0x44);
        assert!(Pl011::new(&memory).is_err());
        let memory = Memory::new(0x48);
        assert!(Pl011::new(&memory).is_ok());
        assert_eq!(memory.take_writes(), []);
    }

    #[test]
    fn init_keeps_what_the_firmware_set() {
        let fake = Fake::new();
        fake.memory.poke32(0x024, 26);
        fake.memory.poke32(0x028, 3);
        fake.memory.poke32(0x02c, 0x46);
        fake.memory.poke32(0x030, 0xc301);
        uart(&fake).init();
        assert_eq!(fake.register(UARTIBRD), 26);
        assert_eq!(fake.register(UARTFBRD), 3);
        assert_eq!(fake.register(UARTLCR_H), 0x56);
        assert_eq!(fake.register(UARTCR), 0xc301);
        assert_eq!(fake.register(UARTIMSC), 0);
    }

    #[test]
    fn init_of_a_uart_that_was_off_sets_eight_bits() {
        let fake = Fake::new();
        uart(&fake).init();
        assert_eq!(fake.register(UARTLCR_H), 0x70);
        assert_eq!(fake.register(UARTCR), 0x301);
    }

    #[test]
    fn init_sends_what_is_being_sent() {
        let fake = Fake::new();
        let mut uart = uart(&fake);
        assert!(uart.try_send(b'x'));
        uart.init();
        assert_eq!(*fake.line.borrow(), *b"x");
    }

    #[test]
    fn init_speed_rounds_to_the_nearest_divisor() {
        let fake = Fake::new();
        uart(&fake).init_speed(48_000_000, 115_200).unwrap();
        // 48 MHz / (16 * 115200) = 26.0417: 26 and 2.67/64, rounded to 3.
        assert_eq!((fake.register(UARTIBRD), fake.register(UARTFBRD)), (26, 3));
        uart(&fake).init_speed(24_000_000, 115_200).unwrap();
        assert_eq!((fake.register(UARTIBRD), fake.register(UARTFBRD)), (13, 1));
    }

    #[test]
    fn init_speed_that_cannot_be_is_an_error_and_changes_nothing() {
        let fake = Fake::new();
        for (clock, baud) in [(0, 9600), (1000, 115_200), (u32::MAX, 1), (1, 0), (0, 0)] {
            assert_eq!(uart(&fake).init_speed(clock, baud), Err(BadSpeed));
        }
        assert_eq!(fake.memory.take_writes(), []);
    }

    #[test]
    fn write_all_waits_for_room_and_loses_nothing() {
        let fake = Fake::new();
        let mut uart = uart(&fake);
        let text: Vec<u8> = (0..100).collect();
        uart.write_all(&text).unwrap();
        uart.flush().unwrap();
        assert_eq!(*fake.line.borrow(), text);
    }

    #[test]
    fn text_has_carriage_returns() {
        let fake = Fake::new();
        let mut uart = uart(&fake);
        fmt::Write::write_fmt(&mut uart, format_args!("{} and\n{}\n", 1, 2)).unwrap();
        uart.drain();
        assert_eq!(*fake.line.borrow(), *b"1 and\r\n2\r\n");
    }

    #[test]
    fn send_on_a_stuck_line_gives_up() {
        let fake = Fake::new();
        fake.stuck.set(true);
        let mut uart = uart(&fake);
        for _ in 0..4 {
            assert!(uart.send(b'x'));
        }
        assert_eq!(uart.write_ready(), Ok(false));
        assert!(!uart.send(b'y'));
        uart.drain();
    }

    #[test]
    fn receive_takes_what_is_there_and_leaves_errors_out() {
        let fake = Fake::new();
        fake.receive
            .borrow_mut()
            .extend([0x61, 0x400, 0x162, 0x863, 0x64]);
        let mut uart = uart(&fake);
        let mut into = [0; 8];
        assert_eq!(uart.receive(&mut into), 3);
        assert_eq!(into[..3], *b"acd");
        assert_eq!(uart.receive(&mut into), 0);
    }

    #[test]
    fn try_receive_names_the_error() {
        let fake = Fake::new();
        fake.receive.borrow_mut().extend([0x400, 0x100, 0x200]);
        let mut uart = uart(&fake);
        assert_eq!(uart.try_receive(), Some(Err(LineError::Break)));
        assert_eq!(uart.try_receive(), Some(Err(LineError::Framing)));
        assert_eq!(uart.try_receive(), Some(Err(LineError::Parity)));
        assert_eq!(uart.try_receive(), None);
    }

    #[test]
    fn receive_fills_no_more_than_there_is_room() {
        let fake = Fake::new();
        fake.receive.borrow_mut().extend([1, 2, 3]);
        let mut uart = uart(&fake);
        let mut into = [0; 2];
        assert_eq!(uart.handle_interrupt(&mut into), 2);
        assert_eq!(uart.handle_interrupt(&mut into), 1);
        assert_eq!(uart.handle_interrupt(&mut []), 0);
    }

    #[test]
    fn read_gives_the_waiting_bytes_or_the_error() {
        let fake = Fake::new();
        let mut uart = uart(&fake);
        assert_eq!(uart.read_ready(), Ok(false));
        fake.receive.borrow_mut().extend([1, 2]);
        assert_eq!(uart.read_ready(), Ok(true));
        let mut into = vec![0; 8];
        assert_eq!(uart.read(&mut into), Ok(2));
        fake.receive.borrow_mut().push_back(0x400);
        assert_eq!(uart.read(&mut into), Err(LineError::Break));
        assert_eq!(uart.read(&mut []), Ok(0));
    }

    #[test]
    fn receive_interrupt_is_switched_and_cleared() {
        let fake = Fake::new();
        let mut uart = uart(&fake);
        assert!(!uart.interrupt_pending());
        uart.set_receive_interrupt(true);
        assert_eq!(fake.register(UARTIMSC), 0x450);
        uart.handle_interrupt(&mut [0; 1]);
        assert_eq!(fake.register(UARTICR), 0x400);
        uart.set_receive_interrupt(false);
        assert_eq!(fake.register(UARTIMSC), 0);
        fake.memory.poke32(0x040, 0x10);
        assert!(uart.interrupt_pending());
    }
}
