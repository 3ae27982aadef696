//! Descriptors on the way (SCM_RIGHTS), and the collection of sockets that nobody can reach any more because they are
//! on the way to each other.
//!
//! Owns the register of all sockets on the way: each with how many messages hold it. What is on the way is counted into
//! and out of the register with its lock held, so that while [`collect`] holds it, what only messages hold stays so. The
//! register's lock is level 3 and comes before those of channels.
//!
//! Sockets that die with a message are dropped one after the other, not one in the other: a chain of sockets, each on
//! the way to the next, must not exhaust the stack.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::cell::Cell;

use halyard_cell::{SpinGuard, SpinLock};

use super::link::Remains;
use crate::fs::file::Special;
use crate::fs::open_file::OpenFile;
use crate::{Errno, Result};

/// Open files in a message.
#[derive(Default)]
pub struct Rights {
    files: Vec<Arc<OpenFile>>,
    /// Who is charged for them; None: nobody, being privileged.
    user: Option<u32>,
    /// Whether the register counts them.
    on_the_way: bool,
}

/// Who sends descriptors, and how many they may have on the way.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// The user.
    pub user: u32,
    /// More than this many are too many (RLIMIT_NOFILE); None: there is no bound.
    pub limit: Option<usize>,
}

/// What is on the way.
pub(super) struct Flight {
    /// Sockets, by the address of the open file.
    sockets: BTreeMap<usize, Airborne>,
    /// How many messages hold sockets, each counted once for each.
    total: usize,
    /// How many descriptors of which user are on the way; those with none are not listed.
    users: Vec<(u32, usize)>,
    /// Sockets to be dropped by whoever is at it. There is room for `total` more.
    graves: Vec<Arc<OpenFile>>,
    burying: bool,
    collecting: bool,
    /// Somebody asked for a collection when there could be none.
    again: bool,
    /// With more than this on the way a collection is due: twice what the last one left.
    look_at: usize,
}

/// So few on the way need no collection of their own accord.
const FEW: usize = 64;

struct Airborne {
    file: Weak<OpenFile>,
    /// How many messages hold it.
    count: usize,
}

#[cfg(not(loom))]
static FLIGHT: SpinLock<Flight> = SpinLock::new(Flight::new());

#[cfg(loom)]
loom::lazy_static! {
    static ref FLIGHT: SpinLock<Flight> = SpinLock::new(Flight::new());
}

/// Keeps everything on the way where it is. Needed by whoever copies rights that stay on the way.
pub(super) fn hold() -> SpinGuard<'static, Flight> {
    FLIGHT.lock()
}

impl Rights {
    /// Puts `files` on the way. ETOOMANYREFS: too many of the user's are. ENOMEM.
    pub fn launch(files: Vec<Arc<OpenFile>>, quota: Quota) -> Result<Rights> {
        let user = quota.limit.map(|_| quota.user);
        if user.is_some() || files.iter().any(|file| file.is_socket()) {
            let mut flight = FLIGHT.lock();
            let launched = flight.launch(&files, quota);
            let look = flight.total > flight.look_at;
            drop(flight);
            launched?;
            if look {
                collect();
            }
        }
        Ok(Rights {
            files,
            user,
            on_the_way: true,
        })
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.files.len()
    }

    /// Takes them off the way: they are the receiver's now, who has them by [`Rights::take_next`].
    pub fn land(&mut self) {
        self.leave();
        self.files.reverse();
    }

    /// The next one, after [`Rights::land`].
    pub fn take_next(&mut self) -> Option<Arc<OpenFile>> {
        self.files.pop()
    }

    /// The same descriptors for somebody who looks but does not receive; these are not on the way. The caller has [`hold`]
    /// of what is. Without memory: none.
    pub(super) fn copy(&self) -> Rights {
        let mut files = Vec::new();
        if files.try_reserve_exact(self.files.len()).is_ok() {
            files.extend(self.files.iter().cloned());
        }
        Rights {
            files,
            user: None,
            on_the_way: false,
        }
    }

    fn leave(&mut self) {
        if !core::mem::take(&mut self.on_the_way) {
            return;
        }
        let user = self.user.take();
        if user.is_some() || self.files.iter().any(|file| file.is_socket()) {
            FLIGHT.lock().leave(&self.files, user);
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if self.files.is_empty() {
            return;
        }
        self.leave();
        let mut leftover = false;
        for file in self.files.drain(..) {
            if file.is_socket() {
                leftover |= file.in_flight();
                bury(file);
            }
        }
        if leftover {
            collect();
        }
    }
}

impl Flight {
    const fn new() -> Flight {
        Flight {
            sockets: BTreeMap::new(),
            total: 0,
            users: Vec::new(),
            graves: Vec::new(),
            burying: false,
            collecting: false,
            again: false,
            look_at: FEW,
        }
    }

    fn launch(&mut self, files: &[Arc<OpenFile>], quota: Quota) -> Result<()> {
        let sockets = files.iter().filter(|file| file.is_socket());
        let count = sockets.clone().count();
        self.graves
            .try_reserve(self.total + count)
            .map_err(|_| Errno::ENOMEM)?;
        if let Some(limit) = quota.limit {
            self.charge(quota.user, files.len(), limit)?;
        }
        for file in sockets {
            let entry = self
                .sockets
                .entry(address(file))
                .or_insert_with(|| Airborne {
                    file: Arc::downgrade(file),
                    count: 0,
                });
            entry.count += 1;
            file.set_in_flight(true);
        }
        self.total += count;
        Ok(())
    }

    fn charge(&mut self, user: u32, count: usize, limit: usize) -> Result<()> {
        if let Some((_, charged)) = self.users.iter_mut().find(|(known, _)| *known == user) {
            if *charged > limit {
                return Err(Errno::ETOOMANYREFS);
            }
            *charged += count;
            return Ok(());
        }
        self.users.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.users.push((user, count));
        Ok(())
    }

    fn leave(&mut self, files: &[Arc<OpenFile>], user: Option<u32>) {
        if let Some(at) = self
            .users
            .iter()
            .position(|(known, _)| Some(*known) == user)
            && let Some((_, charged)) = self.users.get_mut(at)
        {
            *charged = charged.saturating_sub(files.len());
            if *charged == 0 {
                self.users.swap_remove(at);
            }
        }
        for file in files.iter().filter(|file| file.is_socket()) {
            let key = address(file);
            if let Some(entry) = self.sockets.get_mut(&key) {
                entry.count -= 1;
                self.total -= 1;
                if entry.count == 0 {
                    self.sockets.remove(&key);
                    file.set_in_flight(false);
                }
            }
        }
    }
}

fn address(file: &Arc<OpenFile>) -> usize {
    Arc::as_ptr(file) as usize
}

/// Drops a socket, or leaves it to whoever is dropping one now.
fn bury(file: Arc<OpenFile>) {
    let mut flight = FLIGHT.lock();
    flight.graves.push(file);
    if core::mem::replace(&mut flight.burying, true) {
        return;
    }
    while let Some(file) = flight.graves.pop() {
        drop(flight);
        drop(file);
        flight = FLIGHT.lock();
    }
    flight.burying = false;
    // With many that died at once one look is enough.
    let look = !flight.collecting && core::mem::take(&mut flight.again);
    drop(flight);
    if look {
        collect();
    }
}

/// Gives up a reference through which `file` could be reached: a descriptor's, or that of a call that waited. If it is on
/// the way, this may have been the last one.
///
/// What a call in progress holds, be it on another CPU or one that waits in a send, an accept, a poll or an epoll, counts as a
/// way to reach it: what is left over when that call ends goes with the next collection, which comes at the latest when
/// twice as much is on the way ([`Flight::launch`]).
#[inline]
pub fn let_go(file: Arc<OpenFile>) {
    if file.in_flight() {
        let_go_in_flight(file);
    }
}

/// The reference goes first: a collection that somebody else makes meanwhile must not see it any more.
#[cold]
fn let_go_in_flight(file: Arc<OpenFile>) {
    drop(file);
    collect();
}

/// A socket on the way.
struct Candidate {
    file: Arc<OpenFile>,
    /// How many of the messages that hold it are to one that can be reached; [`HELD`] by others than messages.
    outside: Cell<usize>,
    /// The next in the stack of those to be looked into.
    below: Cell<Option<usize>>,
}

/// Whoever has a descriptor can receive: as good as a message that is always there.
const HELD: usize = usize::MAX;

/// Frees sockets that only messages hold which only such sockets could receive. If somebody is at it already, they look
/// once more.
#[cold]
fn collect() {
    loop {
        let mut flight = FLIGHT.lock();
        if flight.collecting || flight.burying {
            flight.again = true;
            return;
        }
        flight.collecting = true;
        let mut seen = Vec::new();
        let mut remains = Vec::new();
        if flight.find_candidates(&mut seen).is_ok() {
            mark(&seen);
            take_garbage(&seen, &mut remains);
        }
        drop(flight);
        // What they hold goes now, and with it, as nobody else has them, the sockets.
        drop(remains);
        drop(seen);
        let mut flight = FLIGHT.lock();
        flight.collecting = false;
        flight.look_at = FEW.max(2 * flight.total);
        if !core::mem::take(&mut flight.again) {
            return;
        }
    }
}

impl Flight {
    /// All sockets on the way, in the order of their addresses; those that somebody else holds too have an outside. ENOMEM.
    fn find_candidates(&self, seen: &mut Vec<Candidate>) -> Result<()> {
        seen.try_reserve_exact(self.sockets.len())
            .map_err(|_| Errno::ENOMEM)?;
        for entry in self.sockets.values() {
            let Some(file) = entry.file.upgrade() else {
                continue;
            };
            // Not counting the one that was just made.
            let held = Arc::strong_count(&file) - 1;
            let outside = if held > entry.count {
                HELD
            } else {
                entry.count
            };
            seen.push(Candidate {
                file,
                outside: Cell::new(outside),
                below: Cell::new(None),
            });
        }
        Ok(())
    }
}

/// Calls `visit` with each socket in `seen` that is on the way to `file`.
fn for_each_inside(seen: &[Candidate], file: &OpenFile, mut visit: impl FnMut(usize, &Candidate)) {
    let Special::Socket(socket) = file.file().special() else {
        return;
    };
    socket.for_each_right(&mut |rights| {
        for held in rights.files.iter().filter(|file| file.is_socket()) {
            let found = seen.binary_search_by_key(&address(held), |it| address(&it.file));
            if let Ok(at) = found
                && let Some(candidate) = seen.get(at)
            {
                visit(at, candidate);
            }
        }
    });
}

/// Leaves an outside to those alone that can be reached.
fn mark(seen: &[Candidate]) {
    // Messages to sockets that only messages hold do not count...
    for candidate in seen.iter().filter(|it| it.outside.get() != HELD) {
        for_each_inside(seen, &candidate.file, |_, it| {
            if it.outside.get() != HELD {
                it.outside.set(it.outside.get().saturating_sub(1));
            }
        });
    }
    // ...unless these can be reached.
    let top = Cell::new(None);
    let push = |at: usize, it: &Candidate| it.below.set(top.replace(Some(at)));
    for (at, it) in seen.iter().enumerate() {
        if it.outside.get() > 0 {
            push(at, it);
        }
    }
    while let Some(candidate) = top.get().and_then(|at| seen.get(at)) {
        top.set(candidate.below.get());
        for_each_inside(seen, &candidate.file, |at, it| {
            if it.outside.get() == 0 {
                it.outside.set(HELD);
                push(at, it);
            }
        });
    }
}

/// Takes what is on the way to those that cannot be reached. What finds no room stays for the next collection.
fn take_garbage(seen: &[Candidate], remains: &mut Vec<Remains>) {
    for candidate in seen.iter().filter(|it| it.outside.get() == 0) {
        if let Special::Socket(socket) = candidate.file.file().special() {
            socket.take_all(remains);
        }
    }
}
