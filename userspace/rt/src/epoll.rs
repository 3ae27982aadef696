//! Watching many descriptors at the cost of those that have something to say (`epoll`).

use core::time::Duration;

use crate::fd::{AsFd, Fd, opened};
use crate::signal::SignalSet;
use crate::sys::{plain, sys};
use crate::{Result, nr, time};

pub use crate::raw::general::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE,
    EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLRDHUP,
};

/// What is watched for on a descriptor, or what came (`struct epoll_event` of arm64).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Event {
    /// `EPOLL*`.
    pub events: u32,
    pad: u32,
    /// The program's own.
    pub data: u64,
}

impl Event {
    /// Events and a number that comes back with them.
    pub fn new(events: u32, data: u64) -> Self {
        Self {
            events,
            pad: 0,
            data,
        }
    }
}

/// An empty set. Flags: `EPOLL_CLOEXEC`.
///
/// # Errors
/// `EINVAL`, `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn create(flags: u32) -> Result<Fd> {
    opened(plain(nr::EPOLL_CREATE1, flags as isize, 0, 0))
}

/// Adds a descriptor to a set, changes what is watched for, or takes it out (`EPOLL_CTL_*`).
///
/// # Errors
/// `EEXIST`, `ENOENT`, `EPERM`, `ELOOP`, `EINVAL`, `EBADF`, `ENOMEM`.
pub fn control(set: impl AsFd, operation: u32, fd: impl AsFd, event: Event) -> Result<()> {
    // SAFETY: the kernel reads one event.
    unsafe {
        sys!(
            nr::EPOLL_CTL,
            set.fd(),
            operation,
            fd.fd(),
            &raw const event
        )
    }
    .map(drop)
}

/// Adds a descriptor, whose own number comes back with its events.
///
/// # Errors
/// As [`control`].
pub fn add(set: impl AsFd, fd: impl AsFd, events: u32) -> Result<()> {
    let number = fd.fd();
    control(
        set,
        EPOLL_CTL_ADD,
        number,
        Event::new(events, number as u64),
    )
}

/// Changes what is watched for on a descriptor.
///
/// # Errors
/// As [`control`].
pub fn modify(set: impl AsFd, fd: impl AsFd, events: u32) -> Result<()> {
    let number = fd.fd();
    control(
        set,
        EPOLL_CTL_MOD,
        number,
        Event::new(events, number as u64),
    )
}

/// Watches a descriptor no longer.
///
/// # Errors
/// As [`control`].
pub fn delete(set: impl AsFd, fd: impl AsFd) -> Result<()> {
    control(set, EPOLL_CTL_DEL, fd, Event::default())
}

/// Waits until something came; how many events it is. 0 when the time is over; without a time-out it waits for ever.
///
/// # Errors
/// `EINTR`, also under `SA_RESTART`; `EINVAL`, `EBADF`.
pub fn wait(set: impl AsFd, events: &mut [Event], timeout: Option<Duration>) -> Result<usize> {
    wait_masked(set, events, timeout, None)
}

/// [`wait`] with another signal mask meanwhile.
///
/// # Errors
/// As [`wait`].
pub fn wait_masked(
    set: impl AsFd,
    events: &mut [Event],
    timeout: Option<Duration>,
    mask: Option<SignalSet>,
) -> Result<usize> {
    let time = timeout.map(time::timespec);
    let time = time
        .as_ref()
        .map_or(core::ptr::null(), |time| &raw const *time);
    let mask = mask
        .as_ref()
        .map_or(core::ptr::null(), |mask| &raw const *mask);
    // SAFETY: the kernel writes at most as many events as there is room for, and reads the time and the mask.
    unsafe {
        sys!(
            nr::EPOLL_PWAIT2,
            set.fd(),
            events.as_mut_ptr(),
            events.len(),
            time,
            mask,
            SignalSet::SIZE
        )
    }
}

/// [`wait`] by the older call, with milliseconds; negative: for ever.
///
/// # Errors
/// As [`wait`].
pub fn wait_millis(set: impl AsFd, events: &mut [Event], millis: i32) -> Result<usize> {
    // SAFETY: the kernel writes at most as many events as there is room for.
    unsafe {
        sys!(
            nr::EPOLL_PWAIT,
            set.fd(),
            events.as_mut_ptr(),
            events.len(),
            millis,
            0,
            SignalSet::SIZE
        )
    }
}

const _: () = assert!(size_of::<Event>() == 16);
