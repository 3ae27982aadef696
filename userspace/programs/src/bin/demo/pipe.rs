//! Pipes: a parent sends lines through a filter, as a shell does with `|`. Three things to learn: who must close what, how the
//! end is found, and what happens to a writer whom nobody reads any more.

use halyard_rt::fd;
use halyard_rt::prelude::*;
use halyard_rt::signal::{self, Action, SIGPIPE, SignalSet};

/// Reads lines until the end and writes them in capitals.
fn filter(input: &Fd, output: &Fd) -> Result<()> {
    let mut lines = Lines::new(input);
    while let Some(line) = lines.next_line()? {
        io::write_all(output, &line.to_ascii_uppercase())?;
        io::write_all(output, b"\n")?;
    }
    Ok(())
}

pub(crate) fn run() -> Result<()> {
    // Two pipes: to the filter, and back from it.
    let (to_read, to_write) = fd::pipe()?;
    let (from_read, from_write) = fd::pipe()?;
    let (write_end, read_end) = (to_write.fd(), from_read.fd());
    let child = process::spawn(|| {
        // The child has copies of all four ends. It closes those that are the parent's: with its own copy of the writing end
        // open it would wait for itself and never find the end.
        let _ = fd::close(write_end);
        let _ = fd::close(read_end);
        i32::from(filter(&to_read, &from_write).is_err())
    })?;
    drop((to_read, from_write));
    io::write_all(&to_write, b"a pipe keeps the order\nand loses nothing\n")?;
    // The last writer goes: the filter reads what is left, and then 0, the end. Then it ends, and with it the way back.
    drop(to_write);
    let mut answer = Vec::new();
    io::read_to_end(&from_read, &mut answer)?;
    print!("{}", String::from_utf8_lossy(&answer));
    println!(
        "the filter's exit code: {}",
        process::wait_pid(child)?.code()
    );

    // A pipe without readers: SIGPIPE would end this program. Ignored, it leaves the error.
    signal::set(SIGPIPE, Action::Ignore, 0, SignalSet::EMPTY)?;
    let (reader, writer) = fd::pipe()?;
    drop(reader);
    match io::write(&writer, b"is anybody there?") {
        Err(Errno::EPIPE) => println!("nobody reads any more: EPIPE"),
        other => println!("unexpected: {other:?}"),
    }
    Ok(())
}
