//! Priority inheritance: who waits for whom, and what that makes of their policies. Lock level 3 ([`World`]); below it the
//! parts of single threads and claims, which only the holder of the world changes.
//!
//! A thread has a base policy, set by itself and others, and an effective one, by which it is scheduled. Who waits donates its
//! rank to the thread it waits for: the owner of a [`Claim`] (a futex that inherits priority), or the server of its call. The
//! effective rank is the greatest of the base and all donations, along chains. The fair class donates nothing: its members
//! share by turns, so that none can shut out another.
//!
//! Each claim donates the rank of its first waiter alone, and a thread counts donations by rank: a change costs the same
//! however many wait, and a walk along a chain ends at the first thread whose rank stays, or after [`CHAIN_MAX`].

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use halyard_cell::{SpinGuard, SpinLock};

use super::run_queue::Policy;
use crate::{Errno, Result};

/// How many threads a chain may have (Linux's `max_lock_depth`).
pub const CHAIN_MAX: usize = 1024;

const RANKS: usize = 100;

/// A thread, as far as inheritance goes: a handle to it.
pub trait Member: Clone {
    /// Its part in the world.
    fn standing(&self) -> &Standing<Self>;
    /// Whether both are the same thread.
    fn is(&self, other: &Self) -> bool;
    /// Its effective policy was `before` and has changed.
    fn changed(&self, before: Policy);
    /// The thread that serves its call, if it waits in one whose donation the world has not been told of.
    fn server(&self) -> Option<Self>;
}

/// A thread's part.
pub struct Standing<M> {
    base: AtomicU32,
    effective: AtomicU32,
    /// Whether it donates to somebody, as the world knows.
    donates: AtomicBool,
    given: SpinLock<Given<M>>,
}

struct Given<M> {
    /// How many donate each rank.
    donors: [u16; RANKS],
    /// Bit r is set while somebody donates rank r.
    occupied: u128,
    goal: Option<Goal<M>>,
}

/// What a thread waits for.
pub enum Goal<M> {
    /// To own it.
    Claim(Arc<Claim<M>>),
    /// That the thread replies; the rank that it was given.
    Reply(M, u8),
}

/// Something that one thread owns and others wait for.
pub struct Claim<M> {
    inner: SpinLock<Holding<M>>,
}

struct Holding<M> {
    owner: Option<M>,
    /// Highest rank first; who came first, first.
    waiters: Vec<(u8, M)>,
    /// What the owner was given for it.
    donated: u8,
}

/// The right to change who waits for whom. One for all threads that can meet.
pub struct World<M>(PhantomData<fn(M)>);

const fn rank_of(policy: Policy) -> u8 {
    policy.rank() as u8
}

/// What `base` becomes with a donation of `rank`: as a real-time thread of that priority, in slices if it had slices.
const fn raised(base: Policy, rank: u8) -> Policy {
    if rank as u32 <= base.rank() {
        return base;
    }
    match base {
        Policy::RoundRobin(_) => Policy::RoundRobin(rank),
        Policy::Fair(_) | Policy::Fifo(_) => Policy::Fifo(rank),
    }
}

impl<M> Standing<M> {
    /// Of a thread that nobody waits for.
    #[must_use]
    pub fn new(base: Policy) -> Standing<M> {
        Standing {
            base: AtomicU32::new(base.to_bits()),
            effective: AtomicU32::new(base.to_bits()),
            donates: AtomicBool::new(false),
            given: SpinLock::new(Given {
                donors: [0; RANKS],
                occupied: 0,
                goal: None,
            }),
        }
    }

    /// The policy that it was set to.
    #[must_use]
    pub fn base(&self) -> Policy {
        Policy::from_bits(self.base.load(Ordering::Relaxed))
    }

    /// The policy that it is scheduled by.
    #[inline]
    #[must_use]
    pub fn effective(&self) -> Policy {
        Policy::from_bits(self.effective.load(Ordering::Relaxed))
    }

    /// Whether somebody's donation raises it.
    #[inline]
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.effective.load(Ordering::Relaxed) != self.base.load(Ordering::Relaxed)
    }

    /// Whether it donates to somebody, as the world knows.
    #[inline]
    #[must_use]
    pub fn donates(&self) -> bool {
        self.donates.load(Ordering::Relaxed)
    }

    /// Settles the effective policy; what it was, if it changed.
    fn settle(&self, given: &Given<M>) -> Option<Policy> {
        let rank = if given.occupied == 0 {
            0
        } else {
            given.occupied.ilog2() as u8
        };
        let (before, now) = (self.effective(), raised(self.base(), rank));
        self.effective.store(now.to_bits(), Ordering::Relaxed);
        (before != now).then_some(before)
    }
}

impl<M> Given<M> {
    /// One donation changes from rank `from` to rank `to`; 0 is none.
    fn exchange(&mut self, from: u8, to: u8) {
        if let Some(count) = self.donors.get_mut(usize::from(from)).filter(|_| from > 0) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.occupied &= !(1 << from);
            }
        }
        if let Some(count) = self.donors.get_mut(usize::from(to)).filter(|_| to > 0) {
            *count = count.saturating_add(1);
            self.occupied |= 1 << to;
        }
    }
}

impl<M: Member> Default for Claim<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Member> Claim<M> {
    /// Owned by nobody.
    #[must_use]
    pub fn new() -> Claim<M> {
        Claim {
            inner: SpinLock::new(Holding {
                owner: None,
                waiters: Vec::new(),
                donated: 0,
            }),
        }
    }

    fn lock(&self) -> SpinGuard<'_, Holding<M>> {
        self.inner.lock()
    }

    /// Who owns it.
    #[must_use]
    pub fn owner(&self) -> Option<M> {
        self.lock().owner.clone()
    }

    /// How many wait for it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiters.len()
    }

    /// Who is to own it next.
    #[must_use]
    pub fn first(&self) -> Option<M> {
        self.lock().waiters.first().map(|(_, first)| first.clone())
    }
}

impl<M: Member> Holding<M> {
    fn insert(&mut self, rank: u8, waiter: M) {
        let at = self.waiters.partition_point(|(other, _)| *other >= rank);
        self.waiters.insert(at, (rank, waiter));
    }

    fn remove(&mut self, waiter: &M) -> Option<M> {
        let at = self.waiters.iter().position(|(_, it)| it.is(waiter))?;
        Some(self.waiters.remove(at).1)
    }

    /// Makes the owner's donation that of the first waiter. The owner, if that changed.
    fn donate(&mut self) -> Option<M> {
        let rank = self.waiters.first().map_or(0, |(rank, _)| *rank);
        let before = core::mem::replace(&mut self.donated, rank);
        let owner = self.owner.clone()?;
        if before == rank {
            return None;
        }
        owner.standing().given.lock().exchange(before, rank);
        Some(owner)
    }
}

impl<M: Member> Default for World<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Member> World<M> {
    /// Nobody waits.
    #[must_use]
    pub const fn new() -> World<M> {
        World(PhantomData)
    }

    /// `member` gets another base policy.
    pub fn set_base(&mut self, member: &M, policy: Policy) {
        member
            .standing()
            .base
            .store(policy.to_bits(), Ordering::Relaxed);
        self.refresh(member.clone());
    }

    /// `caller` waits for the reply of `server`. What is given back is to be dropped without the world.
    pub fn donate(&mut self, caller: &M, server: &M) -> Option<Goal<M>> {
        let rank = rank_of(caller.standing().effective());
        let before = self.set_goal(caller, Some(Goal::Reply(server.clone(), rank)));
        server.standing().given.lock().exchange(0, rank);
        self.refresh(server.clone());
        before
    }

    /// `member` waits no more, or owns what it waited for. What is given back is to be dropped without the world.
    pub fn leave(&mut self, member: &M) -> Option<Goal<M>> {
        let goal = self.set_goal(member, None)?;
        match &goal {
            Goal::Reply(server, rank) => {
                server.standing().given.lock().exchange(*rank, 0);
                self.refresh(server.clone());
            }
            Goal::Claim(claim) => {
                let mut holding = claim.lock();
                // `member` itself holds one more of the handle that is dropped here.
                drop(holding.remove(member));
                let owner = holding.donate();
                drop(holding);
                if let Some(owner) = owner {
                    self.refresh(owner);
                }
            }
        }
        Some(goal)
    }

    /// Makes `owner` the owner of a claim that has none and for which nobody waits.
    pub fn own(&mut self, claim: &Claim<M>, owner: M) {
        claim.lock().owner = Some(owner);
    }

    /// `member` waits for `claim`. EDEADLK: its owner waits for `member`, directly or not, or the chain is too long. ENOMEM.
    pub fn wait(&mut self, claim: &Arc<Claim<M>>, member: &M) -> Result<()> {
        if self.leads_to(claim, member) {
            return Err(Errno::EDEADLK);
        }
        let mut holding = claim.lock();
        holding.waiters.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        self.set_goal(member, Some(Goal::Claim(Arc::clone(claim))));
        holding.insert(rank_of(member.standing().effective()), member.clone());
        let owner = holding.donate();
        drop(holding);
        if let Some(owner) = owner {
            self.refresh(owner);
        }
        Ok(())
    }

    /// The owner gives `claim` up to the first who waits; returns the owner that was and the new one.
    pub fn hand_over(&mut self, claim: &Arc<Claim<M>>) -> (Option<M>, Option<M>) {
        let mut holding = claim.lock();
        let before = holding.owner.take();
        let donated = core::mem::take(&mut holding.donated);
        if let Some(owner) = &before {
            owner.standing().given.lock().exchange(donated, 0);
        }
        let next = if holding.waiters.is_empty() {
            None
        } else {
            Some(holding.waiters.remove(0).1)
        };
        holding.owner.clone_from(&next);
        if let Some(next) = &next {
            // The claim itself is held by the caller.
            drop(self.set_goal(next, None));
        }
        let gainer = holding.donate();
        drop(holding);
        if let Some(owner) = &before {
            self.refresh(owner.clone());
        }
        if let Some(gainer) = gainer {
            self.refresh(gainer);
        }
        (before, next)
    }

    /// Whether the owner of `claim` waits for `member`, directly or not, or is it.
    fn leads_to(&self, claim: &Claim<M>, member: &M) -> bool {
        let mut at = claim.owner();
        for _ in 0..CHAIN_MAX {
            let Some(thread) = at else { return false };
            if thread.is(member) {
                return true;
            }
            let given = thread.standing().given.lock();
            at = match &given.goal {
                Some(Goal::Claim(next)) => next.owner(),
                Some(Goal::Reply(server, _)) => Some(server.clone()),
                None => {
                    drop(given);
                    thread.server()
                }
            };
        }
        true
    }

    fn set_goal(&mut self, member: &M, goal: Option<Goal<M>>) -> Option<Goal<M>> {
        let standing = member.standing();
        standing.donates.store(goal.is_some(), Ordering::Relaxed);
        core::mem::replace(&mut standing.given.lock().goal, goal)
    }

    /// Settles the policy of `member`, and of those along the chain for whom that changes something.
    fn refresh(&mut self, member: M) {
        let mut at = member;
        for _ in 0..CHAIN_MAX {
            let standing = at.standing();
            let Some(before) = standing.settle(&standing.given.lock()) else {
                return;
            };
            at.changed(before);
            let rank = rank_of(standing.effective());
            if rank_of(before) == rank {
                return;
            }
            let Some(next) = self.pass_on(&at, rank) else {
                return;
            };
            at = next;
        }
    }

    /// `member`'s rank has changed to `rank`: tells what it waits for. Whose donations have changed by that.
    fn pass_on(&mut self, member: &M, rank: u8) -> Option<M> {
        let mut given = member.standing().given.lock();
        match &mut given.goal {
            Some(Goal::Reply(server, given)) => {
                let before = core::mem::replace(given, rank);
                server.standing().given.lock().exchange(before, rank);
                Some(server.clone())
            }
            Some(Goal::Claim(claim)) => {
                let mut holding = claim.lock();
                let waiter = holding.remove(member)?;
                holding.insert(rank, waiter);
                holding.donate()
            }
            None => {
                drop(given);
                self.adopt(member)
            }
        }
    }

    /// `member` may wait in a call of which the world does not know, as it donated nothing so far.
    fn adopt(&mut self, member: &M) -> Option<M> {
        let server = member.server()?;
        drop(self.donate(member, &server));
        // It may have been answered meanwhile, by somebody who saw no donation.
        if !member.server().is_some_and(|still| still.is(&server)) {
            drop(self.leave(member));
        }
        None
    }
}

#[cfg(not(loom))]
#[cfg(test)]
#[path = "inherit_tests.rs"]
mod tests;
