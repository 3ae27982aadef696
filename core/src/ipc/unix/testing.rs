//! What tests send and receive with: single attempts, and the blocking loops over a socket.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Arrival, Attachment, Kind, Request, Socket, Ucred};
use crate::fs::file::Side;
use crate::ipc::pipe::testing::{TestSink, TestSource};
use crate::wait::testing::TestSleeper;
use crate::wait::{Interruption, wait_until};
use crate::{Errno, Result};

/// Whether `what` comes to be. All tests of a run collect sockets in one register, and what one would free may for a moment
/// be in the hands of another's collection.
#[cfg(not(loom))]
pub(super) fn eventually(what: impl Fn() -> bool) -> bool {
    const PATIENCE: core::time::Duration = core::time::Duration::from_secs(10);
    let until = std::time::Instant::now() + PATIENCE;
    while !what() && std::time::Instant::now() < until {
        std::thread::yield_now();
    }
    what()
}

pub(super) const ME: Ucred = Ucred {
    pid: 7,
    uid: 8,
    gid: 9,
};

/// Sends without waiting, to whom the socket is connected.
pub(super) fn send(socket: &Socket, bytes: &[u8]) -> Result<usize> {
    send_with(socket, bytes, Attachment::default())
}

/// Sends bytes that come with something.
pub(super) fn send_with(
    socket: &Socket,
    bytes: &[u8],
    mut attachment: Attachment,
) -> Result<usize> {
    let mut source = TestSource::new(bytes);
    if socket.kind() == Kind::Stream {
        return socket.try_send_stream(&mut source, &mut attachment);
    }
    let mut packet = Some(socket.packet(&mut source, attachment)?);
    socket.try_send_packet(&mut packet, None, Some(ME))?;
    Ok(bytes.len())
}

/// Sends a datagram to `to`.
#[cfg(not(loom))]
pub(super) fn send_to(socket: &Socket, to: &Arc<Socket>, bytes: &[u8]) -> Result<usize> {
    let mut packet = Some(socket.packet(&mut TestSource::new(bytes), Attachment::default())?);
    socket.try_send_packet(&mut packet, Some(to), None)?;
    Ok(bytes.len())
}

/// Receives up to `room` bytes without waiting, and what came with them.
pub(super) fn receive_all(
    socket: &Socket,
    room: usize,
    request: Request,
) -> Result<(Vec<u8>, Arrival)> {
    let (mut sink, mut arrival) = (TestSink::new(room), Arrival::default());
    let count = socket.try_receive(&mut sink, request, &mut arrival)?;
    assert_eq!(count, sink.bytes.len());
    Ok((sink.bytes, arrival))
}

/// Receives up to `room` bytes without waiting.
pub(super) fn receive(socket: &Socket, room: usize) -> Result<Vec<u8>> {
    receive_all(socket, room, Request::default()).map(|(bytes, _)| bytes)
}

/// Sends all, waiting for room.
pub(super) async fn send_waiting(socket: &Arc<Socket>, bytes: &[u8]) -> Result<usize> {
    let (sleeper, mut done) = (TestSleeper::new(), 0);
    while done < bytes.len() {
        let attempt = || match send(socket, &bytes[done..]) {
            Err(Errno::EAGAIN) => None,
            other => Some(other),
        };
        match wait_until(&sleeper, socket.queue(Side::Write), None, attempt).await {
            Ok(Ok(count)) => done += count,
            Ok(Err(errno)) if done == 0 => return Err(errno),
            Ok(Err(_)) | Err(Interruption::Signal) => break,
            Err(other) => return Err(other.errno()),
        }
    }
    Ok(done)
}

/// Receives what is there, once something is.
pub(super) async fn receive_waiting(socket: &Arc<Socket>, room: usize) -> Result<Vec<u8>> {
    let sleeper = TestSleeper::new();
    let attempt = || match receive(socket, room) {
        Err(Errno::EAGAIN) => None,
        other => Some(other),
    };
    wait_until(&sleeper, socket.queue(Side::Read), None, attempt)
        .await
        .unwrap_or_else(|why| Err(why.errno()))
}
