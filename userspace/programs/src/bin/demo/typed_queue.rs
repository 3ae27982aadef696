//! One queue for a whole office. A message's type says what it is: requests have low types, the most urgent the lowest; an answer has the
//! number of the process that it is for, so that each takes only what is meant for it.

use halyard_rt::prelude::*;
use halyard_rt::sysv::message;
use halyard_rt::sysv::{IPC_CREAT, IPC_PRIVATE, Id};

const URGENT: i64 = 1;
const ORDINARY: i64 = 2;

pub(crate) fn run() -> Result<()> {
    let queue = message::get(IPC_PRIVATE, IPC_CREAT | 0o600)?;
    let mut clients = Vec::new();
    for (kind, word) in [(ORDINARY, "paper"), (URGENT, "fire"), (ORDINARY, "ink")] {
        clients.push(process::spawn(|| {
            i32::from(ask(queue, kind, word).is_err())
        })?);
        // So that all three are waiting before the office opens.
        time::sleep(core::time::Duration::from_millis(20));
    }
    serve(queue, clients.len())?;
    for client in clients {
        process::wait_pid(client)?;
    }
    // The queue would outlive this process.
    message::remove(queue)
}

/// Asks, and takes the one message that has this process's number for its type.
fn ask(queue: Id, kind: i64, word: &str) -> Result<()> {
    let me = i64::from(process::id());
    message::send(queue, kind, format!("{me} {word}").as_bytes(), 0)?;
    let mut answer = [0; 64];
    let (_, count) = message::receive(queue, &mut answer, me, 0)?;
    println!("answer: {}", String::from_utf8_lossy(&answer[..count]));
    Ok(())
}

/// Answers so many requests: of those that are there, the lowest type first, the oldest among equals.
fn serve(queue: Id, requests: usize) -> Result<()> {
    for number in 1..=requests {
        let mut request = [0; 64];
        let (_, count) = message::receive(queue, &mut request, -ORDINARY, 0)?;
        let request = String::from_utf8_lossy(&request[..count]).into_owned();
        let (client, word) = request.split_once(' ').ok_or(Errno::EINVAL)?;
        let client = client.parse().map_err(|_| Errno::EINVAL)?;
        let answer = format!("{word} was number {number}");
        message::send(queue, client, answer.as_bytes(), 0)?;
    }
    Ok(())
}
