//! Event counters, and waiting for many things.

use halyard_rt::{nr, open, prelude::*, raw};

use super::file;
use crate::actor::{Actor, call};
use crate::op::{Args, Domain, Family, Told, kind, op};
use Domain::{Makes, Of, Slot};

const N: i64 = open::O_NONBLOCK as i64;
const FLAGS: &[i64] = &[N, N, 0, 1, 1 | N, 2, open::O_CLOEXEC as i64];
const VALUES: &[i64] = &[0, 1, 1, 3, -1, -2, 0x7fff_ffff];
/// IN, OUT, edge, one-shot, and their mixtures.
const EVENTS: &[i64] = &[
    1,
    4,
    5,
    1 | 1 << 31,
    5 | 1 << 31,
    1 | 1 << 30,
    5 | 1 << 30,
    0x2001,
];

/// Event counters and epoll, over whatever else there is.
pub(crate) const FAMILY: Family = Family {
    name: "event",
    ops: &[
        op(
            "eventfd2",
            4,
            [Makes(kind::EVENT), Of(&[0, 0, 1, 5]), Of(FLAGS)],
            eventfd,
        ),
        op("add", 8, [Slot(kind::EVENT), Of(VALUES)], add),
        op("take", 8, [Slot(kind::EVENT)], take),
        op(
            "epoll_create1",
            2,
            [Makes(kind::EPOLL), Of(&[0, 0, open::O_CLOEXEC as i64, 1])],
            epoll,
        ),
        op(
            "epoll_ctl",
            8,
            [
                Slot(kind::EPOLL),
                Of(&[1, 1, 1, 2, 3, 4]),
                Slot(kind::FD),
                Of(EVENTS),
            ],
            control,
        ),
        op(
            "epoll_wait",
            8,
            [Slot(kind::EPOLL), Of(&[1, 1, 4, 0, -1]), Of(&[0, 0, 0, -1])],
            wait,
        ),
        file::CLOSE,
        file::POLL,
        file::DUP,
        file::SETFL,
        file::GETFL,
    ],
};

fn eventfd(actor: &mut Actor, args: Args) -> Told {
    actor.make(args[0], nr::EVENTFD2, [args[1] as usize, args[2] as usize])
}

fn add(actor: &mut Actor, args: Args) -> Told {
    let mut value = [args[1] as u64];
    call(
        nr::WRITE,
        [actor.at(args[0]), value.as_mut_ptr() as usize, 8],
    )
    .into()
}

fn take(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let result = call(nr::READ, [fd, at, 8]);
    Told::from(result).and(|| format!("{}", actor.number::<8>(0)))
}

fn epoll(actor: &mut Actor, args: Args) -> Told {
    actor.make(args[0], nr::EPOLL_CREATE1, [args[1] as usize])
}

fn control(actor: &mut Actor, args: Args) -> Told {
    // struct epoll_event on arm64: events, padding, data.
    let mut event = [args[3] as u32 as u64, args[2] as u64];
    let (epoll, fd) = (actor.at(args[0]), actor.at(args[2]));
    let at = event.as_mut_ptr() as usize;
    call(nr::EPOLL_CTL, [epoll, args[1] as usize, fd, at]).into()
}

fn wait(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let result = call(
        nr::EPOLL_PWAIT,
        [fd, at, args[1] as usize, args[2] as usize, 0, 8],
    );
    let event = |index: usize| {
        let (events, data) = (
            actor.number::<4>(index * 16),
            actor.number::<8>(index * 16 + 8),
        );
        format!("{data}:{events:x}")
    };
    Told::from(result).and(|| {
        (0..result.unwrap_or(0).min(4))
            .map(event)
            .collect::<Vec<_>>()
            .join(" ")
    })
}

/// Named so that a reader sees where the numbers are from.
const _: () = assert!(raw::general::EPOLLET == 1 << 31 && raw::general::EPOLLONESHOT == 1 << 30);
