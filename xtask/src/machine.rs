//! What a board's machine needs besides what is booted: a QEMU that plays it, and a device tree where the machine makes none.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use halyard_hil::board::QemuBoard;
use halyard_hil::qemu::{self, Options};
use semver::Version;

use crate::process;
use crate::qemu_pine64;
use crate::setup::{self, Consent};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// Where device trees are, if not in the cache.
const DIRECTORY: &str = "HALYARD_DTB_DIR";

/// What a machine of `board` is given; fetched or built if it is not there. Error: it cannot be had.
pub(crate) fn options(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    board: &QemuBoard,
) -> Result<Options> {
    let program = if board.own {
        Some(qemu_pine64::build(workspace, ui, consent)?)
    } else {
        check_version(board)?;
        None
    };
    let dtb = board.dtb.as_deref();
    let dtb = dtb
        .map(|name| device_tree(workspace, ui, name))
        .transpose()?;
    Ok(Options {
        program,
        dtb,
        ..Options::default()
    })
}

/// Errors if the QEMU on the path is too old for the board.
fn check_version(board: &QemuBoard) -> Result<()> {
    let text = process::ask(Path::new(qemu::PROGRAM), &["--version"]).unwrap_or_default();
    let Some(Ok(version)) = qemu::version_in(&text).map(Version::parse) else {
        return Ok(());
    };
    if Version::parse(&board.version).is_ok_and(|oldest| version < oldest) {
        bail!(
            "QEMU {} or later plays this board; {version} is here",
            board.version
        );
    }
    Ok(())
}

/// The device tree of that name.
pub(crate) fn device_tree(workspace: &Workspace, ui: &Ui, name: &str) -> Result<PathBuf> {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let file = Path::new(&directory).join(name);
        if !file.is_file() {
            bail!("{DIRECTORY} names a directory without {name}");
        }
        return Ok(file);
    }
    let file = workspace.root.join(".cache/dtb").join(name);
    if !file.is_file() {
        setup::debian_kernel(workspace, ui)?;
    }
    Ok(file)
}
