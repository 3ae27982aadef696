//! What every rig can do: be switched on with a kernel, be read and typed at, be switched off.

use std::path::PathBuf;
use std::time::Duration;

use crate::bootargs::BootArgs;
use crate::console::Console;
use crate::verdict::Verdict;

/// What a rig is to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The flat arm64 Image.
    pub kernel: PathBuf,
    /// The initramfs, uncompressed cpio.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line.
    pub args: BootArgs,
}

/// The rig itself failed; the kernel is not to blame.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// A program could not be started.
    #[error("cannot start {program}: {source}; `cargo xtask doctor` says what is missing")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The rig started and failed at once.
    #[error("{rig} failed: {why}")]
    Failed {
        /// Which rig.
        rig: String,
        /// What it said.
        why: String,
    },
    /// The kernel could not be put on the board.
    #[error("{rig}: the kernel could not be put on the board: {why}")]
    Flash {
        /// Which rig.
        rig: String,
        /// What the program that does it said.
        why: String,
    },
}

impl RigError {
    /// What a test comes to that this kept from running.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Flash { .. } => Verdict::Flash(self.to_string()),
            Self::Start { .. } | Self::Failed { .. } => Verdict::Infra(self.to_string()),
        }
    }
}

/// A machine that can be switched on and off. Dropping a rig switches it off.
pub trait Rig {
    /// Its name, for reports.
    fn name(&self) -> &str;

    /// Switches it on; gives its console. Error: the rig is broken.
    fn power_on(&mut self, boot: &Boot) -> Result<Console, RigError>;

    /// Waits until the machine has switched itself off, at most `within`, and gives the exit code it left, if rigs of
    /// this kind carry one. `Ok(None)`: it is still on, or it left without a code. Error: the rig says it failed.
    fn wait_off(&mut self, within: Duration) -> Result<Option<i32>, RigError>;

    /// Switches it off, if it is on.
    fn power_off(&mut self);
}
