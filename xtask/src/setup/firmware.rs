//! Fetches the boards' firmware from Debian's packages into the workspace's `.cache/firmware`.
//!
//! Nothing of the machine is changed. A package that a board's card does not name is not fetched, and nothing of what is
//! fetched is ever committed: the Raspberry Pi's firmware is not free, may be passed on unmodified, and only be used with a
//! Raspberry Pi. Each package keeps its statement of copyright beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::private_apt::{Kind, PrivateApt, make};
use crate::process;
use crate::ui::{Step, Ui};
use crate::workspace::Workspace;

/// Where the firmware is kept, below the workspace.
const PLACE: &str = ".cache/firmware";

/// The directory with `package/path` of every file, fetched if a package is not there yet. Errors: no apt, no mirror.
pub(crate) fn fetch(workspace: &Workspace, ui: &Ui, files: &[&str]) -> Result<PathBuf> {
    let place = workspace.root.join(PLACE);
    let missing = missing(&place, files);
    if missing.is_empty() {
        return Ok(place);
    }
    if process::on_path("apt-get").is_none() || process::on_path("dpkg-deb").is_none() {
        bail!(
            "the firmware is fetched with apt-get and dpkg-deb, which are not here\n  \
             unpack Debian's packages {} below a directory, each in one of its name, and name that with --firmware",
            missing.iter().copied().collect::<Vec<_>>().join(", ")
        );
    }
    let step = ui.step("fetching firmware from Debian's packages");
    let work = place.join("apt");
    let done = packages(ui, &step, &missing, &work, &place);
    // The lists and packages are large, and of no more use.
    let _ = fs::remove_dir_all(&work);
    done?;
    step.done();
    Ok(place)
}

/// Where a package keeps its statement of copyright, as `package/path`.
pub(crate) fn copyright(package: &str) -> String {
    format!("{package}/usr/share/doc/{package}/copyright")
}

/// The packages of files that are not there.
fn missing<'a>(place: &Path, files: &[&'a str]) -> BTreeSet<&'a str> {
    let absent = files.iter().filter(|file| !place.join(file).is_file());
    absent
        .map(|file| file.split_once('/').map_or(*file, |(package, _)| package))
        .collect()
}

fn packages(
    ui: &Ui,
    step: &Step,
    packages: &BTreeSet<&str>,
    work: &Path,
    place: &Path,
) -> Result<()> {
    let apt = PrivateApt::new(work, Kind::Firmware)?;
    // A suite that the mirror has not is apt's complaint; what counts is whether the packages are found.
    let updated = process::run(ui, step, apt.command("apt-get", &["update", "--quiet"]));
    for package in packages {
        step.progress(package);
        let mut download = apt.command("apt-get", &["download", "--quiet", package]);
        download.current_dir(apt.directory());
        if let Err(error) = process::run(ui, step, download) {
            updated.context("the package lists could not be fetched")?;
            return Err(error.context(format!("Debian's package {package} could not be fetched")));
        }
        let archive = archive(apt.directory(), package)?;
        let fresh = place.join(format!("{package}.new"));
        let _ = fs::remove_dir_all(&fresh);
        make(&fresh)?;
        let mut extract = Command::new("dpkg-deb");
        extract.arg("--extract").args([&archive, &fresh]);
        process::run(ui, step, extract)
            .with_context(|| format!("the package {package} could not be unpacked"))?;
        let old = place.join(package);
        let _ = fs::remove_dir_all(&old);
        fs::rename(&fresh, &old)
            .with_context(|| format!("cannot put {} in place", old.display()))?;
    }
    Ok(())
}

/// The file that apt left for a package.
fn archive(directory: &Path, package: &str) -> Result<PathBuf> {
    let files = fs::read_dir(directory)?.flatten();
    let mut archives = files.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
    });
    let found = archives.next().map(|entry| entry.path());
    found.with_context(|| format!("apt left no file for the package {package}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_packages_are_named_once() {
        let place = tempfile::tempdir().expect("directory");
        fs::create_dir_all(place.path().join("a/x")).expect("directory");
        fs::write(place.path().join("a/x/1"), "").expect("file");
        let files = ["a/x/1", "b/y", "b/z"];
        assert_eq!(missing(place.path(), &files), BTreeSet::from(["b"]));
        assert_eq!(missing(place.path(), &["a/x/2"]), BTreeSet::from(["a"]));
    }
}
