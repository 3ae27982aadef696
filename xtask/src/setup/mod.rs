//! Gets what building, running and testing need, with consent.
//!
//! [`needs`] knows what is needed and looks whether it is there, changing nothing; [`apt`] gets Debian packages;
//! [`root`] becomes root for it; [`sources`] reads where apt gets them from; [`debian`] fetches another kernel to compare
//! with, for which nobody is asked as it changes nothing; so does [`firmware`] with what starts the boards. A verb calls [`ensure`] with the needs it has.

mod apt;
mod debian;
mod firmware;
mod needs;
mod private_apt;
mod root;
mod sources;

use std::env;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::toolchain::{self, Toolchain};
use crate::ui::Ui;
use crate::workspace::Workspace;

pub(crate) use debian::kernel as debian_kernel;
pub(crate) use firmware::{copyright, fetch as fetch_firmware};
pub(crate) use needs::{C_COMPILER, DEBUGGER, Need, PYTHON, State};
pub(crate) use private_apt::{Kind, PrivateApt};

/// Whether what is missing may be installed without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Consent {
    given: bool,
}

impl Consent {
    /// Given by `--yes`, or by `CI=true` in the environment.
    pub(crate) fn new(yes: bool) -> Self {
        Self {
            given: yes || env::var("CI").is_ok_and(|value| value == "true" || value == "1"),
        }
    }

    /// Whether it was given without asking.
    pub(crate) fn is_given(self) -> bool {
        self.given
    }

    /// Whether it was given, or is now. Error: nobody is there to ask.
    fn obtain(self, ui: &Ui, commands: &[String]) -> Result<bool> {
        if self.given {
            return Ok(true);
        }
        let list = commands
            .iter()
            .map(|command| format!("    {command}\n"))
            .collect::<String>();
        if !ui.can_ask() {
            bail!(
                "something is missing, and nobody is at the terminal to say whether it may be installed\n  \
                 run again with --yes, or run these as root:\n{list}"
            );
        }
        eprint!("These commands would be run as root:\n{list}Run them now? [y/N] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "j" | "ja"))
    }
}

/// `cargo xtask setup`: everything that any verb needs.
pub(crate) fn verb(workspace: &Workspace, ui: &Ui, consent: Consent) -> Result<ExitCode> {
    let needs = [
        Need::Core,
        Need::Linker,
        Need::Qemu,
        Need::CCompiler,
        Need::Clippy,
    ];
    ensure(workspace, ui, consent, &needs)?;
    let missing = missing(workspace, &needs);
    if let Some((need, why)) = missing.first() {
        bail!(
            "{need} is still missing: {why}\n  it comes by: {}",
            mend(*need)
        );
    }
    if let Err(error) = debian_kernel(workspace, ui) {
        ui.warn(&format!("tests on Linux will be skipped: {error:#}"));
    }
    if let Err(error) = crate::image::fetch_all(workspace, ui) {
        ui.warn(&format!("`image` and `flash` will want it: {error:#}"));
    }
    println!("Everything is there. Next: cargo xtask run");
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that all of `needs` is there. Error: something that cannot be done without is still missing; the
/// message says how to get it. What can be done without is left out by the one who needs it, with a word about it.
pub(crate) fn ensure(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    needs: &[Need],
) -> Result<()> {
    if needs.contains(&Need::Core) && env::var_os(toolchain::OVERRIDE).is_some() {
        // A compiler that was named and is none is not mended by installing another one.
        Toolchain::find()?;
    }
    let missing = missing(workspace, needs);
    if missing.is_empty() {
        return Ok(());
    }
    for (need, why) in &missing {
        ui.note(&format!("{need} is missing: {why}"));
    }
    let wanted: Vec<Need> = missing.iter().map(|(need, _)| *need).collect();
    let dispensable = wanted.iter().all(|need| need.optional());
    if dispensable && !consent.given && !ui.can_ask() {
        return Ok(());
    }
    match apt::install(workspace, ui, consent, &wanted) {
        Err(error) if dispensable => ui.warn(&format!("going on without: {error:#}")),
        other => other?,
    }
    Toolchain::forget();
    let still: Vec<String> = self::missing(workspace, needs)
        .into_iter()
        .filter(|(need, _)| !need.optional())
        .map(|(need, why)| format!("{need}: {why}"))
        .collect();
    if still.is_empty() {
        return Ok(());
    }
    bail!(
        "still missing after the installation:\n  {}\n  `cargo xtask doctor` has the whole list",
        still.join("\n  ")
    );
}

/// Which of `needs` are not there, and why not.
fn missing(workspace: &Workspace, needs: &[Need]) -> Vec<(Need, String)> {
    let states = needs.iter().map(|&need| (need, need.look(workspace)));
    states
        .filter_map(|(need, state)| match state {
            State::Present(_) => None,
            State::Missing(why) => Some((need, why)),
        })
        .collect()
}

/// How something missing would be got, in words.
pub(crate) fn mend(need: Need) -> String {
    apt::mend(need)
}
