//! Calls that take a path: how paths are read from a program and looked for; open, and the makers and removers of names.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::descriptor::O_CLOEXEC;
use super::transfer::restartable;
use super::{Answer, Call, DONE, Outcome};
use crate::fs::descriptors::DescriptorTable;
use crate::fs::inode::{
    DeviceNumber, Inode, Node, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK,
};
use crate::fs::namespace::{Maker, RenameKind};
use crate::fs::open::{self, OpenRequest, Opened};
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::fs::path::{Found, Last, PATH_MAX, Walker};
use crate::ipc::fifo::{self, Opening};
use crate::ipc::unix::SocketPlace;
use crate::mm::MemoryObject;
use crate::process::credentials::Credentials;
use crate::process::state::Process;
use crate::{Errno, Result};

pub(super) const AT_FDCWD: i32 = -100;
pub(super) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
pub(super) const AT_EMPTY_PATH: u32 = 0x1000;
const AT_REMOVEDIR: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;

impl Call<'_> {
    /// The path that argument `N` points to. EFAULT, ENAMETOOLONG.
    pub(super) fn path<const N: usize>(&self) -> Result<Vec<u8>> {
        self.space().read_cstr(self.addr::<N>(), PATH_MAX)
    }

    /// The caller's view of names, relative paths beginning at descriptor `at` (AT_FDCWD: the current directory).
    pub(super) fn walker<'a>(
        &self,
        at: i32,
        path: &[u8],
        who: &'a Credentials,
    ) -> Result<Walker<'a>> {
        walker(self.process(), self.files(), at, path, who)
    }

    /// What `path`, relative to descriptor argument `D`, leads to; with AT_EMPTY_PATH in `flags` and an empty path, what the
    /// descriptor refers to. AT_SYMLINK_NOFOLLOW counts.
    pub(super) fn find<const D: usize>(&self, path: Vec<u8>, flags: u32) -> Result<Arc<Inode>> {
        let who = self.process().credentials();
        let walker = self.walker(self.int::<D>(), &path, &who)?;
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            return Ok(walker.start);
        }
        walker.find(
            path,
            if flags & AT_SYMLINK_NOFOLLOW != 0 {
                Last::Keep
            } else {
                Last::Follow
            },
        )
    }

    /// What path argument `P`, relative to the current directory, leads to.
    pub(super) fn find_here<const P: usize>(&self) -> Result<Arc<Inode>> {
        let path = self.path::<P>()?;
        let who = self.process().credentials();
        self.walker(AT_FDCWD, &path, &who)?.find(path, Last::Follow)
    }

    /// The name that descriptor argument `D` and path argument `P` lead to, whether anything is there or not.
    pub(super) fn place<const D: usize, const P: usize>(&self) -> Result<Found> {
        let path = self.path::<P>()?;
        let who = self.process().credentials();
        self.walker(self.int::<D>(), &path, &who)?
            .walk(path, Last::Name)
    }

    /// The permission bits of a new file: `mode` less the umask.
    fn masked(&self, mode: u32) -> Result<u32> {
        let fs = self.process().fs().ok_or(Errno::ESRCH)?;
        Ok(mode & 0o7777 & !fs.umask())
    }
}

/// As [`Call::walker`], for a process whose call may be waiting.
pub(super) fn walker<'a>(
    process: &Process,
    files: &DescriptorTable,
    at: i32,
    path: &[u8],
    who: &'a Credentials,
) -> Result<Walker<'a>> {
    let fs = process.fs().ok_or(Errno::ESRCH)?;
    let root = fs.root();
    let start = match path.first() {
        Some(b'/') => Arc::clone(&root),
        _ if at == AT_FDCWD => fs.current(),
        _ => Arc::clone(files.get(at)?.inode().ok_or(Errno::ENOTDIR)?),
    };
    Ok(Walker { who, root, start })
}

/// openat(2).
pub(super) fn openat(call: &mut Call<'_>) -> Answer {
    let (path, flags) = (call.path::<1>()?, call.uint::<2>());
    let who = call.process().credentials();
    let request = OpenRequest {
        walker: call.walker(call.int::<0>(), &path, &who)?,
        flags,
        permissions: call.masked(call.uint::<3>())?,
        session: call.process().session(),
    };
    let close_on_exec = flags & O_CLOEXEC != 0;
    match open::open(call.kernel, &request, path)? {
        Opened::Now(file) => install(call, file, close_on_exec),
        Opened::Fifo(inode, flags) => open_fifo(call, inode, flags, close_on_exec),
    }
}

fn install(call: &mut Call<'_>, file: Arc<OpenFile>, close_on_exec: bool) -> Answer {
    let fd = call
        .files()
        .insert(file, 0, call.descriptor_limit(), close_on_exec)?;
    Ok(Outcome::Done(fd as usize))
}

/// Opens a FIFO: at once if its other end is open, or need not be; else waits for it.
fn open_fifo(
    call: &mut Call<'_>,
    inode: Arc<Inode>,
    flags: OpenFlags,
    close_on_exec: bool,
) -> Answer {
    let Node::Fifo(fifo) = &inode.node else {
        return Err(Errno::ENXIO);
    };
    let access = match (flags.readable(), flags.writable()) {
        (true, true) => fifo::Access::Both,
        (_, true) => fifo::Access::Write,
        _ => fifo::Access::Read,
    };
    match fifo.open(access, flags.contains(OpenFlags::NONBLOCK))? {
        Opening::Done(end) => install(
            call,
            OpenFile::named(end, flags, Some(inode))?,
            close_on_exec,
        ),
        waiting => {
            let (thread, files) = (Arc::clone(call.thread()), Arc::clone(call.files()));
            let limit = call.descriptor_limit();
            call.wait(async move {
                let end = waiting.complete(&thread).await.map_err(restartable)?;
                let file = OpenFile::named(end, flags, Some(inode))?;
                files
                    .insert(file, 0, limit, close_on_exec)
                    .map(|fd| fd as usize)
            })
        }
    }
}

/// mkdirat(2).
pub(super) fn mkdirat(call: &mut Call<'_>) -> Answer {
    let at = call.place::<0, 1>()?;
    let who = call.process().credentials();
    let permissions = call.masked(call.uint::<2>())? & 0o1777;
    let maker = Maker {
        who: &who,
        permissions,
        now: call.kernel.wall_clock(),
    };
    call.kernel.names.make_directory(&at, maker)?;
    DONE
}

/// mknodat(2). EPERM: a device, by the unprivileged; a block device, of which there are none; a directory.
pub(super) fn mknodat(call: &mut Call<'_>) -> Answer {
    let mode = call.uint::<2>();
    let who = call.process().credentials();
    let node = match mode & S_IFMT {
        0 | S_IFREG => Node::Regular(MemoryObject::new(call.kernel.memory, 0)),
        S_IFIFO => Node::Fifo(fifo::Fifo::default()),
        S_IFSOCK => Node::Socket(SocketPlace::empty()),
        S_IFCHR if who.privileged() => Node::Device(DeviceNumber::decode(call.uint::<3>())),
        S_IFCHR | S_IFBLK | S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let at = call.place::<0, 1>()?;
    let maker = Maker {
        who: &who,
        permissions: call.masked(mode)?,
        now: call.kernel.wall_clock(),
    };
    call.kernel.names.create(&at, node, maker)?;
    DONE
}

/// symlinkat(2).
pub(super) fn symlinkat(call: &mut Call<'_>) -> Answer {
    let text = call.path::<0>()?;
    if text.is_empty() {
        return Err(Errno::ENOENT);
    }
    let at = call.place::<1, 2>()?;
    let who = call.process().credentials();
    let maker = Maker {
        who: &who,
        permissions: 0o777,
        now: call.kernel.wall_clock(),
    };
    call.kernel.names.make_link(&at, text, maker)?;
    DONE
}

/// linkat(2).
pub(super) fn linkat(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<4>();
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let keep = if flags & AT_SYMLINK_FOLLOW == 0 {
        AT_SYMLINK_NOFOLLOW
    } else {
        0
    };
    let inode = call.find::<0>(call.path::<1>()?, flags | keep)?;
    let at = call.place::<2, 3>()?;
    let who = call.process().credentials();
    call.kernel
        .names
        .link(&inode, &at, &who, call.kernel.wall_clock())?;
    DONE
}

/// unlinkat(2).
pub(super) fn unlinkat(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<2>();
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let at = call.place::<0, 1>()?;
    let who = call.process().credentials();
    call.kernel.names.unlink(
        &at,
        flags & AT_REMOVEDIR != 0,
        &who,
        call.kernel.wall_clock(),
    )?;
    DONE
}

/// renameat2(2).
pub(super) fn renameat2(call: &mut Call<'_>) -> Answer {
    let kind = match call.uint::<4>() {
        0 => RenameKind::Replace,
        1 => RenameKind::Keep,
        2 => RenameKind::Exchange,
        _ => return Err(Errno::EINVAL),
    };
    rename(call, kind)
}

/// renameat(2), which has no flags.
pub(super) fn renameat(call: &mut Call<'_>) -> Answer {
    rename(call, RenameKind::Replace)
}

fn rename(call: &mut Call<'_>, kind: RenameKind) -> Answer {
    let from = call.place::<0, 1>()?;
    let to = call.place::<2, 3>()?;
    let who = call.process().credentials();
    call.kernel
        .names
        .rename(&from, &to, kind, &who, call.kernel.wall_clock())?;
    DONE
}

/// readlinkat(2). With an empty path, of the link that the descriptor was opened for (O_PATH and O_NOFOLLOW).
pub(super) fn readlinkat(call: &mut Call<'_>) -> Answer {
    let room = usize::try_from(call.int::<3>())
        .ok()
        .filter(|room| *room > 0)
        .ok_or(Errno::EINVAL)?;
    let path = call.path::<1>()?;
    let empty = path.is_empty();
    let allow_empty = if empty && call.int::<0>() != AT_FDCWD {
        AT_EMPTY_PATH
    } else {
        0
    };
    let inode = call.find::<0>(path, allow_empty | AT_SYMLINK_NOFOLLOW)?;
    if empty && !inode.is_link() {
        return Err(Errno::ENOENT);
    }
    let text = inode.link_text()?;
    let text = text.get(..room).unwrap_or(&text);
    call.space().write_bytes(call.addr::<2>(), text)?;
    Ok(Outcome::Done(text.len()))
}
