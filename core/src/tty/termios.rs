//! A terminal's settings (termios(3)); layout and values of asm-generic/termbits.h.

use crate::time::NANOS_PER_SECOND;
use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags! {
    /// Input settings that have an effect.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Input: u32 {
        /// The eighth bit of what is typed is taken off.
        const ISTRIP = 0o40;
        /// A newline typed becomes a carriage return.
        const INLCR = 0o100;
        /// A carriage return typed is dropped.
        const IGNCR = 0o200;
        /// A carriage return typed becomes a newline.
        const ICRNL = 0o400;
        /// What no longer fits rings the bell.
        const IMAXBEL = 0o20_000;
        /// What is typed is UTF-8: erase takes whole characters.
        const IUTF8 = 0o40_000;
    }

    /// Local settings that have an effect.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Local: u32 {
        /// Special characters send signals.
        const ISIG = 0o1;
        /// Line by line, with editing.
        const ICANON = 0o2;
        /// Show what is typed.
        const ECHO = 0o10;
        /// Erase shows a blank.
        const ECHOE = 0o20;
        /// Kill starts a new line.
        const ECHOK = 0o40;
        /// A newline is shown even without ECHO.
        const ECHONL = 0o100;
        /// Signals do not flush.
        const NOFLSH = 0o200;
        /// Background writes are stopped.
        const TOSTOP = 0o400;
        /// Control characters are shown as ^X.
        const ECHOCTL = 0o1000;
        /// Kill erases what is shown.
        const ECHOKE = 0o4000;
        /// More editing: word erase, literal next.
        const IEXTEN = 0o100_000;
    }
}

/// Post-process output.
const OPOST: u32 = 1;
/// A newline is shown as carriage return and newline.
const ONLCR: u32 = 4;

/// Places of special characters in `c_cc`.
pub mod cc {
    /// Interrupt: SIGINT.
    pub const VINTR: usize = 0;
    /// Quit: SIGQUIT.
    pub const VQUIT: usize = 1;
    /// Erase a character.
    pub const VERASE: usize = 2;
    /// Erase the line.
    pub const VKILL: usize = 3;
    /// End of file.
    pub const VEOF: usize = 4;
    /// Deciseconds that a raw read waits.
    pub const VTIME: usize = 5;
    /// Bytes that a raw read waits for.
    pub const VMIN: usize = 6;
    /// Suspend: SIGTSTP.
    pub const VSUSP: usize = 10;
    /// Another end of line.
    pub const VEOL: usize = 11;
    /// Erase a word.
    pub const VWERASE: usize = 14;
    /// The next character is taken as it is.
    pub const VLNEXT: usize = 15;
    /// Yet another end of line.
    pub const VEOL2: usize = 16;
}

/// `struct termios` of the kernel: 36 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Termios {
    /// Input settings.
    pub c_iflag: u32,
    /// Output settings.
    pub c_oflag: u32,
    /// Line settings: kept, without effect.
    pub c_cflag: u32,
    /// Local settings.
    pub c_lflag: u32,
    /// Line discipline: 0.
    pub c_line: u8,
    /// Special characters.
    pub c_cc: [u8; 19],
}

impl Default for Termios {
    /// As a terminal is after boot: canonical, with echo.
    fn default() -> Termios {
        let mut c_cc = [0; 19];
        let characters = [
            (cc::VINTR, 3),
            (cc::VQUIT, 0x1c),
            (cc::VERASE, 0x7f),
            (cc::VKILL, 0x15),
            (cc::VEOF, 4),
            (cc::VMIN, 1),
            (cc::VSUSP, 0x1a),
            (cc::VWERASE, 0x17),
            (cc::VLNEXT, 0x16),
        ];
        for (place, character) in characters {
            c_cc[place] = character;
        }
        let local = Local::ISIG | Local::ICANON | Local::ECHO | Local::ECHOE | Local::ECHOK;
        let local = local | Local::ECHOCTL | Local::ECHOKE | Local::IEXTEN;
        Termios {
            c_iflag: Input::ICRNL.union(Input::IUTF8).bits(),
            c_oflag: OPOST | ONLCR,
            // 38400 baud, eight bits, receiver on.
            c_cflag: 0o17 | 0o60 | 0o200,
            c_lflag: local.bits(),
            c_line: 0,
            c_cc,
        }
    }
}

impl Termios {
    /// Input settings.
    #[must_use]
    pub const fn input(&self) -> Input {
        Input::from_bits_truncate(self.c_iflag)
    }

    /// Local settings.
    #[must_use]
    pub const fn local(&self) -> Local {
        Local::from_bits_truncate(self.c_lflag)
    }

    /// Whether a newline is shown with a carriage return.
    #[must_use]
    pub const fn adds_returns(&self) -> bool {
        self.c_oflag & (OPOST | ONLCR) == OPOST | ONLCR
    }

    /// Whether `byte` is the special character at `place` of `c_cc` (0 there switches it off).
    #[must_use]
    pub fn is(&self, place: usize, byte: u8) -> bool {
        byte != 0 && self.c_cc.get(place) == Some(&byte)
    }

    /// How many bytes a raw read waits for.
    #[must_use]
    pub fn minimum(&self) -> usize {
        self.c_cc
            .get(cc::VMIN)
            .map_or(1, |minimum| usize::from(*minimum))
    }

    /// How long a raw read waits for more (VTIME, tenths of a second), in nanoseconds; 0: VTIME is not set.
    #[must_use]
    pub fn patience(&self) -> u64 {
        self.c_cc
            .get(cc::VTIME)
            .map_or(0, |tenths| u64::from(*tenths) * (NANOS_PER_SECOND / 10))
    }
}
