//! Files of memory.

use halyard_rt::{nr, raw};

use super::file;
use crate::actor::{Actor, call};
use crate::op::{Args, Domain, Family, Told, kind, op};
use Domain::{Makes, Of, Slot};

/// Files of memory, with seals.
pub(crate) const FAMILY: Family = Family {
    name: "memfd",
    ops: &[
        op(
            "memfd_create",
            4,
            [Makes(kind::FILE), Of(&[0, 1, 2, 2, 2, 0x100])],
            create,
        ),
        op(
            "addseals",
            5,
            [Slot(kind::FILE), Of(&[1, 2, 4, 8, 16, 32, 64])],
            add_seals,
        ),
        op("getseals", 2, [Slot(kind::FILE)], get_seals),
        file::READ,
        file::WRITE,
        file::CLOSE,
        file::DUP,
        file::SEEK,
        file::SEEK,
        file::TRUNCATE,
        file::TRUNCATE,
        file::STAT,
        file::GETFL,
        file::POLL,
    ],
};

fn create(actor: &mut Actor, args: Args) -> Told {
    actor.make(
        args[0],
        nr::MEMFD_CREATE,
        [c"differ".as_ptr() as usize, args[1] as usize],
    )
}

fn add_seals(actor: &mut Actor, args: Args) -> Told {
    let command = raw::general::F_ADD_SEALS as usize;
    call(nr::FCNTL, [actor.at(args[0]), command, args[1] as usize]).into()
}

fn get_seals(actor: &mut Actor, args: Args) -> Told {
    call(
        nr::FCNTL,
        [actor.at(args[0]), raw::general::F_GET_SEALS as usize],
    )
    .into()
}
