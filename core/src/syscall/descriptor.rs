//! Descriptors: dup, close, fcntl, ioctl, lseek, and what concerns an open file as a whole.

use alloc::sync::Arc;

use super::{Answer, Call, DONE, Outcome, memfd};
use crate::devices::{gpio, i2c, vcio, watchdog};
use crate::fs::file::Special;
use crate::fs::inode::{Inode, Node};
use crate::fs::open_file::{FileRef, OpenFile, OpenFlags};
use crate::tty;
use crate::{Errno, Result};

pub(super) const O_CLOEXEC: u32 = 0o2_000_000;

impl Call<'_> {
    /// As [`Call::file`], but not what was opened with O_PATH. EBADF.
    pub(super) fn usable_file<const N: usize>(&self) -> Result<FileRef> {
        let file = self.file::<N>()?;
        if file.flags().contains(OpenFlags::PATH) {
            Err(Errno::EBADF)
        } else {
            Ok(file)
        }
    }

    /// One more than the greatest descriptor that the caller may have.
    pub(crate) fn descriptor_limit(&self) -> usize {
        self.thread().descriptor_limit()
    }
}

/// close(2).
pub(super) fn close(call: &mut Call<'_>) -> Answer {
    call.files().close(call.int::<0>())?;
    DONE
}

/// close_range(2).
pub(super) fn close_range(call: &mut Call<'_>) -> Answer {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let (first, last, flags) = (call.uint::<0>(), call.uint::<1>(), call.uint::<2>());
    if first > last || flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        let own = call.files().fork()?;
        call.task.files = own;
    }
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        call.files().mark_range(first, last);
    } else {
        call.files().close_range(first, last);
    }
    DONE
}

/// dup(2).
pub(super) fn dup(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    let fd = call
        .files()
        .insert(Arc::clone(&file), 0, call.descriptor_limit(), false)?;
    Ok(Outcome::Done(fd as usize))
}

/// dup3(2).
pub(super) fn dup3(call: &mut Call<'_>) -> Answer {
    let (from, to, flags) = (call.int::<0>(), call.int::<1>(), call.uint::<2>());
    if from == to || flags & !O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let fd = call
        .files()
        .replace(from, to, call.descriptor_limit(), flags & O_CLOEXEC != 0)?;
    Ok(Outcome::Done(fd as usize))
}

/// fcntl(2).
pub(super) fn fcntl(call: &mut Call<'_>) -> Answer {
    const F_DUPFD: u32 = 0;
    const F_GETFD: u32 = 1;
    const F_SETFD: u32 = 2;
    const F_GETFL: u32 = 3;
    const F_SETFL: u32 = 4;
    const F_DUPFD_CLOEXEC: u32 = 1030;
    const F_SETPIPE_SZ: u32 = 1031;
    const F_GETPIPE_SZ: u32 = 1032;
    const F_ADD_SEALS: u32 = 1033;
    const F_GET_SEALS: u32 = 1034;
    let fd = call.int::<0>();
    let file = call.file::<0>()?;
    let value = match call.uint::<1>() {
        command @ (F_DUPFD | F_DUPFD_CLOEXEC) => {
            let limit = call.descriptor_limit();
            let least = usize::try_from(call.int::<2>())
                .ok()
                .filter(|least| *least < limit)
                .ok_or(Errno::EINVAL)?;
            let (file, close_on_exec) = (Arc::clone(&file), command == F_DUPFD_CLOEXEC);
            call.files().insert(file, least, limit, close_on_exec)? as usize
        }
        F_GETFD => usize::from(call.files().close_on_exec(fd)?),
        F_SETFD => {
            call.files()
                .set_close_on_exec(fd, call.arg::<2>() & 1 != 0)?;
            0
        }
        F_GETFL => file.flags().bits() as usize,
        F_SETFL => {
            file.set_flags(OpenFlags::from_bits_truncate(call.uint::<2>()));
            0
        }
        F_GETPIPE_SZ => file.file().pipe().ok_or(Errno::EBADF)?.capacity(),
        F_SETPIPE_SZ => {
            let pipe = file.file().pipe().ok_or(Errno::EBADF)?;
            let bytes = usize::try_from(call.int::<2>()).map_err(|_| Errno::EINVAL)?;
            pipe.set_capacity(bytes, call.process().credentials().privileged())?
        }
        F_GET_SEALS => memfd::seals(&file)?,
        F_ADD_SEALS => memfd::add_seals(&file, call.uint::<2>())?,
        _ => return Err(Errno::EINVAL),
    };
    Ok(Outcome::Done(value))
}

/// ioctl(2): what any file understands, then what its kind does.
pub(super) fn ioctl(call: &mut Call<'_>) -> Answer {
    /// As TIOCOUTQ.
    const SIOCOUTQ: u32 = 0x5411;
    const FIONREAD: u32 = 0x541b;
    const FIONBIO: u32 = 0x5421;
    const FIONCLEX: u32 = 0x5450;
    const FIOCLEX: u32 = 0x5451;
    let fd = call.int::<0>();
    let file = call.file::<0>()?;
    match call.uint::<1>() {
        FIOCLEX => call.files().set_close_on_exec(fd, true)?,
        FIONCLEX => call.files().set_close_on_exec(fd, false)?,
        FIONBIO => {
            let on: i32 = call.space().read_user(call.addr::<2>())?;
            let mut flags = file.flags();
            flags.set(OpenFlags::NONBLOCK, on != 0);
            file.set_flags(flags);
        }
        // An epoll instance has requests of its own, and takes another for one of them that is wrong.
        _ if matches!(file.file().special(), Special::Epoll(_)) => return Err(Errno::EINVAL),
        FIONREAD => {
            let available = available(&file)?;
            call.space().write_user(call.addr::<2>(), &available)?;
        }
        SIOCOUTQ if file.is_socket() => {
            let unsent = i32::try_from(file.file().socket()?.unsent()?).unwrap_or(i32::MAX);
            call.space().write_user(call.addr::<2>(), &unsent)?;
        }
        request => {
            return match file.file().special() {
                Special::Terminal(terminal) => tty::ioctl::ioctl(call, terminal, request),
                Special::I2c(bus) => i2c::ioctl(call, bus, request),
                Special::GpioChip(chip) => gpio::chip_ioctl(call, chip, request),
                Special::GpioLines(lines) => gpio::lines_ioctl(call, lines, request),
                Special::Mailbox(mailbox) => vcio::ioctl(call, mailbox, request),
                Special::Watchdog(timer) => watchdog::ioctl(call, timer, request),
                _ => Err(Errno::ENOTTY),
            };
        }
    }
    DONE
}

/// What FIONREAD tells: of a regular file, which that of a POSIX queue is, what lies behind the position, which may be less than nothing.
fn available(file: &OpenFile) -> Result<i32> {
    let regular = |inode: &Arc<Inode>| matches!(inode.node, Node::Regular(_));
    let queue = matches!(file.file().special(), Special::MessageQueue(_));
    if queue || file.seekable() && file.file().inode().is_some_and(regular) {
        let position = file.reposition(Ok)?;
        return Ok((file.file().end() as i64 - position as i64) as i32);
    }
    Ok(i32::try_from(file.file().available()?).unwrap_or(i32::MAX))
}

/// lseek(2).
pub(super) fn lseek(call: &mut Call<'_>) -> Answer {
    const SEEK_SET: u32 = 0;
    const SEEK_CUR: u32 = 1;
    const SEEK_END: u32 = 2;
    const SEEK_DATA: u32 = 3;
    const SEEK_HOLE: u32 = 4;
    let file = call.file::<0>()?;
    let (by, whence) = (call.arg::<1>() as i64, call.uint::<2>());
    if whence > SEEK_HOLE {
        return Err(Errno::EINVAL);
    }
    if ignores_seeking(file.file().special()) {
        return DONE;
    }
    let end = file.file().end();
    let position = file.reposition(|position| match whence {
        SEEK_SET => moved(0, by),
        SEEK_CUR => moved(position, by),
        SEEK_END => moved(end, by),
        // Every byte counts as data, so the only hole is the end (lseek(2) allows this).
        SEEK_DATA | SEEK_HOLE if by < 0 || by as u64 >= end => Err(Errno::ENXIO),
        SEEK_DATA => Ok(by as u64),
        SEEK_HOLE => Ok(end),
        _ => Err(Errno::EINVAL),
    })?;
    Ok(Outcome::Done(position as usize))
}

/// Whether it has no positions and takes every one: lseek is 0 and does nothing.
fn ignores_seeking(special: Special<'_>) -> bool {
    matches!(
        special,
        Special::EventFd | Special::Epoll(_) | Special::TimerFd(_) | Special::SignalFd(_)
    )
}

/// EINVAL: before the beginning. EOVERFLOW: beyond what an offset can say.
fn moved(from: u64, by: i64) -> Result<u64> {
    let to = i64::try_from(from)
        .ok()
        .and_then(|from| from.checked_add(by))
        .ok_or(Errno::EOVERFLOW)?;
    u64::try_from(to).map_err(|_| Errno::EINVAL)
}

/// ftruncate(2).
pub(super) fn ftruncate(call: &mut Call<'_>) -> Answer {
    let length = u64::try_from(call.arg::<1>() as i64).map_err(|_| Errno::EINVAL)?;
    let file = call.file::<0>()?;
    let flags = file.flags();
    // What open(2) did not open may not grow as large files do.
    let small = !flags.contains(OpenFlags::LARGE_FILE) && length > i32::MAX as u64;
    if !flags.writable() || small {
        return Err(Errno::EINVAL);
    }
    file.file().truncate(length)?;
    DONE
}

/// fsync(2), fdatasync(2): everything is in memory; there is nothing to wait for.
pub(super) fn fsync(call: &mut Call<'_>) -> Answer {
    call.file::<0>()?.file().sync()?;
    DONE
}

/// readahead(2): everything is in memory. EBADF: not open for reading; EINVAL: no regular file.
pub(super) fn readahead(call: &mut Call<'_>) -> Answer {
    let file = call.file::<0>()?;
    if !file.flags().readable() {
        return Err(Errno::EBADF);
    }
    file.file().memory().map_err(|_| Errno::EINVAL)?;
    DONE
}

/// posix_fadvise(2): everything is in memory. ESPIPE: a pipe or socket; EINVAL: no such advice, or a length less than 0.
pub(super) fn fadvise64(call: &mut Call<'_>) -> Answer {
    // The last of them.
    const NOREUSE: u32 = 5;
    let file = call.file::<0>()?;
    if !file.seekable() {
        return Err(Errno::ESPIPE);
    }
    if call.uint::<3>() > NOREUSE || (call.arg::<2>().cast_signed()) < 0 {
        return Err(Errno::EINVAL);
    }
    DONE
}

/// sync(2).
pub(super) fn sync(_: &mut Call<'_>) -> Answer {
    DONE
}
