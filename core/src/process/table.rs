//! Every process and thread by number, and the tree of parents, groups and sessions. Lock level 1.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use halyard_cell::SpinLock;

use super::Pid;
use super::signal::RESTART_ALWAYS;
use super::state::Process;
use super::thread::Thread;
use super::wait::{Status, WaitEvent};
use crate::{Errno, Result};

/// The greatest number of processes and threads together, and one less than the greatest number given (as
/// /proc/sys/kernel/pid_max says).
pub const PID_MAX: Pid = 32768;

/// The number of the first process.
pub const INIT: Pid = 1;

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It has threads.
    Alive,
    /// It has ended; its parent has not been told by wait yet.
    Zombie(Status),
}

struct Node {
    process: Arc<Process>,
    life: Life,
    /// Its oldest and youngest child, and its neighbours among its parent's children; 0: none. Links, so that neither fork
    /// nor the end of a process has to find memory for a list.
    first_child: Pid,
    last_child: Pid,
    older: Pid,
    younger: Pid,
    /// A stop or continuation that wait has not reported yet.
    report: Option<WaitEvent>,
}

#[derive(Default)]
struct Tree {
    processes: BTreeMap<Pid, Node>,
    threads: BTreeMap<Pid, Arc<Thread>>,
    last: Pid,
    /// Whether numbers have begun to be given again; until then none can be in use.
    wrapped: bool,
}

/// Which children a wait is for (waitid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Any child.
    Any,
    /// This one.
    One(Pid),
    /// Any child in this process group.
    Group(Pid),
}

/// Every process and thread.
#[derive(Default)]
pub struct ProcessTable {
    /// How many processes are stopped, as far as their parents know. The end of a process looks for orphaned groups with
    /// stopped members only if there are any.
    pub stopped: AtomicU32,
    tree: SpinLock<Tree>,
    /// How many walks over the processes are under way ([`ProcessTable::each`]).
    walks: AtomicU32,
}

/// A walk over the processes, in rising order of number.
struct Walk<'a, F> {
    table: &'a ProcessTable,
    least: Pid,
    wanted: F,
}

impl<F: Fn(&Process) -> bool> Iterator for Walk<'_, F> {
    type Item = Arc<Process>;

    fn next(&mut self) -> Option<Arc<Process>> {
        let tree = self.table.tree.lock();
        let mut rest = tree.processes.range(self.least..);
        let (pid, node) = rest.find(|(_, node)| (self.wanted)(&node.process))?;
        self.least = pid + 1;
        Some(Arc::clone(&node.process))
    }
}

impl<F> Drop for Walk<'_, F> {
    fn drop(&mut self) {
        // Whoever sees the end of the walk sees what it has told.
        self.table.walks.fetch_sub(1, Ordering::Release);
    }
}

impl Tree {
    /// Adds a child of `parent`, in the group and session of `maker`.
    fn add(&mut self, process: Arc<Process>, parent: Pid, maker: Pid) {
        process.parent.store(parent, Ordering::Relaxed);
        let pid = process.pid;
        if let Some(node) = self.processes.get(&maker) {
            process.group.store(node.process.group(), Ordering::Relaxed);
            process
                .session
                .store(node.process.session(), Ordering::Relaxed);
        }
        self.processes.insert(
            pid,
            Node {
                process,
                life: Life::Alive,
                first_child: 0,
                last_child: 0,
                older: 0,
                younger: 0,
                report: None,
            },
        );
        self.append_children(parent, pid, pid);
    }

    fn in_use(&self, number: Pid) -> bool {
        self.processes.contains_key(&number)
            || self.threads.contains_key(&number)
            || self
                .processes
                .values()
                .any(|node| node.process.group() == number || node.process.session() == number)
    }

    /// A number that no process, thread, group or session has. Numbers are given in turn, so that one just freed is not
    /// given again soon.
    fn number(&mut self) -> Result<Pid> {
        for _ in 1..PID_MAX {
            self.last += 1;
            if self.last >= PID_MAX {
                (self.last, self.wrapped) = (INIT + 1, true);
            }
            if !self.wrapped || !self.in_use(self.last) {
                return Ok(self.last);
            }
        }
        Err(Errno::EAGAIN)
    }
}

impl ProcessTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> ProcessTable {
        ProcessTable::default()
    }

    /// Sets aside a number for a process or thread to come. EAGAIN when all are taken.
    pub fn number(&self) -> Result<Pid> {
        self.tree.lock().number()
    }

    /// Adds a process as a child of `parent` (0: of nobody), with the parent's group and session unless it has set its own.
    pub fn add(&self, process: Arc<Process>, parent: Pid) {
        self.tree.lock().add(process, parent, parent);
    }

    /// Adds what `maker` makes, unless a signal has come for it, or may come. [`RESTART_ALWAYS`]: then that is dealt with first.
    /// A signal to a group walks the table; who was told already must not bring in a process that the walk then misses (fork(2)
    /// copies no pending signal), nor must who will be told one that the walk has passed.
    pub fn add_made(&self, process: Arc<Process>, parent: Pid, maker: &Thread) -> Result<()> {
        let mut tree = self.tree.lock();
        let passed = process.pid < maker.process.pid && self.walks.load(Ordering::Acquire) > 0;
        if passed {
            // So that the call is made anew, with another number.
            maker.note_attention();
        }
        if maker.attention() {
            return Err(RESTART_ALWAYS);
        }
        tree.add(process, parent, maker.process.pid);
        Ok(())
    }

    /// Adds a thread.
    pub fn add_thread(&self, thread: Arc<Thread>) {
        self.tree.lock().threads.insert(thread.tid, thread);
    }

    /// Removes a thread.
    pub fn remove_thread(&self, tid: Pid) {
        let removed = self.tree.lock().threads.remove(&tid);
        drop(removed);
    }

    /// The process of that number, zombies included.
    #[must_use]
    pub fn process(&self, pid: Pid) -> Option<Arc<Process>> {
        self.tree
            .lock()
            .processes
            .get(&pid)
            .map(|node| Arc::clone(&node.process))
    }

    /// The thread of that number.
    #[must_use]
    pub fn thread(&self, tid: Pid) -> Option<Arc<Thread>> {
        self.tree.lock().threads.get(&tid).cloned()
    }

    /// Where a process is in its life.
    #[must_use]
    pub fn life(&self, pid: Pid) -> Option<Life> {
        self.tree.lock().processes.get(&pid).map(|node| node.life)
    }

    /// The process of the least number that is at least `least`, zombies included.
    #[must_use]
    pub fn next_from(&self, least: Pid) -> Option<Arc<Process>> {
        self.tree
            .lock()
            .processes
            .range(least..)
            .next()
            .map(|(_, node)| Arc::clone(&node.process))
    }

    /// The number given last.
    #[must_use]
    pub fn last_number(&self) -> Pid {
        self.tree.lock().last
    }

    /// The processes that `wanted` admits, zombies included, in rising order of number. The table is locked for each step
    /// only. What is made meanwhile is met, unless the walk has passed its maker. Whoever walks does not wait.
    pub fn each<'a>(
        &'a self,
        wanted: impl Fn(&Process) -> bool + 'a,
    ) -> impl Iterator<Item = Arc<Process>> + 'a {
        self.walks.fetch_add(1, Ordering::Relaxed);
        Walk {
            table: self,
            least: 0,
            wanted,
        }
    }

    /// The processes of a group, zombies included; see [`ProcessTable::each`].
    pub fn group(&self, group: Pid) -> impl Iterator<Item = Arc<Process>> + '_ {
        self.each(move |process| process.group() == group)
    }

    /// The children of a process; see [`ProcessTable::each`].
    pub fn children(&self, pid: Pid) -> impl Iterator<Item = Arc<Process>> + '_ {
        self.each(move |process| process.parent() == pid)
    }

    /// Processes and threads alive, for sysinfo and /proc/loadavg.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let tree = self.tree.lock();
        (tree.processes.len(), tree.threads.len())
    }

    /// The process has ended: it becomes a zombie (or, `unwanted`, vanishes), its children go to init. Returns its parent
    /// and init, who are to look at their children; the parent is None if it has gone.
    pub fn end(&self, pid: Pid, status: Status, unwanted: bool) -> Ended {
        let mut tree = self.tree.lock();
        let adopted = tree.give_children_to_init(pid);
        let parent = tree.processes.get(&pid).map(|node| node.process.parent());
        let parent = parent
            .and_then(|parent| tree.processes.get(&parent))
            .map(|node| Arc::clone(&node.process));
        let init = adopted
            .then(|| {
                tree.processes
                    .get(&INIT)
                    .map(|node| Arc::clone(&node.process))
            })
            .flatten();
        let removed = if unwanted {
            tree.remove(pid)
        } else {
            if let Some(node) = tree.processes.get_mut(&pid) {
                node.life = Life::Zombie(status);
            }
            None
        };
        Ended {
            parent,
            init,
            removed,
        }
    }

    /// Notes that a process stopped or went on, for its parent's wait.
    pub fn report(&self, pid: Pid, event: WaitEvent) {
        if let Some(node) = self.tree.lock().processes.get_mut(&pid) {
            node.report = Some(event);
        }
    }

    /// The next event of `parent`'s children that `choice` and `accept` admit. `take`: the event is consumed, and a zombie
    /// with it. ECHILD: no such child.
    pub fn child_event(
        &self,
        parent: Pid,
        choice: Choice,
        accept: impl Fn(WaitEvent) -> bool,
        take: bool,
    ) -> Result<Option<(Arc<Process>, WaitEvent)>> {
        let mut tree = self.tree.lock();
        let mut any = false;
        let mut found = None;
        let mut next = tree
            .processes
            .get(&parent)
            .map_or(0, |node| node.first_child);
        while let Some(node) = tree.processes.get(&next) {
            next = node.younger;
            if !choice.admits(&node.process) {
                continue;
            }
            any = true;
            let event = match node.life {
                Life::Zombie(status) => Some(WaitEvent::Ended(status)),
                Life::Alive => node.report,
            };
            if let Some(event) = event.filter(|event| accept(*event)) {
                found = Some((Arc::clone(&node.process), event));
                break;
            }
        }
        let Some((process, event)) = found else {
            return if any { Ok(None) } else { Err(Errno::ECHILD) };
        };
        if take {
            tree.consume(process.pid, event);
        }
        Ok(Some((process, event)))
    }

    /// Moves a process to `group`, which must be its own or exist in its session (setpgid(2)). `asker` is the caller.
    pub fn set_group(&self, asker: Pid, pid: Pid, group: Pid) -> Result<()> {
        let tree = self.tree.lock();
        let process = &tree.processes.get(&pid).ok_or(Errno::ESRCH)?.process;
        if pid != asker && process.parent() != asker {
            return Err(Errno::ESRCH);
        }
        let session = tree
            .processes
            .get(&asker)
            .map_or(0, |node| node.process.session());
        if process.session() != session || process.session() == pid {
            return Err(Errno::EPERM);
        }
        if pid != asker && process.has_executed() {
            return Err(Errno::EACCES);
        }
        let exists =
            |node: &Node| node.process.group() == group && node.process.session() == session;
        if group != pid && !tree.processes.values().any(exists) {
            return Err(Errno::EPERM);
        }
        process.group.store(group, Ordering::Relaxed);
        Ok(())
    }

    /// Makes `pid` the leader of a session and group of its own (setsid(2)). EPERM if it leads a group.
    pub fn set_session(&self, pid: Pid) -> Result<()> {
        let tree = self.tree.lock();
        let process = &tree.processes.get(&pid).ok_or(Errno::ESRCH)?.process;
        if tree
            .processes
            .values()
            .any(|node| node.process.group() == pid)
        {
            return Err(Errno::EPERM);
        }
        process.group.store(pid, Ordering::Relaxed);
        process.session.store(pid, Ordering::Relaxed);
        Ok(())
    }
}

impl Tree {
    fn consume(&mut self, pid: Pid, event: WaitEvent) {
        if let WaitEvent::Ended(_) = event {
            let removed = self.remove(pid);
            // The finder holds another reference, so nothing is destroyed under the lock.
            drop(removed);
        } else if let Some(node) = self.processes.get_mut(&pid) {
            node.report = None;
        }
    }

    fn remove(&mut self, pid: Pid) -> Option<Arc<Process>> {
        let node = self.processes.remove(&pid)?;
        let parent = node.process.parent();
        if let Some(older) = self.processes.get_mut(&node.older) {
            older.younger = node.younger;
        } else if let Some(parent) = self.processes.get_mut(&parent) {
            parent.first_child = node.younger;
        }
        if let Some(younger) = self.processes.get_mut(&node.younger) {
            younger.older = node.older;
        } else if let Some(parent) = self.processes.get_mut(&parent) {
            parent.last_child = node.older;
        }
        Some(node.process)
    }

    /// Makes the chain of siblings from `first` to `last` the youngest children of `parent`.
    fn append_children(&mut self, parent: Pid, first: Pid, last: Pid) {
        let Some(node) = self.processes.get_mut(&parent) else {
            return;
        };
        let before = core::mem::replace(&mut node.last_child, last);
        if before == 0 {
            node.first_child = first;
        }
        if let Some(older) = self.processes.get_mut(&before) {
            older.younger = first;
        }
        if let Some(node) = self.processes.get_mut(&first) {
            node.older = before;
        }
    }

    /// The children of `pid`, which has ended, become init's; tells whether there are any.
    fn give_children_to_init(&mut self, pid: Pid) -> bool {
        let Some(node) = self.processes.get_mut(&pid) else {
            return false;
        };
        let first = core::mem::take(&mut node.first_child);
        let last = core::mem::take(&mut node.last_child);
        let mut next = first;
        while let Some(child) = self.processes.get(&next) {
            child.process.parent.store(INIT, Ordering::Relaxed);
            next = child.younger;
        }
        if first != 0 {
            self.append_children(INIT, first, last);
        }
        first != 0
    }
}

impl Choice {
    fn admits(self, process: &Process) -> bool {
        match self {
            Choice::Any => true,
            Choice::One(pid) => process.pid == pid,
            Choice::Group(group) => process.group() == group,
        }
    }
}

/// What the end of a process means for others.
pub struct Ended {
    /// Its parent.
    pub parent: Option<Arc<Process>>,
    /// Init, if it got children by this.
    pub init: Option<Arc<Process>>,
    /// The process itself, if nobody will wait for it: to be dropped with no lock held.
    pub removed: Option<Arc<Process>>,
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::kernel::{kernel, parts, process};
    use crate::host::{Config, HostMachine};

    /// Numbers have begun anew: the child's is below its maker's.
    #[test]
    fn child_that_a_walk_may_have_passed_is_made_after_the_walk() {
        let (machine, memory) = HostMachine::new(Config::default());
        let kernel = kernel(machine, memory, 0);
        let low = kernel.processes.number().unwrap();
        let maker = process(kernel, 0, 0x1000_0000);
        let pid = maker.thread.process.pid;
        let child = Arc::new(Process::new(low, parts(kernel)));
        let add = || {
            kernel
                .processes
                .add_made(Arc::clone(&child), pid, &maker.thread)
        };
        let mut walk = kernel.processes.each(|_| true);
        assert_eq!(walk.next().map(|it| it.pid), Some(pid));
        assert_eq!(add(), Err(RESTART_ALWAYS));
        assert!(maker.thread.attention());
        drop(walk);
        assert_eq!(add(), Err(RESTART_ALWAYS));
        maker.thread.clear_attention();
        assert_eq!(add(), Ok(()));
    }
}
