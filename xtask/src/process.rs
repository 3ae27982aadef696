//! Runs other programs: watched under a step, or asked for their output.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::ui::{Step, Ui};

/// What a program that was run to its end left.
pub(crate) struct Output {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it wrote, standard output and error in the order they came.
    pub(crate) lines: Vec<String>,
}

/// Runs `command` with both its outputs on one pipe, giving each line to `seen` as it comes.
pub(crate) fn watch(ui: &Ui, mut command: Command, mut seen: impl FnMut(&str)) -> Result<Output> {
    ui.command(&command);
    let name = words(&command).swap_remove(0);
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command
        .stdin(Stdio::null())
        .stderr(writer.try_clone()?)
        .stdout(writer);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    // The command holds the pipe's write ends: without this the reader would wait for ever.
    drop(command);
    let mut lines = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.with_context(|| format!("cannot read what {name} writes"))?;
        let line = String::from_utf8_lossy(&line)
            .trim_end_matches('\r')
            .to_owned();
        seen(&line);
        lines.push(line);
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for {name}"))?;
    Ok(Output { status, lines })
}

/// Runs `command` under `step`. Error: it failed; everything it wrote is printed first.
pub(crate) fn run(ui: &Ui, step: &Step, command: Command) -> Result<Vec<String>> {
    let shown = words(&command).join(" ");
    let output = watch(ui, command, |line| step.progress(line))?;
    if output.status.success() {
        return Ok(output.lines);
    }
    for line in &output.lines {
        step.print(line);
    }
    bail!("{} ({shown})", ended(output.status));
}

/// What a short program prints on standard output, if it can be run and succeeds.
pub(crate) fn ask(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The program of that name on the path.
pub(crate) fn on_path(program: &str) -> Option<std::path::PathBuf> {
    all_on_path(program).into_iter().next()
}

/// Every program of that name on the path, first come first.
pub(crate) fn all_on_path(program: &str) -> Vec<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .filter(|file| file.is_file())
        .collect()
}

/// The words of a command, program first.
pub(crate) fn words(command: &Command) -> Vec<String> {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            if word.is_empty() || word.contains(char::is_whitespace) {
                format!("'{word}'")
            } else {
                word.into_owned()
            }
        })
        .collect()
}

/// How a program ended, in words.
pub(crate) fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("it failed with exit code {code}"),
        None => format!("it was ended by {status}"),
    }
}

/// Whether a line of cargo's output only says what it is doing.
pub(crate) fn is_progress(line: &str) -> bool {
    let line = console::strip_ansi_codes(line);
    let word = line.split_whitespace().next().unwrap_or_default();
    const DOING: [&str; 8] = [
        "Compiling",
        "Checking",
        "Finished",
        "Downloading",
        "Downloaded",
        "Updating",
        "Locking",
        "Blocking",
    ];
    line.starts_with(' ') && DOING.contains(&word)
}
