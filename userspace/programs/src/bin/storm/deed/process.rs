//! Processes and threads.

use alloc::sync::Arc;
use core::sync::atomic::AtomicU32;
use core::time::Duration;

use halyard_rt::thread::{self, futex_wait};
use halyard_rt::{fd, prelude::*};

use super::with_partner;
use crate::chance::Chance;

/// Threads that sleep on a word, on a pipe, on the clock; the process ends or is killed around them.
pub(crate) fn threads(chance: &mut Chance) {
    let count = 1 + chance.below(4);
    with_partner(
        || {
            let word = Arc::new(AtomicU32::new(0));
            for kind in 0..count {
                let word = word.clone();
                let _ = thread::spawn(move || match kind % 3 {
                    0 => {
                        let _ = futex_wait(&word, 0, None);
                    }
                    1 => {
                        if let Ok((reader, _writer)) = fd::pipe() {
                            let _ = io::read(&reader, &mut [0; 10]);
                        }
                    }
                    _ => time::sleep(Duration::from_secs(100)),
                });
            }
            time::sleep(Duration::from_micros(300));
        },
        || time::sleep(Duration::from_micros(600)),
    );
}

/// Children whose parent is gone before them.
pub(crate) fn orphans(chance: &mut Chance) {
    let (depth, pause) = (chance.below(3), chance.below(1000) as u64);
    with_partner(
        || {
            for _ in 0..depth {
                let _ = process::fork();
            }
            time::sleep(Duration::from_micros(pause));
        },
        process::yield_now,
    );
}

/// The same program anew, with another seed: all that it had goes, but for open descriptors.
pub(crate) fn exec_itself(chance: &mut Chance) {
    if chance.once_in(3) {
        let _ = fd::pipe().map(|(reader, writer)| (reader.into_raw(), writer.into_raw()));
    }
    let seed = format!("{}", chance.next());
    let _ = process::exec_same_env("/bin/storm", ["storm", "worker", &seed]);
}
