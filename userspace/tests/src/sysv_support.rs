//! What the tests of System V IPC have in common.

use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, SA_RESTART, SIGUSR1, SignalSet};
use halyard_rt::{nr, prelude::*};

use crate::support::{call, in_child};

/// Runs `body` in a child that is a user of that number.
pub(crate) fn as_user(id: usize, body: impl FnOnce() -> i32) -> Result<Status> {
    in_child(|| {
        let became = call(nr::SETGID, [id]).and_then(|_| call(nr::SETUID, [id]));
        if became.is_err() { 99 } else { body() }
    })
}

/// A key that nobody else uses while a test runs.
pub(crate) fn key() -> i32 {
    0x4d00_0000 | process::id() & 0xff_ffff
}

/// Catches SIGUSR1 with a handler that does nothing and asks that calls be restarted.
pub(crate) fn catch_and_restart() {
    extern "C" fn nothing(_: i32) {}
    let _ = signal::set(SIGUSR1, Action::Call(nothing), SA_RESTART, SignalSet::EMPTY);
}
