//! Inheritance of priority against a plain model: everybody runs with the highest rank of those who wait for them.

use std::cell::RefCell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const THREADS: usize = 6;
const CLAIMS: usize = 4;

struct Inner {
    id: usize,
    standing: Standing<Fake>,
    /// Changes told of, for the test that nobody is told in vain.
    told: RefCell<Vec<Policy>>,
    /// A server that the world has not been told of.
    untold: RefCell<Option<Fake>>,
}

#[derive(Clone)]
struct Fake(Rc<Inner>);

impl Fake {
    fn new(id: usize, policy: Policy) -> Fake {
        Fake(Rc::new(Inner {
            id,
            standing: Standing::new(policy),
            told: RefCell::default(),
            untold: RefCell::default(),
        }))
    }

    fn rank(&self) -> u32 {
        self.0.standing.effective().rank()
    }
}

impl Member for Fake {
    fn standing(&self) -> &Standing<Fake> {
        &self.0.standing
    }

    fn is(&self, other: &Fake) -> bool {
        self.0.id == other.0.id
    }

    fn changed(&self, before: Policy) {
        assert_ne!(before, self.0.standing.effective());
        self.0.told.borrow_mut().push(before);
    }

    fn server(&self) -> Option<Fake> {
        self.0.untold.borrow().clone()
    }
}

/// The plain model: who waits for what, and ranks by definition.
#[derive(Clone)]
struct Model {
    base: [u32; THREADS],
    owner: [Option<usize>; CLAIMS],
    /// In the order of arrival.
    waits: [Vec<usize>; CLAIMS],
    calls: [Option<usize>; THREADS],
}

impl Model {
    fn rank(&self, thread: usize, depth: usize) -> u32 {
        if depth > THREADS {
            return 0;
        }
        let owned = (0..CLAIMS).filter(|claim| self.owner[*claim] == Some(thread));
        let waiting = owned.flat_map(|claim| self.waits[claim].iter().copied());
        let callers = (0..THREADS).filter(|caller| self.calls[*caller] == Some(thread));
        waiting
            .chain(callers)
            .map(|donor| self.rank(donor, depth + 1))
            .chain([self.base[thread]])
            .max()
            .unwrap_or(0)
    }

    fn goal(&self, thread: usize) -> Option<usize> {
        (0..CLAIMS)
            .find(|claim| self.waits[*claim].contains(&thread))
            .and_then(|claim| self.owner[claim])
            .or(self.calls[thread])
    }

    fn leads_to(&self, from: usize, to: usize) -> bool {
        let mut at = Some(from);
        while let Some(thread) = at {
            if thread == to {
                return true;
            }
            at = self.goal(thread);
        }
        false
    }
}

#[derive(Clone, Debug)]
enum Step {
    Base(usize, u8),
    Lock(usize, usize),
    Unlock(usize),
    Leave(usize),
    Call(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (thread, claim) = (|| 0..THREADS, || 0..CLAIMS);
    prop_oneof![
        2 => (thread(), prop_oneof![Just(0u8), 1u8..6]).prop_map(|(t, rank)| Step::Base(t, rank)),
        4 => (thread(), claim()).prop_map(|(t, c)| Step::Lock(t, c)),
        2 => claim().prop_map(Step::Unlock),
        2 => thread().prop_map(Step::Leave),
        2 => (thread(), thread()).prop_map(|(a, b)| Step::Call(a, b)),
    ]
}

const fn policy(rank: u8) -> Policy {
    if rank == 0 {
        Policy::Fair(0)
    } else {
        Policy::Fifo(rank)
    }
}

struct Bench {
    world: World<Fake>,
    threads: Vec<Fake>,
    claims: Vec<Arc<Claim<Fake>>>,
    model: Model,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            world: World::new(),
            threads: (0..THREADS).map(|id| Fake::new(id, policy(0))).collect(),
            #[allow(
                clippy::arc_with_non_send_sync,
                reason = "the handles of the test are not Send"
            )]
            claims: (0..CLAIMS).map(|_| Arc::new(Claim::new())).collect(),
            model: Model {
                base: [0; THREADS],
                owner: [None; CLAIMS],
                waits: [const { Vec::new() }; CLAIMS],
                calls: [None; THREADS],
            },
        }
    }

    fn lock(&mut self, thread: usize, claim: usize) {
        if self.model.goal(thread).is_some() {
            return;
        }
        let (handle, held) = (&self.threads[thread], &self.claims[claim]);
        let Some(owner) = self.model.owner[claim] else {
            self.world.own(held, handle.clone());
            self.model.owner[claim] = Some(thread);
            return;
        };
        let deadlock = self.model.leads_to(owner, thread);
        let expected = if deadlock {
            Err(Errno::EDEADLK)
        } else {
            Ok(())
        };
        assert_eq!(self.world.wait(held, handle), expected);
        if !deadlock {
            self.model.waits[claim].push(thread);
        }
    }

    fn unlock(&mut self, claim: usize) {
        let Some(owner) = self.model.owner[claim] else {
            return;
        };
        if self.model.goal(owner).is_some() {
            return;
        }
        let best = (0..self.model.waits[claim].len())
            .map(|at| self.model.rank(self.model.waits[claim][at], 0))
            .max();
        let (before, next) = self.world.hand_over(&self.claims[claim]);
        assert_eq!(before.map(|it| it.0.id), Some(owner));
        // Who of several equals came first is not modelled: a change of rank puts a thread behind its new equals.
        let next = next.map(|it| it.0.id);
        self.model.owner[claim] = next;
        assert_eq!(next.is_some(), best.is_some());
        if let Some(next) = next {
            assert_eq!(Some(self.model.rank_without(next, claim)), best);
            self.model.waits[claim].retain(|it| *it != next);
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Base(thread, rank) => {
                self.world.set_base(&self.threads[thread], policy(rank));
                self.model.base[thread] = u32::from(rank);
            }
            Step::Lock(thread, claim) => self.lock(thread, claim),
            Step::Unlock(claim) => self.unlock(claim),
            Step::Leave(thread) => {
                drop(self.world.leave(&self.threads[thread]));
                self.model.calls[thread] = None;
                self.model
                    .waits
                    .iter_mut()
                    .for_each(|list| list.retain(|it| *it != thread));
            }
            Step::Call(caller, server) => {
                let free =
                    self.model.goal(caller).is_none() && !self.model.leads_to(server, caller);
                if free {
                    drop(
                        self.world
                            .donate(&self.threads[caller], &self.threads[server]),
                    );
                    self.model.calls[caller] = Some(server);
                }
            }
        }
    }
}

impl Model {
    /// The rank of a waiter that has just been made the owner of `claim`, without what it got by that.
    fn rank_without(&self, thread: usize, claim: usize) -> u32 {
        let mut model = self.clone();
        model.owner[claim] = None;
        model.rank(thread, 0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn inheritance_random_use_agrees_with_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut bench = Bench::new();
        for step in &steps {
            bench.apply(step);
            for (id, thread) in bench.threads.iter().enumerate() {
                prop_assert_eq!(thread.rank(), bench.model.rank(id, 0), "thread {} after {:?}", id, step);
            }
        }
        for thread in &bench.threads {
            drop(bench.world.leave(thread));
        }
        for claim in &bench.claims {
            bench.world.hand_over(claim);
        }
        for thread in &bench.threads {
            prop_assert!(!thread.0.standing.is_raised() && !thread.0.standing.donates());
        }
    }
}

fn threads(ranks: &[u8]) -> Vec<Fake> {
    ranks
        .iter()
        .enumerate()
        .map(|(id, rank)| Fake::new(id, policy(*rank)))
        .collect()
}

#[test]
fn donation_reaches_along_a_chain_and_ends_with_the_wait() {
    let mut world = World::new();
    let all = threads(&[0, 3, 9]);
    #[allow(
        clippy::arc_with_non_send_sync,
        reason = "the handles of the test are not Send"
    )]
    let claims = [Arc::new(Claim::new()), Arc::new(Claim::new())];
    world.own(&claims[0], all[0].clone());
    world.own(&claims[1], all[1].clone());
    assert_eq!(world.wait(&claims[0], &all[1]), Ok(()));
    assert_eq!(world.wait(&claims[1], &all[2]), Ok(()));
    assert_eq!((all[0].rank(), all[1].rank()), (9, 9));
    drop(world.leave(&all[2]));
    assert_eq!((all[0].rank(), all[1].rank()), (3, 3));
    assert_eq!(all[0].0.told.borrow().len(), 3);
}

#[test]
fn raised_thread_keeps_its_slices_if_it_had_some() {
    let mut world = World::new();
    let server = Fake::new(0, Policy::RoundRobin(2));
    let caller = Fake::new(1, Policy::Fifo(7));
    drop(world.donate(&caller, &server));
    assert_eq!(server.0.standing.effective(), Policy::RoundRobin(7));
    drop(world.leave(&caller));
    assert_eq!(server.0.standing.effective(), Policy::RoundRobin(2));
}

#[test]
fn caller_raised_while_it_waits_raises_its_server() {
    let mut world = World::new();
    let all = threads(&[0, 0]);
    *all[0].0.untold.borrow_mut() = Some(all[1].clone());
    world.set_base(&all[0], policy(8));
    assert_eq!(all[1].rank(), 8);
    drop(world.leave(&all[0]));
    assert_eq!(all[1].rank(), 0);
    assert_eq!(vec![0, 8], vec![all[1].rank(), all[0].rank()]);
}
