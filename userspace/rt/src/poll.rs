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
/// The peer has ended sending.
pub const POLLRDHUP: i16 = 0x2000;
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

/// A set of descriptors for [`select`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdSet([u64; 16]);

impl FdSet {
    /// Descriptors up to this one, exclusively, fit in.
    pub const SIZE: i32 = 1024;
    /// None.
    pub const EMPTY: Self = Self([0; 16]);

    /// The set of those descriptors; what does not fit is passed over.
    pub fn of(fds: &[i32]) -> Self {
        let mut set = Self::EMPTY;
        for &fd in fds {
            if let Some(word) = set.0.get_mut(fd as usize / 64) {
                *word |= 1 << (fd % 64);
            }
        }
        set
    }

    /// Whether it holds the descriptor.
    pub fn contains(&self, fd: i32) -> bool {
        let word = self.0.get(fd as usize / 64);
        word.is_some_and(|word| word >> (fd % 64) & 1 != 0)
    }
}

/// Waits until one of the descriptors below `count` can be read, written, or has something exceptional; leaves in the sets
/// those of which that is so, and says how many bits that are (`pselect`).
///
/// # Errors
/// `EBADF`, `EINTR`, `EINVAL`, `ENOMEM`.
pub fn select(
    count: i32,
    sets: [Option<&mut FdSet>; 3],
    timeout: Option<Duration>,
    mask: Option<SignalSet>,
) -> Result<usize> {
    let time = timeout.map(time::timespec);
    let time = time
        .as_ref()
        .map_or(core::ptr::null(), |time| &raw const *time);
    let mask_pointer = mask
        .as_ref()
        .map_or(core::ptr::null(), |mask| &raw const *mask);
    let pair = [mask_pointer as usize, SignalSet::SIZE];
    let [reads, writes, excepts] =
        sets.map(|set| set.map_or(core::ptr::null_mut(), |set| &raw mut *set));
    let count = count.min(FdSet::SIZE);
    // SAFETY: the kernel reads and writes sets that are as long as `count` says at most, and reads time and mask.
    unsafe {
        sys!(
            nr::PSELECT6,
            count,
            reads,
            writes,
            excepts,
            time,
            pair.as_ptr()
        )
    }
}
