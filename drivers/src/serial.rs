//! UARTs under one face, for whoever finds a console by the device tree and does not care which it is.

use core::fmt;

use crate::dt::{Node, Tree};
use crate::mmio::{TooSmall, Window};
use crate::pl011::{self, Pl011};
use crate::uart16550::{self, Layout, Uart16550};

/// What was wrong with a received byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// The receive FIFO was full and bytes before this one are lost.
    Overrun,
    /// The line was held low for longer than a byte: someone asks for attention.
    Break,
    /// The parity bit was wrong.
    Parity,
    /// There was no stop bit: the speeds differ, or there is noise.
    Framing,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineError::Overrun => "bytes were lost",
            LineError::Break => "break",
            LineError::Parity => "wrong parity",
            LineError::Framing => "no stop bit",
        })
    }
}

impl core::error::Error for LineError {}

impl embedded_io::Error for LineError {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self {
            LineError::Break => embedded_io::ErrorKind::Interrupted,
            LineError::Overrun => embedded_io::ErrorKind::Other,
            LineError::Parity | LineError::Framing => embedded_io::ErrorKind::InvalidData,
        }
    }
}

/// A speed that a UART's divisor cannot express, or that it has no way to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSpeed;

/// How often a flag is read before a wait is given up: some tens of milliseconds at least on every board, where a byte
/// takes 87 us at 115200 bits per second.
pub(crate) const PATIENCE: u32 = 1 << 20;

/// A UART that is driven here.
#[derive(Debug)]
pub enum Uart<W> {
    /// PrimeCell PL011.
    Pl011(Pl011<W>),
    /// 16550 and its kin.
    Uart16550(Uart16550<W>),
}

/// Whether the node is a UART that is driven here.
#[must_use]
pub fn is_driven(node: &Node<'_>) -> bool {
    let mut bindings = pl011::COMPATIBLE.iter().chain(uart16550::COMPATIBLE);
    bindings.any(|binding| node.is_compatible(binding))
}

/// The UART to talk over: the one that `wanted` names by path or alias, else the tree's `stdout-path`, else the first that is driven
/// here and switched on.
#[must_use]
pub fn console<'a>(tree: &Tree<'a>, wanted: Option<&str>) -> Option<Node<'a>> {
    let wanted = wanted.and_then(|path| tree.find(path)).filter(is_driven);
    let named = || tree.stdout().map(|stdout| stdout.node).filter(is_driven);
    let first = || tree.nodes().find(|node| is_driven(node) && node.is_okay());
    wanted.or_else(named).or_else(first)
}

/// Why a node is no UART that is driven here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoUart {
    /// Its `compatible` is none of those known.
    Unknown,
    /// Its registers are too few.
    TooSmall(TooSmall),
    /// Its properties make no sense.
    Tree(crate::dt::Error),
}

impl fmt::Display for NoUart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoUart::Unknown => f.write_str("no driver for this UART"),
            NoUart::TooSmall(error) => error.fmt(f),
            NoUart::Tree(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for NoUart {}

/// Does the same to whichever it is.
macro_rules! each {
    ($self:ident, $uart:ident => $does:expr) => {
        match $self {
            Uart::Pl011($uart) => $does,
            Uart::Uart16550($uart) => $does,
        }
    };
}

/// Which UART a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// PrimeCell PL011.
    Pl011,
    /// 16550 and its kin, with registers so.
    Uart16550(Layout),
}

impl Model {
    /// What the node's `compatible` says, and the properties that go with it.
    pub fn of(node: &Node<'_>) -> Result<Self, NoUart> {
        let follows = |bindings: &[&str]| bindings.iter().any(|it| node.is_compatible(it));
        if follows(pl011::COMPATIBLE) {
            return Ok(Model::Pl011);
        }
        if follows(uart16550::COMPATIBLE) {
            let layout = Layout::of(node).map_err(NoUart::Tree)?;
            return Ok(Model::Uart16550(layout));
        }
        Err(NoUart::Unknown)
    }

    /// Errors if `size` bytes of registers are too few.
    pub fn check_size(self, size: usize) -> Result<(), NoUart> {
        let needed = match self {
            Model::Pl011 => pl011::WINDOW_SIZE,
            Model::Uart16550(layout) => layout.size(),
        };
        if size < needed {
            return Err(NoUart::TooSmall(TooSmall { needed, size }));
        }
        Ok(())
    }
}

impl<W: Window> Uart<W> {
    /// The driver for a UART of that model, whose registers `window` is. Touches no register.
    pub fn new(model: Model, window: W) -> Result<Self, TooSmall> {
        match model {
            Model::Pl011 => Pl011::new(window).map(Uart::Pl011),
            Model::Uart16550(layout) => Uart16550::new(window, layout).map(Uart::Uart16550),
        }
    }

    /// Switches the UART on with FIFOs and no interrupts, at the speed that the firmware set. What is being sent is
    /// sent first.
    pub fn init(&mut self) {
        each!(self, uart => uart.init());
    }

    /// Lets the UART interrupt when bytes are waiting, or not.
    pub fn set_receive_interrupt(&mut self, on: bool) {
        each!(self, uart => uart.set_receive_interrupt(on));
    }

    /// What an interrupt is answered with: takes the waiting bytes, as many as `into` has room for; returns how many.
    /// What does not fit interrupts again. Bytes with errors are left out.
    pub fn handle_interrupt(&mut self, into: &mut [u8]) -> usize {
        each!(self, uart => uart.handle_interrupt(into))
    }

    /// Takes the waiting bytes, as many as `into` has room for; returns how many. Bytes with errors are left out. Does
    /// not block.
    pub fn receive(&mut self, into: &mut [u8]) -> usize {
        each!(self, uart => uart.receive(into))
    }

    /// Takes one waiting byte, if there is one.
    #[inline]
    pub fn try_receive(&mut self) -> Option<Result<u8, LineError>> {
        each!(self, uart => uart.try_receive())
    }

    /// Hands one byte to the transmitter, if it has room; whether it had. Does not block.
    #[inline]
    pub fn try_send(&mut self, byte: u8) -> bool {
        each!(self, uart => uart.try_send(byte))
    }

    /// Sends one byte; waits for room, but not for ever. Whether it was sent.
    pub fn send(&mut self, byte: u8) -> bool {
        each!(self, uart => uart.send(byte))
    }

    /// Waits until all has left the wire, or it takes too long.
    pub fn drain(&mut self) {
        each!(self, uart => uart.drain());
    }
}

/// `into` filled from `next` as far as there are bytes; those with errors left out.
pub(crate) fn fill(
    into: &mut [u8],
    mut next: impl FnMut() -> Option<Result<u8, LineError>>,
) -> usize {
    let mut count = 0;
    while let Some(place) = into.get_mut(count) {
        match next() {
            Some(Ok(byte)) => {
                *place = byte;
                count += 1;
            }
            Some(Err(_)) => {}
            None => break,
        }
    }
    count
}

/// The traits by which other drivers and text reach a UART, over its own methods. Reading waits for a first byte,
/// without end, then takes what has come; writing waits for room for the first byte, and a line that does not drain
/// swallows it. Text of the kernel's own gets a carriage return before each line feed.
macro_rules! stream_traits {
    ($uart:ident) => {
        impl<W: Window> embedded_io::ErrorType for $uart<W> {
            type Error = LineError;
        }

        impl<W: Window> embedded_io::Read for $uart<W> {
            fn read(&mut self, buf: &mut [u8]) -> Result<usize, LineError> {
                let Some((first, rest)) = buf.split_first_mut() else {
                    return Ok(0);
                };
                loop {
                    if let Some(received) = self.try_receive() {
                        *first = received?;
                        return Ok(1 + self.receive(rest));
                    }
                    core::hint::spin_loop();
                }
            }
        }

        impl<W: Window> embedded_io::Write for $uart<W> {
            fn write(&mut self, buf: &[u8]) -> Result<usize, LineError> {
                let Some((&first, rest)) = buf.split_first() else {
                    return Ok(0);
                };
                self.send(first);
                Ok(1 + rest.iter().take_while(|&&byte| self.try_send(byte)).count())
            }

            fn flush(&mut self) -> Result<(), LineError> {
                self.drain();
                Ok(())
            }
        }

        impl<W: Window> core::fmt::Write for $uart<W> {
            fn write_str(&mut self, text: &str) -> core::fmt::Result {
                for byte in text.bytes() {
                    if byte == b'\n' {
                        self.send(b'\r');
                    }
                    self.send(byte);
                }
                Ok(())
            }
        }
    };
}
pub(crate) use stream_traits;

stream_traits!(Uart);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dt::test_trees::build;
    use crate::mmio::fake::Memory;

    fn uart(compatible: &str, size: usize) -> Result<&'static str, NoUart> {
        let bytes = build(|tree| {
            let root = tree.begin_node("")?;
            let node = tree.begin_node("serial")?;
            tree.property_string("compatible", compatible)?;
            tree.property_u32("reg-shift", 2)?;
            tree.property_u32("reg-io-width", 4)?;
            tree.end_node(node)?;
            tree.end_node(root)
        });
        let tree = Tree::new(&bytes).unwrap();
        let window = Memory::new(size);
        let model = Model::of(&tree.find("/serial").unwrap())?;
        let uart = Uart::new(model, &window).map_err(NoUart::TooSmall);
        assert_eq!(model.check_size(size).err(), uart.as_ref().err().copied());
        let uart = uart?;
        assert_eq!(window.take_writes(), []);
        Ok(match uart {
            Uart::Pl011(_) => "pl011",
            Uart::Uart16550(_) => "16550",
        })
    }

    #[test]
    fn uart_of_a_node_follows_its_compatible() {
        assert_eq!(uart("arm,pl011", 0x1000), Ok("pl011"));
        for compatible in ["snps,dw-apb-uart", "brcm,bcm2835-aux-uart", "ns16550a"] {
            assert_eq!(uart(compatible, 0x400), Ok("16550"));
        }
        assert_eq!(uart("test,uart", 0x1000), Err(NoUart::Unknown));
    }

    #[test]
    fn console_is_the_one_asked_for_else_the_trees_else_the_first() {
        let tree_with = |stdout: Option<&str>| {
            build(|tree| {
                let root = tree.begin_node("")?;
                if let Some(path) = stdout {
                    let chosen = tree.begin_node("chosen")?;
                    tree.property_string("stdout-path", path)?;
                    tree.end_node(chosen)?;
                }
                for (name, status) in [("a", "disabled"), ("b", "okay"), ("c", "okay")] {
                    let node = tree.begin_node(name)?;
                    tree.property_string("compatible", "arm,pl011")?;
                    tree.property_string("status", status)?;
                    tree.end_node(node)?;
                }
                tree.end_node(root)
            })
        };
        let name = |stdout, wanted| {
            let bytes = tree_with(stdout);
            let tree = Tree::new(&bytes).unwrap();
            console(&tree, wanted).map(|node| std::string::String::from(node.name()))
        };
        assert_eq!(name(None, None).as_deref(), Some("b"));
        assert_eq!(name(Some("/c:115200"), None).as_deref(), Some("c"));
        assert_eq!(name(Some("/c"), Some("/a")).as_deref(), Some("a"));
        assert_eq!(name(Some("/c"), Some("/nothing")).as_deref(), Some("c"));
    }

    #[test]
    fn uart_with_too_few_registers_is_refused() {
        for compatible in ["arm,pl011", "snps,dw-apb-uart"] {
            assert!(matches!(uart(compatible, 8), Err(NoUart::TooSmall(_))));
        }
    }
}
