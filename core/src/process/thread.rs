//! The shared part of a thread: its number, its signals, where its task is while it waits. Lock level 7.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::Waker;

use halyard_cell::SpinLock;

use super::Pid;
use super::signal::ThreadSignals;
use super::state::Process;
use crate::counters::{Kind, Live};
use crate::kernel::Kernel;
use crate::machine::CpuId;
use crate::sched::Schedule;
use crate::sched::alarm::{AlarmKey, Expire};
use crate::sched::run_queue::Policy;
use crate::sched::task::Task;
use crate::time::Instant;
use crate::wait::Sleeper;

/// Where the thread's task is.
enum Parking {
    /// On a CPU or in a run queue.
    Away,
    /// As Away, and somebody has called since it last looked.
    Called,
    /// Here, waiting to be called.
    Here(Box<Task>),
}

/// The shared part of a thread.
pub struct Thread {
    /// Its number, unique among threads and processes.
    pub tid: Pid,
    /// What it belongs to.
    pub process: Arc<Process>,
    /// Its mask and pending signals.
    pub signals: ThreadSignals,
    /// How it is scheduled.
    pub schedule: Schedule,
    /// User address that is zeroed and woken when the thread ends (set_tid_address(2)); 0: none.
    pub clear_child_tid: AtomicU64,
    /// CPU time it has used up to its last switch, ns.
    pub cpu_time: AtomicU64,
    /// Head of its list of robust futexes (set_robust_list(2)); 0: none.
    pub robust_list: AtomicU64,
    kernel: &'static Kernel,
    parking: SpinLock<Parking>,
    /// Something is to be done before it runs on: a signal, a stop, its end.
    attention: AtomicBool,
    /// The alarm of the wait in progress and the CPU that keeps it.
    alarm: SpinLock<Option<(CpuId, AlarmKey)>>,
    _live: Live,
}

impl Thread {
    /// A thread of `process` that has no task yet.
    #[must_use]
    pub fn new(
        kernel: &'static Kernel,
        process: Arc<Process>,
        tid: Pid,
        policy: Policy,
        signals: ThreadSignals,
    ) -> Thread {
        Thread {
            tid,
            process,
            signals,
            schedule: Schedule::new(policy, kernel.machine.cpu()),
            clear_child_tid: AtomicU64::new(0),
            cpu_time: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            kernel,
            parking: SpinLock::new(Parking::Away),
            attention: AtomicBool::new(false),
            alarm: SpinLock::new(None),
            _live: Live::new(Kind::Thread),
        }
    }

    /// The kernel it runs in.
    #[must_use]
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// Something that makes it runnable.
    #[inline]
    #[must_use]
    pub fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Makes it runnable; if it runs already, its next attempt to park fails.
    pub fn call(&self) {
        let mut parking = self.parking.lock();
        match core::mem::replace(&mut *parking, Parking::Called) {
            Parking::Here(task) => {
                *parking = Parking::Away;
                drop(parking);
                self.kernel.scheduler.enqueue(self.kernel.machine, task);
            }
            Parking::Away | Parking::Called => {}
        }
    }

    /// Parks `task` until its thread is called. Gives it back if that has happened already.
    pub fn park(task: Box<Task>) -> Option<Box<Task>> {
        let thread = Arc::clone(&task.thread);
        let mut parking = thread.parking.lock();
        match *parking {
            Parking::Called => {
                *parking = Parking::Away;
                Some(task)
            }
            Parking::Away | Parking::Here(_) => {
                *parking = Parking::Here(task);
                None
            }
        }
    }

    /// Whether it waits, parked.
    #[must_use]
    pub fn parked(&self) -> bool {
        matches!(*self.parking.lock(), Parking::Here(_))
    }

    /// Whether something is to be done before it runs on.
    #[inline]
    #[must_use]
    pub fn attention(&self) -> bool {
        self.attention.load(Ordering::Acquire)
    }

    /// Makes the thread look at its signals, its process's stop and its end: now if it waits, at once if it runs.
    pub fn demand_attention(&self) {
        self.attention.store(true, Ordering::Release);
        self.call();
        let machine = self.kernel.machine;
        let home = self.schedule.home.after_demand();
        if home != machine.cpu() {
            machine.kick(home);
        }
    }

    /// As [`Thread::demand_attention`], by the thread itself: it runs already.
    #[inline]
    pub fn note_attention(&self) {
        self.attention.store(true, Ordering::Release);
    }

    /// Nothing is to be done any more, as far as its holder can tell. Called before looking, so that nothing is missed.
    pub fn clear_attention(&self) {
        // A swap, not a store: it reads, and so sees what came before, the demand that it takes back.
        self.attention.swap(false, Ordering::SeqCst);
    }
}

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        self.call();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.call();
    }
}

impl Expire for Thread {
    fn expired(self: Arc<Self>) {
        self.call();
    }
}

impl Sleeper for Arc<Thread> {
    fn interrupted(&self) -> bool {
        self.attention()
    }

    fn now(&self) -> Instant {
        self.kernel.machine.now()
    }

    fn set_deadline(&self, at: Option<Instant>) {
        let mut alarm = self.alarm.lock();
        if let Some((cpu, key)) = alarm.take() {
            self.kernel.scheduler.cpu(cpu).alarms.cancel(key);
        }
        if let Some(at) = at {
            let cpu = self.kernel.this_cpu();
            *alarm = Some((
                cpu.id,
                cpu.alarms.set(at, Arc::clone(self) as Arc<dyn Expire>),
            ));
        }
    }
}

/// The thread as a sleeper that only its end interrupts (the wait of vfork's maker).
pub struct Killable(pub Arc<Thread>);

impl Sleeper for Killable {
    fn interrupted(&self) -> bool {
        self.0.attention() && self.0.process.doomed(self.0.tid).is_some()
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn set_deadline(&self, at: Option<Instant>) {
        self.0.set_deadline(at);
    }
}
