//! Entering handlers and leaving them: frames, masks, order, queues, dispositions.

use std::vec;
use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::*;
use crate::host::{Label, Program};

/// Rules 11, 18, 22.
#[test]
fn handler_of_a_signal_to_oneself_runs_before_kill_returns_and_leaves_no_trace() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        let inside = log.clone();
        p.aside(|p| {
            p.place(&handler).step(move |cpu| {
                let frame = cpu.regs().sp;
                assert_eq!(frame % 16, 0);
                assert_eq!(
                    [cpu.regs().x[0], cpu.regs().x[1], cpu.regs().x[2]],
                    [10, frame, frame + 128]
                );
                inside.note(cpu.load_u64(frame)? & 0xffff_ffff);
                for register in 3..30 {
                    cpu.regs().x[register] = 0;
                }
                cpu.context.fp.v = [0; 32];
                cpu.context.fp.fpsr = 0;
                Ok(())
            });
            p.store(SPARE, &[0])
                .call(nr::RT_SIGPROCMASK, [SIG_BLOCK, 0, SPARE, 8]);
            let inside = log.clone();
            p.step(move |cpu| {
                inside.note(cpu.load_u64(SPARE)?);
                cpu.regs().x[30] = crate::process::signal::TRAMPOLINE_AT.0 as u64;
                Ok(())
            });
            p.leave_handler();
        });
        p.handle(10, &handler, SA_SIGINFO, bit(12));
        p.step(|cpu| {
            for register in 3..30 {
                cpu.regs().x[register] = 1000 + register as u64;
            }
            cpu.context.fp.v = core::array::from_fn(|at| 7 << 100 | at as u128);
            (cpu.context.fp.fpsr, cpu.context.fp.fpcr) = (0x10, 0x40_0000);
            cpu.regs().pstate = 0x6000_0000;
            Ok(())
        });
        p.call_with(nr::GETPID, |_| vec![]);
        p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[0], 10])
            .expect("kill", 0);
        let after = log.clone();
        p.step(move |cpu| {
            assert_eq!(cpu.regs().x[1], 10);
            for register in (3..30).filter(|register| *register != 8) {
                assert_eq!(cpu.regs().x[register], 1000 + register as u64);
            }
            assert_eq!((cpu.regs().sp, cpu.regs().pstate), (STACK, 0x6000_0000));
            assert_eq!(
                cpu.context.fp.v,
                core::array::from_fn(|at| 7 << 100 | at as u128)
            );
            assert_eq!(
                (cpu.context.fp.fpsr, cpu.context.fp.fpcr),
                (0x10, 0x40_0000)
            );
            after.note(99);
            Ok(())
        });
    });
    assert_eq!((code, log.take()), (0, vec![10, bit(10) | bit(12), 99]));
}

/// A place that tests may use beside the bench's own.
const SPARE: u64 = DATA + 0x100;

/// Rule 11: the mask comes back; NODEFER leaves the signal itself open.
#[test]
fn mask_in_a_handler_is_old_and_its_own_and_the_signal() {
    for (flags, expected) in [
        (0, bit(10) | bit(2) | bit(3)),
        (SA_NODEFER, bit(2) | bit(3)),
    ] {
        let (log, handler) = (Log::default(), Label::default());
        let note_mask = |p: &mut Program, log: &Log| {
            let log = log.clone();
            p.call(nr::RT_SIGPROCMASK, [SIG_BLOCK, 0, SPARE, 8]);
            p.step(move |cpu| {
                log.note(cpu.load_u64(SPARE)?);
                Ok(())
            });
        };
        let code = run(|p| {
            p.aside(|p| {
                p.place(&handler).act(|regs| regs.x[20] = regs.x[30]);
                note_mask(p, &log);
                p.act(|regs| regs.x[30] = regs.x[20]).leave_handler();
            });
            p.handle(10, &handler, flags, bit(3) | bit(9))
                .mask(SIG_SETMASK, bit(2) | bit(9) | bit(19))
                .raise(10);
            note_mask(p, &log);
        });
        assert_eq!((code, log.take()), (0, vec![expected, bit(2)]));
    }
}

/// Rule 6, and rule 7: what is blocked pends though it is ignored.
#[test]
fn standard_signal_sent_three_times_while_blocked_is_handled_once() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(10, &handler, 0, 0)
            .mask(SIG_BLOCK, bit(10));
        p.raise(10).raise(10).raise(10).mask(SIG_UNBLOCK, bit(10));
    });
    assert_eq!((code, log.take()), (0, vec![10]));
}

/// Rule 7.
#[test]
fn ignoring_a_signal_forgets_that_it_pends() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .mask(SIG_BLOCK, bit(10))
            .dispose(10, 1)
            .raise(10);
        let pends = log.clone();
        p.call(nr::RT_SIGPENDING, [SPARE, 8])
            .expect("rt_sigpending", 0)
            .step(move |cpu| {
                pends.note(cpu.load_u64(SPARE)?);
                Ok(())
            });
        p.dispose(10, 0)
            .dispose(10, 1)
            .handle(10, &handler, 0, 0)
            .mask(SIG_UNBLOCK, bit(10));
    });
    assert_eq!((code, log.take()), (0, vec![bit(10)]));
}

/// Rule 14.
#[test]
fn signals_that_pend_are_taken_lowest_first_and_real_time_ones_in_order() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        let inside = log.clone();
        p.aside(|p| {
            p.place(&handler).step(move |cpu| {
                let value = cpu.load_u64(cpu.context.regs.sp + 24)?;
                inside.note(cpu.regs().x[0] * 100 + value);
                Ok(())
            });
            p.leave_handler();
        });
        for signal in [10, 12, 34, 40] {
            p.handle(signal, &handler, SA_SIGINFO, u64::MAX);
        }
        p.mask(SIG_BLOCK, u64::MAX);
        for (signal, value) in [
            (40, 1),
            (34, 2),
            (12, 3),
            (34, 4),
            (10, 5),
            (40, 6),
            (34, 7),
        ] {
            // si_code SI_QUEUE, si_value.
            p.store(
                SPARE,
                &[0, 0xffff_ffff, 0, value, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            );
            p.call(nr::GETPID, []);
            p.call_with(nr::RT_SIGQUEUEINFO, move |cpu| {
                vec![cpu.regs().x[0], signal, SPARE]
            })
            .expect("sigqueue", 0);
        }
        p.mask(SIG_SETMASK, 0);
    });
    assert_eq!(
        (code, log.take()),
        (0, vec![1005, 1203, 3402, 3404, 3407, 4001, 4006])
    );
}

/// Rule 14 and RLIMIT_SIGPENDING.
#[test]
fn real_time_queue_that_is_full_is_eagain() {
    let code = run(|p| {
        p.store(SPARE, &[2, 2])
            .call(nr::PRLIMIT64, [0, 11, SPARE, 0])
            .expect("prlimit64", 0);
        p.mask(SIG_BLOCK, bit(40)).store(
            SPARE,
            &[0, 0xffff_ffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        for expected in [0, 0, EAGAIN] {
            p.call(nr::GETPID, []);
            p.call_with(nr::RT_SIGQUEUEINFO, |cpu| vec![cpu.regs().x[0], 40, SPARE])
                .expect("sigqueue", expected);
        }
        p.raise(40);
    });
    assert_eq!(code, 0);
}

/// Rule 12.
#[test]
fn resethand_resets_on_entry_and_the_second_ends_the_program() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(10, &handler, SA_RESETHAND, 0)
            .raise(10)
            .raise(10);
    });
    assert_eq!((code, log.take()), (128 + 10, vec![10]));
}

/// Rule 12.
#[test]
fn si_code_tells_kill_from_tgkill_from_sigqueue() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        let inside = log.clone();
        p.aside(|p| {
            p.place(&handler).step(move |cpu| {
                inside.note(cpu.load_u64(cpu.context.regs.sp + 8)? & 0xffff_ffff);
                Ok(())
            });
            p.leave_handler();
        });
        p.handle(10, &handler, SA_SIGINFO, 0)
            .raise(10)
            .call(nr::GETPID, []);
        p.call_with(nr::TGKILL, |cpu| vec![cpu.regs().x[0], cpu.regs().x[0], 10])
            .expect("tgkill", 0);
        p.store(
            SPARE,
            &[0, 0xffff_ffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        )
        .call(nr::GETPID, []);
        p.call_with(nr::RT_SIGQUEUEINFO, |cpu| vec![cpu.regs().x[0], 10, SPARE])
            .expect("sigqueue", 0);
    });
    let expected: Vec<u64> = [0, -6, -1]
        .iter()
        .map(|code: &i32| u64::from(*code as u32))
        .collect();
    assert_eq!((code, log.take()), (0, expected));
}

/// Rules 3 and 4.
#[test]
fn actions_and_masks_refuse_what_the_manual_says() {
    let code = run(|p| {
        for signal in [9, 19] {
            p.store(SPARE, &[1, 0, 0, 0])
                .call(nr::RT_SIGACTION, [signal, SPARE, 0, 8])
                .expect("set", EINVAL);
            p.call(nr::RT_SIGACTION, [signal, 0, SPARE, 8])
                .expect("query", 0);
        }
        for signal in [0, 65, u64::MAX] {
            p.call(nr::RT_SIGACTION, [signal, 0, SPARE, 8])
                .expect("no such signal", EINVAL);
        }
        p.call(nr::RT_SIGACTION, [10, SPARE, 0, 16])
            .expect("sigsetsize", EINVAL);
        p.call(nr::RT_SIGACTION, [10, DATA_END, 0, 8])
            .expect("bad act", EFAULT);
        p.call(nr::RT_SIGACTION, [10, 0, DATA_END, 8])
            .expect("bad oact", EFAULT);
        p.call(nr::RT_SIGPROCMASK, [3, SPARE, 0, 8])
            .expect("bad how", EINVAL);
        p.call(nr::RT_SIGPROCMASK, [3, 0, SPARE, 8])
            .expect("bad how without a set", 0);
        p.call(nr::RT_SIGPROCMASK, [0, SPARE, 0, 4])
            .expect("sigsetsize", EINVAL);
        p.call(nr::RT_SIGPENDING, [SPARE, 9])
            .expect("sigsetsize", EINVAL);
        p.call(nr::RT_SIGSUSPEND, [SPARE, 9])
            .expect("sigsetsize", EINVAL);
    });
    assert_eq!(code, 0);
}

/// Rule 5.
#[test]
fn kill_refuses_what_the_manual_says() {
    let code = run(|p| {
        p.fork(20, |_| {}).sleep(1_000_000);
        p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 10])
            .expect("a zombie", 0);
        p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 65])
            .expect("signal 65", EINVAL);
        p.expect_status(20, 0, 0);
        p.call_with(nr::KILL, |cpu| vec![cpu.regs().x[20], 10])
            .expect("nobody", ESRCH);
        p.call(nr::KILL, [0x8000_0000, 10]).expect("INT_MIN", ESRCH);
        p.call(nr::KILL, [(-30000i64) as u64, 10])
            .expect("no such group", ESRCH);
        p.call(nr::TGKILL, [1, 0, 10]).expect("tid 0", EINVAL);
        p.call(nr::TKILL, [0, 10]).expect("tid 0", EINVAL);
        p.call(nr::GETPID, []);
        p.call_with(nr::TGKILL, |cpu| vec![1, cpu.regs().x[0], 10])
            .expect("wrong tgid", ESRCH);
        p.call(nr::KILL, [1, 0]).expect("init exists", 0);
    });
    assert_eq!(code, 0);
}

/// Rule 5: EPERM, and SIGCONT within the session.
#[test]
fn kill_of_another_users_process_is_eperm_but_for_sigcont() {
    let code = run(|p| {
        p.call(nr::SETRESUID, [1000, 1000, 1000])
            .expect("setresuid", 0);
        p.call(nr::KILL, [1, 0]).expect("signal 0", EPERM);
        p.call(nr::KILL, [1, 15]).expect("SIGTERM", EPERM);
        p.call(nr::KILL, [1, 18]).expect("SIGCONT", 0);
        p.raise(0);
    });
    assert_eq!(code, 0);
}

/// Rule 24.
#[test]
fn init_does_not_notice_signals_that_it_does_not_handle() {
    let code = run(|p| {
        for signal in [1, 9, 15, 19, 40, 64] {
            p.call(nr::KILL, [1, signal]).expect("kill", 0);
        }
        p.sleep(1_000_000);
    });
    assert_eq!(code, 0);
}

/// Rule 10.
#[test]
fn fork_clears_what_pends_and_keeps_mask_actions_and_stack() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(12, &handler, 0, 0)
            .mask(SIG_BLOCK, bit(10))
            .raise(10);
        p.store(SPARE, &[DATA + 0x2000, 0, 0x2000])
            .call(nr::SIGALTSTACK, [SPARE, 0])
            .expect("sigaltstack", 0);
        let inside = log.clone();
        p.fork(20, |p| {
            p.call(nr::RT_SIGPENDING, [SPARE, 8])
                .call(nr::RT_SIGPROCMASK, [0, 0, SPARE + 8, 8]);
            p.call(nr::SIGALTSTACK, [0, SPARE + 16]).step(move |cpu| {
                for word in [0, 8, 16, 32] {
                    inside.note(cpu.load_u64(SPARE + word)?);
                }
                Ok(())
            });
            p.raise(12);
        });
        p.expect_status(20, 0, 0);
    });
    assert_eq!(
        (code, log.take()),
        (0, vec![0, bit(10), DATA + 0x2000, 0x2000, 12])
    );
}

/// Rule 21.
#[test]
fn handler_on_the_alternate_stack_runs_there_and_the_stack_cannot_change() {
    let (log, handler) = (Log::default(), Label::default());
    const BASE: u64 = DATA + 0x2000;
    let code = run(|p| {
        let inside = log.clone();
        p.aside(|p| {
            p.place(&handler).act(move |regs| {
                assert!(regs.sp >= BASE && regs.sp < BASE + 0x3000);
                inside.note(regs.x[0]);
                regs.x[20] = regs.x[30];
            });
            p.store(SPARE, &[0, 2, 0])
                .call(nr::SIGALTSTACK, [SPARE, 0])
                .expect("while in use", EPERM);
            p.call(nr::SIGALTSTACK, [0, SPARE]).step(|cpu| {
                assert_eq!(cpu.load_u64(SPARE + 8)? as u32, 1, "SS_ONSTACK");
                Ok(())
            });
            p.act(|regs| regs.x[30] = regs.x[20]).leave_handler();
        });
        p.store(SPARE, &[BASE, 0, 5119])
            .call(nr::SIGALTSTACK, [SPARE, 0])
            .expect("too small", ENOMEM);
        p.store(SPARE, &[BASE, 8, 0x3000])
            .call(nr::SIGALTSTACK, [SPARE, 0])
            .expect("bad flags", EINVAL);
        p.store(SPARE, &[BASE, 0, 0x3000])
            .call(nr::SIGALTSTACK, [SPARE, 0])
            .expect("sigaltstack", 0);
        p.handle(10, &handler, SA_ONSTACK, 0).raise(10).raise(10);
        p.call(nr::SIGALTSTACK, [0, SPARE]).step(|cpu| {
            assert_eq!(
                (cpu.load_u64(SPARE)?, cpu.load_u64(SPARE + 8)? as u32),
                (BASE, 0)
            );
            Ok(())
        });
    });
    assert_eq!((code, log.take()), (0, vec![10, 10]));
}

/// Rule 15: a thread that blocks the signal is passed over, whoever is asked first.
#[test]
fn signal_to_a_process_goes_to_a_thread_that_does_not_block_it() {
    let (log, handler) = (Log::default(), Label::default());
    const FLAG: u64 = DATA + 0x800;
    let code = run(|p| {
        let inside = log.clone();
        p.aside(|p| {
            p.place(&handler)
                .act(|regs| regs.x[20] = regs.x[30])
                .call(nr::GETTID, [])
                .act(move |regs| {
                    inside.note(regs.x[0]);
                });
            p.store(FLAG, &[1])
                .act(|regs| regs.x[30] = regs.x[20])
                .leave_handler();
        });
        p.handle(10, &handler, 0, 0).mask(SIG_BLOCK, bit(10));
        // CLONE_VM, FS, FILES, SIGHAND, THREAD; the new thread inherits the mask, then opens it.
        let (thread, waits) = (Label::default(), Label::default());
        p.call(nr::CLONE, [0x1_0f00, STACK + 0x1_0000, 0, 0, 0])
            .jump_if_zero(&thread);
        let main = log.clone();
        p.act(move |regs| main.note(regs.x[0]));
        p.sleep(1_000_000).raise(10).place(&waits).step(|cpu| {
            cpu.regs().x[0] = cpu.load_u64(FLAG)?;
            Ok(())
        });
        p.jump_if_zero(&waits).call(nr::EXIT_GROUP, [0]);
        p.place(&thread).store(STACK + 0x1_0000, &[0]);
        p.call(nr::RT_SIGPROCMASK, [SIG_SETMASK, STACK + 0x1_0000, 0, 8]);
        let sleeps = Label::default();
        p.place(&sleeps)
            .store(STACK + 0x1_0000, &[1, 0])
            .call(nr::NANOSLEEP, [STACK + 0x1_0000, 0])
            .jump(&sleeps);
    });
    let noted = log.take();
    assert_eq!((code, noted.len()), (0, 2), "{noted:?}");
    assert_eq!(noted[0], noted[1], "the second thread handled it");
}
