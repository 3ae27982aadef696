//! The target's suites on Debian's Linux: the judge of what they expect. Then random programs, whose traces on both
//! kernels must be the same.
//!
//! The very same initramfs is booted. Its `init` mounts what Linux leaves to it and switches the machine off in the end; an
//! exit code does not come out of it, so only what a suite prints counts.

use std::path::Path;

use anyhow::Result;
use halyard_hil::board::{ExitMethod, QemuBoard};
use halyard_hil::qemu::Options;

use super::report::Report;
use super::target::{self, Bench};
use crate::build;
use crate::cli::TestArgs;
use crate::differ::{self, Pair, Task};
use crate::run;
use crate::setup::{Consent, Need};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// What the part is called.
pub(crate) const HEADING: &str = "the target's tests on Linux";

/// Without it a process 1 that dies would leave the machine on.
pub(crate) const WORDS: [&str; 2] = ["quiet", "panic=-1"];

/// The machine for Linux: the board's, without a way out for exit codes.
pub(crate) fn machine(board: &QemuBoard) -> QemuBoard {
    QemuBoard {
        exit: ExitMethod::None,
        ..board.clone()
    }
}

/// Runs every suite on `kernel`, and compares.
pub(crate) fn run(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    report: &mut Report,
    args: &TestArgs,
    kernel: &Path,
) -> Result<()> {
    let board = machine(run::qemu_board(workspace, &args.build.board)?);
    let products = build::build(workspace, ui, consent, &args.build, &[Need::Qemu])?;
    let bench = Bench {
        name: "linux",
        board: &board,
        kernel,
        products: &products,
        options: Options {
            cpus: args.smp,
            ..Options::default()
        },
    };
    let filter = args.filter.as_deref();
    for name in &products.suites {
        target::one_suite(ui, &bench, report, name, &WORDS, filter);
    }
    if filter.is_none_or(|filter| "differ".contains(filter)) {
        let own = run::qemu_board(workspace, &args.build.board)?;
        let pair = Pair::new(&products, kernel, own, &board, &bench.options);
        let task = Task {
            seed: 1,
            programs: differ::SOME,
            families: Vec::new(),
        };
        differ::compare(ui, &pair, report, &task)?;
    }
    Ok(())
}
