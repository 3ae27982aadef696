//! Stopping, going on, children, groups.

use std::vec;

use halyard_abi::nr;

use crate::bench::*;
use crate::host::{Label, Program};

const SPARE: u64 = DATA + 0x100;
const MS: u64 = 1_000_000;
const WNOHANG: u64 = 1;
const WUNTRACED: u64 = 2;
const WCONTINUED: u64 = 8;

/// Sends `signal` to the child in x20.
fn send(p: &mut Program, signal: u64) {
    p.call_with(nr::KILL, move |cpu| vec![cpu.regs().x[20], signal])
        .expect("kill", 0);
}

/// A child in x20 that does nothing for ever.
fn idle_child(p: &mut Program) {
    p.fork(20, |p| {
        let spin = Label::default();
        p.place(&spin).sleep(1000 * MS).jump(&spin);
    });
    p.sleep(MS);
}

/// Rule 23.
#[test]
fn statuses_of_stopped_continued_and_killed_children_are_told_once() {
    let code = run(|p| {
        idle_child(p);
        send(p, 19);
        p.expect_status(20, WUNTRACED, 0x137f);
        p.call_with(nr::WAIT4, |cpu| {
            vec![cpu.regs().x[20], 0, WNOHANG | WUNTRACED, 0]
        })
        .expect("told once", 0);
        send(p, 18);
        p.expect_status(20, WCONTINUED, 0xffff);
        p.call_with(nr::WAIT4, |cpu| {
            vec![cpu.regs().x[20], 0, WNOHANG | WCONTINUED, 0]
        })
        .expect("told once", 0);
        send(p, 9);
        p.expect_status(20, 0, 9);
    });
    assert_eq!(code, 0);
}

/// Rule 8.
#[test]
fn stopped_process_defers_term_but_not_kill() {
    let code = run(|p| {
        idle_child(p);
        send(p, 19);
        p.expect_status(20, WUNTRACED, 0x137f);
        send(p, 15);
        p.sleep(5 * MS)
            .call_with(nr::WAIT4, |cpu| vec![cpu.regs().x[20], 0, WNOHANG, 0])
            .expect("deferred", 0);
        send(p, 18);
        p.expect_status(20, 0, 15);
        idle_child(p);
        send(p, 19);
        p.expect_status(20, WUNTRACED, 0x137f);
        send(p, 9);
        p.expect_status(20, 0, 9);
    });
    assert_eq!(code, 0);
}

/// Rule 8.
#[test]
fn continuation_discards_pending_stops_and_a_stop_pending_continuations() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        let pending = |p: &mut Program| {
            let log = log.clone();
            p.call(nr::RT_SIGPENDING, [SPARE, 8]).step(move |cpu| {
                log.note(cpu.load_u64(SPARE)?);
                Ok(())
            });
        };
        p.noting_handler(&handler, &log)
            .handle(18, &handler, 0, 0)
            .mask(SIG_BLOCK, bit(20) | bit(21) | bit(18));
        p.raise(20).raise(21);
        pending(p);
        p.raise(18);
        pending(p);
        p.raise(20);
        pending(p);
    });
    assert_eq!(
        (code, log.take()),
        (0, vec![bit(20) | bit(21), bit(18), bit(20)])
    );
}

/// Rule 8.
#[test]
fn continuation_that_is_blocked_or_ignored_resumes_all_the_same() {
    for prepare in [
        (|p| {
            p.mask(SIG_BLOCK, bit(18));
        }) as fn(&mut Program),
        |p| {
            p.dispose(18, 1);
        },
    ] {
        let code = run(|p| {
            p.fork(20, |p| {
                prepare(p);
                p.sleep(5 * MS);
            });
            p.sleep(MS);
            send(p, 19);
            p.expect_status(20, WUNTRACED, 0x137f);
            send(p, 18);
            p.expect_status(20, 0, 0);
        });
        assert_eq!(code, 0);
    }
}

/// Rule 9.
#[test]
fn children_of_one_that_ignores_sigchld_leave_no_zombies() {
    let code = run(|p| {
        p.dispose(17, 1).fork(20, |_| {});
        p.call_with(nr::WAIT4, |cpu| vec![cpu.regs().x[20], 0, 0, 0])
            .expect("wait4", ECHILD);
    });
    assert_eq!(code, 0);
}

/// Rule 9.
#[test]
fn nocldwait_leaves_no_zombies_but_sends_the_signal_and_nocldstop_keeps_stops_quiet() {
    let (log, handler) = (Log::default(), Label::default());
    const SA_NOCLDSTOP: u64 = 1;
    const SA_NOCLDWAIT: u64 = 2;
    let code = run(|p| {
        let inside = log.clone();
        p.aside(|p| {
            p.place(&handler).step(move |cpu| {
                let frame = cpu.regs().sp;
                inside.note(cpu.load_u64(frame + 8)? & 0xffff_ffff);
                inside.note(cpu.load_u64(frame + 24)? & 0xffff_ffff);
                Ok(())
            });
            p.leave_handler();
        });
        p.handle(17, &handler, SA_SIGINFO | SA_NOCLDWAIT | SA_RESTART, 0);
        p.fork(20, |p| {
            p.call(nr::EXIT_GROUP, [7]);
        });
        p.call_with(nr::WAIT4, |cpu| vec![cpu.regs().x[20], 0, 0, 0])
            .expect("no zombie", ECHILD);
        p.handle(17, &handler, SA_SIGINFO | SA_NOCLDSTOP | SA_RESTART, 0);
        idle_child(p);
        send(p, 19);
        p.expect_status(20, WUNTRACED, 0x137f);
        send(p, 9);
        p.expect_status(20, 0, 9);
        p.handle(17, &handler, SA_SIGINFO | SA_RESTART, 0);
        idle_child(p);
        send(p, 19);
        p.expect_status(20, WUNTRACED, 0x137f);
        send(p, 18);
        p.sleep(MS);
        send(p, 9);
        p.expect_status(20, 0, 9);
    });
    // CLD_EXITED 7; CLD_KILLED 9; CLD_STOPPED 19, CLD_CONTINUED 18, CLD_KILLED 9.
    assert_eq!(
        (code, log.take()),
        (0, vec![1, 7, 2, 9, 5, 19, 6, 18, 2, 9])
    );
}

/// Rule 24: the group's only link to its session is init, so it is orphaned.
#[test]
fn orphaned_group_is_not_stopped_by_the_terminals_signals() {
    let code = run(|p| {
        for signal in [20, 21, 22] {
            p.raise(signal);
        }
        p.call(nr::EXIT_GROUP, [5]);
    });
    assert_eq!(code, 5);
}

/// Rule 24: a group with a parent outside it in its session stops, and is told when that parent goes.
#[test]
fn group_that_is_orphaned_while_stopped_gets_hup_and_cont() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log);
        p.fork(19, |p| {
            // The shell: starts a job in a group of its own, and ends.
            p.fork(20, |p| {
                p.call(nr::SETPGID, [0, 0])
                    .expect("setpgid", 0)
                    .handle(1, &handler, 0, 0)
                    .handle(18, &handler, 0, 0);
                p.raise(20);
            });
            p.expect_status(20, WUNTRACED, 0x147f);
        });
        p.expect_status(19, 0, 0).sleep(20 * MS);
    });
    let mut noted = log.take();
    noted.sort_unstable();
    assert_eq!((code, noted), (0, vec![1, 18]));
}

/// Rule 8, with threads: all of them stop, and the parent is told once they have.
#[test]
fn stop_stops_every_thread() {
    let code = run(|p| {
        const COUNT: u64 = DATA + 0x800;
        p.fork(20, |p| {
            let thread = Label::default();
            p.call(nr::CLONE, [0x1_0f00, STACK + 0x1_0000, 0, 0, 0])
                .jump_if_zero(&thread)
                .place(&thread);
            let spin = Label::default();
            p.place(&spin)
                .step(|cpu| cpu.store_u64(COUNT, cpu.load_u64(COUNT)? + 1))
                .jump(&spin);
        });
        p.sleep(20 * MS);
        send(p, 19);
        p.expect_status(20, WUNTRACED, 0x137f);
        send(p, 18);
        p.sleep(20 * MS);
        send(p, 19);
        p.expect_status(20, WUNTRACED, 0x137f);
        send(p, 9);
        p.expect_status(20, 0, 9);
    });
    assert_eq!(code, 0);
}

/// Rule 24: the end of a session's leader hangs up its terminal.
#[test]
fn end_of_the_session_leader_hangs_up_the_foreground() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run_in(|p, kernel| {
        p.noting_handler(&handler, &log);
        p.fork(19, |p| {
            p.call(nr::SETSID, []).act(|regs| {
                kernel.console.set_session(regs.x[0] as u32);
                kernel.console.set_foreground(regs.x[0] as u32);
            });
            p.fork(20, |p| {
                p.handle(1, &handler, 0, 0).sleep(1000 * MS);
            });
            p.sleep(5 * MS);
        });
        p.expect_status(19, 0, 0).sleep(20 * MS);
    });
    assert_eq!((code, log.take()), (0, vec![1]));
}
