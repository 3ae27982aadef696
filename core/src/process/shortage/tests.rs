//! Programs on a machine with few frames.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use std::vec;

use halyard_abi::nr;

use crate::bench::*;
use crate::host::{Config, Label, Program};
use crate::kernel::Kernel;

const PAGE: u64 = 4096;
/// Where programs touch pages that they had not before.
const FRESH: u64 = DATA + 0x10_0000;
const KILLED: u32 = 9;

/// Machines of one to four CPUs, with their seeds.
fn twenty() -> impl Iterator<Item = (u64, Config)> {
    (1..=20).map(|seed| {
        let cpus = 1 + seed as usize % 4;
        let config = Config {
            cpus,
            seed,
            ..Config::default()
        };
        (seed, config)
    })
}

/// Touches one page after the other as long as `more` says; then goes on.
fn touch(program: &mut Program, more: impl Fn(u64) -> bool + Send + Sync + 'static) {
    let (again, out) = (Label::default(), Label::default());
    program
        .act(|regs| regs.x[22] = 0)
        .place(&again)
        .step(move |cpu| {
            let count = cpu.regs().x[22];
            cpu.store_u64(FRESH + count * PAGE, 1)?;
            cpu.regs().x[22] = count + 1;
            cpu.regs().x[0] = u64::from(more(count + 1));
            Ok(())
        })
        .jump_if_zero(&out)
        .jump(&again)
        .place(&out);
}

/// Takes all frames but a few and sleeps.
fn sleeper(program: &mut Program, kernel: &'static Kernel, asleep: &Arc<AtomicBool>) {
    touch(program, |_| kernel.memory.frames.free() > 8);
    let asleep = Arc::clone(asleep);
    program
        .act(move |_| asleep.store(true, Ordering::Relaxed))
        .call(nr::PPOLL, [0, 0, 0, 0, 0]);
}

fn wait_until_asleep(program: &mut Program, asleep: &Arc<AtomicBool>) {
    let (again, out, asleep) = (Label::default(), Label::default(), Arc::clone(asleep));
    program
        .place(&again)
        .call(nr::SCHED_YIELD, [])
        .act(move |regs| regs.x[0] = u64::from(!asleep.load(Ordering::Relaxed)))
        .jump_if_zero(&out)
        .jump(&again)
        .place(&out);
}

#[test]
fn shortage_ends_who_has_most_though_it_sleeps_and_who_asks_goes_on() {
    for (seed, config) in twenty() {
        let code = run_in_on(config, |p, kernel| {
            let asleep = Arc::new(AtomicBool::new(false));
            p.fork(20, |p| sleeper(p, kernel, &asleep));
            wait_until_asleep(p, &asleep);
            touch(p, |count| count < 100);
            p.expect_status(20, 0, KILLED);
        });
        assert_eq!(code, 0, "seed {seed}");
    }
}

#[test]
fn shortage_that_one_makes_alone_ends_it() {
    let code = run(|p| touch(p, |count| count < 3000));
    assert_eq!(code, 128 + 9);
}

#[test]
fn shortage_keeps_the_registers_of_who_waits() {
    let code = run_in_on(Config::default(), |p, kernel| {
        let asleep = Arc::new(AtomicBool::new(false));
        p.fork(20, |p| sleeper(p, kernel, &asleep));
        wait_until_asleep(p, &asleep);
        for page in 0..100 {
            p.act(|regs| regs.x[0] = 0x1234_5678)
                .step(move |cpu| cpu.store_u64(FRESH + page * PAGE, 1))
                .act(|regs| assert_eq!(regs.x[0], 0x1234_5678));
        }
    });
    assert_eq!(code, 0);
}

#[test]
fn shortage_of_two_who_take_all_lets_the_third_go_on() {
    for (seed, config) in twenty() {
        let code = run_on(config, |p| {
            p.fork(20, |p| touch(p, |count| count < 3000));
            p.fork(21, |p| touch(p, |count| count < 3000));
            p.expect_status(20, 0, KILLED).expect_status(21, 0, KILLED);
            p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 0])
                .act(|regs| assert_eq!(regs.x[0].cast_signed(), ESRCH));
        });
        assert_eq!(code, 0, "seed {seed}");
    }
}
