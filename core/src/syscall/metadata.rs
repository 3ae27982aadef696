//! What inodes say of themselves, and changing it: stat, access, chmod, chown, times, truncate, statfs.

use alloc::vec::Vec;

use super::path::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use super::{Answer, Call, DONE};
use crate::fs::file::Special;
use crate::fs::inode::{FileSystemId, Inode, Metadata, Node, Want};
use crate::fs::path::NAME_MAX;
use crate::fs::stat::{Stat, Statx};
use crate::machine::UserAddr;
use crate::mm::Seals;
use crate::process::credentials::Credentials;
use crate::time::TimeSpec;
use crate::{Errno, Result};

/// The set-user-id and set-group-id bits.
const S_ISUID: u32 = 0o4000;
const S_ISGID: u32 = 0o2000;

/// faccessat(2), which has no flags: with the real ids.
pub(super) fn faccessat(call: &mut Call<'_>) -> Answer {
    access(call, 0)
}

/// faccessat2(2).
pub(super) fn faccessat2(call: &mut Call<'_>) -> Answer {
    access(call, call.uint::<3>())
}

fn access(call: &Call<'_>, flags: u32) -> Answer {
    const AT_EACCESS: u32 = 0x200;
    let want = Want::from_bits(call.uint::<2>()).ok_or(Errno::EINVAL)?;
    if flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut who = Credentials::clone(&call.process().credentials());
    if flags & AT_EACCESS == 0 {
        (who.fsuid, who.fsgid) = (who.uid, who.gid);
    }
    let path = call.path::<1>()?;
    let walker = call.walker(call.int::<0>(), &path, &who)?;
    let inode = if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        walker.start
    } else {
        use crate::fs::path::Last;
        walker.find(
            path,
            if flags & AT_SYMLINK_NOFOLLOW != 0 {
                Last::Keep
            } else {
                Last::Follow
            },
        )?
    };
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
    const AT_STATX_SYNC_TYPE: u32 = 0x6000;
    const STATX_RESERVED: u32 = 0x8000_0000;
    let flags = call.uint::<2>();
    if call.uint::<3>() & STATX_RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    let stat = stat_at(call, flags & !AT_STATX_SYNC_TYPE)?;
    call.space()
        .write_user(call.addr::<4>(), &Statx::from(stat))?;
    DONE
}

fn stat_at(call: &Call<'_>, flags: u32) -> Result<Stat> {
    const AT_NO_AUTOMOUNT: u32 = 0x800;
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT) != 0 {
        return Err(Errno::EINVAL);
    }
    // Since Linux 6.11 the empty path may be NULL.
    let none = call.arg::<1>() == 0 && flags & AT_EMPTY_PATH != 0;
    let path = if none { Vec::new() } else { call.path::<1>()? };
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 && call.int::<0>() >= 0 {
        return Ok(Stat::of_file(&*call.file::<0>()?));
    }
    Ok(Stat::of(&*call.find::<0>(path, flags)?))
}

/// fchmod(2).
pub(super) fn fchmod(call: &mut Call<'_>) -> Answer {
    let file = call.usable_file::<0>()?;
    change_mode(call, file.inode().ok_or(Errno::EINVAL)?, call.uint::<1>())
}

/// fchmodat(2), which has no flags.
pub(super) fn fchmodat(call: &mut Call<'_>) -> Answer {
    let inode = call.find::<0>(call.path::<1>()?, 0)?;
    change_mode(call, &inode, call.uint::<2>())
}

/// fchmodat2(2). EOPNOTSUPP: a symbolic link, which has no permissions of its own.
pub(super) fn fchmodat2(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<3>();
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = call.find::<0>(call.path::<1>()?, flags)?;
    if inode.is_link() {
        return Err(Errno::EOPNOTSUPP);
    }
    change_mode(call, &inode, call.uint::<2>())
}

/// EPERM unless the caller owns it. Who is not in the file's group cannot set the set-group-id bit (chmod(2)).
fn change_mode(call: &Call<'_>, inode: &Inode, mode: u32) -> Answer {
    let who = call.process().credentials();
    inode.check_owner(&who)?;
    let now = call.kernel.wall_clock();
    inode.update(|it| {
        if keeps_execution(inode) && (it.permissions ^ mode) & 0o111 != 0 {
            return Err(Errno::EPERM);
        }
        let foreign = who.fsuid != 0 && !who.in_group(it.gid);
        let refused = if foreign { S_ISGID } else { 0 };
        (it.permissions, it.changed) = (mode & 0o7777 & !refused, now);
        DONE
    })
}

/// Whether a seal forbids to change who may execute it.
fn keeps_execution(inode: &Inode) -> bool {
    match &inode.node {
        Node::Regular(memory) => memory.seals().contains(Seals::EXEC),
        _ => false,
    }
}

/// fchown(2).
pub(super) fn fchown(call: &mut Call<'_>) -> Answer {
    let file = call.usable_file::<0>()?;
    change_owner(
        call,
        file.inode().ok_or(Errno::EINVAL)?,
        call.uint::<1>(),
        call.uint::<2>(),
    )
}

/// fchownat(2).
pub(super) fn fchownat(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<4>();
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = call.find::<0>(call.path::<1>()?, flags)?;
    change_owner(call, &inode, call.uint::<2>(), call.uint::<3>())
}

/// Only the privileged give files away; an owner may change the group to one of his own. EPERM.
fn change_owner(call: &Call<'_>, inode: &Inode, uid: u32, gid: u32) -> Answer {
    let who = call.process().credentials();
    let now = call.kernel.wall_clock();
    let is_directory = inode.is_directory();
    inode.update(|it| set_owner(it, &who, uid, gid, is_directory, now))?;
    DONE
}

/// chown(2): 2^32 - 1 leaves an id as it is. The set-id bits of a file go; a file without group execution keeps its
/// set-group-id bit.
fn set_owner(
    it: &mut Metadata,
    who: &Credentials,
    uid: u32,
    gid: u32,
    is_directory: bool,
    now: u64,
) -> Result<()> {
    const KEEP: u32 = u32::MAX;
    let same_owner = uid == KEEP || uid == it.uid;
    let own_group = gid == KEEP || gid == it.gid || who.in_group(gid);
    if who.fsuid != 0 && !(who.fsuid == it.uid && same_owner && own_group) {
        return Err(Errno::EPERM);
    }
    it.uid = if uid == KEEP { it.uid } else { uid };
    it.gid = if gid == KEEP { it.gid } else { gid };
    it.changed = now;
    if !is_directory {
        let group = if it.permissions & 0o010 != 0 {
            S_ISGID
        } else {
            0
        };
        it.permissions &= !(S_ISUID | group);
    }
    Ok(())
}

/// utimensat(2).
pub(super) fn utimensat(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<3>();
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let asked: [TimeSpec; 2] = match call.addr::<2>() {
        UserAddr(0) => {
            [TimeSpec {
                seconds: 0,
                nanos: UTIME_NOW,
            }; 2]
        }
        at => call.space().read_user(at)?,
    };
    if asked.iter().all(|time| time.nanos == UTIME_OMIT) {
        return DONE;
    }
    let times = [new_time(asked[0])?, new_time(asked[1])?];
    let inode = if call.arg::<1>() == 0 {
        let file = call.usable_file::<0>()?;
        alloc::sync::Arc::clone(file.inode().ok_or(Errno::EINVAL)?)
    } else {
        call.find::<0>(call.path::<1>()?, flags)?
    };
    set_times(
        &inode,
        times,
        &call.process().credentials(),
        call.kernel.wall_clock(),
    )?;
    DONE
}

const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;

/// What becomes of a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewTime {
    Now,
    Keep,
    At(u64),
}

/// EINVAL: nanoseconds out of range, or a time before 1970, which inodes cannot hold.
fn new_time(asked: TimeSpec) -> Result<NewTime> {
    match asked.nanos {
        UTIME_NOW => Ok(NewTime::Now),
        UTIME_OMIT => Ok(NewTime::Keep),
        _ => asked.to_nanos().map(NewTime::At),
    }
}

/// The owner may set any time; who may write may set both to now. EPERM, EACCES.
fn set_times(inode: &Inode, times: [NewTime; 2], who: &Credentials, now: u64) -> Result<()> {
    let all_now = times == [NewTime::Now; 2];
    if inode.check_owner(who).is_err() {
        if !all_now {
            return Err(Errno::EPERM);
        }
        inode.check(who, Want::WRITE)?;
    }
    let pick = |time, before| match time {
        NewTime::Now => now,
        NewTime::Keep => before,
        NewTime::At(time) => time,
    };
    let [accessed, modified] = times;
    inode.update(|it| {
        it.accessed = pick(accessed, it.accessed);
        it.modified = pick(modified, it.modified);
        it.changed = now;
    });
    Ok(())
}

/// truncate(2).
pub(super) fn truncate(call: &mut Call<'_>) -> Answer {
    let length = u64::try_from(call.arg::<1>() as i64).map_err(|_| Errno::EINVAL)?;
    let inode = call.find_here::<0>()?;
    match &inode.node {
        Node::Regular(memory) => {
            inode.check(&call.process().credentials(), Want::WRITE)?;
            memory.set_size(length)?;
            let now = call.kernel.wall_clock();
            inode.update(|it| (it.modified, it.changed) = (now, now));
            DONE
        }
        Node::Anonymous(file) if matches!(file.special(), Special::MessageQueue(_)) => {
            inode.check(&call.process().credentials(), Want::WRITE)?;
            file.truncate(length)?;
            DONE
        }
        _ if inode.is_directory() => Err(Errno::EISDIR),
        _ => Err(Errno::EINVAL),
    }
}

/// statfs(2).
pub(super) fn statfs(call: &mut Call<'_>) -> Answer {
    let file_system = call.find_here::<0>()?.file_system;
    report_statfs(call, file_system)
}

/// fstatfs(2).
pub(super) fn fstatfs(call: &mut Call<'_>) -> Answer {
    let file_system = call
        .file::<0>()?
        .inode()
        .map_or(FileSystemId::ANONYMOUS, |inode| inode.file_system);
    report_statfs(call, file_system)
}

/// All file systems are in memory and have what memory is left, but for the margin (struct statfs, asm-generic/statfs.h; types of statfs(2)).
fn report_statfs(call: &Call<'_>, file_system: FileSystemId) -> Answer {
    const RAMFS_MAGIC: u64 = 0x8584_58f6;
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    const MQUEUE_MAGIC: u64 = 0x1980_0202;
    const PIPEFS_MAGIC: u64 = 0x5049_5045;
    const BLOCK: u64 = 4096;
    let magic = match file_system {
        FileSystemId::ROOT => RAMFS_MAGIC,
        FileSystemId::PROCESSES => PROC_SUPER_MAGIC,
        FileSystemId::ANONYMOUS => PIPEFS_MAGIC,
        FileSystemId::QUEUES => MQUEUE_MAGIC,
        _ => TMPFS_MAGIC,
    };
    let frames = call.kernel.memory.frames;
    let (total, free, left) = match file_system {
        FileSystemId::PROCESSES | FileSystemId::ANONYMOUS => (0, 0, 0),
        _ => (frames.total(), frames.free(), frames.room().left()),
    };
    let id = u64::from(file_system.0);
    // Type, block size, blocks, free, available, files, free files, id, name length, fragment size, flags, spare.
    let words = [
        magic,
        BLOCK,
        total as u64,
        free as u64,
        left as u64,
        0,
        0,
        id,
        NAME_MAX as u64,
        BLOCK,
        0,
        0,
        0,
        0,
        0,
    ];
    call.space().write_user(call.addr::<1>(), &words)?;
    DONE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32) -> Credentials {
        Credentials {
            fsuid: uid,
            euid: uid,
            uid,
            fsgid: 7,
            groups: [8].into(),
            ..Credentials::default()
        }
    }

    fn chown(start: Metadata, who: &Credentials, uid: u32, gid: u32) -> Result<Metadata> {
        let mut it = start;
        set_owner(&mut it, who, uid, gid, false, 99).map(|()| it)
    }

    #[test]
    fn chown_by_the_owner_may_only_choose_among_his_groups() {
        let start = Metadata::new(0o6775, 5, 7, 0);
        assert_eq!(
            chown(start, &user(5), u32::MAX, 8).map(|it| (it.gid, it.permissions)),
            Ok((8, 0o775))
        );
        assert_eq!(chown(start, &user(5), u32::MAX, 9), Err(Errno::EPERM));
        assert_eq!(chown(start, &user(5), 6, u32::MAX), Err(Errno::EPERM));
        assert_eq!(
            chown(start, &user(6), u32::MAX, u32::MAX),
            Err(Errno::EPERM)
        );
        assert_eq!(
            chown(start, &user(0), 6, 9).map(|it| (it.uid, it.gid, it.changed)),
            Ok((6, 9, 99))
        );
    }

    #[test]
    fn times_by_who_may_only_write_can_be_set_to_now_alone() {
        let inode = Inode::new(
            FileSystemId::ROOT,
            Node::Socket(crate::ipc::unix::SocketPlace::empty()),
            Metadata::new(0o666, 5, 7, 1),
        );
        let at = NewTime::At(3);
        assert_eq!(set_times(&inode, [NewTime::Now; 2], &user(6), 9), Ok(()));
        assert_eq!(
            set_times(&inode, [NewTime::Now, NewTime::Keep], &user(6), 9),
            Err(Errno::EPERM)
        );
        assert_eq!(set_times(&inode, [at, NewTime::Keep], &user(5), 10), Ok(()));
        let it = inode.metadata();
        assert_eq!((it.accessed, it.modified, it.changed), (3, 9, 10));
        inode.update(|it| it.permissions = 0o444);
        assert_eq!(
            set_times(&inode, [NewTime::Now; 2], &user(6), 9),
            Err(Errno::EACCES)
        );
    }
}
