//! Compiles the C test programs: static arm64 Linux binaries, as Linux would run them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::initramfs::Manifest;
use crate::process;
use crate::setup::{C_COMPILER, Need, State};
use crate::ui::{Step, Ui};
use crate::workspace::Workspace;

/// Names and paths of the programs, and a word for each that was left out.
#[derive(Default)]
pub(crate) struct CPrograms {
    /// Those that were compiled.
    pub(crate) built: Vec<(String, PathBuf)>,
    /// Those that were not, and why.
    pub(crate) skipped: Vec<String>,
}

/// Compiles what the manifest's C directory holds, where it changed. Error: a program does not compile; that there is no
/// compiler is none, but every program is named as skipped.
pub(crate) fn build(
    workspace: &Workspace,
    ui: &Ui,
    step: &Step,
    manifest: &Manifest,
    out: &Path,
) -> Result<CPrograms> {
    let mut programs = CPrograms::default();
    let Some(dir) = &manifest.c else {
        return Ok(programs);
    };
    let sources = sources(&workspace.root.join("userspace").join(dir));
    if sources.is_empty() {
        return Ok(programs);
    }
    let compiler = Need::CCompiler.look(workspace);
    let out = out.join("c");
    std::fs::create_dir_all(&out)
        .with_context(|| format!("cannot make the directory {}", out.display()))?;
    for source in sources {
        let name = source
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let State::Missing(why) = &compiler {
            programs
                .skipped
                .push(format!("the C program '{name}' is left out: {why}"));
            continue;
        }
        let program = out.join(&name);
        if !fresh(&program, &source) {
            step.progress(&name);
            process::run(ui, step, compile(&source, &program)).with_context(|| {
                format!(
                    "the C program {} does not compile",
                    workspace.relative(&source).display()
                )
            })?;
        }
        programs.built.push((name, program));
    }
    Ok(programs)
}

/// The C files of a directory, in order; none if there is no such directory.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut sources: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "c"))
        .collect();
    sources.sort();
    sources
}

fn compile(source: &Path, program: &Path) -> Command {
    let mut command = Command::new(C_COMPILER);
    command.args([
        "-static",
        "-O2",
        "-s",
        "-Wall",
        "-pthread",
        "-Wl,--build-id=none",
        "-o",
    ]);
    command.arg(program).arg(source);
    command
}

/// Whether `program` is younger than its source.
fn fresh(program: &Path, source: &Path) -> bool {
    let time = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    matches!((time(program), time(source)), (Some(made), Some(written)) if made > written)
}
