//! Timers: behind a descriptor (`timerfd`), and those that send a signal (`timer_create`); and signals behind a descriptor
//! (`signalfd`).

use core::time::Duration;

use crate::fd::{AsFd, Fd, opened};
use crate::process::Pid;
use crate::signal::SignalSet;
use crate::sys::{plain, sys};
use crate::time::{Timespec, timespec};
use crate::{Errno, Result, io, nr};

pub use crate::raw::general::{
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME,
    CLOCK_THREAD_CPUTIME_ID, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD_ID, TFD_CLOEXEC, TFD_NONBLOCK,
    TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET, TIMER_ABSTIME,
};

/// What a timer is set to (`struct itimerspec`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    interval: Timespec,
    value: Timespec,
}

impl Setting {
    /// The first expiry, or with `*_ABSTIME` when it is, and the time between later ones; zero: none.
    pub fn new(value: Duration, interval: Duration) -> Self {
        Self {
            interval: timespec(interval),
            value: timespec(value),
        }
    }

    /// One that expires once.
    pub fn once(value: Duration) -> Self {
        Self::new(value, Duration::ZERO)
    }

    /// Off.
    pub fn off() -> Self {
        Self::once(Duration::ZERO)
    }

    /// Until the next expiry; zero: off.
    pub fn left(&self) -> Duration {
        crate::time::duration(self.value)
    }

    /// Between expiries; zero: it expires once.
    pub fn interval(&self) -> Duration {
        crate::time::duration(self.interval)
    }
}

/// A timer behind a descriptor, by one of the clocks `CLOCK_*`. Flags: `TFD_CLOEXEC`, `TFD_NONBLOCK`.
///
/// # Errors
/// `EINVAL`, `EMFILE`, `ENFILE`, `ENOMEM`, `EPERM`.
pub fn timerfd(clock: u32, flags: u32) -> Result<Fd> {
    opened(plain(nr::TIMERFD_CREATE, clock as isize, flags as isize, 0))
}

/// Sets it and gives what it was set to. Flags: `TFD_TIMER_*`.
///
/// # Errors
/// `EINVAL`, `EBADF`.
pub fn set(timer: impl AsFd, flags: u32, to: Setting) -> Result<Setting> {
    let mut old = Setting::off();
    // SAFETY: the kernel reads and writes one setting each.
    unsafe {
        sys!(
            nr::TIMERFD_SETTIME,
            timer.fd(),
            flags,
            &raw const to,
            &raw mut old
        )
    }?;
    Ok(old)
}

/// What it is set to.
///
/// # Errors
/// `EINVAL`, `EBADF`.
pub fn get(timer: impl AsFd) -> Result<Setting> {
    let mut now = Setting::off();
    // SAFETY: the kernel writes one setting.
    unsafe { sys!(nr::TIMERFD_GETTIME, timer.fd(), &raw mut now) }?;
    Ok(now)
}

/// How often it has expired since this was last asked; waits until it has.
///
/// # Errors
/// `EAGAIN`, `EINTR`, `ECANCELED`.
pub fn take(timer: impl AsFd) -> Result<u64> {
    let mut bytes = [0; 8];
    io::read(timer, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Whom a timer of this process tells (`struct sigevent`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Comes with the signal.
    pub value: u64,
    /// Which signal.
    pub signal: i32,
    /// `SIGEV_*`.
    pub notify: i32,
    /// For `SIGEV_THREAD_ID`.
    pub thread: Pid,
    pad: [u32; 11],
}

impl Event {
    /// A signal to the process.
    pub fn signal(signal: i32, value: u64) -> Self {
        Self {
            value,
            signal,
            notify: SIGEV_SIGNAL as i32,
            thread: 0,
            pad: [0; 11],
        }
    }

    /// Nobody.
    pub fn nobody() -> Self {
        Self {
            notify: SIGEV_NONE as i32,
            ..Self::signal(0, 0)
        }
    }

    /// A signal to one thread.
    pub fn thread(thread: Pid, signal: i32, value: u64) -> Self {
        Self {
            notify: SIGEV_THREAD_ID as i32,
            thread,
            ..Self::signal(signal, value)
        }
    }
}

/// A timer of this process that tells somebody. It is deleted when its owner goes.
#[derive(Debug)]
pub struct Timer(i32);

impl Timer {
    /// One that is off. Without an event it sends `SIGALRM`.
    ///
    /// # Errors
    /// `EINVAL`, `EAGAIN`, `EOPNOTSUPP`.
    pub fn new(clock: u32, event: Option<Event>) -> Result<Self> {
        let mut id = -1i32;
        let event = event
            .as_ref()
            .map_or(core::ptr::null(), |event| &raw const *event);
        // SAFETY: the kernel reads one event and writes one number.
        unsafe { sys!(nr::TIMER_CREATE, clock, event, &raw mut id) }?;
        Ok(Self(id))
    }

    /// Its number.
    pub fn id(&self) -> i32 {
        self.0
    }

    /// Sets it and gives what it was set to. Flags: `TIMER_ABSTIME`.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn set(&self, flags: u32, to: Setting) -> Result<Setting> {
        let mut old = Setting::off();
        // SAFETY: the kernel reads and writes one setting each.
        unsafe {
            sys!(
                nr::TIMER_SETTIME,
                self.0,
                flags,
                &raw const to,
                &raw mut old
            )
        }?;
        Ok(old)
    }

    /// What it is set to.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn get(&self) -> Result<Setting> {
        let mut now = Setting::off();
        // SAFETY: the kernel writes one setting.
        unsafe { sys!(nr::TIMER_GETTIME, self.0, &raw mut now) }?;
        Ok(now)
    }

    /// How often it expired beyond the signal that was delivered last.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn overrun(&self) -> Result<usize> {
        plain(nr::TIMER_GETOVERRUN, self.0 as isize, 0, 0)
    }

    /// Deletes it.
    ///
    /// # Errors
    /// `EINVAL`: it is not there any more.
    pub fn delete(self) -> Result<()> {
        let id = self.0;
        core::mem::forget(self);
        plain(nr::TIMER_DELETE, id as isize, 0, 0).map(drop)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _ = plain(nr::TIMER_DELETE, self.0 as isize, 0, 0);
    }
}

/// Sets a timer of `setitimer` (0 real, 1 virtual, 2 profiling), in microseconds.
///
/// # Errors
/// `EINVAL`.
pub fn set_interval(which: usize, value: Duration, interval: Duration) -> Result<()> {
    let field = |time: Duration| [time.as_secs(), u64::from(time.subsec_micros())];
    let [a, b] = field(interval);
    let [c, d] = field(value);
    let to = [a, b, c, d];
    // SAFETY: the kernel reads one `itimerval`.
    unsafe { sys!(nr::SETITIMER, which, to.as_ptr(), 0) }.map(drop)
}

/// A signal that was read (`struct signalfd_siginfo`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    /// Which.
    pub signal: u32,
    /// An error that goes with it.
    pub errno: i32,
    /// Where it comes from.
    pub code: i32,
    /// The sender, or the child.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// A descriptor.
    pub fd: i32,
    /// A timer.
    pub timer: u32,
    /// A poll event.
    pub band: u32,
    /// Expiries of the timer that no signal told.
    pub overrun: u32,
    /// A trap.
    pub trap: u32,
    /// The child's exit code or signal.
    pub status: i32,
    /// What was sent along.
    pub int: i32,
    /// The same as a pointer.
    pub pointer: u64,
    times: [u64; 2],
    /// Where a fault was.
    pub address: u64,
    rest: [u64; 6],
}

/// Signals behind a descriptor; they should be blocked. Flags: those of `open`, `O_CLOEXEC` and `O_NONBLOCK`.
///
/// # Errors
/// `EINVAL`, `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn signalfd(set: SignalSet, flags: u32) -> Result<Fd> {
    opened(signalfd_call(-1, set, flags))
}

/// Changes which signals are read by it.
///
/// # Errors
/// `EINVAL`, `EBADF`.
pub fn set_signals(fd: impl AsFd, set: SignalSet) -> Result<()> {
    signalfd_call(fd.fd(), set, 0).map(drop)
}

fn signalfd_call(fd: i32, set: SignalSet, flags: u32) -> Result<usize> {
    // SAFETY: the kernel reads one set.
    unsafe { sys!(nr::SIGNALFD4, fd, &raw const set, SignalSet::SIZE, flags) }
}

/// Takes signals, as many as there is room for; waits for one.
///
/// # Errors
/// `EAGAIN`, `EINTR`, `EINVAL`.
pub fn take_signals(fd: impl AsFd, room: &mut [Taken]) -> Result<usize> {
    // SAFETY: the kernel writes whole records into the room.
    let bytes = unsafe {
        sys!(
            nr::READ,
            fd.fd(),
            room.as_mut_ptr(),
            core::mem::size_of_val(room)
        )
    }?;
    if bytes % size_of::<Taken>() != 0 {
        return Err(Errno::EPROTO);
    }
    Ok(bytes / size_of::<Taken>())
}

const _: () = assert!(size_of::<Event>() == 64 && size_of::<Taken>() == 128);
