//! POSIX message queues.

use halyard_rt::{nr, open, prelude::*};

use super::file;
use crate::actor::{Actor, call};
use crate::op::{Args, Domain, Family, Told, kind, op};
use Domain::{Makes, Of, Slot};

const N: i64 = open::O_NONBLOCK as i64;
const CREATE: i64 = open::O_CREAT as i64;
const NAMES: &[i64] = &[0, 0, 1];
const WAYS: &[i64] = &[
    2 | CREATE | N,
    2 | CREATE | N,
    2 | CREATE,
    CREATE | N,
    1 | CREATE | N,
    2 | N,
    CREATE | open::O_EXCL as i64 | 2,
];

/// POSIX message queues.
pub(crate) const FAMILY: Family = Family {
    name: "mq",
    ops: &[
        op(
            "mq_open",
            6,
            [
                Makes(kind::QUEUE),
                Of(NAMES),
                Of(WAYS),
                Of(&[2, 2, 3, 0, -1]),
            ],
            mq_open,
        ),
        op(
            "mq_send",
            12,
            [
                Slot(kind::QUEUE),
                Of(&[0, 1, 8, 16, 17]),
                Of(&[0, 0, 1, 2, 32767, 32768]),
            ],
            send,
        ),
        op(
            "mq_receive",
            12,
            [Slot(kind::QUEUE), Of(&[16, 16, 16, 15, 100])],
            receive,
        ),
        op("mq_getattr", 4, [Slot(kind::QUEUE)], attributes),
        op(
            "mq_setattr",
            2,
            [Slot(kind::QUEUE), Of(&[0, N, N, 1])],
            set_attributes,
        ),
        op(
            "mq_notify",
            4,
            [Slot(kind::QUEUE), Of(&[0, 0, 1, 2]), Of(&[10, 12, 34, 65])],
            notify,
        ),
        op("mq_unlink", 2, [Of(NAMES)], unlink),
        file::CLOSE,
        file::POLL,
    ],
};

fn name(actor: &Actor, name: i64) -> Vec<u8> {
    format!("differ-{}-{name}\0", actor.program).into_bytes()
}

fn mq_open(actor: &mut Actor, args: Args) -> Told {
    let mut name = name(actor, args[1]);
    // struct mq_attr: flags, most messages, longest message, how many.
    let mut attributes = [0u64, args[3] as u64, 16, 0, 0, 0, 0, 0];
    let (name, attributes) = (name.as_mut_ptr() as usize, attributes.as_mut_ptr() as usize);
    actor.make(
        args[0],
        nr::MQ_OPEN,
        [name, args[2] as usize, 0o600, attributes],
    )
}

fn send(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.fill(args[1] as usize));
    call(
        nr::MQ_TIMEDSEND,
        [fd, at, args[1] as usize, args[2] as usize, 0],
    )
    .into()
}

fn receive(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let mut priority = [0u32];
    let result = call(
        nr::MQ_TIMEDRECEIVE,
        [fd, at, args[1] as usize, priority.as_mut_ptr() as usize, 0],
    );
    let length = result.unwrap_or(0);
    Told::from(result).and(|| {
        format!(
            "{} {}",
            core::hint::black_box(priority)[0],
            actor.digest(length)
        )
    })
}

fn attributes(actor: &mut Actor, args: Args) -> Told {
    let (fd, at) = (actor.at(args[0]), actor.room());
    let result = call(nr::MQ_GETSETATTR, [fd, 0, at]);
    Told::from(result).and(|| {
        let word = |index: usize| actor.number::<8>(index * 8);
        format!("{:o} {} {} {}", word(0), word(1), word(2), word(3))
    })
}

fn set_attributes(actor: &mut Actor, args: Args) -> Told {
    let mut new = [args[1] as u64, 9, 9, 9, 0, 0, 0, 0];
    call(
        nr::MQ_GETSETATTR,
        [actor.at(args[0]), new.as_mut_ptr() as usize, 0],
    )
    .into()
}

/// By a signal, by nothing, or no more.
fn notify(actor: &mut Actor, args: Args) -> Told {
    let mut event = [0u64; 8];
    event[0] = 77;
    event[1] = args[2] as u64 | (args[1] as u64 & 1) << 32;
    let at = if args[1] == 2 {
        0
    } else {
        event.as_mut_ptr() as usize
    };
    call(nr::MQ_NOTIFY, [actor.at(args[0]), at]).into()
}

fn unlink(actor: &mut Actor, args: Args) -> Told {
    let mut name = name(actor, args[0]);
    call(nr::MQ_UNLINK, [name.as_mut_ptr() as usize]).into()
}

/// Makes the number of the process that is to be notified, in what a read of a queue says, the same everywhere.
pub(super) fn hide_pid(text: &mut [u8]) {
    const FIELD: &[u8] = b"NOTIFY_PID:";
    let Some(at) = text.windows(FIELD.len()).position(|field| field == FIELD) else {
        return;
    };
    let number = text.iter_mut().skip(at + FIELD.len());
    let number = number.take_while(|byte| **byte != b'\n');
    // 0 is nobody, and no number begins with it.
    for byte in number.skip_while(|byte| **byte == b'0') {
        *byte = b'?';
    }
}

/// Removes a program's queues.
pub(crate) fn clean_up(actor: &Actor) {
    for number in 0..2 {
        let mut name = name(actor, number);
        let _ = call(nr::MQ_UNLINK, [name.as_mut_ptr() as usize]);
    }
}
