//! The console: one UART for output of the kernel and of programs, and for input.
//!
//! Owns: the UART, behind a lock of its own that nests in every other. A panic has a second driver over the same UART, so
//! that it speaks whoever holds the first.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use halyard_cell::SpinLock;
use halyard_drivers::dt::{Node, Tree};
use halyard_drivers::pl011::{self, Pl011};

use super::interrupts::{self, Wire};
use super::registers::Registers;
use crate::ring::Ring;

/// Prints without a line end.
macro_rules! print {
    ($($arg:tt)*) => {{
        use core::fmt::Write;
        // Writing to the console does not fail.
        let _ = write!($crate::hardware::console::Text, $($arg)*);
    }};
}
pub(crate) use print;

/// Prints a line.
macro_rules! println {
    ($($arg:tt)*) => {{
        use core::fmt::Write;
        // Writing to the console does not fail.
        let _ = writeln!($crate::hardware::console::Text, $($arg)*);
    }};
}
pub(crate) use println;

/// A UART whose place the board knows, for messages before the device tree is understood.
#[derive(Clone, Copy, Debug)]
pub enum EarlyUart {
    /// An Arm PL011 at this physical address, as the loader left it.
    Pl011(usize),
}

/// The UARTs that can be a console.
enum Uart {
    Pl011(Pl011<Registers>),
}

impl Uart {
    fn pl011(registers: Registers) -> Option<Self> {
        Pl011::new(registers).ok().map(Uart::Pl011)
    }

    fn write(&mut self, text: &[u8]) {
        match self {
            // A line that does not drain loses text; there is nobody to tell.
            Uart::Pl011(uart) => text.iter().for_each(|&byte| {
                let _ = uart.send(byte);
            }),
        }
    }

    /// Switches it on for reception by interrupt, with the speed that the firmware set.
    fn init(&mut self) {
        match self {
            Uart::Pl011(uart) => {
                uart.init();
                uart.set_receive_interrupt(true);
            }
        }
    }

    fn receive(&mut self, into: &mut [u8]) -> usize {
        match self {
            Uart::Pl011(uart) => uart.handle_interrupt(into),
        }
    }
}

static CONSOLE: SpinLock<Option<Uart>> = SpinLock::new(None);
/// For a panic.
static LAST_WORDS: SpinLock<Option<Uart>> = SpinLock::new(None);
static SEIZED: AtomicBool = AtomicBool::new(false);
/// Input; put under the lock of `CONSOLE`, taken under that of `READER`.
static INPUT: Ring = Ring::new();
static READER: SpinLock<()> = SpinLock::new(());

fn set(registers: Registers, init: bool) {
    let mut uart = Uart::pl011(registers);
    if let Some(uart) = uart.as_mut().filter(|_| init) {
        uart.init();
    }
    *CONSOLE.lock() = uart;
    *LAST_WORDS.lock() = Uart::pl011(registers);
}

/// Makes `uart` the console. Without a place for it the kernel is mute until the device tree names one.
pub(crate) fn init_early(uart: EarlyUart) {
    let EarlyUart::Pl011(address) = uart;
    if let Ok(registers) = Registers::map(address, pl011::WINDOW_SIZE) {
        set(registers, false);
    }
}

/// The UART that the tree's `stdout-path` names, or the first that we drive.
fn find<'a>(tree: &Tree<'a>) -> Option<Node<'a>> {
    let ours = |node: &Node<'_>| {
        pl011::COMPATIBLE
            .iter()
            .any(|&name| node.is_compatible(name))
    };
    let named = tree.stdout().map(|stdout| stdout.node).filter(ours);
    named.or_else(|| tree.compatible(pl011::COMPATIBLE).next())
}

/// Takes over the console that the tree names, with input; returns where it interrupts. None: the early console stays.
pub(crate) fn init(tree: &Tree<'_>) -> Option<Wire> {
    let node = find(tree)?;
    match Registers::of(&node, 0) {
        Ok(registers) => set(registers, true),
        Err(error) => {
            println!("console {node}: {error}");
            return None;
        }
    }
    let wire = node.interrupt(0).map(|line| interrupts::wire(&line));
    match wire {
        Ok(Ok(wire)) => return Some(wire),
        Ok(Err(error)) => println!("console {node}: no input: {error}"),
        Err(error) => println!("console {node}: no input: {error}"),
    }
    None
}

/// Writes text as it is; blocks for the UART.
pub(crate) fn write(text: &[u8]) {
    let uart = if SEIZED.load(Ordering::Relaxed) {
        LAST_WORDS.try_lock()
    } else {
        Some(CONSOLE.lock())
    };
    if let Some(mut uart) = uart
        && let Some(uart) = uart.as_mut()
    {
        uart.write(text);
    }
}

/// At the UART's interrupt: moves what came into the ring. What finds no room is lost, as it would be in the UART.
pub(crate) fn receive() {
    let mut console = CONSOLE.lock();
    let Some(uart) = console.as_mut() else {
        return;
    };
    let mut bytes = [0; 32];
    loop {
        let count = uart.receive(&mut bytes);
        for &byte in bytes.iter().take(count) {
            INPUT.put(byte);
        }
        if count < bytes.len() {
            return;
        }
    }
}

/// Takes input that came; returns how much.
pub(crate) fn read(into: &mut [u8]) -> usize {
    let _reader = READER.lock();
    INPUT.take(into)
}

/// Takes the console by force, for a panic.
pub(crate) fn seize() {
    SEIZED.store(true, Ordering::Relaxed);
}

/// Formatted text with line ends as a terminal wants them.
pub(crate) struct Text;

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    write(line.as_bytes());
                    write(b"\r\n");
                }
                None => write(line.as_bytes()),
            }
        }
        Ok(())
    }
}
