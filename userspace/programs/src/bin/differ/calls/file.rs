//! What can be done with any descriptor.

use halyard_rt::poll::PollFd;
use halyard_rt::{nr, open, prelude::*, raw};

use crate::actor::{self, Actor, call};
use crate::op::{Args, Domain, Op, Told, kind, op};
use Domain::{Makes, Of, Slot};

/// Lengths around what matters: nothing, `PIPE_BUF`, a pipe's capacity.
pub(crate) const LENGTHS: &[i64] = &[
    0, 1, 5, 8, 100, 512, 4095, 4096, 4097, 5000, 65436, 65536, 70000,
];

const FLAGS: &[i64] = &[
    0,
    open::O_NONBLOCK as i64,
    open::O_NONBLOCK as i64,
    open::O_APPEND as i64,
];
const EVENTS: &[i64] = &[0, 1, 4, 5, 0x2000, 0x2005];

/// The rows, for families to take in: the first of them are those that every kind of file should be tried with.
pub(crate) const READ: Op = op(
    "read",
    12,
    [Slot(kind::STREAM & !kind::WRITER), Of(LENGTHS)],
    read,
);
pub(crate) const WRITE: Op = op(
    "write",
    12,
    [Slot(kind::STREAM & !kind::READER), Of(LENGTHS)],
    write,
);
pub(crate) const CLOSE: Op = op("close", 5, [Slot(kind::FD)], actor::close);
pub(crate) const DUP: Op = op("dup", 2, [Slot(kind::FD), Makes(0)], dup);
pub(crate) const SETFL: Op = op("setfl", 4, [Slot(kind::FD), Of(FLAGS)], setfl);
pub(crate) const GETFL: Op = op("getfl", 1, [Slot(kind::FD)], getfl);
pub(crate) const CLOEXEC: Op = op("getfd", 1, [Slot(kind::FD)], getfd);
pub(crate) const POLL: Op = op(
    "poll",
    5,
    [Slot(kind::FD), Of(EVENTS), Of(&[0, 0, 0, -1])],
    poll,
);
pub(crate) const STAT: Op = op("fstat", 2, [Slot(kind::FD)], stat);
pub(crate) const READY: Op = op("fionread", 2, [Slot(kind::FD)], fionread);
pub(crate) const SEEK: Op = op(
    "lseek",
    1,
    [Slot(kind::FD), Of(&[0, 5, -1, 4096]), Of(&[0, 1, 2, 9])],
    seek,
);
pub(crate) const TRUNCATE: Op = op(
    "ftruncate",
    1,
    [Slot(kind::FD), Of(&[0, 100, 5000, -1])],
    truncate,
);
pub(crate) const BAD_READ: Op = op(
    "read-nowhere",
    1,
    [Slot(kind::FD), Of(&[0, 1, 5000])],
    bad_read,
);
pub(crate) const BAD_WRITE: Op = op(
    "write-nowhere",
    1,
    [Slot(kind::FD), Of(&[0, 1, 5000])],
    bad_write,
);

const PAGE: u64 = 4096;
/// An address at which nothing is.
const NOWHERE: usize = 8;

/// How many bytes a pipe holds; 0 of what is none.
pub(super) fn held(actor: &mut Actor, fd: usize) -> u64 {
    let at = actor.room();
    let held = call(nr::IOCTL, [fd, raw::ioctl::FIONREAD as usize, at]);
    held.map_or(0, |_| actor.number::<4>(0))
}

/// How many bytes a pipe can hold; None: it is none.
pub(super) fn capacity(fd: usize) -> Option<u64> {
    let capacity = call(nr::FCNTL, [fd, raw::general::F_GETPIPE_SZ as usize]);
    capacity.ok().map(|capacity| capacity as u64)
}

fn read(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let result = call(nr::READ, [fd, at, args[1] as usize]);
    let length = result.unwrap_or(0);
    super::mqueue::hide_pid(actor.buffer.get_mut(..length).unwrap_or(&mut []));
    Told::from(result).and(|| actor.digest(length))
}

/// Linux keeps a pipe's bytes in pages that writes may leave half empty, so how much fits into a pipe that holds something
/// is its own affair: little is written to one that holds something, and nothing if its first page may be read in part.
fn write(actor: &mut Actor, args: Args) -> Told {
    let fd = actor.at(args[0]);
    let held = held(actor, fd);
    let length = match (held, capacity(fd)) {
        (0, _) => args[1],
        // One page: what was read of it is no room until it is empty.
        (1..PAGE, Some(PAGE)) => 0,
        (1..PAGE, _) => args[1].min(100),
        _ if held.is_multiple_of(PAGE) => args[1].min(100),
        _ => 0,
    } as usize;
    let at = actor.fill(length);
    call(nr::WRITE, [fd, at, length]).into()
}

fn bad_read(actor: &mut Actor, args: Args) -> Told {
    call(nr::READ, [actor.at(args[0]), NOWHERE, args[1] as usize]).into()
}

/// To a pipe nothing: Linux would leave an empty page in it, and say that it can be read.
fn bad_write(actor: &mut Actor, args: Args) -> Told {
    let fd = actor.at(args[0]);
    let length = capacity(fd).map_or(args[1] as usize, |_| 0);
    call(nr::WRITE, [fd, NOWHERE, length]).into()
}

fn dup(actor: &mut Actor, args: Args) -> Told {
    let fd = actor.at(args[0]);
    actor.make(args[1], nr::DUP, [fd])
}

fn setfl(actor: &mut Actor, args: Args) -> Told {
    let command = raw::general::F_SETFL as usize;
    call(nr::FCNTL, [actor.at(args[0]), command, args[1] as usize]).into()
}

fn getfl(actor: &mut Actor, args: Args) -> Told {
    call(
        nr::FCNTL,
        [actor.at(args[0]), raw::general::F_GETFL as usize],
    )
    .into()
}

fn getfd(actor: &mut Actor, args: Args) -> Told {
    call(
        nr::FCNTL,
        [actor.at(args[0]), raw::general::F_GETFD as usize],
    )
    .into()
}

fn poll(actor: &mut Actor, args: Args) -> Told {
    let mut fds = [PollFd::new(actor.at(args[0]) as i32, args[1] as i16)];
    let mut zero = [0u64; 2];
    let timeout = if args[2] == 0 {
        zero.as_mut_ptr() as usize
    } else {
        0
    };
    let result = call(nr::PPOLL, [fds.as_mut_ptr() as usize, 1, timeout, 0, 8]);
    Told::from(result).and(|| format!("{:x}", core::hint::black_box(fds)[0].revents))
}

fn stat(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let result = call(nr::FSTAT, [fd, at]);
    // st_mode and st_size: asm-generic/stat.h.
    Told::from(result).and(|| format!("{:o} {}", actor.number::<4>(16), actor.number::<8>(48)))
}

fn fionread(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let result = call(nr::IOCTL, [fd, raw::ioctl::FIONREAD as usize, at]);
    Told::from(result).and(|| format!("{}", actor.number::<4>(0)))
}

fn seek(actor: &mut Actor, args: Args) -> Told {
    call(
        nr::LSEEK,
        [actor.at(args[0]), args[1] as usize, args[2] as usize],
    )
    .into()
}

fn truncate(actor: &mut Actor, args: Args) -> Told {
    call(nr::FTRUNCATE, [actor.at(args[0]), args[1] as usize]).into()
}
