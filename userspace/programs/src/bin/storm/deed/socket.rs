//! Unix sockets.

use halyard_rt::{fd, nr, prelude::*};

use super::{call, made, with_partner};
use crate::chance::Chance;

const AF_UNIX: usize = 1;
const STREAM: usize = 1;
const DATAGRAM: usize = 2;
const SEQPACKET: usize = 5;
const NONBLOCK: usize = 0o4000;
const SOL_SOCKET: u32 = 1;
const SCM_RIGHTS: u32 = 1;

fn pair(kind: usize) -> Option<(fd::Fd, fd::Fd)> {
    let mut ends = [-1i32; 2];
    call(
        nr::SOCKETPAIR,
        [AF_UNIX, kind, 0, ends.as_mut_ptr() as usize],
    )
    .ok()?;
    let ends = core::hint::black_box(ends);
    Some((fd::Fd::from_raw(ends[0]), fd::Fd::from_raw(ends[1])))
}

/// Sends a byte with descriptors. `struct msghdr` and `cmsghdr` as of the 64-bit ABI.
fn send_with(socket: &fd::Fd, fds: &[i32]) {
    let text = [7u8];
    let mut part = [text.as_ptr() as u64, 1];
    let mut control = [0u64; 6];
    control[0] = 16 + 4 * fds.len() as u64;
    control[1] = u64::from(SOL_SOCKET) | u64::from(SCM_RIGHTS) << 32;
    for (index, fd) in fds.iter().enumerate().take(8) {
        if let Some(word) = control.get_mut(2 + index / 2) {
            *word |= u64::from(*fd as u32) << (32 * (index % 2));
        }
    }
    let length = (control[0] as usize).next_multiple_of(8) as u64;
    let mut header = [
        0,
        0,
        part.as_mut_ptr() as u64,
        1,
        control.as_mut_ptr() as u64,
        length,
        0,
    ];
    let _ = call(
        nr::SENDMSG,
        [socket.fd() as usize, header.as_mut_ptr() as usize, 0x4040],
    );
}

/// Receives whatever is there, descriptors too.
fn receive(socket: &fd::Fd, flags: usize) {
    let mut text = [0u8; 64];
    let mut part = [text.as_mut_ptr() as u64, 64];
    let mut control = [0u64; 16];
    let mut header = [
        0,
        0,
        part.as_mut_ptr() as u64,
        1,
        control.as_mut_ptr() as u64,
        128,
        0,
    ];
    let _ = call(
        nr::RECVMSG,
        [socket.fd() as usize, header.as_mut_ptr() as usize, flags],
    );
}

/// Descriptors on their way when everybody dies; sockets in themselves and in each other.
pub(crate) fn descriptors_in_flight(chance: &mut Chance) {
    let kind = [STREAM, DATAGRAM, SEQPACKET]
        .get(chance.below(3))
        .copied()
        .unwrap_or(STREAM);
    let (Some((one, other)), Some((third, fourth))) = (pair(kind), pair(STREAM)) else {
        return;
    };
    let Ok((reader, writer)) = fd::pipe() else {
        return;
    };
    with_partner(
        || {
            send_with(&one, &[reader.fd(), writer.fd(), third.fd()]);
            send_with(&third, &[one.fd(), fourth.fd()]);
            send_with(&one, &[other.fd(), one.fd()]);
        },
        || {
            if chance.once_in(2) {
                receive(&other, 0x40);
                receive(&fourth, 0x40);
            }
        },
    );
}

/// An address in the abstract space: family, a zero byte, a name.
fn address(name: usize) -> [u8; 11] {
    let mut address = *b"\x01\0\0storm-00";
    address[10] = b'0' + name as u8;
    address
}

/// Listeners that die with connections waiting, and those who wait for them.
pub(crate) fn listeners(chance: &mut Chance) {
    let mut name = address(chance.below(4));
    let at = name.as_mut_ptr() as usize;
    let kind = if chance.once_in(2) { STREAM } else { SEQPACKET };
    let Some(listener) = made(nr::SOCKET, [AF_UNIX, kind | NONBLOCK, 0]) else {
        return;
    };
    let number = listener.fd() as usize;
    let _ = call(nr::BIND, [number, at, 11]);
    let _ = call(nr::LISTEN, [number, chance.below(3)]);
    let waits = if chance.once_in(2) { 0 } else { NONBLOCK };
    with_partner(
        || {
            for _ in 0..3 {
                if let Some(client) = made(nr::SOCKET, [AF_UNIX, kind | waits, 0]) {
                    let _ = call(nr::CONNECT, [client.fd() as usize, at, 11]);
                    let _ = io::write(&client, &[1; 3000]);
                    send_with(&client, &[client.fd()]);
                    let _ = client.into_raw();
                }
            }
        },
        || {
            if let Some(accepted) = made(nr::ACCEPT4, [number, 0, 0, NONBLOCK]) {
                receive(&accepted, 0x40);
                let _ = call(nr::SHUTDOWN, [accepted.fd() as usize, chance.below(3)]);
            }
        },
    );
}

/// Datagrams to whoever has the name.
pub(crate) fn datagrams(chance: &mut Chance) {
    let mut name = address(4 + chance.below(3));
    let at = name.as_mut_ptr() as usize;
    let Some(socket) = made(nr::SOCKET, [AF_UNIX, DATAGRAM | NONBLOCK, 0]) else {
        return;
    };
    let number = socket.fd() as usize;
    if chance.once_in(2) {
        let _ = call(nr::BIND, [number, at, 11]);
    }
    let text = vec![5; chance.below(5000)];
    for _ in 0..chance.below(20) {
        let _ = call(
            nr::SENDTO,
            [number, text.as_ptr() as usize, text.len(), 0x40, at, 11],
        );
    }
    receive(&socket, 0x40);
}
