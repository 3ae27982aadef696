//! Which sockets on the way can be reached, and which are only on the way to each other.
//!
//! A look follows messages from where something went out of reach, not beyond sockets that others than messages hold, and
//! costs what lies between. It needs no memory: what it knows stands in the register's entries.
//!
//! First each socket that it comes to counts the messages which hold it; then those are taken off that are to sockets of the
//! look itself. Who has one left, or a holder outside, can be reached, and so can what is on the way to it. The rest cannot.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::cell::Cell;

use super::flight::Due;
use super::link::Remains;
use crate::fs::file::Special;
use crate::fs::open_file::OpenFile;

/// The sockets on the way.
pub(super) struct Register {
    /// By the address of the open file.
    entries: BTreeMap<usize, Airborne>,
    /// Which look this is; marks of earlier ones mean nothing.
    round: u64,
}

/// A socket on the way.
struct Airborne {
    file: Weak<OpenFile>,
    /// How many messages hold it.
    count: usize,
    mark: Mark,
}

/// What a look knows of a socket.
#[derive(Default)]
struct Mark {
    /// The look that has come to it last.
    round: Cell<u64>,
    /// How many of the messages that hold it are to one that can be reached; [`HELD`] by others than messages.
    outside: Cell<usize>,
    /// The next of those that the look has come to.
    next: Cell<Option<usize>>,
    /// The next of those to be looked into.
    below: Cell<Option<usize>>,
}

/// Whoever has a descriptor can receive: as good as a message that is always there.
const HELD: usize = usize::MAX;

/// By what a socket is known here.
pub(super) fn address(file: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(file) as usize
}

impl Register {
    pub(super) const fn new() -> Register {
        Register {
            entries: BTreeMap::new(),
            round: 0,
        }
    }

    /// One more message holds `file`.
    pub(super) fn add(&mut self, file: &Arc<OpenFile>) {
        let new = || Airborne {
            file: Arc::downgrade(file),
            count: 0,
            mark: Mark::default(),
        };
        self.entries.entry(address(file)).or_insert_with(new).count += 1;
        file.set_in_flight(true);
    }

    /// One message fewer holds `file`.
    pub(super) fn remove(&mut self, file: &Arc<OpenFile>) {
        let key = address(file);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.count -= 1;
            if entry.count == 0 {
                self.entries.remove(&key);
                file.set_in_flight(false);
            }
        }
    }

    /// Puts into `remains` all messages to sockets that cannot be reached; what finds no room there stays. How many sockets it
    /// came to.
    pub(super) fn look(&mut self, due: Due, remains: &mut Vec<Remains>) -> usize {
        self.round += 1;
        let seen = List::new(self, |mark| &mark.next);
        match due {
            Due::Nowhere => {}
            Due::From(address) => self.gather(address, &seen),
            Due::Anywhere => self.entries.keys().for_each(|&at| self.gather(at, &seen)),
        }
        for entry in seen.iter().filter(|entry| !entry.is_held()) {
            self.for_each_inside(entry, |_, it| it.take_one_off());
        }
        self.spread(&seen);
        let mut count = 0;
        for entry in seen.iter() {
            count += 1;
            if entry.mark.outside.get() == 0 {
                entry.take_all(remains);
            }
        }
        count
    }

    /// Comes to the socket at `start`, and to all that is on the way to it. It does not look into what is held: what is found
    /// there can be reached, unless it is found elsewhere too.
    fn gather(&self, start: usize, seen: &List<'_>) {
        let stack = List::new(self, |mark| &mark.below);
        let come_to = |at: usize, entry: &Airborne| {
            if entry.mark.round.replace(self.round) == self.round {
                return;
            }
            entry.count_holders();
            seen.push(at, entry);
            if !entry.is_held() {
                stack.push(at, entry);
            }
        };
        if let Some(entry) = self.entries.get(&start) {
            come_to(start, entry);
        }
        while let Some((_, entry)) = stack.pop() {
            self.for_each_inside(entry, |at, it| come_to(at, it));
        }
    }

    /// Marks what can be reached through those that can.
    fn spread(&self, seen: &List<'_>) {
        let stack = List::new(self, |mark| &mark.below);
        for (at, entry) in seen.entries() {
            if entry.mark.outside.get() > 0 {
                stack.push(at, entry);
            }
        }
        while let Some((_, entry)) = stack.pop() {
            self.for_each_inside(entry, |at, it| {
                if it.mark.round.get() == self.round && it.mark.outside.get() == 0 {
                    it.mark.outside.set(HELD);
                    stack.push(at, it);
                }
            });
        }
    }

    /// Calls `visit` with each socket that is on the way to `to`.
    fn for_each_inside(&self, to: &Airborne, mut visit: impl FnMut(usize, &Airborne)) {
        let Some(file) = to.file.upgrade() else {
            return;
        };
        let Special::Socket(socket) = file.file().special() else {
            return;
        };
        socket.for_each_right(&mut |rights| {
            for held in rights.files.iter().filter(|file| file.is_socket()) {
                let at = address(held);
                if let Some(entry) = self.entries.get(&at) {
                    visit(at, entry);
                }
            }
        });
    }
}

impl Airborne {
    fn is_held(&self) -> bool {
        self.mark.outside.get() == HELD
    }

    fn count_holders(&self) {
        let outside = if self.file.strong_count() > self.count {
            HELD
        } else {
            self.count
        };
        self.mark.outside.set(outside);
    }

    fn take_one_off(&self) {
        if !self.is_held() {
            let left = self.mark.outside.get().saturating_sub(1);
            self.mark.outside.set(left);
        }
    }

    fn take_all(&self, remains: &mut Vec<Remains>) {
        if let Some(file) = self.file.upgrade()
            && let Special::Socket(socket) = file.file().special()
        {
            socket.take_all(remains);
        }
    }
}

/// Sockets of the register, one linked to the next in their marks.
struct List<'a> {
    register: &'a Register,
    link: fn(&Mark) -> &Cell<Option<usize>>,
    first: Cell<Option<usize>>,
}

impl<'a> List<'a> {
    fn new(register: &'a Register, link: fn(&Mark) -> &Cell<Option<usize>>) -> List<'a> {
        List {
            register,
            link,
            first: Cell::new(None),
        }
    }

    fn push(&self, at: usize, entry: &Airborne) {
        (self.link)(&entry.mark).set(self.first.replace(Some(at)));
    }

    fn pop(&self) -> Option<(usize, &'a Airborne)> {
        let at = self.first.get()?;
        let entry = self.register.entries.get(&at)?;
        self.first.set((self.link)(&entry.mark).get());
        Some((at, entry))
    }

    fn entries(&self) -> impl Iterator<Item = (usize, &'a Airborne)> {
        let mut next = self.first.get();
        core::iter::from_fn(move || {
            let at = next?;
            let entry = self.register.entries.get(&at)?;
            next = (self.link)(&entry.mark).get();
            Some((at, entry))
        })
    }

    fn iter(&self) -> impl Iterator<Item = &'a Airborne> {
        self.entries().map(|(_, entry)| entry)
    }
}
