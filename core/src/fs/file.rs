//! The `File` trait: what can stand behind a descriptor. Implementations never block; the blocking loop is written once,
//! in `syscall::transfer`.

use alloc::sync::Arc;

use bitflags::bitflags;

use super::directory::Listed;
use super::inode::{Inode, S_IFIFO, S_IFREG, S_IFSOCK};
use crate::devices::{gpio, i2c, vcio, watchdog};
use crate::io::{Sink, Source};
use crate::ipc::channel::{ClientEnd, ServerEnd};
use crate::ipc::epoll::Epoll;
use crate::ipc::pipe::Pipe;
use crate::ipc::posix_mq::Queue;
use crate::ipc::signalfd::SignalFd;
use crate::ipc::timerfd::TimerFd;
use crate::ipc::unix::Socket;
use crate::mm::MemoryObject;
use crate::time::Instant;
use crate::tty::Tty;
use crate::wait::WaitQueue;
use crate::{Errno, Result};

bitflags! {
    /// What poll(2) reports; the bits are Linux's POLL* values (asm-generic/poll.h).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Readiness: u16 {
        /// A read would not block.
        const IN = 0x001;
        /// Urgent data.
        const PRI = 0x002;
        /// A write would not block.
        const OUT = 0x004;
        /// Something is broken; reported whether asked for or not.
        const ERR = 0x008;
        /// The other side hung up; reported whether asked for or not.
        const HUP = 0x010;
        /// Not an open descriptor.
        const NVAL = 0x020;
        /// As IN.
        const RDNORM = 0x040;
        /// As OUT.
        const WRNORM = 0x100;
        /// The peer shut down its writing half.
        const RDHUP = 0x2000;
    }
}

impl Readiness {
    /// On which sides changes of these are told: reading, writing. Errors and hang-ups alone are told on the side of
    /// whoever has the file open.
    #[must_use]
    pub const fn sides(self) -> (bool, bool) {
        let reads = self.intersects(
            Readiness::IN
                .union(Readiness::RDNORM)
                .union(Readiness::PRI)
                .union(Readiness::RDHUP),
        );
        let writes = self.intersects(Readiness::OUT.union(Readiness::WRNORM));
        if reads || writes {
            (reads, writes)
        } else {
            (true, true)
        }
    }
}

/// Which change somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Something to read, or an end of file.
    Read,
    /// Room to write, or an error.
    Write,
}

/// What can stand behind a descriptor. No method blocks. Errors are those of the manual page of the call.
pub trait File: Send + Sync {
    /// Reads at byte offset `at` (ignored where [`File::seekable`] is false) as much as is there now. 0 is the end of file.
    /// EAGAIN: nothing yet; wait on [`File::wait_queue`]`(Side::Read)`.
    fn try_read(&self, sink: &mut dyn Sink, at: u64) -> Result<usize> {
        let _ = (sink, at);
        Err(Errno::EINVAL)
    }

    /// Writes at `at` as much as there is room for now; less than all is not an error. EAGAIN: no room; wait on
    /// [`File::wait_queue`]`(Side::Write)`.
    fn try_write(&self, source: &mut dyn Source, at: u64) -> Result<usize> {
        let _ = (source, at);
        Err(Errno::EINVAL)
    }

    /// Reads what is there although it is less than [`File::try_read`] asks for, because the reader waits no longer: only a
    /// terminal in raw mode ever has some. EAGAIN: nothing there.
    fn try_read_late(&self, sink: &mut dyn Sink) -> Result<usize> {
        let _ = sink;
        Err(Errno::EAGAIN)
    }

    /// Until when a read that began at `begun` waits at most. May change with every wake. None: it waits on.
    fn read_deadline(&self, begun: Instant) -> Option<Instant> {
        let _ = begun;
        None
    }

    /// What is possible now.
    fn poll(&self) -> Readiness {
        Readiness::IN | Readiness::OUT | Readiness::RDNORM | Readiness::WRNORM
    }

    /// Who is told when [`File::poll`] changes on that side. None: it never does.
    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        let _ = side;
        None
    }

    /// How long after a read that found nothing the next try is worth it, in ns, where nobody tells of a change.
    fn pace(&self) -> Option<u64> {
        None
    }

    /// Writes at the end; returns how much and where the end is then. Only where [`File::seekable`].
    fn try_append(&self, source: &mut dyn Source) -> Result<(usize, u64)> {
        let _ = source;
        Err(Errno::EINVAL)
    }

    /// Bytes after which a read or write of a stream stops, so that others have their turn before it goes on: whoever calls
    /// gives no more to one try. usize::MAX where one try is one message, or is bounded by the object.
    fn piece(&self) -> usize {
        usize::MAX
    }

    /// Whether offsets mean something; if not, lseek and pread are ESPIPE.
    fn seekable(&self) -> bool {
        false
    }

    /// The memory behind the file, for mmap; ENODEV where there is none.
    fn memory(&self) -> Result<Arc<MemoryObject>> {
        Err(Errno::ENODEV)
    }

    /// The inode that was opened, if there is one; fstat and others ask it.
    fn inode(&self) -> Option<&Arc<Inode>> {
        None
    }

    /// What it is, for calls that mean one kind of file only.
    fn special(&self) -> Special<'_> {
        Special::Plain
    }

    /// The length up to which lseek's SEEK_END counts.
    fn end(&self) -> u64 {
        self.inode().map_or(0, |inode| inode.size())
    }

    /// Cuts or extends the file. EINVAL: not a regular file.
    fn truncate(&self, length: u64) -> Result<()> {
        let _ = length;
        Err(Errno::EINVAL)
    }

    /// Makes what was written lasting (fsync(2)). EINVAL: means nothing here.
    fn sync(&self) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Whether [`File::flush`] does anything.
    fn flushes(&self) -> bool {
        false
    }

    /// A descriptor of this file was closed in the table of number `table`
    /// ([`DescriptorTable::owner`](super::descriptors::DescriptorTable::owner)); others may be open there still.
    fn flush(&self, table: u64) {
        let _ = table;
    }

    /// The first directory entry at or behind `cookie`. ENOTDIR.
    fn entry_from(&self, cookie: u64) -> Result<Option<Listed>> {
        let _ = cookie;
        Err(Errno::ENOTDIR)
    }

    /// How many bytes a read would find now (FIONREAD). ENOTTY: means nothing here.
    fn available(&self) -> Result<usize> {
        match self.special() {
            Special::Pipe(pipe) => Ok(pipe.unread()),
            _ => Err(Errno::ENOTTY),
        }
    }
}

/// The kinds of file that some calls mean alone.
#[derive(Clone, Copy)]
pub enum Special<'a> {
    /// None of them.
    Plain,
    /// An end of a pipe or FIFO.
    Pipe(&'a Pipe),
    /// A terminal.
    Terminal(&'a Arc<Tty>),
    /// An eventfd.
    EventFd,
    /// An epoll instance.
    Epoll(&'a Arc<Epoll>),
    /// A socket.
    Socket(&'a Socket),
    /// A POSIX message queue.
    MessageQueue(&'a Queue),
    /// A timer behind a descriptor.
    TimerFd(&'a TimerFd),
    /// Signals behind a descriptor.
    SignalFd(&'a SignalFd),
    /// The server's end of a channel.
    ChannelServer(&'a ServerEnd),
    /// A client's end of a channel.
    ChannelClient(&'a ClientEnd),
    /// A bus of I2C.
    I2c(i2c::Opened<'a>),
    /// A controller of lines.
    GpioChip(&'a Arc<gpio::Chip>),
    /// Lines of one that a program has.
    GpioLines(&'a gpio::Lines),
    /// The way to the firmware.
    Mailbox(&'a Arc<vcio::Mailbox>),
    /// The watchdog.
    Watchdog(&'a watchdog::Timer),
}

impl Special<'_> {
    /// How the link of its descriptor in /proc/PID/fd begins where the file has no inode (proc_pid_fd(5)).
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Special::Pipe(_) => "pipe:",
            Special::EventFd => "anon_inode:[eventfd]",
            Special::Epoll(_) => "anon_inode:[eventpoll]",
            Special::Socket(_) => "socket:",
            Special::TimerFd(_) => "anon_inode:[timerfd]",
            Special::SignalFd(_) => "anon_inode:[signalfd]",
            Special::ChannelServer(_) | Special::ChannelClient(_) => "channel:",
            Special::GpioLines(_) => "anon_inode:gpio-line",
            _ => "anon_inode:",
        }
    }

    /// The number that its inode would have, where it has one of its own.
    #[must_use]
    pub const fn number(self) -> Option<u64> {
        match self {
            Special::Socket(socket) => Some(socket.number),
            _ => None,
        }
    }

    /// The permission bits of its mode where the file has no inode.
    #[must_use]
    pub const fn permissions(self) -> u32 {
        match self {
            Special::Socket(_) => 0o777,
            _ => 0o600,
        }
    }

    /// The type bits of its mode where the file has no inode: a pipe's are a FIFO's, most have none (inode(7)).
    #[must_use]
    pub const fn file_type(self) -> u32 {
        match self {
            Special::Pipe(_) => S_IFIFO,
            Special::Socket(_) => S_IFSOCK,
            Special::MessageQueue(_) => S_IFREG,
            _ => 0,
        }
    }
}

impl dyn File + '_ {
    /// The pipe that this is an end of.
    #[must_use]
    pub fn pipe(&self) -> Option<&Pipe> {
        match self.special() {
            Special::Pipe(pipe) => Some(pipe),
            _ => None,
        }
    }

    /// The socket that this is. ENOTSOCK.
    pub fn socket(&self) -> Result<&Socket> {
        match self.special() {
            Special::Socket(socket) => Ok(socket),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// The terminal that this is.
    #[must_use]
    pub fn terminal(&self) -> Option<&Arc<Tty>> {
        match self.special() {
            Special::Terminal(terminal) => Some(terminal),
            _ => None,
        }
    }
}
