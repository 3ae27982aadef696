//! Faults of instructions, and frames that make no sense.

use std::vec;

use halyard_abi::nr;

use crate::bench::*;
use crate::host::{Label, Program};
use crate::machine::{FaultKind, Trap, UserAddr};

/// Rule 12: si_addr and si_code; the handler may mend what was wrong and the instruction is done again.
#[test]
fn segv_tells_the_address_and_the_instruction_is_done_again() {
    let (log, handler) = (Log::default(), Label::default());
    let code = run(|p| {
        let inside = log.clone();
        p.aside(|p| {
            p.place(&handler).step(move |cpu| {
                let frame = cpu.regs().sp;
                inside.note(cpu.load_u64(frame + 8)? & 0xffff_ffff);
                inside.note(cpu.load_u64(frame + 16)?);
                inside.note(cpu.load_u64(frame + 128 + 176)?);
                // x19 in the frame: the address that the instruction uses.
                cpu.store_u64(frame + 128 + 184 + 19 * 8, DATA)
            });
            p.leave_handler();
        });
        p.handle(11, &handler, SA_SIGINFO, 0)
            .act(|regs| regs.x[19] = DATA_END + 0x18);
        p.step(|cpu| cpu.store_u64(cpu.context.regs.x[19], 5));
        p.step(|cpu| {
            assert_eq!((cpu.regs().x[19], cpu.load_u64(DATA)?), (DATA, 5));
            Ok(())
        });
    });
    assert_eq!((code, log.take()), (0, vec![1, DATA_END + 0x18, 0]));
}

/// Rule 13.
#[test]
fn segv_that_is_blocked_or_ignored_ends_the_program() {
    let wild = |p: &mut Program| {
        p.step(|cpu| cpu.store_u64(DATA_END, 1));
    };
    assert_eq!(run(wild), 128 + 11);
    assert_eq!(run(|p| wild(p.mask(SIG_BLOCK, bit(11)))), 128 + 11);
    assert_eq!(run(|p| wild(p.dispose(11, 1))), 128 + 11);
    let (log, handler) = (Log::default(), Label::default());
    assert_eq!(
        run(|p| wild(
            p.noting_handler(&handler, &log)
                .handle(11, &handler, 0, 0)
                .mask(0, bit(11))
        )),
        128 + 11
    );
    assert_eq!(log.take(), []);
}

/// Rule 12: each kind of fault has its signal, and its ESR is in the frame.
#[test]
fn each_kind_of_fault_is_its_signal() {
    let kinds = [
        (FaultKind::Alignment, 7),
        (FaultKind::External, 7),
        (FaultKind::Undefined, 4),
        (FaultKind::Breakpoint, 5),
        (FaultKind::Step, 5),
        (FaultKind::FloatingPoint, 8),
    ];
    for (kind, signal) in kinds {
        let fault = Trap::Fault {
            kind,
            address: UserAddr(0x1234),
            esr: 0x9200_0021,
        };
        assert_eq!(
            run(|p| {
                p.step(move |_| Err(fault));
            }),
            128 + signal,
            "{kind:?}"
        );
        let (log, handler) = (Log::default(), Label::default());
        let code = run(|p| {
            let inside = log.clone();
            p.aside(|p| {
                p.place(&handler).step(move |cpu| {
                    let (frame, signal) = (cpu.regs().sp, cpu.regs().x[0]);
                    let records = frame + 128 + 464;
                    inside.note(cpu.load_u64(records + 528)?);
                    inside.note(cpu.load_u64(records + 536)?);
                    cpu.syscall(nr::EXIT_GROUP, &[signal])
                });
            });
            p.handle(u64::from(signal), &handler, SA_SIGINFO, 0)
                .step(move |_| Err(fault));
        });
        assert_eq!(
            (code, log.take()),
            (signal, vec![16 << 32 | 0x4553_5201, 0x9200_0021])
        );
    }
}

/// Rules 13 and 24: init is spared what others send, not what it does itself.
#[test]
fn fault_of_init_ends_it_like_any_other() {
    let code = run_as_init(|p| {
        p.raise(15).raise(9).step(|cpu| cpu.store_u64(0, 1));
    });
    assert_eq!(code, 128 + 11);
}

/// Rule 22: what a frame may say.
#[test]
fn sigreturn_to_another_level_or_with_a_bad_frame_is_segv() {
    const CONTEXT: u64 = 128;
    const RECORDS: u64 = CONTEXT + 464;
    let spoils: [(&str, u64, u64); 8] = [
        ("PSTATE of EL1", CONTEXT + 176 + 8 + 33 * 8, 0x5),
        ("PSTATE of AArch32", CONTEXT + 176 + 8 + 33 * 8, 0x10),
        (
            "PSTATE with interrupts masked",
            CONTEXT + 176 + 8 + 33 * 8,
            0x80,
        ),
        ("no FP state", RECORDS, 0),
        (
            "FP state of another size",
            RECORDS,
            0x220 << 32 | 0x4650_8001,
        ),
        ("a record of unknown kind", RECORDS + 528, 16 << 32 | 0x1234),
        ("the FP state twice", RECORDS + 528, 528 << 32 | 0x4650_8001),
        (
            "a record beyond the end",
            RECORDS + 528,
            0x1000 << 32 | 0x4553_5201,
        ),
    ];
    for (what, offset, word) in spoils {
        let handler = Label::default();
        let code = run(|p| {
            p.aside(|p| {
                p.place(&handler)
                    .step(move |cpu| cpu.store_u64(cpu.context.regs.sp + offset, word))
                    .leave_handler();
            });
            p.handle(10, &handler, 0, 0).raise(10);
        });
        assert_eq!(code, 128 + 11, "{what}");
    }
}

/// A program may lay the records out anew, as long as they make sense.
#[test]
fn sigreturn_takes_the_records_in_any_order() {
    const RECORDS: u64 = 128 + 464;
    let handler = Label::default();
    let code = run(|p| {
        p.aside(|p| {
            p.place(&handler).step(|cpu| {
                let records = cpu.regs().sp + RECORDS;
                let mut fp = [0; 528];
                cpu.load(records, &mut fp)?;
                cpu.store(records + 16, &fp)?;
                store_words(cpu, records, &[16 << 32 | 0x4553_5201, 0])?;
                cpu.context.fp.v[5] = 0;
                store_words(cpu, records + 544, &[0, 0])
            });
            p.leave_handler();
        });
        p.handle(10, &handler, 0, 0);
        p.step(|cpu| {
            cpu.context.fp.v[5] = 77;
            Ok(())
        });
        p.raise(10).step(|cpu| {
            assert_eq!(cpu.context.fp.v[5], 77);
            Ok(())
        });
    });
    assert_eq!(code, 0);
}

#[test]
fn sigreturn_from_a_stack_that_is_not_there_is_segv() {
    for sp in [0, 8, DATA + 8, DATA_END, DATA_END - 64, u64::MAX, !15] {
        let code = run(|p| {
            p.act(move |regs| regs.sp = sp).call(nr::RT_SIGRETURN, []);
        });
        assert_eq!(code, 128 + 11, "{sp:#x}");
    }
}

/// The bits of PSTATE that a program may choose, it may; the others never arrive.
#[test]
fn sigreturn_keeps_the_flags_and_drops_what_is_not_the_programs() {
    let handler = Label::default();
    let code = run(|p| {
        p.aside(|p| {
            p.place(&handler).step(|cpu| {
                cpu.store_u64(
                    cpu.context.regs.sp + 128 + 176 + 8 + 33 * 8,
                    0xffff_ffff_ffff_f020,
                )
            });
            p.leave_handler();
        });
        p.handle(10, &handler, 0, 0)
            .raise(10)
            .act(|regs| assert_eq!(regs.pstate, 0xf000_0000));
    });
    assert_eq!(code, 0);
}

#[test]
fn frame_that_cannot_be_written_is_segv_on_the_alternate_stack_or_the_end() {
    let (log, handler, segv) = (Log::default(), Label::default(), Label::default());
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(10, &handler, 0, 0)
            .act(|regs| regs.sp = 0x800)
            .raise(10);
    });
    assert_eq!((code, log.take()), (128 + 11, vec![]));
    let code = run(|p| {
        p.noting_handler(&handler, &log).handle(10, &handler, 0, 0);
        p.aside(|p| {
            p.place(&segv)
                .act(|regs| regs.x[0] += 40)
                .call_with(nr::EXIT_GROUP, |cpu| vec![cpu.regs().x[0]]);
        });
        p.handle(11, &segv, SA_ONSTACK, 0)
            .store(DATA, &[DATA + 0x2000, 0, 0x3000]);
        p.call(nr::SIGALTSTACK, [DATA, 0])
            .act(|regs| regs.sp = 0x800)
            .raise(10);
    });
    assert_eq!((code, log.take()), (51, vec![]));
    let code = run(|p| {
        p.noting_handler(&handler, &log)
            .handle(11, &handler, 0, 0)
            .act(|regs| regs.sp = 0x800)
            .raise(11);
    });
    assert_eq!((code, log.take()), (128 + 11, vec![]));
}
