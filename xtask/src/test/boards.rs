//! The boards besides the one that is tested in full: each boots with all its CPUs, runs the exercise, and every suite.

use std::time::{Duration, Instant};

use anyhow::Result;
use halyard_hil::board::{Card, QemuBoard};
use halyard_hil::qemu::Options;
use halyard_hil::suite::{self, Limits};
use halyard_hil::verdict::{Case, Verdict};

use super::checks;
use super::report::Report;
use super::session::{Failure, Session};
use super::target::Bench;
use crate::build::{self, Products};
use crate::cli::{BuildArgs, TestArgs};
use crate::image::{self, ImageArgs};
use crate::machine;
use crate::qemu_pine64;
use crate::setup::{Consent, Need};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// Names and machines of the boards that QEMU plays, but for the one called `tested`.
pub(crate) fn others<'a>(
    workspace: &'a Workspace,
    tested: &'a str,
) -> impl Iterator<Item = (&'a str, &'a QemuBoard)> {
    let played = workspace
        .boards
        .iter()
        .filter_map(|(name, board)| Some((name, board.qemu.as_ref()?)));
    played.filter(move |&(name, _)| name != tested)
}

/// Tests one board. One whose machine cannot be had here is named and skipped.
pub(crate) fn run(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    report: &mut Report,
    (name, board): (&str, &QemuBoard),
    args: &TestArgs,
) -> Result<()> {
    // Minutes of building another QEMU are not begun without consent, nor in a run of everything.
    let may_build = args.boards && consent.is_given();
    let options = match options(workspace, ui, consent, board, may_build) {
        Ok(options) => options,
        Err(why) => {
            report.case(&Case::new(name, Verdict::Skip(format!("{why:#}"))));
            return Ok(());
        }
    };
    let build = BuildArgs {
        board: name.into(),
        ..args.build.clone()
    };
    let products = build::build(workspace, ui, consent, &build, &[Need::Qemu])?;
    let bench = Bench {
        name,
        board,
        kernel: &products.image,
        products: &products,
        options,
    };
    checks::smoke(ui, &bench, report);
    suites(ui, &bench, report, &products);
    if let Some(card) = &workspace.board(name)?.card {
        report.case(&from_card(workspace, ui, consent, card, build));
    }
    Ok(())
}

/// What the machine needs. Error: it cannot be had, or only if it may be built.
fn options(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    board: &QemuBoard,
    may_build: bool,
) -> Result<Options> {
    if board.own && !may_build && qemu_pine64::built(workspace).is_none() {
        anyhow::bail!(
            "the QEMU that plays it is built by: cargo xtask qemu-pine64 (or by: cargo xtask test --boards --yes)"
        );
    }
    machine::options(workspace, ui, consent, board)
}

/// The longest that firmware, kernel and init may take from a card to the prompt.
const CARD_PATIENCE: Duration = Duration::from_secs(90);

/// A card made for the board starts through firmware and comes to the prompt. Skipped where the firmware cannot be fetched.
fn from_card(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    card: &Card,
    build: BuildArgs,
) -> Case {
    let name = format!(
        "card_of_{}_starts_through_firmware_to_the_prompt",
        build.board
    );
    if let Err(why) = image::firmware(workspace, ui, card) {
        return Case::new(name, Verdict::Skip(format!("{why:#}")));
    }
    let args = ImageArgs {
        build,
        firmware: None,
        words: Vec::new(),
        testing: false,
        chainloader: false,
    };
    let step = ui.step(&name);
    let started = image::until_prompt(workspace, ui, consent, &args, CARD_PATIENCE);
    step.done();
    match started {
        Ok(started) => {
            ui.note(&format!(
                "from the card to the prompt: {:.1} s",
                started.seconds
            ));
            Case::new(name, Verdict::Pass)
        }
        Err(silent) => Case {
            name,
            verdict: Verdict::Fail(silent.why),
            notes: silent.lines,
        },
    }
}

/// The longest that CPUs may take to come up.
const CPU_PATIENCE: Duration = Duration::from_secs(30);

/// All CPUs that the board has come up. Each does so by itself, beside init; so it is asked until all are there, for as long as a boot
/// may take.
pub(crate) fn all_cpus(bench: &Bench<'_>) -> Result<String, Failure> {
    let cpus = bench.options.cpus.unwrap_or(bench.board.cpus);
    let boot = bench.ordinary_boot(&["quiet"], &[]);
    let mut session = Session::start(bench, bench.options.clone(), &boot)?;
    let deadline = Instant::now() + CPU_PATIENCE;
    loop {
        session.expect(checks::PROMPT)?;
        session.send("grep -c processor /proc/cpuinfo\n")?;
        // What was typed, and the answer.
        session.line()?;
        let line = session.line()?;
        if line == cpus.to_string() {
            break;
        }
        if Instant::now() > deadline {
            return Err(session.fail(&format!("'{line}' CPUs instead of {cpus}")));
        }
    }
    session.expect(checks::PROMPT)?;
    session.send("exit\n")?;
    session.leave(0)?;
    Ok(format!("{cpus} CPUs"))
}

/// The board resets itself and goes off by its own means (PSCI, a watchdog), not the emulator's: after `reboot` the shell prompts a
/// second time, and `poweroff` ends the machine, which a reset would not.
pub(crate) fn reboot(bench: &Bench<'_>) -> Result<String, Failure> {
    let options = Options {
        resets: true,
        ..bench.options.clone()
    };
    let mut session = Session::start(bench, options, &bench.boards_own_boot())?;
    session.expect(checks::PROMPT)?;
    session.send("reboot\n")?;
    session.expect("Halyard ")?;
    session.expect(checks::PROMPT)?;
    session.send("poweroff\n")?;
    session.leave(0)?;
    Ok("prompted twice, then went off".into())
}

/// Runs every suite; names those tests that did not pass, and counts the others.
fn suites(ui: &Ui, bench: &Bench<'_>, report: &mut Report, products: &Products) {
    for suite in &products.suites {
        let step = ui.step(format!("{suite} on {}", bench.name));
        let boot = bench.boot(&["quiet"], &["-c", &format!("/bin/{suite}")]);
        let mut rig = bench.rig(bench.options.clone());
        let limits = Limits {
            silence: Duration::from_secs(60),
            ..Limits::default()
        };
        let (mut passed, mut skipped) = (0, 0);
        suite::run(&mut rig, &boot, suite, &limits, &mut |case| {
            step.progress(&case.name);
            match case.verdict {
                Verdict::Pass => passed += 1,
                // Those that the first board skipped were named there.
                Verdict::Skip(_) => skipped += 1,
                _ => step.suspend(|| report.case(&case)),
            }
        });
        step.done();
        if passed + skipped > 0 {
            report.batch(&format!("{suite} on {}", bench.name), passed, skipped);
        }
    }
}
