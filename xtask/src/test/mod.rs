//! `cargo xtask test`: host tests, model-checked tests, tests on the target; one closing line with the sum.

mod boards;
mod chainloader;
mod checks;
mod commands;
mod devices;
mod hil;
mod host;
pub(crate) mod linux;
mod log;
mod readme;
pub(crate) mod report;
pub(crate) mod session;
pub(crate) mod target;
mod trees;

use std::process::ExitCode;

use anyhow::Result;
use halyard_hil::verdict::{Case, Verdict};

use crate::cli::{Kernel, TestArgs};
use crate::setup::{self, Consent};
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
    let all = !args.host && !args.target && !args.boards && args.on.is_none();
    let everything = all && filter.is_none();
    let kernel =
        (everything || args.on == Some(Kernel::Linux)).then(|| setup::debian_kernel(workspace, ui));
    if all || args.host {
        part(ui, &mut report, "host tests", |report| {
            host::unit(workspace, ui, report, filter)
        });
        part(ui, &mut report, "model-checked tests", |report| {
            host::loom(workspace, ui, report, filter)
        });
    }
    if all || args.target || args.on == Some(Kernel::Halyard) {
        part(ui, &mut report, "target tests", |report| {
            target::run(workspace, ui, consent, report, args)
        });
    }
    if args.boards || everything {
        for board in boards::others(workspace, &args.build.board) {
            part(
                ui,
                &mut report,
                &format!("the board {}", board.0),
                |report| boards::run(workspace, ui, consent, report, board, args),
            );
        }
    }
    match kernel {
        // Without a way to Debian's mirrors everything else can be done.
        Some(Err(why)) if everything => {
            report.heading(linux::HEADING);
            report.case(&Case::new("linux", Verdict::Skip(format!("{why:#}"))));
        }
        Some(kernel) => part(ui, &mut report, linux::HEADING, |report| {
            linux::run(workspace, ui, consent, report, args, &kernel?)
        }),
        None => {}
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
