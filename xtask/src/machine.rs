//! What a board's machine needs besides QEMU: a device tree, where the machine makes none.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};
use halyard_hil::board::QemuBoard;
use halyard_hil::qemu::Options;

use crate::workspace::Workspace;

/// Where device trees are, if not in the cache.
const DIRECTORY: &str = "HALYARD_DTB_DIR";

/// What a machine of `board` is given besides what is booted. Error: something of it is not here; the message says how to get it.
pub(crate) fn options(workspace: &Workspace, board: &QemuBoard) -> Result<Options> {
    let dtb = board.dtb.as_deref();
    Ok(Options {
        dtb: dtb.map(|name| device_tree(workspace, name)).transpose()?,
        ..Options::default()
    })
}

/// The device tree of that name.
fn device_tree(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let cache = || workspace.root.join(".cache/dtb");
    let directory = env::var_os(DIRECTORY).map_or_else(cache, PathBuf::from);
    let file = directory.join(name);
    if !file.is_file() {
        bail!(
            "the device tree {name} is not in {}\n  it is in Debian's linux-image-*-arm64 package, below usr/lib/linux-image-*/; \
             {DIRECTORY} may name the directory it was unpacked to",
            workspace.relative(&directory).display()
        );
    }
    Ok(file)
}
