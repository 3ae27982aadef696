//! `cargo xtask doctor`: what is present, what is missing, how it would be got. Changes nothing.

use std::process::ExitCode;

use anyhow::Result;
use console::style;

use crate::setup::{self, Need, State};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// Prints one line a need. The exit code is 1 if something is missing that cannot be done without.
pub(crate) fn verb(workspace: &Workspace, ui: &Ui) -> Result<ExitCode> {
    let step = ui.step("looking around");
    let mut lines = Vec::new();
    let mut healthy = true;
    for need in Need::all() {
        step.progress(&need.to_string());
        match need.look(workspace) {
            State::Present(what) => {
                lines.push(format!("{} {need:16} {what}", style("present").green()))
            }
            State::Missing(why) => {
                healthy &= need.optional();
                let mark = if need.optional() {
                    style("missing").yellow()
                } else {
                    style("missing").red()
                };
                let why = why.lines().next().unwrap_or_default();
                lines.push(format!("{mark} {need:16} {why}"));
                lines.push(format!("        {:16} for: {}", "", need.purpose()));
                lines.push(format!("        {:16} by:  {}", "", setup::mend(need)));
            }
        }
    }
    step.done();
    for line in lines {
        println!("{line}");
    }
    if !healthy {
        println!(
            "\n`cargo xtask setup` gets what is missing; `cargo xtask run` and `test` do it by themselves."
        );
    }
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
