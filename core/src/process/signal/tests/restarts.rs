//! What becomes of calls that a signal interrupts.

use std::vec;

use halyard_abi::nr;

use crate::bench::*;
use crate::host::Label;
use crate::machine::Trap;

const SPARE: u64 = DATA + 0x100;
const MS: u64 = 1_000_000;

/// Rules 16 and 18.
#[test]
fn wait4_is_restarted_with_sa_restart_and_eintr_without() {
    for (flags, expected) in [(SA_RESTART, 0), (0, EINTR)] {
        let (log, handler) = (Log::default(), Label::default());
        let code = run(|p| {
            p.noting_handler(&handler, &log)
                .handle(10, &handler, flags, 0);
            p.fork(20, |p| {
                p.sleep(MS).call(nr::GETPPID, []);
                p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[0], 10])
                    .sleep(MS);
            });
            p.call_with(nr::WAIT4, |cpu| vec![cpu.regs().x[20], 0, 0, 0])
                .act(move |regs| {
                    let expected = if expected == 0 {
                        regs.x[20]
                    } else {
                        expected as u64
                    };
                    assert_eq!(regs.x[0], expected);
                });
        });
        assert_eq!((code, log.take()), (0, vec![10]));
    }
}

/// Rule 17.
#[test]
fn nanosleep_is_eintr_despite_sa_restart_and_tells_what_is_left() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(10, &handler, SA_RESTART, 0);
        p.fork(20, |p| {
            p.sleep(10 * MS)
                .call(nr::GETPPID, [])
                .call_with(nr::KILL, |cpu| vec![cpu.regs().x[0], 10]);
        });
        p.store(SPARE, &[0, 100 * MS])
            .call(nr::NANOSLEEP, [SPARE, SPARE])
            .expect("nanosleep", EINTR);
        p.step(|cpu| {
            let left = cpu.load_u64(SPARE + 8)?;
            assert!((80 * MS..=90 * MS).contains(&left), "{left}");
            Ok(())
        });
    });
    assert_eq!((code, log.take()), (0, vec![10]));
}

/// Rule 19, for a sleep: it ends when it would have.
#[test]
fn stop_and_continuation_are_invisible_to_a_sleep() {
    let code = run(|p| {
        p.fork(20, |p| {
            p.call(nr::CLOCK_GETTIME, [1, SPARE])
                .store(SPARE + 32, &[0, 100 * MS]);
            // The `svc` alone is a step: made anew it finds the number that the kernel put into x8.
            p.act(|regs| (regs.x[8], regs.x[0], regs.x[1]) = (nr::NANOSLEEP as u64, SPARE + 32, 0));
            p.step(|_| Err(Trap::Syscall))
                .expect("nanosleep", 0)
                .call(nr::CLOCK_GETTIME, [1, SPARE + 16]);
            p.step(|cpu| {
                let slept = cpu.load_u64(SPARE + 24)? as i64 - cpu.load_u64(SPARE + 8)? as i64;
                assert!((100_000_000..110_000_000).contains(&slept), "{slept}");
                Ok(())
            });
        });
        p.sleep(10 * MS)
            .call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 19])
            .expect("stop", 0);
        p.expect_status(20, 2, 0x137f).sleep(10 * MS);
        p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 18])
            .expect("continue", 0)
            .expect_status(20, 0, 0);
    });
    assert_eq!(code, 0);
}

/// Rule 16: a wait that is stopped goes on.
#[test]
fn stop_and_continuation_are_invisible_to_wait4() {
    let code = run(|p| {
        p.fork(20, |p| {
            p.fork(21, |p| {
                p.sleep(50 * MS);
            });
            p.expect_status(21, 0, 0);
        });
        p.sleep(10 * MS)
            .call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 19])
            .expect("stop", 0);
        p.expect_status(20, 2, 0x137f)
            .call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 18])
            .expect_status(20, 0, 0);
    });
    assert_eq!(code, 0);
}

/// Rule 20.
#[test]
fn signal_that_is_ignored_does_not_wake_a_sleep() {
    let code = run(|p| {
        p.dispose(10, 1).fork(20, |p| {
            p.sleep(MS)
                .call(nr::GETPPID, [])
                .call_with(nr::KILL, |cpu| vec![cpu.regs().x[0], 10]);
        });
        // SIGCHLD is ignored by default.
        p.store(SPARE, &[0, 20 * MS])
            .call(nr::NANOSLEEP, [SPARE, 0])
            .expect("nanosleep", 0);
    });
    assert_eq!(code, 0);
}

/// A handler that makes a call of its own while a call waits to be made again.
#[test]
fn call_made_by_a_handler_does_not_disturb_the_restart() {
    let handler = Label::default();
    let code = run(|p| {
        p.aside(|p| {
            p.place(&handler)
                .act(|regs| regs.x[21] = regs.x[30])
                .call(nr::GETPID, []);
            p.call(nr::KILL, [1, 65])
                .expect("kill", EINVAL)
                .act(|regs| regs.x[30] = regs.x[21])
                .leave_handler();
        });
        p.handle(10, &handler, SA_RESTART, 0);
        p.fork(20, |p| {
            for _ in 0..3 {
                p.sleep(MS)
                    .call(nr::GETPPID, [])
                    .call_with(nr::KILL, |cpu| vec![cpu.regs().x[0], 10]);
            }
            p.sleep(MS);
        });
        p.expect_status(20, 0, 0);
    });
    assert_eq!(code, 0);
}
