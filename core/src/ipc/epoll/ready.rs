//! The items of an epoll instance that may have something to report. Lock level 6: what has changed may be told with the
//! object's lock held.
//!
//! An item is in one stage at a time, and stages change under the list's lock alone:
//!
//! | stage | where it is | a change of its file |
//! |---|---|---|
//! | away | nowhere | puts it at the end of the list |
//! | listed | in the list | is one with the change that put it there |
//! | held | with a thread that looks at its file | is noted: the item goes back to the list |
//! | again | as held, and a change was noted | is noted already |
//! | fresh | as held, and its owner asked for something else meanwhile | as again |
//! | dead | nowhere, for ever | does nothing |
//!
//! One thread at a time holds an item, so an edge is reported once; who holds it looks at the file after it has been
//! taken from the list, so a change that is not seen finds the item held and brings it back.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use halyard_cell::SpinLock;

use super::item::Item;
use crate::wait::WaitQueue;
use crate::{Errno, Result};

const AWAY: u8 = 0;
const LISTED: u8 = 1;
const HELD: u8 = 2;
const AGAIN: u8 = 3;
const FRESH: u8 = 4;
const DEAD: u8 = 5;

/// Bits of the events that ask for a way of reporting, not for a state of the file.
pub(super) const PRIVATE: u32 = 0xf000_0000;

/// What the list's lock guards of an item.
pub(super) struct Standing {
    stage: AtomicU8,
    events: AtomicU32,
    data: AtomicU64,
}

impl Standing {
    pub(super) fn new(wish: Wish) -> Standing {
        Standing {
            stage: AtomicU8::new(AWAY),
            events: AtomicU32::new(wish.events),
            data: AtomicU64::new(wish.data),
        }
    }

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    fn set_stage(&self, stage: u8) {
        self.stage.store(stage, Ordering::Relaxed);
    }

    fn wish(&self) -> Wish {
        Wish {
            events: self.events.load(Ordering::Relaxed),
            data: self.data.load(Ordering::Relaxed),
        }
    }
}

/// `struct epoll_event` as a program gave it: what is to be reported and the number that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// EPOLL* bits.
    pub events: u32,
    /// The program's own.
    pub data: u64,
}

/// An item that the caller alone looks at until it gives it back.
pub(super) struct Held {
    pub(super) item: Arc<Item>,
    pub(super) wish: Wish,
}

/// What becomes of an item that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It waits for the next change.
    Away,
    /// It is to be looked at again, after the others.
    Kept,
    /// As Kept, before the others: it was not reported.
    First,
    /// It reports nothing more until its owner asks anew.
    Disabled,
}

/// The list, and who waits for something to be in it.
pub(super) struct Ready {
    list: SpinLock<VecDeque<Arc<Item>>>,
    pub(super) queue: WaitQueue,
}

impl Ready {
    pub(super) fn new() -> Ready {
        Ready {
            list: SpinLock::new(VecDeque::new()),
            queue: WaitQueue::new(),
        }
    }

    /// Makes room for `items` in all, so that no change ever needs memory. ENOMEM.
    pub(super) fn reserve(&self, items: usize) -> Result<()> {
        let mut list = self.list.lock();
        let more = items.saturating_sub(list.len());
        list.try_reserve(more).map_err(|_| Errno::ENOMEM)
    }

    /// The file of `item` has changed. Tells whether a thread waits that will see to it.
    pub(super) fn mark(&self, item: Arc<Item>) -> bool {
        let mut list = self.list.lock();
        if item.standing.events.load(Ordering::Relaxed) & !PRIVATE == 0 {
            return false;
        }
        match item.standing.stage() {
            DEAD => return false,
            AWAY => {
                item.standing.set_stage(LISTED);
                list.push_back(item);
            }
            HELD => item.standing.set_stage(AGAIN),
            _ => {}
        }
        drop(list);
        let acts = !self.queue.is_idle();
        self.queue.wake_one();
        acts
    }

    /// Takes the first item, if any of the `visits` that are left is; at the first visit all that are in the list.
    pub(super) fn take(&self, visits: &mut Option<usize>) -> Option<Held> {
        let mut list = self.list.lock();
        let left = visits.get_or_insert(list.len());
        *left = left.checked_sub(1)?;
        let item = list.pop_front()?;
        item.standing.set_stage(HELD);
        let wish = item.standing.wish();
        Some(Held { item, wish })
    }

    /// Gives an item back. Tells whether the list holds any now.
    pub(super) fn give_back(&self, held: Held, after: After) -> bool {
        let mut list = self.list.lock();
        let standing = &held.item.standing;
        let after = match (standing.stage(), after) {
            (DEAD, _) => return !list.is_empty(),
            (AGAIN, After::Away) | (FRESH, After::Away | After::Disabled) => After::Kept,
            (_, after) => after,
        };
        match after {
            After::Away => standing.set_stage(AWAY),
            After::Disabled => {
                standing.events.fetch_and(PRIVATE, Ordering::Relaxed);
                standing.set_stage(AWAY);
            }
            After::Kept | After::First => {
                standing.set_stage(LISTED);
                if after == After::First {
                    list.push_front(held.item);
                } else {
                    list.push_back(held.item);
                }
                return true;
            }
        }
        !list.is_empty()
    }

    /// The owner of `item` asks for something else from now on.
    pub(super) fn change(&self, item: &Item, wish: Wish) {
        let list = self.list.lock();
        let standing = &item.standing;
        standing.events.store(wish.events, Ordering::Relaxed);
        standing.data.store(wish.data, Ordering::Relaxed);
        if matches!(standing.stage(), HELD | AGAIN) {
            standing.set_stage(FRESH);
        }
        drop(list);
    }

    /// `item` is never to be listed again. Tells whether something was to be looked at.
    pub(super) fn forget(&self, item: &Arc<Item>) -> bool {
        let mut list = self.list.lock();
        let stage = item.standing.stage();
        item.standing.set_stage(DEAD);
        let mut listed = None;
        if stage == LISTED {
            let at = list.iter().position(|other| Arc::ptr_eq(other, item));
            listed = at.and_then(|at| list.remove(at));
        }
        drop(list);
        drop(listed);
        !matches!(stage, AWAY | DEAD)
    }
}
