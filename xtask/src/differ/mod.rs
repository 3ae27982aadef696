//! `cargo xtask differ`: random small IPC programs, played on Halyard and on Debian's Linux, must give the same traces.
//!
//! The programs come from a seed and are made on the target (`/bin/differ`), the same on both kernels; it gives a hash of
//! each trace. Where hashes differ [`shrink`] finds the smallest part of the program that still differs, and both traces
//! are shown.

mod shrink;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use halyard_hil::board::QemuBoard;
use halyard_hil::qemu::Options;
use halyard_hil::verdict::{Case, Verdict};

use crate::build::{self, Products};
use crate::cli::DifferArgs;
use crate::run;
use crate::setup::{self, Consent, Need};
use crate::test::linux;
use crate::test::report::Report;
use crate::test::session::Session;
use crate::test::target::Bench;
use crate::ui::Ui;
use crate::workspace::Workspace;

/// The mechanisms that are compared unless others are named.
const FAMILIES: [&str; 10] = [
    "pipe", "fifo", "signal", "event", "msg", "sem", "shm", "mq", "unix", "memfd",
];

/// Programs of an ordinary run.
pub(crate) const SOME: u64 = 300;

/// Programs of a long one.
const MANY: u64 = 10_000;

/// Programs of a boot.
const BATCH: u64 = 500;

/// Programs that differ, of which no more are looked at.
const ENOUGH: usize = 3;

/// The longest a kernel may be silent; a program that hangs is given up earlier.
const PATIENCE: Duration = Duration::from_secs(120);

/// Both kernels, ready to boot.
pub(crate) struct Pair<'a> {
    halyard: Bench<'a>,
    linux: Bench<'a>,
}

impl<'a> Pair<'a> {
    /// The two, on the same machine but for the way out. `board` is Halyard's and `machine` is Linux's.
    pub(crate) fn new(
        products: &'a Products,
        kernel: &'a std::path::Path,
        board: &'a QemuBoard,
        machine: &'a QemuBoard,
        options: &Options,
    ) -> Self {
        Self {
            halyard: Bench {
                name: "halyard",
                board,
                kernel: &products.image,
                products,
                options: options.clone(),
            },
            linux: Bench {
                name: "linux",
                board: machine,
                kernel,
                products,
                options: options.clone(),
            },
        }
    }

    /// What both print for the same words; Halyard first.
    fn ask(&self, words: &str) -> Result<[Vec<String>; 2]> {
        Ok([
            listen(&self.halyard, &["quiet"], words)?,
            listen(&self.linux, &linux::WORDS, words)?,
        ])
    }
}

/// Boots, runs `differ` with those words, and gives its lines. Error: it did not come to its end.
fn listen(bench: &Bench<'_>, kernel: &[&str], words: &str) -> Result<Vec<String>> {
    let boot = bench.boot(kernel, &["-c", &format!("differ {words}")]);
    let attempt = || {
        let mut session = Session::start(bench, bench.options.clone(), &boot)?;
        session.set_patience(PATIENCE);
        let mut lines = Vec::new();
        loop {
            let line = session.line()?;
            if line == "differ: done" {
                return Ok(lines);
            }
            lines.push(line);
        }
    };
    attempt().or_else(|failure: crate::test::session::Failure| {
        let why = failure.verdict.reason().unwrap_or_default().to_owned();
        bail!(
            "`differ {words}` on {}: {why}\n  {}",
            bench.name,
            failure.console.join("\n  ")
        )
    })
}

/// What is compared.
pub(crate) struct Task {
    /// The seed of all programs.
    pub(crate) seed: u64,
    /// How many programs.
    pub(crate) programs: u64,
    /// Only programs over these families; [`FAMILIES`] if empty.
    pub(crate) families: Vec<String>,
}

impl Task {
    /// The words that end a command of `differ`.
    fn tail(&self) -> String {
        let families = if self.families.is_empty() {
            FAMILIES.join(" ")
        } else {
            self.families.join(" ")
        };
        format!(" -- {families}")
    }
}

/// `cargo xtask differ`.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &DifferArgs,
) -> Result<ExitCode> {
    let kernel = setup::debian_kernel(workspace, ui)?;
    let board = run::qemu_board(workspace, &args.build.board)?;
    let machine = linux::machine(board);
    let products = build::build(workspace, ui, consent, &args.build, &[Need::Qemu])?;
    let options = Options {
        cpus: args.smp,
        ..Options::default()
    };
    let pair = Pair::new(&products, &kernel, board, &machine, &options);
    let task = Task {
        seed: args.seed,
        programs: match args.programs {
            Some(programs) => programs,
            None if args.long => MANY,
            None => SOME,
        },
        families: args.families.clone(),
    };
    let mut report = Report::default();
    compare(ui, &pair, &mut report, &task)?;
    Ok(report.close())
}

/// Plays the programs on both and reports; every program that differs is a failed case.
pub(crate) fn compare(ui: &Ui, pair: &Pair<'_>, report: &mut Report, task: &Task) -> Result<()> {
    let step = ui.step(format!("{} random programs", task.programs));
    let mut different = Vec::new();
    let mut steps = 0;
    let mut first = 0;
    while first < task.programs && different.len() < ENOUGH {
        let count = BATCH.min(task.programs - first);
        step.progress(&format!("from program {first}"));
        let words = format!("{} {first} {count}{}", task.seed, task.tail());
        let [halyard, linux] = pair.ask(&words)?;
        for index in 0..count as usize {
            let (ours, theirs) = (halyard.get(index), linux.get(index));
            steps += theirs.and_then(|line| steps_of(line)).unwrap_or(0);
            if ours != theirs || ours.is_none() {
                let sums = [ours, theirs].map(|line| line.and_then(|line| sum_of(line)));
                different.push((first + index as u64, sums));
            }
        }
        first += count;
    }
    for &(program, sums) in different.iter().take(ENOUGH) {
        step.progress(&format!("making program {program} smaller"));
        let found = shrink::smallest(pair, task, program, sums)?;
        step.suspend(|| report.case(&found));
    }
    step.done();
    if different.is_empty() {
        let name = format!("differ_seed_{}_gives_the_same_traces", task.seed);
        report.figure(&name, &format!("{} programs, {steps} steps", task.programs));
    } else if different.len() > ENOUGH {
        let more = different.len() - ENOUGH;
        let verdict = Verdict::Fail(format!("of the first {first} programs, {more} more differ"));
        report.case(&Case::new("differ", verdict));
    }
    Ok(())
}

/// The hash in `NUMBER HASH STEPS`.
fn sum_of(line: &str) -> Option<u64> {
    u64::from_str_radix(line.split(' ').nth(1)?, 16).ok()
}

/// The number of steps in `NUMBER HASH STEPS`.
fn steps_of(line: &str) -> Option<u64> {
    line.rsplit(' ').next()?.parse().ok()
}
