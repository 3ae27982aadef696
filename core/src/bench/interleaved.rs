//! A machine whose CPUs are threads of the model checker: the kernel's own loop runs on each, and every lock that it takes is a
//! point where the checker may go on with another. Memory is the emulated machine's. There is no clock.
//!
//! A program is a function from the count of its steps so far and its registers to the next call. When so many as are to
//! come to their ends have, the machine stops. CPUs that rest for ever before that are a deadlock, which the checker reports.

use std::boxed::Box;
use std::cell::Cell;
use std::sync::Arc;
use std::vec::Vec;

use halyard_abi::nr;
use halyard_cell::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};

use super::kernel::{kernel, process, thread};
use crate::host::{Config, HostMachine};
use crate::kernel::Kernel;
use crate::machine::{
    CpuId, Frame, Irq, Machine, OutOfMemory, PageTable, Shutdown, SpaceToken, Trap, UserContext,
    UserRegs,
};
use crate::mm::AddressSpace;
use crate::process::table::INIT;
use crate::sched::task::Task;
use crate::time::Instant;

const FRAMES: usize = 128;
const STEP_BYTES: u64 = 4;

/// What a program does next.
pub(crate) enum Step {
    /// A system call.
    Call(usize, [u64; 6]),
    /// It has come to its end, which counts.
    End,
    /// It does nothing any more, which does not.
    Rest,
}

/// A program: what it does at its step of this number, as the registers are.
pub(crate) type Script = fn(u64, &mut UserRegs) -> Step;

loom::thread_local! {
    static CPU: Cell<u8> = Cell::new(0);
}

struct Cpu {
    /// Whether an interrupt waits for it.
    kicked: Mutex<bool>,
    told: Condvar,
}

/// The machine.
pub(crate) struct Interleaved {
    memory: &'static HostMachine,
    cpus: Vec<Cpu>,
    scripts: Vec<Script>,
    /// How many programs are still to come to their ends. Each CPU counts in vain at each of its turns and steps: so the
    /// checker sees that their order matters, of which the kernel's plain loads and stores tell it nothing.
    running: AtomicUsize,
}

/// Runs `scripts`, each as a process of its own, on `cpus` CPUs. `prepare` is given the kernel and the processes' tasks before
/// they start, `judge` the kernel when `ends` of the programs have come to their ends.
pub(crate) fn run<T>(
    shape: (usize, usize),
    scripts: &[Script],
    prepare: impl FnOnce(&'static Kernel, &[Box<Task>]) -> T,
    judge: impl FnOnce(&'static Kernel, T),
) {
    run_tasks(
        shape,
        scripts,
        |kernel, _| process(kernel, INIT, 0),
        prepare,
        judge,
    );
}

/// As [`run`], each as a thread of the same process, whose memory `judge` is given too.
pub(crate) fn run_threads(
    shape: (usize, usize),
    scripts: &[Script],
    judge: impl FnOnce(&'static Kernel, Arc<AddressSpace>),
) {
    let task = |kernel, before: &[Box<Task>]| match before.first() {
        Some(first) => thread(kernel, first, 0),
        None => process(kernel, INIT, 0),
    };
    let space = |_, tasks: &[Box<Task>]| Arc::clone(&tasks[0].space);
    run_tasks(shape, scripts, task, space, judge);
}

fn run_tasks<T>(
    (cpus, ends): (usize, usize),
    scripts: &[Script],
    task: impl Fn(&'static Kernel, &[Box<Task>]) -> Box<Task>,
    prepare: impl FnOnce(&'static Kernel, &[Box<Task>]) -> T,
    judge: impl FnOnce(&'static Kernel, T),
) {
    let config = Config {
        frames: FRAMES,
        ..Config::default()
    };
    let (host, memory) = HostMachine::new(config);
    let machine: &'static Interleaved = Box::leak(Box::new(Interleaved {
        memory: host,
        cpus: (0..cpus)
            .map(|_| Cpu {
                kicked: Mutex::new(false),
                told: Condvar::new(),
            })
            .collect(),
        scripts: scripts.to_vec(),
        running: AtomicUsize::new(ends),
    }));
    let kernel = kernel(machine, memory, 0);
    let init = process(kernel, 0, 0);
    assert_eq!(init.thread.tid, INIT);
    let mut tasks: Vec<Box<Task>> = Vec::new();
    for which in 0..scripts.len() {
        let mut task = task(kernel, &tasks);
        task.context.tpidr = which as u64;
        tasks.push(task);
    }
    let prepared = prepare(kernel, &tasks);
    for (task, cpu) in tasks.into_iter().zip((0..cpus).cycle()) {
        task.thread.schedule.home.move_to(CpuId(cpu as u8));
        kernel.scheduler.enqueue(machine, task);
    }
    let others: Vec<_> = (1..cpus)
        .map(|cpu| {
            loom::thread::spawn(move || {
                CPU.with(|it| it.set(cpu as u8));
                machine.run_cpu(kernel);
            })
        })
        .collect();
    machine.run_cpu(kernel);
    for other in others {
        assert!(other.join().is_ok());
    }
    judge(kernel, prepared);
    drop(init);
}

impl Interleaved {
    fn run_cpu(&self, kernel: &'static Kernel) {
        kernel.scheduler.online(self.cpu());
        while self.goes_on() {
            kernel.turn(kernel.this_cpu());
        }
    }

    fn goes_on(&self) -> bool {
        self.running.fetch_add(0, Ordering::SeqCst) > 0
    }

    /// A program has come to its end.
    fn one_less(&self) {
        let before = self.running.fetch_sub(1, Ordering::SeqCst);
        if before == 1 {
            (0..self.cpus.len()).for_each(|cpu| self.kick(CpuId(cpu as u8)));
        }
    }
}

impl Machine for Interleaved {
    fn cpu(&self) -> CpuId {
        CpuId(CPU.with(Cell::get))
    }

    fn now(&self) -> Instant {
        Instant(0)
    }

    fn set_alarm(&self, _: Instant) {}

    fn kick(&self, cpu: CpuId) {
        if let Some(cpu) = self.cpus.get(usize::from(cpu.0)) {
            *cpu.kicked.lock().unwrap() = true;
            cpu.told.notify_one();
        }
    }

    fn idle(&self) -> Irq {
        let cpu = &self.cpus[usize::from(self.cpu().0)];
        let mut kicked = cpu.kicked.lock().unwrap();
        while !*kicked && self.goes_on() {
            kicked = cpu.told.wait(kicked).unwrap();
        }
        *kicked = false;
        Irq::Kick
    }

    fn run_user(&self, context: &mut UserContext, _: SpaceToken) -> Trap {
        let kicked = &self.cpus[usize::from(self.cpu().0)].kicked;
        if std::mem::take(&mut *kicked.lock().unwrap()) {
            return Trap::Interrupt(Irq::Kick);
        }
        self.goes_on();
        let regs = &mut context.regs;
        let step = regs.pc / STEP_BYTES;
        regs.pc += STEP_BYTES;
        let script = self.scripts[context.tpidr as usize];
        match script(step, regs) {
            Step::Call(number, arguments) => {
                regs.x[8] = number as u64;
                regs.x[..6].copy_from_slice(&arguments);
            }
            end => {
                if matches!(end, Step::End) {
                    self.one_less();
                }
                // Of nothing, without a time-out: for ever.
                regs.x[8] = nr::PPOLL as u64;
                regs.x[..6].fill(0);
            }
        }
        Trap::Syscall
    }

    fn release(&self, context: &mut UserContext) {
        self.memory.release(context);
    }

    fn sync_code(&self, frame: Frame) {
        self.memory.sync_code(frame);
    }

    fn read_frame(&self, frame: Frame, offset: usize, dst: &mut [u8]) {
        self.memory.read_frame(frame, offset, dst);
    }

    fn write_frame(&self, frame: Frame, offset: usize, src: &[u8]) {
        self.memory.write_frame(frame, offset, src);
    }

    fn zero_frame(&self, frame: Frame) {
        self.memory.zero_frame(frame);
    }

    fn copy_frame(&self, from: Frame, to: Frame) {
        self.memory.copy_frame(from, to);
    }

    fn compare_exchange_u32(&self, frame: Frame, offset: usize, expected: u32, new: u32) -> u32 {
        self.memory
            .compare_exchange_u32(frame, offset, expected, new)
    }

    fn load_u32(&self, frame: Frame, offset: usize) -> u32 {
        self.memory.load_u32(frame, offset)
    }

    fn new_page_table(&self) -> Result<Box<dyn PageTable>, OutOfMemory> {
        self.memory.new_page_table()
    }

    fn heap_ready(&self) -> bool {
        true
    }

    fn console_write(&self, _: &[u8]) {}

    fn console_read(&self, _: &mut [u8]) -> usize {
        0
    }

    fn entropy(&self, into: &mut [u8]) {
        into.fill(1);
    }

    fn shutdown(&self, how: Shutdown) -> ! {
        panic!("the kernel shut the machine down: {how:?}")
    }
}
