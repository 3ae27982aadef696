//! Things that are to happen at a time: time-outs of waits, interval timers. One queue a CPU, driven by the machine's
//! one-shot alarm. Lock level 8.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use halyard_cell::SpinLock;

use crate::time::Instant;

/// Something that wants to know when its time has come.
pub trait Expire: Send + Sync {
    /// The time has come. Called with no lock held.
    fn expired(self: Arc<Self>);
}

/// Names an alarm that was set, so that it can be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlarmKey {
    at: Instant,
    serial: u64,
}

#[derive(Default)]
struct Alarms {
    waiting: BTreeMap<AlarmKey, Arc<dyn Expire>>,
    serial: u64,
}

/// Alarms in the order of their times.
pub struct AlarmQueue {
    alarms: SpinLock<Alarms>,
    /// The time of the first one: read without the lock.
    next: AtomicU64,
}

impl Default for AlarmQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl AlarmQueue {
    /// An empty one.
    #[must_use]
    pub const fn new() -> AlarmQueue {
        AlarmQueue {
            alarms: SpinLock::new(Alarms {
                waiting: BTreeMap::new(),
                serial: 0,
            }),
            next: AtomicU64::new(Instant::NEVER.0),
        }
    }

    /// The time of the first alarm; [`Instant::NEVER`] if there is none.
    #[inline]
    #[must_use]
    pub fn next(&self) -> Instant {
        Instant(self.next.load(Ordering::Relaxed))
    }

    /// Has `who` told at `at`.
    pub fn set(&self, at: Instant, who: Arc<dyn Expire>) -> AlarmKey {
        let mut alarms = self.alarms.lock();
        alarms.serial += 1;
        let key = AlarmKey {
            at,
            serial: alarms.serial,
        };
        alarms.waiting.insert(key, who);
        self.note_first(&alarms);
        key
    }

    /// Forgets an alarm; false if it has rung already.
    pub fn cancel(&self, key: AlarmKey) -> bool {
        let mut alarms = self.alarms.lock();
        let removed = alarms.waiting.remove(&key);
        self.note_first(&alarms);
        drop(alarms);
        removed.is_some()
    }

    /// Tells everybody whose time has come by `now`.
    pub fn expire(&self, now: Instant) {
        while let Some(who) = self.pop_due(now) {
            who.expired();
        }
    }

    fn pop_due(&self, now: Instant) -> Option<Arc<dyn Expire>> {
        let mut alarms = self.alarms.lock();
        let first = alarms
            .waiting
            .first_entry()
            .filter(|first| first.key().at <= now)?;
        let who = first.remove();
        self.note_first(&alarms);
        Some(who)
    }

    fn note_first(&self, alarms: &Alarms) {
        let first = alarms
            .waiting
            .keys()
            .next()
            .map_or(Instant::NEVER, |key| key.at);
        self.next.store(first.0, Ordering::Relaxed);
    }
}
