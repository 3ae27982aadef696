//! `cargo xtask qemu-pine64`: builds the QEMU that plays the Pine64.
//!
//! Debian's source package of QEMU and the patches in `tools/qemu-pine64` become one program in `.cache/qemu-pine64`. Beside it lies
//! what it was made of: when the patches change, it is made anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use halyard_hil::qemu;

use crate::process;
use crate::setup::{self, Consent, Kind, Need, PYTHON, PrivateApt};
use crate::ui::{Step, Ui};
use crate::workspace::Workspace;

/// The versions of QEMU that the patches are for, as Debian's begin.
const VERSIONS: [&str; 2] = ["1:10.0.", "10.0."];

const PATCHES: [&str; 2] = ["qemu-pine64.patch", "qemu-ds-noblobs.patch"];

/// Only what this one machine needs.
const CONFIGURATION: [&str; 11] = [
    "--target-list=aarch64-softmmu",
    "--without-default-features",
    "--without-default-devices",
    "--with-devices-aarch64=pine64",
    "--enable-tcg",
    "--enable-fdt=system",
    "--disable-docs",
    "--disable-tools",
    "--disable-download",
    "--disable-guest-agent",
    "--disable-install-blobs",
];

/// Builds it, if it is not there.
pub(crate) fn verb(workspace: &Workspace, ui: &Ui, consent: Consent) -> Result<ExitCode> {
    let program = build(workspace, ui, consent)?;
    println!("{}", workspace.relative(&program).display());
    Ok(ExitCode::SUCCESS)
}

/// The program, if it was built from what the patches are now.
pub(crate) fn built(workspace: &Workspace) -> Option<PathBuf> {
    let program = cache(workspace).join(qemu::PROGRAM);
    let made_of = fs::read(stamp(workspace)).ok()?;
    (program.is_file() && made_of == ingredients(workspace).ok()?).then_some(program)
}

/// The program, built if need be. Errors: no source in reach, tools missing, a patch that does not apply.
pub(crate) fn build(workspace: &Workspace, ui: &Ui, consent: Consent) -> Result<PathBuf> {
    if let Some(program) = built(workspace) {
        return Ok(program);
    }
    setup::ensure(workspace, ui, consent, &[Need::QemuTools])?;
    let work = cache(workspace).join("work");
    let _ = fs::remove_dir_all(&work);
    let step = ui.step("building QEMU for the Pine64, which takes some minutes");
    let made = make(workspace, ui, &step, &work);
    // The source and what came of it are large, and of no more use.
    let _ = fs::remove_dir_all(&work);
    made?;
    step.done();
    built(workspace).context("the QEMU for the Pine64 is not where it was put")
}

fn cache(workspace: &Workspace) -> PathBuf {
    workspace.root.join(".cache/qemu-pine64")
}

fn stamp(workspace: &Workspace) -> PathBuf {
    cache(workspace).join("made-of")
}

fn patches(workspace: &Workspace) -> [PathBuf; 2] {
    PATCHES.map(|name| workspace.root.join("tools/qemu-pine64").join(name))
}

/// What decides about the program.
fn ingredients(workspace: &Workspace) -> Result<Vec<u8>> {
    let mut all = CONFIGURATION.join(" ").into_bytes();
    for patch in patches(workspace) {
        all.extend(fs::read(&patch).with_context(|| format!("cannot read {}", patch.display()))?);
    }
    Ok(all)
}

fn make(workspace: &Workspace, ui: &Ui, step: &Step, work: &Path) -> Result<()> {
    let archive = fetch(ui, step, &work.join("apt"))?;
    let source = work.join("source");
    fs::create_dir_all(&source)?;
    let run = |command: Command| process::run(ui, step, command).map(drop);
    run(command("tar", &source, |tar| {
        tar.args(["--extract", "--strip-components=1", "--file"]);
        tar.arg(&archive);
    }))?;
    for patch in patches(workspace) {
        run(command("patch", &source, |program| {
            program.args(["--strip=1", "--input"]).arg(&patch);
        }))
        .context("the Pine64 patch does not fit this version of QEMU")?;
    }
    let build = source.join("build");
    fs::create_dir_all(&build)?;
    run(command("../configure", &build, |configure| {
        configure.arg(format!("--python={PYTHON}"));
        configure.args(CONFIGURATION);
    }))?;
    run(command("nice", &build, |ninja| {
        ninja.args(["ninja", qemu::PROGRAM]);
    }))?;
    run(command("strip", &build, |strip| {
        strip.arg(qemu::PROGRAM);
    }))?;
    fs::rename(
        build.join(qemu::PROGRAM),
        cache(workspace).join(qemu::PROGRAM),
    )?;
    fs::write(stamp(workspace), ingredients(workspace)?)?;
    Ok(())
}

fn command(program: &str, directory: &Path, arguments: impl FnOnce(&mut Command)) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory);
    arguments(&mut command);
    command
}

/// Fetches QEMU's source archive.
fn fetch(ui: &Ui, step: &Step, directory: &Path) -> Result<PathBuf> {
    let apt = PrivateApt::new(directory, Kind::Source)?;
    // One suite of two may be missing; what counts is whether a source is found.
    let updated = process::run(ui, step, apt.command("apt-get", &["update", "--quiet"]));
    let known = process::watch(ui, apt.command("apt-cache", &["showsrc", "qemu"]), |_| {})?;
    let Some(version) = known.lines.iter().find_map(|line| fitting(line)) else {
        updated.context("the lists of source packages could not be fetched")?;
        bail!("no source of this machine's apt has QEMU {}x", VERSIONS[1]);
    };
    step.progress(&version);
    let package = format!("qemu={version}");
    let words = [
        "source",
        "--quiet",
        "--download-only",
        "--tar-only",
        &package,
    ];
    let mut download = apt.command("apt-get", &words);
    download.current_dir(directory);
    process::run(ui, step, download).context("QEMU's source could not be fetched")?;
    let files = fs::read_dir(directory)?.flatten().map(|entry| entry.path());
    let mut archives = files.filter(|path| path.to_string_lossy().contains(".orig.tar"));
    archives.next().context("apt left no archive")
}

/// The version in a line `Version: 1:10.0.2+ds-2` of a source package's description, if the patches are for it.
fn fitting(line: &str) -> Option<String> {
    let version = line.strip_prefix("Version: ")?.trim();
    let fits = VERSIONS.iter().any(|start| version.starts_with(start));
    fits.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_version_is_one_the_patches_are_for() {
        let version = "1:10.0.2+ds-2+deb13u1~bpo12+1";
        assert_eq!(
            fitting(&format!("Version: {version}")).as_deref(),
            Some(version)
        );
        assert_eq!(fitting("Version: 1:7.2+dfsg-7+deb12u16"), None);
        assert_eq!(fitting("Version: 1:10.1.0+ds-1"), None);
        assert_eq!(fitting("Standards-Version: 1:10.0."), None);
    }
}
