//! Calls that take a path: open, the makers and removers of names, and metadata.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::descriptor::O_CLOEXEC;
use super::transfer::restartable;
use super::{Answer, Call, DONE, Outcome};
use crate::fs::inode::{
    DeviceNumber, Inode, Node, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, Want,
};
use crate::fs::namespace::{Maker, RenameKind};
use crate::fs::open::{self, OpenRequest, Opened};
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::fs::path::{self, Found, Last, PATH_MAX, Walker};
use crate::fs::stat::{Stat, Statx};
use crate::ipc::fifo::{self, Opening};
use crate::machine::UserAddr;
use crate::mm::MemoryObject;
use crate::process::credentials::Credentials;
use crate::time::TimeSpec;
use crate::{Errno, Result};

const AT_FDCWD: i32 = -100;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_REMOVEDIR: u32 = 0x200;
const AT_EACCESS: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const AT_EMPTY_PATH: u32 = 0x1000;

impl Call<'_> {
    /// The path that argument `N` points to. EFAULT, ENAMETOOLONG.
    fn path<const N: usize>(&self) -> Result<Vec<u8>> {
        self.space().read_cstr(self.addr::<N>(), PATH_MAX)
    }

    /// The caller's view of names, relative paths beginning at descriptor `at` (AT_FDCWD: the current directory).
    fn walker<'a>(&self, at: i32, path: &[u8], who: &'a Credentials) -> Result<Walker<'a>> {
        let fs = self.process().fs().ok_or(Errno::ESRCH)?;
        let start = if at == AT_FDCWD || path.first() == Some(&b'/') {
            fs.current()
        } else {
            let file = self.files().get(at)?;
            let inode = file.inode().filter(|inode| path.is_empty() || inode.is_directory());
            Arc::clone(inode.ok_or(Errno::ENOTDIR)?)
        };
        Ok(Walker { who, root: fs.root(), start })
    }

    /// The inode that descriptor argument `D` and path argument `P` name.
    fn inode<const D: usize, const P: usize>(&self, last: Last) -> Result<Arc<Inode>> {
        let path = self.path::<P>()?;
        let who = self.process().credentials();
        self.walker(self.int::<D>(), &path, &who)?.find(path, last)
    }

    /// Where descriptor argument `D` and path argument `P` lead, the last name perhaps not being there.
    fn place<const D: usize, const P: usize>(&self) -> Result<Found> {
        let path = self.path::<P>()?;
        let who = self.process().credentials();
        self.walker(self.int::<D>(), &path, &who)?.walk(path, Last::Keep)
    }

    /// The permission bits of a new file: `mode` less the umask.
    fn masked(&self, mode: u32) -> Result<u32> {
        let fs = self.process().fs().ok_or(Errno::ESRCH)?;
        Ok(mode & 0o7777 & !fs.umask())
    }
}

fn last(flags: u32) -> Last {
    if flags & AT_SYMLINK_NOFOLLOW != 0 { Last::Keep } else { Last::Follow }
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
    let fd = call.files().insert(file, 0, call.descriptor_limit(), close_on_exec)?;
    Ok(Outcome::Done(fd as usize))
}

/// Opens a FIFO: at once if its other end is open, or need not be; else waits for it.
fn open_fifo(call: &mut Call<'_>, inode: Arc<Inode>, flags: OpenFlags, close_on_exec: bool) -> Answer {
    let Node::Fifo(fifo) = &inode.node else { return Err(Errno::ENXIO) };
    let access = match (flags.readable(), flags.writable()) {
        (true, true) => fifo::Access::Both,
        (_, true) => fifo::Access::Write,
        _ => fifo::Access::Read,
    };
    match fifo.open(access, flags.contains(OpenFlags::NONBLOCK))? {
        Opening::Done(end) => install(call, OpenFile::named(end, flags, Some(inode))?, close_on_exec),
        waiting => {
            let (thread, files) = (Arc::clone(call.thread()), Arc::clone(call.files()));
            let limit = call.descriptor_limit();
            call.wait(async move {
                let end = waiting.complete(&thread).await.map_err(restartable)?;
                let file = OpenFile::named(end, flags, Some(inode))?;
                files.insert(file, 0, limit, close_on_exec).map(|fd| fd as usize)
            })
        }
    }
}

/// mkdirat(2).
pub(super) fn mkdirat(call: &mut Call<'_>) -> Answer {
    let at = call.place::<0, 1>()?;
    let who = call.process().credentials();
    let permissions = call.masked(call.uint::<2>())? & 0o1777;
    let maker = Maker { who: &who, permissions, now: call.kernel.wall_clock() };
    call.kernel.names.make_directory(&at, maker)?;
    DONE
}

/// mknodat(2). EPERM: a device, by the unprivileged, or a block device, of which there are none.
pub(super) fn mknodat(call: &mut Call<'_>) -> Answer {
    let mode = call.uint::<2>();
    let at = call.place::<0, 1>()?;
    let who = call.process().credentials();
    let node = match mode & S_IFMT {
        0 | S_IFREG => Node::Regular(MemoryObject::new(call.kernel.memory, 0)),
        S_IFIFO => Node::Fifo(fifo::Fifo::default()),
        S_IFSOCK => Node::Socket,
        S_IFCHR if who.privileged() => Node::Device(DeviceNumber::decode(call.uint::<3>())),
        S_IFCHR | S_IFBLK => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    if at.directory_wanted && at.inode.is_none() {
        return Err(Errno::ENOENT);
    }
    let maker = Maker { who: &who, permissions: call.masked(mode)?, now: call.kernel.wall_clock() };
    call.kernel.names.create(&at, node, maker)?;
    DONE
}

/// symlinkat(2).
pub(super) fn symlinkat(call: &mut Call<'_>) -> Answer {
    let text = call.path::<0>()?;
    let at = call.place::<1, 2>()?;
    let who = call.process().credentials();
    let maker = Maker { who: &who, permissions: 0o777, now: call.kernel.wall_clock() };
    call.kernel.names.make_link(&at, text, maker)?;
    DONE
}

/// linkat(2).
pub(super) fn linkat(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<4>();
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = call.inode::<0, 1>(if flags & AT_SYMLINK_FOLLOW != 0 { Last::Follow } else { Last::Keep })?;
    let at = call.place::<2, 3>()?;
    let who = call.process().credentials();
    call.kernel.names.link(&inode, &at, &who, call.kernel.wall_clock())?;
    DONE
}

/// unlinkat(2).
pub(super) fn unlinkat(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<2>();
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let path = call.path::<1>()?;
    if flags & AT_REMOVEDIR != 0 && path.ends_with(b"/.") || path == b"." {
        return Err(if flags & AT_REMOVEDIR != 0 { Errno::EINVAL } else { Errno::EISDIR });
    }
    let who = call.process().credentials();
    let at = call.walker(call.int::<0>(), &path, &who)?.walk(path, Last::Keep)?;
    call.kernel.names.unlink(&at, flags & AT_REMOVEDIR != 0, &who, call.kernel.wall_clock())?;
    DONE
}

/// renameat2(2), and renameat(2) which has no flags.
pub(super) fn renameat2(call: &mut Call<'_>) -> Answer {
    let kind = match call.uint::<4>() {
        0 => RenameKind::Replace,
        1 => RenameKind::Keep,
        2 => RenameKind::Exchange,
        _ => return Err(Errno::EINVAL),
    };
    rename(call, kind)
}

/// renameat(2).
pub(super) fn renameat(call: &mut Call<'_>) -> Answer {
    rename(call, RenameKind::Replace)
}

fn rename(call: &mut Call<'_>, kind: RenameKind) -> Answer {
    let from = call.place::<0, 1>()?;
    let to = call.place::<2, 3>()?;
    let who = call.process().credentials();
    call.kernel.names.rename(&from, &to, kind, &who, call.kernel.wall_clock())?;
    DONE
}

/// readlinkat(2).
pub(super) fn readlinkat(call: &mut Call<'_>) -> Answer {
    let room = usize::try_from(call.int::<3>()).ok().filter(|room| *room > 0).ok_or(Errno::EINVAL)?;
    let path = call.path::<1>()?;
    let inode = if path.is_empty() {
        let file = call.file::<0>()?;
        Arc::clone(file.inode().ok_or(Errno::EINVAL)?)
    } else {
        call.inode::<0, 1>(Last::Keep)?
    };
    let text = inode.link_text().ok_or(Errno::EINVAL)?;
    let text = text.get(..room).unwrap_or(&text);
    call.space().write_bytes(call.addr::<2>(), text)?;
    Ok(Outcome::Done(text.len()))
}

/// faccessat(2): with the real ids.
pub(super) fn faccessat(call: &mut Call<'_>) -> Answer {
    access(call, 0)
}

/// faccessat2(2).
pub(super) fn faccessat2(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<3>();
    if flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    access(call, flags)
}

fn access(call: &Call<'_>, flags: u32) -> Answer {
    let want = Want::from_bits(call.uint::<2>()).ok_or(Errno::EINVAL)?;
    let mut who = Credentials::clone(&call.process().credentials());
    if flags & AT_EACCESS == 0 {
        (who.fsuid, who.fsgid) = (who.uid, who.gid);
    }
    let path = call.path::<1>()?;
    let walker = call.walker(call.int::<0>(), &path, &who)?;
    let inode = if path.is_empty() && flags & AT_EMPTY_PATH != 0 { walker.start } else { walker.find(path, last(flags))? };
    inode.check(&who, want)?;
    DONE
}

/// fstat(2).
pub(super) fn fstat(call: &mut Call<'_>) -> Answer {
    let stat = Stat::of_file(&*call.file::<0>()?);
    call.space().write_user(call.addr::<1>(), &stat)?;
    DONE
}

/// newfstatat(2).
pub(super) fn newfstatat(call: &mut Call<'_>) -> Answer {
    let stat = stat_at(call, call.uint::<3>())?;
    call.space().write_user(call.addr::<2>(), &stat)?;
    DONE
}

/// statx(2): everything but the time of birth is always given.
pub(super) fn statx(call: &mut Call<'_>) -> Answer {
    let stat = stat_at(call, call.uint::<2>() & !0x6000)?;
    call.space().write_user(call.addr::<4>(), &Statx::from(stat))?;
    DONE
}

fn stat_at(call: &Call<'_>, flags: u32) -> Result<Stat> {
    const AT_NO_AUTOMOUNT: u32 = 0x800;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = if call.arg::<1>() == 0 && flags & AT_EMPTY_PATH != 0 { Vec::new() } else { call.path::<1>()? };
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 && call.int::<0>() != AT_FDCWD {
        return Ok(Stat::of_file(&*call.file::<0>()?));
    }
    let who = call.process().credentials();
    let walker = call.walker(call.int::<0>(), &path, &who)?;
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        return Ok(Stat::of(&walker.start));
    }
    Ok(Stat::of(&*walker.find(path, last(flags))?))
}

/// fchmod(2).
pub(super) fn fchmod(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    change_mode(call, file.inode().ok_or(Errno::EINVAL)?, call.uint::<1>())
}

/// fchmodat(2).
pub(super) fn fchmodat(call: &mut Call<'_>) -> Answer {
    let inode = call.inode::<0, 1>(Last::Follow)?;
    change_mode(call, &inode, call.uint::<2>())
}

fn change_mode(call: &Call<'_>, inode: &Inode, mode: u32) -> Answer {
    inode.check_owner(&call.process().credentials())?;
    let now = call.kernel.wall_clock();
    inode.update(|it| (it.permissions, it.changed) = (mode & 0o7777, now));
    DONE
}

/// fchown(2).
pub(super) fn fchown(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    change_owner(call, file.inode().ok_or(Errno::EINVAL)?, call.uint::<1>(), call.uint::<2>())
}

/// fchownat(2).
pub(super) fn fchownat(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<4>();
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = call.inode::<0, 1>(last(flags))?;
    change_owner(call, &inode, call.uint::<2>(), call.uint::<3>())
}

/// Only the privileged give files away; an owner may change the group to one of his own. Set-id bits go with a change.
fn change_owner(call: &Call<'_>, inode: &Inode, uid: u32, gid: u32) -> Answer {
    const KEEP: u32 = u32::MAX;
    let who = call.process().credentials();
    let metadata = inode.metadata();
    let same_owner = uid == KEEP || uid == metadata.uid;
    let own_group = gid == KEEP || gid == metadata.gid || who.in_group(gid);
    if who.fsuid != 0 && !(who.fsuid == metadata.uid && same_owner && own_group) {
        return Err(Errno::EPERM);
    }
    let now = call.kernel.wall_clock();
    inode.update(|it| {
        it.uid = if uid == KEEP { it.uid } else { uid };
        it.gid = if gid == KEEP { it.gid } else { gid };
        it.changed = now;
    });
    if !inode.is_directory() {
        inode.update(|it| it.permissions &= 0o1777);
    }
    DONE
}

/// utimensat(2).
pub(super) fn utimensat(call: &mut Call<'_>) -> Answer {
    const UTIME_NOW: i64 = 0x3fff_ffff;
    const UTIME_OMIT: i64 = 0x3fff_fffe;
    let inode = if call.arg::<1>() == 0 {
        let file = call.file::<0>()?;
        Arc::clone(file.inode().ok_or(Errno::EINVAL)?)
    } else {
        call.inode::<0, 1>(last(call.uint::<3>()))?
    };
    let now = call.kernel.wall_clock();
    let asked: [TimeSpec; 2] = match call.addr::<2>() {
        UserAddr(0) => [TimeSpec { seconds: 0, nanos: UTIME_NOW }; 2],
        at => call.space().read_user(at)?,
    };
    let who = call.process().credentials();
    let all_now = asked.iter().all(|time| time.nanos == UTIME_NOW);
    if inode.check_owner(&who).is_err() && !(all_now && inode.check(&who, Want::WRITE).is_ok()) {
        return Err(if all_now { Errno::EACCES } else { Errno::EPERM });
    }
    let pick = |time: TimeSpec, before: u64| match time.nanos {
        UTIME_NOW => Ok(now),
        UTIME_OMIT => Ok(before),
        _ => time.to_nanos(),
    };
    let before = inode.metadata();
    let [accessed, modified] = asked;
    let (accessed, modified) = (pick(accessed, before.accessed)?, pick(modified, before.modified)?);
    inode.update(|it| (it.accessed, it.modified, it.changed) = (accessed, modified, now));
    DONE
}

/// truncate(2).
pub(super) fn truncate(call: &mut Call<'_>) -> Answer {
    let length = u64::try_from(call.arg::<1>() as i64).map_err(|_| Errno::EINVAL)?;
    let path = call.path::<0>()?;
    let who = call.process().credentials();
    let inode = call.walker(AT_FDCWD, &path, &who)?.find(path, Last::Follow)?;
    inode.check(&who, Want::WRITE)?;
    match &inode.node {
        Node::Regular(memory) => memory.set_size(length)?,
        _ if inode.is_directory() => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    DONE
}

/// chdir(2).
pub(super) fn chdir(call: &mut Call<'_>) -> Answer {
    let path = call.path::<0>()?;
    let who = call.process().credentials();
    let inode = call.walker(AT_FDCWD, &path, &who)?.find(path, Last::Follow)?;
    enter(call, inode)
}

/// fchdir(2).
pub(super) fn fchdir(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    enter(call, Arc::clone(file.inode().ok_or(Errno::ENOTDIR)?))
}

fn enter(call: &Call<'_>, inode: Arc<Inode>) -> Answer {
    if !inode.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    inode.check(&call.process().credentials(), Want::EXECUTE)?;
    call.process().fs().ok_or(Errno::ESRCH)?.set_current(inode);
    DONE
}

/// chroot(2).
pub(super) fn chroot(call: &mut Call<'_>) -> Answer {
    let path = call.path::<0>()?;
    let who = call.process().credentials();
    let inode = call.walker(AT_FDCWD, &path, &who)?.find(path, Last::Follow)?;
    if !inode.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if !who.privileged() {
        return Err(Errno::EPERM);
    }
    call.process().fs().ok_or(Errno::ESRCH)?.set_root(inode);
    DONE
}

/// getcwd(2): returns the length with the NUL, as the system call does.
pub(super) fn getcwd(call: &mut Call<'_>) -> Answer {
    let fs = call.process().fs().ok_or(Errno::ESRCH)?;
    let mut path = path::path_of(&fs.current(), &fs.root())?;
    path.push(0);
    if path.len() > call.size::<1>() {
        return Err(Errno::ERANGE);
    }
    call.space().write_bytes(call.addr::<0>(), &path)?;
    Ok(Outcome::Done(path.len()))
}

/// umask(2).
pub(super) fn umask(call: &mut Call<'_>) -> Answer {
    let fs = call.process().fs().ok_or(Errno::ESRCH)?;
    Ok(Outcome::Done(fs.set_umask(call.uint::<0>()) as usize))
}

/// getdents64(2).
pub(super) fn getdents64(call: &mut Call<'_>) -> Answer {
    const HEAD: usize = 19;
    let file = call.file::<0>()?;
    let room = call.size::<2>();
    let mut cookie = file.reposition(Ok).map_err(|_| Errno::ENOTDIR)?;
    let mut done = 0;
    while let Some(entry) = file.file().entry_from(cookie)? {
        let length = (HEAD + entry.name.len() + 1).next_multiple_of(8);
        if done + length > room {
            if done == 0 {
                return Err(Errno::EINVAL);
            }
            break;
        }
        let mut record = Vec::new();
        record.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        record.extend_from_slice(&entry.inode.number.to_le_bytes());
        record.extend_from_slice(&entry.cookie.to_le_bytes());
        record.extend_from_slice(&(length as u16).to_le_bytes());
        record.push((entry.inode.type_bits() >> 12) as u8);
        record.extend_from_slice(&entry.name);
        record.resize(length, 0);
        call.space().write_bytes(UserAddr(call.addr::<1>().0.wrapping_add(done)), &record)?;
        done += length;
        cookie = entry.cookie;
    }
    file.reposition(|_| Ok(cookie))?;
    Ok(Outcome::Done(done))
}

/// statfs(2) and fstatfs(2).
pub(super) fn statfs(call: &mut Call<'_>) -> Answer {
    let path = call.path::<0>()?;
    let who = call.process().credentials();
    call.walker(AT_FDCWD, &path, &who)?.find(path, Last::Follow)?;
    report_statfs(call)
}

/// fstatfs(2).
pub(super) fn fstatfs(call: &mut Call<'_>) -> Answer {
    call.file::<0>()?;
    report_statfs(call)
}

/// All file systems are in memory and have what memory is left (struct statfs, asm-generic/statfs.h).
fn report_statfs(call: &Call<'_>) -> Answer {
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    const BLOCK: u64 = 4096;
    let (total, free) = (call.kernel.memory.frames.total() as u64, call.kernel.memory.frames.free() as u64);
    let words = [RAMFS_MAGIC, BLOCK, total, free, free, 0, 0, 0, path::NAME_MAX as u64, BLOCK, 0, 0, 0, 0, 0];
    call.space().write_user(call.addr::<1>(), &words)?;
    DONE
}
