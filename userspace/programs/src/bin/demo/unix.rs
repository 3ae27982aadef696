//! Unix-domain sockets: a server that opens files for others, and hands them the descriptors.
//!
//! Shown: a name that is no file, connections, who is at the other side, a message that carries a descriptor, the end of a
//! connection.

use halyard_rt::fd;
use halyard_rt::net::{self, Address, Control, SOCK_SEQPACKET};
use halyard_rt::prelude::*;

pub(crate) fn run() -> Result<()> {
    // An abstract name: nothing in the file system, free again when the socket closes.
    let name = Address::hidden(format!("demo.{}", process::id()));
    let listener = net::socket(SOCK_SEQPACKET)?;
    net::bind(&listener, &name)?;
    net::listen(&listener, 4)?;

    let client = process::spawn(|| ask(&name).unwrap_or(1))?;

    // The connection was made in the client's call; accepting it is giving it a descriptor here.
    let connection = net::accept(&listener, 0)?;
    let who = net::peer_credentials(&connection)?;
    println!(
        "server: process {} of user {} has connected",
        who.pid, who.uid
    );

    // Sequenced packets keep their bounds: one receive is one request.
    let mut request = [0; 64];
    loop {
        let count = net::receive(&connection, &mut request, 0)?;
        if count == 0 {
            println!("server: the client has closed");
            break;
        }
        serve(&connection, &request[..count])?;
    }
    if process::wait_pid(client)?.code() == 0 {
        Ok(())
    } else {
        Err(Errno::EPROTO)
    }
}

/// Opens a pipe, writes the answer to it, and sends the other end.
fn serve(connection: &Fd, request: &[u8]) -> Result<()> {
    println!("server: asked for \"{}\"", request.escape_ascii());
    let (reader, writer) = fd::pipe()?;
    io::write_all(&writer, b"the contents of ")?;
    io::write_all(&writer, request)?;
    let control = Control::new().descriptors(&[reader.fd()]);
    net::send_message(connection, b"here", &control, 0)?;
    // Both ends close here. The reading end lives on in the message, and then with the client.
    Ok(())
}

fn ask(name: &Address) -> Result<i32> {
    let socket = net::socket(SOCK_SEQPACKET)?;
    net::connect(&socket, name)?;
    for request in ["a letter", "a list"] {
        net::send(&socket, request.as_bytes(), 0)?;
        let mut text = [0; 16];
        // Room for control data is asked for with each message; a descriptor that finds none is closed.
        let answer = net::receive_message(&socket, &mut text, 32, 0)?;
        let Some(file) = answer.fds.first() else {
            return Ok(1);
        };
        let mut contents = Vec::new();
        io::read_to_end(file, &mut contents)?;
        println!("client: got \"{}\"", contents.escape_ascii());
    }
    Ok(0)
}
