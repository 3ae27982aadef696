//! Files of memory without a name, and seals on them (memfd_create(2)).

use crate::fd::{AsFd, Fd, fcntl, opened};
use crate::sys::sys;
use crate::{Result, cstr, nr, raw};

pub use crate::raw::general::{
    F_SEAL_EXEC, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE,
    MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_NOEXEC_SEAL,
};

/// A new file of memory, empty; its name is for those who look at it. Flags: `MFD_*`.
///
/// # Errors
/// `EINVAL`, `EMFILE`, `ENOMEM`.
pub fn create(name: &str, flags: u32) -> Result<Fd> {
    cstr::with(name.as_bytes(), |name| {
        // SAFETY: the kernel reads the name.
        opened(unsafe { sys!(nr::MEMFD_CREATE, name, flags) })
    })
}

/// The seals of a file.
///
/// # Errors
/// `EINVAL` if it can have none.
pub fn seals(fd: impl AsFd) -> Result<u32> {
    fcntl(fd, raw::general::F_GET_SEALS, 0).map(|seals| seals as u32)
}

/// Adds seals, for ever.
///
/// # Errors
/// `EPERM`, `EINVAL`, `EBUSY`.
pub fn seal(fd: impl AsFd, seals: u32) -> Result<()> {
    fcntl(fd, raw::general::F_ADD_SEALS, seals as usize).map(drop)
}
