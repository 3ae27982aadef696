//! Tests on the host: `cargo test` for everything that builds here, and under loom for what is concurrent.

use std::process::Command;

use anyhow::{Result, bail};
use halyard_hil::verdict::{Case, Verdict};

use super::report::Report;
use crate::process;
use crate::ui::Ui;
use crate::workspace::{self, Workspace};

/// Interleavings with more preemptions than this are not tried: nearly all mistakes need fewer, and the count of
/// interleavings grows with its power. Set the variable to try more.
const PREEMPTIONS: (&str, &str) = ("LOOM_MAX_PREEMPTIONS", "3");

/// `cargo test` for the workspace's default members.
pub(crate) fn unit(
    workspace: &Workspace,
    ui: &Ui,
    report: &mut Report,
    filter: Option<&str>,
) -> Result<()> {
    let mut command = cargo_test(workspace);
    command.args(filter);
    watch(ui, report, "host tests", command)
}

/// The tests named `loom_*` of every package that depends on loom, compiled for it.
pub(crate) fn loom(
    workspace: &Workspace,
    ui: &Ui,
    report: &mut Report,
    filter: Option<&str>,
) -> Result<()> {
    let packages = workspace.depending_on("loom");
    if packages.is_empty() {
        bail!("no package depends on loom: where are the tests of the wait queue?");
    }
    let mut command = loom_test(workspace, &packages);
    if let Some(filter) = filter {
        // libtest takes several filters as alternatives, never as a conjunction: the names are picked here.
        let names = loom_names(ui, loom_test(workspace, &packages), filter)?;
        if names.is_empty() {
            return Ok(());
        }
        command.args(["--", "--exact"]).args(names);
    } else {
        command.args(["--", "loom_"]);
    }
    watch(ui, report, "model-checked tests", command)
}

/// The command that compiles those packages for loom, but for the arguments of the tests.
fn loom_test(workspace: &Workspace, packages: &[String]) -> Command {
    let mut command = cargo_test(workspace);
    command
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", workspace.target.join("loom"));
    // Optimised, as loom runs each test thousands of times; without link-time optimisation, as it is built rarely.
    command
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "2")
        .env("CARGO_PROFILE_TEST_OPT_LEVEL", "2");
    if std::env::var_os(PREEMPTIONS.0).is_none() {
        command.env(PREEMPTIONS.0, PREEMPTIONS.1);
    }
    command.arg("--lib");
    for package in packages {
        command.args(["--package", package]);
    }
    command
}

/// Names of the model-checked tests with `filter` in them.
fn loom_names(ui: &Ui, mut command: Command, filter: &str) -> Result<Vec<String>> {
    command.args(["--", "--list", "loom_"]);
    let step = ui.step("listing model-checked tests");
    let lines = process::run(ui, &step, command)?;
    step.done();
    let names = lines.iter().filter_map(|line| line.strip_suffix(": test"));
    Ok(names
        .filter(|name| name.contains(filter))
        .map(str::to_owned)
        .collect())
}

fn cargo_test(workspace: &Workspace) -> Command {
    let mut command = Command::new(workspace::cargo());
    command
        .current_dir(&workspace.root)
        .args(["test", "--no-fail-fast", "--color", "never"]);
    command
}

/// Runs `cargo test` and reports a line for each crate and for each failed test.
fn watch(ui: &Ui, report: &mut Report, what: &str, command: Command) -> Result<()> {
    let step = ui.step(what);
    let mut reader = Reader::default();
    let output = process::watch(ui, command, |line| {
        step.progress(line);
        if let Some(finding) = reader.take(line) {
            step.suspend(|| finding.tell(report));
        }
    })?;
    step.done();
    if output.status.success() {
        return Ok(());
    }
    if !reader.failed {
        // It did not compile, or a test took its whole process down.
        for line in output.lines.iter().filter(|line| !line.ends_with("... ok")) {
            eprintln!("{line}");
        }
        bail!("{what}: cargo test failed outside of a test; its words are above");
    }
    for line in details(&output.lines) {
        println!("       | {line}");
    }
    Ok(())
}

/// Something in the output of `cargo test`.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// A test that failed.
    Failed(String),
    /// A crate's tests are through: how many passed and how many were ignored.
    Finished {
        name: String,
        passed: usize,
        ignored: usize,
    },
}

impl Finding {
    fn tell(&self, report: &mut Report) {
        match self {
            Self::Failed(name) => report.case(&Case::new(name, Verdict::Fail("see below".into()))),
            Self::Finished {
                passed: 0,
                ignored: 0,
                ..
            } => {}
            Self::Finished {
                name,
                passed,
                ignored,
            } => report.batch(name, *passed, *ignored),
        }
    }
}

/// Reads the output of `cargo test`, line by line.
#[derive(Debug, Default)]
struct Reader {
    name: String,
    failed: bool,
}

impl Reader {
    fn take(&mut self, line: &str) -> Option<Finding> {
        if let Some(name) = running(line) {
            self.name = name;
            return None;
        }
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failed = true;
            return Some(Finding::Failed(format!("{}::{name}", self.name)));
        }
        let result = line.strip_prefix("test result: ")?;
        let count = |word: &str| {
            let part = result
                .split(['.', ';'])
                .find_map(|part| part.trim().strip_suffix(word));
            part.and_then(|number| number.trim().parse().ok())
                .unwrap_or(0)
        };
        Some(Finding::Finished {
            name: self.name.clone(),
            passed: count("passed"),
            ignored: count("ignored"),
        })
    }
}

/// The crate in `Running unittests src/lib.rs (target/debug/deps/halyard_core-0123456789abcdef)` or `Doc-tests crate`.
fn running(line: &str) -> Option<String> {
    if let Some(name) = line.trim_start().strip_prefix("Doc-tests ") {
        return Some(format!("{} (documentation)", name.trim()));
    }
    let rest = line.trim_start().strip_prefix("Running ")?;
    let path = rest.rsplit_once('(')?.1.strip_suffix(')')?;
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    Some(
        file.rsplit_once('-')
            .map_or(file, |(name, _)| name)
            .to_owned(),
    )
}

/// What failed tests had to say: the blocks between `failures:` and the list of names.
fn details(lines: &[String]) -> Vec<&str> {
    let mut inside = false;
    let mut details = Vec::new();
    for line in lines {
        match line.as_str() {
            "failures:" => inside = !inside,
            text if text.starts_with("test result: ") => inside = false,
            text if inside => details.push(text),
            _ => {}
        }
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
   Compiling halyard-core v0.1.0
     Running unittests src/lib.rs (target/debug/deps/halyard_core-d386bbc645a58fd5)

running 3 tests
test pipe::tests::a ... ok
test pipe::tests::b ... FAILED
test pipe::tests::c ... ignored

failures:

---- pipe::tests::b stdout ----
assertion failed: seed 7

failures:
    pipe::tests::b

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests halyard_abi
test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.00s";

    #[test]
    fn reader_finds_crates_counts_and_failures() {
        let mut reader = Reader::default();
        let findings: Vec<Finding> = OUTPUT
            .lines()
            .filter_map(|line| reader.take(line))
            .collect();
        let finished = |name: &str, passed, ignored| Finding::Finished {
            name: name.into(),
            passed,
            ignored,
        };
        assert_eq!(
            findings,
            [
                Finding::Failed("halyard_core::pipe::tests::b".into()),
                finished("halyard_core", 1, 1),
                finished("halyard_abi (documentation)", 12, 0),
            ]
        );
        assert!(reader.failed);
    }

    #[test]
    fn details_are_the_words_of_failed_tests_only() {
        let lines: Vec<String> = OUTPUT.lines().map(str::to_owned).collect();
        let details = details(&lines);
        assert!(details.contains(&"assertion failed: seed 7"));
        assert!(!details.iter().any(|line| line.contains("... ok")));
    }
}
