//! Tests on the target: every suite program in a freshly booted QEMU, each of its tests by name.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use halyard_hil::board::{ExitMethod, QemuBoard};
use halyard_hil::bootargs::BootArgs;
use halyard_hil::qemu::{Options, QemuRig};
use halyard_hil::rig::Boot;
use halyard_hil::suite::{self, Limits};

use super::checks;
use super::hil;
use super::report::Report;
use crate::build::{self, Products};
use crate::cli::TestArgs;
use crate::machine;
use crate::run;
use crate::setup::{Consent, Need};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// What every boot of a test needs to know.
pub(crate) struct Bench<'a> {
    /// The board's short name.
    pub(crate) name: &'a str,
    /// The machine.
    pub(crate) board: &'a QemuBoard,
    /// The kernel that is booted.
    pub(crate) kernel: &'a Path,
    /// What it is booted with.
    pub(crate) products: &'a Products,
    /// How to differ from the board's entry.
    pub(crate) options: Options,
}

impl Bench<'_> {
    /// A boot with everything, with those words for the kernel and those for init.
    pub(crate) fn boot(&self, kernel: &[&str], init: &[&str]) -> Boot {
        self.boot_with(&self.products.testing, kernel, init)
    }

    /// A boot as `cargo xtask run` does it: without what only tests run.
    pub(crate) fn ordinary_boot(&self, kernel: &[&str], init: &[&str]) -> Boot {
        self.boot_with(&self.products.initramfs, kernel, init)
    }

    /// An ordinary boot of a kernel that is not told of the emulator: it ends as it would on the board.
    pub(crate) fn boards_own_boot(&self) -> Boot {
        self.with_args(&self.products.initramfs, BootArgs::new(), &[], &[])
    }

    fn boot_with(&self, initramfs: &Path, kernel: &[&str], init: &[&str]) -> Boot {
        let mut args = BootArgs::new();
        if self.board.exit == ExitMethod::Semihosting {
            args = args.kernel("semihosting");
        }
        self.with_args(initramfs, args, kernel, init)
    }

    fn with_args(
        &self,
        initramfs: &Path,
        mut args: BootArgs,
        kernel: &[&str],
        init: &[&str],
    ) -> Boot {
        for word in &self.board.append {
            args = args.kernel(word);
        }
        for word in kernel {
            args = args.kernel(word);
        }
        Boot {
            kernel: self.kernel.to_owned(),
            initrd: Some(initramfs.to_owned()),
            args: args.init(init),
        }
    }

    /// A machine to boot on.
    pub(crate) fn rig(&self, options: Options) -> QemuRig {
        QemuRig::new(self.name, self.board, options)
    }
}

/// Builds, checks that the kernel boots within its budgets, and runs every suite.
pub(crate) fn run(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    report: &mut Report,
    args: &TestArgs,
) -> Result<()> {
    let board = run::qemu_board(workspace, &args.build.board)?;
    let products = build::build(workspace, ui, consent, &args.build, &[Need::Qemu])?;
    let options = Options {
        cpus: args.smp,
        ..machine::options(workspace, ui, consent, board)?
    };
    let bench = Bench {
        name: &args.build.board,
        board,
        kernel: &products.image,
        products: &products,
        options,
    };
    checks::run(ui, &bench, report, args.filter.as_deref());
    hil::run(
        workspace,
        ui,
        consent,
        report,
        &bench,
        args.filter.as_deref(),
    );
    for name in &products.suites {
        one_suite(ui, &bench, report, name, &["quiet"], args.filter.as_deref());
    }
    Ok(())
}

/// Boots one suite, with those words for the kernel. With a filter, the suite is given it and runs only tests with it in their names; if the suite's own
/// name has it, it runs whole.
pub(crate) fn one_suite(
    ui: &Ui,
    bench: &Bench<'_>,
    report: &mut Report,
    name: &str,
    words: &[&str],
    filter: Option<&str>,
) {
    let filter = filter.filter(|filter| !name.contains(filter));
    let command = match filter {
        Some(filter) => format!("/bin/{name} {filter}"),
        None => format!("/bin/{name}"),
    };
    let step = ui.step(format!("{name} on {}", bench.name));
    let boot = bench.boot(words, &["-c", &command]);
    let mut rig = bench.rig(bench.options.clone());
    let limits = Limits {
        silence: Duration::from_secs(60),
        ..Limits::default()
    };
    suite::run(&mut rig, &boot, name, &limits, &mut |case| {
        step.progress(&case.name);
        step.suspend(|| report.case(&case));
    });
    step.done();
}
