//! Runs what only root may run: as root, or through sudo.
//!
//! Another apt or dpkg at work is waited for, not failed on.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::ui::Ui;

/// How long another apt or dpkg is waited for.
const PATIENCE: Duration = Duration::from_secs(180);

/// How commands become root's.
pub(crate) enum Root {
    /// They are already.
    Already,
    /// Through sudo.
    Sudo,
}

impl Root {
    /// Finds a way. Error: there is none; the message has the command for whoever is root.
    pub(crate) fn find(packages: &str) -> Result<Self> {
        if process::ask(Path::new("id"), &["-u"]).is_some_and(|id| id.trim() == "0") {
            return Ok(Self::Already);
        }
        if process::on_path("sudo").is_some() {
            return Ok(Self::Sudo);
        }
        bail!(
            "packages are missing, and only root may install them; there is no sudo here\n  \
             as root: apt-get update && apt-get install --no-install-recommends {}",
            packages
        );
    }

    /// What stands before a command that is shown.
    pub(crate) fn prefix(&self) -> &'static str {
        match self {
            Self::Already => "",
            Self::Sudo => "sudo ",
        }
    }

    fn command(&self, program: &str) -> Command {
        match self {
            Self::Already => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.arg(program);
                command
            }
        }
    }

    /// Runs apt-get, waiting for another one to finish. Error: it failed; the message has its last words.
    pub(crate) fn apt(&self, ui: &Ui, words: &[&str], mut seen: impl FnMut(&str)) -> Result<()> {
        let started = Instant::now();
        loop {
            // env(1) and not the child's environment: sudo clears that.
            let mut command = self.command("env");
            command
                .args([
                    "DEBIAN_FRONTEND=noninteractive",
                    "LC_ALL=C",
                    "apt-get",
                    "--quiet",
                ])
                .args(words);
            let output = process::watch(ui, command, &mut seen)?;
            if output.status.success() {
                return Ok(());
            }
            let locked = output
                .lines
                .iter()
                .any(|line| line.contains("Could not get lock"));
            if !locked || started.elapsed() > PATIENCE {
                let from = output.lines.len().saturating_sub(12);
                bail!(
                    "apt-get: {}\n  {}",
                    process::ended(output.status),
                    output.lines[from..].join("\n  ")
                );
            }
            seen("another apt or dpkg is at work; waiting for it");
            sleep(Duration::from_secs(2));
        }
    }

    /// Writes a file of root's.
    pub(crate) fn write(&self, ui: &Ui, path: &Path, text: &str) -> Result<()> {
        let mut command = self.command("sh");
        command
            .args([
                "-c",
                r#"printf '%s' "$1" > "$2" && chmod 644 "$2""#,
                "sh",
                text,
            ])
            .arg(path);
        self.run(ui, command)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes a file of root's.
    pub(crate) fn remove(&self, ui: &Ui, path: &Path) -> Result<()> {
        let mut command = self.command("rm");
        command.arg("-f").arg(path);
        self.run(ui, command)
            .with_context(|| format!("cannot remove {}", path.display()))
    }

    fn run(&self, ui: &Ui, command: Command) -> Result<()> {
        let output = process::watch(ui, command, |_| {})?;
        if !output.status.success() {
            bail!(
                "{}: {}",
                process::ended(output.status),
                output.lines.join("\n")
            );
        }
        Ok(())
    }
}
