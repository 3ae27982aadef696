//! Signal numbers, sets of them, and what each does where the program has not said otherwise (signal(7), the arm64
//! column). Owns nothing.

use core::fmt;

use crate::{Errno, Result};

/// A signal: 1 to 31 are the standard ones, 32 to 64 the real-time ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// The greatest signal number (`_NSIG`).
pub const LAST: u8 = 64;

/// The first real-time signal as the kernel counts (`SIGRTMIN` of the system-call interface).
const FIRST_REAL_TIME: u8 = 32;

macro_rules! signals {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Signal {
            $(#[doc = $text] pub const $name: Signal = Signal($number);)*

            /// The name without SIG, such as `KILL`; None for the real-time ones.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

signals! {
    HUP = 1, "The terminal hung up.";
    INT = 2, "Interrupt from the keyboard.";
    QUIT = 3, "Quit from the keyboard.";
    ILL = 4, "Illegal instruction.";
    TRAP = 5, "Breakpoint or step.";
    ABRT = 6, "abort(3).";
    BUS = 7, "Misaligned access, or beyond the end of a mapped file.";
    FPE = 8, "Arithmetic exception.";
    KILL = 9, "Ends the process; cannot be caught, blocked or ignored.";
    USR1 = 10, "For the program's own use.";
    SEGV = 11, "Invalid memory reference.";
    USR2 = 12, "For the program's own use.";
    PIPE = 13, "Write to a pipe that nobody reads.";
    ALRM = 14, "The real-time interval timer.";
    TERM = 15, "Please end.";
    STKFLT = 16, "Without use.";
    CHLD = 17, "A child ended, stopped or went on.";
    CONT = 18, "Goes on if stopped.";
    STOP = 19, "Stops the process; cannot be caught, blocked or ignored.";
    TSTP = 20, "Stop from the keyboard.";
    TTIN = 21, "Read from the terminal in the background.";
    TTOU = 22, "Write to the terminal in the background.";
    URG = 23, "Urgent data on a socket.";
    XCPU = 24, "CPU time limit exceeded.";
    XFSZ = 25, "File size limit exceeded.";
    VTALRM = 26, "The virtual interval timer.";
    PROF = 27, "The profiling interval timer.";
    WINCH = 28, "The terminal's size changed.";
    IO = 29, "I/O is possible.";
    PWR = 30, "Power failure.";
    SYS = 31, "Bad system call.";
}

/// What a signal does to a process that has set nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends; Linux would write a core file, Halyard writes none.
    Core,
    /// Nothing.
    Ignore,
    /// The process stops.
    Stop,
    /// The process goes on if it is stopped.
    Continue,
}

impl Signal {
    /// The signal of that number. EINVAL: there is none.
    pub const fn from_number(number: i32) -> Result<Signal> {
        if number >= 1 && number <= LAST as i32 {
            Ok(Signal(number as u8))
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Its number.
    #[inline]
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its place in a table of 64.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0 as usize).wrapping_sub(1) & 63
    }

    /// The set of it alone.
    #[inline]
    #[must_use]
    pub const fn set(self) -> SignalSet {
        SignalSet(1 << self.index())
    }

    /// Whether it queues: each one sent is delivered, in order.
    #[inline]
    #[must_use]
    pub const fn is_real_time(self) -> bool {
        self.0 >= FIRST_REAL_TIME
    }

    /// What it does by default.
    #[must_use]
    pub const fn default_action(self) -> DefaultAction {
        match self {
            Signal::CHLD | Signal::URG | Signal::WINCH => DefaultAction::Ignore,
            Signal::STOP | Signal::TSTP | Signal::TTIN | Signal::TTOU => DefaultAction::Stop,
            Signal::CONT => DefaultAction::Continue,
            Signal::QUIT
            | Signal::ILL
            | Signal::TRAP
            | Signal::ABRT
            | Signal::BUS
            | Signal::FPE
            | Signal::SEGV
            | Signal::XCPU
            | Signal::XFSZ
            | Signal::SYS => DefaultAction::Core,
            _ => DefaultAction::Terminate,
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// A set of signals, as a program's `sigset_t`: bit n - 1 stands for signal n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// None.
    pub const EMPTY: SignalSet = SignalSet(0);
    /// The two that cannot be caught, blocked or ignored.
    pub const UNBLOCKABLE: SignalSet = Signal::KILL.set().union(Signal::STOP.set());
    /// Those that stop by default.
    pub const STOPS: SignalSet = Signal::STOP
        .set()
        .union(Signal::TSTP.set())
        .union(Signal::TTIN.set())
        .union(Signal::TTOU.set());
    /// Those that a faulting instruction causes: delivered before any other, so that the frame is of that instruction.
    pub const SYNCHRONOUS: SignalSet = Signal::SEGV
        .set()
        .union(Signal::BUS.set())
        .union(Signal::ILL.set())
        .union(Signal::TRAP.set())
        .union(Signal::FPE.set())
        .union(Signal::SYS.set());

    /// Whether it is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `signal` is in it.
    #[inline]
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & signal.set().0 != 0
    }

    /// What is in either.
    #[inline]
    #[must_use]
    pub const fn union(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 | other.0)
    }

    /// What is in both.
    #[inline]
    #[must_use]
    pub const fn intersection(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & other.0)
    }

    /// What is in it and not in `other`.
    #[inline]
    #[must_use]
    pub const fn minus(self, other: SignalSet) -> SignalSet {
        SignalSet(self.0 & !other.0)
    }

    /// The one that is to be delivered first: a synchronous one, else the lowest.
    #[inline]
    #[must_use]
    pub const fn first(self) -> Option<Signal> {
        let synchronous = self.intersection(SignalSet::SYNCHRONOUS);
        let from = if synchronous.is_empty() {
            self.0
        } else {
            synchronous.0
        };
        if from == 0 {
            None
        } else {
            Some(Signal(from.trailing_zeros() as u8 + 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_outside_one_to_64_is_einval() {
        for bad in [i32::MIN, -1, 0, 65, 256 + 9, i32::MAX] {
            assert_eq!(Signal::from_number(bad), Err(Errno::EINVAL), "{bad}");
        }
        assert_eq!(Signal::from_number(64).map(Signal::number), Ok(64));
    }

    #[test]
    fn numbers_are_those_of_arm64() {
        let arm64 = [
            (10, Signal::USR1),
            (11, Signal::SEGV),
            (12, Signal::USR2),
            (16, Signal::STKFLT),
        ];
        let more = [
            (17, Signal::CHLD),
            (18, Signal::CONT),
            (19, Signal::STOP),
            (31, Signal::SYS),
        ];
        for (number, signal) in arm64.into_iter().chain(more) {
            assert_eq!(Signal::from_number(number), Ok(signal));
        }
    }

    #[test]
    fn default_actions_are_those_of_the_manual() {
        let with = |action| {
            (1..=64).filter(move |n| Signal::from_number(*n).unwrap().default_action() == action)
        };
        assert!(with(DefaultAction::Ignore).eq([17, 23, 28]));
        assert!(with(DefaultAction::Stop).eq([19, 20, 21, 22]));
        assert!(with(DefaultAction::Continue).eq([18]));
        assert!(with(DefaultAction::Core).eq([3, 4, 5, 6, 7, 8, 11, 24, 25, 31]));
        assert_eq!(with(DefaultAction::Terminate).count(), 64 - 3 - 4 - 1 - 10);
    }

    #[test]
    fn first_of_a_set_is_the_synchronous_then_the_lowest() {
        let set = |numbers: &[i32]| {
            numbers.iter().fold(SignalSet::EMPTY, |set, n| {
                set.union(Signal::from_number(*n).unwrap().set())
            })
        };
        assert_eq!(set(&[]).first(), None);
        assert_eq!(set(&[64, 34, 10]).first(), Some(Signal::USR1));
        assert_eq!(set(&[1, 2, 11]).first(), Some(Signal::SEGV));
        assert_eq!(set(&[64]).first().map(Signal::number), Some(64));
    }
}
