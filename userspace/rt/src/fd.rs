//! File descriptors: numbers that anybody may use, and owners that close them.

use crate::sys::plain;
use crate::{Errno, Result, nr, open, raw};

/// Standard input.
pub const STDIN: i32 = 0;
/// Standard output.
pub const STDOUT: i32 = 1;
/// Standard error.
pub const STDERR: i32 = 2;

/// Something that has a descriptor: an [`Fd`], a reference to one, or a bare number.
pub trait AsFd {
    /// Its number.
    fn fd(&self) -> i32;
}

impl AsFd for i32 {
    fn fd(&self) -> i32 {
        *self
    }
}

impl<T: AsFd> AsFd for &T {
    fn fd(&self) -> i32 {
        (**self).fd()
    }
}

/// A descriptor that is closed when its owner goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Fd(i32);

impl Fd {
    /// Takes charge of a number: it will be closed.
    pub fn from_raw(fd: i32) -> Self {
        Self(fd)
    }

    /// Gives up charge: the number stays open.
    pub fn into_raw(self) -> i32 {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }
}

impl AsFd for Fd {
    fn fd(&self) -> i32 {
        self.0
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        let _ = close(self.0);
    }
}

/// The descriptor that a call returned.
pub(crate) fn opened(result: Result<usize>) -> Result<Fd> {
    result.map(|fd| Fd(fd as i32))
}

/// Closes a number.
///
/// # Errors
/// `EBADF`.
pub fn close(fd: i32) -> Result<()> {
    plain(nr::CLOSE, fd as isize, 0, 0).map(drop)
}

/// A second descriptor for the same open description: the lowest free number.
///
/// # Errors
/// `EBADF`, `EMFILE`.
pub fn dup(fd: impl AsFd) -> Result<Fd> {
    opened(plain(nr::DUP, fd.fd() as isize, 0, 0))
}

/// Makes `to` a second descriptor for `from`'s open description, closing what `to` was. If they are the same, it
/// only checks that the descriptor is open, as `dup2` does.
///
/// # Errors
/// `EBADF`, `EBUSY`.
pub fn dup2(from: impl AsFd, to: i32) -> Result<()> {
    if from.fd() == to {
        return fcntl(to, raw::general::F_GETFD, 0).map(drop);
    }
    dup3(from, to, 0)
}

/// [`dup2`] with flags (`O_CLOEXEC`), and `EINVAL` if both numbers are the same.
///
/// # Errors
/// `EBADF`, `EINVAL`, `EBUSY`.
pub fn dup3(from: impl AsFd, to: i32, flags: u32) -> Result<()> {
    plain(nr::DUP3, from.fd() as isize, to as isize, flags as isize).map(drop)
}

/// `fcntl` with a number as its argument (`raw::general::F_*`).
///
/// # Errors
/// As the command says; `EINVAL` for commands that take a pointer, which are not let through.
pub fn fcntl(fd: impl AsFd, command: u32, value: usize) -> Result<usize> {
    const POINTERS: [u32; 6] = [
        raw::general::F_GETLK,
        raw::general::F_SETLK,
        raw::general::F_SETLKW,
        raw::general::F_SETOWN_EX,
        raw::general::F_GETOWN_EX,
        raw::general::F_OFD_GETLK,
    ];
    if POINTERS.contains(&command) {
        return Err(Errno::EINVAL);
    }
    plain(
        nr::FCNTL,
        fd.fd() as isize,
        command as isize,
        value as isize,
    )
}

/// Sets or clears close-on-exec.
///
/// # Errors
/// `EBADF`.
pub fn set_cloexec(fd: impl AsFd, on: bool) -> Result<()> {
    fcntl(fd, raw::general::F_SETFD, usize::from(on)).map(drop)
}

/// Whether it closes on exec.
///
/// # Errors
/// `EBADF`.
pub fn cloexec(fd: impl AsFd) -> Result<bool> {
    let flags = fcntl(fd, raw::general::F_GETFD, 0)?;
    Ok(flags & raw::general::FD_CLOEXEC as usize != 0)
}

/// The open description's flags (`open::O_*`).
///
/// # Errors
/// `EBADF`.
pub fn flags(fd: impl AsFd) -> Result<u32> {
    fcntl(fd, raw::general::F_GETFL, 0).map(|flags| flags as u32)
}

/// Sets or clears `O_NONBLOCK` of the open description, which all its descriptors share.
///
/// # Errors
/// `EBADF`.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> Result<()> {
    let old = flags(&fd)?;
    let new = if on {
        old | open::O_NONBLOCK
    } else {
        old & !open::O_NONBLOCK
    };
    fcntl(fd, raw::general::F_SETFL, new as usize).map(drop)
}

/// A new pipe: its reading and its writing end. Flags: `O_CLOEXEC`, `O_NONBLOCK`, `O_DIRECT`.
///
/// # Errors
/// `EINVAL`, `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn pipe2(flags: u32) -> Result<(Fd, Fd)> {
    let mut ends = [-1i32; 2];
    // SAFETY: the kernel writes two numbers there.
    unsafe { crate::sys::sys!(nr::PIPE2, ends.as_mut_ptr(), flags) }?;
    Ok((Fd(ends[0]), Fd(ends[1])))
}

/// A new pipe: its reading and its writing end.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn pipe() -> Result<(Fd, Fd)> {
    pipe2(0)
}
