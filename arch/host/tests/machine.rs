//! The emulated machine itself: programs trap and go on, CPUs take turns the same way every time.

use std::sync::{Mutex, PoisonError};

use halyard_arch_host::{Config, End, HostMachine, Program};
use halyard_core::machine::{
    Access, CpuId, FaultKind, Irq, Machine, Mapping, Shutdown, Trap, UserAddr, UserContext,
};
use halyard_core::time::Instant;

#[test]
fn program_faulting_store_is_done_again_once_the_page_is_there() {
    let (machine, memory) = HostMachine::new(Config::default());
    let mut table = machine.new_page_table().unwrap();
    let mut program = Program::at(0x1000);
    program
        .step(|cpu| cpu.store_u64(0x5ffc, 0x1122_3344_5566_7788))
        .call(64, [7, 8]);
    machine.install(program);
    let mut context = UserContext::default();
    context.regs.pc = 0x1000;
    for page in [0x5000, 0x6000] {
        let trap = machine.run_user(&mut context, table.token());
        assert!(
            matches!(
                trap,
                Trap::Fault {
                    kind: FaultKind::Page(Access::WRITE),
                    ..
                }
            ),
            "{trap:?}"
        );
        assert_eq!(context.regs.pc, 0x1000);
        let frame = memory.frames.allocate().unwrap();
        table
            .map(
                UserAddr(page),
                Mapping {
                    frame,
                    access: Access::READ | Access::WRITE,
                },
            )
            .unwrap();
    }
    assert_eq!(machine.run_user(&mut context, table.token()), Trap::Syscall);
    assert_eq!(
        (context.regs.pc, context.regs.x[8], context.regs.x[1]),
        (0x1008, 64, 8)
    );
    table.update_range(UserAddr(0), UserAddr(0x10000), &mut |_, mapping| {
        memory.frames.release(mapping.frame);
        None
    });
    drop(table);
    assert_eq!(memory.frames.free(), memory.frames.total());
}

#[test]
fn program_without_a_step_faults_on_fetch() {
    let (machine, _) = HostMachine::new(Config::default());
    let table = machine.new_page_table().unwrap();
    let mut context = UserContext::default();
    context.regs.pc = 0x40;
    let trap = machine.run_user(&mut context, table.token());
    assert!(matches!(
        trap,
        Trap::Fault {
            kind: FaultKind::Page(Access::EXECUTE),
            address: UserAddr(0x40),
            ..
        }
    ));
}

/// Who ran when: four CPUs that idle with alarms and kick each other.
fn trace(seed: u64) -> (Vec<(CpuId, Irq, Instant)>, End) {
    let (machine, _) = HostMachine::new(Config {
        cpus: 4,
        seed,
        ..Config::default()
    });
    let log = Mutex::new(Vec::new());
    let end = machine.run(|| {
        for round in 0..20_u64 {
            let me = machine.cpu();
            machine.set_alarm(machine.now().after(100 + round * u64::from(me.0)));
            let irq = machine.idle();
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push((me, irq, machine.now()));
            drop(log);
            machine.kick(CpuId((me.0 + 1) % 4));
        }
        machine.shutdown(Shutdown::PowerOff(3));
    });
    (
        log.into_inner().unwrap_or_else(PoisonError::into_inner),
        end,
    )
}

#[test]
fn cpus_with_one_seed_run_the_same_way() {
    let (first, end) = trace(5);
    assert_eq!(end, End::Shutdown(Shutdown::PowerOff(3)));
    assert!(first.len() >= 20);
    assert_eq!((&first, end), (&trace(5).0, trace(5).1));
    assert_ne!(first, trace(6).0);
}

#[test]
fn cpus_all_idle_for_ever_end_the_run() {
    let (machine, _) = HostMachine::new(Config {
        cpus: 2,
        ..Config::default()
    });
    let end = machine.run(|| {
        loop {
            machine.idle();
        }
    });
    assert_eq!(end, End::Idle);
}

#[test]
#[should_panic(expected = "on purpose")]
fn cpu_that_panics_ends_the_test() {
    let (machine, _) = HostMachine::new(Config {
        cpus: 2,
        ..Config::default()
    });
    machine.run(|| {
        if machine.cpu() == CpuId(1) {
            panic!("on purpose");
        }
        loop {
            machine.idle();
        }
    });
}
