//! Fetches Debian's arm64 kernel: the judge of what the tests expect, and a source of real device trees.
//!
//! It owns the workspace's `.cache` directory: the kernel in `linux/`, the trees in `dtb/`, where the drivers' tests look
//! for them. Nothing of the machine is changed and nobody's rights are needed: apt runs with directories of its own, set
//! to arm64, and only the mirrors and keys are the machine's. What is there already is not fetched again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::private_apt::{Kind, PrivateApt, make};
use crate::process;
use crate::ui::{Step, Ui};
use crate::workspace::Workspace;

/// The package that depends on the newest kernel of a suite.
const META_PACKAGE: &str = "linux-image-arm64";

/// Device trees by their place in the kernel's package.
const TREES: [&str; 3] = [
    "broadcom/bcm2837-rpi-3-b.dtb",
    "broadcom/bcm2711-rpi-4-b.dtb",
    "allwinner/sun50i-a64-pine64-plus.dtb",
];

/// The kernel's place below `.cache`.
const KERNEL: &str = "linux/Image";

/// The kernel, fetched if it is not there yet; and the device trees with it. Errors: no apt, no mirror in reach.
pub(crate) fn kernel(workspace: &Workspace, ui: &Ui) -> Result<PathBuf> {
    let cache = workspace.root.join(".cache");
    let kernel = cache.join(KERNEL);
    let trees = TREES.iter().map(|tree| cache.join("dtb").join(name(tree)));
    if kernel.is_file() && trees.into_iter().all(|tree| tree.is_file()) {
        return Ok(kernel);
    }
    if process::on_path("apt-get").is_none() || process::on_path("dpkg-deb").is_none() {
        bail!("Debian's kernel is fetched with apt-get and dpkg-deb, which are not here");
    }
    let step = ui.step("fetching Debian's arm64 kernel");
    let work = cache.join("apt");
    let apt = PrivateApt::new(&work, Kind::Binary("arm64"));
    let fetched = apt.and_then(|apt| fetch(&apt, ui, &step));
    let unpacked = fetched.and_then(|package| unpack(ui, &step, &package, &work, &cache));
    // The lists and the package are large, and of no more use.
    let _ = fs::remove_dir_all(&work);
    unpacked?;
    step.done();
    Ok(kernel)
}

/// The last part of a path in a package.
fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Downloads the newest kernel of the backports, or of the release where there are none; gives the package's file.
fn fetch(apt: &PrivateApt, ui: &Ui, step: &Step) -> Result<PathBuf> {
    // A release too young for backports has no such suite: apt says so, and what it got of the rest will do.
    let updated = process::run(ui, step, apt.command("apt-get", &["update", "--quiet"]));
    let package = match (newest(apt, ui, Some(apt.backports()))?, updated) {
        (Some(package), _) => package,
        (None, updated) => match newest(apt, ui, None)? {
            Some(package) => package,
            None => {
                updated.context("the package lists could not be fetched")?;
                bail!("the mirror has no {META_PACKAGE}");
            }
        },
    };
    step.progress(&package);
    let mut download = apt.command("apt-get", &["download", "--quiet", &package]);
    download.current_dir(apt.directory());
    process::run(ui, step, download)
        .with_context(|| format!("the package {package} could not be fetched"))?;
    let files = fs::read_dir(apt.directory())?.flatten();
    let mut packages = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "deb"));
    packages.next().context("apt left no package")
}

/// The kernel's package that the meta package of a suite depends on.
fn newest(apt: &PrivateApt, ui: &Ui, suite: Option<&str>) -> Result<Option<String>> {
    let mut words = vec!["depends", META_PACKAGE];
    words.extend(suite.iter().flat_map(|suite| ["-t", *suite]));
    let output = process::watch(ui, apt.command("apt-cache", &words), |_| {})?;
    Ok(output.lines.iter().find_map(|line| dependency(line)))
}

/// The name in `  Depends: linux-image-6.1.0-50-arm64`.
fn dependency(line: &str) -> Option<String> {
    let name = line.trim().strip_prefix("Depends: ")?;
    name.starts_with("linux-image-").then(|| name.to_owned())
}

/// Takes the kernel and the trees out of the package. Each is put in place by a rename, so that none is ever half there.
fn unpack(ui: &Ui, step: &Step, package: &Path, work: &Path, cache: &Path) -> Result<()> {
    let files = work.join("files");
    let mut command = Command::new("dpkg-deb");
    command.arg("--extract").args([package, &files]);
    process::run(ui, step, command).context("the package could not be unpacked")?;
    let boot = find(&files.join("boot"), "vmlinuz-")?;
    let bytes = fs::read(&boot)?;
    // Source: Linux, Documentation/arch/arm64/booting.rst.
    ensure!(
        bytes.get(56..60) == Some(b"ARM\x64"),
        "Debian's kernel is no flat arm64 Image"
    );
    let library = find(&files.join("usr/lib"), "linux-image-")?;
    make(&cache.join("dtb"))?;
    for tree in TREES {
        place(&library.join(tree), &cache.join("dtb").join(name(tree)))?;
    }
    make(&cache.join("linux"))?;
    place(&boot, &cache.join(KERNEL))
}

/// The entry of a directory whose name begins so.
fn find(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path());
    paths
        .next()
        .with_context(|| format!("Debian's package has no {prefix}*"))
}

fn place(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot put {} in place", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependency_on_a_kernel_is_found_among_others() {
        let name = Some("linux-image-6.1.0-50-arm64".to_owned());
        assert_eq!(dependency("  Depends: linux-image-6.1.0-50-arm64"), name);
        assert_eq!(dependency("  Depends: kmod"), None);
        assert_eq!(dependency("linux-image-arm64"), None);
    }
}
