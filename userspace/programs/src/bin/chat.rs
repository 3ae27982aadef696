//! A chat over a Unix-domain socket: one program that is the server or a client.
//!
//!     chat serve PATH             makes the room
//!     chat PATH NAME              enters it: lines typed go to all others, lines of others are shown
//!     chat PATH NAME TEXT...      says one thing and leaves
//!     chat test                   holds a conversation of three with itself, and checks it
//!
//! The server keeps one connection a client and waits for all of them at once with poll. What a client sends is cut into
//! lines, and each line goes to the others with the sender's name before it. Who does not take what he is sent is
//! put out of the room, so that nobody makes the others wait.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use core::time::Duration;

use halyard_rt::net::{self, Address, MSG_DONTWAIT, MSG_NOSIGNAL, SHUT_WR, SOCK_STREAM};
use halyard_rt::poll::{POLLIN, PollFd, poll};
use halyard_rt::prelude::*;

entry!(main);

/// A line longer than this is cut.
const LINE_MAX: usize = 512;

fn main() -> Result<i32> {
    let words: Vec<&str> = args::args().skip(1).collect();
    match words.as_slice() {
        ["test"] => test(),
        ["serve", path] => serve(&listen(path)?, None),
        [path, name] => enter(path, name),
        [path, name, text @ ..] => say(path, name, &text.join(" ")),
        _ => {
            eprintln!("usage: chat serve PATH | chat PATH NAME [TEXT...] | chat test");
            Ok(2)
        }
    }
}

/// Somebody in the room. The first line that a client sends is its name.
struct Guest {
    socket: Fd,
    name: Option<String>,
    /// What came and is not a line yet.
    begun: Vec<u8>,
}

fn listen(path: &str) -> Result<Fd> {
    // A room whose server is gone leaves its name behind.
    let _ = fs::remove_file(path);
    let socket = net::socket(SOCK_STREAM)?;
    net::bind(&socket, &Address::path(path))?;
    net::listen(&socket, 8)?;
    Ok(socket)
}

/// Serves for ever; or, given a number, until that many guests have come and all have left.
fn serve(listener: &Fd, mut expected: Option<usize>) -> Result<i32> {
    let mut guests: Vec<Guest> = Vec::new();
    while expected != Some(0) || !guests.is_empty() {
        let mut watched = vec![PollFd::new(listener.fd(), POLLIN)];
        watched.extend(guests.iter().map(|it| PollFd::new(it.socket.fd(), POLLIN)));
        poll(&mut watched, None)?;
        // From the last to the first: who leaves does not move those still to be looked at.
        for index in (0..guests.len()).rev() {
            if watched[index + 1].revents != 0 {
                hear(&mut guests, index);
            }
        }
        if watched[0].revents != 0 {
            guests.push(Guest {
                socket: net::accept(listener, 0)?,
                name: None,
                begun: Vec::new(),
            });
            expected = expected.map(|count| count.saturating_sub(1));
        }
    }
    Ok(0)
}

/// Takes what a guest has sent, and passes on each line that is complete.
fn hear(guests: &mut Vec<Guest>, index: usize) {
    let mut bytes = [0; LINE_MAX];
    let count = net::receive(&guests[index].socket, &mut bytes, MSG_DONTWAIT).unwrap_or(0);
    if count == 0 {
        let guest = guests.remove(index);
        if let Some(name) = guest.name {
            tell(guests, None, &format!("* {name} leaves\n"));
        }
        return;
    }
    guests[index].begun.extend_from_slice(&bytes[..count]);
    while let Some(line) = next_line(&mut guests[index].begun) {
        let text = match &guests[index].name {
            Some(name) => format!("{name}: {line}\n"),
            None => {
                guests[index].name = Some(line.clone());
                format!("* {line} enters\n")
            }
        };
        tell(guests, Some(index), &text);
    }
}

fn next_line(begun: &mut Vec<u8>) -> Option<String> {
    let end = begun.iter().position(|byte| *byte == b'\n');
    let length = end.or((begun.len() >= LINE_MAX).then_some(LINE_MAX))?;
    let rest = begun.split_off((length + 1).min(begun.len()));
    let line = core::mem::replace(begun, rest);
    Some(String::from_utf8_lossy(&line[..length]).into_owned())
}

/// Sends `text` to all but `speaker`.
fn tell(guests: &[Guest], speaker: Option<usize>, text: &str) {
    for (index, guest) in guests.iter().enumerate() {
        if Some(index) != speaker && guest.name.is_some() {
            let sent = net::send(&guest.socket, text.as_bytes(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if sent != Ok(text.len()) {
                // Its next read is the end, and so it leaves.
                let _ = net::shutdown(&guest.socket, net::SHUT_RDWR);
            }
        }
    }
}

fn connect(path: &str, name: &str) -> Result<Fd> {
    let socket = net::socket(SOCK_STREAM)?;
    net::connect(&socket, &Address::path(path))?;
    io::write_all(&socket, format!("{name}\n").as_bytes())?;
    Ok(socket)
}

fn enter(path: &str, name: &str) -> Result<i32> {
    let socket = connect(path, name)?;
    let mut watched = [PollFd::new(STDIN, POLLIN), PollFd::new(socket.fd(), POLLIN)];
    let mut bytes = [0; LINE_MAX];
    loop {
        poll(&mut watched, None)?;
        if watched[1].revents != 0 {
            match io::read(&socket, &mut bytes)? {
                0 => return Ok(0),
                count => io::write_all(STDOUT, &bytes[..count])?,
            }
        }
        if watched[0].revents != 0 {
            match io::read(STDIN, &mut bytes)? {
                0 => {
                    net::shutdown(&socket, SHUT_WR)?;
                    watched[0].fd = -1;
                }
                count => io::write_all(&socket, &bytes[..count])?,
            }
        }
    }
}

fn say(path: &str, name: &str, text: &str) -> Result<i32> {
    let socket = connect(path, name)?;
    io::write_all(&socket, format!("{text}\n").as_bytes())?;
    Ok(0)
}

/// Reads lines until one is `wanted`; false at the end.
fn await_line(lines: &mut Lines<&Fd>, wanted: &str) -> Result<bool> {
    while let Some(line) = lines.next_line()? {
        println!("{}", String::from_utf8_lossy(&line));
        if line == wanted.as_bytes() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Three in a room: each must hear the others and not itself.
fn test() -> Result<i32> {
    let path = format!("/tmp/chat.{}", process::id());
    let listener = listen(&path)?;
    let server = process::spawn(|| serve(&listener, Some(3)).unwrap_or(1))?;
    drop(listener);
    let ann = connect(&path, "ann")?;
    net::set_timeout(&ann, net::SO_RCVTIMEO, Duration::from_secs(10))?;
    let mut heard = Lines::new(&ann);
    let bob = connect(&path, "bob")?;
    let mut passed = await_line(&mut heard, "* bob enters")?;
    io::write_all(&ann, b"hello, bob\nhow is ")?;
    io::write_all(&ann, b"it?\n")?;
    let mut bob_heard = Lines::new(&bob);
    passed &= await_line(&mut bob_heard, "ann: hello, bob")?;
    passed &= await_line(&mut bob_heard, "ann: how is it?")?;
    passed &= say(&path, "eve", "anybody here?")? == 0;
    passed &= await_line(&mut heard, "eve: anybody here?")?;
    passed &= await_line(&mut heard, "* eve leaves")?;
    passed &= await_line(&mut bob_heard, "* eve leaves")?;
    drop(bob);
    passed &= await_line(&mut heard, "* bob leaves")?;
    drop(ann);
    passed &= process::wait_pid(server)?.code() == 0;
    fs::remove_file(&path)?;
    println!(
        "{}",
        if passed {
            "chat: passed"
        } else {
            "chat: failed"
        }
    );
    Ok(i32::from(!passed))
}
