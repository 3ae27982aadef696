//! The console: one UART for output of the kernel and of programs, and for input.
//!
//! Owns: the UART, behind a lock of its own that nests in every other. A panic has a second driver over the same UART, so
//! that it speaks whoever holds the first.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use halyard_cell::{SpinGuard, SpinLock};
use halyard_drivers::dt::{Node, Tree};
use halyard_drivers::pl011::{self, Pl011};
use halyard_drivers::serial::{self, NoUart};
use halyard_drivers::uart16550::{Layout, Uart16550};

use super::interrupts::{self, Wire};
use super::machine;
use super::power::words;
use super::registers::{NoRegisters, Registers};
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

/// A UART whose place the board knows, for messages before the device tree is understood. Physical addresses; speed and pins as
/// the loader left them.
#[derive(Clone, Copy, Debug)]
pub enum EarlyUart {
    /// An Arm PL011.
    Pl011(usize),
    /// A Raspberry Pi's mini UART.
    Mini(usize),
    /// A DesignWare 16550 with word-wide registers.
    DesignWare(usize),
}

impl EarlyUart {
    fn open(self) -> Option<Uart> {
        match self {
            EarlyUart::Pl011(address) => {
                let registers = Registers::map(address, pl011::WINDOW_SIZE).ok()?;
                Pl011::new(registers).ok().map(Uart::Pl011)
            }
            EarlyUart::Mini(address) => open_16550(address, Layout::MINI),
            EarlyUart::DesignWare(address) => open_16550(address, Layout::DESIGNWARE),
        }
    }
}

fn open_16550(address: usize, layout: Layout) -> Option<Uart> {
    let registers = Registers::map(address, layout.size()).ok()?;
    Uart16550::new(registers, layout).ok().map(Uart::Uart16550)
}

type Uart = serial::Uart<Registers>;

static CONSOLE: SpinLock<Option<Uart>> = SpinLock::new(None);
/// For a panic.
static LAST_WORDS: SpinLock<Option<Uart>> = SpinLock::new(None);
static SEIZED: AtomicBool = AtomicBool::new(false);
/// Input; put under the lock of `CONSOLE`, taken under that of `READER`.
static INPUT: Ring = Ring::new();
static READER: SpinLock<()> = SpinLock::new(());

/// Makes `uart` the console. Without a place for it the kernel is mute until the device tree names one.
pub(crate) fn init_early(uart: EarlyUart) {
    *CONSOLE.lock() = uart.open();
    *LAST_WORDS.lock() = uart.open();
}

/// Takes over the console that the tree names, with input; returns where it interrupts. None: the early console stays.
pub(crate) fn init(tree: &Tree<'_>, command_line: &str) -> Option<Wire> {
    // `console=serial0`.
    let wanted = words(command_line).find_map(|word| word.strip_prefix("console="));
    let node = serial::console(tree, wanted)?;
    if let Err(error) = take_over(&node) {
        println!("console {node}: {error}");
        return None;
    }
    let wire = node.interrupt(0).map(|line| interrupts::wire(&line));
    match wire {
        Ok(Ok(wire)) => return Some(wire),
        Ok(Err(error)) => println!("console {node}: no input: {error}"),
        Err(error) => println!("console {node}: no input: {error}"),
    }
    None
}

/// Switches a UART on for reception by interrupt, with the speed that the firmware set, and makes it the console.
fn take_over(node: &Node<'_>) -> Result<(), NoConsole> {
    let registers = Registers::of(node, 0).map_err(NoConsole::Registers)?;
    let mut uart = Uart::of(node, registers).map_err(NoConsole::Uart)?;
    let last_words = Uart::of(node, registers).map_err(NoConsole::Uart)?;
    uart.init();
    uart.set_receive_interrupt(true);
    *CONSOLE.lock() = Some(uart);
    *LAST_WORDS.lock() = Some(last_words);
    Ok(())
}

/// Why a UART cannot be the console.
enum NoConsole {
    Registers(NoRegisters),
    Uart(NoUart),
}

impl fmt::Display for NoConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoConsole::Registers(error) => error.fmt(f),
            NoConsole::Uart(error) => error.fmt(f),
        }
    }
}

/// Writes text as it is; blocks for the UART.
#[inline(never)]
pub(crate) fn write(text: &[u8]) {
    let uart = if SEIZED.load(Ordering::Relaxed) {
        LAST_WORDS.try_lock()
    } else {
        Some(CONSOLE.lock())
    };
    if let Some(mut uart) = uart
        && let Some(uart) = uart.as_mut()
    {
        // A line that does not drain loses text; there is nobody to tell.
        text.iter().for_each(|&byte| {
            let _ = uart.send(byte);
        });
    }
}

/// How long a frame waits for its turn on the UART, in ns: longer than the longest text in one piece takes at 115,200 baud.
const TURN: u64 = 100_000_000;

/// Sends bytes that are not text, all of them in a row, between two pieces of text; whether they went out. Waits for its turn, but
/// not for ever: for a panic it gives way at once.
pub(crate) fn send_frame(encode: impl FnOnce(&mut dyn FnMut(u8))) -> bool {
    let Some(mut uart) = take_turn() else {
        return false;
    };
    let Some(uart) = uart.as_mut() else {
        return false;
    };
    let mut whole = true;
    encode(&mut |byte| whole = whole && uart.send(byte));
    whole
}

/// The UART, when nobody else has it. Before there is a machine there is one CPU, and nothing to wait for.
fn take_turn() -> Option<SpinGuard<'static, Option<Uart>>> {
    let now = || machine::get().map(|machine| machine.clock.now().0);
    let end = now().map_or(0, |now| now + TURN);
    loop {
        if SEIZED.load(Ordering::Relaxed) {
            return None;
        }
        if let Some(uart) = CONSOLE.try_lock() {
            return Some(uart);
        }
        if now().is_none_or(|now| now >= end) {
            return None;
        }
        core::hint::spin_loop();
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
        let count = uart.handle_interrupt(&mut bytes);
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
