//! The kernel: what exists once, and the loop that each CPU runs.
//!
//! Owns the memory, the process table, the run queues and the alarms. There is one for each booted machine; nothing here
//! is a global, so that a test process can hold many.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::task::{Context, Poll};

use crate::devices::Devices;
use crate::fs::devices::Random;
use crate::fs::namespace::Namespace;
use crate::ipc::channel::{self, Exchange};
use crate::ipc::epoll::Nesting;
use crate::ipc::futex::FutexTable;
use crate::ipc::posix_mq::PosixQueues;
use crate::ipc::sysv::SysV;
use crate::ipc::unix::SocketNames;
use crate::log::Event;
use crate::machine::{CpuId, Irq, MAX_CPUS, Machine, Shutdown, Trap};
use crate::mm::{Memory, MemoryObject};
use crate::process::Pid;
use crate::process::exit;
use crate::process::signal::{self, Verdict};
use crate::process::table::ProcessTable;
use crate::process::thread::Thread;
use crate::sched::task::Task;
use crate::sched::{Cpu, Scheduler};
use crate::syscall;
use crate::syscall::Outcome;
use crate::time::Clock;
use crate::tty::Tty;
use crate::{Errno, Result};

/// What exists once.
pub struct Kernel {
    /// The machine.
    pub machine: &'static dyn Machine,
    /// Page frames and what is made of them.
    pub memory: &'static Memory,
    /// Processes and threads by number.
    pub processes: ProcessTable,
    /// Run queues and alarms.
    pub scheduler: Scheduler,
    /// Wall-clock offset.
    pub clock: Clock,
    /// The console terminal.
    pub console: Arc<Tty>,
    /// All names of files.
    pub names: Namespace,
    /// POSIX message queues by name.
    pub posix_queues: PosixQueues,
    /// Who waits on which words of memory.
    pub futexes: FutexTable,
    /// The right to have epoll instances watch each other.
    pub epolls: Nesting,
    /// The abstract names of sockets.
    pub sockets: Arc<SocketNames>,
    /// System V message queues, segments and semaphores.
    pub sysv: SysV,
    /// The random number generator.
    pub random: Random,
    /// The page of code that returns from signal handlers, mapped in every program.
    pub trampoline: Arc<MemoryObject>,
    /// The board's devices.
    pub devices: Devices,
    /// What the machine was started with (/proc/cmdline).
    pub command_line: &'static str,
}

/// What became of a task's turn on the CPU.
enum Turn {
    /// It goes on at once.
    Continue(Box<Task>),
    /// The CPU is free: the task is parked, queued or gone.
    Over,
}

impl Kernel {
    /// The loop of one CPU. Returns only when [`Kernel::shut_down`] ends the machine, that is never.
    pub fn run_cpu(&'static self) -> ! {
        let cpu = self.machine.cpu();
        let this = self.scheduler.cpu(cpu);
        self.scheduler.online(cpu);
        loop {
            self.turn(this);
        }
    }

    /// Once around the loop: runs a task until it gives the CPU up, or waits for something to do.
    #[inline]
    pub(crate) fn turn(&'static self, cpu: &Cpu) {
        match self.scheduler.next(self.machine, cpu.id) {
            Some(task) => self.run_task(cpu, task),
            None => self.rest(cpu),
        }
    }

    /// Waits for something to do.
    fn rest(&'static self, cpu: &Cpu) {
        self.scheduler.set_idle(cpu.id, true);
        // A task queued since `next` looked would have found this CPU not idle and kicked nobody.
        if !self.scheduler.work_for(cpu.id) {
            self.arm(cpu);
            cpu.begin_rest(self.machine.now());
            let irq = self.machine.idle();
            cpu.end_rest(self.machine.now());
            self.scheduler.set_idle(cpu.id, false);
            self.interrupt(cpu, irq);
        } else {
            self.scheduler.set_idle(cpu.id, false);
        }
    }

    /// Runs `task` until it parks, ends, or has used its slice.
    fn run_task(&'static self, cpu: &Cpu, mut task: Box<Task>) {
        self.scheduler
            .begin_slice(cpu, &mut task, self.machine.now());
        loop {
            if task.blocked() {
                match self.resume_call(cpu, task) {
                    Turn::Continue(back) => task = back,
                    Turn::Over => return,
                }
            }
            if task.exchange.is_some() && !channel::settle(&mut task) && !task.thread.attention() {
                match self.park(cpu, task) {
                    Turn::Continue(other) => task = other,
                    Turn::Over => return,
                }
                continue;
            }
            if task.thread.attention() {
                match self.attend(task) {
                    Turn::Continue(back) => task = back,
                    Turn::Over => return,
                }
                continue;
            }
            if cpu.must_yield(&task, self.machine) {
                task = self.give_way(cpu, task);
                continue;
            }
            self.arm(cpu);
            match self.machine.run_user(&mut task.context, task.space.token()) {
                Trap::Syscall => match self.system_call(cpu, task) {
                    Turn::Continue(back) => task = back,
                    Turn::Over => return,
                },
                Trap::Interrupt(irq) => {
                    // Timers of CPU time look at what has been charged.
                    task.stop_clock(self.machine.now());
                    self.interrupt(cpu, irq);
                }
                Trap::Fault { kind, address, esr } => {
                    signal::on_fault(&mut task, kind, address, esr)
                }
            }
        }
    }

    /// Does the call that `task` asks for.
    #[inline]
    fn system_call(&'static self, cpu: &Cpu, mut task: Box<Task>) -> Turn {
        match syscall::dispatch(self, &mut task) {
            Ok(Outcome::Done(value)) => task.context.regs.x[0] = value as u64,
            Ok(Outcome::Waiting | Outcome::Resumed) => {}
            Ok(Outcome::HandOver) => return self.hand_over(cpu, task),
            Ok(Outcome::Exit(status)) => {
                exit::exit_thread(self, task, status);
                return Turn::Over;
            }
            Err(errno) => task.fail(errno),
        }
        Turn::Continue(task)
    }

    /// Polls the call that `task` waits in; parks the task if it still must wait. If it was called meanwhile, or only paused
    /// ([`crate::wait::pause`]), it goes on once interrupts and those who are owed a turn have had theirs.
    fn resume_call(&'static self, cpu: &Cpu, mut task: Box<Task>) -> Turn {
        loop {
            let waker = task.thread.waker();
            match task.poll_call(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => {
                    finish_call(&mut task, result);
                    return Turn::Continue(task);
                }
                Poll::Pending => {
                    let tid = task.thread.tid;
                    match self.park(cpu, task) {
                        Turn::Continue(other) => task = other,
                        Turn::Over => return Turn::Over,
                    }
                    if task.thread.tid == tid {
                        self.interrupt(cpu, self.machine.poll_interrupt());
                        if cpu.must_yield(&task, self.machine) {
                            task = self.give_way(cpu, task);
                        }
                        self.arm(cpu);
                    }
                    if !task.blocked() {
                        return Turn::Continue(task);
                    }
                }
            }
        }
    }

    /// Parks `task`. What goes on is the next of this CPU's own queue, or `task` itself if it was called meanwhile.
    fn park(&'static self, cpu: &Cpu, mut task: Box<Task>) -> Turn {
        let now = self.machine.now();
        task.stop_clock(now);
        let Some(mut next) = self.scheduler.next_from(cpu, 0) else {
            self.machine.release(&mut task.context);
            return Thread::park(task).map_or(Turn::Over, Turn::Continue);
        };
        // The next one's space before the task is let go, so that no CPU walks tables that others may free.
        self.machine.switch(&mut task.context, next.space.token());
        match Thread::park(task) {
            None => {
                self.scheduler.begin_slice(cpu, &mut next, now);
                Turn::Continue(next)
            }
            Some(mut task) => {
                self.machine.release(&mut task.context);
                self.scheduler.put_back(cpu, next);
                Turn::Continue(task)
            }
        }
    }

    /// `task` has used its turn, or something outranks it. Who has the next: itself if nobody else is to.
    fn give_way(&'static self, cpu: &Cpu, mut task: Box<Task>) -> Box<Task> {
        let now = self.machine.now();
        let rank = task.thread.schedule.policy().rank();
        cpu.has_given_way();
        let Some(mut next) = self.scheduler.next_from(cpu, rank) else {
            self.scheduler.renew_slice(cpu, &task, now);
            return task;
        };
        task.stop_clock(now);
        self.machine.switch(&mut task.context, next.space.token());
        self.scheduler.requeue(cpu, task);
        self.scheduler.begin_slice(cpu, &mut next, now);
        next
    }

    /// `task` waits in an exchange, and the peer that it has completed is to run: at once, on the rest of the turn, if nothing
    /// queued here outranks it.
    fn hand_over(&'static self, cpu: &Cpu, mut task: Box<Task>) -> Turn {
        let Some(waiting) = &mut task.exchange else {
            return Turn::Continue(task);
        };
        let Some(mut partner) = waiting.partner.take() else {
            return Turn::Continue(task);
        };
        let exchange = if waiting.calls {
            Exchange::Calling {
                ticket: task.ticket,
                server: waiting.server.take(),
            }
        } else {
            Exchange::None
        };
        let now = self.machine.now();
        task.stop_clock(now);
        self.machine
            .switch(&mut task.context, partner.space.token());
        match Thread::park_in_exchange(task, exchange) {
            None if self.scheduler.may_take_over(cpu, &partner) => {
                self.scheduler.take_over(cpu, &mut partner, now);
                Turn::Continue(partner)
            }
            None => {
                self.machine.release(&mut partner.context);
                self.scheduler.enqueue(self.machine, partner);
                Turn::Over
            }
            Some(mut task) => {
                self.machine.release(&mut task.context);
                self.scheduler.enqueue(self.machine, partner);
                Turn::Continue(task)
            }
        }
    }

    /// Delivers signals, stops or ends the thread as its process says.
    fn attend(&'static self, mut task: Box<Task>) -> Turn {
        match signal::deliver(self, &mut task) {
            Verdict::Run => Turn::Continue(task),
            Verdict::Exit(status) => {
                exit::exit_thread(self, task, status);
                Turn::Over
            }
            Verdict::Stop => {
                self.leave(&mut task);
                match Thread::park(task) {
                    Some(woken_meanwhile) => Turn::Continue(woken_meanwhile),
                    None => Turn::Over,
                }
            }
        }
    }

    /// `task` is about to lose the CPU.
    fn leave(&self, task: &mut Task) {
        task.stop_clock(self.machine.now());
        self.machine.release(&mut task.context);
    }

    /// Handles an interrupt that the machine has acknowledged.
    fn interrupt(&'static self, cpu: &Cpu, irq: Irq) {
        match irq {
            Irq::Timer => {
                cpu.alarm_rang();
                cpu.alarms.expire(self.machine.now());
            }
            Irq::Console => self.console.input_waiting(self),
            Irq::Kick | Irq::Spurious => {}
        }
    }

    /// Sets the CPU's alarm to the next thing that wants it, if that changed.
    #[inline]
    fn arm(&self, cpu: &Cpu) {
        cpu.arm(self.machine);
    }

    /// The wall clock, ns since 1970.
    #[must_use]
    pub fn wall_clock(&self) -> u64 {
        self.clock.real(self.machine.now())
    }

    /// Makes the other CPUs that run threads of `process` charge what those have used: who reads its CPU time next sees
    /// it. A CPU that runs one thread alone is not interrupted otherwise.
    pub fn charge_others(&self, process: Pid) {
        let here = self.machine.cpu();
        for id in 0..MAX_CPUS {
            let cpu = CpuId(id as u8);
            let runs =
                self.scheduler.is_online(cpu) && self.scheduler.cpu(cpu).running() == process;
            if cpu != here && runs {
                self.machine.kick(cpu);
            }
        }
    }

    /// The thread that makes the call in progress on this CPU.
    #[must_use]
    pub fn current_thread(&self) -> Option<Arc<Thread>> {
        self.processes.thread(self.this_cpu().running_thread())
    }

    /// The CPU that runs this code.
    #[must_use]
    pub fn this_cpu(&self) -> &Cpu {
        self.scheduler.cpu(self.machine.cpu())
    }

    /// Ends the machine.
    pub fn shut_down(&self, how: Shutdown) -> ! {
        for id in 0..MAX_CPUS {
            let other = CpuId(id as u8);
            if other != self.machine.cpu() && self.scheduler.is_online(other) {
                self.machine.kick(other);
            }
        }
        self.log(Event::Shutdown(how));
        self.machine.shutdown(how)
    }

    /// Refuses a call that may allocate while the heap's reserve is touched. ENOMEM.
    #[inline]
    pub fn admit(&self) -> Result<()> {
        if self.machine.heap_ready() {
            Ok(())
        } else {
            Err(Errno::ENOMEM)
        }
    }
}

/// Stores a waited-for call's result where the program finds it.
fn finish_call(task: &mut Task, result: Result<usize>) {
    match result {
        Ok(value) => task.context.regs.x[0] = value as u64,
        Err(errno) => task.fail(errno),
    }
}
