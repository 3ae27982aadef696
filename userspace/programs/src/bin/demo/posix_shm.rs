//! POSIX shared memory: a file of /dev/shm that two processes map, and a sealed memfd that a receiver can trust.

use core::sync::atomic::Ordering;

use halyard_rt::memfd::{self, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE, MFD_ALLOW_SEALING};
use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::open;
use halyard_rt::prelude::*;

const NAME: &str = "/dev/shm/demo_board";
const EACH: u32 = 1000;

/// Opens the board by its name, as a stranger would, and counts on it.
fn visitor() -> Result<()> {
    let file = fs::open_with(NAME, open::O_RDWR, 0)?;
    let board = Mapping::file(&file, 0, PAGE, PROT_READ | PROT_WRITE, Sharing::Shared)?;
    for _ in 0..EACH {
        // Shared memory orders nothing by itself: atomics do.
        board.atomic(0).fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

pub(crate) fn run() -> Result<()> {
    // What shm_open(3) does.
    let _ = fs::remove_file(NAME);
    let file = fs::open_with(NAME, open::O_RDWR | open::O_CREAT | open::O_EXCL, 0o600)?;
    fs::set_length(&file, PAGE as u64)?;
    let board = Mapping::file(&file, 0, PAGE, PROT_READ | PROT_WRITE, Sharing::Shared)?;
    let visitors = [
        process::spawn(|| i32::from(visitor().is_err()))?,
        process::spawn(|| i32::from(visitor().is_err()))?,
    ];
    for visitor in visitors {
        process::wait_pid(visitor)?;
    }
    println!(
        "two visitors counted to {}",
        board.atomic(0).load(Ordering::Relaxed)
    );
    // The name goes; the memory stays as long as somebody maps it.
    fs::remove_file(NAME)?;

    // A file without a name, written, then sealed: whoever gets it need not fear that it changes while it is read.
    let letter = memfd::create("letter", MFD_ALLOW_SEALING)?;
    io::write_all(&letter, b"signed and sealed")?;
    memfd::seal(&letter, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)?;
    match io::write(&letter, b"!") {
        Err(Errno::EPERM) => println!("the letter cannot be changed any more: EPERM"),
        other => println!("unexpected: {other:?}"),
    }
    let mut text = [0; 32];
    let length = io::pread(&letter, &mut text, 0)?;
    println!("it says: {}", String::from_utf8_lossy(&text[..length]));
    Ok(())
}
