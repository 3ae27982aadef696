//! `cargo xtask test`: host tests, model-checked tests, tests on the target; one closing line with the sum.

mod checks;
mod commands;
mod host;
mod report;
mod session;
mod target;

use std::process::ExitCode;

use anyhow::Result;
use halyard_hil::verdict::{Case, Verdict};

use crate::cli::TestArgs;
use crate::setup::Consent;
use crate::ui::Ui;
use crate::workspace::Workspace;

use report::Report;

/// Runs what was asked for. A part that cannot be run counts as a failed test, so that the closing line is always there
/// and never says more than was seen.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &TestArgs,
) -> Result<ExitCode> {
    let mut report = Report::default();
    let filter = args.filter.as_deref();
    if !args.target {
        part(ui, &mut report, "host tests", |report| {
            host::unit(workspace, ui, report, filter)
        });
        part(ui, &mut report, "model-checked tests", |report| {
            host::loom(workspace, ui, report, filter)
        });
    }
    if !args.host {
        part(ui, &mut report, "target tests", |report| {
            target::run(workspace, ui, consent, report, args)
        });
    }
    Ok(report.close())
}

/// Runs one part; its own failure is a failed case.
fn part(ui: &Ui, report: &mut Report, name: &str, run: impl FnOnce(&mut Report) -> Result<()>) {
    report.heading(name);
    if let Err(error) = run(report) {
        ui.error(&error);
        report.case(&Case::new(name, Verdict::Infra(error.to_string())));
    }
}
