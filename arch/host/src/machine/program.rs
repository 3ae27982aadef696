//! Emulated programs. An instruction is a closure at an address; its state is the thread's registers and memory, so fork,
//! clone, exec, signals and restarts work on programs as they do on hardware.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use halyard_core::machine::{
    Access, FaultKind, Frame, PAGE_SIZE, SpaceToken, Trap, UserAddr, UserContext, UserRegs,
};

use super::{HostMachine, locked};

/// Bytes of an instruction.
const STEP_BYTES: u64 = 4;

/// One instruction. Err: it trapped; after a [`Trap::Fault`] it is done again, after a [`Trap::Syscall`] the next one is.
pub type Step = dyn Fn(&mut HostCpu<'_>) -> Result<(), Trap> + Send + Sync;

/// A place in a program, for [`HostCpu::jump`]; may be placed after it is used.
#[derive(Clone, Debug, Default)]
pub struct Label(Arc<AtomicU64>);

impl Label {
    /// Where it was placed; 0 if it was not.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A program being written.
pub struct Program {
    start: u64,
    steps: Vec<Arc<Step>>,
}

impl Program {
    /// A program whose first step is at `start` (a multiple of 4).
    #[must_use]
    pub fn at(start: u64) -> Program {
        Program {
            start,
            steps: Vec::new(),
        }
    }

    /// The address of the next step.
    #[must_use]
    pub fn here(&self) -> u64 {
        self.start + STEP_BYTES * self.steps.len() as u64
    }

    /// Places a label at the next step.
    pub fn place(&mut self, label: &Label) -> &mut Self {
        label.0.store(self.here(), Ordering::Relaxed);
        self
    }

    /// Adds a step.
    pub fn step(
        &mut self,
        step: impl Fn(&mut HostCpu<'_>) -> Result<(), Trap> + Send + Sync + 'static,
    ) -> &mut Self {
        self.steps.push(Arc::new(step));
        self
    }

    /// Adds a system call with constant arguments; its result is in x0 at the next step.
    pub fn call<const N: usize>(&mut self, number: usize, arguments: [u64; N]) -> &mut Self {
        self.step(move |cpu| cpu.syscall(number, &arguments))
    }

    /// Adds a step that checks x0, and ends the test with `what` if it is something else.
    pub fn expect(&mut self, what: &'static str, x0: i64) -> &mut Self {
        self.step(move |cpu| {
            assert_eq!(cpu.regs().x[0].cast_signed(), x0, "{what}");
            Ok(())
        })
    }

    /// Adds a jump.
    pub fn jump(&mut self, to: &Label) -> &mut Self {
        let to = to.clone();
        self.step(move |cpu| {
            cpu.jump(to.address());
            Ok(())
        })
    }

    /// Adds a jump that is made when x0 is 0.
    pub fn jump_if_zero(&mut self, to: &Label) -> &mut Self {
        let to = to.clone();
        self.step(move |cpu| {
            if cpu.regs().x[0] == 0 {
                cpu.jump(to.address());
            }
            Ok(())
        })
    }
}

/// What is at which address.
#[derive(Default)]
pub(super) struct Programs {
    steps: Mutex<BTreeMap<u64, Arc<Step>>>,
}

impl Programs {
    pub(super) fn install(&self, program: Program) {
        let mut steps = locked(&self.steps);
        for (address, step) in (program.start..)
            .step_by(STEP_BYTES as usize)
            .zip(program.steps)
        {
            steps.insert(address, step);
        }
    }

    fn at(&self, address: u64) -> Option<Arc<Step>> {
        locked(&self.steps).get(&address).cloned()
    }
}

/// What a step can do: the registers, and memory through the page table.
pub struct HostCpu<'a> {
    /// The thread's registers.
    pub context: &'a mut UserContext,
    machine: &'a HostMachine,
    space: SpaceToken,
    next: u64,
}

impl HostCpu<'_> {
    /// The general registers.
    pub fn regs(&mut self) -> &mut UserRegs {
        &mut self.context.regs
    }

    /// Goes on at `address`.
    pub fn jump(&mut self, address: u64) {
        self.next = address;
    }

    /// Makes a system call: `return cpu.syscall(...)`.
    pub fn syscall(&mut self, number: usize, arguments: &[u64]) -> Result<(), Trap> {
        self.context.regs.x[8] = number as u64;
        for (register, argument) in self.context.regs.x.iter_mut().zip(arguments) {
            *register = *argument;
        }
        Err(Trap::Syscall)
    }

    /// Loads bytes; Err is the page fault.
    pub fn load(&self, address: u64, into: &mut [u8]) -> Result<(), Trap> {
        let mut done = 0;
        while done < into.len() {
            let at = address as usize + done;
            let frame = self.reach(at, Access::READ)?;
            let count = (PAGE_SIZE - at % PAGE_SIZE).min(into.len() - done);
            let part = &mut into[done..done + count];
            self.machine
                .ram
                .with(frame, at % PAGE_SIZE, count, |bytes| {
                    part.copy_from_slice(bytes)
                });
            done += count;
        }
        Ok(())
    }

    /// Stores bytes; Err is the page fault.
    pub fn store(&self, address: u64, bytes: &[u8]) -> Result<(), Trap> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address as usize + done;
            let frame = self.reach(at, Access::WRITE)?;
            let count = (PAGE_SIZE - at % PAGE_SIZE).min(bytes.len() - done);
            let part = &bytes[done..done + count];
            self.machine.ram.with(frame, at % PAGE_SIZE, count, |ram| {
                ram.copy_from_slice(part)
            });
            done += count;
        }
        Ok(())
    }

    /// Loads a u64.
    pub fn load_u64(&self, address: u64) -> Result<u64, Trap> {
        let mut bytes = [0; 8];
        self.load(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Stores a u64.
    pub fn store_u64(&self, address: u64, value: u64) -> Result<(), Trap> {
        self.store(address, &value.to_le_bytes())
    }

    fn reach(&self, address: usize, access: Access) -> Result<Frame, Trap> {
        self.machine.reach(self.space, address, access)
    }
}

impl HostMachine {
    /// The frame at `address` if `access` is allowed there, else the fault.
    fn reach(&self, space: SpaceToken, address: usize, access: Access) -> Result<Frame, Trap> {
        match self.tables.translate(space, address) {
            Some(mapping) if mapping.access.contains(access) => Ok(mapping.frame),
            _ => Err(Trap::Fault {
                kind: FaultKind::Page(access),
                address: UserAddr(address),
                esr: 0,
            }),
        }
    }

    /// Does steps until one traps.
    pub(super) fn run_steps(&self, context: &mut UserContext, space: SpaceToken) -> Trap {
        loop {
            if let Some(irq) = self.cpus.pending() {
                return Trap::Interrupt(irq);
            }
            if let Err(trap) = self.step(context, space) {
                return trap;
            }
        }
    }

    fn step(&self, context: &mut UserContext, space: SpaceToken) -> Result<(), Trap> {
        let pc = context.regs.pc;
        if self.config.fetch_checks {
            self.reach(space, pc as usize, Access::EXECUTE)?;
        }
        let Some(step) = self.programs.at(pc) else {
            let kind = FaultKind::Page(Access::EXECUTE);
            return Err(Trap::Fault {
                kind,
                address: UserAddr(pc as usize),
                esr: 0,
            });
        };
        self.cpus.advance(self.config.step_ns);
        let before = context.regs;
        let mut cpu = HostCpu {
            context,
            machine: self,
            space,
            next: pc + STEP_BYTES,
        };
        let result = step(&mut cpu);
        let next = cpu.next;
        match result {
            Err(Trap::Fault { .. }) => context.regs = before,
            _ => context.regs.pc = next,
        }
        result
    }
}
