//! Pipes with names.

use halyard_rt::{nr, open, prelude::*, raw};

use super::file;
use crate::actor::{Actor, call};
use crate::op::{Args, Domain, Family, Told, kind, op};
use Domain::{Makes, Of};

const N: i64 = open::O_NONBLOCK as i64;
const NAMES: &[i64] = &[0, 0, 1];
const READING: &[i64] = &[N, N, N, 0];
const WRITING: &[i64] = &[1 | N, 1 | N, 1];
const BOTH: &[i64] = &[2, 2 | N];

/// Pipes with names.
pub(crate) const FAMILY: Family = Family {
    name: "fifo",
    ops: &[
        op("mkfifo", 4, [Of(NAMES)], make),
        op(
            "open-reader",
            4,
            [Makes(kind::READER), Of(NAMES), Of(READING)],
            open_end,
        ),
        op(
            "open-writer",
            4,
            [Makes(kind::WRITER), Of(NAMES), Of(WRITING)],
            open_end,
        ),
        op(
            "open-both",
            1,
            [Makes(kind::READER | kind::WRITER), Of(NAMES), Of(BOTH)],
            open_end,
        ),
        op("unlink", 1, [Of(NAMES)], unlink),
        file::READ,
        file::WRITE,
        file::CLOSE,
        file::POLL,
        file::STAT,
        file::READY,
        file::SETFL,
    ],
};

/// The name of a program's file.
pub(crate) fn path(actor: &Actor, name: i64) -> Vec<u8> {
    format!("/tmp/differ-{}-{name}\0", actor.program).into_bytes()
}

/// Removes what a program left in files.
pub(crate) fn clean_up(actor: &Actor) {
    for name in 0..4 {
        let path = path(actor, name);
        let _ = fs::remove_file(&path[..path.len() - 1]);
    }
}

const HERE: usize = raw::general::AT_FDCWD as isize as usize;

fn make(actor: &mut Actor, args: Args) -> Told {
    let mode = raw::general::S_IFIFO as usize | 0o600;
    let mut path = path(actor, args[0]);
    call(nr::MKNODAT, [HERE, path.as_mut_ptr() as usize, mode, 0]).into()
}

fn open_end(actor: &mut Actor, args: Args) -> Told {
    let mut path = path(actor, args[1]);
    let at = path.as_mut_ptr() as usize;
    actor.make(args[0], nr::OPENAT, [HERE, at, args[2] as usize, 0])
}

fn unlink(actor: &mut Actor, args: Args) -> Told {
    let mut path = path(actor, args[0]);
    call(nr::UNLINKAT, [HERE, path.as_mut_ptr() as usize, 0]).into()
}
