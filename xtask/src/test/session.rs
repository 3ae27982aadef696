//! A booted machine that a check talks to.

use std::time::{Duration, Instant};

use anyhow::Result;
use halyard_hil::console::{Console, Event};
use halyard_hil::qemu::Options;
use halyard_hil::rig::{Boot, Rig};
use halyard_hil::verdict::Verdict;
use halyard_wire::frame::Kind;

use super::target::Bench;

/// The longest a boot may stay silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Why a check failed, and what the console said.
pub(crate) struct Failure {
    /// Whom it speaks against.
    pub(crate) verdict: Verdict,
    /// The console's last lines.
    pub(crate) console: Vec<String>,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self {
            verdict: Verdict::Fail(why),
            console: Vec::new(),
        }
    }
}

/// A booted machine and its console.
pub(crate) struct Session {
    rig: Box<dyn Rig>,
    console: Console,
    patience: Duration,
}

impl Session {
    /// Boots. Error: the rig is broken.
    pub(crate) fn start(bench: &Bench<'_>, options: Options, boot: &Boot) -> Result<Self, Failure> {
        let mut rig: Box<dyn Rig> = Box::new(bench.rig(options));
        let console = rig.power_on(boot).map_err(|error| Failure {
            verdict: Verdict::Infra(error.to_string()),
            console: Vec::new(),
        })?;
        Ok(Self {
            rig,
            console,
            patience: SILENCE,
        })
    }

    /// A machine that runs already.
    pub(crate) fn over(rig: Box<dyn Rig>, console: Console) -> Self {
        Self {
            rig,
            console,
            patience: SILENCE,
        }
    }

    /// Waits longer, or less long, for what comes from now on.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Waits for a text.
    pub(crate) fn expect(&mut self, text: &str) -> Result<(), Failure> {
        let waited = self
            .console
            .wait_for(text, self.patience, Instant::now() + self.patience);
        waited.map_err(|event| self.fail(&format!("{event:?} instead of '{}'", text.trim())))
    }

    /// Waits for a line.
    pub(crate) fn line(&mut self) -> Result<String, Failure> {
        match self
            .console
            .line(self.patience, Instant::now() + self.patience)
        {
            Event::Line(line) => Ok(line),
            event => Err(self.fail(&format!("{event:?} instead of a line"))),
        }
    }

    /// The frames that came.
    pub(crate) fn frames(&self) -> &[(Kind, Vec<u8>)] {
        self.console.frames()
    }

    /// Types a text.
    pub(crate) fn send(&mut self, text: &str) -> Result<(), Failure> {
        self.console
            .send(text)
            .map_err(|error| self.fail(&format!("the console takes no input: {error}")))
    }

    /// Waits for the machine to go off with that exit code.
    pub(crate) fn leave(&mut self, code: i32) -> Result<(), Failure> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.console.line(self.patience, deadline) {
                Event::Line(_) => {}
                Event::Closed => break,
                event => return Err(self.fail(&format!("{event:?} instead of going off"))),
            }
        }
        match self.rig.wait_off(Duration::from_secs(5)) {
            Ok(Some(left)) if left == code => Ok(()),
            Ok(left) => Err(self.fail(&format!("exit code {left:?} instead of {code}"))),
            Err(error) => Err(Failure {
                verdict: Verdict::Infra(error.to_string()),
                console: self.console.tail(25),
            }),
        }
    }

    /// A failure with what the console said last.
    pub(crate) fn fail(&self, why: &str) -> Failure {
        let console = self.console.tail(25);
        let verdict = if console.is_empty() {
            Verdict::NoBoot(why.into())
        } else {
            Verdict::Fail(why.into())
        };
        Failure { verdict, console }
    }
}
