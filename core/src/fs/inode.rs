//! Inodes: what names lead to. Lock level 3.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bitflags::bitflags;
use halyard_cell::SpinLock;

use super::directory::Directory;
use super::file::File;
use super::procfs::{Folder, Report};
use crate::counters::{Kind, Live};
use crate::ipc::fifo::Fifo;
use crate::ipc::unix::SocketPlace;
use crate::mm::MemoryObject;
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// Mask of the type bits of `st_mode` (inode(7)).
pub const S_IFMT: u32 = 0o170_000;
/// The types.
pub const S_IFSOCK: u32 = 0o140_000;
/// See [`S_IFSOCK`].
pub const S_IFLNK: u32 = 0o120_000;
/// See [`S_IFSOCK`].
pub const S_IFREG: u32 = 0o100_000;
/// See [`S_IFSOCK`].
pub const S_IFBLK: u32 = 0o060_000;
/// See [`S_IFSOCK`].
pub const S_IFDIR: u32 = 0o040_000;
/// See [`S_IFSOCK`].
pub const S_IFCHR: u32 = 0o020_000;
/// See [`S_IFSOCK`].
pub const S_IFIFO: u32 = 0o010_000;

bitflags! {
    /// What somebody wants to do with an inode; the bits are those of access(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Want: u32 {
        /// Execute it, or search it if it is a directory.
        const EXECUTE = 1;
        /// Write it.
        const WRITE = 2;
        /// Read it.
        const READ = 4;
    }
}

/// A device: major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// As `dev_t` in `struct stat` has it (makedev(3)).
    #[must_use]
    pub const fn encode(self) -> u64 {
        (self.minor & 0xff) as u64
            | ((self.major & 0xfff) as u64) << 8
            | ((self.minor & !0xff) as u64) << 12
    }

    /// From mknod's 32-bit argument.
    #[must_use]
    pub const fn decode(dev: u32) -> DeviceNumber {
        DeviceNumber {
            major: dev >> 8 & 0xfff,
            minor: dev & 0xff | dev >> 12 & 0xfff00,
        }
    }
}

/// What an inode is.
pub enum Node {
    /// Names of other inodes.
    Directory(Directory),
    /// Bytes.
    Regular(Arc<MemoryObject>),
    /// Another path.
    Symlink(Box<[u8]>),
    /// A character device.
    Device(DeviceNumber),
    /// A named pipe.
    Fifo(Fifo),
    /// The name of a socket.
    Socket(SocketPlace),
    /// A directory whose names are made up when asked for (procfs).
    Folder(Box<dyn Folder>),
    /// A file or link whose contents are made up when it is opened (procfs).
    Report(Box<dyn Report>),
    /// What a descriptor without a name refers to, found by /proc/PID/fd.
    Anonymous(Arc<dyn File>),
}

impl Node {
    /// A made-up directory.
    #[must_use]
    pub fn folder(folder: impl Folder + 'static) -> Node {
        Node::Folder(Box::new(folder))
    }

    /// A made-up file or link.
    #[must_use]
    pub fn report(report: impl Report + 'static) -> Node {
        Node::Report(Box::new(report))
    }
}

/// What changes over an inode's life, but for its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Permissions: twelve bits.
    pub permissions: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// How many names it has.
    pub links: u32,
    /// Last access, ns since 1970.
    pub accessed: u64,
    /// Last change of contents.
    pub modified: u64,
    /// Last change of this.
    pub changed: u64,
}

impl Metadata {
    /// Of a fresh inode.
    #[must_use]
    pub const fn new(permissions: u32, uid: u32, gid: u32, now: u64) -> Metadata {
        let permissions = permissions & 0o7777;
        Metadata {
            permissions,
            uid,
            gid,
            links: 1,
            accessed: now,
            modified: now,
            changed: now,
        }
    }
}

/// Which file system an inode is part of: links and renames do not cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystemId(pub u32);

impl FileSystemId {
    /// The first root.
    pub const ROOT: FileSystemId = FileSystemId(0);
    /// Every /dev.
    pub const DEVICES: FileSystemId = FileSystemId(1);
    /// Every /proc.
    pub const PROCESSES: FileSystemId = FileSystemId(2);
    /// What has no name.
    pub const ANONYMOUS: FileSystemId = FileSystemId(3);

    /// The names of POSIX message queues.
    pub const QUEUES: FileSystemId = FileSystemId(4);

    /// Files of memory that never had a name.
    pub const NAMELESS: FileSystemId = FileSystemId(5);

    /// One that no other file system has.
    #[must_use]
    pub fn next() -> FileSystemId {
        static NEXT: AtomicU32 = AtomicU32::new(6);
        FileSystemId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a name leads to.
pub struct Inode {
    /// Its number, unique in the kernel.
    pub number: u64,
    /// Its file system.
    pub file_system: FileSystemId,
    /// What it is.
    pub node: Node,
    metadata: SpinLock<Metadata>,
    _live: Live,
}

impl Inode {
    /// A fresh inode.
    #[must_use]
    pub fn new(file_system: FileSystemId, node: Node, metadata: Metadata) -> Inode {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Inode::with_number(
            file_system,
            NEXT.fetch_add(1, Ordering::Relaxed),
            node,
            metadata,
        )
    }

    /// An inode whose number is made of its path.
    pub(super) fn with_number(
        file_system: FileSystemId,
        number: u64,
        node: Node,
        metadata: Metadata,
    ) -> Inode {
        Inode {
            number,
            file_system,
            node,
            metadata: SpinLock::new(metadata),
            _live: Live::new(Kind::Inode),
        }
    }

    /// Its metadata now.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        *self.metadata.lock()
    }

    /// Changes its metadata.
    pub fn update<T>(&self, change: impl FnOnce(&mut Metadata) -> T) -> T {
        change(&mut self.metadata.lock())
    }

    /// Its type as `st_mode` has it.
    #[must_use]
    pub fn type_bits(&self) -> u32 {
        match &self.node {
            Node::Directory(_) | Node::Folder(_) => S_IFDIR,
            Node::Report(report) if report.is_link() => S_IFLNK,
            Node::Regular(_) | Node::Report(_) => S_IFREG,
            Node::Anonymous(file) => file.special().file_type(),
            Node::Symlink(_) => S_IFLNK,
            Node::Device(_) => S_IFCHR,
            Node::Fifo(_) => S_IFIFO,
            Node::Socket(_) => S_IFSOCK,
        }
    }

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.node, Node::Directory(_) | Node::Folder(_))
    }

    /// Its names, if it is a directory that holds them. ENOTDIR; EPERM for a directory whose names are made up, which cannot
    /// be changed.
    pub const fn directory(&self) -> Result<&Directory> {
        match &self.node {
            Node::Directory(directory) => Ok(directory),
            Node::Folder(_) => Err(Errno::EPERM),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// EACCES unless `who` may do all of `want` (path_resolution(7)).
    pub fn check(&self, who: &Credentials, want: Want) -> Result<()> {
        let metadata = self.metadata();
        let permissions = metadata.permissions;
        if who.fsuid == 0 {
            let executable = self.is_directory() || permissions & 0o111 != 0;
            return if want.contains(Want::EXECUTE) && !executable {
                Err(Errno::EACCES)
            } else {
                Ok(())
            };
        }
        let granted = if who.fsuid == metadata.uid {
            permissions >> 6
        } else if who.in_group(metadata.gid) {
            permissions >> 3
        } else {
            permissions
        };
        if want.bits() & !granted == 0 {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    /// EPERM unless `who` owns it or is privileged.
    pub fn check_owner(&self, who: &Credentials) -> Result<()> {
        if who.fsuid == 0 || who.fsuid == self.metadata().uid {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Its length in bytes, as `st_size` has it.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.node {
            Node::Regular(memory) => memory.size(),
            Node::Symlink(target) => target.len() as u64,
            Node::Directory(directory) => directory.len() as u64,
            Node::Anonymous(file) => file.end(),
            _ => 0,
        }
    }
}
