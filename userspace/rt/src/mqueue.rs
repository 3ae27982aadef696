//! POSIX message queues: messages with priorities between whoever knows a queue's name.

use core::time::Duration;

use crate::fd::{AsFd, Fd, opened};
use crate::sys::sys;
use crate::{Errno, Result, cstr, nr, open, raw, time};

pub use halyard_abi::mqueue::{Attributes, MQ_PRIO_MAX};

/// How a process is told that a message has arrived in an empty queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// Not at all, but nobody else can be.
    Nothing,
    /// By a signal, with a value.
    Signal(i32, u64),
}

/// The name as the kernel wants it. `EINVAL` without a slash in front, as C libraries have it.
fn bare(name: &str) -> Result<&[u8]> {
    name.strip_prefix('/')
        .map(str::as_bytes)
        .ok_or(Errno::EINVAL)
}

/// Opens a queue, with flags (`open::O_*`); the descriptor is closed by exec.
///
/// # Errors
/// `ENOENT`, `EACCES`, `EINVAL`, `EMFILE`...
pub fn open(name: &str, flags: u32) -> Result<Fd> {
    cstr::with(bare(name)?, |name| {
        // SAFETY: the kernel reads the name.
        opened(unsafe { sys!(nr::MQ_OPEN, name, flags, 0, 0) })
    })
}

/// Opens a queue and makes it if it is not there, to hold so many messages of at most so many bytes; without attributes
/// as many as is usual.
///
/// # Errors
/// `EEXIST` with `O_EXCL`, `EACCES`, `EINVAL`, `ENOSPC`, `EMFILE`...
pub fn create(name: &str, flags: u32, mode: u32, size: Option<(i64, i64)>) -> Result<Fd> {
    let attributes = size.map(|(max_messages, message_size)| Attributes {
        max_messages,
        message_size,
        ..Attributes::default()
    });
    let at = attributes
        .as_ref()
        .map_or(core::ptr::null(), |it| &raw const *it);
    cstr::with(bare(name)?, |name| {
        // SAFETY: the kernel reads the name and the attributes.
        opened(unsafe { sys!(nr::MQ_OPEN, name, flags | open::O_CREAT, mode, at) })
    })
}

/// Removes a name. The queue goes when nobody has it open any more.
///
/// # Errors
/// `ENOENT`, `EACCES`, `EPERM`.
pub fn unlink(name: &str) -> Result<()> {
    cstr::with(bare(name)?, |name| {
        // SAFETY: the kernel reads the name.
        unsafe { sys!(nr::MQ_UNLINK, name) }.map(drop)
    })
}

/// Sends a message; waits while the queue is full.
///
/// # Errors
/// `EAGAIN`, `EBADF`, `EINTR`, `EINVAL`, `EMSGSIZE`.
pub fn send(queue: impl AsFd, message: &[u8], priority: u32) -> Result<()> {
    send_until(queue, message, priority, None)
}

/// Sends a message; waits until a time of the wall clock at most (since 1970).
///
/// # Errors
/// As [`send`]; `ETIMEDOUT`.
pub fn send_until(
    queue: impl AsFd,
    message: &[u8],
    priority: u32,
    until: Option<Duration>,
) -> Result<()> {
    let until = until.map(time::timespec);
    let at = until
        .as_ref()
        .map_or(core::ptr::null(), |it| &raw const *it);
    // SAFETY: the kernel reads the message and the time.
    unsafe {
        sys!(
            nr::MQ_TIMEDSEND,
            queue.fd(),
            message.as_ptr(),
            message.len(),
            priority,
            at
        )
    }
    .map(drop)
}

/// Receives the message that comes first: its length and priority. `buffer` has room for the longest that the queue takes.
///
/// # Errors
/// `EAGAIN`, `EBADF`, `EINTR`, `EMSGSIZE`.
pub fn receive(queue: impl AsFd, buffer: &mut [u8]) -> Result<(usize, u32)> {
    receive_until(queue, buffer, None)
}

/// Receives; waits until a time of the wall clock at most (since 1970).
///
/// # Errors
/// As [`receive`]; `ETIMEDOUT`.
pub fn receive_until(
    queue: impl AsFd,
    buffer: &mut [u8],
    until: Option<Duration>,
) -> Result<(usize, u32)> {
    let until = until.map(time::timespec);
    let at = until
        .as_ref()
        .map_or(core::ptr::null(), |it| &raw const *it);
    let mut priority = 0u32;
    // SAFETY: the kernel writes within the buffer, and the priority, and reads the time.
    let length = unsafe {
        sys!(
            nr::MQ_TIMEDRECEIVE,
            queue.fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut priority,
            at
        )
    }?;
    Ok((length, priority))
}

/// Asks to be told, once, when a message arrives in the empty queue; without `how` takes that back.
///
/// # Errors
/// `EBUSY` if somebody is registered, `EBADF`, `EINVAL`.
pub fn notify(queue: impl AsFd, how: Option<Notify>) -> Result<()> {
    use halyard_abi::mqueue::{Event, SIGEV_NONE, SIGEV_SIGNAL};
    let event = how.map(|how| match how {
        Notify::Nothing => Event {
            notify: SIGEV_NONE,
            ..Event::default()
        },
        Notify::Signal(signal, value) => Event {
            value,
            signal,
            notify: SIGEV_SIGNAL,
            ..Event::default()
        },
    });
    let at = event
        .as_ref()
        .map_or(core::ptr::null(), |it| &raw const *it);
    // SAFETY: the kernel reads the event.
    unsafe { sys!(nr::MQ_NOTIFY, queue.fd(), at) }.map(drop)
}

/// What the queue takes and holds.
///
/// # Errors
/// `EBADF`.
pub fn attributes(queue: impl AsFd) -> Result<Attributes> {
    exchange(queue, None)
}

/// Sets or clears `O_NONBLOCK`; gives the attributes as they were.
///
/// # Errors
/// `EBADF`.
pub fn set_nonblocking(queue: impl AsFd, on: bool) -> Result<Attributes> {
    let flags = if on {
        i64::from(raw::general::O_NONBLOCK)
    } else {
        0
    };
    let new = Attributes {
        flags,
        ..Attributes::default()
    };
    exchange(queue, Some(new))
}

/// mq_getsetattr with any attributes.
///
/// # Errors
/// `EBADF`, `EINVAL`.
pub fn exchange(queue: impl AsFd, new: Option<Attributes>) -> Result<Attributes> {
    let at = new.as_ref().map_or(core::ptr::null(), |it| &raw const *it);
    let mut old = Attributes::default();
    // SAFETY: the kernel reads and writes one structure each.
    unsafe { sys!(nr::MQ_GETSETATTR, queue.fd(), at, &raw mut old) }?;
    Ok(old)
}
