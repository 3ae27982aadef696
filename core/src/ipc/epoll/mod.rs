//! Epoll: a set of watched files, and those of them that have something to report (epoll(7)).
//!
//! Owns the items and their list. Promises: a change of a watched file is seen by the next look, whichever comes first;
//! one edge is reported once; a wait costs what its ready items cost, however many are watched; a file's items go with its
//! last descriptor. docs/ipc/epoll.md tells how it works.
//!
//! Locks: the set is of level 3, an item's places of level 5, the list of level 6. No file is asked anything with one of
//! them held, but for its queues.

mod item;
mod nesting;
mod ready;

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64};

use halyard_abi::raw::general as raw;
use halyard_cell::SpinLock;

use crate::counters::{Kind, Live};
use crate::fs::file::{File, Readiness, Side, Special};
use crate::fs::open_file::OpenFile;
use crate::wait::WaitQueue;
use crate::{Errno, Result};
pub(crate) use item::Watchers;
use item::{Item, Key, key_of};
pub use nesting::Nesting;
pub use ready::Wish;
use ready::{After, Held, Ready};

/// Reports each change once.
pub const EDGE: u32 = raw::EPOLLET;
/// Reports once in all, until asked anew.
pub const ONE_SHOT: u32 = raw::EPOLLONESHOT;
/// Of several instances that watch a file, one is woken.
pub const EXCLUSIVE: u32 = raw::EPOLLEXCLUSIVE;

/// A set of watched files.
pub struct Epoll {
    set: SpinLock<Set>,
    ready: Arc<Ready>,
    /// What [`Nesting`] notes while it walks, under its lock: the walk, and a height or a number of wakes.
    walk: AtomicU64,
    height: AtomicU32,
    _live: Live,
}

#[derive(Default)]
struct Set {
    items: BTreeMap<Key, Arc<Item>>,
    /// The instances that watch this one; who is gone is passed over.
    parents: Vec<Weak<Epoll>>,
}

impl Epoll {
    /// An empty set.
    #[must_use]
    pub fn new() -> Arc<Epoll> {
        Arc::new(Epoll {
            set: SpinLock::default(),
            ready: Arc::new(Ready::new()),
            walk: AtomicU64::new(0),
            height: AtomicU32::new(0),
            _live: Live::new(Kind::Epoll),
        })
    }

    /// Who waits here is woken when something may be there to collect.
    #[must_use]
    pub fn queue(&self) -> &WaitQueue {
        &self.ready.queue
    }

    /// Whether `file` ever changes: what is always ready is not watched (epoll_ctl(2), EPERM).
    #[must_use]
    pub fn can_watch(file: &dyn File) -> bool {
        [Side::Read, Side::Write]
            .into_iter()
            .any(|side| file.wait_queue(side).is_some())
    }

    /// EPOLL_CTL_ADD: watches `file`, which can be watched, under the name `fd`. EEXIST: it does already. ELOOP: `file` is
    /// an instance that watches this one, or the chain becomes too long. EINVAL: one wake would make too many. ENOMEM.
    pub fn add(
        self: &Arc<Epoll>,
        nesting: &Nesting,
        fd: i32,
        file: &Arc<OpenFile>,
        wish: Wish,
    ) -> Result<()> {
        let Special::Epoll(child) = file.file().special() else {
            return self.add_item(fd, file, wish);
        };
        let mut walk = nesting.check(self, child)?;
        child.note_parent(self)?;
        let added =
            nesting::check_wakes(&mut walk, child).and_then(|()| self.add_item(fd, file, wish));
        if added.is_err() {
            child.forget_parent(self);
        }
        drop(walk);
        added
    }

    fn add_item(self: &Arc<Epoll>, fd: i32, file: &Arc<OpenFile>, wish: Wish) -> Result<()> {
        let item = Arc::new(Item::new(self, fd, file, wish));
        let mut set = self.set.lock();
        if set.items.contains_key(&item.key) {
            return Err(Errno::EEXIST);
        }
        self.ready.reserve(set.items.len() + 1)?;
        set.items.insert(item.key, Arc::clone(&item));
        drop(set);
        if let Err(errno) = place(&item, file, wish.events) {
            self.remove(item.key);
            discard(&item, file);
            return Err(errno);
        }
        self.look_first(item, wish.events);
        Ok(())
    }

    /// EPOLL_CTL_MOD: asks for something else. ENOENT: not watched under this name. EINVAL: watched exclusively. ENOMEM.
    pub fn modify(&self, fd: i32, file: &Arc<OpenFile>, wish: Wish) -> Result<()> {
        let key = key_of(fd, file);
        let item = self.set.lock().items.get(&key).cloned();
        let item = item.ok_or(Errno::ENOENT)?;
        if item.exclusive {
            return Err(Errno::EINVAL);
        }
        self.ready.change(&item, wish);
        item.place(&**file.file(), wish.events)?;
        self.look_first(item, wish.events);
        Ok(())
    }

    /// EPOLL_CTL_DEL: watches it no longer. ENOENT.
    pub fn delete(self: &Arc<Epoll>, fd: i32, file: &Arc<OpenFile>) -> Result<()> {
        let item = self.remove(key_of(fd, file)).ok_or(Errno::ENOENT)?;
        discard(&item, file);
        if let Special::Epoll(child) = file.file().special() {
            child.forget_parent(self);
        }
        Ok(())
    }

    fn remove(&self, key: Key) -> Option<Arc<Item>> {
        self.set.lock().items.remove(&key)
    }

    /// What an item asks for may be there already, and then no change tells it.
    fn look_first(&self, item: Arc<Item>, events: u32) {
        if !item.look(events).is_empty() {
            self.ready.mark(item);
        }
    }

    /// Has `deliver` take up to `most` reports, each with its number; returns how many it took. What `deliver` fails with
    /// counts only if it took none; that report is not lost.
    pub fn collect(
        &self,
        most: usize,
        mut deliver: impl FnMut(usize, Wish) -> Result<()>,
    ) -> Result<usize> {
        let (mut visits, mut left) = (None, false);
        let mut outcome = Ok(0);
        while let Ok(count) = outcome
            && count < most
        {
            let Some(held) = self.ready.take(&mut visits) else {
                break;
            };
            let found = held.item.look(held.wish.events);
            if found.is_empty() {
                left = self.ready.give_back(held, After::Away);
                continue;
            }
            let report = Wish {
                events: u32::from(found.bits()),
                data: held.wish.data,
            };
            if let Err(fault) = deliver(count, report) {
                left = self.ready.give_back(held, After::First);
                outcome = if count > 0 { Ok(count) } else { Err(fault) };
                break;
            }
            let after = after_report(&held);
            left = self.ready.give_back(held, after);
            outcome = Ok(count + 1);
        }
        if left {
            self.ready.queue.pass_on();
        }
        outcome
    }

    /// Whether there is something to collect.
    fn is_ready(&self) -> bool {
        let mut visits = None;
        while let Some(held) = self.ready.take(&mut visits) {
            let found = held.item.look(held.wish.events);
            if !found.is_empty() {
                self.ready.give_back(held, After::First);
                // Who waited and found the list without it looks again.
                self.ready.queue.pass_on();
                return true;
            }
            self.ready.give_back(held, After::Away);
        }
        false
    }

    fn note_parent(&self, parent: &Arc<Epoll>) -> Result<()> {
        let mut set = self.set.lock();
        set.parents.retain(|parent| parent.strong_count() > 0);
        set.parents.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        set.parents.push(Arc::downgrade(parent));
        Ok(())
    }

    fn forget_parent(&self, parent: &Arc<Epoll>) {
        let mut set = self.set.lock();
        let is_it = |other: &Weak<Epoll>| core::ptr::eq(other.as_ptr(), Arc::as_ptr(parent));
        if let Some(at) = set.parents.iter().position(is_it) {
            set.parents.swap_remove(at);
        }
    }
}

/// Lets `item` hear of the changes of `file`, and of its end. ENOMEM.
fn place(item: &Arc<Item>, file: &Arc<OpenFile>, events: u32) -> Result<()> {
    file.watchers().add(Arc::clone(item))?;
    if !item.place(&**file.file(), events)? {
        // Deleted by another thread already.
        file.watchers().remove(item);
    }
    Ok(())
}

/// Undoes [`place`].
fn discard(item: &Arc<Item>, file: &Arc<OpenFile>) {
    file.watchers().remove(item);
    item.retire(&**file.file());
}

fn after_report(held: &Held) -> After {
    match held.wish.events {
        events if events & ONE_SHOT != 0 => After::Disabled,
        events if events & EDGE != 0 => After::Away,
        _ => After::Kept,
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        for item in core::mem::take(&mut self.set.get_mut().items).into_values() {
            // A file that is being closed ends its items itself.
            if let Some(file) = item.file.upgrade() {
                discard(&item, &file);
            }
        }
    }
}

/// An epoll instance as a file: it is readable while there is something to collect.
pub struct EpollFile(pub Arc<Epoll>);

impl File for EpollFile {
    fn poll(&self) -> Readiness {
        if self.0.is_ready() {
            Readiness::IN | Readiness::RDNORM
        } else {
            Readiness::empty()
        }
    }

    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        (side == Side::Read).then_some(&self.0.ready.queue)
    }

    fn special(&self) -> Special<'_> {
        Special::Epoll(&self.0)
    }
}

#[cfg(test)]
mod testing;

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
