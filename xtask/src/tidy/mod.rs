//! `cargo xtask tidy`: the rules of the house that no compiler keeps.
//!
//! [`rooms`] says which directory is which room and who may use whom; [`source`] reads every Rust file; [`rules`] sees that
//! every rule of IPC has its test; [`bsp`] that boards stay thin; [`lint`] runs rustfmt and clippy, for the host and for the target.

mod bsp;
mod lint;
mod rooms;
mod rules;
mod source;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use console::style;

use crate::setup::Consent;
use crate::ui::Ui;
use crate::workspace::Workspace;

/// Something that is against the rules, or near it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file, relative to the workspace.
    file: PathBuf,
    /// The line, from 1; 0 for the whole file.
    line: usize,
    /// What and why.
    text: String,
    /// Whether it fails the run; advice does not.
    grave: bool,
}

impl Finding {
    fn new(file: impl Into<PathBuf>, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line,
            text: text.into(),
            grave: true,
        }
    }

    fn advice(file: impl Into<PathBuf>, line: usize, text: impl Into<String>) -> Self {
        Self {
            grave: false,
            ..Self::new(file, line, text)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Checks everything; the exit code is 1 if something is against the rules.
pub(crate) fn verb(workspace: &Workspace, ui: &Ui, consent: Consent) -> Result<ExitCode> {
    let step = ui.step("reading the sources");
    let mut findings = rooms::check(workspace);
    findings.extend(source::check(workspace)?);
    findings.extend(rules::check(workspace));
    findings.extend(bsp::check(workspace)?);
    step.done();
    for finding in &findings {
        let mark = if finding.grave {
            style("error").red()
        } else {
            style("advice").yellow()
        };
        println!("{mark}: {finding}");
    }
    let grave = findings.iter().filter(|finding| finding.grave).count();
    let mut failed = Vec::new();
    if grave > 0 {
        failed.push(format!("{grave} findings in the sources"));
    }
    failed.extend(lint::run(workspace, ui, consent)?);
    if failed.is_empty() {
        println!(
            "tidy: {} pieces of advice, nothing against the rules",
            findings.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {}", failed.join("; "));
    Ok(ExitCode::FAILURE)
}
