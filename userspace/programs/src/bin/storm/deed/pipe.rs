//! Pipes and FIFOs.

use halyard_rt::{fd, nr, open, prelude::*, raw};

use super::{HERE, call, made, with_partner};
use crate::chance::Chance;

/// FIFOs of everybody.
const NAMES: [&[u8]; 3] = [b"/tmp/storm-0\0", b"/tmp/storm-1\0", b"/tmp/storm-2\0"];

/// A writer that fills, a reader that does not read all.
pub(crate) fn traffic(chance: &mut Chance) {
    let Ok((reader, writer)) = fd::pipe() else {
        return;
    };
    let (sent, taken) = (chance.below(300_000), chance.below(200_000));
    let bytes = vec![7; sent];
    with_partner(
        || {
            let _ = io::write_all(&writer, &bytes);
        },
        || {
            let mut room = vec![0; 10_000];
            for _ in 0..taken / room.len() {
                let _ = io::read(&reader, &mut room);
            }
        },
    );
}

/// A FIFO of everybody: opened with and without waiting, removed under the others.
pub(crate) fn fifo(chance: &mut Chance) {
    let Some(name) = NAMES.get(chance.below(NAMES.len())) else {
        return;
    };
    let mode = raw::general::S_IFIFO as usize | 0o600;
    let _ = call(nr::MKNODAT, [HERE, name.as_ptr() as usize, mode, 0]);
    let how = [open::O_RDONLY, open::O_WRONLY, open::O_RDWR, open::O_RDWR];
    let way = how.get(chance.below(how.len())).copied().unwrap_or(0);
    let wait = if chance.once_in(3) {
        0
    } else {
        open::O_NONBLOCK
    };
    if let Some(end) = made(
        nr::OPENAT,
        [HERE, name.as_ptr() as usize, (way | wait) as usize, 0],
    ) {
        let mut room = [0; 500];
        let _ = io::write(&end, &room);
        let _ = io::read(&end, &mut room);
    }
    if chance.once_in(4) {
        let _ = call(nr::UNLINKAT, [HERE, name.as_ptr() as usize, 0]);
    }
}

/// The ends of a pipe given to each other's partner by splice and tee, and by a pipe of a pipe.
pub(crate) fn in_pipe(chance: &mut Chance) {
    let (Ok((from, filled)), Ok((drained, to))) = (fd::pipe(), fd::pipe()) else {
        return;
    };
    let length = 1 + chance.below(20_000);
    let _ = io::write(&filled, &vec![1; length.min(60_000)]);
    let nr = if chance.once_in(2) {
        nr::TEE
    } else {
        nr::SPLICE
    };
    let (source, sink) = (from.fd() as usize, to.fd() as usize);
    let _ = match nr {
        nr::TEE => call(nr, [source, sink, length, 0]),
        _ => call(nr, [source, 0, sink, 0, length, 0]),
    };
    drop(drained);
    let _ = fd::fcntl(
        &from,
        raw::general::F_SETPIPE_SZ,
        1 << (12 + chance.below(8)),
    );
}

/// Removes the FIFOs.
pub(crate) fn clean_up() {
    for name in NAMES {
        let _ = call(nr::UNLINKAT, [HERE, name.as_ptr() as usize, 0]);
    }
}
