//! Signals at random, on several CPUs: nothing hangs, nothing is lost.

use std::vec;

use halyard_abi::nr;

use crate::bench::*;
use crate::host::{Config, Label};

/// A child stopped and continued again and again always goes on: no continuation is lost, wherever the stop stood.
#[test]
fn stops_and_continuations_at_random_leave_the_child_running() {
    for seed in 1..=40 {
        let config = Config {
            cpus: 1 + seed as usize % 4,
            seed,
            ..Config::default()
        };
        let code = run_on(config, |p| {
            p.fork(20, |p| {
                let spin = Label::default();
                p.act(|regs| regs.x[22] = 3000).place(&spin).act(|regs| {
                    regs.x[22] -= 1;
                    regs.x[0] = regs.x[22];
                });
                let out = Label::default();
                p.jump_if_zero(&out).jump(&spin).place(&out);
            });
            for round in 0..20u64 {
                for _ in 0..(seed * 7 + round) % 5 {
                    p.call(nr::SCHED_YIELD, []);
                }
                p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 19])
                    .call(nr::SCHED_YIELD, []);
                p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 18]);
            }
            p.expect_status(20, 0, 0);
        });
        assert_eq!(code, 0, "seed {seed}");
    }
}

/// Real-time signals from two senders all arrive, on as many CPUs as there are.
#[test]
fn real_time_signals_from_many_senders_all_arrive() {
    for seed in 1..=20 {
        let config = Config {
            cpus: 1 + seed as usize % 4,
            seed,
            ..Config::default()
        };
        let (log, handler) = (Log::default(), Label::default());
        let code = run_on(config, |p| {
            p.noting_handler(&handler, &log)
                .handle(34, &handler, 0, u64::MAX)
                .handle(40, &handler, 0, u64::MAX);
            for (keep, signal) in [(20, 34), (21, 40)] {
                p.fork(keep, |p| {
                    for _ in 0..25 {
                        p.call(nr::GETPPID, []);
                        p.call_with(nr::KILL, move |cpu| vec![cpu.regs().x[0], signal])
                            .expect("kill", 0);
                    }
                });
            }
            for keep in [20, 21] {
                // wait4 without SA_RESTART is interrupted again and again.
                let again = Label::default();
                p.place(&again)
                    .call_with(nr::WAIT4, move |cpu| vec![cpu.regs().x[keep], 0, 0, 0]);
                p.act(|regs| regs.x[0] = regs.x[0].wrapping_add(4))
                    .jump_if_zero(&again);
            }
        });
        let noted = log.take();
        let count = |signal| noted.iter().filter(|noted| **noted == signal).count();
        assert_eq!((code, count(34), count(40)), (0, 25, 25), "seed {seed}");
    }
}

/// A frame of random words never takes the machine down, and never leaves the program with more than its due.
#[test]
fn sigreturn_with_random_frames_harms_the_program_alone() {
    for seed in 1..=200u64 {
        let (log, after) = (Log::default(), Label::default());
        let code = run(|p| {
            let (after, target) = (after.clone(), after.clone());
            p.step(move |cpu| {
                let mut chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut next = || {
                    chance ^= chance << 13;
                    chance ^= chance >> 7;
                    chance ^= chance << 17;
                    chance
                };
                let frame = STACK;
                for at in (0..4688).step_by(8) {
                    cpu.store_u64(frame + at, if seed % 2 == 0 { next() } else { 0 })?;
                }
                let records = frame + 128 + 464;
                if next() % 4 != 0 {
                    cpu.store_u64(records, 528 << 32 | 0x4650_8001)?;
                    cpu.store_u64(records + 528, 0)?;
                }
                if next() % 4 != 0 {
                    cpu.store_u64(frame + 128 + 176 + 8 + 32 * 8, after.address())?;
                    cpu.store_u64(frame + 128 + 176 + 8 + 33 * 8, next() & !0x3df)?;
                    cpu.store_u64(frame + 128 + 40, next() & !(bit(11) | bit(9)))?;
                }
                cpu.syscall(nr::RT_SIGRETURN, &[])
            });
            let log = log.clone();
            p.place(&target).act(move |regs| {
                assert_eq!(regs.pstate & !0xf000_0000, 0);
                log.note(1);
            });
        });
        assert!(
            code == 0 && log.take() == [1] || code == 128 + 11,
            "seed {seed}: {code}"
        );
    }
}
