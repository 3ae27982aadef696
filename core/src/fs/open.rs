//! open(2): from a path and flags to an open file.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::devices;
use super::file::File;
use super::inode::{Inode, Node, Want};
use super::namespace::Maker;
use super::open_file::{OpenFile, OpenFlags};
use super::path::{Found, Last, Walker};
use super::procfs::ReportFile;
use super::regular::{DirectoryFile, PathFile, RegularFile};
use crate::kernel::Kernel;
use crate::mm::MemoryObject;
use crate::{Errno, Result};

const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_TRUNC: u32 = 0o1000;
const O_DIRECTORY: u32 = 0o40_000;
const O_NOFOLLOW: u32 = 0o100_000;
const O_TMPFILE: u32 = 0o20_000_000;

/// What open is asked for.
pub struct OpenRequest<'a> {
    /// Who looks, from where.
    pub walker: Walker<'a>,
    /// O_* flags as the program gave them.
    pub flags: u32,
    /// Permissions of a new file, the umask applied.
    pub permissions: u32,
    /// The opener's session.
    pub session: u32,
}

/// What came of it.
pub enum Opened {
    /// The file is open.
    Now(Arc<OpenFile>),
    /// It is a FIFO, whose open may have to wait for its other end.
    Fifo(Arc<Inode>, OpenFlags),
}

/// Opens `path`. Errors of open(2).
pub fn open(kernel: &'static Kernel, request: &OpenRequest<'_>, path: Vec<u8>) -> Result<Opened> {
    let flags = OpenFlags::from_bits_truncate(request.flags);
    if request.flags & O_TMPFILE != 0 && request.flags & O_DIRECTORY == O_DIRECTORY {
        return Err(Errno::EOPNOTSUPP);
    }
    let keep = request.flags & O_NOFOLLOW != 0 || request.flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
    let found = request.walker.walk(path, if keep { Last::Keep } else { Last::Follow })?;
    if flags.contains(OpenFlags::PATH) {
        let inode = found.existing()?;
        check_directory(request, &inode)?;
        return OpenFile::new(Arc::new(PathFile::new(inode)), flags).map(Opened::Now);
    }
    let (inode, fresh) = match (&found.inode, request.flags & O_CREAT != 0) {
        (Some(_), true) if request.flags & O_EXCL != 0 => return Err(Errno::EEXIST),
        (None, true) => create(kernel, request, &found)?,
        _ => (found.existing()?, false),
    };
    check_directory(request, &inode)?;
    if matches!(inode.node, Node::Symlink(_)) {
        return Err(Errno::ELOOP);
    }
    if inode.is_directory() && (flags.writable() || request.flags & O_CREAT != 0) {
        return Err(Errno::EISDIR);
    }
    if !fresh {
        check_access(request, &inode, flags)?;
    }
    open_inode(kernel, request, inode, flags)
}

fn check_directory(request: &OpenRequest<'_>, inode: &Inode) -> Result<()> {
    if request.flags & O_DIRECTORY != 0 && !inode.is_directory() { Err(Errno::ENOTDIR) } else { Ok(()) }
}

fn check_access(request: &OpenRequest<'_>, inode: &Inode, flags: OpenFlags) -> Result<()> {
    let mut want = Want::empty();
    want.set(Want::READ, flags.readable());
    want.set(Want::WRITE, flags.writable() || request.flags & O_TRUNC != 0);
    inode.check(request.walker.who, want)
}

/// Makes the file that was not there; or takes the one that somebody else made meanwhile.
fn create(kernel: &'static Kernel, request: &OpenRequest<'_>, found: &Found) -> Result<(Arc<Inode>, bool)> {
    if found.directory_wanted {
        return Err(Errno::EISDIR);
    }
    let maker = Maker { who: request.walker.who, permissions: request.permissions, now: kernel.wall_clock() };
    let node = Node::Regular(MemoryObject::new(kernel.memory, 0));
    match kernel.names.create(found, node, maker) {
        Err(Errno::EEXIST) if request.flags & O_EXCL == 0 => {
            let there = found.directory.directory()?.lookup(&found.name).ok_or(Errno::ENOENT)?;
            Ok((there, false))
        }
        outcome => outcome.map(|inode| (inode, true)),
    }
}

fn open_inode(
    kernel: &'static Kernel,
    request: &OpenRequest<'_>,
    inode: Arc<Inode>,
    flags: OpenFlags,
) -> Result<Opened> {
    let file: Arc<dyn File> = match &inode.node {
        Node::Directory(_) | Node::Folder(_) => Arc::new(DirectoryFile::new(Arc::clone(&inode))),
        Node::Regular(memory) => {
            if request.flags & O_TRUNC != 0 {
                memory.set_size(0)?;
                let now = kernel.wall_clock();
                inode.update(|it| (it.modified, it.changed) = (now, now));
            }
            Arc::new(RegularFile::new(Arc::clone(&inode), Arc::clone(memory)))
        }
        Node::Report(report) => Arc::new(ReportFile::new(report.generate()?, Arc::clone(&inode))),
        Node::Device(number) => devices::open(kernel, *number, Arc::clone(&inode), request.session)?,
        Node::Fifo(_) => return Ok(Opened::Fifo(inode, flags)),
        Node::Socket | Node::Symlink(_) => return Err(Errno::ENXIO),
    };
    OpenFile::new(file, flags).map(Opened::Now)
}
