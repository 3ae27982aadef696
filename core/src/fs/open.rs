//! open(2): from a path and flags to an open file.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::devices;
use super::file::{File, Special};
use super::inode::{Inode, Node, Want};
use super::namespace::Maker;
use super::open_file::{OpenFile, OpenFlags};
use super::path::{Found, Last, Walker};
use super::procfs::ReportFile;
use super::regular::{DirectoryFile, PathFile, RegularFile};
use crate::kernel::Kernel;
use crate::mm::MemoryObject;
use crate::time::WallClock;
use crate::{Errno, Result};

const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_NOCTTY: u32 = 0o400;
const O_TRUNC: u32 = 0o1000;
const O_DIRECTORY: u32 = 0o40_000;
const O_NOFOLLOW: u32 = 0o100_000;
/// The bit of O_TMPFILE that is not O_DIRECTORY.
const O_TMPFILE_BIT: u32 = 0o20_000_000;

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

impl OpenRequest<'_> {
    fn asks(&self, flag: u32) -> bool {
        self.flags & flag == flag
    }

    /// What open(2) refuses without looking. EOPNOTSUPP: O_TMPFILE. EINVAL.
    fn check(&self) -> Result<()> {
        if self.flags & O_TMPFILE_BIT != 0 {
            return Err(if self.asks(O_DIRECTORY) {
                Errno::EOPNOTSUPP
            } else {
                Errno::EINVAL
            });
        }
        if self.asks(O_CREAT | O_DIRECTORY) {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    }

    /// ENOTDIR: a directory is asked for. ELOOP: a link that is not to be followed.
    fn check_kind(&self, inode: &Inode, path_only: bool) -> Result<()> {
        if self.asks(O_DIRECTORY) && !inode.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        if inode.is_link() && !path_only {
            Err(Errno::ELOOP)
        } else {
            Ok(())
        }
    }

    fn check_access(&self, inode: &Inode, flags: OpenFlags) -> Result<()> {
        let mut want = Want::empty();
        // Access mode 3 gives neither reading nor writing but needs both rights.
        let both = self.flags & 3 == 3;
        want.set(Want::READ, flags.readable() || both);
        want.set(Want::WRITE, flags.writable() || both || self.asks(O_TRUNC));
        inode.check(self.walker.who, want)
    }
}

/// Opens `path`. Errors of open(2).
pub fn open(kernel: &'static Kernel, request: &OpenRequest<'_>, path: Vec<u8>) -> Result<Opened> {
    let flags = OpenFlags::from_bits_truncate(request.flags) | OpenFlags::LARGE_FILE;
    if flags.contains(OpenFlags::PATH) {
        let last = if request.asks(O_NOFOLLOW) {
            Last::Keep
        } else {
            Last::Follow
        };
        let inode = request.walker.find(path, last)?;
        request.check_kind(&inode, true)?;
        let kept = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NO_FOLLOW;
        return OpenFile::new(Arc::new(PathFile::new(inode)), flags & kept).map(Opened::Now);
    }
    request.check()?;
    let last = if request.asks(O_CREAT | O_EXCL) {
        Last::Name
    } else if request.asks(O_NOFOLLOW) {
        Last::Keep
    } else {
        Last::Follow
    };
    let found = request.walker.walk(path, last)?;
    if request.asks(O_CREAT) {
        found.check_file_name()?;
    }
    let (inode, fresh) = match (&found.inode, request.asks(O_CREAT)) {
        (Some(_), true) if request.asks(O_EXCL) => return Err(Errno::EEXIST),
        (None, true) => create(kernel, request, &found)?,
        _ => (found.existing()?, false),
    };
    request.check_kind(&inode, false)?;
    if inode.is_directory() && (flags.writable() || request.asks(O_CREAT) || request.asks(O_TRUNC))
    {
        return Err(Errno::EISDIR);
    }
    if !fresh {
        request.check_access(&inode, flags)?;
    }
    open_inode(kernel, request, inode, flags)
}

/// Makes the file that was not there; or takes the one that somebody else made meanwhile.
fn create(
    kernel: &'static Kernel,
    request: &OpenRequest<'_>,
    found: &Found,
) -> Result<(Arc<Inode>, bool)> {
    let maker = Maker {
        who: request.walker.who,
        permissions: request.permissions,
        now: kernel.wall_clock(),
    };
    let node = Node::Regular(MemoryObject::new(kernel.memory, 0));
    match kernel.names.create(found, node, maker) {
        Err(Errno::EEXIST) if !request.asks(O_EXCL) => {
            let name = found.name().ok_or(Errno::EISDIR)?;
            Ok((
                found
                    .directory
                    .directory()?
                    .lookup(name)
                    .ok_or(Errno::ENOENT)?,
                false,
            ))
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
    let clock = WallClock {
        machine: kernel.machine,
        clock: &kernel.clock,
    };
    let file: Arc<dyn File> = match &inode.node {
        Node::Directory(_) | Node::Folder(_) => Arc::new(DirectoryFile::new(Arc::clone(&inode))),
        Node::Regular(memory) => {
            let file = RegularFile::new(Arc::clone(&inode), Arc::clone(memory), clock);
            if request.asks(O_TRUNC) {
                file.truncate(0)?;
            }
            Arc::new(file)
        }
        Node::Report(report) => Arc::new(ReportFile::new(report.generate()?, Arc::clone(&inode))),
        Node::Device(number) => devices::open(
            kernel,
            *number,
            Arc::clone(&inode),
            request.session,
            request.asks(O_NOCTTY),
        )?,
        Node::Anonymous(file) if file.socket().is_ok() => return Err(Errno::ENXIO),
        Node::Anonymous(file) => Arc::clone(file),
        Node::Fifo(_) => return Ok(Opened::Fifo(inode, flags)),
        Node::Socket(_) | Node::Symlink(_) => return Err(Errno::ENXIO),
    };
    // A queue's name is not known to the queue.
    let queue = matches!(file.special(), Special::MessageQueue(_));
    OpenFile::named(file, flags, queue.then_some(inode)).map(Opened::Now)
}
