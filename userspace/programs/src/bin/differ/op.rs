//! What a step can be: a row a call, with what its arguments may be and what it makes.

use halyard_rt::prelude::*;

use crate::actor::Actor;

/// How many arguments a call has here, at most.
pub(crate) const ARGS: usize = 4;

/// The arguments of a step: plain numbers, numbers of slots, numbers of actors.
pub(crate) type Args = [i64; ARGS];

/// What a call answered, and what else is worth telling.
pub(crate) struct Told {
    pub(crate) result: Result<usize>,
    pub(crate) note: String,
}

impl From<Result<usize>> for Told {
    fn from(result: Result<usize>) -> Self {
        Self {
            result,
            note: String::new(),
        }
    }
}

impl Told {
    /// With a word about it, if it worked.
    pub(crate) fn and(mut self, note: impl FnOnce() -> String) -> Self {
        if self.result.is_ok() {
            self.note = note();
        }
        self
    }
}

/// The kinds of things in slots, as bits: an argument takes one of several.
pub(crate) mod kind {
    pub(crate) const READER: u32 = 1;
    pub(crate) const WRITER: u32 = 1 << 1;
    pub(crate) const EVENT: u32 = 1 << 2;
    pub(crate) const EPOLL: u32 = 1 << 3;
    pub(crate) const FILE: u32 = 1 << 4;
    pub(crate) const SOCKET: u32 = 1 << 5;
    pub(crate) const QUEUE: u32 = 1 << 6;
    pub(crate) const MSG: u32 = 1 << 7;
    pub(crate) const SEM: u32 = 1 << 8;
    pub(crate) const SHM: u32 = 1 << 9;
    /// Whatever has a descriptor.
    pub(crate) const FD: u32 = 0x7f;
    /// What can be read and written.
    pub(crate) const STREAM: u32 = READER | WRITER | EVENT | FILE | SOCKET;
}

/// What an argument may be.
#[derive(Clone, Copy)]
pub(crate) enum Domain {
    /// Not there.
    None,
    /// One of these.
    Of(&'static [i64]),
    /// A slot, most likely one that holds such a thing.
    Slot(u32),
    /// A slot that will hold such a thing.
    Makes(u32),
    /// An actor.
    Actor,
}

/// A row.
pub(crate) struct Op {
    /// Its name in traces.
    pub(crate) name: &'static str,
    /// How often, compared with others.
    pub(crate) weight: u8,
    /// Its arguments.
    pub(crate) args: [Domain; ARGS],
    /// What it does.
    pub(crate) run: fn(&mut Actor, Args) -> Told,
}

/// The calls of a mechanism.
pub(crate) struct Family {
    /// Its name, as it can be asked for.
    pub(crate) name: &'static str,
    /// Its calls.
    pub(crate) ops: &'static [Op],
}

/// A row with its missing arguments filled in.
pub(crate) const fn op<const N: usize>(
    name: &'static str,
    weight: u8,
    args: [Domain; N],
    run: fn(&mut Actor, Args) -> Told,
) -> Op {
    let mut all = [Domain::None; ARGS];
    let mut index = 0;
    while index < N {
        all[index] = args[index];
        index += 1;
    }
    Op {
        name,
        weight,
        args: all,
        run,
    }
}
