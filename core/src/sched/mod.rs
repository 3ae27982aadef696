//! Scheduling: a run queue and an alarm queue a CPU, time slices, stealing when idle. Lock level 8.
//!
//! A thread goes back to the CPU that it ran on last. A CPU that finds nothing in its own queue takes from the others
//! before it rests; who queues work that its CPU cannot start at once wakes a resting CPU.

pub mod alarm;
pub mod home;
pub mod inherit;
pub mod ranks;
pub mod run_queue;
pub mod task;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use halyard_cell::SpinLock;

use crate::machine::{CpuId, MAX_CPUS, Machine};
use crate::process::Pid;
use crate::process::thread::Thread;
use crate::time::Instant;
use alarm::AlarmQueue;
use home::Home;
use inherit::{Goal, Standing, World};
use ranks::Ranks;
use run_queue::{Policy, RunQueue};
use task::Task;

/// How long a thread of nice 0 runs before the next of its class has its turn, in nanoseconds.
pub const SLICE_NS: u64 = 6_000_000;

/// What a CPU has to itself; others only add to its queue.
pub struct Cpu {
    /// Which one.
    pub id: CpuId,
    /// Alarms set by threads that this CPU ran.
    pub alarms: AlarmQueue,
    queue: SpinLock<RunQueue<Task>>,
    /// How many tasks the queue holds: read without the lock.
    queued: AtomicU32,
    /// The policies of the running task and of the best in the queue.
    ranks: Ranks,
    /// When the running task's slice ends.
    slice_end: AtomicU64,
    /// The process of the task that ran last.
    running: AtomicU32,
    /// Its thread.
    running_thread: AtomicU32,
    /// A task that outranks the running one has been queued, or the running one gave way.
    yield_wanted: AtomicBool,
    /// What the machine's alarm is set to.
    armed: AtomicU64,
    /// How long it has rested, ns, up to the end of its last rest.
    rested: AtomicU64,
    /// Since when it rests; [`Instant::NEVER`] if it does not.
    resting: AtomicU64,
}

impl Cpu {
    fn new(id: u8) -> Cpu {
        Cpu {
            id: CpuId(id),
            alarms: AlarmQueue::new(),
            queue: SpinLock::new(RunQueue::new()),
            queued: AtomicU32::new(0),
            ranks: Ranks::new(),
            slice_end: AtomicU64::new(0),
            running: AtomicU32::new(0),
            running_thread: AtomicU32::new(0),
            yield_wanted: AtomicBool::new(false),
            armed: AtomicU64::new(Instant::NEVER.0),
            rested: AtomicU64::new(0),
            resting: AtomicU64::new(Instant::NEVER.0),
        }
    }

    /// It begins to rest.
    pub fn begin_rest(&self, now: Instant) {
        self.resting.store(now.0, Ordering::Relaxed);
    }

    /// It rests no more.
    pub fn end_rest(&self, now: Instant) {
        let began = self.resting.swap(Instant::NEVER.0, Ordering::Relaxed);
        self.rested
            .fetch_add(now.0.saturating_sub(began), Ordering::Relaxed);
    }

    /// How long it has rested since boot, ns. Off by one rest if it begins or ends one just now.
    #[must_use]
    pub fn rested(&self, now: Instant) -> u64 {
        let began = self.resting.load(Ordering::Relaxed);
        self.rested.load(Ordering::Relaxed) + now.0.saturating_sub(began)
    }

    /// The number of the process whose task runs, or ran last.
    #[must_use]
    pub fn running(&self) -> Pid {
        self.running.load(Ordering::Relaxed)
    }

    /// The number of the thread that runs, or ran last.
    #[must_use]
    pub fn running_thread(&self) -> Pid {
        self.running_thread.load(Ordering::Relaxed)
    }

    /// Whether the running task must make room.
    #[inline]
    pub fn must_yield(&self, task: &Task, machine: &dyn Machine) -> bool {
        if self.yield_wanted.load(Ordering::Relaxed) {
            return true;
        }
        self.queued.load(Ordering::Relaxed) != 0
            && task.thread.schedule.policy().has_slice()
            && self.armed.load(Ordering::Relaxed) == Instant::NEVER.0
            && machine.now().0 >= self.slice_end.load(Ordering::Relaxed)
    }

    /// The running task gives way to its equals (sched_yield).
    pub fn give_way(&self) {
        if self.queued.load(Ordering::Relaxed) != 0 {
            self.yield_wanted.store(true, Ordering::Relaxed);
        }
    }

    /// The wish that the running task make room is being granted.
    pub(crate) fn has_given_way(&self) {
        self.yield_wanted.store(false, Ordering::Relaxed);
    }

    /// `task` is what runs here now. By which policy.
    #[inline]
    fn run(&self, task: &Task) -> Policy {
        task.thread.schedule.home.move_to(self.id);
        self.running
            .store(task.thread.process.pid, Ordering::Relaxed);
        self.running_thread
            .store(task.thread.tid, Ordering::Relaxed);
        self.run_by_policy(task)
    }

    /// `task`, which runs here, does so by the policy that it has now. If that has changed already, or something better has been
    /// queued, its turn ends before it begins: whoever did it may not have seen that it runs.
    #[inline]
    fn run_by_policy(&self, task: &Task) -> Policy {
        let policy = task.thread.schedule.policy();
        let outranked = self.ranks.run(policy.rank());
        if outranked || task.thread.schedule.policy() != policy {
            self.yield_wanted.store(true, Ordering::Relaxed);
        }
        policy
    }

    /// The machine's alarm has rung and is off.
    pub fn alarm_rang(&self) {
        self.armed.store(Instant::NEVER.0, Ordering::Relaxed);
    }

    /// Sets the machine's alarm to the next thing that wants it, if that changed. Tickless: the end of a slice wants it
    /// only while somebody else is queued.
    #[inline]
    pub fn arm(&self, machine: &dyn Machine) {
        let mut wanted = self.alarms.next().0;
        if self.queued.load(Ordering::Relaxed) != 0 {
            // NEVER for a task whose turn the clock does not end.
            wanted = wanted.min(self.slice_end.load(Ordering::Relaxed));
        }
        if wanted != self.armed.load(Ordering::Relaxed) {
            self.armed.store(wanted, Ordering::Relaxed);
            machine.set_alarm(Instant(wanted));
        }
    }
}

/// All CPUs.
pub struct Scheduler {
    first: Cpu,
    /// Behind a pointer: too large for the stack of a kernel that is being made.
    others: Box<[Cpu]>,
    online: AtomicU32,
    idle: AtomicU32,
    /// Tasks moved from one CPU to another, and switches in all: for /proc/stat.
    switches: AtomicU64,
    /// Who waits for whom.
    pub(crate) world: SpinLock<World<Arc<Thread>>>,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheduler {
    /// No CPU online yet.
    #[must_use]
    pub fn new() -> Scheduler {
        Scheduler {
            first: Cpu::new(0),
            others: (1..MAX_CPUS as u8).map(Cpu::new).collect(),
            online: AtomicU32::new(0),
            idle: AtomicU32::new(0),
            switches: AtomicU64::new(0),
            world: SpinLock::new(World::new()),
        }
    }

    /// A CPU's own data. An id beyond the last names the first.
    #[inline]
    #[must_use]
    pub fn cpu(&self, id: CpuId) -> &Cpu {
        let behind = usize::from(id.0).wrapping_sub(1);
        self.others.get(behind).unwrap_or(&self.first)
    }

    /// All of them.
    fn cpus(&self) -> impl Iterator<Item = &Cpu> {
        core::iter::once(&self.first).chain(&self.others)
    }

    /// `cpu` has begun its loop.
    pub fn online(&self, cpu: CpuId) {
        self.online.fetch_or(bit(cpu), Ordering::Release);
    }

    /// Whether `cpu` has begun its loop.
    #[must_use]
    pub fn is_online(&self, cpu: CpuId) -> bool {
        self.online.load(Ordering::Acquire) & bit(cpu) != 0
    }

    /// How many CPUs run.
    #[must_use]
    pub fn online_count(&self) -> u32 {
        self.online.load(Ordering::Acquire).count_ones()
    }

    /// Switches since boot.
    #[must_use]
    pub fn switches(&self) -> u64 {
        self.switches.load(Ordering::Relaxed)
    }

    /// Marks `cpu` as resting or not.
    pub fn set_idle(&self, cpu: CpuId, idle: bool) {
        if idle {
            self.idle.fetch_or(bit(cpu), Ordering::SeqCst);
        } else {
            self.idle.fetch_and(!bit(cpu), Ordering::SeqCst);
        }
    }

    /// Whether any queue holds a task.
    #[must_use]
    pub fn work_for(&self, _cpu: CpuId) -> bool {
        self.cpus()
            .any(|cpu| cpu.queued.load(Ordering::SeqCst) != 0)
    }

    /// Makes `task` runnable and sees to it that a CPU will run it.
    pub fn enqueue(&self, machine: &dyn Machine, task: Box<Task>) {
        let home = self.cpu(task.thread.schedule.home.now());
        let rank = task.thread.schedule.policy().rank();
        let waiting = self.push(home, task);
        let here = machine.cpu();
        let idle = self.idle.load(Ordering::SeqCst);
        if idle & bit(home.id) != 0 {
            self.claim_and_kick(machine, home.id, here);
        } else if home.ranks.outranked_by(rank) {
            home.yield_wanted.store(true, Ordering::Relaxed);
            if home.id != here {
                machine.kick(home.id);
            }
        } else if idle != 0 {
            self.claim_and_kick(machine, CpuId(idle.trailing_zeros() as u8), here);
        } else if home.id != here && waiting == 1 {
            // It runs with no alarm for the end of its slice: let it set one.
            machine.kick(home.id);
        }
    }

    /// What runs on `cpu` may be scheduled another way now: its turn ends, so that the next begins by the new rules.
    pub fn reconsider(&self, machine: &dyn Machine, cpu: CpuId) {
        self.cpu(cpu).yield_wanted.store(true, Ordering::Relaxed);
        if cpu != machine.cpu() {
            machine.kick(cpu);
        }
    }

    /// Wakes a resting CPU, once.
    fn claim_and_kick(&self, machine: &dyn Machine, target: CpuId, here: CpuId) {
        let before = self.idle.fetch_and(!bit(target), Ordering::SeqCst);
        if before & bit(target) != 0 && target != here {
            machine.kick(target);
        }
    }

    /// Puts back a task whose slice is over, or which gave way.
    pub fn requeue(&self, cpu: &Cpu, task: Box<Task>) {
        self.push(cpu, task);
    }

    fn push(&self, cpu: &Cpu, task: Box<Task>) -> u32 {
        let mut queue = cpu.queue.lock();
        queue.push(task);
        note(cpu, &queue);
        queue.len()
    }

    /// Gives another policy to `thread`, from its next turn on; a donation that raises it stays.
    pub fn set_policy(&self, thread: &Arc<Thread>, policy: Policy) {
        self.world.lock().set_base(thread, policy);
    }

    /// `thread` waits no more for what it donated to.
    pub(crate) fn end_donation(&self, thread: &Arc<Thread>) {
        let ended: Option<Goal<Arc<Thread>>> = self.world.lock().leave(thread);
        drop(ended);
    }

    /// The effective policy of `thread` was `before` and has changed: it moves in the queue that it waits in, and if it runs,
    /// its turn ends, so that the next begins by the new rules.
    pub(crate) fn policy_changed(&self, machine: &dyn Machine, thread: &Thread, before: Policy) {
        // The change has been stored; what is looked at now is where the thread is, or it will look at the change.
        let home = self.cpu(thread.schedule.home.after_demand());
        let mut queue = home.queue.lock();
        let task = queue.remove_where(before.rank(), |task| task.thread.tid == thread.tid);
        if let Some(task) = task {
            note(home, &queue);
            drop(queue);
            self.enqueue(machine, task);
        } else {
            drop(queue);
            if home.running_thread.load(Ordering::Relaxed) == thread.tid {
                self.reconsider(machine, home.id);
            }
        }
    }

    /// The task to run next on `cpu`: its own, else another's.
    pub fn next(&self, _machine: &dyn Machine, cpu: CpuId) -> Option<Box<Task>> {
        let own = self.cpu(cpu);
        own.yield_wanted.store(false, Ordering::Relaxed);
        let task = self.take(own).or_else(|| self.steal(cpu))?;
        self.switches.fetch_add(1, Ordering::Relaxed);
        Some(task)
    }

    fn take(&self, cpu: &Cpu) -> Option<Box<Task>> {
        if cpu.queued.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut queue = cpu.queue.lock();
        let task = queue.pop();
        note(cpu, &queue);
        task
    }

    /// The task to run next on `cpu`, if one of its own queue goes before or with `rank`.
    pub(crate) fn next_from(&self, cpu: &Cpu, rank: u32) -> Option<Box<Task>> {
        if cpu.queued.load(Ordering::Relaxed) == 0 || cpu.ranks.queued() < rank {
            return None;
        }
        cpu.yield_wanted.store(false, Ordering::Relaxed);
        let task = self.take(cpu)?;
        self.switches.fetch_add(1, Ordering::Relaxed);
        Some(task)
    }

    /// Puts back, before its equals, a task that was taken and did not run.
    pub(crate) fn put_back(&self, cpu: &Cpu, task: Box<Task>) {
        let mut queue = cpu.queue.lock();
        queue.push_first(task);
        note(cpu, &queue);
    }

    fn steal(&self, thief: CpuId) -> Option<Box<Task>> {
        self.cpus()
            .filter(|cpu| cpu.id != thief)
            .find_map(|cpu| self.take(cpu))
    }

    /// `task` starts a slice on `cpu`.
    pub fn begin_slice(&self, cpu: &Cpu, task: &mut Task, now: Instant) {
        task.start_clock(now);
        let policy = cpu.run(task);
        cpu.slice_end
            .store(now.after(policy.slice_ns()).0, Ordering::Relaxed);
    }

    /// `task` goes on on `cpu`, with a slice and by the rules that it has now.
    pub(crate) fn renew_slice(&self, cpu: &Cpu, task: &Task, now: Instant) {
        let policy = cpu.run_by_policy(task);
        cpu.slice_end
            .store(now.after(policy.slice_ns()).0, Ordering::Relaxed);
    }

    /// `task` goes on with the slice of the task that has handed `cpu` over to it.
    #[inline]
    pub(crate) fn take_over(&self, cpu: &Cpu, task: &mut Task, now: Instant) {
        task.start_clock(now);
        let policy = cpu.run(task);
        let timed = cpu.slice_end.load(Ordering::Relaxed) != Instant::NEVER.0;
        if policy.has_slice() != timed {
            cpu.slice_end
                .store(now.after(policy.slice_ns()).0, Ordering::Relaxed);
        }
        self.switches.store(
            self.switches.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    /// Whether `task` may be given `cpu` at once, past the queue: nothing there outranks it.
    #[inline]
    pub(crate) fn may_take_over(&self, cpu: &Cpu, task: &Task) -> bool {
        !cpu.yield_wanted.load(Ordering::Relaxed)
            && task.thread.schedule.policy().rank() >= cpu.ranks.queued()
    }
}

/// Tells those who look without the lock what the queue holds.
fn note(cpu: &Cpu, queue: &RunQueue<Task>) {
    cpu.ranks.set_queued(queue.top_rank());
    cpu.queued.store(queue.len(), Ordering::SeqCst);
}

fn bit(cpu: CpuId) -> u32 {
    1 << (cpu.0 & 31)
}

/// The flag by which a child does not begin like its maker (sched_setscheduler(2)).
pub(crate) const SCHED_RESET_ON_FORK: u32 = 0x4000_0000;

/// A thread's scheduling attributes: shared, changed by sched_setscheduler, nice and donations.
pub struct Schedule {
    /// What it was set to, and what donations make of that.
    pub standing: Standing<Arc<Thread>>,
    /// Where it ran last.
    pub home: Home,
    /// The number by which a program chose the policy, SCHED_RESET_ON_FORK included: of the fair ones there are several.
    pub chosen: AtomicU32,
}

impl Schedule {
    /// With `policy`, to run first on `home`.
    #[must_use]
    pub fn new(policy: Policy, home: CpuId) -> Schedule {
        Schedule {
            standing: Standing::new(policy),
            home: Home::new(home),
            chosen: AtomicU32::new(0),
        }
    }

    /// How it is scheduled now.
    #[inline]
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.standing.effective()
    }

    /// How it was set to be scheduled.
    #[must_use]
    pub fn base(&self) -> Policy {
        self.standing.base()
    }

    /// How a child begins, and by what number: like its maker, or with SCHED_RESET_ON_FORK like anybody (sched(7)).
    #[must_use]
    pub fn for_child(&self) -> (Policy, u32) {
        let chosen = self.chosen.load(Ordering::Relaxed);
        match self.base() {
            base if chosen & SCHED_RESET_ON_FORK == 0 => (base, chosen),
            Policy::Fair(nice) => (Policy::Fair(nice.max(0)), 0),
            Policy::Fifo(_) | Policy::RoundRobin(_) => (Policy::Fair(0), 0),
        }
    }
}
