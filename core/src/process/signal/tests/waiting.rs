//! Calls that wait for signals, and timers that send them.

use std::vec;

use halyard_abi::nr;

use crate::bench::*;
use crate::host::{Label, Program};

const SPARE: u64 = DATA + 0x100;
const MS: u64 = 1_000_000;

/// Adds a child that sends `signal` to its parent after `ns`.
fn send_later(p: &mut Program, ns: u64, signal: u64) {
    p.fork(20, |p| {
        p.sleep(ns)
            .call(nr::GETPPID, [])
            .call_with(nr::KILL, move |cpu| vec![cpu.regs().x[0], signal]);
    });
}

/// Rule 20.
#[test]
fn sigsuspend_waits_under_its_mask_and_the_old_one_comes_back() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(10, &handler, SA_RESTART, 0)
            .handle(12, &handler, 0, 0);
        p.mask(SIG_SETMASK, bit(10) | bit(12)).raise(12);
        send_later(p, MS, 10);
        p.store(SPARE, &[bit(12)])
            .call(nr::RT_SIGSUSPEND, [SPARE, 8])
            .expect("sigsuspend", EINTR);
        p.call(nr::RT_SIGPROCMASK, [0, 0, SPARE, 8]).step(|cpu| {
            assert_eq!(cpu.load_u64(SPARE)?, bit(10) | bit(12));
            Ok(())
        });
    });
    assert_eq!((code, log.take()), (0, vec![10]));
}

#[test]
fn sigsuspend_with_a_signal_that_pends_already_returns_at_once() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(10, &handler, 0, 0)
            .mask(SIG_SETMASK, bit(10))
            .raise(10);
        p.store(SPARE, &[0])
            .call(nr::RT_SIGSUSPEND, [SPARE, 8])
            .expect("sigsuspend", EINTR);
        p.call(nr::RT_SIGPROCMASK, [0, 0, SPARE, 8]).step(|cpu| {
            assert_eq!(cpu.load_u64(SPARE)?, bit(10));
            Ok(())
        });
    });
    assert_eq!((code, log.take()), (0, vec![10]));
}

/// Rule 20: what is ignored, and a stop, do not end it.
#[test]
fn sigsuspend_sleeps_through_ignored_signals_and_stops() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.fork(19, |p| {
            p.noting_handler(&handler, &log)
                .handle(10, &handler, 0, 0)
                .dispose(12, 1);
            p.store(SPARE, &[0])
                .call(nr::RT_SIGSUSPEND, [SPARE, 8])
                .expect("sigsuspend", EINTR);
        });
        p.sleep(MS)
            .call_with(nr::KILL, |cpu| vec![cpu.regs().x[19], 12])
            .sleep(MS);
        p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[19], 19])
            .expect_status(19, 2, 0x137f);
        p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[19], 18])
            .sleep(MS);
        p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[19], 10])
            .expect_status(19, 0, 0);
    });
    assert_eq!((code, log.take()), (0, vec![10]));
}

/// Rule 20.
#[test]
fn sigtimedwait_takes_what_pends_times_out_and_refuses_bad_times() {
    let code = run(|p| {
        p.mask(SIG_BLOCK, bit(10) | bit(12)).raise(12).raise(10);
        p.store(SPARE, &[bit(10) | bit(12)])
            .store(SPARE + 8, &[0, 5 * MS]);
        p.call(nr::RT_SIGTIMEDWAIT, [SPARE, SPARE + 0x100, SPARE + 8, 8])
            .expect("first", 10);
        p.step(|cpu| {
            assert_eq!(cpu.load_u64(SPARE + 0x100)? as u32, 10);
            Ok(())
        });
        p.call(nr::RT_SIGTIMEDWAIT, [SPARE, 0, SPARE + 8, 8])
            .expect("second", 12);
        p.call(nr::RT_SIGTIMEDWAIT, [SPARE, 0, SPARE + 8, 8])
            .expect("time-out", EAGAIN);
        p.store(SPARE + 8, &[0, 1_000_000_000]);
        p.call(nr::RT_SIGTIMEDWAIT, [SPARE, 0, SPARE + 8, 8])
            .expect("tv_nsec", EINVAL);
        p.call(nr::RT_SIGTIMEDWAIT, [SPARE, 0, 0, 4])
            .expect("sigsetsize", EINVAL);
        p.call(nr::RT_SIGTIMEDWAIT, [DATA_END, 0, 0, 8])
            .expect("bad set", EFAULT);
    });
    assert_eq!(code, 0);
}

#[test]
fn sigtimedwait_is_woken_by_what_it_waits_for_though_it_is_blocked() {
    let code = run(|p| {
        p.mask(SIG_BLOCK, bit(10));
        send_later(p, MS, 10);
        p.store(SPARE, &[bit(10)])
            .call(nr::RT_SIGTIMEDWAIT, [SPARE, SPARE + 0x100, 0, 8])
            .expect("sigwait", 10);
        p.step(|cpu| {
            let (code, pid) = (
                cpu.load_u64(SPARE + 0x108)? as u32,
                cpu.load_u64(SPARE + 0x110)? as u32,
            );
            assert_eq!((code, u64::from(pid)), (0, cpu.regs().x[20]));
            Ok(())
        });
    });
    assert_eq!(code, 0);
}

/// Rule 17.
#[test]
fn sigtimedwait_is_eintr_when_another_signal_is_handled() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(10, &handler, SA_RESTART, 0)
            .mask(SIG_BLOCK, bit(12));
        send_later(p, MS, 10);
        p.store(SPARE, &[bit(12)])
            .call(nr::RT_SIGTIMEDWAIT, [SPARE, 0, 0, 8])
            .expect("sigwait", EINTR);
    });
    assert_eq!((code, log.take()), (0, vec![10]));
}

#[test]
fn interval_timer_rings_and_rings_again_until_it_is_switched_off() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log).handle(14, &handler, 0, 0);
        // Each 2 ms, first after 5 ms.
        p.store(SPARE, &[0, 2000, 0, 5000])
            .call(nr::SETITIMER, [0, SPARE, 0])
            .expect("setitimer", 0);
        for _ in 0..3 {
            p.store(SPARE, &[0, 100 * MS])
                .call(nr::NANOSLEEP, [SPARE, 0])
                .expect("nanosleep", EINTR);
        }
        p.call(nr::GETITIMER, [0, SPARE]).step(|cpu| {
            assert_eq!(
                (cpu.load_u64(SPARE + 8)?, cpu.load_u64(SPARE + 16)?),
                (2000, 0)
            );
            assert!((1900..=2000).contains(&cpu.load_u64(SPARE + 24)?));
            Ok(())
        });
        p.store(SPARE, &[0, 0, 0, 0])
            .call(nr::SETITIMER, [0, SPARE, 0])
            .expect("off", 0);
        p.store(SPARE, &[0, 100 * MS])
            .call(nr::NANOSLEEP, [SPARE, 0])
            .expect("nanosleep", 0);
        p.call(nr::SETITIMER, [3, SPARE, 0])
            .expect("no such timer", EINVAL);
        p.store(SPARE, &[0, 0, 0, 1_000_000])
            .call(nr::SETITIMER, [0, SPARE, 0])
            .expect("tv_usec", EINVAL);
    });
    assert_eq!((code, log.take()), (0, vec![14, 14, 14]));
}

#[test]
fn timer_of_cpu_time_rings_when_it_was_used_and_not_while_asleep() {
    let (log, handler, spin) = (Log::default(), Label::default(), Label::default());
    let code = run(|p| {
        p.aside(|p| {
            let inside = log.clone();
            p.place(&handler)
                .act(move |regs| inside.note(regs.x[0]))
                .call(nr::EXIT_GROUP, [3]);
        });
        p.handle(27, &handler, 0, 0)
            .store(SPARE, &[0, 0, 0, 5000])
            .call(nr::SETITIMER, [2, SPARE, 0]);
        p.store(SPARE, &[0, 50 * MS])
            .call(nr::NANOSLEEP, [SPARE, 0])
            .expect("asleep", 0);
        p.place(&spin).jump(&spin);
    });
    assert_eq!((code, log.take()), (3, vec![27]));
}

/// What alarm(2) and its default action are.
#[test]
fn alarm_without_a_handler_ends_the_program_in_time() {
    let spin = Label::default();
    let code = run(|p| {
        p.store(SPARE, &[0, 0, 0, 1000])
            .call(nr::SETITIMER, [0, SPARE, 0])
            .place(&spin)
            .jump(&spin);
    });
    assert_eq!(code, 128 + 14);
}
