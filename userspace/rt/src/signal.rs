//! Signals: what is done on one, what is held back, sending them.
//!
//! A handler runs between any two instructions: it may only use what is safe there, which is atomics and system calls
//! (write, kill, exit), not the heap.

use crate::process::Pid;
use crate::sys::{plain, sys};
use crate::{Result, nr};

pub use crate::raw::general::{
    SA_NOCLDSTOP, SA_NOCLDWAIT, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART, SA_SIGINFO,
};

macro_rules! signals {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`")]
            pub const $name: i32 = crate::raw::general::$name as i32;
        )*

        /// The number of a signal by its name, with or without `SIG`.
        pub fn from_name(name: &str) -> Option<i32> {
            $(
                let full = stringify!($name);
                if name == full || full.strip_prefix("SIG") == Some(name) {
                    return Some($name);
                }
            )*
            None
        }

        /// The name of a signal, such as `SIGTERM`.
        pub fn name(signal: i32) -> Option<&'static str> {
            $(
                if signal == $name {
                    return Some(stringify!($name));
                }
            )*
            None
        }
    };
}

signals! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM
    SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO
    SIGPWR SIGSYS
}

/// The first real-time signal.
pub const SIGRTMIN: i32 = 32;
/// The last signal.
pub const SIGRTMAX: i32 = 64;

/// A set of signals.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Its size in bytes, as the kernel wants to be told.
    pub const SIZE: usize = 8;
    /// None.
    pub const EMPTY: Self = Self(0);
    /// All.
    pub const FULL: Self = Self(u64::MAX);

    /// The set of those signals; numbers outside 1 to 64 are passed over.
    pub fn of(signals: &[i32]) -> Self {
        let valid = signals
            .iter()
            .filter(|&&signal| (1..=SIGRTMAX).contains(&signal));
        Self(valid.fold(0, |set, signal| set | 1 << (signal - 1)))
    }

    /// Whether it holds the signal.
    pub fn contains(self, signal: i32) -> bool {
        self.0 & Self::of(&[signal]).0 != 0
    }
}

/// What is known of a signal that came (`siginfo_t`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Which.
    pub signal: i32,
    /// An error that goes with it; mostly 0.
    pub errno: i32,
    /// Where it comes from (`SI_USER`, `CLD_EXITED`, `SEGV_MAPERR`...).
    pub code: i32,
    padding: i32,
    fields: [u64; 14],
}

impl Info {
    /// One without contents.
    pub const EMPTY: Self = Self {
        signal: 0,
        errno: 0,
        code: 0,
        padding: 0,
        fields: [0; 14],
    };

    /// The sender, or the child.
    pub fn pid(&self) -> Pid {
        self.fields[0] as u32 as Pid
    }

    /// Its user.
    pub fn uid(&self) -> u32 {
        (self.fields[0] >> 32) as u32
    }

    /// The child's exit code or signal, or the value that came with a queued signal.
    pub fn status(&self) -> i32 {
        self.fields[1] as u32 as i32
    }

    /// The faulting address.
    pub fn address(&self) -> usize {
        self.fields[0] as usize
    }
}

/// What is done on a signal.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// What is usual for it.
    Default,
    /// Nothing.
    Ignore,
    /// The function is called.
    Call(extern "C" fn(i32)),
    /// The function is called, and told more ([`SA_SIGINFO`] is added).
    CallInfo(extern "C" fn(i32, &Info, &mut Context)),
}

/// The interrupted thread's registers (`ucontext_t`), up to its vector registers.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    flags: u64,
    link: u64,
    stack: [u64; 3],
    /// The mask that is set again on return.
    pub mask: SignalSet,
    unused: [u8; 120],
    reserved: u64,
    /// The faulting address.
    pub fault_address: u64,
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer.
    pub sp: u64,
    /// The program counter.
    pub pc: u64,
    /// The processor state.
    pub pstate: u64,
}

/// `struct sigaction` as the kernel has it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawAction {
    /// 0 default, 1 ignored, else the handler's address.
    pub handler: usize,
    /// `SA_*`.
    pub flags: u64,
    /// Not used on arm64: the kernel brings the code that returns from a handler.
    pub restorer: usize,
    /// Held back while the handler runs.
    pub mask: SignalSet,
}

/// Sets what is done on a signal and gives what was before.
///
/// # Errors
/// `EINVAL` for a wrong number, `SIGKILL` and `SIGSTOP`.
pub fn set(signal: i32, action: Action, flags: u32, mask: SignalSet) -> Result<RawAction> {
    let (handler, extra) = match action {
        Action::Default => (0, 0),
        Action::Ignore => (1, 0),
        Action::Call(function) => (function as usize, 0),
        Action::CallInfo(function) => (function as usize, SA_SIGINFO),
    };
    let new = RawAction {
        handler,
        flags: u64::from(flags | extra),
        restorer: 0,
        mask,
    };
    let mut old = RawAction::default();
    // SAFETY: the kernel reads and writes one structure each; the handler is a function of the right type.
    unsafe {
        sys!(
            nr::RT_SIGACTION,
            signal,
            &raw const new,
            &raw mut old,
            SignalSet::SIZE
        )
    }?;
    Ok(old)
}

/// What is done on a signal now.
///
/// # Errors
/// `EINVAL` for a wrong number.
pub fn get(signal: i32) -> Result<RawAction> {
    let mut old = RawAction::default();
    // SAFETY: the kernel writes one structure.
    unsafe { sys!(nr::RT_SIGACTION, signal, 0, &raw mut old, SignalSet::SIZE) }?;
    Ok(old)
}

/// How [`mask`] changes the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Adds.
    Block = 0,
    /// Takes away.
    Unblock = 1,
    /// Replaces.
    Set = 2,
}

/// Changes which signals this thread holds back and gives what was before. `SIGKILL` and `SIGSTOP` never are.
///
/// # Errors
/// None that a program could cause.
pub fn mask(how: How, set: SignalSet) -> Result<SignalSet> {
    let mut old = SignalSet::EMPTY;
    // SAFETY: the kernel reads and writes one set each.
    unsafe {
        sys!(
            nr::RT_SIGPROCMASK,
            how as usize,
            &raw const set,
            &raw mut old,
            SignalSet::SIZE
        )
    }?;
    Ok(old)
}

/// Which signals are waiting to be let through.
///
/// # Errors
/// None that a program could cause.
pub fn pending() -> Result<SignalSet> {
    let mut set = SignalSet::EMPTY;
    // SAFETY: the kernel writes one set.
    unsafe { sys!(nr::RT_SIGPENDING, &raw mut set, SignalSet::SIZE) }?;
    Ok(set)
}

/// Waits, with another mask, until a handler has run.
pub fn suspend(mask: SignalSet) {
    // SAFETY: the kernel reads one set.
    let _ = unsafe { sys!(nr::RT_SIGSUSPEND, &raw const mask, SignalSet::SIZE) };
}

/// Takes one of those signals, without its handler; they should be blocked. Without a time-out it waits for ever.
///
/// # Errors
/// `EAGAIN` when the time is over, `EINTR`.
pub fn wait(set: SignalSet, timeout: Option<core::time::Duration>) -> Result<Info> {
    let mut info = Info::EMPTY;
    let time = timeout.map(crate::time::timespec);
    let time = time
        .as_ref()
        .map_or(core::ptr::null(), |time| &raw const *time);
    // SAFETY: the kernel reads the set and the time, and writes the information, which is as large as `siginfo_t`.
    unsafe {
        sys!(
            nr::RT_SIGTIMEDWAIT,
            &raw const set,
            &raw mut info,
            time,
            SignalSet::SIZE
        )
    }?;
    Ok(info)
}

/// Sends a signal to one thread of this process or another.
///
/// # Errors
/// `ESRCH`, `EINVAL`, `EPERM`.
pub fn send_thread(process: Pid, thread: Pid, signal: i32) -> Result<()> {
    plain(
        nr::TGKILL,
        process as isize,
        thread as isize,
        signal as isize,
    )
    .map(drop)
}

const _: () = assert!(size_of::<Info>() == 128);
const _: () = assert!(core::mem::offset_of!(Context, fault_address) == 176);
