//! Counters behind a descriptor (`eventfd`).

use crate::fd::{AsFd, Fd, opened};
use crate::sys::plain;
use crate::{Result, io, nr};

pub use crate::raw::general::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE};

/// A counter that begins with `count`. Flags: `EFD_*`.
///
/// # Errors
/// `EINVAL`, `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn eventfd(count: u32, flags: u32) -> Result<Fd> {
    opened(plain(nr::EVENTFD2, count as isize, flags as isize, 0))
}

/// Takes what the counter holds, or one of it from an `EFD_SEMAPHORE`; waits while it is 0.
///
/// # Errors
/// `EAGAIN`, `EINTR`.
pub fn take(fd: impl AsFd) -> Result<u64> {
    let mut bytes = [0; 8];
    io::read(fd, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Adds to the counter; waits while that would be too much for it.
///
/// # Errors
/// `EAGAIN`, `EINTR`, `EINVAL` for `u64::MAX`.
pub fn add(fd: impl AsFd, more: u64) -> Result<()> {
    io::write(fd, &more.to_le_bytes()).map(drop)
}
