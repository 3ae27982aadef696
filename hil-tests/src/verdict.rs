//! What a test came to.

use std::fmt;

/// The outcome of one test, with the reason where there is one.
///
/// The last three tell a broken kernel from a broken bench: a kernel is only blamed for what it was given a chance to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did what it should.
    Pass,
    /// It did something else.
    Fail(String),
    /// It was not run, and says why.
    Skip(String),
    /// The rig failed before the kernel could: QEMU missing, a serial line gone.
    Infra(String),
    /// The rig ran, but the kernel could not be put on the board.
    Flash(String),
    /// The rig ran, but the kernel never reached the program under test.
    NoBoot(String),
}

impl Verdict {
    /// Whether it counts as a failure. A rig's own failure does: a test that could not be run is not a test passed.
    pub fn failed(&self) -> bool {
        !matches!(self, Self::Pass | Self::Skip(_))
    }

    /// Whether it speaks against the rig and not against the kernel.
    pub fn blames_rig(&self) -> bool {
        matches!(self, Self::Infra(_) | Self::Flash(_))
    }

    /// The reason, where there is one.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Pass => None,
            Self::Fail(why)
            | Self::Skip(why)
            | Self::Infra(why)
            | Self::Flash(why)
            | Self::NoBoot(why) => Some(why),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail(_) => "FAIL",
            Self::Skip(_) => "SKIP",
            Self::Infra(_) => "INFRA",
            Self::Flash(_) => "FLASH",
            Self::NoBoot(_) => "NOBOOT",
        })
    }
}

/// One test by name, and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// `suite::test`.
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
    /// What it had to say: diagnostics, a figure.
    pub notes: Vec<String>,
}

impl Case {
    /// A case without notes.
    pub fn new(name: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            name: name.into(),
            verdict,
            notes: Vec::new(),
        }
    }
}
