//! Init, and a child of init that is the program under test.

use std::sync::{Arc, Mutex};
use std::vec::Vec;

use halyard_abi::nr;

pub(crate) use super::kernel::{DATA, DATA_END, STACK};
use super::kernel::{kernel, process};
use crate::host::{Config, End, HostCpu, HostMachine, Label as Place, Program};
use crate::kernel::Kernel;
use crate::machine::{Shutdown, Trap, UserRegs};
use crate::process::signal::TRAMPOLINE_AT;
use crate::process::table::INIT;

/// Where the bench's own calls keep what they pass by address.
const SCRATCH: u64 = DATA_END - 0x1000;
/// Where steps are.
const INIT_CODE: u64 = 0x1000_0000;
const TEST_CODE: u64 = 0x2000_0000;

pub(crate) const EINTR: i64 = -4;
pub(crate) const EAGAIN: i64 = -11;
pub(crate) const EPERM: i64 = -1;
pub(crate) const ESRCH: i64 = -3;
pub(crate) const ECHILD: i64 = -10;
pub(crate) const EINVAL: i64 = -22;
pub(crate) const EFAULT: i64 = -14;
pub(crate) const ENOMEM: i64 = -12;

pub(crate) const SA_SIGINFO: u64 = 4;
pub(crate) const SA_ONSTACK: u64 = 0x0800_0000;
pub(crate) const SA_RESTART: u64 = 0x1000_0000;
pub(crate) const SA_NODEFER: u64 = 0x4000_0000;
pub(crate) const SA_RESETHAND: u64 = 0x8000_0000;
pub(crate) const SIG_BLOCK: u64 = 0;
pub(crate) const SIG_UNBLOCK: u64 = 1;
pub(crate) const SIG_SETMASK: u64 = 2;

/// What steps note, outside the emulated machine.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u64>>>);

impl Log {
    pub(crate) fn note(&self, value: u64) {
        self.0.lock().unwrap().push(value);
    }

    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The bit of a signal in a set.
pub(crate) const fn bit(signal: u64) -> u64 {
    1 << (signal - 1)
}

/// Runs `write`'s program as a child of init, with nothing blocked and nothing set. Returns the exit code that a shell
/// would show; the program under test ends with 0 if it falls off its end.
pub(crate) fn run(write: impl FnOnce(&mut Program)) -> u8 {
    run_on(Config::default(), write)
}

/// As [`run`], on a machine of one's choice.
pub(crate) fn run_on(config: Config, write: impl FnOnce(&mut Program)) -> u8 {
    run_from(INIT_CODE, config, |program, _| write(program))
}

/// As [`run`]; the steps may reach into the kernel.
pub(crate) fn run_in(write: impl FnOnce(&mut Program, &'static Kernel)) -> u8 {
    run_from(INIT_CODE, Config::default(), write)
}

/// As [`run_in`], on a machine of one's choice.
pub(crate) fn run_in_on(config: Config, write: impl FnOnce(&mut Program, &'static Kernel)) -> u8 {
    run_from(INIT_CODE, config, write)
}

/// Runs `write`'s program as init itself. Returns the exit code of the machine.
pub(crate) fn run_as_init(write: impl FnOnce(&mut Program)) -> u8 {
    run_from(TEST_CODE, Config::default(), |program, _| write(program))
}

fn run_from(start: u64, config: Config, write: impl FnOnce(&mut Program, &'static Kernel)) -> u8 {
    let (machine, memory) = HostMachine::new(config);
    let kernel = kernel(machine, memory, 0);
    let mut test = Program::at(TEST_CODE);
    write(&mut test, kernel);
    test.call(nr::EXIT_GROUP, [0]);
    machine.install(test);
    machine.install(init());
    machine.install(trampoline());
    let init = process(kernel, 0, start);
    assert_eq!(init.thread.tid, INIT);
    kernel.scheduler.enqueue(kernel.machine, init);
    match machine.run(|| kernel.run_cpu()) {
        End::Shutdown(Shutdown::PowerOff(code)) => code,
        other => panic!("the machine ended with {other:?}"),
    }
}

/// Init: starts the program under test, waits until it has ended, and ends as it did. Others that it adopts it reaps.
fn init() -> Program {
    let (child, again) = (Place::default(), Place::default());
    let mut init = Program::at(INIT_CODE);
    init.call(nr::CLONE, [17, 0, 0, 0, 0])
        .jump_if_zero(&child)
        .act(|regs| {
            assert!(regs.x[0].cast_signed() > 0, "init's clone");
            regs.x[19] = regs.x[0];
        });
    init.place(&again)
        .call(nr::WAIT4, [u64::MAX, SCRATCH, 0, 0]);
    let another = again.clone();
    init.step(move |cpu| {
        assert!(cpu.regs().x[0].cast_signed() > 0, "init's wait4");
        if cpu.regs().x[0] != cpu.regs().x[19] {
            cpu.jump(another.address());
        }
        Ok(())
    });
    init.step(|cpu| {
        let status = cpu.load_u64(SCRATCH)? as u32;
        let code = if status & 0x7f == 0 {
            status >> 8 & 0xff
        } else {
            128 + (status & 0x7f)
        };
        cpu.syscall(nr::EXIT_GROUP, &[u64::from(code)])
    });
    init.place(&child).step(|cpu| {
        cpu.jump(TEST_CODE);
        Ok(())
    });
    init
}

/// What stands at the trampoline, as one step.
fn trampoline() -> Program {
    let mut program = Program::at(TRAMPOLINE_AT.0 as u64);
    program.step(|cpu| cpu.syscall(nr::RT_SIGRETURN, &[]));
    program
}

/// What tests write programs with, beside [`Program`]'s own.
pub(crate) trait Script {
    /// Sets a handler; the call must succeed.
    fn handle(&mut self, signal: u64, handler: &Place, flags: u64, mask: u64) -> &mut Self;
    /// Sets SIG_DFL (0) or SIG_IGN (1).
    fn dispose(&mut self, signal: u64, disposition: u64) -> &mut Self;
    /// Changes the mask.
    fn mask(&mut self, how: u64, set: u64) -> &mut Self;
    /// kill(getpid(), signal), which must succeed.
    fn raise(&mut self, signal: u64) -> &mut Self;
    /// Calls with arguments that are known only when the program runs.
    fn call_with(
        &mut self,
        number: usize,
        arguments: impl Fn(&mut HostCpu<'_>) -> Vec<u64> + Send + Sync + 'static,
    ) -> &mut Self;
    /// Stores words at an address.
    fn store(&mut self, address: u64, words: &[u64]) -> &mut Self;
    /// A handler that notes its signal and returns.
    fn noting_handler(&mut self, label: &Place, log: &Log) -> &mut Self;
    /// Does `act` to the registers.
    fn act(&mut self, act: impl Fn(&mut UserRegs) + Send + Sync + 'static) -> &mut Self;
    /// Returns from a handler.
    fn leave_handler(&mut self) -> &mut Self;
    /// Jumps over what `body` writes, so that it is run only when something jumps there.
    fn aside(&mut self, body: impl FnOnce(&mut Program)) -> &mut Self;
    /// fork(): what `child` writes is run by the child, which then exits with 0; the parent goes on with x0 the child's
    /// number, also in register `keep`.
    fn fork(&mut self, keep: usize, child: impl FnOnce(&mut Program)) -> &mut Self;
    /// wait4(pid in register `child`, options): expects the child and this status word.
    fn expect_status(&mut self, child: usize, options: u64, status: u32) -> &mut Self;
    /// nanosleep of so many ns, whatever it returns.
    fn sleep(&mut self, ns: u64) -> &mut Self;
}

impl Script for Program {
    fn handle(&mut self, signal: u64, handler: &Place, flags: u64, mask: u64) -> &mut Self {
        let handler = handler.clone();
        self.step(move |cpu| {
            store_words(cpu, SCRATCH, &[handler.address(), flags, 0, mask])?;
            cpu.syscall(nr::RT_SIGACTION, &[signal, SCRATCH, 0, 8])
        });
        self.expect("rt_sigaction", 0)
    }

    fn dispose(&mut self, signal: u64, disposition: u64) -> &mut Self {
        self.store(SCRATCH, &[disposition, 0, 0, 0]);
        self.call(nr::RT_SIGACTION, [signal, SCRATCH, 0, 8])
            .expect("rt_sigaction", 0)
    }

    fn mask(&mut self, how: u64, set: u64) -> &mut Self {
        self.store(SCRATCH, &[set]);
        self.call(nr::RT_SIGPROCMASK, [how, SCRATCH, 0, 8])
            .expect("rt_sigprocmask", 0)
    }

    fn raise(&mut self, signal: u64) -> &mut Self {
        self.call(nr::GETPID, []);
        self.call_with(nr::KILL, move |cpu| std::vec![cpu.regs().x[0], signal])
            .expect("kill", 0)
    }

    fn call_with(
        &mut self,
        number: usize,
        arguments: impl Fn(&mut HostCpu<'_>) -> Vec<u64> + Send + Sync + 'static,
    ) -> &mut Self {
        self.step(move |cpu| {
            let arguments = arguments(cpu);
            cpu.syscall(number, &arguments)
        })
    }

    fn store(&mut self, address: u64, words: &[u64]) -> &mut Self {
        let words = words.to_vec();
        self.step(move |cpu| store_words(cpu, address, &words))
    }

    fn noting_handler(&mut self, label: &Place, log: &Log) -> &mut Self {
        let (label, log) = (label.clone(), log.clone());
        self.aside(move |program| {
            program
                .place(&label)
                .act(move |regs| log.note(regs.x[0]))
                .leave_handler();
        })
    }

    fn act(&mut self, act: impl Fn(&mut UserRegs) + Send + Sync + 'static) -> &mut Self {
        self.step(move |cpu| {
            act(cpu.regs());
            Ok(())
        })
    }

    fn leave_handler(&mut self) -> &mut Self {
        self.step(|cpu| {
            let to = cpu.regs().x[30];
            cpu.jump(to);
            Ok(())
        })
    }

    fn aside(&mut self, body: impl FnOnce(&mut Program)) -> &mut Self {
        let over = Place::default();
        self.jump(&over);
        body(self);
        self.place(&over)
    }

    fn fork(&mut self, keep: usize, child: impl FnOnce(&mut Program)) -> &mut Self {
        let parent = Place::default();
        self.call(nr::CLONE, [17, 0, 0, 0, 0]);
        let to = parent.clone();
        self.step(move |cpu| {
            if cpu.regs().x[0] != 0 {
                cpu.jump(to.address());
            }
            Ok(())
        });
        child(self);
        self.call(nr::EXIT_GROUP, [0]);
        self.place(&parent)
            .act(move |regs| regs.x[keep] = regs.x[0])
    }

    fn expect_status(&mut self, child: usize, options: u64, status: u32) -> &mut Self {
        self.call_with(nr::WAIT4, move |cpu| {
            std::vec![cpu.regs().x[child], SCRATCH, options, 0]
        });
        self.step(move |cpu| {
            let word = cpu.load_u64(SCRATCH)? as u32;
            let (result, pid) = (cpu.regs().x[0], cpu.regs().x[child]);
            assert_eq!(
                (result, word),
                (pid, status),
                "wait4: child and status {word:#x}"
            );
            Ok(())
        })
    }

    fn sleep(&mut self, ns: u64) -> &mut Self {
        self.store(SCRATCH, &[ns / 1_000_000_000, ns % 1_000_000_000]);
        self.call(nr::NANOSLEEP, [SCRATCH, 0])
    }
}

/// Stores words at an address.
pub(crate) fn store_words(cpu: &HostCpu<'_>, address: u64, words: &[u64]) -> Result<(), Trap> {
    words
        .iter()
        .zip((address..).step_by(8))
        .try_for_each(|(word, at)| cpu.store_u64(at, *word))
}
