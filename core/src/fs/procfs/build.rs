//! The tree of /proc: its fixed entries, and a directory for each process.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use halyard_cell::SpinLock;

use super::descriptors::DescriptorFolder;
use super::{Folder, Report, Text, decimal, number_below, process, system, sysvipc};
use crate::fs::directory::{Above, FIRST_COOKIE, Link, Listed};
use crate::fs::inode::{FileSystemId, Inode, Metadata, Node};
use crate::kernel::Kernel;
use crate::process::Pid;
use crate::process::state::Process;
use crate::{Errno, Result};

/// Writes what an entry about the kernel says.
type About = fn(&'static Kernel, &mut Text);
/// Writes what an entry about a process says.
type AboutProcess = fn(&'static Kernel, &Process, &mut Text);

/// Takes what a program writes into an entry about the kernel. EINVAL.
type Change = fn(&[u8]) -> Result<()>;

/// A fixed entry.
struct Entry {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    Report(About),
    /// What is said can be changed, by root.
    Setting(About, Change),
    Link(About),
    Folder(&'static [Entry]),
}

/// A fixed entry of a process's directory.
struct ProcessEntry {
    name: &'static str,
    kind: ProcessKind,
}

enum ProcessKind {
    Report(AboutProcess),
    Link(AboutProcess),
    Descriptors,
}

const fn report(name: &'static str, about: About) -> Entry {
    Entry {
        name,
        kind: Kind::Report(about),
    }
}

static ROOT: &[Entry] = &[
    Entry {
        name: "self",
        kind: Kind::Link(system::self_link),
    },
    report("cmdline", system::command_line),
    report("cpuinfo", system::cpu_info),
    report("filesystems", system::file_systems),
    Entry {
        name: "halyard",
        kind: Kind::Folder(&[report("objects", system::objects)]),
    },
    report("loadavg", system::load_average),
    report("meminfo", system::memory_info),
    Entry {
        name: "mounts",
        kind: Kind::Link(|_, text| text.push(b"self/mounts")),
    },
    report("stat", system::statistics),
    Entry {
        name: "sys",
        kind: Kind::Folder(SYS),
    },
    Entry {
        name: "sysvipc",
        kind: Kind::Folder(&[
            report("msg", sysvipc::messages),
            report("sem", sysvipc::semaphores),
            report("shm", sysvipc::memory),
        ]),
    },
    report("uptime", system::uptime),
    report("version", system::version),
];

static SYS: &[Entry] = &[
    Entry {
        name: "fs",
        kind: Kind::Folder(&[
            report("file-max", system::file_max),
            report("file-nr", system::file_count),
            report("nr_open", system::descriptors_max),
            report("pipe-max-size", system::pipe_max_size),
            Entry {
                name: "mqueue",
                kind: Kind::Folder(MQUEUE),
            },
        ]),
    },
    Entry {
        name: "kernel",
        kind: Kind::Folder(&[
            report("hostname", |_, text| text.push(b"halyard\n")),
            Entry {
                name: "log",
                kind: Kind::Setting(system::log_level, system::set_log_level),
            },
            report("msgmax", sysvipc::message_max),
            report("msgmnb", sysvipc::message_bytes),
            report("msgmni", sysvipc::message_queues),
            report("osrelease", |_, text| {
                writeln!(text, "{}", crate::version::ABI_RELEASE)
            }),
            report("ostype", |_, text| {
                writeln!(text, "{}", crate::version::SYSTEM)
            }),
            report("pid_max", system::pid_max),
            report("sem", sysvipc::semaphore_limits),
            report("shmall", sysvipc::memory_all),
            report("shmmax", sysvipc::memory_max),
            report("shmmni", sysvipc::memory_segments),
            report("version", |_, text| {
                writeln!(text, "{}", crate::version::VERSION)
            }),
        ]),
    },
];

static MQUEUE: &[Entry] = &[
    report("msg_default", system::mqueue_messages),
    report("msg_max", system::mqueue_messages),
    report("msgsize_default", system::mqueue_bytes),
    report("msgsize_max", system::mqueue_bytes),
    report("queues_max", system::mqueue_count),
];

static PROCESS: &[ProcessEntry] = &[
    ProcessEntry {
        name: "cmdline",
        kind: ProcessKind::Report(process::command_line),
    },
    ProcessEntry {
        name: "comm",
        kind: ProcessKind::Report(process::name),
    },
    ProcessEntry {
        name: "cwd",
        kind: ProcessKind::Link(process::current_directory),
    },
    ProcessEntry {
        name: "exe",
        kind: ProcessKind::Link(process::executable),
    },
    ProcessEntry {
        name: "fd",
        kind: ProcessKind::Descriptors,
    },
    ProcessEntry {
        name: "maps",
        kind: ProcessKind::Report(process::maps),
    },
    ProcessEntry {
        name: "mounts",
        kind: ProcessKind::Report(process::mounts),
    },
    ProcessEntry {
        name: "root",
        kind: ProcessKind::Link(process::root_directory),
    },
    ProcessEntry {
        name: "stat",
        kind: ProcessKind::Report(process::stat),
    },
    ProcessEntry {
        name: "status",
        kind: ProcessKind::Report(process::status),
    },
    ProcessEntry {
        name: "wait",
        kind: ProcessKind::Report(process::wait),
    },
];

/// The root of a /proc, to be mounted.
#[must_use]
pub fn root(kernel: &'static Kernel) -> Arc<Inode> {
    let folder = FixedFolder {
        kernel,
        entries: ROOT,
        place: Place::Root(SpinLock::new(Link::Covered(Weak::new()))),
    };
    Arc::new(made_up(kernel, 1, Node::folder(folder), 0o555, (0, 0)))
}

/// An inode of /proc.
pub(super) fn made_up(
    kernel: &Kernel,
    number: u64,
    node: Node,
    permissions: u32,
    (uid, gid): (u32, u32),
) -> Inode {
    let mut metadata = Metadata::new(permissions, uid, gid, kernel.wall_clock());
    if matches!(node, Node::Folder(_)) {
        metadata.links = 2;
    }
    Inode::with_number(FileSystemId::PROCESSES, number, node, metadata)
}

/// Where a folder of fixed entries is.
enum Place {
    /// It is the root: processes are found in it too.
    Root(SpinLock<Link>),
    /// In this directory.
    In(Arc<Inode>),
}

/// A directory of fixed entries.
struct FixedFolder {
    kernel: &'static Kernel,
    entries: &'static [Entry],
    place: Place,
}

/// In the root, cookies from here on are those of processes: this much more than their numbers.
const PROCESSES_FROM: u64 = 0x1_0000;

impl FixedFolder {
    fn make(&self, me: &Arc<Inode>, entry: &Entry) -> Arc<Inode> {
        let kernel = self.kernel;
        let (node, permissions) = match entry.kind {
            Kind::Report(about) => (
                Node::report(SystemReport {
                    kernel,
                    about,
                    change: None,
                    link: false,
                }),
                0o444,
            ),
            Kind::Setting(about, change) => (
                Node::report(SystemReport {
                    kernel,
                    about,
                    change: Some(change),
                    link: false,
                }),
                0o644,
            ),
            Kind::Link(about) => (
                Node::report(SystemReport {
                    kernel,
                    about,
                    change: None,
                    link: true,
                }),
                0o777,
            ),
            Kind::Folder(entries) => (
                Node::folder(FixedFolder {
                    kernel,
                    entries,
                    place: Place::In(Arc::clone(me)),
                }),
                0o555,
            ),
        };
        let number = number_below(me.number, entry.name.as_bytes());
        Arc::new(made_up(kernel, number, node, permissions, (0, 0)))
    }

    fn process(&self, me: &Arc<Inode>, process: &Process) -> Arc<Inode> {
        let credentials = process.credentials();
        let owner = (credentials.euid, credentials.egid);
        let folder = ProcessFolder {
            kernel: self.kernel,
            pid: process.pid,
            parent: Arc::clone(me),
        };
        let number = number_below(me.number, &process.pid.to_le_bytes());
        Arc::new(made_up(
            self.kernel,
            number,
            Node::folder(folder),
            0o555,
            owner,
        ))
    }

    fn next_process(&self, me: &Arc<Inode>, cookie: u64) -> Option<Listed> {
        if !matches!(self.place, Place::Root(_)) {
            return None;
        }
        let least = Pid::try_from(cookie.saturating_sub(PROCESSES_FROM)).ok()?;
        let process = self.kernel.processes.next_from(least)?;
        let inode = self.process(me, &process);
        Some(Listed {
            name: decimal_name(process.pid),
            cookie: PROCESSES_FROM + u64::from(process.pid) + 1,
            inode,
        })
    }
}

/// A number as a name.
pub(super) fn decimal_name(number: u32) -> Arc<[u8]> {
    let mut text = Text::new();
    write!(text, "{number}");
    Arc::from(text.finish().unwrap_or_default())
}

/// The entry of `entries` at `cookie`, and the cookie behind it.
fn fixed_entry<T>(entries: &[T], cookie: u64) -> Option<(&T, u64)> {
    let cookie = cookie.max(FIRST_COOKIE);
    let index = usize::try_from(cookie - FIRST_COOKIE).ok()?;
    entries.get(index).map(|entry| (entry, cookie + 1))
}

impl Folder for FixedFolder {
    fn lookup(&self, me: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        if let Some(entry) = self
            .entries
            .iter()
            .find(|entry| entry.name.as_bytes() == name)
        {
            return Ok(Some(self.make(me, entry)));
        }
        if matches!(self.place, Place::In(_)) {
            return Ok(None);
        }
        let process = decimal(name).and_then(|pid| self.kernel.processes.process(pid));
        Ok(process.map(|process| self.process(me, &process)))
    }

    fn entry_from(&self, me: &Arc<Inode>, cookie: u64) -> Option<Listed> {
        match fixed_entry(self.entries, cookie) {
            Some((entry, cookie)) => Some(Listed {
                name: Arc::from(entry.name.as_bytes()),
                cookie,
                inode: self.make(me, entry),
            }),
            None => self.next_process(me, cookie),
        }
    }

    fn above(&self) -> Above {
        match &self.place {
            Place::Root(link) => {
                let link = link.lock().clone();
                link.resolve()
            }
            Place::In(parent) => Above::Parent(Arc::clone(parent)),
        }
    }

    fn set_covered(&self, covered: Option<&Arc<Inode>>) {
        if let Place::Root(link) = &self.place {
            let new = Link::Covered(covered.map_or_else(Weak::new, Arc::downgrade));
            let before = core::mem::replace(&mut *link.lock(), new);
            drop(before);
        }
    }
}

struct SystemReport {
    kernel: &'static Kernel,
    about: About,
    change: Option<Change>,
    link: bool,
}

impl Report for SystemReport {
    fn store(&self, text: &[u8]) -> Result<()> {
        self.change.ok_or(Errno::EINVAL)?(text)
    }

    fn generate(&self) -> Result<Vec<u8>> {
        let mut text = Text::new();
        (self.about)(self.kernel, &mut text);
        text.finish()
    }

    fn is_link(&self) -> bool {
        self.link
    }
}

/// The directory of a process.
struct ProcessFolder {
    kernel: &'static Kernel,
    pid: Pid,
    parent: Arc<Inode>,
}

impl ProcessFolder {
    fn make(&self, me: &Arc<Inode>, entry: &ProcessEntry) -> Arc<Inode> {
        let (kernel, pid) = (self.kernel, self.pid);
        let (node, permissions) = match entry.kind {
            ProcessKind::Report(about) => (
                Node::report(ProcessReport {
                    kernel,
                    pid,
                    about,
                    link: false,
                }),
                0o444,
            ),
            ProcessKind::Link(about) => (
                Node::report(ProcessReport {
                    kernel,
                    pid,
                    about,
                    link: true,
                }),
                0o777,
            ),
            ProcessKind::Descriptors => {
                (Node::folder(DescriptorFolder::new(kernel, pid, me)), 0o500)
            }
        };
        let owner = me.metadata();
        let number = number_below(me.number, entry.name.as_bytes());
        Arc::new(made_up(
            kernel,
            number,
            node,
            permissions,
            (owner.uid, owner.gid),
        ))
    }
}

impl Folder for ProcessFolder {
    fn lookup(&self, me: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        self.kernel
            .processes
            .process(self.pid)
            .ok_or(Errno::ENOENT)?;
        let entry = PROCESS.iter().find(|entry| entry.name.as_bytes() == name);
        Ok(entry.map(|entry| self.make(me, entry)))
    }

    fn entry_from(&self, me: &Arc<Inode>, cookie: u64) -> Option<Listed> {
        self.kernel.processes.process(self.pid)?;
        let (entry, cookie) = fixed_entry(PROCESS, cookie)?;
        Some(Listed {
            name: Arc::from(entry.name.as_bytes()),
            cookie,
            inode: self.make(me, entry),
        })
    }

    fn above(&self) -> Above {
        Above::Parent(Arc::clone(&self.parent))
    }
}

struct ProcessReport {
    kernel: &'static Kernel,
    pid: Pid,
    about: AboutProcess,
    link: bool,
}

impl Report for ProcessReport {
    fn generate(&self) -> Result<Vec<u8>> {
        let process = self
            .kernel
            .processes
            .process(self.pid)
            .ok_or(Errno::ESRCH)?;
        let mut text = Text::new();
        (self.about)(self.kernel, &process, &mut text);
        if self.link && text.is_empty() {
            return Err(Errno::ENOENT);
        }
        text.finish()
    }

    fn is_link(&self) -> bool {
        self.link
    }
}
