//! Waiting for one of several descriptors.

use core::time::Duration;

use crate::signal::SignalSet;
use crate::sys::sys;
use crate::{Result, nr, time};

/// There is something to read.
pub const POLLIN: i16 = 1;
/// There is room to write.
pub const POLLOUT: i16 = 4;
/// The peer of a writing end is gone.
pub const POLLERR: i16 = 8;
/// The peer is gone.
pub const POLLHUP: i16 = 16;
/// No such descriptor.
pub const POLLNVAL: i16 = 32;

/// What is waited for on one descriptor, and what came.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollFd {
    /// The descriptor; a negative one is passed over.
    pub fd: i32,
    /// What is waited for; [`POLLERR`], [`POLLHUP`] and [`POLLNVAL`] always are.
    pub events: i16,
    /// What came.
    pub revents: i16,
}

impl PollFd {
    /// Nothing came yet.
    pub fn new(fd: i32, events: i16) -> Self {
        Self {
            fd,
            events,
            revents: 0,
        }
    }
}

/// Waits until something came, and says on how many; 0 when the time is over. Without a time-out it waits for ever.
///
/// # Errors
/// `EINTR`, also under `SA_RESTART`; `EINVAL`, `ENOMEM`.
pub fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize> {
    poll_masked(fds, timeout, None)
}

/// [`poll`] with another signal mask while it waits (`ppoll`).
///
/// # Errors
/// As [`poll`].
pub fn poll_masked(
    fds: &mut [PollFd],
    timeout: Option<Duration>,
    mask: Option<SignalSet>,
) -> Result<usize> {
    let mut time = timeout.map(time::timespec);
    let time = time
        .as_mut()
        .map_or(core::ptr::null_mut(), |time| &raw mut *time);
    let mask = mask
        .as_ref()
        .map_or(core::ptr::null(), |mask| &raw const *mask);
    // SAFETY: the kernel reads and writes the entries and the time, and reads the mask.
    unsafe {
        sys!(
            nr::PPOLL,
            fds.as_mut_ptr(),
            fds.len(),
            time,
            mask,
            SignalSet::SIZE
        )
    }
}
