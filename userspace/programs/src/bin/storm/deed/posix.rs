//! POSIX message queues, and channels.

use halyard_rt::ipc::command;
use halyard_rt::signal::SIGUSR1;
use halyard_rt::{nr, open, prelude::*};

use super::{call, made, with_partner};
use crate::chance::Chance;

/// Queues of everybody. The call takes names without their slash.
const NAMES: [&[u8]; 3] = [b"storm-0\0", b"storm-1\0", b"storm-2\0"];

/// Sends, receives, asks to be told, removes.
pub(crate) fn queues(chance: &mut Chance) {
    let Some(name) = NAMES.get(chance.below(NAMES.len())) else {
        return;
    };
    let wait = if chance.once_in(3) {
        0
    } else {
        open::O_NONBLOCK
    };
    let flags = (open::O_RDWR | open::O_CREAT | wait) as usize;
    let mut attributes = [0u64, 4, 256, 0, 0, 0, 0, 0];
    let (at, attributes) = (name.as_ptr() as usize, attributes.as_mut_ptr() as usize);
    let Some(queue) = made(nr::MQ_OPEN, [at, flags, 0o600, attributes]) else {
        return;
    };
    let number = queue.fd() as usize;
    let (many, priority) = (chance.below(6), chance.below(4));
    // struct sigevent: value, number, SIGEV_SIGNAL.
    let mut event = [0u64, SIGUSR1 as u64, 0, 0, 0, 0, 0, 0];
    if chance.once_in(3) {
        let _ = call(nr::MQ_NOTIFY, [number, event.as_mut_ptr() as usize]);
    }
    with_partner(
        || {
            let text = [1u8; 200];
            for _ in 0..many {
                let _ = call(
                    nr::MQ_TIMEDSEND,
                    [number, text.as_ptr() as usize, 200, priority, 0],
                );
            }
        },
        || {
            let mut room = [0u8; 256];
            for _ in 0..many / 2 {
                let _ = call(
                    nr::MQ_TIMEDRECEIVE,
                    [number, room.as_mut_ptr() as usize, 256, 0, 0],
                );
            }
        },
    );
    if chance.once_in(4) {
        let _ = call(nr::MQ_UNLINK, [at]);
    }
}

/// Nothing yet but the question what there is.
pub(crate) fn channels(_: &mut Chance) {
    let _ = call(command::IPC_CALL, [command::INFO, 0, 0]);
}

/// Removes the queues.
pub(crate) fn clean_up() {
    for name in NAMES {
        let _ = call(nr::MQ_UNLINK, [name.as_ptr() as usize]);
    }
}
