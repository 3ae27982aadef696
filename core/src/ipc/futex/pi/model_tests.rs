//! Futexes that inherit priority against a plain model, with several threads on one to four CPUs: an owner and a line, and those
//! who wait on another word to be moved into it.

use std::vec;
use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::actors::{Chance, Deed, FIRST_TID, judge, play, word};
use crate::bench::{DATA, EAGAIN, EINVAL, EPERM, ESRCH, Script};

const SEQUENCES: u64 = 1000;
const EDEADLK: i64 = -35;
const ETIMEDOUT: i64 = -110;
/// A time of all zeros, behind the words.
const LONG_AGO: u64 = DATA + 0x1000;

/// The word on which one waits to be moved; in front of it are two locks and the actors' ranks.
const CONDITION: usize = 8;
const WORDS: usize = CONDITION + 1;

const WAKE: u64 = 1;
const LOCK_PI: u64 = 6;
const UNLOCK_PI: u64 = 7;
const TRYLOCK_PI: u64 = 8;
const WAIT_REQUEUE_PI: u64 = 11;
const CMP_REQUEUE_PI: u64 = 12;

#[derive(Clone, Copy, Debug)]
enum PiOp {
    Lock(usize),
    /// A lock whose time is over as soon as it must wait.
    Late(usize),
    Try(usize),
    Unlock(usize),
    /// A wait to be moved to that lock, while the condition's word is the number.
    Await(usize, u64),
    /// One whose time is over as soon as it must wait.
    AwaitLate(usize, u64),
    /// Moves one who waits for the condition to that lock, and so many more, while the word is the number.
    Move(usize, u64, u64),
    /// A plain wake of the condition, which is not for those who wait to be moved.
    Wake,
    Exit,
}

impl PiOp {
    fn deed(self) -> Deed {
        let call = |at, operation| Deed::Call(nr::FUTEX, [word(at), operation, 0, 0, 0, 0]);
        let condition = |operation, [two, three, four, five]: [u64; 4]| {
            let at = word(CONDITION);
            Deed::Call(nr::FUTEX, [at, operation, two, three, four, five])
        };
        match self {
            PiOp::Lock(at) => call(at, LOCK_PI),
            PiOp::Late(at) => Deed::Call(nr::FUTEX, [word(at), LOCK_PI, 0, LONG_AGO, 0, 0]),
            PiOp::Try(at) => call(at, TRYLOCK_PI),
            PiOp::Unlock(at) => call(at, UNLOCK_PI),
            PiOp::Await(at, value) => condition(WAIT_REQUEUE_PI, [value, 0, word(at), 0]),
            PiOp::AwaitLate(at, value) => {
                condition(WAIT_REQUEUE_PI, [value, LONG_AGO, word(at), 0])
            }
            PiOp::Move(at, more, value) => condition(CMP_REQUEUE_PI, [1, more, word(at), value]),
            PiOp::Wake => condition(WAKE, [1, 0, 0, 0]),
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

/// The plain model: the locks, who waits for the condition and to be moved to which lock, and who has ended.
#[derive(Default)]
struct PiModel {
    ranks: Vec<u64>,
    locks: [Lock; 2],
    condition: Vec<(usize, usize)>,
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

    /// FUTEX_CMP_REQUEUE_PI: the first becomes the owner or one of the line, as if it had tried to lock; so do the next.
    fn move_on(&mut self, at: usize, more: u64, ended: &mut Vec<(usize, i64)>) -> i64 {
        let mut moved = 0;
        while moved <= more as i64
            && let Some(&(actor, to)) = self.condition.first()
        {
            let result = if to == at {
                self.lock(at, actor, false)
            } else {
                Some(EINVAL)
            };
            match result {
                Some(0) => {
                    ended.push((actor, 0));
                    // The others will come, so that this one's unlock must, too.
                    self.locks[at].awaited = self.condition.len() > 1;
                }
                None => {}
                Some(error) if moved == 0 => return error,
                Some(_) => break,
            }
            self.condition.remove(0);
            moved += 1;
        }
        moved
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
            PiOp::Await(_, value) | PiOp::AwaitLate(_, value) | PiOp::Move(_, _, value)
                if value != 0 =>
            {
                Some(EAGAIN)
            }
            PiOp::Await(at, _) => {
                self.condition.push((actor, at));
                None
            }
            PiOp::AwaitLate(..) => Some(ETIMEDOUT),
            PiOp::Move(at, more, _) => Some(self.move_on(at, more, &mut ended)),
            PiOp::Wake if self.condition.is_empty() => Some(0),
            PiOp::Wake => Some(EINVAL),
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

/// Plays what `draw` draws from each seed and the number of locks. One lock among threads of different ranks, or two among
/// equals: chains change ranks, which the model of inheritance has.
fn follow(draw: impl Fn(&mut Chance, u64) -> PiOp) {
    for seed in 1..=SEQUENCES {
        let mut chance = Chance::new(seed);
        let locks = 1 + seed % 2;
        let actors = 2 + chance.below(4) as usize;
        let rank = |chance: &mut Chance| if locks == 1 { chance.below(4) * 10 } else { 0 };
        let ranks: Vec<u64> = (0..actors).map(|_| rank(&mut chance)).collect();
        let mut ops: Vec<Vec<PiOp>> = (0..actors)
            .map(|_| (0..8).map(|_| draw(&mut chance, locks)).collect())
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
        let play = play(seed, WORDS, prepare, &deeds);
        let mut model = PiModel {
            ranks,
            ..PiModel::default()
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

#[test]
fn futex_random_owners_of_locks_that_inherit_priority_follow_the_model() {
    follow(|chance, locks| {
        let at = chance.below(locks) as usize;
        match chance.below(20) {
            0 => PiOp::Exit,
            1..=5 => PiOp::Lock(at),
            6..=8 => PiOp::Late(at),
            9..=11 => PiOp::Try(at),
            _ => PiOp::Unlock(at),
        }
    });
}

#[test]
fn futex_random_moves_to_locks_that_inherit_priority_follow_the_model() {
    follow(|chance, locks| {
        let at = chance.below(locks) as usize;
        let value = u64::from(chance.below(10) == 0);
        match chance.below(20) {
            0 => PiOp::Exit,
            1..=3 => PiOp::Lock(at),
            4 => PiOp::Try(at),
            5..=8 => PiOp::Await(at, value),
            9 => PiOp::AwaitLate(at, value),
            10..=13 => PiOp::Move(at, chance.below(3), value),
            14 => PiOp::Wake,
            _ => PiOp::Unlock(at),
        }
    });
}
