//! Processes: making, replacing, ending and awaiting them.

use alloc::vec::Vec;

use crate::sys::{plain, sys};
use crate::{Errno, Result, args, cstr, nr, raw};

/// A process's number.
pub type Pid = i32;

/// Which of the two processes a fork returned in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The one that forked; with the number of the new one.
    Parent(Pid),
    /// The new one.
    Child,
}

/// What became of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It left with that code.
    Exited(i32),
    /// That signal ended it.
    Signaled(i32),
    /// That signal stopped it.
    Stopped(i32),
    /// It runs on.
    Continued,
}

impl Status {
    /// Takes the word that `wait4` wrote apart.
    pub fn from_word(word: i32) -> Self {
        match (word & 0x7f, word >> 8 & 0xff) {
            _ if word == 0xffff => Self::Continued,
            (0, code) => Self::Exited(code),
            (0x7f, signal) => Self::Stopped(signal),
            (signal, _) => Self::Signaled(signal),
        }
    }

    /// The code as a shell gives it: 128 and the signal's number for one that a signal ended or stopped.
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) | Self::Stopped(signal) => 128 + signal,
            Self::Continued => 0,
        }
    }
}

/// Makes a copy of this process. Only the calling thread lives in it.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`.
pub fn fork() -> Result<Fork> {
    // SAFETY: without CLONE_VM the child has memory of its own, and goes on with this very stack.
    match unsafe { sys!(nr::CLONE, raw::general::SIGCHLD) }? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid as Pid)),
    }
}

/// Runs `body` in a new process, which leaves with the code that it returns.
///
/// # Errors
/// `EAGAIN`, `ENOMEM`.
pub fn spawn(body: impl FnOnce() -> i32) -> Result<Pid> {
    match fork()? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => exit(body()),
    }
}

/// Replaces the program by the one at `path`; returns only if that fails.
///
/// `args` begins with the program's name; `vars` are `NAME=value`.
///
/// # Errors
/// The reason why it failed: `ENOENT`, `EACCES`, `ENOEXEC`, `E2BIG`, `ENOMEM`...
pub fn exec<A: AsRef<[u8]>, V: AsRef<[u8]>>(
    path: impl AsRef<[u8]>,
    args: impl IntoIterator<Item = A>,
    vars: impl IntoIterator<Item = V>,
) -> Errno {
    let args: Vec<Vec<u8>> = args
        .into_iter()
        .map(|arg| cstr::owned(arg.as_ref()))
        .collect();
    let vars: Vec<Vec<u8>> = vars
        .into_iter()
        .map(|var| cstr::owned(var.as_ref()))
        .collect();
    let pointers = |list: &[Vec<u8>]| -> Vec<*const u8> {
        let ends = core::iter::once(core::ptr::null());
        list.iter().map(|text| text.as_ptr()).chain(ends).collect()
    };
    let (argv, envp) = (pointers(&args), pointers(&vars));
    let result: Result<usize> = cstr::with(path.as_ref(), |path| {
        // SAFETY: the kernel reads NUL-terminated strings from null-terminated lists; if it returns, nothing changed.
        unsafe { sys!(nr::EXECVE, path, argv.as_ptr(), envp.as_ptr()) }
    });
    result.err().unwrap_or(Errno::EINVAL)
}

/// [`exec`] with this program's own environment.
///
/// # Errors
/// As [`exec`].
pub fn exec_same_env<A: AsRef<[u8]>>(
    path: impl AsRef<[u8]>,
    args: impl IntoIterator<Item = A>,
) -> Errno {
    exec(path, args, args::vars_bytes())
}

/// Ends the process, all its threads included.
pub fn exit(code: i32) -> ! {
    loop {
        let _ = plain(nr::EXIT_GROUP, code as isize, 0, 0);
    }
}

/// Waits for any child to end.
///
/// # Errors
/// `ECHILD`, `EINTR`.
pub fn wait() -> Result<(Pid, Status)> {
    match wait_for(-1, 0)? {
        Some(found) => Ok(found),
        None => Err(Errno::ECHILD),
    }
}

/// Waits for a child to end, through all signals.
///
/// # Errors
/// `ECHILD`.
pub fn wait_pid(pid: Pid) -> Result<Status> {
    loop {
        match wait_for(pid, 0) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// `wait4`: waits for the child `pid`, any (-1), any of this group (0) or of the group `-pid`. Options:
/// `raw::general::{WNOHANG, WUNTRACED, WCONTINUED}`; none is returned only under `WNOHANG`.
///
/// # Errors
/// `ECHILD`, `EINTR`, `EINVAL`.
pub fn wait_for(pid: Pid, options: u32) -> Result<Option<(Pid, Status)>> {
    let mut word = 0i32;
    // SAFETY: the kernel writes one number there.
    let found = unsafe { sys!(nr::WAIT4, pid, &raw mut word, options, 0) }? as Pid;
    Ok((found != 0).then(|| (found, Status::from_word(word))))
}

/// This process's number.
pub fn id() -> Pid {
    plain(nr::GETPID, 0, 0, 0).unwrap_or(0) as Pid
}

/// Its parent's number.
pub fn parent_id() -> Pid {
    plain(nr::GETPPID, 0, 0, 0).unwrap_or(0) as Pid
}

/// This thread's number.
pub fn thread_id() -> Pid {
    plain(nr::GETTID, 0, 0, 0).unwrap_or(0) as Pid
}

/// Sends a signal to a process, this group (0), everybody (-1) or the group `-pid`; 0 only checks.
///
/// # Errors
/// `ESRCH`, `EPERM`, `EINVAL`.
pub fn kill(pid: Pid, signal: i32) -> Result<()> {
    plain(nr::KILL, pid as isize, signal as isize, 0).map(drop)
}

/// Puts a process (0: this one) into a group (0: its own).
///
/// # Errors
/// `ESRCH`, `EPERM`, `EACCES`, `EINVAL`.
pub fn set_group(pid: Pid, group: Pid) -> Result<()> {
    plain(nr::SETPGID, pid as isize, group as isize, 0).map(drop)
}

/// The group of a process (0: this one).
///
/// # Errors
/// `ESRCH`.
pub fn group(pid: Pid) -> Result<Pid> {
    plain(nr::GETPGID, pid as isize, 0, 0).map(|group| group as Pid)
}

/// Makes a new session, led by this process, without terminal.
///
/// # Errors
/// `EPERM` if it leads a group.
pub fn new_session() -> Result<Pid> {
    plain(nr::SETSID, 0, 0, 0).map(|session| session as Pid)
}

/// Lets others run.
pub fn yield_now() {
    let _ = plain(nr::SCHED_YIELD, 0, 0, 0);
}
