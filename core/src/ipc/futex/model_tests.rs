//! Futexes against a plain model, with several threads on one to four CPUs: a list of who waits on which word. And those that
//! inherit priority: an owner and a line.

use std::vec;
use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::actors::{Chance, Deed, FIRST_TID, judge, play, word};
use crate::bench::{DATA, EAGAIN, EPERM, ESRCH, Script};

const SEQUENCES: u64 = 1000;
const WORDS: usize = 3;
const EDEADLK: i64 = -35;
const ETIMEDOUT: i64 = -110;
/// A time of all zeros, behind the words.
const LONG_AGO: u64 = DATA + 0x1000;

const WAIT: u64 = 0;
const WAKE: u64 = 1;
const CMP_REQUEUE: u64 = 4;
const WAKE_OP: u64 = 5;
const LOCK_PI: u64 = 6;
const UNLOCK_PI: u64 = 7;
const TRYLOCK_PI: u64 = 8;
const WAIT_BITSET: u64 = 9;
const WAKE_BITSET: u64 = 10;
const PRIVATE: u64 = 128;
/// FUTEX_OP_ADD, FUTEX_OP_CMP_GT.
const ADD_IF_GREATER: u64 = 1 << 28 | 4 << 24;

#[derive(Clone, Copy, Debug)]
enum Op {
    Store(usize, u64),
    Wait(usize, u64, u64),
    Wake(usize, usize, u64),
    /// From, to, how many to wake, how many to move, what the first must hold.
    Move(usize, usize, usize, usize, u64),
    /// Both words, how many waiters of each, what is added to the second, what it must have been greater than.
    Add(usize, usize, usize, usize, u64, u64),
}

impl Op {
    fn draw(chance: &mut Chance) -> Op {
        let one = chance.below(WORDS as u64) as usize;
        let other = chance.below(WORDS as u64) as usize;
        let value = chance.below(3);
        let (count, more) = (1 + chance.below(3) as usize, 1 + chance.below(2) as usize);
        let bits = chance.of(&[1, 2, 3, 0xffff_ffff]);
        match chance.below(10) {
            0 => Op::Store(one, value),
            1..=4 => Op::Wait(one, value % 2, bits),
            5 | 6 => Op::Wake(one, count, bits),
            7 | 8 => Op::Move(one, other, count - 1, more, value % 2),
            _ => Op::Add(one, other, count, more, value, chance.below(2)),
        }
    }

    fn deed(self, flag: u64) -> Deed {
        let call = |arguments: [u64; 6]| {
            let [at, operation, rest @ ..] = arguments;
            let [two, three, four, five] = rest;
            Deed::Call(nr::FUTEX, [at, operation | flag, two, three, four, five])
        };
        match self {
            Op::Store(at, value) => Deed::Store(word(at), value),
            Op::Wait(at, value, 0xffff_ffff) => call([word(at), WAIT, value, 0, 0, 0]),
            Op::Wait(at, value, bits) => call([word(at), WAIT_BITSET, value, 0, 0, bits]),
            Op::Wake(at, count, 0xffff_ffff) => call([word(at), WAKE, count as u64, 0, 0, 0]),
            Op::Wake(at, count, bits) => call([word(at), WAKE_BITSET, count as u64, 0, 0, bits]),
            Op::Move(from, to, wake, more, value) => call([
                word(from),
                CMP_REQUEUE,
                wake as u64,
                more as u64,
                word(to),
                value,
            ]),
            Op::Add(one, other, count, more, add, than) => call([
                word(one),
                WAKE_OP,
                count as u64,
                more as u64,
                word(other),
                ADD_IF_GREATER | add << 12 | than,
            ]),
        }
    }
}

/// The plain model: the words, and who waits where, in the order of their arrival.
#[derive(Default)]
struct Model {
    words: [u64; WORDS],
    waiters: Vec<(usize, u64, usize)>,
}

impl Model {
    fn wake(&mut self, at: usize, count: usize, bits: u64, ended: &mut Vec<(usize, i64)>) -> i64 {
        let mut woken = 0;
        self.waiters.retain(|(word, bitset, actor)| {
            let wakes = *word == at && bitset & bits != 0 && woken < count;
            if wakes {
                woken += 1;
                ended.push((*actor, 0));
            }
            !wakes
        });
        woken as i64
    }

    /// Makes up to `count` of those who wait on `from` the last who wait on `to`.
    fn move_on(&mut self, from: usize, to: usize, count: usize) -> i64 {
        let chosen = |waiters: &[(usize, u64, usize)]| waiters.iter().position(|it| it.0 == from);
        if from == to {
            return self
                .waiters
                .iter()
                .filter(|it| it.0 == from)
                .take(count)
                .count() as i64;
        }
        let mut moved = 0;
        while let Some(at) = chosen(&self.waiters).filter(|_| moved < count) {
            let (_, bits, actor) = self.waiters.remove(at);
            self.waiters.push((to, bits, actor));
            moved += 1;
        }
        moved as i64
    }

    /// Which calls end with the one that `actor` begins.
    fn begin(&mut self, actor: usize, op: Op) -> Vec<(usize, i64)> {
        let mut ended = Vec::new();
        let all = 0xffff_ffff;
        let result = match op {
            Op::Store(at, value) => {
                self.words[at] = value;
                return ended;
            }
            Op::Wait(at, value, _) if self.words[at] != value => EAGAIN,
            Op::Wait(at, _, bits) => {
                self.waiters.push((at, bits, actor));
                return ended;
            }
            Op::Wake(at, count, bits) => self.wake(at, count, bits, &mut ended),
            Op::Move(from, _, _, _, value) if self.words[from] != value => EAGAIN,
            Op::Move(from, to, wake, more, _) => {
                self.wake(from, wake, all, &mut ended) + self.move_on(from, to, more)
            }
            Op::Add(one, other, count, more, add, than) => {
                let old = self.words[other];
                self.words[other] = old + add;
                let woken = self.wake(one, count, all, &mut ended);
                if old > than {
                    woken + self.wake(other, more, all, &mut ended)
                } else {
                    woken
                }
            }
        };
        ended.push((actor, result));
        ended
    }
}

#[test]
fn futex_random_threads_wait_and_are_woken_as_the_model_says() {
    for seed in 1..=SEQUENCES {
        let mut chance = Chance::new(seed);
        let actors = 2 + chance.below(4) as usize;
        let ops: Vec<Vec<Op>> = (0..actors)
            .map(|_| (0..8).map(|_| Op::draw(&mut chance)).collect())
            .collect();
        let deeds: Vec<Vec<Deed>> = ops
            .iter()
            .map(|ops| {
                let deed = |op: &Op| op.deed(chance.of(&[0, PRIVATE]));
                ops.iter().map(deed).collect()
            })
            .collect();
        let play = play(seed, WORDS, |_| {}, &deeds);
        let mut model = Model::default();
        let verdict = judge(&play, |actor, at| model.begin(actor, ops[actor][at]));
        assert!(
            verdict.is_ok() && play.words == model.words,
            "seed {seed}: {verdict:?}, words {:?}, model {:?}\n{ops:#?}\n{:?}",
            play.words,
            model.words,
            play.events
        );
    }
}

#[derive(Clone, Copy, Debug)]
enum PiOp {
    Lock(usize),
    /// A lock whose time is over as soon as it must wait.
    Late(usize),
    Try(usize),
    Unlock(usize),
    Exit,
}

impl PiOp {
    fn deed(self) -> Deed {
        let call = |at, operation| Deed::Call(nr::FUTEX, [word(at), operation, 0, 0, 0, 0]);
        match self {
            PiOp::Lock(at) => call(at, LOCK_PI),
            PiOp::Late(at) => Deed::Call(nr::FUTEX, [word(at), LOCK_PI, 0, LONG_AGO, 0, 0]),
            PiOp::Try(at) => call(at, TRYLOCK_PI),
            PiOp::Unlock(at) => call(at, UNLOCK_PI),
            PiOp::Exit => Deed::Call(nr::EXIT, [0; 6]),
        }
    }
}

/// A lock: who owns it, whether its word says that an owner left it behind, and that others wait, and who does, in order.
#[derive(Default)]
struct Lock {
    owner: Option<usize>,
    left: bool,
    awaited: bool,
    line: Vec<usize>,
}

/// The plain model: the locks, and who has ended.
struct PiModel {
    ranks: Vec<u64>,
    locks: [Lock; 2],
    gone: Vec<usize>,
}

impl PiModel {
    /// Whether the owner of `at` is `actor`, or waits for it.
    fn leads_to(&self, at: usize, actor: usize) -> bool {
        let Some(owner) = self.locks[at].owner else {
            return false;
        };
        let next = self.locks.iter().position(|it| it.line.contains(&owner));
        owner == actor || next.is_some_and(|next| self.leads_to(next, actor))
    }

    /// The lock goes to the one of the highest rank that came first.
    fn hand_on(&mut self, at: usize, ended: &mut Vec<(usize, i64)>) {
        let lock = &mut self.locks[at];
        let ranks = &self.ranks;
        let first = lock
            .line
            .iter()
            .copied()
            .reduce(|best, it| if ranks[it] > ranks[best] { it } else { best });
        lock.line.retain(|it| Some(*it) != first);
        (lock.owner, lock.awaited) = (first, !lock.line.is_empty());
        ended.extend(first.map(|it| (it, 0)));
    }

    /// How a try to own ends; None: it waits.
    fn lock(&mut self, at: usize, actor: usize, try_only: bool) -> Option<i64> {
        let chain = self.leads_to(at, actor);
        let lock = &mut self.locks[at];
        match lock.owner {
            None => lock.owner = Some(actor),
            Some(owner) if owner == actor => return Some(EDEADLK),
            Some(owner) if self.gone.contains(&owner) => return Some(ESRCH),
            Some(_) if try_only => return Some(EAGAIN),
            Some(_) => {
                // The word says so before the chain is looked at; the owner's next unlock comes to the kernel for nothing.
                lock.awaited = true;
                if chain {
                    return Some(EDEADLK);
                }
                lock.line.push(actor);
                return None;
            }
        }
        Some(0)
    }

    fn begin(&mut self, actor: usize, op: PiOp) -> Vec<(usize, i64)> {
        let mut ended = Vec::new();
        let result = match op {
            PiOp::Lock(at) => self.lock(at, actor, false),
            PiOp::Late(at) => self.lock(at, actor, false).or_else(|| {
                self.locks[at].line.retain(|it| *it != actor);
                Some(ETIMEDOUT)
            }),
            PiOp::Try(at) => self.lock(at, actor, true),
            PiOp::Unlock(at) if self.locks[at].owner != Some(actor) => Some(EPERM),
            PiOp::Unlock(at) => {
                self.locks[at].left = false;
                self.hand_on(at, &mut ended);
                Some(0)
            }
            PiOp::Exit => {
                self.gone.push(actor);
                for at in 0..2 {
                    if self.locks[at].owner == Some(actor) && !self.locks[at].line.is_empty() {
                        self.locks[at].left = true;
                        self.hand_on(at, &mut ended);
                    }
                }
                None
            }
        };
        ended.extend(result.map(|result| (actor, result)));
        ended
    }

    /// What is in a word.
    fn word(&self, at: usize) -> u64 {
        let lock = &self.locks[at];
        let tid = lock.owner.map_or(0, |owner| FIRST_TID + owner as u64);
        tid | u64::from(lock.left) << 30 | u64::from(lock.awaited) << 31
    }
}

/// One lock among threads of different ranks, or two among equals: chains change ranks, which the model of inheritance has.
#[test]
fn futex_random_owners_of_locks_that_inherit_priority_follow_the_model() {
    for seed in 1..=SEQUENCES {
        let mut chance = Chance::new(seed);
        let locks = 1 + seed % 2;
        let actors = 2 + chance.below(4) as usize;
        let rank = |chance: &mut Chance| if locks == 1 { chance.below(4) * 10 } else { 0 };
        let ranks: Vec<u64> = (0..actors).map(|_| rank(&mut chance)).collect();
        let op = |chance: &mut Chance| {
            let at = chance.below(locks) as usize;
            match chance.below(20) {
                0 => PiOp::Exit,
                1..=5 => PiOp::Lock(at),
                6..=8 => PiOp::Late(at),
                9..=11 => PiOp::Try(at),
                _ => PiOp::Unlock(at),
            }
        };
        let mut ops: Vec<Vec<PiOp>> = (0..actors)
            .map(|_| (0..8).map(|_| op(&mut chance)).collect())
            .collect();
        ops.iter_mut().for_each(|ops| ops.push(PiOp::Exit));
        // First of all its own rank: sched_setscheduler(0, SCHED_FIFO or SCHED_OTHER, its parameter).
        let deeds: Vec<Vec<Deed>> = (0..actors)
            .map(|actor| {
                let policy = u64::from(ranks[actor] > 0);
                let parameter = word(2 + actor);
                let arguments = [0, policy, parameter, 0, 0, 0];
                let mut deeds = vec![Deed::Call(nr::SCHED_SETSCHEDULER, arguments)];
                deeds.extend(ops[actor].iter().map(|op| op.deed()));
                deeds
            })
            .collect();
        let parameters = ranks.clone();
        let prepare = move |program: &mut crate::host::Program| {
            program.store(DATA + 16, &parameters);
        };
        let play = play(seed, 2 + actors, prepare, &deeds);
        let mut model = PiModel {
            ranks,
            locks: Default::default(),
            gone: Vec::new(),
        };
        let verdict = judge(&play, |actor, at| match at {
            0 => vec![(actor, 0)],
            _ => model.begin(actor, ops[actor][at - 1]),
        });
        let words = [model.word(0), model.word(1)];
        assert!(
            verdict.is_ok() && play.words.starts_with(&words),
            "seed {seed}: {verdict:?}, words {:x?}, model {words:x?}\n{ops:?}\n{:?}",
            play.words,
            play.events
        );
    }
}
