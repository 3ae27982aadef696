//! Timers against a plain model: when each is due next, and what of it pends. Expirations fall between the moments at which the
//! program looks, so the model needs no clock of its own: it counts half seconds.

use std::collections::BTreeMap;
use std::format;
use std::string::String;

use halyard_abi::nr;

use crate::bench::actors::Chance;
use crate::bench::judged::{Asked, Model, run_judged};
use crate::bench::{DATA, EAGAIN, EINVAL, SIG_BLOCK, Script, bit, store_words};
use crate::host::HostCpu;
use crate::machine::Trap;

const SEQUENCES: u64 = 1500;
const TIMERS: usize = 3;
/// The signal of the first timer; the others' follow.
const FIRST_SIGNAL: u64 = 40;
const HALF: u64 = 500_000_000;
const SIGEV_NONE: u64 = 1;
/// How far what is told may be from a multiple of half a second: what the calls before have taken.
const TOLERANCE: u64 = 50_000_000;

const EVENT: u64 = DATA;
const ID: u64 = DATA + 64;
const NEW: u64 = DATA + 72;
const OLD: u64 = DATA + 104;
const INFO: u64 = DATA + 136;
const SET: u64 = DATA + 264;
const WAIT: u64 = DATA + 272;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Which, on which clock, whether it is silent.
    Create(usize, u64, bool),
    /// Until it is due (an odd number, or 0: never), and from then on (even), in half seconds.
    Arm(usize, u64, u64),
    Look(usize),
    Overrun(usize),
    Delete(usize),
    /// Whole seconds.
    Sleep(u64),
    /// The first signal that pends.
    Take,
}

impl Op {
    fn draw(chance: &mut Chance) -> Op {
        let timer = chance.below(TIMERS as u64) as usize;
        match chance.below(12) {
            0 | 1 => Op::Create(timer, chance.of(&[0, 1, 7]), chance.below(5) == 0),
            2..=4 => Op::Arm(
                timer,
                chance.of(&[0, 1, 1, 3, 7]),
                chance.of(&[0, 0, 2, 4, 6]),
            ),
            5 => Op::Look(timer),
            6 => Op::Overrun(timer),
            7 if chance.below(2) == 0 => Op::Delete(timer),
            7..=9 => Op::Sleep(chance.below(5)),
            _ => Op::Take,
        }
    }
}

#[derive(Default)]
struct Timer {
    id: i64,
    silent: bool,
    /// When it is due next, in half seconds.
    due: Option<u64>,
    interval: u64,
    /// How often it has been due since its signal pends, with that time.
    pends: u64,
    /// Of the signal that was taken last.
    overrun: u64,
}

impl Timer {
    fn pass_until(&mut self, now: u64) {
        while let Some(due) = self.due
            && due <= now
        {
            self.due = (self.interval > 0).then_some(due + self.interval);
            if !self.silent {
                self.pends += 1;
            }
        }
    }
}

#[derive(Default)]
struct Timers {
    timers: BTreeMap<usize, Timer>,
    now: u64,
}

impl Timers {
    fn id(&self, timer: usize) -> u64 {
        self.timers
            .get(&timer)
            .map_or(4711, |it| it.id.cast_unsigned())
    }

    /// Whether its signal pends: then it is left as it is, for whether the signal would stay differs between versions of Linux.
    fn pends(&self, timer: usize) -> bool {
        self.timers.get(&timer).is_some_and(|it| it.pends > 0)
    }

    /// The timer whose signal is the next to be taken.
    fn first(&self) -> Option<usize> {
        self.timers
            .iter()
            .find(|(_, it)| it.pends > 0)
            .map(|(at, _)| *at)
    }

    /// What is told of a timer: interval and time left, against what is known.
    fn check(&self, timer: usize, told: [u64; 4]) -> Result<(), String> {
        let [interval, left] = [told[0] * 2 * HALF + told[1], told[2] * 2 * HALF + told[3]];
        let it = &self.timers[&timer];
        let known = (
            it.interval * HALF,
            it.due.map_or(0, |due| (due - self.now) * HALF),
        );
        if interval == known.0
            && known.1.abs_diff(left) < TOLERANCE
            && (left == 0) == (known.1 == 0)
        {
            return Ok(());
        }
        Err(format!("{:?} is told, {known:?} is so", (interval, left)))
    }
}

fn load<const N: usize>(cpu: &HostCpu<'_>, at: u64) -> Result<[u64; N], Trap> {
    let mut words = [0; N];
    for (word, at) in words.iter_mut().zip((at..).step_by(8)) {
        *word = cpu.load_u64(at)?;
    }
    Ok(words)
}

fn span(half_seconds: u64) -> [u64; 2] {
    [half_seconds / 2, half_seconds % 2 * HALF]
}

impl Model for Timers {
    type Op = Op;

    fn ask(&self, op: Op, cpu: &mut HostCpu<'_>) -> Result<Option<Asked>, Trap> {
        Ok(Some(match op {
            Op::Create(timer, ..) if self.timers.contains_key(&timer) => return Ok(None),
            Op::Create(timer, clock, silent) => {
                let signal = FIRST_SIGNAL + timer as u64;
                let how = if silent { SIGEV_NONE } else { 0 };
                store_words(cpu, EVENT, &[timer as u64, signal | how << 32, 0, 0])?;
                (nr::TIMER_CREATE, [clock, EVENT, ID, 0, 0, 0])
            }
            Op::Arm(timer, ..) | Op::Delete(timer) if self.pends(timer) => return Ok(None),
            Op::Arm(timer, value, interval) => {
                let ([seconds, rest], [every, part]) = (span(value), span(interval));
                store_words(cpu, NEW, &[every, part, seconds, rest])?;
                (nr::TIMER_SETTIME, [self.id(timer), 0, NEW, OLD, 0, 0])
            }
            Op::Look(timer) => (nr::TIMER_GETTIME, [self.id(timer), OLD, 0, 0, 0, 0]),
            Op::Overrun(timer) => (nr::TIMER_GETOVERRUN, [self.id(timer), 0, 0, 0, 0, 0]),
            Op::Delete(timer) => (nr::TIMER_DELETE, [self.id(timer), 0, 0, 0, 0, 0]),
            Op::Sleep(seconds) => {
                store_words(cpu, WAIT, &[seconds, 0])?;
                (nr::NANOSLEEP, [WAIT, 0, 0, 0, 0, 0])
            }
            Op::Take => {
                let all = (0..TIMERS as u64).map(|at| bit(FIRST_SIGNAL + at)).sum();
                store_words(cpu, SET, &[all, 0, 0])?;
                (nr::RT_SIGTIMEDWAIT, [SET, INFO, WAIT_NOT, 8, 0, 0])
            }
        }))
    }

    fn judge(
        &mut self,
        op: Op,
        result: i64,
        cpu: &HostCpu<'_>,
    ) -> Result<Result<(), String>, Trap> {
        let now = self.now;
        let expected = match op {
            Op::Create(timer, _, silent) => {
                let id = (cpu.load_u64(ID)? as u32).into();
                if self.timers.contains_key(&timer) {
                    return Ok(Ok(()));
                }
                let known = self.timers.values().any(|it| it.id == id);
                if known {
                    return Ok(Err(format!("timer {id} is another's")));
                }
                self.timers.insert(
                    timer,
                    Timer {
                        id,
                        silent,
                        ..Timer::default()
                    },
                );
                0
            }
            Op::Arm(timer, ..) | Op::Delete(timer) if self.pends(timer) => return Ok(Ok(())),
            Op::Arm(timer, ..) | Op::Look(timer) | Op::Overrun(timer) | Op::Delete(timer)
                if !self.timers.contains_key(&timer) =>
            {
                EINVAL
            }
            Op::Arm(timer, value, interval) => {
                let told = load(cpu, OLD)?;
                if let Err(why) = self.check(timer, told) {
                    return Ok(Err(why));
                }
                let it = self.timers.get_mut(&timer).unwrap();
                it.due = (value > 0).then_some(now + value);
                it.interval = if value > 0 { interval } else { 0 };
                it.overrun = 0;
                0
            }
            Op::Look(timer) => {
                let told = load(cpu, OLD)?;
                if let Err(why) = self.check(timer, told) {
                    return Ok(Err(why));
                }
                0
            }
            Op::Overrun(timer) => self.timers[&timer].overrun.cast_signed(),
            Op::Delete(timer) => {
                self.timers.remove(&timer);
                0
            }
            Op::Sleep(seconds) => {
                self.now += 2 * seconds;
                let now = self.now;
                self.timers.values_mut().for_each(|it| it.pass_until(now));
                0
            }
            Op::Take => {
                // Number, error; code; timer and overruns; value.
                let [number, _, timer_and_overrun, value] = load(cpu, INFO)?;
                let Some(timer) = self.first() else {
                    return Ok(same(result, EAGAIN));
                };
                let it = self.timers.get_mut(&timer).unwrap();
                it.overrun = core::mem::take(&mut it.pends) - 1;
                let signal = FIRST_SIGNAL + timer as u64;
                let known = (
                    signal,
                    it.id.cast_unsigned() | it.overrun << 32,
                    timer as u64,
                );
                let told = (number & 0xffff_ffff, timer_and_overrun, value);
                if result > 0 && told != known {
                    return Ok(Err(format!("{told:?} is told, {known:?} is so")));
                }
                signal.cast_signed()
            }
        };
        Ok(same(result, expected))
    }
}

/// No time at all.
const WAIT_NOT: u64 = SET + 8;

fn same(result: i64, expected: i64) -> Result<(), String> {
    if result == expected {
        Ok(())
    } else {
        Err(format!("{result}, not {expected}"))
    }
}

#[test]
fn posix_timers_do_what_a_list_of_due_times_does() {
    for seed in 1..=SEQUENCES {
        run_judged(seed, Timers::default(), |program, judged| {
            let mut chance = Chance::new(seed);
            let all = (0..TIMERS as u64).map(|at| bit(FIRST_SIGNAL + at)).sum();
            program.mask(SIG_BLOCK, all);
            for _ in 0..10 + chance.below(30) {
                judged.perform(program, Op::draw(&mut chance));
            }
        });
    }
}
