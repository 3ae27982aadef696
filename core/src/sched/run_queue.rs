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
            Policy::Fifo(_) => u64::MAX,
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
        slice = if nice < 0 { slice * 5 / 4 } else { slice * 4 / 5 };
        step += 1;
    }
    slice
}

/// What a run queue needs to know of what it holds.
pub trait Schedulable: Linked {
    /// How it is scheduled. A change while it is queued takes effect at its next turn.
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
        RunQueue { real_time: [const { BoxQueue::new() }; PRIORITIES], occupied: 0, fair: BoxQueue::new(), len: 0 }
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

    /// Adds `task` behind its equals.
    pub fn push(&mut self, task: Box<T>) {
        let rank = task.policy().rank() as usize;
        self.len = self.len.saturating_add(1);
        match self.real_time.get_mut(rank) {
            Some(queue) if rank > 0 => {
                queue.push_back(task);
                self.occupied |= 1 << rank;
            }
            _ => self.fair.push_back(task),
        }
    }

    /// Takes the task that is to run next.
    pub fn pop(&mut self) -> Option<Box<T>> {
        let task = if self.occupied == 0 { self.fair.pop_front() } else { self.pop_real_time() }?;
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
