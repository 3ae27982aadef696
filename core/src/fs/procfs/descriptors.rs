//! /proc/PID/fd: a link for each open descriptor, which leads to what is open and not along its text.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::build::{decimal_name, made_up};
use super::{Folder, Report, Text, decimal, number_below};
use crate::devices::Devices;
use crate::fs::devices::DEVICES;
use crate::fs::directory::{Above, FIRST_COOKIE, Listed};
use crate::fs::inode::{FileSystemId, Inode, Metadata, Node};
use crate::fs::open_file::{FileRef, OpenFile};
use crate::fs::path;
use crate::kernel::Kernel;
use crate::process::Pid;
use crate::{Errno, Result};

/// The directory.
pub(super) struct DescriptorFolder {
    kernel: &'static Kernel,
    pid: Pid,
    parent: Arc<Inode>,
}

impl DescriptorFolder {
    /// The descriptors of process `pid`, in `parent`.
    pub(super) fn new(kernel: &'static Kernel, pid: Pid, parent: &Arc<Inode>) -> DescriptorFolder {
        DescriptorFolder {
            kernel,
            pid,
            parent: Arc::clone(parent),
        }
    }

    fn make(&self, me: &Arc<Inode>, fd: i32, file: &OpenFile) -> Arc<Inode> {
        let flags = file.flags();
        let permissions = 0o100
            | if flags.readable() { 0o400 } else { 0 }
            | if flags.writable() { 0o200 } else { 0 };
        let link = Node::report(DescriptorLink {
            kernel: self.kernel,
            pid: self.pid,
            fd,
        });
        let owner = me.metadata();
        let number = number_below(me.number, &fd.to_le_bytes());
        Arc::new(made_up(
            self.kernel,
            number,
            link,
            permissions,
            (owner.uid, owner.gid),
        ))
    }
}

/// The open file of descriptor `fd` of process `pid`. ENOENT.
fn open_file(kernel: &Kernel, pid: Pid, fd: i32) -> Result<FileRef> {
    let files = kernel
        .processes
        .process(pid)
        .and_then(|process| process.files())
        .ok_or(Errno::ENOENT)?;
    files.get(fd).map_err(|_| Errno::ENOENT)
}

impl Folder for DescriptorFolder {
    fn lookup(&self, me: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let fd = decimal(name).and_then(|fd| i32::try_from(fd).ok());
        let file = fd.and_then(|fd| {
            open_file(self.kernel, self.pid, fd)
                .ok()
                .map(|file| (fd, file))
        });
        Ok(file.map(|(fd, file)| self.make(me, fd, &file)))
    }

    fn entry_from(&self, me: &Arc<Inode>, cookie: u64) -> Option<Listed> {
        let files = self.kernel.processes.process(self.pid)?.files()?;
        let least = i32::try_from(cookie.saturating_sub(FIRST_COOKIE)).ok()?;
        let (fd, file) = files.next_from(least)?;
        let inode = self.make(me, fd, &file);
        Some(Listed {
            name: decimal_name(fd as u32),
            cookie: fd as u64 + FIRST_COOKIE + 1,
            inode,
        })
    }

    fn above(&self) -> Above {
        Above::Parent(Arc::clone(&self.parent))
    }
}

struct DescriptorLink {
    kernel: &'static Kernel,
    pid: Pid,
    fd: i32,
}

/// The path of a device, by which ttyname(3) finds it; of a file, whose names an inode does not know, its number.
fn describe(inode: &Inode, devices: &Devices, text: &mut Text) {
    if let Node::Device(number) = inode.node {
        if let Some((name, ..)) = DEVICES.iter().find(|(_, known, _)| *known == number) {
            return write!(text, "/dev/{name}");
        }
        if let Some(device) = devices.names().find(|device| device.number == number) {
            return write!(text, "/dev/{}", device.name);
        }
    }
    write!(text, "inode:[{}:{}]", inode.file_system.0, inode.number);
}

impl Report for DescriptorLink {
    fn generate(&self) -> Result<Vec<u8>> {
        let file = open_file(self.kernel, self.pid, self.fd)?;
        let mut text = Text::new();
        match file.inode() {
            Some(inode) if inode.is_directory() => {
                return path::path_of(inode, self.kernel.names.root());
            }
            Some(inode) => describe(inode, &self.kernel.devices, &mut text),
            None => {
                let special = file.file().special();
                text.push(special.label().as_bytes());
                if let Some(number) = special.number() {
                    write!(text, "[{number}]");
                }
            }
        }
        text.finish()
    }

    fn is_link(&self) -> bool {
        true
    }

    fn target(&self) -> Option<Result<Arc<Inode>>> {
        let file = match open_file(self.kernel, self.pid, self.fd) {
            Ok(file) => file,
            Err(errno) => return Some(Err(errno)),
        };
        Some(Ok(match file.inode() {
            Some(inode) => Arc::clone(inode),
            None => {
                let metadata = Metadata::new(0o600, 0, 0, self.kernel.wall_clock());
                let node = Node::Anonymous(Arc::clone(file.file()));
                Arc::new(Inode::new(FileSystemId::ANONYMOUS, node, metadata))
            }
        }))
    }
}
