//! Open files: what a descriptor refers to, shared by all descriptors that dup and fork made of one open(2).

use alloc::sync::Arc;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bitflags::bitflags;
use halyard_cell::SpinLock;

use super::file::{File, Special};
use super::inode::Inode;
use crate::counters::{Kind, Live, live};
use crate::io::{Sink, Source};
use crate::ipc::epoll::Watchers;
use crate::ipc::unix::Look;
use crate::{Errno, Result};

/// The most open files there may be at once; more are ENFILE.
pub const OPEN_FILES_MAX: usize = 65536;

bitflags! {
    /// Flags of an open file that F_GETFL tells: the access mode, how it was opened, and what F_SETFL may change. Linux's O_* bits
    /// for arm64.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// O_WRONLY: writes, does not read.
        const WRITE_ONLY = 0o1;
        /// O_RDWR: both.
        const READ_WRITE = 0o2;
        /// O_APPEND: every write goes to the end.
        const APPEND = 0o2000;
        /// O_NONBLOCK: EAGAIN instead of waiting.
        const NONBLOCK = 0o4000;
        /// O_DSYNC; all files are in memory, so without effect.
        const DATA_SYNC = 0o10_000;
        /// O_DIRECTORY: it was to be a directory.
        const DIRECTORY = 0o40_000;
        /// O_NOFOLLOW: a symbolic link was not to be followed.
        const NO_FOLLOW = 0o100_000;
        /// O_DIRECT: on a pipe, packet mode; elsewhere without effect.
        const DIRECT = 0o200_000;
        /// O_LARGEFILE: may grow beyond 2 GiB. Linux says it of all that open(2) opened.
        const LARGE_FILE = 0o400_000;
        /// O_NOATIME; times of access are not kept, so without effect.
        const NO_ATIME = 0o1_000_000;
        /// The second bit of O_SYNC; without effect.
        const SYNC = 0o4_000_000;
        /// O_PATH: names a file, gives no access to it.
        const PATH = 0o10_000_000;
    }
}

impl OpenFlags {
    /// What F_SETFL may change.
    pub const CHANGEABLE: OpenFlags = OpenFlags::APPEND
        .union(OpenFlags::NONBLOCK)
        .union(OpenFlags::DIRECT);

    /// Whether the access mode allows reading. Mode 3, which Linux has for ioctls alone, allows neither.
    #[inline]
    #[must_use]
    pub const fn readable(self) -> bool {
        self.bits() & (0o1 | OpenFlags::PATH.bits()) == 0
    }

    /// Whether the access mode allows writing.
    #[inline]
    #[must_use]
    pub const fn writable(self) -> bool {
        // 1 and 2, but not 0 and 3; O_PATH comes with mode 0.
        (self.bits() + 1) & 0o2 != 0
    }
}

/// What asks who reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Plain,
    Terminal,
    Socket,
    I2c,
}

/// An open file. The position is locked (level 3) only for files in which positions mean something.
pub struct OpenFile {
    file: Arc<dyn File>,
    /// The name's inode, where the file itself does not know it (FIFOs).
    inode: Option<Arc<Inode>>,
    flags: AtomicU32,
    seekable: bool,
    piece: usize,
    class: Class,
    /// Whether it is a socket that is on the way in a message.
    in_flight: AtomicBool,
    flushes: bool,
    position: SpinLock<u64>,
    /// The epoll items that end with it.
    watchers: Watchers,
    _live: Live,
}

/// A call's reference to an open file. Whoever holds one can receive from a socket, as with a descriptor of it: so when it goes,
/// a socket that is on the way in a message may have gone out of reach, and is looked for.
pub struct FileRef {
    file: Arc<OpenFile>,
    // Declared after the file and so dropped after it: a look must not see the reference any more.
    look: Look,
}

impl From<Arc<OpenFile>> for FileRef {
    #[inline]
    fn from(file: Arc<OpenFile>) -> FileRef {
        FileRef {
            file,
            look: Look::default(),
        }
    }
}

impl Clone for FileRef {
    fn clone(&self) -> FileRef {
        Arc::clone(&self.file).into()
    }
}

impl Deref for FileRef {
    type Target = Arc<OpenFile>;

    #[inline]
    fn deref(&self) -> &Arc<OpenFile> {
        &self.file
    }
}

impl Drop for FileRef {
    #[inline]
    fn drop(&mut self) {
        self.look.begin_at(&self.file);
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.watchers.close(&*self.file);
    }
}

impl OpenFile {
    /// Opens `file`. ENFILE: too many open files in the system.
    pub fn new(file: Arc<dyn File>, flags: OpenFlags) -> Result<Arc<OpenFile>> {
        OpenFile::named(file, flags, None)
    }

    /// Opens `file` by the name of `inode`. ENFILE.
    pub fn named(
        file: Arc<dyn File>,
        flags: OpenFlags,
        inode: Option<Arc<Inode>>,
    ) -> Result<Arc<OpenFile>> {
        if live(Kind::OpenFile) >= OPEN_FILES_MAX {
            return Err(Errno::ENFILE);
        }
        let piece = file.piece();
        let seekable = file.seekable();
        let class = match file.special() {
            Special::Terminal(_) => Class::Terminal,
            Special::Socket(_) => Class::Socket,
            Special::I2c(_) => Class::I2c,
            _ => Class::Plain,
        };
        let flushes = file.flushes();
        Ok(Arc::new(OpenFile {
            file,
            inode,
            flags: AtomicU32::new(flags.bits()),
            seekable,
            piece,
            class,
            in_flight: AtomicBool::new(false),
            flushes,
            position: SpinLock::new(0),
            watchers: Watchers::new(),
            _live: Live::new(Kind::OpenFile),
        }))
    }

    /// Whether positions mean something.
    #[must_use]
    pub const fn seekable(&self) -> bool {
        self.seekable
    }

    /// Whether it is a terminal, which asks who reads and writes ([`crate::tty::Tty::check_read`]).
    #[inline]
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self.class, Class::Terminal)
    }

    /// Whether it is a socket.
    #[inline]
    #[must_use]
    pub const fn is_socket(&self) -> bool {
        matches!(self.class, Class::Socket)
    }

    /// Whether it is a bus of I2C.
    #[inline]
    #[must_use]
    pub const fn is_i2c(&self) -> bool {
        matches!(self.class, Class::I2c)
    }

    /// Whether it asks who reads and writes: a terminal, a socket or a bus.
    #[inline]
    #[must_use]
    pub const fn asks_who(&self) -> bool {
        !matches!(self.class, Class::Plain)
    }

    /// Whether it is a socket that is on the way in a message. What closes the last descriptor of one must say so
    /// ([`crate::ipc::unix::let_go`]).
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Says whether it is on the way.
    pub(crate) fn set_in_flight(&self, on: bool) {
        self.in_flight.store(on, Ordering::Relaxed);
    }

    /// Who watches it by epoll.
    pub(crate) const fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// The most bytes for one try ([`File::piece`]).
    #[inline]
    #[must_use]
    pub const fn piece(&self) -> usize {
        self.piece
    }

    /// Whether its file wants to be told of every descriptor that is closed ([`File::flush`]).
    #[inline]
    #[must_use]
    pub const fn flushes(&self) -> bool {
        self.flushes
    }

    /// What stands behind it.
    #[inline]
    #[must_use]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The inode that was opened; None for what has no name (pipes).
    #[must_use]
    pub fn inode(&self) -> Option<&Arc<Inode>> {
        self.inode.as_ref().or_else(|| self.file.inode())
    }

    /// Its flags now.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Whether calls on it return EAGAIN instead of waiting.
    #[inline]
    #[must_use]
    pub fn nonblocking(&self) -> bool {
        self.flags().contains(OpenFlags::NONBLOCK)
    }

    /// Changes what F_SETFL may change; the rest stays.
    pub fn set_flags(&self, wanted: OpenFlags) {
        let keep = self.flags().difference(OpenFlags::CHANGEABLE);
        let set = keep.union(wanted.intersection(OpenFlags::CHANGEABLE));
        self.flags.store(set.bits(), Ordering::Relaxed);
    }

    /// Reads at the position and moves it. EBADF: not open for reading. EAGAIN: nothing there yet.
    #[inline(always)]
    pub fn try_read(&self, sink: &mut dyn Sink) -> Result<usize> {
        if !self.flags().readable() {
            return Err(Errno::EBADF);
        }
        if self.seekable {
            return self.read_on(sink);
        }
        self.file.try_read(sink, 0)
    }

    #[inline(never)]
    fn read_on(&self, sink: &mut dyn Sink) -> Result<usize> {
        let mut position = self.position.lock();
        let count = self.file.try_read(sink, *position)?;
        *position = position.saturating_add(count as u64);
        Ok(count)
    }

    /// Writes at the position (at the end with O_APPEND) and moves it. EBADF: not open for writing. EAGAIN: no room yet.
    #[inline(always)]
    pub fn try_write(&self, source: &mut dyn Source) -> Result<usize> {
        if !self.flags().writable() {
            return Err(Errno::EBADF);
        }
        if self.seekable {
            return self.write_on(source);
        }
        self.file.try_write(source, 0)
    }

    #[inline(never)]
    fn write_on(&self, source: &mut dyn Source) -> Result<usize> {
        let mut position = self.position.lock();
        let (count, end) = if self.flags().contains(OpenFlags::APPEND) {
            self.file.try_append(source)?
        } else {
            let count = self.file.try_write(source, *position)?;
            (count, position.saturating_add(count as u64))
        };
        *position = end;
        Ok(count)
    }

    /// Reads at `at`; the position stays. ESPIPE: positions mean nothing here.
    pub fn try_read_at(&self, sink: &mut dyn Sink, at: u64) -> Result<usize> {
        if !self.flags().readable() {
            return Err(Errno::EBADF);
        }
        if self.seekable {
            self.file.try_read(sink, at)
        } else {
            Err(Errno::ESPIPE)
        }
    }

    /// Writes at `at` (Linux: at the end with O_APPEND); the position stays. ESPIPE: positions mean nothing here.
    pub fn try_write_at(&self, source: &mut dyn Source, at: u64) -> Result<usize> {
        let flags = self.flags();
        if !flags.writable() {
            return Err(Errno::EBADF);
        }
        if !self.seekable {
            return Err(Errno::ESPIPE);
        }
        if flags.contains(OpenFlags::APPEND) {
            return self.file.try_append(source).map(|(count, _)| count);
        }
        self.file.try_write(source, at)
    }

    /// Does `change` to the position under its lock; what it returns is the new position. ESPIPE: positions mean nothing.
    pub fn reposition(&self, change: impl FnOnce(u64) -> Result<u64>) -> Result<u64> {
        if !self.seekable {
            return Err(Errno::ESPIPE);
        }
        let mut position = self.position.lock();
        *position = change(*position)?;
        Ok(*position)
    }
}
