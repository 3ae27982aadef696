//! The 16550 UART (TI SLLS597E "TL16C550D") and two of its kin: the DesignWare one of the Pine64 (binding
//! serial/snps-dw-apb-uart.yaml) and the Pis' mini UART (BCM2835 ARM Peripherals 2.2; binding
//! serial/brcm,bcm2835-aux-uart.yaml).
//!
//! Sends by polling, receives by polling or interrupt, FIFOs on. Keeps the speed that the firmware set unless asked for
//! another. Takes no lock; polls are bounded, so that a line that does not drain loses text and does not stop the
//! kernel.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::{LocalRegisterCopy, register_bitfields};

use crate::dt::{Error, Node};
use crate::mmio::{ReadWrite, TooSmall, Window, require};
pub use crate::serial::{BadSpeed, LineError};
use crate::serial::{PATIENCE, fill, stream_traits};

/// The bindings that this driver follows.
pub const COMPATIBLE: &[&str] = &[
    "snps,dw-apb-uart",
    "brcm,bcm2835-aux-uart",
    "ns16550a",
    "ns16550",
];

register_bitfields![u8,
    /// Interrupt enable. The Pis' manual has receive and transmit the wrong way round.
    IER [
        ERBI OFFSET(0) NUMBITS(1) [],
        ETBEI OFFSET(1) NUMBITS(1) [],
        /// Line status; and the mini UART receives no interrupt without.
        ELSI OFFSET(2) NUMBITS(1) []
    ],
    /// Interrupt identification.
    IIR [
        /// 1: none waits.
        NONE OFFSET(0) NUMBITS(1) [],
        ID OFFSET(0) NUMBITS(4) [BusyDetect = 7, TimeOut = 12]
    ],
    /// FIFO control.
    FCR [
        FIFOE OFFSET(0) NUMBITS(1) [],
        RFIFOR OFFSET(1) NUMBITS(1) [],
        XFIFOR OFFSET(2) NUMBITS(1) []
    ],
    /// Line control.
    LCR [
        WLS OFFSET(0) NUMBITS(2) [Bits8 = 3],
        /// The first two registers are the divisor.
        DLAB OFFSET(7) NUMBITS(1) []
    ],
    /// Modem control.
    MCR [
        DTR OFFSET(0) NUMBITS(1) [],
        RTS OFFSET(1) NUMBITS(1) [],
        /// On a PC this gates the interrupt; elsewhere it is a pin.
        OUT2 OFFSET(3) NUMBITS(1) []
    ],
    /// Line status.
    LSR [
        /// A byte waits.
        DR OFFSET(0) NUMBITS(1) [],
        OE OFFSET(1) NUMBITS(1) [],
        PE OFFSET(2) NUMBITS(1) [],
        FE OFFSET(3) NUMBITS(1) [],
        BI OFFSET(4) NUMBITS(1) [],
        /// The transmit FIFO is empty (the mini UART's: has room).
        THRE OFFSET(5) NUMBITS(1) [],
        /// All has left the wire.
        TEMT OFFSET(6) NUMBITS(1) []
    ]
];

/// Register numbers; where they stand is the layout's.
const RBR_THR: usize = 0;
const DLL: usize = 0;
const IER: usize = 1;
const DLM: usize = 1;
const IIR_FCR: usize = 2;
const LCR: usize = 3;
const MCR: usize = 4;
const LSR: usize = 5;
/// DesignWare's UART status, whose reading ends a busy-detect interrupt.
const USR: usize = 31;

/// What differs among the kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    DesignWare,
    /// No divisor latch: its speed hangs on the GPU's clock, which the tree does not know.
    Mini,
}

/// Where the registers stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    kind: Kind,
    /// Register n is at n << shift.
    shift: u32,
    /// Whether an access is a word; else a byte.
    words: bool,
}

impl Layout {
    /// The Pis' mini UART: words, by its manual.
    pub const MINI: Self = Layout {
        kind: Kind::Mini,
        shift: 2,
        words: true,
    };

    /// DesignWare's with words for registers, as the Pine64 has it.
    pub const DESIGNWARE: Self = Layout {
        kind: Kind::DesignWare,
        shift: 2,
        words: true,
    };

    /// What the node's `compatible`, `reg-shift` and `reg-io-width` say.
    pub fn of(node: &Node<'_>) -> Result<Self, Error> {
        if node.is_compatible("brcm,bcm2835-aux-uart") {
            return Ok(Self::MINI);
        }
        let designware = node.is_compatible("snps,dw-apb-uart");
        let shift = node.u32("reg-shift")?.unwrap_or(0);
        let width = node.u32("reg-io-width")?.unwrap_or(1);
        if shift > 4 {
            return Err(Error::BadProperty("reg-shift"));
        }
        if !matches!(width, 1 | 4) || (width == 4 && shift < 2) {
            return Err(Error::BadProperty("reg-io-width"));
        }
        Ok(Layout {
            kind: if designware {
                Kind::DesignWare
            } else {
                Kind::Plain
            },
            shift,
            words: width == 4,
        })
    }

    /// Bytes up to the end of the last register that the driver touches.
    #[must_use]
    pub fn size(self) -> usize {
        let last = if self.kind == Kind::DesignWare {
            USR
        } else {
            LSR
        };
        (last << self.shift) + if self.words { 4 } else { 1 }
    }
}

/// A 16550.
#[derive(Debug)]
pub struct Uart16550<W> {
    window: W,
    layout: Layout,
}

impl<W: Window> Uart16550<W> {
    /// A driver over `window`. Touches nothing.
    pub fn new(window: W, layout: Layout) -> Result<Self, TooSmall> {
        require(&window, layout.size())?;
        Ok(Uart16550 { window, layout })
    }

    #[inline]
    fn load(&self, register: usize) -> u8 {
        let offset = register << self.layout.shift;
        if self.layout.words {
            self.window.at(ReadWrite::<u32>::at(offset)).get() as u8
        } else {
            self.window.at(ReadWrite::<u8>::at(offset)).get()
        }
    }

    #[inline]
    fn store(&self, register: usize, value: u8) {
        let offset = register << self.layout.shift;
        if self.layout.words {
            self.window
                .at(ReadWrite::<u32>::at(offset))
                .set(value.into());
        } else {
            self.window.at(ReadWrite::<u8>::at(offset)).set(value);
        }
    }

    #[inline]
    fn line_status(&self) -> LocalRegisterCopy<u8, LSR::Register> {
        LocalRegisterCopy::new(self.load(LSR))
    }

    /// FIFOs on and empty, all interrupts masked. What is being sent is sent first. Keeps speed and format.
    pub fn init(&mut self) {
        self.drain();
        self.store(IER, 0);
        let fifo = FCR::FIFOE::SET + FCR::RFIFOR::SET + FCR::XFIFOR::SET;
        self.store(IIR_FCR, fifo.value);
        let modem = MCR::DTR::SET + MCR::RTS::SET + MCR::OUT2::SET;
        self.store(MCR, modem.value);
    }

    /// Like [`Uart16550::init`], at `baud` bits per second from a clock of `clock_hz`, eight bits, no parity. On error
    /// nothing has changed.
    pub fn init_speed(&mut self, clock_hz: u32, baud: u32) -> Result<(), BadSpeed> {
        let divisor = (clock_hz / 8)
            .checked_div(baud)
            .map_or(0, |twice| twice.div_ceil(2));
        let divisor = u16::try_from(divisor).map_err(|_| BadSpeed)?;
        if divisor == 0 || self.layout.kind == Kind::Mini {
            return Err(BadSpeed);
        }
        self.init();
        let [low, high] = divisor.to_le_bytes();
        let format = LCR::WLS::Bits8;
        self.store(LCR, (format + LCR::DLAB::SET).value);
        self.store(DLL, low);
        self.store(DLM, high);
        self.store(LCR, format.value);
        Ok(())
    }

    /// Lets the UART interrupt when bytes are waiting, or not.
    pub fn set_receive_interrupt(&mut self, on: bool) {
        let mask = IER::ERBI::SET + IER::ELSI::SET;
        self.store(IER, if on { mask.value } else { 0 });
    }

    /// Whether the UART has an interrupt to tell of.
    #[must_use]
    pub fn interrupt_pending(&self) -> bool {
        LocalRegisterCopy::<u8, IIR::Register>::new(self.load(IIR_FCR)).read(IIR::NONE) == 0
    }

    /// What an interrupt is answered with: takes the waiting bytes, as many as `into` has room for; returns how many.
    /// Bytes with errors are left out. What does not fit interrupts again.
    pub fn handle_interrupt(&mut self, into: &mut [u8]) -> usize {
        if self.layout.kind == Kind::DesignWare {
            let pending = LocalRegisterCopy::<u8, IIR::Register>::new(self.load(IIR_FCR));
            if pending.matches_all(IIR::ID::BusyDetect) {
                self.load(USR);
            }
            // A time-out that has lost its byte goes only when one is read.
            if pending.matches_all(IIR::ID::TimeOut) && !self.line_status().is_set(LSR::DR) {
                self.load(RBR_THR);
            }
        }
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
        let status = self.line_status();
        if !status.is_set(LSR::DR) {
            return None;
        }
        let byte = self.load(RBR_THR);
        // The mini UART knows overruns only; the other bits read as 0.
        let error = [
            (LSR::BI, LineError::Break),
            (LSR::FE, LineError::Framing),
            (LSR::PE, LineError::Parity),
        ];
        let error = error.into_iter().find(|&(field, _)| status.is_set(field));
        Some(error.map_or(Ok(byte), |(_, error)| Err(error)))
    }

    /// Hands one byte to the transmitter, if it has room; whether it had. Does not block.
    #[inline]
    pub fn try_send(&mut self, byte: u8) -> bool {
        if !self.line_status().is_set(LSR::THRE) {
            return false;
        }
        self.store(RBR_THR, byte);
        true
    }

    /// Sends one byte; waits for room, but not for ever. Whether it was sent.
    pub fn send(&mut self, byte: u8) -> bool {
        (0..PATIENCE).any(|_| self.try_send(byte))
    }

    /// Waits until all has left the wire, or it takes too long.
    pub fn drain(&mut self) {
        let _ = (0..PATIENCE).any(|_| self.line_status().is_set(LSR::TEMT));
    }
}

impl<W: Window> embedded_io::ReadReady for Uart16550<W> {
    fn read_ready(&mut self) -> Result<bool, LineError> {
        Ok(self.line_status().is_set(LSR::DR))
    }
}

impl<W: Window> embedded_io::WriteReady for Uart16550<W> {
    fn write_ready(&mut self) -> Result<bool, LineError> {
        Ok(self.line_status().is_set(LSR::THRE))
    }
}

stream_traits!(Uart16550);

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;
    use std::vec::Vec;

    use embedded_io::{Read, ReadReady, Write, WriteReady};

    use super::*;
    use crate::dt::Tree;
    use crate::dt::test_trees::build;
    use crate::mmio::fake::{self, Memory};

    const WORDS: Layout = Layout::DESIGNWARE;

    /// A UART whose transmitter is free every other time it is asked; registers are words, four bytes apart.
    struct Fake {
        memory: Memory,
        /// Line status bits and byte.
        receive: RefCell<VecDeque<(u8, u8)>>,
        line: RefCell<Vec<u8>>,
        asked: Cell<u32>,
        stuck: Cell<bool>,
    }

    impl Fake {
        fn new() -> Self {
            Fake {
                memory: Memory::new(0x400),
                receive: RefCell::default(),
                line: RefCell::default(),
                asked: Cell::new(0),
                stuck: Cell::new(false),
            }
        }

        fn status(&self) -> u32 {
            self.asked.set(self.asked.get() + 1);
            let free = !self.stuck.get() && self.asked.get().is_multiple_of(2);
            let waiting = self
                .receive
                .borrow()
                .front()
                .map_or(0, |&(bits, _)| bits | 1);
            u32::from(waiting) | if free { 0x60 } else { 0 }
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
                0x00 => {
                    let byte = self.receive.borrow_mut().pop_front();
                    byte.map_or(0, |(_, byte)| byte.into())
                }
                0x14 => self.status(),
                _ => self.memory.read32(offset),
            }
        }
        fn write32(&self, offset: usize, value: u32) {
            if offset == 0 {
                self.line.borrow_mut().push(value as u8);
            }
            self.memory.write32(offset, value);
        }
    }

    fn uart(fake: &Fake) -> Uart16550<&Fake> {
        Uart16550::new(fake, WORDS).unwrap()
    }

    fn layout(compatible: &str, shift: u32, width: u32) -> Result<Layout, Error> {
        let bytes = build(|tree| {
            let root = tree.begin_node("")?;
            let node = tree.begin_node("serial")?;
            tree.property_string("compatible", compatible)?;
            tree.property_u32("reg-shift", shift)?;
            tree.property_u32("reg-io-width", width)?;
            tree.end_node(node)?;
            tree.end_node(root)
        });
        Layout::of(&Tree::new(&bytes)?.find("/serial").unwrap())
    }

    #[test]
    fn layout_is_the_trees_and_checked() {
        assert_eq!(layout("snps,dw-apb-uart", 2, 4), Ok(WORDS));
        let plain = layout("ns16550a", 0, 1).unwrap();
        assert_eq!((plain.kind, plain.words), (Kind::Plain, false));
        let mini = layout("brcm,bcm2835-aux-uart", 0, 1).unwrap();
        assert_eq!((mini.kind, mini.shift, mini.words), (Kind::Mini, 2, true));
        assert!(layout("ns16550a", 32, 1).is_err());
        assert!(layout("ns16550a", 2, 2).is_err());
        assert!(layout("ns16550a", 1, 4).is_err());
    }

    #[test]
    fn new_over_a_window_without_the_last_register_is_refused() {
        assert!(Uart16550::new(&Memory::new(0x7f), WORDS).is_err());
        assert!(Uart16550::new(&Memory::new(0x80), WORDS).is_ok());
        let mini = Layout {
            kind: Kind::Mini,
            ..WORDS
        };
        assert!(Uart16550::new(&Memory::new(0x40), mini).is_ok());
    }

    #[test]
    fn bytes_wide_registers_are_reached_by_the_byte() {
        let memory = Memory::new(8);
        let plain = Layout {
            kind: Kind::Plain,
            shift: 0,
            words: false,
        };
        let mut uart = Uart16550::new(&memory, plain).unwrap();
        uart.set_receive_interrupt(true);
        assert_eq!(memory.take_writes(), [fake::Write::Byte(1, 5)]);
    }

    #[test]
    fn init_masks_interrupts_and_keeps_the_line_control() {
        let fake = Fake::new();
        uart(&fake).init();
        let writes = fake.memory.take_writes();
        let expected = [
            fake::Write::Word(0x04, 0),
            fake::Write::Word(0x08, 7),
            fake::Write::Word(0x10, 0x0b),
        ];
        assert_eq!(writes, expected);
    }

    #[test]
    fn init_speed_sets_the_nearest_divisor_behind_the_latch() {
        let fake = Fake::new();
        uart(&fake).init_speed(24_000_000, 115_200).unwrap();
        // 24 MHz / (16 * 115200) = 13.02.
        let expected = [
            fake::Write::Word(0x0c, 0x83),
            fake::Write::Word(0x00, 13),
            fake::Write::Word(0x04, 0),
            fake::Write::Word(0x0c, 0x03),
        ];
        assert_eq!(fake.memory.take_writes()[3..], expected);
    }

    #[test]
    fn init_speed_that_cannot_be_is_an_error_and_changes_nothing() {
        let fake = Fake::new();
        for (clock, baud) in [(0, 9600), (1_000, 115_200), (u32::MAX, 1), (1, 0)] {
            assert_eq!(uart(&fake).init_speed(clock, baud), Err(BadSpeed));
        }
        let mini = Layout {
            kind: Kind::Mini,
            ..WORDS
        };
        let mut mini = Uart16550::new(&fake, mini).unwrap();
        assert_eq!(mini.init_speed(24_000_000, 115_200), Err(BadSpeed));
        assert_eq!(fake.memory.take_writes(), []);
    }

    #[test]
    fn write_all_loses_nothing_and_a_stuck_line_gives_up() {
        let fake = Fake::new();
        let mut uart = uart(&fake);
        let text: Vec<u8> = (0..100).collect();
        uart.write_all(&text).unwrap();
        uart.flush().unwrap();
        assert_eq!(*fake.line.borrow(), text);
        fake.stuck.set(true);
        assert!(!uart.send(b'x'));
        assert_eq!(uart.write_ready(), Ok(false));
        uart.drain();
    }

    #[test]
    fn receive_takes_what_is_there_and_leaves_errors_out() {
        let fake = Fake::new();
        let bytes = [(0, b'a'), (0x10, 0), (0x02, b'b'), (0x08, 1), (0, b'c')];
        fake.receive.borrow_mut().extend(bytes);
        let mut uart = uart(&fake);
        assert_eq!(uart.read_ready(), Ok(true));
        let mut into = [0; 8];
        assert_eq!(uart.read(&mut into), Ok(3));
        assert_eq!(into[..3], *b"abc");
        assert_eq!(uart.try_receive(), None);
    }

    #[test]
    fn try_receive_names_the_error() {
        let fake = Fake::new();
        let bytes = [(0x10, 0), (0x08, 0), (0x04, 0)];
        fake.receive.borrow_mut().extend(bytes);
        let mut uart = uart(&fake);
        assert_eq!(uart.try_receive(), Some(Err(LineError::Break)));
        assert_eq!(uart.try_receive(), Some(Err(LineError::Framing)));
        assert_eq!(uart.try_receive(), Some(Err(LineError::Parity)));
    }

    #[test]
    fn interrupt_pending_reads_the_inverted_bit() {
        let fake = Fake::new();
        let uart = uart(&fake);
        assert!(uart.interrupt_pending());
        fake.memory.poke32(0x08, 0xc1);
        assert!(!uart.interrupt_pending());
    }
}
