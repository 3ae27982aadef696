//! What the threads of a process share. Lock level 2.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use halyard_cell::SpinLock;

use super::Pid;
use super::credentials::Credentials;
use super::exit::ExitRequest;
use super::limits::Limits;
use super::posix_timer::PosixTimers;
use super::signal::ProcessSignals;
use super::thread::Thread;
use super::wait::Status;
use crate::counters::{Kind, Live};
use crate::fs::descriptors::{DescriptorTable, TableUse};
use crate::fs::path::FsContext;
use crate::ipc::signalfd::SignalWatch;
use crate::ipc::sysv::Keeper;
use crate::ipc::sysv::undo::UndoList;
use crate::mm::AddressSpace;
use crate::wait::WaitQueue;
use crate::{Errno, Result};

/// The longest name (TASK_COMM_LEN of prctl(2), less its NUL).
const NAME_CHARS: usize = 15;

/// What the threads of a process share.
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// Signal dispositions and what is pending for the process.
    pub signals: ProcessSignals,
    /// Who it acts as.
    pub credentials: SpinLock<Arc<Credentials>>,
    /// Threads and others that wait for a child's change of state.
    pub child_changed: WaitQueue,
    /// What it is called (prctl PR_SET_NAME, /proc/PID/comm).
    pub name: SpinLock<String>,
    /// The program it runs, as given to execve, and its arguments separated by NULs.
    pub command_line: SpinLock<Vec<u8>>,
    /// The path of the program it runs.
    pub executable: SpinLock<String>,
    /// Its parent's number; 0 for init. Changed under the table's lock.
    pub parent: AtomicU32,
    /// Its process group. Changed under the table's lock.
    pub group: AtomicU32,
    /// Its session. Changed under the table's lock.
    pub session: AtomicU32,
    /// CPU time of threads that have ended and of reaped children, ns.
    pub times: Times,
    /// Resource limits.
    pub limits: Limits,
    /// What vfork's maker waits for.
    pub vfork: Vfork,
    /// Timers of timer_create(2).
    pub posix_timers: PosixTimers,
    /// Who reads its signals by descriptor.
    pub signal_watch: SignalWatch,
    /// Told when a thread has gone.
    pub threads_changed: WaitQueue,
    executed: AtomicBool,
    space: SpinLock<Option<Arc<AddressSpace>>>,
    files: SpinLock<Option<TableUse>>,
    fs: SpinLock<Option<Arc<FsContext>>>,
    /// What is undone on semaphores when it ends; none before its first SEM_UNDO.
    undo: SpinLock<Option<Arc<UndoList>>>,
    threads: SpinLock<Threads>,
    _live: Live,
}

/// Sums of CPU time in nanoseconds (times(2), getrusage(2)).
#[derive(Debug, Default)]
pub struct Times {
    /// Of the process's own threads.
    pub own: AtomicU64,
    /// Of its children that were waited for, and theirs.
    pub children: AtomicU64,
}

/// The borrowing of an address space by a child of vfork, until it executes or ends.
#[derive(Debug, Default)]
pub struct Vfork {
    pending: AtomicBool,
    /// Told when it is over.
    pub queue: WaitQueue,
}

impl Vfork {
    /// Whether the maker still waits.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// The child was made by vfork, or not.
    pub fn set_pending(&self, pending: bool) {
        self.pending.store(pending, Ordering::Release);
    }

    /// The child has executed or ended.
    pub fn finish(&self) {
        if self.pending.swap(false, Ordering::AcqRel) {
            self.queue.wake_all();
        }
    }
}

/// What a new process starts with.
pub struct Parts {
    /// Address space.
    pub space: Arc<AddressSpace>,
    /// Descriptors.
    pub files: Arc<DescriptorTable>,
    /// Root, current directory, umask.
    pub fs: Arc<FsContext>,
    /// Ids.
    pub credentials: Arc<Credentials>,
    /// Dispositions.
    pub signals: ProcessSignals,
    /// Resource limits.
    pub limits: Limits,
}

/// The threads of a process, and whether all but one are to end.
#[derive(Default)]
struct Threads {
    list: Vec<Arc<Thread>>,
    /// The thread that executes a new program and waits for the others to end.
    executing: Option<Pid>,
    /// The status that the process is ending with.
    exit: Option<Status>,
}

impl Process {
    /// A process without threads.
    #[must_use]
    pub fn new(pid: Pid, parts: Parts) -> Process {
        Process {
            pid,
            signals: parts.signals,
            credentials: SpinLock::new(parts.credentials),
            child_changed: WaitQueue::new(),
            name: SpinLock::new(String::new()),
            command_line: SpinLock::new(Vec::new()),
            executable: SpinLock::new(String::new()),
            parent: AtomicU32::new(0),
            group: AtomicU32::new(pid),
            session: AtomicU32::new(pid),
            times: Times::default(),
            limits: parts.limits,
            vfork: Vfork::default(),
            posix_timers: PosixTimers::default(),
            signal_watch: SignalWatch::default(),
            threads_changed: WaitQueue::new(),
            executed: AtomicBool::new(false),
            space: SpinLock::new(Some(parts.space)),
            files: SpinLock::new(Some(TableUse::new(parts.files))),
            fs: SpinLock::new(Some(parts.fs)),
            undo: SpinLock::new(None),
            threads: SpinLock::new(Threads::default()),
            _live: Live::new(Kind::Process),
        }
    }

    /// Its parent's number.
    #[inline]
    #[must_use]
    pub fn parent(&self) -> Pid {
        self.parent.load(Ordering::Relaxed)
    }

    /// Its process group.
    #[must_use]
    pub fn group(&self) -> Pid {
        self.group.load(Ordering::Relaxed)
    }

    /// Its session.
    #[must_use]
    pub fn session(&self) -> Pid {
        self.session.load(Ordering::Relaxed)
    }

    /// Whether it has executed a program of its own since fork (setpgid(2), EACCES).
    #[must_use]
    pub fn has_executed(&self) -> bool {
        self.executed.load(Ordering::Relaxed)
    }

    /// It has executed a program.
    pub fn set_executed(&self) {
        self.executed.store(true, Ordering::Relaxed);
    }

    /// It runs the program at `path` with this command line.
    pub fn set_names(&self, path: &[u8], command_line: Vec<u8>) {
        let path = String::from_utf8_lossy(path).into_owned();
        let last = path.rsplit('/').next().unwrap_or_default();
        *self.name.lock() = last.chars().take(NAME_CHARS).collect();
        *self.executable.lock() = path;
        *self.command_line.lock() = command_line;
    }

    /// Takes over the names of the process that made it.
    pub fn inherit_names(&self, maker: &Process) {
        self.name.lock().clone_from(&maker.name.lock());
        self.command_line
            .lock()
            .clone_from(&maker.command_line.lock());
        self.executable.lock().clone_from(&maker.executable.lock());
    }

    /// Makes all threads end, with `status` for the process; the first status given stands.
    pub fn begin_exit(&self, status: Status) {
        let mut threads = self.threads.lock();
        threads.exit.get_or_insert(status);
        threads
            .list
            .iter()
            .for_each(|thread| thread.demand_attention());
    }

    /// The status that the process is ending with, if it is.
    #[must_use]
    pub fn exiting(&self) -> Option<Status> {
        self.threads.lock().exit
    }

    /// Makes all threads but `tid` end. False: another thread has begun that already, or the process is ending.
    pub fn begin_exec(&self, tid: Pid) -> bool {
        let mut threads = self.threads.lock();
        if threads.exit.is_some() || threads.executing.is_some_and(|other| other != tid) {
            return false;
        }
        threads.executing = Some(tid);
        threads
            .list
            .iter()
            .filter(|thread| thread.tid != tid)
            .for_each(|thread| thread.demand_attention());
        true
    }

    /// The wait that [`Process::begin_exec`] began is over.
    pub fn end_exec(&self) {
        self.threads.lock().executing = None;
    }

    /// Whether the thread is to end because the process ends or another thread executes a program; with what status the
    /// process ends if the former.
    #[must_use]
    pub fn doomed(&self, tid: Pid) -> Option<ExitRequest> {
        let threads = self.threads.lock();
        if let Some(status) = threads.exit {
            return Some(ExitRequest::Process(status));
        }
        threads
            .executing
            .is_some_and(|executing| executing != tid)
            .then_some(ExitRequest::Thread(0))
    }

    /// Its address space; None once it has ended.
    #[must_use]
    pub fn space(&self) -> Option<Arc<AddressSpace>> {
        self.space.lock().clone()
    }

    /// Replaces the address space (exec); gives back the old one, to be dropped with no lock held.
    pub fn replace_space(&self, space: Arc<AddressSpace>) -> Option<Arc<AddressSpace>> {
        self.space.lock().replace(space)
    }

    /// Its descriptors; None once it has ended.
    #[must_use]
    pub fn files(&self) -> Option<Arc<DescriptorTable>> {
        self.files
            .lock()
            .as_ref()
            .map(|used| Arc::clone(used.table()))
    }

    /// Replaces the descriptor table (exec); gives back the use of the old one, to be dropped with no lock held.
    pub fn replace_files(&self, files: Arc<DescriptorTable>) -> Option<TableUse> {
        self.files.lock().replace(TableUse::new(files))
    }

    /// Its root, current directory and umask; None once it has ended.
    #[must_use]
    pub fn fs(&self) -> Option<Arc<FsContext>> {
        self.fs.lock().clone()
    }

    /// What is undone on semaphores when it ends. Allocates a little, the first time.
    pub fn undo_list(&self, keeper: &'static dyn Keeper) -> Arc<UndoList> {
        let mut undo = self.undo.lock();
        Arc::clone(undo.get_or_insert_with(|| UndoList::new(keeper)))
    }

    /// It shares what is undone with `maker` (CLONE_SYSVSEM).
    pub fn share_undo_list(&self, maker: &Process, keeper: &'static dyn Keeper) {
        let list = maker.undo_list(keeper);
        *self.undo.lock() = Some(list);
    }

    /// Its ids.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.lock())
    }

    /// Its threads, the first being the oldest alive.
    #[must_use]
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.threads.lock().list.clone()
    }

    /// Does `visit` for each thread, with the list's lock held: `visit` takes no lock below level 7.
    pub fn for_each_thread(&self, mut visit: impl FnMut(&Arc<Thread>)) {
        self.threads.lock().list.iter().for_each(&mut visit);
    }

    /// How many threads it has.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        self.threads.lock().list.len()
    }

    /// Adds a thread. EINTR: the process is ending or about to execute another program. ENOMEM. Not added then.
    pub fn add_thread(&self, thread: Arc<Thread>) -> Result<()> {
        let mut threads = self.threads.lock();
        if threads.exit.is_some() || threads.executing.is_some() {
            return Err(Errno::EINTR);
        }
        threads.list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        threads.list.push(thread);
        Ok(())
    }

    /// Removes a thread; tells whether it was the last.
    pub fn remove_thread(&self, tid: Pid) -> bool {
        let mut threads = self.threads.lock();
        let at = threads.list.iter().position(|thread| thread.tid == tid);
        let removed = at.map(|at| threads.list.remove(at));
        let last = threads.list.is_empty();
        drop(threads);
        drop(removed);
        self.threads_changed.wake_all();
        last
    }

    /// Lets go of everything that a process which has ended does not need. What is dropped is dropped here, with no
    /// lock held.
    pub fn strip(&self) {
        let space = self.space.lock().take();
        let files = self.files.lock().take();
        let fs = self.fs.lock().take();
        let undo = self.undo.lock().take();
        drop(undo);
        drop(files);
        drop(fs);
        drop(space);
    }
}
