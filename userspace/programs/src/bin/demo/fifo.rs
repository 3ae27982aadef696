//! FIFOs: a pipe with a name, so that processes meet that are no relatives. Opening is the meeting: each side waits for the other.

use halyard_rt::prelude::*;
use halyard_rt::{open, raw};

const NAME: &str = "/tmp/demo_fifo";

/// A client: opens the name as any program could, says something, and leaves.
fn client(number: usize) -> Result<()> {
    let fifo = fs::open_with(NAME, open::O_WRONLY, 0)?;
    // Up to 4096 bytes are written in one piece: clients' words never mix.
    io::write_all(&fifo, format!("client {number} was here\n").as_bytes())
}

pub(crate) fn run() -> Result<()> {
    let _ = fs::remove_file(NAME);
    fs::create_node(NAME, raw::general::S_IFIFO | 0o600, (0, 0))?;
    // Without waiting, a writer finds that nobody reads.
    match fs::open_with(NAME, open::O_WRONLY | open::O_NONBLOCK, 0) {
        Err(Errno::ENXIO) => println!("nobody reads yet: ENXIO"),
        other => println!("unexpected: {other:?}"),
    }
    let mut clients = Vec::new();
    for number in 1..=3 {
        clients.push(process::spawn(|| i32::from(client(number).is_err()))?);
    }
    // This waits until the first client opens; the others find a reader.
    let fifo = fs::open(NAME)?;
    let mut lines = Lines::new(&fifo);
    let mut heard = 0;
    while heard < clients.len() {
        match lines.next_line()? {
            Some(line) => {
                println!("{}", String::from_utf8_lossy(&line));
                heard += 1;
            }
            None => {
                // All writers there were have gone. Others may come: a FIFO's end is not for ever.
                lines = Lines::new(&fifo);
                process::yield_now();
            }
        }
    }
    for client in clients {
        process::wait_pid(client)?;
    }
    fs::remove_file(NAME)
}
