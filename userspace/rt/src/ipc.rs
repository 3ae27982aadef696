//! `ipc_call`: one call that leads to every mechanism of inter-process communication. Halyard's own; Linux answers ENOSYS.
//!
//! The objects are those of the other modules: a pipe made here is read by `io::read`. The table of commands is in
//! `halyard_abi::ipc_call`.

use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;
use core::time::Duration;

use halyard_abi::ipc_call as abi;

use crate::fd::{AsFd, Fd};
use crate::process::Pid;
use crate::{Errno, Result, cstr, sys};

pub use abi::InfoRecord;
pub use halyard_abi::ipc_call as command;

/// Makes the call.
///
/// # Safety
/// As for any system call: the command's arguments must name memory that it may use so.
unsafe fn ipc_call(command: usize, [a0, a1, a2, a3, a4]: [usize; 5]) -> Result<usize> {
    // SAFETY: the caller's promise is the call's.
    unsafe { sys::call(abi::IPC_CALL, [command, a0, a1, a2, a3, a4]) }
}

/// Whether the kernel has the call at all.
pub fn exists() -> bool {
    // SAFETY: with room for no record nothing is written.
    let answer = unsafe { ipc_call(abi::INFO, [0; 5]) };
    answer != Err(Errno::ENOSYS)
}

/// Which objects live: a record a kind, then one for each object that has an identifier.
///
/// # Errors
/// `ENOSYS`, `ENOMEM`.
pub fn info() -> Result<Vec<InfoRecord>> {
    const NONE: InfoRecord = InfoRecord {
        kind: [0; abi::NAME_BYTES],
        id: 0,
        count: 0,
    };
    let mut records: Vec<InfoRecord> = Vec::new();
    loop {
        let arguments = [records.as_mut_ptr() as usize, records.len(), 0, 0, 0];
        // SAFETY: the kernel writes at most as many records as the vector has.
        let count = unsafe { ipc_call(abi::INFO, arguments) }?;
        if count <= records.len() {
            records.truncate(count);
            return Ok(records);
        }
        let more = count - records.len();
        records.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
        records.resize(count, NONE);
    }
}

/// A new pipe: its reading and its writing end. Flags as for `fd::pipe2`.
///
/// # Errors
/// Those of pipe2(2).
pub fn pipe_create(flags: u32) -> Result<(Fd, Fd)> {
    let mut ends = [-1i32; 2];
    let arguments = [ends.as_mut_ptr() as usize, flags as usize, 0, 0, 0];
    // SAFETY: the kernel writes two numbers there.
    unsafe { ipc_call(abi::PIPE_CREATE, arguments) }?;
    Ok((Fd::from_raw(ends[0]), Fd::from_raw(ends[1])))
}

/// A FIFO of that name, with the permission bits `mode` less the umask.
///
/// # Errors
/// Those of mkfifo(3).
pub fn fifo_create(path: &str, mode: u32) -> Result<()> {
    cstr::with(path.as_bytes(), |path| {
        // SAFETY: the string ends with a NUL and is only read.
        unsafe { ipc_call(abi::FIFO_CREATE, [path as usize, mode as usize, 0, 0, 0]) }
    })
    .map(drop)
}

/// Gives bytes to what stands behind a descriptor: a pipe, FIFO, socket, eventfd.
///
/// # Errors
/// Those of write(2).
pub fn send(fd: impl AsFd, bytes: &[u8]) -> Result<usize> {
    let arguments = [fd.fd() as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0];
    // SAFETY: the bytes are only read.
    unsafe { ipc_call(abi::SEND, arguments) }
}

/// Takes bytes from what stands behind a descriptor; 0 is the end.
///
/// # Errors
/// Those of read(2).
pub fn receive(fd: impl AsFd, buffer: &mut [u8]) -> Result<usize> {
    let arguments = [
        fd.fd() as usize,
        buffer.as_mut_ptr() as usize,
        buffer.len(),
        0,
        0,
    ];
    // SAFETY: the buffer is ours to write.
    unsafe { ipc_call(abi::RECEIVE, arguments) }
}

/// Sleeps while the word holds `value`, until [`word_wake`]; among all who share the word's memory.
///
/// # Errors
/// `EAGAIN`: it holds another value. `ETIMEDOUT`, `EINTR`.
pub fn word_wait(word: &AtomicU32, value: u32, timeout: Option<Duration>) -> Result<()> {
    let spec = timeout.map(|time| [time.as_secs(), u64::from(time.subsec_nanos())]);
    let spec = spec.as_ref().map_or(0, |spec| spec.as_ptr() as usize);
    let arguments = [word.as_ptr() as usize, value as usize, spec, 0, 0];
    // SAFETY: the kernel reads the word and the time.
    unsafe { ipc_call(abi::WORD_WAIT, arguments) }.map(drop)
}

/// Wakes up to `count` sleepers of the word; returns how many.
///
/// # Errors
/// `EFAULT` and `EINVAL` cannot be had with a word of ours.
pub fn word_wake(word: &AtomicU32, count: u32) -> Result<usize> {
    // SAFETY: only the word's address matters.
    unsafe {
        ipc_call(
            abi::WORD_WAKE,
            [word.as_ptr() as usize, count as usize, 0, 0, 0],
        )
    }
}

/// Sends a signal to a process or, negative, to a group.
///
/// # Errors
/// Those of kill(2).
pub fn signal_send(pid: Pid, signal: i32) -> Result<()> {
    // SAFETY: no memory is named.
    unsafe { ipc_call(abi::SIGNAL_SEND, [pid as usize, signal as usize, 0, 0, 0]) }.map(drop)
}

/// A shared memory segment of so many bytes, found by its id alone; flags are mode bits. [`sysv::memory`](crate::sysv::memory) attaches and removes it.
///
/// # Errors
/// Those of shmget(2).
pub fn shm_create(size: usize, flags: u32) -> Result<i32> {
    // SAFETY: no memory is named.
    unsafe { ipc_call(abi::SHM_CREATE, [size, flags as usize, 0, 0, 0]) }.map(|id| id as i32)
}

/// A message queue as the handbook has it: 64 messages of up to 256 bytes. [`sysv::message`](crate::sysv::message) sends, receives, removes it.
///
/// # Errors
/// Those of msgget(2).
pub fn msg_create(key: i32, flags: u32) -> Result<i32> {
    // SAFETY: no memory is named.
    unsafe { ipc_call(abi::MSG_CREATE, [key as usize, flags as usize, 0, 0, 0]) }
        .map(|id| id as i32)
}
