//! Reading and writing descriptors, buffered and not. Calls block as the open description says.

use alloc::vec::Vec;
use core::fmt;

use crate::fd::AsFd;
use crate::sys::{plain, sys};
use crate::{Errno, Result, nr, raw};

/// Where [`seek`] counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// The beginning.
    Start(i64),
    /// The present position.
    Current(i64),
    /// The end.
    End(i64),
}

/// Reads what is there, up to `buffer`'s length; 0 at the end.
///
/// # Errors
/// Whatever `read` says; `EINTR` if a signal came first.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes within the buffer.
    unsafe { sys!(nr::READ, fd.fd(), buffer.as_mut_ptr(), buffer.len()) }
}

/// As [`read`], again if a signal came first.
///
/// # Errors
/// Whatever `read` says, except `EINTR`.
pub fn read_some(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match read(&fd, buffer) {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}

/// Writes some of `data` and says how much.
///
/// # Errors
/// Whatever `write` says; `EINTR` if a signal came first.
pub fn write(fd: impl AsFd, data: &[u8]) -> Result<usize> {
    // SAFETY: the kernel only reads the data.
    unsafe { sys!(nr::WRITE, fd.fd(), data.as_ptr(), data.len()) }
}

/// Writes all of `data`, starting again after signals.
///
/// # Errors
/// Whatever `write` says, except `EINTR`; part of the data may have been written. `EIO` if nothing more is taken.
pub fn write_all(fd: impl AsFd, mut data: &[u8]) -> Result<()> {
    while !data.is_empty() {
        match write(&fd, data) {
            Ok(0) => return Err(Errno::EIO),
            Ok(count) => data = data.get(count..).unwrap_or(&[]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads until `buffer` is full or the end is reached, and says how much it holds.
///
/// # Errors
/// Whatever `read` says, except `EINTR`.
pub fn read_full(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_some(&fd, &mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Appends everything up to the end to `to`.
///
/// # Errors
/// Whatever `read` says, except `EINTR`.
pub fn read_to_end(fd: impl AsFd, to: &mut Vec<u8>) -> Result<usize> {
    let before = to.len();
    let mut chunk = [0u8; 1024];
    loop {
        match read_some(&fd, &mut chunk)? {
            0 => return Ok(to.len() - before),
            count => to.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Copies everything from one descriptor to another, and says how much.
///
/// # Errors
/// Whatever `read` and `write` say, except `EINTR`.
pub fn copy(from: impl AsFd, to: impl AsFd) -> Result<u64> {
    let mut total = 0;
    let mut chunk = [0u8; 4096];
    loop {
        match read(&from, &mut chunk) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                write_all(&to, &chunk[..count])?;
                total += count as u64;
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads at a place, without moving the position.
///
/// # Errors
/// Whatever `pread64` says: `ESPIPE` for a pipe.
pub fn pread(fd: impl AsFd, buffer: &mut [u8], offset: i64) -> Result<usize> {
    // SAFETY: the kernel writes within the buffer.
    unsafe {
        sys!(
            nr::PREAD64,
            fd.fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
            offset
        )
    }
}

/// Writes at a place, without moving the position.
///
/// # Errors
/// Whatever `pwrite64` says: `ESPIPE` for a pipe.
pub fn pwrite(fd: impl AsFd, data: &[u8], offset: i64) -> Result<usize> {
    // SAFETY: the kernel only reads the data.
    unsafe { sys!(nr::PWRITE64, fd.fd(), data.as_ptr(), data.len(), offset) }
}

/// Moves the position and says where it is.
///
/// # Errors
/// `ESPIPE`, `EINVAL`, `EBADF`.
pub fn seek(fd: impl AsFd, to: Seek) -> Result<u64> {
    let (offset, whence) = match to {
        Seek::Start(offset) => (offset, raw::general::SEEK_SET),
        Seek::Current(offset) => (offset, raw::general::SEEK_CUR),
        Seek::End(offset) => (offset, raw::general::SEEK_END),
    };
    let at = plain(
        nr::LSEEK,
        fd.fd() as isize,
        offset as isize,
        whence as isize,
    )?;
    Ok(at as u64)
}

/// How many bytes could be read now (`FIONREAD`).
///
/// # Errors
/// `ENOTTY`, `EBADF`.
pub fn readable_bytes(fd: impl AsFd) -> Result<usize> {
    let mut count = 0i32;
    // SAFETY: the kernel writes one number there.
    unsafe { sys!(nr::IOCTL, fd.fd(), raw::ioctl::FIONREAD, &raw mut count) }?;
    Ok(count as usize)
}

/// Gathers what is written into larger writes. Flush it: what is left when it goes is written, its failure is lost.
#[derive(Debug)]
pub struct BufWriter<T: AsFd> {
    fd: T,
    held: Vec<u8>,
    failed: Option<Errno>,
}

impl<T: AsFd> BufWriter<T> {
    /// How much is gathered before it is written.
    const SIZE: usize = 4096;

    /// A writer that holds nothing yet.
    pub fn new(fd: T) -> Self {
        Self {
            fd,
            held: Vec::with_capacity(Self::SIZE),
            failed: None,
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// Whatever `write` says, once there is enough to write.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        if self.held.len() + data.len() > Self::SIZE {
            self.flush()?;
        }
        if data.len() >= Self::SIZE {
            return write_all(&self.fd, data);
        }
        self.held.extend_from_slice(data);
        Ok(())
    }

    /// Writes what is held.
    ///
    /// # Errors
    /// Whatever `write` says, now or for an earlier formatted write.
    pub fn flush(&mut self) -> Result<()> {
        let result = write_all(&self.fd, &self.held);
        self.held.clear();
        result.and(self.failed.take().map_or(Ok(()), Err))
    }
}

impl<T: AsFd> fmt::Write for BufWriter<T> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes()).map_err(|errno| {
            self.failed = Some(errno);
            fmt::Error
        })
    }
}

impl<T: AsFd> Drop for BufWriter<T> {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// The lines of a descriptor, without their line ends.
#[derive(Debug)]
pub struct Lines<T: AsFd> {
    fd: T,
    held: Vec<u8>,
    start: usize,
    ended: bool,
}

impl<T: AsFd> Lines<T> {
    /// The lines from where the descriptor stands.
    pub fn new(fd: T) -> Self {
        Self {
            fd,
            held: Vec::new(),
            start: 0,
            ended: false,
        }
    }

    /// The next line; none at the end. A last line without line end counts.
    ///
    /// # Errors
    /// Whatever `read` says. After `EINTR` it may be called again: nothing is lost.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut searched = self.start;
        loop {
            let fresh = self.held.get(searched..).unwrap_or(&[]);
            if let Some(length) = fresh.iter().position(|&byte| byte == b'\n') {
                let end = searched + length;
                let line = self.held[self.start..end].to_vec();
                self.start = end + 1;
                return Ok(Some(line));
            }
            if self.ended {
                let rest = self.held.split_off(self.start);
                self.held.clear();
                self.start = 0;
                return Ok((!rest.is_empty()).then_some(rest));
            }
            self.held.drain(..self.start);
            self.start = 0;
            searched = self.held.len();
            let mut chunk = [0u8; 1024];
            match read(&self.fd, &mut chunk)? {
                0 => self.ended = true,
                count => self.held.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
