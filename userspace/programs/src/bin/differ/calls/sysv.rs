//! System V messages, semaphores and shared memory.
//!
//! Ids are not told: they are the kernel's own affair. Nor are times and processes.

use halyard_rt::{nr, prelude::*, wild};

use crate::actor::{Actor, call};
use crate::op::{Args, Domain, Family, Told, kind, op};
use Domain::{Makes, Of, Slot};

const EXCLUSIVE: i64 = 0o2000;
const CREATE: i64 = 0o1000;
const NOWAIT: i64 = 0o4000;
const REMOVE: usize = 0;
const SET: usize = 1;
const STAT: usize = 2;
/// Some keys, and the private one.
const KEYS: &[i64] = &[1, 1, 1, 2, 0];
const GET: &[i64] = &[
    CREATE | 0o600,
    CREATE | 0o600,
    CREATE | EXCLUSIVE | 0o600,
    0,
    EXCLUSIVE,
];

/// Messages.
pub(crate) const MESSAGES: Family = Family {
    name: "msg",
    ops: &[
        op("msgget", 5, [Makes(kind::MSG), Of(KEYS), Of(GET)], msgget),
        op(
            "msgsnd",
            12,
            [
                Slot(kind::MSG),
                Of(&[1, 1, 2, 3, 5, 0, -1]),
                Of(&[0, 1, 8, 100, 4000, 8192, 8193, -1]),
                Of(&[NOWAIT, NOWAIT, 0]),
            ],
            msgsnd,
        ),
        op(
            "msgrcv",
            12,
            [
                Slot(kind::MSG),
                Of(&[0, 8, 100, 8192, 8192, -1]),
                Of(&[0, 0, 1, 2, 3, -2, -3, -100]),
                Of(&[
                    NOWAIT,
                    NOWAIT,
                    0,
                    NOWAIT | 0o10000,
                    NOWAIT | 0o20000,
                    0o20000,
                ]),
            ],
            msgrcv,
        ),
        op("msgstat", 4, [Slot(kind::MSG)], msgstat),
        op(
            "msgset",
            1,
            [Slot(kind::MSG), Of(&[0, 100, 16384, 40000])],
            msgset,
        ),
        op("msgrm", 1, [Slot(kind::MSG)], msgrm),
    ],
};

/// Semaphores.
pub(crate) const SEMAPHORES: Family = Family {
    name: "sem",
    ops: &[
        op(
            "semget",
            5,
            [
                Makes(kind::SEM),
                Of(KEYS),
                Of(&[1, 2, 3, 0, -1, 32001]),
                Of(GET),
            ],
            semget,
        ),
        op(
            "semop",
            14,
            [
                Slot(kind::SEM),
                Of(&[0, 0, 1, 2, 3]),
                Of(&[1, 1, 2, -1, -1, -2, 0, 32767]),
                Of(&[NOWAIT, NOWAIT, 0, 0x1000, 0x1000 | NOWAIT]),
            ],
            semop,
        ),
        op(
            "semop2",
            6,
            [
                Slot(kind::SEM),
                Of(&[1, 2, -1, 0]),
                Of(&[1, -1, -1, 0]),
                Of(&[NOWAIT, NOWAIT, 0]),
            ],
            semop2,
        ),
        op("getval", 4, [Slot(kind::SEM), Of(&[0, 1, 2, 3])], getval),
        op(
            "setval",
            3,
            [
                Slot(kind::SEM),
                Of(&[0, 1, 2]),
                Of(&[0, 1, 5, 32767, 32768, -1]),
            ],
            setval,
        ),
        op("getncnt", 2, [Slot(kind::SEM), Of(&[0, 1])], getncnt),
        op("getzcnt", 2, [Slot(kind::SEM), Of(&[0, 1])], getzcnt),
        op("semrm", 1, [Slot(kind::SEM)], semrm),
    ],
};

/// Shared memory.
pub(crate) const SEGMENTS: Family = Family {
    name: "shm",
    ops: &[
        op(
            "shmget",
            5,
            [
                Makes(kind::SHM),
                Of(KEYS),
                Of(&[0, 1, 5000, 8192, -1]),
                Of(GET),
            ],
            shmget,
        ),
        op(
            "shmat",
            8,
            [Slot(kind::SHM), Of(&[0, 0, 0o10000, 0o20000, 0o40000])],
            shmat,
        ),
        op(
            "shmat-at",
            1,
            [Slot(kind::SHM), Of(&[1, 4096, 4097]), Of(&[0, 0o20000])],
            shmat_at,
        ),
        op("shmdt", 5, [Of(&[0, 0, 1, 4096])], shmdt),
        op("peek", 5, [Of(&[0, 1, 4095])], peek),
        op("poke", 5, [Of(&[0, 1, 4095])], poke),
        op("shmstat", 5, [Slot(kind::SHM)], shmstat),
        op("shmrm", 2, [Slot(kind::SHM)], shmrm),
    ],
};

/// The keys of a program are its own.
fn key(actor: &Actor, key: i64) -> usize {
    if key == 0 {
        0
    } else {
        (0x4400_0000 + (actor.program as usize % 0x10_0000)) * 4 + key as usize
    }
}

fn get<const N: usize>(actor: &mut Actor, slot: i64, nr: usize, args: [usize; N]) -> Told {
    let result = call(nr, args);
    if let (Ok(id), Some(held)) = (result, actor.ids.get_mut(slot as usize)) {
        *held = id as i32;
        actor.made.push((nr, id));
    }
    Told::from(result.map(|_| 0))
}

fn msgget(actor: &mut Actor, args: Args) -> Told {
    let key = key(actor, args[1]);
    get(actor, args[0], nr::MSGGET, [key, args[2] as usize])
}

fn msgsnd(actor: &mut Actor, args: Args) -> Told {
    let at = actor.fill(9000);
    let kind = args[1].to_le_bytes();
    actor
        .buffer
        .iter_mut()
        .zip(kind)
        .for_each(|(to, byte)| *to = byte);
    call(
        nr::MSGSND,
        [actor.id(args[0]), at, args[2] as usize, args[3] as usize],
    )
    .into()
}

fn msgrcv(actor: &mut Actor, args: Args) -> Told {
    let (id, at) = (actor.id(args[0]), actor.room());
    let result = call(
        nr::MSGRCV,
        [id, at, args[1] as usize, args[2] as usize, args[3] as usize],
    );
    let length = 8 + result.unwrap_or(0);
    Told::from(result).and(|| format!("type {} {}", actor.number::<8>(0), actor.digest(length)))
}

/// What `IPC_STAT` gives: asm-generic/msgbuf.h, after the 48 bytes of asm-generic/ipcbuf.h and three times.
fn msgstat(actor: &mut Actor, args: Args) -> Told {
    let (id, at) = (actor.id(args[0]), actor.room());
    let result = call(nr::MSGCTL, [id, STAT, at]);
    Told::from(result).and(|| {
        let word = |index: usize| actor.number::<8>(48 + index * 8);
        format!(
            "{:o} {} {} {}",
            actor.number::<4>(20),
            word(3),
            word(4),
            word(5)
        )
    })
}

fn msgset(actor: &mut Actor, args: Args) -> Told {
    let (id, at) = (actor.id(args[0]), actor.room());
    if let Err(errno) = call(nr::MSGCTL, [id, STAT, at]) {
        return Err(errno).into();
    }
    let limit = (args[1] as u64).to_le_bytes();
    let place = actor.buffer.iter_mut().skip(48 + 5 * 8);
    place.zip(limit).for_each(|(to, byte)| *to = byte);
    call(nr::MSGCTL, [id, SET, at]).into()
}

fn msgrm(actor: &mut Actor, args: Args) -> Told {
    call(nr::MSGCTL, [actor.id(args[0]), REMOVE, 0]).into()
}

fn semget(actor: &mut Actor, args: Args) -> Told {
    let key = key(actor, args[1]);
    get(
        actor,
        args[0],
        nr::SEMGET,
        [key, args[2] as usize, args[3] as usize],
    )
}

/// `struct sembuf`: number, change, flags, of 16 bits each.
fn operation(number: i64, change: i64, flags: i64) -> [u16; 3] {
    [number as u16, change as u16, flags as u16]
}

fn semop(actor: &mut Actor, args: Args) -> Told {
    let mut operation = operation(args[1], args[2], args[3]);
    call(
        nr::SEMOP,
        [actor.id(args[0]), operation.as_mut_ptr() as usize, 1],
    )
    .into()
}

/// Two at once: all or nothing.
fn semop2(actor: &mut Actor, args: Args) -> Told {
    let (first, second) = (
        operation(0, args[1], args[3]),
        operation(1, args[2], args[3]),
    );
    let mut both = [first, second];
    call(
        nr::SEMOP,
        [actor.id(args[0]), both.as_mut_ptr() as usize, 2],
    )
    .into()
}

fn control(actor: &Actor, args: Args, command: usize, value: usize) -> Told {
    call(
        nr::SEMCTL,
        [actor.id(args[0]), args[1] as usize, command, value],
    )
    .into()
}

fn getncnt(actor: &mut Actor, args: Args) -> Told {
    control(actor, args, 14, 0)
}

fn getval(actor: &mut Actor, args: Args) -> Told {
    control(actor, args, 12, 0)
}

fn getzcnt(actor: &mut Actor, args: Args) -> Told {
    control(actor, args, 15, 0)
}

fn setval(actor: &mut Actor, args: Args) -> Told {
    control(actor, args, 16, args[2] as usize)
}

fn semrm(actor: &mut Actor, args: Args) -> Told {
    control(actor, args, REMOVE, 0)
}

fn shmget(actor: &mut Actor, args: Args) -> Told {
    let key = key(actor, args[1]);
    get(
        actor,
        args[0],
        nr::SHMGET,
        [key, args[2] as usize, args[3] as usize],
    )
}

fn shmat(actor: &mut Actor, args: Args) -> Told {
    let result = call(nr::SHMAT, [actor.id(args[0]), 0, args[1] as usize]);
    if let Ok(address) = result {
        actor.attached = address;
        actor.writable = args[1] & 0o10000 == 0;
    }
    Told::from(result.map(|_| 0))
}

/// Where something is already, or at no page's beginning.
fn shmat_at(actor: &mut Actor, args: Args) -> Told {
    if actor.attached == 0 {
        // Linux lets root map the lowest page.
        return Err(Errno::EFAULT).into();
    }
    let address = actor.attached.wrapping_add(args[1] as usize & !4096);
    let result = call(nr::SHMAT, [actor.id(args[0]), address, args[2] as usize]);
    Told::from(result.map(|_| 0))
}

fn shmdt(actor: &mut Actor, args: Args) -> Told {
    let address = actor.attached;
    if args[0] == 0 {
        actor.attached = 0;
    }
    call(nr::SHMDT, [address + args[0] as usize]).into()
}

fn peek(actor: &mut Actor, args: Args) -> Told {
    if actor.attached == 0 {
        return Err(Errno::EFAULT).into();
    }
    Ok(usize::from(wild::load(actor.attached + args[0] as usize))).into()
}

fn poke(actor: &mut Actor, args: Args) -> Told {
    if actor.attached == 0 || !actor.writable {
        return Err(Errno::EFAULT).into();
    }
    wild::store(actor.attached + args[0] as usize, actor.step as u8 + 1);
    Ok(0).into()
}

/// Mode, size and attaches: asm-generic/shmbuf.h.
fn shmstat(actor: &mut Actor, args: Args) -> Told {
    let (id, at) = (actor.id(args[0]), actor.room());
    actor.buffer.iter_mut().take(128).for_each(|byte| *byte = 0);
    let result = call(nr::SHMCTL, [id, STAT, at]);
    Told::from(result.map(|_| 0)).and(|| {
        let (mode, size) = (actor.number::<4>(20), actor.number::<8>(48));
        format!("{mode:o} {size} {}", actor.number::<8>(88))
    })
}

fn shmrm(actor: &mut Actor, args: Args) -> Told {
    call(nr::SHMCTL, [actor.id(args[0]), REMOVE, 0]).into()
}

/// Removes what a program made, as far as it is found by key.
pub(crate) fn clean_up(actor: &Actor) {
    for number in 1..=2 {
        let key = key(actor, number);
        let found = [
            (nr::MSGGET, call(nr::MSGGET, [key, 0])),
            (nr::SHMGET, call(nr::SHMGET, [key, 0, 0])),
            (nr::SEMGET, call(nr::SEMGET, [key, 0, 0])),
        ];
        for (nr, id) in found {
            let _ = id.map(|id| remove(nr, id));
        }
    }
}

/// Removes what `nr` made.
pub(crate) fn remove(nr: usize, id: usize) {
    let _ = match nr {
        nr::MSGGET => call(nr::MSGCTL, [id, REMOVE, 0]),
        nr::SHMGET => call(nr::SHMCTL, [id, REMOVE, 0]),
        _ => call(nr::SEMCTL, [id, 0, REMOVE, 0]),
    };
}
