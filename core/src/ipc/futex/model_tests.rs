//! Futexes against a plain model, with several threads on one to four CPUs: a list of who waits on which word.

use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::EAGAIN;
use crate::bench::actors::{Chance, Deed, judge, play, word};

const SEQUENCES: u64 = 1000;
const WORDS: usize = 3;

const WAIT: u64 = 0;
const WAKE: u64 = 1;
const CMP_REQUEUE: u64 = 4;
const WAKE_OP: u64 = 5;
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
