//! The handbook's first exercise: a parent sends "hello" to its child through a pipe.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use halyard_rt::fd;
use halyard_rt::prelude::*;
use halyard_rt::process::Fork;

entry!(main);

fn main() -> Result<i32> {
    let (reader, writer) = fd::pipe()?;
    match process::fork()? {
        Fork::Child => {
            // The child's copy of the writing end must go, or it would wait for its own words for ever.
            drop(writer);
            let mut message = Vec::new();
            io::read_to_end(&reader, &mut message)?;
            println!("child: got \"{}\"", String::from_utf8_lossy(&message));
            Ok(0)
        }
        Fork::Parent(child) => {
            drop(reader);
            io::write_all(&writer, b"hello")?;
            // The child reads to the end, and the end comes when the last writer closes.
            drop(writer);
            Ok(process::wait_pid(child)?.code())
        }
    }
}
