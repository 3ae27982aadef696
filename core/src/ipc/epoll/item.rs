//! One file that an epoll instance watches: its places in the file's wait queues.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use halyard_cell::SpinLock;

use super::Epoll;
use super::ready::{PRIVATE, Ready, Standing, Wish};
use crate::fs::file::{File, Readiness, Side, Special};
use crate::fs::open_file::OpenFile;
use crate::wait::{Watch, Watcher};
use crate::{Errno, Result};

/// What names an item among those of an instance: the descriptor and the open file that it named when it was added.
pub(super) type Key = (i32, usize);

/// The key of `fd`, which names `file`.
pub(super) fn key_of(fd: i32, file: &Arc<OpenFile>) -> Key {
    (fd, Arc::as_ptr(file).addr())
}

/// One file that is watched.
pub(crate) struct Item {
    pub(super) key: Key,
    pub(super) epoll: Weak<Epoll>,
    /// Not a hold on it: the file's last descriptor takes its items with it.
    pub(super) file: Weak<OpenFile>,
    /// Whether a wake that this item takes need not reach another exclusive waiter.
    pub(super) exclusive: bool,
    /// Whether its file is an instance too.
    pub(super) nests: bool,
    pub(super) standing: Standing,
    pub(super) ready: Arc<Ready>,
    /// Lock level 5.
    places: SpinLock<Places>,
}

#[derive(Default)]
struct Places {
    read: Option<Watch>,
    write: Option<Watch>,
    /// No place is to be taken any more.
    retired: bool,
}

impl Item {
    pub(super) fn new(epoll: &Arc<Epoll>, fd: i32, file: &Arc<OpenFile>, wish: Wish) -> Item {
        Item {
            key: key_of(fd, file),
            epoll: Arc::downgrade(epoll),
            file: Arc::downgrade(file),
            exclusive: wish.events & super::EXCLUSIVE != 0,
            nests: matches!(file.file().special(), Special::Epoll(_)),
            standing: Standing::new(wish),
            ready: Arc::clone(&epoll.ready),
            places: SpinLock::default(),
        }
    }

    /// What its file has to report of `events`; nothing if it is being closed.
    pub(super) fn look(&self, events: u32) -> Readiness {
        let wanted = Readiness::from_bits_truncate(events as u16) | Readiness::ERR | Readiness::HUP;
        match self.file.upgrade() {
            Some(file) if events & !PRIVATE != 0 => file.file().poll().intersection(wanted),
            _ => Readiness::empty(),
        }
    }

    /// Takes the places in the queues of `file` at which the changes that `events` name are told, and gives up others.
    /// False: it has been retired meanwhile. ENOMEM.
    pub(super) fn place(self: &Arc<Item>, file: &dyn File, events: u32) -> Result<bool> {
        let (mut reads, mut writes) = Readiness::from_bits_truncate(events as u16).sides();
        let same = match (file.wait_queue(Side::Read), file.wait_queue(Side::Write)) {
            (Some(one), Some(other)) => core::ptr::eq(one, other),
            _ => false,
        };
        if same {
            (reads, writes) = (true, false);
        }
        let mut places = self.places.lock();
        if places.retired {
            return Ok(false);
        }
        let Places { read, write, .. } = &mut *places;
        for (place, side, wanted) in [(read, Side::Read, reads), (write, Side::Write, writes)] {
            let Some(queue) = file.wait_queue(side) else {
                continue;
            };
            if wanted && place.is_none() {
                let watcher = Arc::clone(self) as Arc<dyn Watcher>;
                let taken = queue.watch(watcher, self.exclusive);
                *place = Some(taken.map_err(|_| Errno::ENOMEM)?);
            } else if !wanted && let Some(place) = place.take() {
                queue.unwatch(place);
            }
        }
        Ok(true)
    }

    /// Ends it: no change of `file` is told any more. An exclusive wake that it took and nobody saw goes to the next.
    pub(super) fn retire(self: &Arc<Item>, file: &dyn File) {
        let mut places = self.places.lock();
        places.retired = true;
        let taken = [
            (Side::Read, places.read.take()),
            (Side::Write, places.write.take()),
        ];
        drop(places);
        let unseen = self.ready.forget(self);
        for (side, place) in taken {
            let (Some(place), Some(queue)) = (place, file.wait_queue(side)) else {
                continue;
            };
            queue.unwatch(place);
            if unseen && self.exclusive {
                queue.pass_on();
            }
        }
    }
}

/// Its wakes are told by [`Ready::mark`].
impl Watcher for Item {
    fn changed(self: Arc<Item>) -> bool {
        Arc::clone(&self.ready).mark(self)
    }
}

/// The items that watch one open file.
#[derive(Default)]
pub(crate) struct Watchers(SpinLock<Vec<Arc<Item>>>);

impl Watchers {
    pub(crate) fn new() -> Watchers {
        Watchers::default()
    }

    /// ENOMEM.
    pub(super) fn add(&self, item: Arc<Item>) -> Result<()> {
        let mut items = self.0.lock();
        items.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        items.push(item);
        Ok(())
    }

    pub(super) fn remove(&self, item: &Arc<Item>) {
        let mut items = self.0.lock();
        let at = items.iter().position(|other| Arc::ptr_eq(other, item));
        let removed = at.map(|at| items.swap_remove(at));
        drop(items);
        drop(removed);
    }

    /// The last descriptor of `file` has gone: nobody watches it any more.
    pub(crate) fn close(&mut self, file: &dyn File) {
        for item in core::mem::take(self.0.get_mut()) {
            item.retire(file);
            if let Some(epoll) = item.epoll.upgrade() {
                epoll.remove(item.key);
            }
        }
    }
}
