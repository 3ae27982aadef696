//! System V messages, shared memory, semaphores.

use halyard_rt::{nr, prelude::*, raw};

use super::{call, with_partner};
use crate::chance::Chance;

/// Keys of everybody.
const KEYS: usize = 3;
const FIRST_KEY: usize = 0x5354_4f00;
const CREATE: usize = 0o1000 | 0o600;
const NOWAIT: usize = 0o4000;
const UNDO: u64 = 0x1000;
const REMOVE: usize = 0;

fn key(chance: &mut Chance) -> usize {
    FIRST_KEY + chance.below(KEYS)
}

/// Sends and receives by type, with and without waiting; removes queues under sleepers.
pub(crate) fn messages(chance: &mut Chance) {
    let Ok(queue) = call(nr::MSGGET, [key(chance), CREATE]) else {
        return;
    };
    let wait = if chance.once_in(2) { 0 } else { NOWAIT };
    let (length, wanted) = (chance.below(4000), chance.below(4));
    with_partner(
        || {
            let mut message = vec![0u64; 600];
            message[0] = 1 + wanted as u64;
            for _ in 0..6 {
                let _ = call(
                    nr::MSGSND,
                    [queue, message.as_mut_ptr() as usize, length, wait],
                );
            }
        },
        || {
            let mut room = vec![0u64; 600];
            for _ in 0..3 {
                let _ = call(
                    nr::MSGRCV,
                    [queue, room.as_mut_ptr() as usize, 4096, wanted, wait],
                );
            }
        },
    );
    if chance.once_in(4) {
        let _ = call(nr::MSGCTL, [queue, REMOVE, 0]);
    }
}

/// Attaches, shares with a partner, removes while attached; leaves some to the end of the process.
pub(crate) fn segments(chance: &mut Chance) {
    let length = 1 + chance.below(100_000);
    let Ok(segment) = call(nr::SHMGET, [key(chance), length, CREATE]) else {
        return;
    };
    let Ok(address) = call(nr::SHMAT, [segment, 0, 0]) else {
        return;
    };
    let second = call(
        nr::SHMAT,
        [segment, 0, raw::general::PROT_READ as usize * 0o10000],
    );
    with_partner(
        || halyard_rt::wild::store(address, 1),
        || {
            if chance.once_in(3) {
                let _ = call(nr::SHMCTL, [segment, REMOVE, 0]);
            }
        },
    );
    if chance.once_in(2) {
        let _ = call(nr::SHMDT, [address]);
    }
    let _ = second.and_then(|address| call(nr::SHMDT, [address]));
}

/// Takes and gives with UNDO, sleeps for zero, removes sets under sleepers.
pub(crate) fn semaphores(chance: &mut Chance) {
    let Ok(set) = call(nr::SEMGET, [key(chance), 3, CREATE]) else {
        return;
    };
    let number = chance.below(3) as u64;
    // struct sembuf: number, operation, flags, 16 bits each.
    let operation =
        |change: i16, flags: u64| [number | u64::from(change as u16) << 16 | flags << 32];
    let mut up = operation(1, UNDO);
    let mut down = operation(-1, UNDO);
    let (up, down) = (up.as_mut_ptr() as usize, down.as_mut_ptr() as usize);
    let mut limit = [0u64, 2_000_000];
    let limit = limit.as_mut_ptr() as usize;
    let many = chance.below(5);
    with_partner(
        || {
            for _ in 0..many {
                let _ = call(nr::SEMTIMEDOP, [set, up, 1, limit]);
            }
            let _ = call(nr::SEMOP, [set, down, 1]);
        },
        || {
            let _ = call(nr::SEMTIMEDOP, [set, down, 1, limit]);
        },
    );
    if chance.once_in(5) {
        let _ = call(nr::SEMCTL, [set, 0, REMOVE, 0]);
    }
}

/// Removes what is there under the keys.
pub(crate) fn clean_up() {
    for key in FIRST_KEY..FIRST_KEY + KEYS {
        let _ = call(nr::MSGGET, [key, 0]).and_then(|id| call(nr::MSGCTL, [id, REMOVE, 0]));
        let _ = call(nr::SHMGET, [key, 0, 0]).and_then(|id| call(nr::SHMCTL, [id, REMOVE, 0]));
        let _ = call(nr::SEMGET, [key, 0, 0]).and_then(|id| call(nr::SEMCTL, [id, 0, REMOVE, 0]));
    }
}
