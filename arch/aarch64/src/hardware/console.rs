//! The console: one UART for output of the kernel and of programs, and for input.
//!
//! Owns: the UART, behind a lock of its own that nests in every other. A panic breaks it.

use core::fmt;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use halyard_cell::SpinLock;

use super::kernel_map;

/// A UART whose place the board knows, for messages before the device tree is understood.
#[derive(Clone, Copy, Debug)]
pub enum EarlyUart {
    /// An Arm PL011 at this physical address, as the loader left it.
    Pl011(usize),
}

/// Where the UART is, once it is known; 0 before.
static UART: AtomicUsize = AtomicUsize::new(0);
/// Who holds it writes.
static WRITER: SpinLock<()> = SpinLock::new(());
/// Set by a panic: the lock counts no more.
static SEIZED: AtomicBool = AtomicBool::new(false);

fn put(uart: usize, byte: u8) {
    let data = uart as *mut u32;
    let flags = (uart + 0x18) as *const u32;
    // SAFETY: the address is that of a mapped PL011 (`init_early`); UARTFR and UARTDR have no effect on memory.
    unsafe {
        while read_volatile(flags) & (1 << 5) != 0 {}
        write_volatile(data, u32::from(byte));
    }
}

/// Makes `uart` the console. Without a place for it the kernel runs mute.
pub(crate) fn init_early(uart: EarlyUart) {
    let EarlyUart::Pl011(address) = uart;
    if let Ok(mapped) = kernel_map::map_device(address, 0x1000) {
        UART.store(mapped, Ordering::Release);
    }
}

/// Writes text as it is; blocks for the UART.
pub(crate) fn write(text: &[u8]) {
    let uart = UART.load(Ordering::Acquire);
    if uart == 0 {
        return;
    }
    let _guard = (!SEIZED.load(Ordering::Relaxed)).then(|| WRITER.lock());
    text.iter().for_each(|&byte| put(uart, byte));
}

/// Takes the console by force, for a panic: its holder is below the panic or on a CPU that stops.
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
