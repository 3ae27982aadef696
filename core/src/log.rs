//! What the kernel logs, and from which level on.
//!
//! Here an event is a plain value: what happened, with its numbers. How it gets out is the machine's
//! ([`Machine::log`](crate::machine::Machine::log)); on hardware
//! it becomes a defmt record (docs/logging.md). So nothing here depends on a logger, and a test sees the events themselves.
//!
//! The level is one for the process, as the counters are: the machine's own log points ask it before there is a kernel. With the
//! level below a point's, the point costs one load and one branch. Not for paths that are taken often all the same.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::kernel::Kernel;
use crate::machine::{Shutdown, UserAddr};
use crate::process::Pid;

/// How much a message matters; what is not above the level that is set is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing is logged.
    Off,
    /// Something is lost.
    Error,
    /// Something is wrong.
    Warn,
    /// What a person would like to read of a boot.
    Info,
    /// What helps to find a fault.
    Debug,
    /// All there is.
    Trace,
}

impl Level {
    /// The levels by their names, in rising order.
    const NAMES: [(Level, &str); 6] = [
        (Level::Off, "off"),
        (Level::Error, "error"),
        (Level::Warn, "warn"),
        (Level::Info, "info"),
        (Level::Debug, "debug"),
        (Level::Trace, "trace"),
    ];

    /// The level of that name.
    #[cold]
    #[inline(never)]
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Level> {
        let mut names = Level::NAMES.iter();
        names
            .find(|(_, own)| own.as_bytes() == name)
            .map(|(level, _)| *level)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut names = Level::NAMES.iter();
        names
            .find(|(level, _)| *level == self)
            .map_or("", |(_, name)| *name)
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Off as u8);

/// Whether what has this level is logged.
#[inline(always)]
#[must_use]
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Logs from now on what is not above `level`.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// From which level on is logged.
#[must_use]
pub fn level() -> Level {
    let set = LEVEL.load(Ordering::Relaxed);
    let mut names = Level::NAMES.iter();
    names
        .find(|(level, _)| *level as u8 == set)
        .map_or(Level::Off, |(level, _)| *level)
}

/// Takes the level from the kernel's words of the command line: `log=LEVEL`, the last one counts. An unknown level is passed over.
pub fn set_from(command_line: &str) {
    let words = command_line.split_ascii_whitespace();
    let words = words.take_while(|&word| word != "--");
    let named = words.filter_map(|word| Level::of(word.strip_prefix("log=")?.as_bytes()));
    if let Some(level) = named.last() {
        set_level(level);
    }
}

/// Something that happened in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The first files are there: bytes of the archive.
    Unpacked {
        /// Its length.
        bytes: usize,
    },
    /// Process 1 begins.
    Init {
        /// Bytes of RAM that are free.
        free: usize,
    },
    /// A process dies by a fault of one of its instructions.
    Fault {
        /// Which.
        pid: Pid,
        /// Its name, as text.
        name: &'a str,
        /// The signal's number (signal(7)).
        signal: u8,
        /// What the instruction touched, or where it was.
        address: UserAddr,
        /// Where the program was.
        pc: u64,
    },
    /// Memory is out and a process is ended for it.
    Shortage {
        /// Which.
        pid: Pid,
        /// Its name, as text.
        name: &'a str,
        /// What comes back with it, KiB.
        kibibytes: usize,
    },
    /// The machine ends.
    Shutdown(Shutdown),
}

impl Event<'_> {
    /// How much it matters.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Event::Shortage { .. } => Level::Error,
            Event::Fault { .. } => Level::Warn,
            Event::Unpacked { .. } | Event::Init { .. } | Event::Shutdown(_) => Level::Info,
        }
    }
}

impl Kernel {
    /// Logs an event if its level is set; says whether it was.
    pub fn log(&self, event: Event<'_>) -> bool {
        let wanted = enabled(event.level());
        if wanted {
            self.machine.log(&event);
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_both_ways_in_rising_order() {
        for (level, name) in Level::NAMES {
            assert_eq!(Level::of(name.as_bytes()), Some(level));
            assert_eq!(level.name(), name);
        }
        assert!(Level::NAMES.is_sorted_by_key(|(level, _)| *level));
        assert_eq!(Level::of(b"loud"), None);
    }

    #[test]
    fn events_that_lose_something_are_errors() {
        let event = Event::Shortage {
            pid: 1,
            name: "x",
            kibibytes: 1,
        };
        assert_eq!(event.level(), Level::Error);
    }
}
