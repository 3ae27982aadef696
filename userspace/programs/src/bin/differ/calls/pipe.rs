//! Pipes.

use halyard_rt::{nr, open, prelude::*, raw};

use super::file;
use crate::actor::{Actor, call};
use crate::op::{Args, Domain, Family, Told, kind, op};
use Domain::{Makes, Of, Slot};

const FLAGS: &[i64] = &[
    0,
    0,
    open::O_NONBLOCK as i64,
    open::O_NONBLOCK as i64,
    open::O_CLOEXEC as i64,
    1,
    -1,
];
const SIZES: &[i64] = &[0, 1, 4096, 5000, 65536, 100_000, 131_072, -1];

/// Pipes.
pub(crate) const FAMILY: Family = Family {
    name: "pipe",
    ops: &[
        op(
            "pipe2",
            3,
            [Makes(kind::READER), Makes(kind::WRITER), Of(FLAGS)],
            pipe2,
        ),
        op("getsize", 1, [Slot(kind::READER | kind::WRITER)], size),
        op(
            "setsize",
            3,
            [Slot(kind::READER | kind::WRITER), Of(SIZES)],
            set_size,
        ),
        file::READ,
        file::WRITE,
        file::CLOSE,
        file::DUP,
        file::SETFL,
        file::GETFL,
        file::CLOEXEC,
        file::POLL,
        file::STAT,
        file::READY,
        file::SEEK,
        file::TRUNCATE,
        file::BAD_READ,
        file::BAD_WRITE,
    ],
};

fn pipe2(actor: &mut Actor, args: Args) -> Told {
    let at = actor.room();
    let result = call(nr::PIPE2, [at, args[2] as usize]);
    let (reader, writer) = (actor.number::<4>(0), actor.number::<4>(4));
    if result.is_ok() {
        actor.put(args[0], reader as i32);
        actor.put(args[1], writer as i32);
    }
    Told::from(result).and(|| format!("{reader},{writer}"))
}

fn size(actor: &mut Actor, args: Args) -> Told {
    call(
        nr::FCNTL,
        [actor.at(args[0]), raw::general::F_GETPIPE_SZ as usize],
    )
    .into()
}

/// One that holds something is not made smaller: how many pages that takes is Linux's own affair.
fn set_size(actor: &mut Actor, args: Args) -> Told {
    let fd = actor.at(args[0]);
    let capacity = file::capacity(fd).unwrap_or(0) as i64;
    let smaller = file::held(actor, fd) > 0 && (0..capacity).contains(&args[1]);
    let size = if smaller { capacity } else { args[1] };
    let command = raw::general::F_SETPIPE_SZ as usize;
    call(nr::FCNTL, [fd, command, size as usize]).into()
}
