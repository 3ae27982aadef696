//! The tasks that could run on one CPU, in the order in which they will.
//!
//! Real-time tasks (SCHED_FIFO, SCHED_RR) by priority, first come first served within one; then the fair class
//! (SCHED_OTHER) in turns whose length is the weight of the nice value, so that over a round each gets its share. Push and
//! pop cost the same however many wait.

use alloc::boxed::Box;

use halyard_cell::{BoxQueue, Linked};

use super::SLICE_NS;

/// How many real-time priorities there are: 1 to 99, sched(7).
const PRIORITIES: usize = 100;

/// How a thread is scheduled (sched(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// SCHED_OTHER with a nice value of -20 to 19.
    Fair(i8),
    /// SCHED_FIFO with a priority of 1 to 99: runs until it waits.
    Fifo(u8),
    /// SCHED_RR with a priority of 1 to 99: as FIFO, in slices.
    RoundRobin(u8),
}

impl Policy {
    /// 0 for the fair class, else the real-time priority: the greater goes first.
    #[inline]
    #[must_use]
    pub const fn rank(self) -> u32 {
        match self {
            Policy::Fair(_) => 0,
            Policy::Fifo(priority) | Policy::RoundRobin(priority) => priority as u32,
        }
    }

    /// Whether its turn ends by the clock.
    #[inline]
    #[must_use]
    pub const fn has_slice(self) -> bool {
        !matches!(self, Policy::Fifo(_))
    }

    /// The length of its turn in nanoseconds. A nice step is a factor of 1.25, as nice(2) users expect from Linux.
    #[inline]
    #[must_use]
    pub const fn slice_ns(self) -> u64 {
        match self {
            Policy::Fair(0) => SLICE_NS,
            Policy::Fair(nice) => weighted_slice(nice),
            Policy::Fifo(_) => u64::MAX, // so that the end of the turn is Instant::NEVER
            Policy::RoundRobin(_) => 100_000_000,
        }
    }

    /// One word that holds it.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        match self {
            Policy::Fair(nice) => nice as u8 as u32,
            Policy::Fifo(priority) => 0x100 | priority as u32,
            Policy::RoundRobin(priority) => 0x200 | priority as u32,
        }
    }

    /// The inverse of [`Policy::to_bits`].
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u32) -> Policy {
        match bits >> 8 {
            0 => Policy::Fair(bits as u8 as i8),
            1 => Policy::Fifo(bits as u8),
            _ => Policy::RoundRobin(bits as u8),
        }
    }
}

const fn weighted_slice(nice: i8) -> u64 {
    let mut slice = SLICE_NS;
    let mut step = 0;
    while step < nice.unsigned_abs() && step < 20 {
        slice = if nice < 0 {
            slice * 5 / 4
        } else {
            slice * 4 / 5
        };
        step += 1;
    }
    slice
}

/// What a run queue needs to know of what it holds.
pub trait Schedulable: Linked {
    /// How it is scheduled. Who changes that while it may be queued takes it out and adds it again.
    fn policy(&self) -> Policy;
}

/// The tasks that could run on one CPU.
pub struct RunQueue<T: Schedulable> {
    real_time: [BoxQueue<T>; PRIORITIES],
    /// Bit p is set while `real_time[p]` is not empty.
    occupied: u128,
    fair: BoxQueue<T>,
    len: u32,
}

impl<T: Schedulable> Default for RunQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Schedulable> RunQueue<T> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> RunQueue<T> {
        RunQueue {
            real_time: [const { BoxQueue::new() }; PRIORITIES],
            occupied: 0,
            fair: BoxQueue::new(),
            len: 0,
        }
    }

    /// How many tasks wait.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The greatest rank among those that wait; 0 also if none does.
    #[inline]
    #[must_use]
    pub const fn top_rank(&self) -> u32 {
        if self.occupied == 0 {
            0
        } else {
            self.occupied.ilog2()
        }
    }

    /// Adds `task` behind its equals.
    #[inline]
    pub fn push(&mut self, task: Box<T>) {
        self.list_for(task.policy().rank()).push_back(task);
    }

    /// Adds `task` before its equals.
    pub fn push_first(&mut self, task: Box<T>) {
        self.list_for(task.policy().rank()).push_front(task);
    }

    /// Where a task of `rank` is to be added.
    fn list_for(&mut self, rank: u32) -> &mut BoxQueue<T> {
        self.len = self.len.saturating_add(1);
        match self.real_time.get_mut(rank as usize) {
            Some(queue) if rank > 0 => {
                self.occupied |= 1 << rank;
                queue
            }
            _ => &mut self.fair,
        }
    }

    /// Takes the task for which `matches` holds out of those that were added with `rank`. Visits all of these.
    pub fn remove_where(&mut self, rank: u32, matches: impl FnMut(&T) -> bool) -> Option<Box<T>> {
        let task = match self.real_time.get_mut(rank as usize) {
            Some(queue) if rank > 0 => {
                let task = queue.remove_first(matches);
                if queue.is_empty() {
                    self.occupied &= !(1 << rank);
                }
                task
            }
            _ => self.fair.remove_first(matches),
        }?;
        self.len = self.len.saturating_sub(1);
        Some(task)
    }

    /// Takes the task that is to run next.
    pub fn pop(&mut self) -> Option<Box<T>> {
        let task = if self.occupied == 0 {
            self.fair.pop_front()
        } else {
            self.pop_real_time()
        }?;
        self.len = self.len.saturating_sub(1);
        Some(task)
    }

    fn pop_real_time(&mut self) -> Option<Box<T>> {
        let highest = self.occupied.ilog2() as usize;
        let queue = self.real_time.get_mut(highest)?;
        let task = queue.pop_front();
        if queue.is_empty() {
            self.occupied &= !(1 << highest);
        }
        task
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    struct Item {
        id: usize,
        policy: Policy,
        next: Option<Box<Item>>,
    }

    impl Linked for Item {
        fn link(&mut self) -> &mut Option<Box<Item>> {
            &mut self.next
        }
    }

    impl Schedulable for Item {
        fn policy(&self) -> Policy {
            self.policy
        }
    }

    fn item(id: usize, policy: Policy) -> Box<Item> {
        Box::new(Item {
            id,
            policy,
            next: None,
        })
    }

    /// The plain model: all waiting items in order of arrival; the first of the greatest rank goes.
    #[derive(Default)]
    struct Model(VecDeque<(usize, u32)>);

    impl Model {
        fn pop(&mut self) -> Option<usize> {
            let greatest = self.0.iter().map(|(_, rank)| *rank).max()?;
            let at = self.0.iter().position(|(_, rank)| *rank == greatest)?;
            self.0.remove(at).map(|(id, _)| id)
        }
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        prop_oneof![
            (-20i8..20).prop_map(Policy::Fair),
            (1u8..100).prop_map(Policy::Fifo),
            (1u8..100).prop_map(Policy::RoundRobin),
        ]
    }

    proptest! {
        #[test]
        fn run_queue_random_use_agrees_with_the_model(steps in prop::collection::vec(prop::option::of(any_policy()), 1..200)) {
            let (mut queue, mut model) = (RunQueue::new(), Model::default());
            for (id, step) in steps.into_iter().enumerate() {
                match step {
                    Some(policy) => {
                        queue.push(item(id, policy));
                        model.0.push_back((id, policy.rank()));
                    }
                    None => prop_assert_eq!(queue.pop().map(|item| item.id), model.pop()),
                }
                prop_assert_eq!(queue.len() as usize, model.0.len());
            }
            while let Some(id) = model.pop() {
                prop_assert_eq!(queue.pop().map(|item| item.id), Some(id));
            }
            prop_assert!(queue.is_empty() && queue.pop().is_none());
        }

        #[test]
        fn policy_survives_its_bits(policy in any_policy()) {
            prop_assert_eq!(Policy::from_bits(policy.to_bits()), policy);
        }
    }

    #[test]
    fn slice_follows_the_nice_value() {
        let slices: Vec<u64> = (-20..20)
            .map(|nice| Policy::Fair(nice).slice_ns())
            .collect();
        assert!(slices.windows(2).all(|pair| pair[0] > pair[1]));
        assert_eq!(Policy::Fair(0).slice_ns(), SLICE_NS);
    }

    #[test]
    fn fifo_never_loses_its_turn_to_the_clock() {
        assert!(!Policy::Fifo(1).has_slice());
        assert!(Policy::RoundRobin(1).has_slice());
    }
}
