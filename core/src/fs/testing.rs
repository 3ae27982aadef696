//! What tests of names and files stand on: a namespace over an emulated machine's memory, and calls on it as a program makes
//! them.

use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

use alloc::sync::Arc;

use super::file::File;
use super::inode::{Inode, Node};
use super::namespace::{Maker, Namespace, RenameKind};
use super::path::{self, Found, Last, Walker};
use super::regular::RegularFile;
use crate::Result;
use crate::host::{Config, HostMachine};
use crate::machine::Machine;
use crate::mm::{Memory, MemoryObject};
use crate::process::credentials::Credentials;
use crate::time::{Clock, Instant, WallClock};

/// Names, and who acts on them from where.
pub(super) struct Bench {
    pub(super) names: Namespace,
    pub(super) memory: &'static Memory,
    pub(super) machine: &'static HostMachine,
    pub(super) who: Credentials,
    pub(super) start: Arc<Inode>,
}

/// A user who is not root, in group 100 too.
pub(super) fn user(uid: u32) -> Credentials {
    let groups = [100].into();
    Credentials {
        uid,
        euid: uid,
        suid: uid,
        fsuid: uid,
        gid: uid,
        egid: uid,
        sgid: uid,
        fsgid: uid,
        groups,
    }
}

impl Bench {
    pub(super) fn new() -> Bench {
        let (machine, memory) = HostMachine::new(Config::default());
        Bench::on(machine, memory)
    }

    /// Another namespace on the same memory.
    pub(super) fn on(machine: &'static HostMachine, memory: &'static Memory) -> Bench {
        let names = Namespace::new(memory.frames.room(), 0);
        let start = Arc::clone(names.root());
        Bench {
            names,
            memory,
            machine,
            who: Credentials::root(),
            start,
        }
    }

    fn now(&self) -> u64 {
        self.machine.now().0
    }

    pub(super) fn walker(&self) -> Walker<'_> {
        Walker {
            who: &self.who,
            root: Arc::clone(self.names.root()),
            start: Arc::clone(&self.start),
        }
    }

    fn maker(&self, permissions: u32) -> Maker<'_> {
        Maker {
            who: &self.who,
            permissions,
            now: self.now(),
        }
    }

    pub(super) fn place(&self, path: &str) -> Result<Found> {
        self.walker().walk(path.as_bytes().to_vec(), Last::Name)
    }

    pub(super) fn find(&self, path: &str) -> Result<Arc<Inode>> {
        self.walker().find(path.as_bytes().to_vec(), Last::Follow)
    }

    pub(super) fn lfind(&self, path: &str) -> Result<Arc<Inode>> {
        self.walker().find(path.as_bytes().to_vec(), Last::Keep)
    }

    pub(super) fn mkdir(&self, path: &str) -> Result<Arc<Inode>> {
        self.names
            .make_directory(&self.place(path)?, self.maker(0o755))
    }

    pub(super) fn mkfile(&self, path: &str) -> Result<Arc<Inode>> {
        let node = Node::Regular(MemoryObject::new(self.memory, 0));
        self.names
            .create(&self.place(path)?, node, self.maker(0o644))
    }

    pub(super) fn symlink(&self, text: &str, path: &str) -> Result<Arc<Inode>> {
        self.names.make_link(
            &self.place(path)?,
            text.as_bytes().to_vec(),
            self.maker(0o777),
        )
    }

    pub(super) fn link(&self, from: &str, to: &str) -> Result<()> {
        self.names
            .link(&self.lfind(from)?, &self.place(to)?, &self.who, self.now())
    }

    pub(super) fn unlink(&self, path: &str) -> Result<()> {
        self.names
            .unlink(&self.place(path)?, false, &self.who, self.now())
    }

    pub(super) fn rmdir(&self, path: &str) -> Result<()> {
        self.names
            .unlink(&self.place(path)?, true, &self.who, self.now())
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_as(from, to, RenameKind::Replace)
    }

    pub(super) fn rename_as(&self, from: &str, to: &str, kind: RenameKind) -> Result<()> {
        self.names.rename(
            &self.place(from)?,
            &self.place(to)?,
            kind,
            &self.who,
            self.now(),
        )
    }

    pub(super) fn open(&self, path: &str) -> Result<RegularFile> {
        let inode = self.find(path)?;
        let clock: &'static Clock = Box::leak(Box::new(Clock::new(Instant(0), 0)));
        match &inode.node {
            Node::Regular(memory) => {
                let memory = Arc::clone(memory);
                let clock = WallClock {
                    machine: self.machine,
                    clock,
                };
                Ok(RegularFile::new(Arc::clone(&inode), memory, clock))
            }
            _ => Err(crate::Errno::EINVAL),
        }
    }

    pub(super) fn contents(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.open(path)?;
        let mut room = std::vec![0; file.end() as usize + 1];
        let count = file.try_read(&mut &mut room[..], 0)?;
        room.truncate(count);
        Ok(room)
    }

    pub(super) fn path_of(&self, inode: &Arc<Inode>) -> Result<String> {
        let path = path::path_of(inode, self.names.root())?;
        Ok(String::from_utf8_lossy(&path).to_string())
    }

    /// All paths with what is there: a line each.
    pub(super) fn tree(&self) -> Vec<String> {
        let mut lines = Vec::new();
        list(self.names.root(), "", &mut lines);
        lines.sort();
        lines
    }
}

fn list(inode: &Arc<Inode>, path: &str, lines: &mut Vec<String>) {
    let Node::Directory(directory) = &inode.node else {
        return;
    };
    let mut cookie = 0;
    while let Some(entry) = directory.entry_from(cookie) {
        cookie = entry.cookie;
        let path = std::format!("{path}/{}", String::from_utf8_lossy(&entry.name));
        let what = match &entry.inode.node {
            Node::Symlink(text) => std::format!("-> {}", String::from_utf8_lossy(text)),
            node => std::format!("{} {}", kind(node), entry.inode.metadata().links),
        };
        lines.push(std::format!("{path} {what}"));
        list(&entry.inode, &path, lines);
    }
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Directory(_) => "dir",
        Node::Regular(_) => "file",
        _ => "other",
    }
}
