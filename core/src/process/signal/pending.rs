//! Signals that were sent and not yet delivered: to one thread, or to a process. Lock level 2, below the signal state of
//! the process.
//!
//! Which signals pend is a word that is read without the lock. A standard signal pends once, with the siginfo of the first
//! that was sent; a real-time signal pends as often as it was sent, in that order (signal(7)). The siginfo of four
//! standard signals is kept in place, so that the common case allocates nothing.

use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicU64, Ordering};

use halyard_cell::SpinLock;

use super::info::SignalInfo;
use super::number::{Signal, SignalSet};
use crate::{Errno, Result};

/// How many siginfos of standard signals are kept in place.
const SLOTS: usize = 4;

/// A queue that grew beyond this gives its memory back when it is empty.
const KEPT_CAPACITY: usize = 16;

#[derive(Clone, Copy)]
struct Entry {
    signal: Signal,
    info: SignalInfo,
}

#[derive(Default)]
struct Queue {
    slots: [Option<Entry>; SLOTS],
    /// What does not go into the slots, in rising order of signals and, within one, in the order of arrival.
    more: VecDeque<Entry>,
}

/// Signals that wait for their delivery.
#[derive(Default)]
pub(super) struct Pending {
    set: AtomicU64,
    queue: SpinLock<Queue>,
}

impl Pending {
    /// Which signals pend. Taken without the lock, in one total order with [`Pending::post`] and changes of masks, so that
    /// of a sender that looks at the mask and a thread that changes it at least one sees the other.
    #[inline]
    #[must_use]
    pub(super) fn set(&self) -> SignalSet {
        SignalSet(self.set.load(Ordering::SeqCst))
    }

    /// Adds a signal, and tells whether it did: a standard one that pends already is left as it is. EAGAIN: `limit` real-time signals wait already,
    /// or there is no memory for another; then nothing was added, unless `must` is set: then the signal pends without its
    /// siginfo.
    pub(super) fn post(
        &self,
        signal: Signal,
        info: SignalInfo,
        limit: usize,
        must: bool,
    ) -> Result<bool> {
        let mut queue = self.queue.lock();
        if signal.is_real_time() {
            let kept = queue.more.len() < limit && queue.append(signal, info);
            if !kept && !must {
                return Err(Errno::EAGAIN);
            }
        } else if self.set().contains(signal) {
            return Ok(false);
        } else if !queue.keep(signal, info) {
            // Where there is no room even behind the slots, it pends without its siginfo.
            queue.append(signal, info);
        }
        self.set.fetch_or(signal.set().0, Ordering::SeqCst);
        Ok(true)
    }

    /// Takes the first of `wanted` that pends.
    pub(super) fn take_first(&self, wanted: SignalSet) -> Option<(Signal, SignalInfo)> {
        if self.set().intersection(wanted).is_empty() {
            return None;
        }
        let mut queue = self.queue.lock();
        let signal = self.set().intersection(wanted).first()?;
        let (info, last) = queue.take(signal);
        if last {
            self.set.fetch_and(!signal.set().0, Ordering::SeqCst);
        }
        queue.shrink();
        Some((signal, info.unwrap_or_default()))
    }

    /// Forgets all that pends of `unwanted`.
    pub(super) fn discard(&self, unwanted: SignalSet) {
        if self.set().intersection(unwanted).is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        for slot in &mut queue.slots {
            if slot.is_some_and(|entry| unwanted.contains(entry.signal)) {
                *slot = None;
            }
        }
        queue.more.retain(|entry| !unwanted.contains(entry.signal));
        queue.shrink();
        self.set.fetch_and(!unwanted.0, Ordering::SeqCst);
    }
}

impl Queue {
    /// Keeps a standard signal in a slot, if one is free.
    fn keep(&mut self, signal: Signal, info: SignalInfo) -> bool {
        let Some(free) = self.slots.iter_mut().find(|slot| slot.is_none()) else {
            return false;
        };
        *free = Some(Entry { signal, info });
        true
    }

    /// Queues a signal behind its like, if there is memory.
    fn append(&mut self, signal: Signal, info: SignalInfo) -> bool {
        if self.more.try_reserve(1).is_err() {
            return false;
        }
        let at = self.more.partition_point(|entry| entry.signal <= signal);
        self.more.insert(at, Entry { signal, info });
        true
    }

    /// Takes the oldest `signal`; the flag tells that no other of it waits.
    fn take(&mut self, signal: Signal) -> (Option<SignalInfo>, bool) {
        let mut slots = self.slots.iter_mut();
        if !signal.is_real_time()
            && let Some(slot) = slots.find(|slot| slot.is_some_and(|entry| entry.signal == signal))
        {
            return (slot.take().map(|entry| entry.info), true);
        }
        let at = self.more.partition_point(|entry| entry.signal < signal);
        if self.more.get(at).is_none_or(|entry| entry.signal != signal) {
            return (None, true);
        }
        let info = self.more.remove(at).map(|entry| entry.info);
        (
            info,
            self.more.get(at).is_none_or(|entry| entry.signal != signal),
        )
    }

    fn shrink(&mut self) {
        if self.more.is_empty() && self.more.capacity() > KEPT_CAPACITY {
            self.more = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;

    fn info(value: u64) -> SignalInfo {
        SignalInfo::with_value(-1, 0, 0, value)
    }

    fn signal(number: i32) -> Signal {
        Signal::from_number(number).unwrap()
    }

    const ALL: SignalSet = SignalSet(u64::MAX);

    #[test]
    fn standard_signal_sent_twice_pends_once_with_the_first_siginfo() {
        let pending = Pending::default();
        pending.post(Signal::USR1, info(1), 0, false).unwrap();
        pending.post(Signal::USR1, info(2), 0, false).unwrap();
        assert_eq!(pending.take_first(ALL), Some((Signal::USR1, info(1))));
        assert_eq!(pending.take_first(ALL), None);
        assert_eq!(pending.set(), SignalSet::EMPTY);
    }

    #[test]
    fn real_time_signals_come_in_order_of_number_then_of_arrival() {
        let pending = Pending::default();
        for (number, value) in [(40, 1), (34, 2), (40, 3), (34, 4), (10, 5)] {
            pending
                .post(signal(number), info(value), 100, false)
                .unwrap();
        }
        let order: Vec<_> = core::iter::from_fn(|| pending.take_first(ALL))
            .map(|(s, i)| (s.number(), i.fields[1]))
            .collect();
        assert_eq!(order, [(10, 5), (34, 2), (34, 4), (40, 1), (40, 3)]);
    }

    #[test]
    fn real_time_signal_beyond_the_limit_is_eagain_and_pends_bare_if_it_must() {
        let pending = Pending::default();
        pending.post(signal(34), info(1), 1, false).unwrap();
        assert_eq!(
            pending.post(signal(35), info(2), 1, false),
            Err(Errno::EAGAIN)
        );
        assert!(!pending.set().contains(signal(35)));
        pending.post(signal(35), info(2), 1, true).unwrap();
        assert_eq!(
            pending.take_first(signal(35).set()),
            Some((signal(35), SignalInfo::default()))
        );
    }

    #[test]
    fn more_standard_signals_than_slots_keep_their_siginfo() {
        let pending = Pending::default();
        for number in 1..=31 {
            pending
                .post(signal(number), info(number as u64), 0, false)
                .unwrap();
        }
        for _ in 1..=31 {
            let (signal, taken) = pending.take_first(ALL).unwrap();
            assert_eq!(taken.fields[1], u64::from(signal.number()));
        }
        assert_eq!(pending.take_first(ALL), None);
    }

    #[test]
    fn discard_leaves_the_others() {
        let pending = Pending::default();
        for number in [10, 12, 34, 34, 35] {
            pending.post(signal(number), info(0), 9, false).unwrap();
        }
        pending.discard(Signal::USR1.set().union(signal(34).set()));
        assert_eq!(pending.set(), Signal::USR2.set().union(signal(35).set()));
    }

    /// The plain model: a list of siginfos for each signal.
    #[derive(Default)]
    struct Model(BTreeMap<u8, Vec<SignalInfo>>);

    impl Model {
        fn post(&mut self, signal: Signal, info: SignalInfo) {
            let list = self.0.entry(signal.number()).or_default();
            if signal.is_real_time() || list.is_empty() {
                list.push(info);
            }
        }

        fn take_first(&mut self, wanted: SignalSet) -> Option<(Signal, SignalInfo)> {
            let candidates = || {
                self.0
                    .iter()
                    .filter(|(_, list)| !list.is_empty())
                    .map(|(n, _)| signal(i32::from(*n)))
            };
            let wanted = |s: &Signal| wanted.contains(*s);
            let synchronous = |s: &Signal| SignalSet::SYNCHRONOUS.contains(*s);
            let first = candidates()
                .filter(wanted)
                .find(synchronous)
                .or_else(|| candidates().find(wanted))?;
            Some((first, self.0.get_mut(&first.number())?.remove(0)))
        }
    }

    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn random_operations_agree_with_the_model() {
        for seed in 1..=500u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (pending, mut model) = (Pending::default(), Model::default());
            for step in 0..200 {
                let signal = signal((random(&mut state) % 64) as i32 + 1);
                match random(&mut state) % 8 {
                    0..4 => {
                        pending.post(signal, info(step), usize::MAX, false).unwrap();
                        model.post(signal, info(step));
                    }
                    4..7 => {
                        let wanted = SignalSet(random(&mut state) | random(&mut state));
                        assert_eq!(
                            pending.take_first(wanted),
                            model.take_first(wanted),
                            "seed {seed}, step {step}"
                        );
                    }
                    _ => {
                        pending.discard(signal.set());
                        model.0.remove(&signal.number());
                    }
                }
                let set = model.0.iter().filter(|(_, list)| !list.is_empty());
                assert_eq!(
                    pending.set().0,
                    set.fold(0, |set, (n, _)| set | 1 << (n - 1)),
                    "seed {seed}, step {step}"
                );
            }
        }
    }
}
