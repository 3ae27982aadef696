//! `cargo xtask hil`: the suites on every board of a rig, with a verdict for each test, JUnit XML and a page to read.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use halyard_hil::board_rig::BoardRig;
use halyard_hil::bootargs::BootArgs;
use halyard_hil::place::{self, Outcome, Patience, Plan};
use halyard_hil::pty::PtyRig;
use halyard_hil::qemu::Options;
use halyard_hil::rig::{Boot, Rig};
use halyard_hil::rig_file::{Entry, Machine, RigFile};
use halyard_hil::verdict::{Case, Verdict};
use halyard_hil::{page, results};

use crate::build;
use crate::cli::BuildArgs;
use crate::machine;
use crate::run;
use crate::setup::{Consent, Need};
use crate::test::report::Report;
use crate::ui::Ui;
use crate::workspace::Workspace;

/// The rig file, if it is not named with `--rig`.
const RIG: &str = "HIL_RIG";

const AFTER: &str = "\
Examples:
  cargo xtask hil                          four QEMU machines behind pseudo terminals
  cargo xtask hil --rig desk.toml          the boards of a rig file (docs/hardware.md)
  cargo xtask hil --board rpi4 --filter pipe

FAIL and NOBOOT speak against the kernel, INFRA and FLASH against the rig. The exit code is 1 if a
kernel did wrong, else 2 if the rig did, else 0.";

/// Which rig, and what of it.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER)]
pub(crate) struct HilArgs {
    /// The rig file [default: that of HIL_RIG in the environment, or every board that QEMU plays]
    #[arg(long, value_name = "FILE")]
    rig: Option<PathBuf>,

    /// Only the boards, or the places, of that name
    #[arg(long, short, value_name = "NAME")]
    board: Option<String>,

    /// Only tests with this in their names
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// How often each board is switched off and on again in the end
    #[arg(long, value_name = "N", default_value_t = 2)]
    reboots: u32,

    /// Where junit.xml and index.html go [default: target/halyard/hil]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl HilArgs {
    /// Only those tests, and no reboots.
    pub(crate) fn only(filter: &str) -> Self {
        Self {
            rig: None,
            board: None,
            filter: Some(filter.into()),
            reboots: 0,
            output: None,
        }
    }
}

/// Runs the rig.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &HilArgs,
) -> Result<ExitCode> {
    let file = rig_file(workspace, args.rig.as_deref())?;
    let wanted = |entry: &Entry| {
        args.board
            .as_ref()
            .is_none_or(|name| entry.board == *name || entry.place == *name)
    };
    let entries: Vec<Entry> = file.boards.into_iter().filter(wanted).collect();
    if entries.is_empty() {
        bail!(
            "the rig has no such board; the rig file names boards and places, see docs/hardware.md"
        );
    }
    let mut report = Report::default();
    let mut outcomes = Vec::new();
    for entry in &entries {
        report.heading(&format!("{} ({})", entry.place, entry.board));
        let outcome = place(workspace, ui, consent, args, entry, &mut |case| {
            report.case(case);
        });
        outcomes.push(outcome);
    }
    let output = match &args.output {
        Some(output) => output.clone(),
        None => workspace.products("hil")?,
    };
    write(&output, &outcomes)?;
    println!(
        "{} and junit.xml beside it",
        output.join("index.html").display()
    );
    report.close();
    Ok(exit_code(&outcomes))
}

/// The rig that was named, or every board that QEMU plays.
fn rig_file(workspace: &Workspace, named: Option<&Path>) -> Result<RigFile> {
    let variable = env::var_os(RIG).map(PathBuf::from);
    if let Some(path) = named.or(variable.as_deref()) {
        return Ok(RigFile::read(path)?);
    }
    let played = workspace
        .boards
        .iter()
        .filter(|(_, board)| board.qemu.is_some());
    let entries = played.map(|(name, _)| Entry {
        place: format!("qemu-{name}"),
        board: name.to_owned(),
        qemu: Some(Machine::default()),
        serial: None,
        kernel: None,
        boot_seconds: 60,
        silence_seconds: 120,
    });
    Ok(RigFile {
        boards: entries.collect(),
    })
}

/// Runs one board; what keeps it from being run at all is a case too. Gives each case to `seen` as it is decided.
pub(crate) fn place(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &HilArgs,
    entry: &Entry,
    seen: &mut dyn FnMut(&Case),
) -> Outcome {
    one(workspace, ui, consent, args, entry, seen).unwrap_or_else(|error| {
        let case = Case::new("rig", Verdict::Infra(format!("{error:#}")));
        seen(&case);
        Outcome {
            place: entry.place.clone(),
            cases: vec![case],
            ..Outcome::default()
        }
    })
}

fn one(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &HilArgs,
    entry: &Entry,
    seen: &mut dyn FnMut(&Case),
) -> Result<Outcome> {
    let build = BuildArgs {
        board: entry.board.clone(),
        debug: false,
    };
    let products = build::build(workspace, ui, consent, &build, &[])?;
    let plan = Plan {
        suites: products.suites.clone(),
        filter: args.filter.clone(),
        reboots: args.reboots,
    };
    let patience = Patience {
        boot: Duration::from_secs(entry.boot_seconds),
        silence: Duration::from_secs(entry.silence_seconds),
        total: Duration::from_secs(1800),
    };
    let (mut rig, words) = rig(workspace, ui, consent, entry)?;
    let line = words
        .iter()
        .fold(BootArgs::new(), |line, word| line.kernel(word));
    let boot = Boot {
        kernel: entry.kernel.clone().unwrap_or(products.image),
        initrd: Some(products.testing),
        args: line,
    };
    let step = ui.step(format!("testing {}", entry.place));
    let outcome = place::run(&mut *rig, &boot, &plan, &patience, &mut |case| {
        step.progress(&case.name);
        step.suspend(|| seen(case));
    });
    step.done();
    Ok(outcome)
}

/// The rig of a place, and the words its kernel wants.
fn rig(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    entry: &Entry,
) -> Result<(Box<dyn Rig>, Vec<String>)> {
    if let Some(serial) = &entry.serial {
        return Ok((Box::new(BoardRig::new(&entry.place, serial)), Vec::new()));
    }
    let board = run::qemu_board(workspace, &entry.board)?;
    crate::setup::ensure(workspace, ui, consent, &[Need::Qemu])?;
    let changes = entry.qemu.clone().unwrap_or_default();
    let options = Options {
        cpus: changes.cpus,
        memory: changes.memory,
        ..machine::options(workspace, ui, consent, board)?
    };
    // A socket's path has little room.
    let socket = env::temp_dir().join(format!(
        "halyard-{}-{}.qmp",
        std::process::id(),
        entry.board
    ));
    let rig = PtyRig::new(&entry.place, board, options, socket);
    Ok((Box::new(rig), board.append.clone()))
}

/// Writes both reports.
pub(crate) fn write(output: &Path, outcomes: &[Outcome]) -> Result<()> {
    let failed = || format!("cannot write the reports to {}", output.display());
    std::fs::create_dir_all(output).with_context(failed)?;
    let junit = results::junit(outcomes).context("the results cannot be written as XML")?;
    std::fs::write(output.join("junit.xml"), junit).with_context(failed)?;
    let page = page::html("Halyard on hardware", outcomes);
    std::fs::write(output.join("index.html"), page).with_context(failed)
}

/// 1 if a kernel did wrong, else 2 if the rig did.
fn exit_code(outcomes: &[Outcome]) -> ExitCode {
    let verdicts = || {
        outcomes
            .iter()
            .flat_map(|outcome| &outcome.cases)
            .map(|case| &case.verdict)
    };
    if verdicts().any(|verdict| verdict.failed() && !verdict.blames_rig()) {
        ExitCode::from(1)
    } else if verdicts().any(Verdict::failed) {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(verdicts: &[Verdict]) -> String {
        let cases = verdicts
            .iter()
            .map(|verdict| Case::new("c", verdict.clone()));
        let outcome = Outcome {
            cases: cases.collect(),
            ..Outcome::default()
        };
        format!("{:?}", exit_code(&[outcome]))
    }

    #[test]
    fn exit_code_blames_the_kernel_before_the_rig() {
        let word = |text: &str| text.to_owned();
        let text = |number: u8| format!("{:?}", ExitCode::from(number));
        assert_eq!(code(&[Verdict::Pass, Verdict::Skip(word("s"))]), text(0));
        assert_eq!(
            code(&[Verdict::Infra(word("i")), Verdict::Fail(word("f"))]),
            text(1)
        );
        assert_eq!(code(&[Verdict::NoBoot(word("n"))]), text(1));
        assert_eq!(code(&[Verdict::Pass, Verdict::Flash(word("f"))]), text(2));
    }

    #[test]
    fn rig_without_a_file_is_every_board_that_qemu_plays() {
        let workspace = Workspace::find().expect("workspace");
        let Ok(file) = rig_file(&workspace, None) else {
            return;
        };
        assert!(file.boards.len() >= 4 && file.boards.iter().all(|entry| entry.qemu.is_some()));
    }
}
