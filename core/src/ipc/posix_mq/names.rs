//! The names of queues: a file system of one directory, which anybody may mount; limits and what is charged to whom.
//!
//! Names, owners and permissions are those of any file (`fs::namespace`). A queue goes with its last name and descriptor.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use halyard_abi::mqueue::MQ_PRIO_MAX;
use halyard_cell::SpinLock;

use super::Queue;
use crate::fs::directory::Directory;
use crate::fs::file::{File, Special};
use crate::fs::inode::{FileSystemId, Inode, Metadata, Node, Want};
use crate::fs::namespace::{Maker, Namespace};
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::fs::path::{Found, Last, Walker};
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_ACCMODE: u32 = 3;

/// The most queues at once, but for the privileged (/proc/sys/fs/mqueue/queues_max).
pub const QUEUES_MAX: usize = 256;

/// How many messages a queue takes, and how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `mq_maxmsg`.
    pub messages: usize,
    /// `mq_msgsize`.
    pub bytes: usize,
}

/// What the unprivileged may have at most, and what a queue has if its maker says nothing (msg_max and msg_default,
/// msgsize_max and msgsize_default of /proc/sys/fs/mqueue).
pub const DEFAULT_SHAPE: Shape = Shape {
    messages: 10,
    bytes: 8192,
};

/// What nobody may exceed (HARD_MSGMAX and HARD_MSGSIZEMAX of mq_overview(7)).
const CEILING: Shape = Shape {
    messages: 65536,
    bytes: 16 << 20,
};

impl Shape {
    /// The shape that a program asks for. EINVAL: nothing, or more than it may.
    pub fn asked(messages: i64, bytes: i64, privileged: bool) -> Result<Shape> {
        let limit = if privileged { CEILING } else { DEFAULT_SHAPE };
        let within = |asked: i64, limit: usize| {
            usize::try_from(asked)
                .ok()
                .filter(|asked| (1..=limit).contains(asked))
                .ok_or(Errno::EINVAL)
        };
        Ok(Shape {
            messages: within(messages, limit.messages)?,
            bytes: within(bytes, limit.bytes)?,
        })
    }

    /// What a queue of this shape counts against RLIMIT_MSGQUEUE, in bytes: its messages and what Linux keeps for each
    /// message and each priority (getrlimit(2)).
    const fn weight(self) -> u64 {
        const MESSAGE: u64 = 48;
        const PRIORITY: u64 = 48;
        let messages = self.messages as u64;
        let priorities = if messages < MQ_PRIO_MAX as u64 {
            messages
        } else {
            MQ_PRIO_MAX as u64
        };
        messages * MESSAGE + priorities * PRIORITY + messages * self.bytes as u64
    }
}

/// What all queues there are were charged.
#[derive(Default)]
struct Ledger {
    queues: usize,
    by_user: BTreeMap<u32, u64>,
}

/// What one queue was charged; gone with it.
pub(crate) struct Charge {
    ledger: Arc<SpinLock<Ledger>>,
    user: u32,
    bytes: u64,
}

impl Charge {
    /// ENOSPC: too many queues. EMFILE: more bytes than `limit` for the user.
    fn make(
        ledger: &Arc<SpinLock<Ledger>>,
        who: &Credentials,
        bytes: u64,
        limit: u64,
    ) -> Result<Charge> {
        let mut open = ledger.lock();
        if open.queues >= QUEUES_MAX && !who.privileged() {
            return Err(Errno::ENOSPC);
        }
        let held = open.by_user.get(&who.uid).copied().unwrap_or(0);
        let held = held.checked_add(bytes).filter(|held| *held <= limit);
        open.by_user.insert(who.uid, held.ok_or(Errno::EMFILE)?);
        open.queues += 1;
        drop(open);
        Ok(Charge {
            ledger: Arc::clone(ledger),
            user: who.uid,
            bytes,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut open = self.ledger.lock();
        open.queues = open.queues.saturating_sub(1);
        if let Some(held) = open.by_user.get_mut(&self.user) {
            *held = held.saturating_sub(self.bytes);
            if *held == 0 {
                open.by_user.remove(&self.user);
            }
        }
    }
}

/// Who opens a queue, and how.
pub struct MqOpen<'a> {
    /// With whose rights.
    pub who: &'a Credentials,
    /// O_* flags as the program gave them.
    pub flags: u32,
    /// Permissions of a new queue, the umask applied.
    pub permissions: u32,
    /// What a new queue is to be: messages and bytes; None: as usual.
    pub shape: Option<(i64, i64)>,
    /// RLIMIT_MSGQUEUE.
    pub limit: u64,
    /// Wall clock, ns since 1970.
    pub now: u64,
}

/// All queues that have names.
pub struct PosixQueues {
    root: Arc<Inode>,
    ledger: Arc<SpinLock<Ledger>>,
}

impl PosixQueues {
    /// No queues.
    #[must_use]
    pub fn new(now: u64) -> PosixQueues {
        let metadata = Metadata {
            links: 2,
            ..Metadata::new(0o1777, 0, 0, now)
        };
        let node = Node::Directory(Directory::root());
        PosixQueues {
            root: Arc::new(Inode::new(FileSystemId::QUEUES, node, metadata)),
            ledger: Arc::default(),
        }
    }

    /// The directory that holds their names.
    #[must_use]
    pub const fn root(&self) -> &Arc<Inode> {
        &self.root
    }

    /// mq_open(2): `name` comes without its slash. ENOENT, EEXIST, EACCES, EINVAL, ENAMETOOLONG, ENOSPC, EMFILE, ENFILE.
    pub fn open(
        &self,
        names: &Namespace,
        name: Vec<u8>,
        request: &MqOpen<'_>,
    ) -> Result<Arc<OpenFile>> {
        let found = self.find(name, request.who)?;
        let creates = request.flags & O_CREAT != 0;
        let inode = match &found.inode {
            Some(_) if creates && request.flags & O_EXCL != 0 => return Err(Errno::EEXIST),
            Some(inode) => Arc::clone(inode),
            None if !creates => return Err(Errno::ENOENT),
            None => match self.create(names, &found, request) {
                Err(Errno::EEXIST) if request.flags & O_EXCL == 0 => {
                    let name = found.name().ok_or(Errno::ENOENT)?;
                    let theirs = self.root.directory()?.lookup(name);
                    theirs.ok_or(Errno::ENOENT)?
                }
                made => return open_inode(made?, request.flags),
            },
        };
        check_access(&inode, request)?;
        open_inode(inode, request.flags)
    }

    /// mq_unlink(2). ENOENT, EACCES, EPERM.
    pub fn unlink(
        &self,
        names: &Namespace,
        name: Vec<u8>,
        who: &Credentials,
        now: u64,
    ) -> Result<()> {
        let found = self.find(name, who)?;
        names.unlink(&found, false, who, now)
    }

    fn find(&self, name: Vec<u8>, who: &Credentials) -> Result<Found> {
        if name.is_empty() {
            return Err(Errno::ENOENT);
        }
        if name.contains(&b'/') || name == b"." || name == b".." {
            return Err(Errno::EACCES);
        }
        let walker = Walker {
            who,
            root: Arc::clone(&self.root),
            start: Arc::clone(&self.root),
        };
        walker.walk(name, Last::Name)
    }

    fn create(&self, names: &Namespace, found: &Found, request: &MqOpen<'_>) -> Result<Arc<Inode>> {
        let who = request.who;
        let shape = match request.shape {
            None => DEFAULT_SHAPE,
            Some((messages, bytes)) => Shape::asked(messages, bytes, who.privileged())?,
        };
        let charge = Charge::make(&self.ledger, who, shape.weight(), request.limit)?;
        let maker = Maker {
            who,
            permissions: request.permissions,
            now: request.now,
        };
        let queue: Arc<dyn File> = Queue::new(shape, Some(charge));
        names.create(found, Node::Anonymous(queue), maker)
    }
}

/// EINVAL: the access mode is none. EACCES.
fn check_access(inode: &Inode, request: &MqOpen<'_>) -> Result<()> {
    let want = match request.flags & O_ACCMODE {
        0 => Want::READ,
        1 => Want::WRITE,
        2 => Want::READ | Want::WRITE,
        _ => return Err(Errno::EINVAL),
    };
    inode.check(request.who, want)
}

/// Opens what the name leads to. EACCES: it is no queue.
fn open_inode(inode: Arc<Inode>, flags: u32) -> Result<Arc<OpenFile>> {
    let Node::Anonymous(file) = &inode.node else {
        return Err(Errno::EACCES);
    };
    let Special::MessageQueue(_) = file.special() else {
        return Err(Errno::EACCES);
    };
    let kept = OpenFlags::WRITE_ONLY | OpenFlags::READ_WRITE | OpenFlags::NONBLOCK;
    let flags = OpenFlags::from_bits_truncate(flags).intersection(kept);
    let file = Arc::clone(file);
    OpenFile::named(file, flags, Some(inode))
}
