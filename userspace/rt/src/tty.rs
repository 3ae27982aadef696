//! Terminals.

use crate::fd::AsFd;
use crate::process::Pid;
use crate::sys::{plain, sys};
use crate::{Result, nr, raw};

pub use raw::general::{termios as Termios, winsize as WindowSize};

/// Its settings; also the way to ask whether it is a terminal.
///
/// # Errors
/// `ENOTTY`, `EBADF`.
pub fn settings(fd: impl AsFd) -> Result<Termios> {
    let mut settings = Termios {
        c_iflag: 0,
        c_oflag: 0,
        c_cflag: 0,
        c_lflag: 0,
        c_line: 0,
        c_cc: [0; 19],
    };
    // SAFETY: the kernel writes one structure.
    unsafe { sys!(nr::IOCTL, fd.fd(), raw::ioctl::TCGETS, &raw mut settings) }?;
    Ok(settings)
}

/// Changes its settings at once.
///
/// # Errors
/// `ENOTTY`, `EBADF`, `EIO`.
pub fn set_settings(fd: impl AsFd, settings: &Termios) -> Result<()> {
    // SAFETY: the kernel reads one structure.
    unsafe { sys!(nr::IOCTL, fd.fd(), raw::ioctl::TCSETS, &raw const *settings) }.map(drop)
}

/// Whether it is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    settings(fd).is_ok()
}

/// How many rows and columns it has.
///
/// # Errors
/// `ENOTTY`, `EBADF`.
pub fn window_size(fd: impl AsFd) -> Result<WindowSize> {
    let mut size = WindowSize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel writes one structure.
    unsafe { sys!(nr::IOCTL, fd.fd(), raw::ioctl::TIOCGWINSZ, &raw mut size) }?;
    Ok(size)
}

/// The group of processes that its keys' signals go to.
///
/// # Errors
/// `ENOTTY` if it is not this session's terminal.
pub fn foreground(fd: impl AsFd) -> Result<Pid> {
    let mut group = 0;
    // SAFETY: the kernel writes one number.
    unsafe { sys!(nr::IOCTL, fd.fd(), raw::ioctl::TIOCGPGRP, &raw mut group) }?;
    Ok(group)
}

/// Puts a group of processes in the foreground. A background caller is sent `SIGTTOU` unless it ignores or blocks it.
///
/// # Errors
/// `ENOTTY`, `EPERM`, `EINTR`.
pub fn set_foreground(fd: impl AsFd, group: Pid) -> Result<()> {
    // SAFETY: the kernel reads one number.
    unsafe { sys!(nr::IOCTL, fd.fd(), raw::ioctl::TIOCSPGRP, &raw const group) }.map(drop)
}

/// Makes it the terminal of this session, which has none and is led by this process.
///
/// # Errors
/// `EPERM`, `ENOTTY`.
pub fn make_controlling(fd: impl AsFd) -> Result<()> {
    plain(
        nr::IOCTL,
        fd.fd() as isize,
        raw::ioctl::TIOCSCTTY as isize,
        0,
    )
    .map(drop)
}
