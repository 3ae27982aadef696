//! The shared part of a thread: its number, its signals, where its task is while it waits. Lock level 7.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::task::Waker;

use halyard_cell::{SpinGuard, SpinLock};

use super::Pid;
use super::limits::Resource;
use super::signal::ThreadSignals;
use super::state::Process;
use crate::counters::{Kind, Live};
use crate::ipc::channel::{Delivery, Exchange};
use crate::kernel::Kernel;
use crate::machine::CpuId;
use crate::sched::Schedule;
use crate::sched::alarm::{AlarmKey, Expire};
use crate::sched::inherit::{Member, Standing};
use crate::sched::run_queue::Policy;
use crate::sched::task::Task;
use crate::time::Instant;
use crate::wait::Sleeper;

/// Where the thread's task is.
pub(crate) enum Parking {
    /// On a CPU or in a run queue.
    Away,
    /// As Away, and somebody has called since it last looked.
    Called,
    /// Here, waiting to be called.
    Here(Box<Task>),
}

/// The parking place, and where the thread's part in a channel's exchange stands: one lock, for whoever completes the
/// exchange takes the task as well.
pub(crate) struct Place {
    /// Where the task is.
    pub(crate) parking: Parking,
    /// The exchange in progress.
    pub(crate) exchange: Exchange,
    /// How it was completed, where it is [`Exchange::Done`].
    pub(crate) delivery: Option<Delivery>,
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
    /// How many futexes that inherit priority it owns with others waiting, and whether it may own more: see `ipc::futex::pi`.
    pub(crate) claims: AtomicU32,
    kernel: &'static Kernel,
    place: SpinLock<Place>,
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
            claims: AtomicU32::new(0),
            kernel,
            place: SpinLock::new(Place {
                parking: Parking::Away,
                exchange: Exchange::None,
                delivery: None,
            }),
            attention: AtomicBool::new(false),
            alarm: SpinLock::new(None),
            _live: Live::new(Kind::Thread),
        }
    }

    /// One more than the greatest descriptor that it may have.
    pub(crate) fn descriptor_limit(&self) -> usize {
        usize::try_from(self.process.limits.get(Resource::FILES).soft).unwrap_or(usize::MAX)
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
        let task = self.place.lock().call();
        if let Some(task) = task {
            self.kernel.scheduler.enqueue(self.kernel.machine, task);
        }
    }

    /// The parking place, locked.
    #[inline]
    pub(crate) fn place(&self) -> SpinGuard<'_, Place> {
        self.place.lock()
    }

    /// Parks `task` until its thread is called. Gives it back if that has happened already.
    pub fn park(task: Box<Task>) -> Option<Box<Task>> {
        // Who takes the task out of its place may run it to its end: the place is looked at no more once the guard is gone,
        // and the thread is kept until then.
        let thread = Arc::clone(&task.thread);
        let mut place = thread.place.lock();
        place.park(task)
    }

    /// As [`Thread::park`], while an exchange that the peer's task, in the caller's hands, is to complete has just begun:
    /// it stands as `exchange` says whether the task parks or not.
    #[inline]
    pub(crate) fn park_in_exchange(task: Box<Task>, exchange: Exchange) -> Option<Box<Task>> {
        let thread = Arc::clone(&task.thread);
        let standing = &thread.schedule.standing;
        let mut place = thread.place.lock();
        if matches!(place.exchange, Exchange::Done) {
            return place.park(task);
        }
        place.exchange = exchange;
        if standing.effective().rank() > 0 && !standing.donates() {
            // It was raised a moment ago, by somebody who could not see yet whom it calls.
            return Some(task);
        }
        place.park(task)
    }

    /// Whether it waits, parked.
    #[must_use]
    pub fn parked(&self) -> bool {
        matches!(self.place.lock().parking, Parking::Here(_))
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

impl Place {
    /// The thread is called: its task, if it is here, is to be made runnable.
    #[inline]
    pub(crate) fn call(&mut self) -> Option<Box<Task>> {
        match core::mem::replace(&mut self.parking, Parking::Called) {
            Parking::Here(task) => {
                self.parking = Parking::Away;
                Some(task)
            }
            Parking::Away | Parking::Called => None,
        }
    }

    /// Parks `task`, or gives it back because its thread has been called.
    #[inline]
    fn park(&mut self, task: Box<Task>) -> Option<Box<Task>> {
        match self.parking {
            Parking::Called => {
                self.parking = Parking::Away;
                Some(task)
            }
            Parking::Away | Parking::Here(_) => {
                self.parking = Parking::Here(task);
                None
            }
        }
    }
}

impl Member for Arc<Thread> {
    fn standing(&self) -> &Standing<Self> {
        &self.schedule.standing
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }

    fn changed(&self, before: Policy) {
        self.kernel
            .scheduler
            .policy_changed(self.kernel.machine, self, before);
    }

    fn server(&self) -> Option<Self> {
        match &self.place.lock().exchange {
            Exchange::Calling { server, .. } => server.clone(),
            _ => None,
        }
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
