//! Unix sockets.

use halyard_rt::{nr, open, prelude::*};

use super::file;
use crate::actor::{Actor, call};
use crate::op::{Args, Domain, Family, Told, kind, op};
use Domain::{Makes, Of, Slot};

const N: i64 = open::O_NONBLOCK as i64;
/// Kinds: streams, datagrams, packets, mostly without waiting.
const KINDS: &[i64] = &[1 | N, 1 | N, 1, 2 | N, 2 | N, 5 | N, 5 | N, 3, 99];
const NAMES: &[i64] = &[0, 0, 1];
const LENGTHS: &[i64] = &[0, 1, 5, 100, 4096];
/// MSG_NOSIGNAL, with MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC.
const SEND: &[i64] = &[0x4000, 0x4000, 0x4040, 0];
const RECEIVE: &[i64] = &[0x40, 0x40, 0x42, 0x60, 0];

/// Unix sockets.
pub(crate) const FAMILY: Family = Family {
    name: "unix",
    ops: &[
        op(
            "socketpair",
            5,
            [
                Makes(kind::SOCKET),
                Makes(kind::SOCKET),
                Of(KINDS),
                Of(&[1, 1, 1, 1, 2]),
            ],
            pair,
        ),
        op("socket", 5, [Makes(kind::SOCKET), Of(KINDS)], socket),
        op("bind", 5, [Slot(kind::SOCKET), Of(NAMES)], bind),
        op(
            "listen",
            5,
            [Slot(kind::SOCKET), Of(&[0, 1, 5, -1])],
            listen,
        ),
        op("connect", 6, [Slot(kind::SOCKET), Of(NAMES)], connect),
        op(
            "accept4",
            5,
            [Makes(kind::SOCKET), Slot(kind::SOCKET), Of(&[N, 0, 1])],
            accept,
        ),
        op(
            "send",
            10,
            [Slot(kind::SOCKET), Of(LENGTHS), Of(SEND)],
            send,
        ),
        op(
            "sendto",
            5,
            [Slot(kind::SOCKET), Of(LENGTHS), Of(SEND), Of(NAMES)],
            send_to,
        ),
        op(
            "recv",
            10,
            [Slot(kind::SOCKET), Of(LENGTHS), Of(RECEIVE)],
            receive,
        ),
        op(
            "shutdown",
            4,
            [Slot(kind::SOCKET), Of(&[0, 1, 2, 3])],
            shutdown,
        ),
        op(
            "getsockopt",
            3,
            [Slot(kind::SOCKET), Of(&[3, 4, 30, 38, 39])],
            option,
        ),
        op("getname", 2, [Slot(kind::SOCKET), Of(&[0, 1])], own_name),
        op("sendfd", 3, [Slot(kind::SOCKET), Slot(kind::FD)], send_fd),
        op(
            "recvfd",
            3,
            [Slot(kind::SOCKET), Makes(kind::SOCKET)],
            receive_fd,
        ),
        file::READ,
        file::WRITE,
        file::CLOSE,
        file::POLL,
        file::SETFL,
        file::READY,
    ],
};

fn pair(actor: &mut Actor, args: Args) -> Told {
    let at = actor.room();
    let result = call(nr::SOCKETPAIR, [args[3] as usize, args[2] as usize, 0, at]);
    let (one, other) = (actor.number::<4>(0), actor.number::<4>(4));
    if result.is_ok() {
        actor.put(args[0], one as i32);
        actor.put(args[1], other as i32);
    }
    Told::from(result).and(|| format!("{one},{other}"))
}

fn socket(actor: &mut Actor, args: Args) -> Told {
    actor.make(args[0], nr::SOCKET, [1, args[1] as usize, 0])
}

/// A name in the abstract space: family, a zero byte, text.
fn address(actor: &Actor, name: i64) -> Vec<u8> {
    format!("\x01\0\0differ-{}-{name}", actor.program).into_bytes()
}

fn bind(actor: &mut Actor, args: Args) -> Told {
    let mut name = address(actor, args[1]);
    call(
        nr::BIND,
        [actor.at(args[0]), name.as_mut_ptr() as usize, name.len()],
    )
    .into()
}

fn listen(actor: &mut Actor, args: Args) -> Told {
    call(nr::LISTEN, [actor.at(args[0]), args[1] as usize]).into()
}

fn connect(actor: &mut Actor, args: Args) -> Told {
    let mut name = address(actor, args[1]);
    call(
        nr::CONNECT,
        [actor.at(args[0]), name.as_mut_ptr() as usize, name.len()],
    )
    .into()
}

fn accept(actor: &mut Actor, args: Args) -> Told {
    let fd = actor.at(args[1]);
    actor.make(args[0], nr::ACCEPT4, [fd, 0, 0, args[2] as usize])
}

fn send(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.fill(args[1] as usize));
    call(
        nr::SENDTO,
        [fd, at, args[1] as usize, args[2] as usize, 0, 0],
    )
    .into()
}

fn send_to(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.fill(args[1] as usize));
    let mut name = address(actor, args[3]);
    let (to, length) = (name.as_mut_ptr() as usize, name.len());
    call(
        nr::SENDTO,
        [fd, at, args[1] as usize, args[2] as usize, to, length],
    )
    .into()
}

fn receive(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let result = call(
        nr::RECVFROM,
        [fd, at, args[1] as usize, args[2] as usize, 0, 0],
    );
    let length = result.unwrap_or(0).min(args[1] as usize);
    Told::from(result).and(|| actor.digest(length))
}

fn shutdown(actor: &mut Actor, args: Args) -> Told {
    call(nr::SHUTDOWN, [actor.at(args[0]), args[1] as usize]).into()
}

fn option(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let mut length = [4u32];
    let result = call(
        nr::GETSOCKOPT,
        [fd, 1, args[1] as usize, at, length.as_mut_ptr() as usize],
    );
    Told::from(result).and(|| format!("{}", actor.number::<4>(0)))
}

/// Its own name or its peer's.
fn own_name(actor: &mut Actor, args: Args) -> Told {
    let nr = if args[1] == 0 {
        nr::GETSOCKNAME
    } else {
        nr::GETPEERNAME
    };
    let (fd, at) = (actor.at(args[0]), actor.room());
    let mut length = [64u32];
    let result = call(nr, [fd, at, length.as_mut_ptr() as usize]);
    let length = core::hint::black_box(length)[0] as usize;
    Told::from(result).and(|| format!("{length} {}", actor.digest(length.min(64))))
}

/// A byte and a descriptor: `struct msghdr` and `cmsghdr` of the 64-bit ABI.
fn send_fd(actor: &mut Actor, args: Args) -> Told {
    let text = [7u8];
    let mut part = [text.as_ptr() as u64, 1];
    let mut control = [20, 1 | 1 << 32, actor.at(args[1]) as u32 as u64];
    let mut header = [
        0,
        0,
        part.as_mut_ptr() as u64,
        1,
        control.as_mut_ptr() as u64,
        24,
        0,
    ];
    call(
        nr::SENDMSG,
        [actor.at(args[0]), header.as_mut_ptr() as usize, 0x4040],
    )
    .into()
}

fn receive_fd(actor: &mut Actor, args: Args) -> Told {
    let mut text = [0u8; 8];
    let mut part = [text.as_mut_ptr() as u64, 1];
    let mut control = [0u64; 4];
    let mut header = [
        0,
        0,
        part.as_mut_ptr() as u64,
        1,
        control.as_mut_ptr() as u64,
        24,
        0,
    ];
    let result = call(
        nr::RECVMSG,
        [actor.at(args[0]), header.as_mut_ptr() as usize, 0x40],
    );
    let (header, control) = (
        core::hint::black_box(header),
        core::hint::black_box(control),
    );
    if result.is_ok() && header[5] >= 20 {
        actor.put(args[1], control[2] as u32 as i32);
    }
    Told::from(result).and(|| format!("{} {:x} {}", header[5], header[6] as u32, control[2] as u32))
}
