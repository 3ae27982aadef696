//! Shared memory with futexes in it, and files of memory.

use core::sync::atomic::Ordering;
use core::time::Duration;

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::thread::{futex_wait_shared, futex_wake_shared};
use halyard_rt::{fd, fs, nr, prelude::*, raw};

use super::{call, made, with_partner};
use crate::chance::Chance;

fn shared() -> Option<Mapping> {
    Mapping::anonymous(2 * PAGE, PROT_READ | PROT_WRITE, Sharing::Shared).ok()
}

/// Two that wake each other.
pub(crate) fn futex_partners(chance: &mut Chance) {
    let Some(page) = shared() else { return };
    let rounds = chance.below(50) as u32;
    let turn = |own: u32| {
        let word = page.atomic(0);
        for round in 0..rounds {
            if round % 2 == own {
                let _ = futex_wait_shared(word, round, Some(Duration::from_millis(2)));
            } else {
                word.store(round + 1, Ordering::SeqCst);
                let _ = futex_wake_shared(word, 1);
            }
        }
    };
    with_partner(|| turn(0), || turn(1));
}

/// A mutex of the robust kind whose owner dies: list head, link and word are in the shared page.
pub(crate) fn robust_owner(chance: &mut Chance) {
    let Some(page) = shared() else { return };
    let (head, link, word) = (0, 64, 96);
    let put = |at: usize, value: usize| {
        let bytes = value.to_le_bytes().into_iter().enumerate();
        bytes.for_each(|(index, byte)| page.store(at + index, byte));
    };
    put(head, page.address() + link);
    put(head + 8, word - link);
    put(head + 16, 0);
    put(link, page.address() + head);
    let linger = chance.below(3) as u64;
    with_partner(
        || {
            let _ = call(nr::SET_ROBUST_LIST, [page.address() + head, 24]);
            let own = process::thread_id() as u32;
            page.atomic(word)
                .store(own | raw::general::FUTEX_WAITERS, Ordering::SeqCst);
            time::sleep(Duration::from_millis(linger));
        },
        || {
            let value = page.atomic(word).load(Ordering::SeqCst);
            let limit = Some(Duration::from_millis(3));
            let _ = futex_wait_shared(page.atomic(word), value, limit);
        },
    );
}

/// A mutex that its owner's priority follows: owner and waiters die.
pub(crate) fn inheriting_owner(chance: &mut Chance) {
    let Some(page) = shared() else { return };
    let lock = |op: u32| call(nr::FUTEX, [page.address(), op as usize, 0, 0, 0, 0]);
    let linger = chance.below(2000) as u64;
    with_partner(
        || {
            let _ = lock(raw::general::FUTEX_LOCK_PI);
            time::sleep(Duration::from_micros(linger));
            let _ = lock(raw::general::FUTEX_UNLOCK_PI);
        },
        || {
            let _ = lock(raw::general::FUTEX_TRYLOCK_PI);
            with_partner(
                || {
                    let _ = lock(raw::general::FUTEX_LOCK_PI);
                },
                || {
                    time::sleep(Duration::from_micros(linger));
                    let _ = lock(raw::general::FUTEX_UNLOCK_PI);
                },
            );
        },
    );
}

/// A file of memory: grown, mapped, shared with a partner, sealed.
pub(crate) fn memfd(chance: &mut Chance) {
    let Some(file) = made(nr::MEMFD_CREATE, [c"storm".as_ptr() as usize, 2]) else {
        return;
    };
    let length = 1 + chance.below(200_000);
    let _ = fs::set_length(&file, length as u64);
    let mapping = Mapping::file(&file, 0, length, PROT_READ | PROT_WRITE, Sharing::Shared);
    with_partner(
        || {
            let _ = mapping.as_ref().map(|memory| memory.store(length / 2, 1));
            time::sleep(Duration::from_micros(500));
        },
        || {
            let _ = mapping.as_ref().map(|memory| memory.store(0, 1));
            let _ = io::write(&file, &[3; 5000]);
        },
    );
    drop(mapping);
    let _ = fd::fcntl(&file, raw::general::F_ADD_SEALS, 2);
}
