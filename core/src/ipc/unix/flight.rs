//! Descriptors on the way, counted; and when to look for sockets among them that nobody can reach any more.
//!
//! Owns the register of all sockets on the way ([`Register`]). They are counted into and out of it with its lock held, so that
//! during a look what only messages hold stays so. The lock is level 3 and comes before those of channels.
//!
//! A socket goes out of reach when a reference from outside messages goes ([`Leaving`]), and with it only what can be found
//! by following messages from it: so a look begins there. What could not be freed for want of memory is left for a
//! look at everything, which is due when twice as much is on the way as after the last one.
//!
//! Sockets that die with a message are dropped one after the other, not one in the other: a chain of sockets, each on
//! the way to the next, must not exhaust the stack. One CPU at a time does this work; others leave theirs to it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use halyard_cell::{SpinGuard, SpinLock};

use super::reach::{Register, address};
use super::rights::Quota;
use crate::fs::open_file::{OPEN_FILES_MAX, OpenFile};
use crate::{Errno, Result};

/// What is on the way.
pub(super) struct Flight {
    sockets: Register,
    /// How many messages hold sockets, each counted once for each.
    total: usize,
    /// How many descriptors of which user are on the way; those with none are not listed.
    users: Vec<(u32, usize)>,
    /// Sockets to be dropped. There is room for `total` more.
    graves: Vec<Arc<OpenFile>>,
    /// Somebody drops and looks.
    busy: bool,
    /// Where to look when all are dropped.
    due: Due,
    /// With more than this on the way a look at everything is due.
    look_at: usize,
}

/// So few on the way need no look at everything.
const FEW: usize = 64;

/// How many sockets one CPU drops and looks at before it leaves the rest to the next: so much its own work can be, and no
/// more is left to it by others.
const TURN: usize = OPEN_FILES_MAX;

/// Where sockets may have gone out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Due {
    #[default]
    Nowhere,
    /// With the one at this address.
    From(usize),
    Anywhere,
}

impl Due {
    fn add(&mut self, other: Due) {
        *self = match (*self, other) {
            (Due::Nowhere, due) | (due, Due::Nowhere) => due,
            (one, two) if one == two => one,
            _ => Due::Anywhere,
        };
    }
}

#[cfg(not(loom))]
static FLIGHT: SpinLock<Flight> = SpinLock::new(Flight::new());

#[cfg(loom)]
loom::lazy_static! {
    static ref FLIGHT: SpinLock<Flight> = SpinLock::new(Flight::new());
}

/// Whether work was left by somebody whose turn was over ([`TURN`]). A hint, read without the lock.
static LEFT_OVER: AtomicBool = AtomicBool::new(false);

/// Keeps everything on the way where it is. Needed by whoever copies rights that stay on the way.
pub(super) fn hold() -> SpinGuard<'static, Flight> {
    FLIGHT.lock()
}

/// Counts the sockets of a message in, and charges its sender. ETOOMANYREFS, ENOMEM.
pub(super) fn launch(files: &[Arc<OpenFile>], quota: Quota) -> Result<()> {
    let mut flight = FLIGHT.lock();
    flight.launch(files, quota)?;
    if flight.total > flight.look_at {
        flight.due = Due::Anywhere;
        drop(flight);
        settle();
    }
    Ok(())
}

/// Counts the sockets of a message out, and takes its descriptors off `user`'s account.
pub(super) fn leave(files: &[Arc<OpenFile>], user: Option<u32>) {
    FLIGHT.lock().leave(files, user);
}

/// Takes the sockets out of `files`, which have just left, to be dropped in their turn.
pub(super) fn bury(files: &mut Vec<Arc<OpenFile>>) {
    if !files.iter().any(|file| file.is_socket()) {
        return;
    }
    let mut flight = FLIGHT.lock();
    for file in files.extract_if(.., |file| file.is_socket()) {
        flight.due.add(due_from(&file));
        flight.graves.push(file);
    }
    drop(flight);
    settle();
}

/// Where to look when `file` was let go of: nothing that is not on the way can be out of reach and still there.
#[inline]
fn due_from(file: &Arc<OpenFile>) -> Due {
    if file.in_flight() {
        Due::From(address(file))
    } else {
        Due::Nowhere
    }
}

/// References from outside messages that are given up: those of descriptors, or of a call. When it goes, what went out of
/// reach by it is freed.
#[derive(Default)]
pub struct Leaving {
    due: Due,
}

impl Leaving {
    /// Gives up `file`. No lock is held.
    #[inline]
    pub fn let_go(&mut self, file: Arc<OpenFile>) {
        self.due.add(due_from(&file));
    }
}

impl Drop for Leaving {
    #[inline]
    fn drop(&mut self) {
        if self.due != Due::Nowhere || LEFT_OVER.load(Ordering::Relaxed) {
            look_for(self.due);
        }
    }
}

/// Gives up one reference through which `file` could be reached.
#[inline]
pub fn let_go(file: Arc<OpenFile>) {
    if file.in_flight() {
        // The reference goes first: a look must not see it any more.
        Leaving::default().let_go(file);
    }
}

/// When it goes, it is looked whether a socket went out of reach, if it was told of one that is on the way.
#[derive(Default)]
pub struct Look {
    /// From where on; 0: nowhere.
    from: usize,
}

impl Look {
    /// A reference to `file` from outside messages is to go, before this goes.
    #[inline]
    pub fn begin_at(&mut self, file: &Arc<OpenFile>) {
        if file.in_flight() {
            self.from = address(file);
        }
    }
}

impl Drop for Look {
    #[inline]
    fn drop(&mut self) {
        if self.from != 0 {
            look_for(Due::From(self.from));
        }
    }
}

#[cold]
fn look_for(due: Due) {
    FLIGHT.lock().due.add(due);
    settle();
}

/// Drops what is to be dropped and looks where it is due, unless somebody is at it.
fn settle() {
    let mut flight = FLIGHT.lock();
    if flight.busy {
        return;
    }
    flight.busy = true;
    let mut done = 0;
    while done < TURN {
        if let Some(file) = flight.graves.pop() {
            drop(flight);
            drop(file);
            done += 1;
        } else {
            let due = core::mem::take(&mut flight.due);
            if due == Due::Nowhere {
                break;
            }
            if due == Due::Anywhere {
                flight.look_at = FEW.max(2 * flight.total);
            }
            let mut remains = Vec::new();
            done += flight.sockets.look(due, &mut remains);
            drop(flight);
            // What they hold goes now, and with it, as nobody else has them, the sockets.
            drop(remains);
        }
        flight = FLIGHT.lock();
    }
    flight.busy = false;
    let left_over = !flight.graves.is_empty() || flight.due != Due::Nowhere;
    LEFT_OVER.store(left_over, Ordering::Relaxed);
}

impl Flight {
    const fn new() -> Flight {
        Flight {
            sockets: Register::new(),
            total: 0,
            users: Vec::new(),
            graves: Vec::new(),
            busy: false,
            due: Due::Nowhere,
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
            self.sockets.add(file);
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
            self.sockets.remove(file);
            self.total -= 1;
        }
    }
}
