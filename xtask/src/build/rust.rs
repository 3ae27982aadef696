//! Compiles packages for the target, and finds what came out.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use cargo_metadata::{Artifact, Message};

use crate::process;
use crate::toolchain::Toolchain;
use crate::ui::{Step, Ui};
use crate::workspace::Workspace;

/// The executables a build gave, in the order cargo finished them.
pub(crate) struct Built {
    executables: Vec<Executable>,
}

struct Executable {
    package: String,
    name: String,
    path: PathBuf,
}

/// Builds the binaries of `packages`. Error: the compiler's own words are printed above it.
pub(crate) fn build(
    workspace: &Workspace,
    ui: &Ui,
    step: &Step,
    toolchain: &Toolchain,
    packages: &[&str],
    debug: bool,
) -> Result<Built> {
    let mut command = toolchain.cargo(workspace, "build");
    command
        .arg("--bins")
        .arg("--message-format=json-render-diagnostics");
    command.args(["--color", if ui.colour() { "always" } else { "never" }]);
    if !debug {
        command.arg("--release");
    }
    for package in packages {
        workspace.manifest(package)?;
        command.args(["--package", package]);
    }
    let mut text = Vec::new();
    let mut executables = Vec::new();
    let mut fresh = true;
    let output = process::watch(ui, command, |line| match artifact(line) {
        Some(Some(artifact)) => {
            fresh &= artifact.fresh;
            executables.extend(executable(workspace, packages, &artifact));
        }
        Some(None) => {}
        None => {
            step.progress(line);
            text.push(line.to_owned());
        }
    })?;
    let warned = text
        .iter()
        .any(|line| console::strip_ansi_codes(line).starts_with("warning"));
    // cargo repeats the warnings of what it did not compile again; once is enough.
    if (warned && !fresh) || !output.status.success() {
        for line in text.iter().filter(|line| !process::is_progress(line)) {
            step.print(line);
        }
    }
    if !output.status.success() {
        bail!(
            "the kernel or a program does not compile with {toolchain}; the compiler's words are above"
        );
    }
    Ok(Built { executables })
}

/// What a line of cargo's output is: `None` text, `Some(None)` a message of no interest here.
fn artifact(line: &str) -> Option<Option<Artifact>> {
    if !line.starts_with('{') {
        return None;
    }
    match Message::parse_stream(Cursor::new(line)).next() {
        Some(Ok(Message::CompilerArtifact(artifact))) => Some(Some(artifact)),
        Some(Ok(Message::TextLine(_))) | Some(Err(_)) | None => None,
        Some(Ok(_)) => Some(None),
    }
}

/// The executable in an artifact, if it has one and is one of ours.
fn executable(workspace: &Workspace, packages: &[&str], artifact: &Artifact) -> Option<Executable> {
    let path = artifact.executable.clone()?.into_std_path_buf();
    let own = |package: &&&str| {
        workspace
            .manifest(package)
            .is_ok_and(|manifest| manifest == artifact.manifest_path)
    };
    let package = packages.iter().find(own)?;
    Some(Executable {
        package: (*package).to_owned(),
        name: artifact.target.name.clone(),
        path,
    })
}

impl Built {
    /// The one binary of a BSP. Error: it has none, or several.
    pub(crate) fn kernel(&self, package: &str) -> Result<&Path> {
        let mut own = self
            .executables
            .iter()
            .filter(|executable| executable.package == package);
        match (own.next(), own.next()) {
            (Some(kernel), None) => Ok(&kernel.path),
            (None, _) => Err(anyhow!(
                "the board's package {package} has no binary: a BSP needs one, the kernel"
            )),
            (Some(_), Some(_)) => Err(anyhow!(
                "the board's package {package} has several binaries: which is the kernel?"
            )),
        }
    }

    /// Names and paths of the binaries of those packages, by name.
    pub(crate) fn programs(&self, packages: &[&str]) -> Vec<(String, PathBuf)> {
        let own = self
            .executables
            .iter()
            .filter(|executable| packages.contains(&executable.package.as_str()));
        let mut programs: Vec<_> = own
            .map(|program| (program.name.clone(), program.path.clone()))
            .collect();
        programs.sort();
        programs
    }
}
