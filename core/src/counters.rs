//! Live objects of each kind, so that a test can say after a storm: nothing is left. Shown in `/proc/halyard/objects`.
//!
//! An object holds a [`Live`] token; making it counts up, dropping it counts down.

use core::sync::atomic::{AtomicUsize, Ordering};

/// A kind of object that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Kind {
    Process,
    Thread,
    AddressSpace,
    MemoryObject,
    OpenFile,
    Inode,
    Pipe,
    FutexQueue,
    Socket,
    MessageQueue,
    SharedMemory,
    SemaphoreSet,
    PosixQueue,
    EventFd,
    Epoll,
    TimerFd,
    SignalFd,
    PosixTimer,
    Channel,
    PiFutex,
}

const KINDS: usize = 20;

static LIVE: [AtomicUsize; KINDS] = [const { AtomicUsize::new(0) }; KINDS];

/// The kinds with their names, in the order in which they are shown.
pub const NAMES: [(Kind, &str); KINDS] = [
    (Kind::Process, "process"),
    (Kind::Thread, "thread"),
    (Kind::AddressSpace, "address_space"),
    (Kind::MemoryObject, "memory_object"),
    (Kind::OpenFile, "open_file"),
    (Kind::Inode, "inode"),
    (Kind::Pipe, "pipe"),
    (Kind::FutexQueue, "futex_queue"),
    (Kind::Socket, "socket"),
    (Kind::MessageQueue, "message_queue"),
    (Kind::SharedMemory, "shared_memory"),
    (Kind::SemaphoreSet, "semaphore_set"),
    (Kind::PosixQueue, "posix_queue"),
    (Kind::EventFd, "eventfd"),
    (Kind::Epoll, "epoll"),
    (Kind::TimerFd, "timerfd"),
    (Kind::SignalFd, "signalfd"),
    (Kind::PosixTimer, "posix_timer"),
    (Kind::Channel, "channel"),
    (Kind::PiFutex, "pi_futex"),
];

/// How many objects of `kind` exist now.
#[must_use]
pub fn live(kind: Kind) -> usize {
    LIVE.get(kind as usize)
        .map_or(0, |n| n.load(Ordering::Relaxed))
}

/// One live object of a kind.
#[derive(Debug)]
pub struct Live(Kind);

impl Live {
    /// Counts one more.
    #[must_use]
    pub fn new(kind: Kind) -> Live {
        if let Some(n) = LIVE.get(kind as usize) {
            n.fetch_add(1, Ordering::Relaxed);
        }
        Live(kind)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(n) = LIVE.get(self.0 as usize) {
            n.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
