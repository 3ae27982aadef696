//! Waits on the board's UART for a kernel and an initramfs, and starts them (docs/chainloader.md).
//!
//! One image for every board: the device tree that the loader gave says where the UART and the memory are, and is handed on with the
//! initramfs' place and further words in it. The UART keeps the speed that the firmware set. Promises: starts only what
//! came whole; waits for ever; needs no more memory than the kernel, the initramfs and a copy of the tree.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod memory;

use core::fmt::Write;

use halyard_bare::{NoMachine, Registers, Rooms, clock, device_tree, jump, pause, rest};
use halyard_drivers::dt::Tree;
use halyard_drivers::plan::Console;
use halyard_drivers::serial::{self, Uart};
use halyard_wire::load::Board;

use memory::Loaded;

halyard_bare::entry!(main);

/// How often it says that it waits, in ms.
const REMIND: u64 = 5000;

/// How long the UART is left alone when it has nothing, in us: a fraction of what its FIFO can hold, at ten times the usual speed. An
/// emulated one is served no sooner for being asked without end.
const BREATH: u64 = 10;

/// Without a tree there is neither a UART to say so on nor a kernel that could start.
fn main(tree_at: usize) -> ! {
    let Ok(tree) = device_tree(tree_at) else {
        rest()
    };
    let Some(mut uart) = console(&tree) else {
        rest()
    };
    uart.init();
    match Rooms::of(&tree, tree_at) {
        Ok(rooms) => serve(&tree, uart, rooms),
        Err(error) => give_up(&mut uart, &error),
    }
}

/// The UART that the kernel will use too.
fn console(tree: &Tree<'_>) -> Option<Uart<Registers>> {
    let words = tree.chosen().map_or("", |chosen| chosen.bootargs());
    let mut words = words
        .split_ascii_whitespace()
        .take_while(|&word| word != "--");
    let wanted = words.find_map(|word| word.strip_prefix("console="));
    let node = serial::console(tree, wanted)?;
    let console = Console::of(&node).ok()?;
    Uart::new(console.model, Registers::of(console.registers).ok()?).ok()
}

fn give_up(uart: &mut Uart<Registers>, error: &NoMachine) -> ! {
    // Writing to a UART does not fail.
    let _ = writeln!(uart, "Halyard's chainloader gives up: {error}");
    uart.drain();
    rest()
}

/// Takes a kernel, and starts it.
fn serve(tree: &Tree<'_>, mut uart: Uart<Registers>, rooms: Rooms) -> ! {
    let title = tree.model().unwrap_or("a board");
    // What the kernel will be told in any case.
    let words = tree.chosen().map_or("", |chosen| chosen.bootargs());
    let mut loaded = Loaded::new(tree, rooms);
    let mut board = Board::new(title);
    let mut said = None;
    loop {
        let now = clock();
        let silent = said.is_none_or(|at| now.saturating_sub(at) >= REMIND);
        if silent && !board.is_busy() {
            // Writing to a UART does not fail.
            let _ = writeln!(
                uart,
                "Halyard's chainloader on {title} waits for a kernel ({words})"
            );
            said = Some(now);
        }
        // A damaged byte fails the sum of what it is in.
        if let Some(Ok(byte)) = uart.try_receive() {
            board.take(byte, now, &mut loaded, &mut |bytes| {
                for &byte in bytes {
                    uart.send(byte);
                }
            });
        } else if board.may_start(now)
            && let Some((kernel, tree)) = loaded.ready()
        {
            uart.drain();
            jump(kernel, tree)
        } else {
            pause(BREATH);
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    rest()
}
