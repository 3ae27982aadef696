//! A board in shared memory: one process writes on it, another sees it at once, without a system call. They find the board by a key that both
//! know, as two programs that have never met would.

use core::sync::atomic::Ordering::SeqCst;

use halyard_rt::prelude::*;
use halyard_rt::sysv::memory;
use halyard_rt::sysv::{IPC_CREAT, IPC_EXCL, SHM_RDONLY};
use halyard_rt::thread::{futex_wait_shared, futex_wake_shared};

const KEY: i32 = 0x0b0a_4d01;
const SIZE: usize = 4096;
/// The first word says how long the text behind it is; 0: there is none yet.
const LENGTH: usize = 0;
const TEXT: usize = 4;

pub(crate) fn run() -> Result<()> {
    let id = memory::get(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0o600)?;
    let reader = process::spawn(|| i32::from(read().is_err()))?;
    let board = memory::attach(id, 0)?;
    for (index, byte) in b"hello, board".iter().enumerate() {
        board.store(TEXT + index, *byte);
    }
    // First the text, then its length: whoever sees the length sees the text.
    board.atomic(LENGTH).store(12, SeqCst);
    futex_wake_shared(board.atomic(LENGTH), 1)?;
    process::wait_pid(reader)?;
    println!(
        "attached {} time(s), {} bytes",
        memory::status(id)?.nattch,
        SIZE
    );
    // The key is free at once; the memory goes when `board` does.
    memory::remove(id)
}

fn read() -> Result<()> {
    let id = memory::get(KEY, SIZE, 0)?;
    let board = memory::attach(id, SHM_RDONLY)?;
    let length = board.atomic(LENGTH);
    while length.load(SeqCst) == 0 {
        // Sleeps unless it has changed already; the kernel knows the word by its segment, not by its address.
        let _ = futex_wait_shared(length, 0, None);
    }
    let count = length.load(SeqCst) as usize;
    let text: Vec<u8> = (TEXT..TEXT + count).map(|at| board.load(at)).collect();
    println!("read: {}", String::from_utf8_lossy(&text));
    Ok(())
}
