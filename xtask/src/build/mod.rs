//! Builds what a board boots: the kernel's flat image, and an initramfs with the programs.

mod c_programs;
mod cpio;
mod elf;
mod image;
mod initramfs;
mod pairs;
mod rust;
mod symbols;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use halyard_hil::board::Board;

use crate::cli::BuildArgs;
use crate::setup::{self, Consent, Need};
use crate::toolchain::Toolchain;
use crate::ui::Ui;
use crate::workspace::Workspace;

/// What a build leaves, ready to boot.
pub(crate) struct Products {
    /// The kernel with its symbols, for a debugger.
    pub(crate) elf: PathBuf,
    /// The kernel as a flat arm64 Image.
    pub(crate) image: PathBuf,
    /// The chainloader as a flat arm64 Image; the same for every board.
    pub(crate) chainloader: PathBuf,
    /// The initramfs that is booted ordinarily: without what only tests run.
    pub(crate) initramfs: PathBuf,
    /// The initramfs with everything.
    pub(crate) testing: PathBuf,
    /// Names of the programs.
    pub(crate) programs: Vec<String>,
    /// Those of them that only the initramfs for tests has.
    pub(crate) only_testing: Vec<String>,
    /// Those of them that print TAP.
    pub(crate) suites: Vec<String>,
    /// What was left out, and why.
    pub(crate) skipped: Vec<String>,
}

impl Products {
    /// The initramfs for a machine that is told to run this: the one for tests where a word of it is a program that only
    /// that one has.
    pub(crate) fn initramfs_for(&self, init: &[String]) -> &Path {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let mut words = init.iter().flat_map(|text| text.split(|c| !plain(c)));
        if words.any(|word| self.only_testing.iter().any(|name| name == word)) {
            &self.testing
        } else {
            &self.initramfs
        }
    }
}

/// `cargo xtask build`.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &BuildArgs,
) -> Result<std::process::ExitCode> {
    let products = build(workspace, ui, consent, args, &[])?;
    for path in [
        &products.elf,
        &products.image,
        &products.chainloader,
        &products.initramfs,
        &products.testing,
    ] {
        let size = std::fs::metadata(path)
            .map(|data| data.len())
            .unwrap_or_default();
        println!("{:>9} bytes  {}", size, workspace.relative(path).display());
    }
    println!(
        "{:>9} programs {}",
        products.programs.len(),
        products.programs.join(" ")
    );
    if !products.skipped.is_empty() {
        println!("{:>9} left out", products.skipped.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// Sees that what a build needs is there, and what its caller `also` needs, and builds.
pub(crate) fn build(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &BuildArgs,
    also: &[Need],
) -> Result<Products> {
    let board = workspace.board(&args.board)?;
    let needs = [&[Need::Core, Need::Linker, Need::CCompiler], also].concat();
    setup::ensure(workspace, ui, consent, &needs)?;
    let toolchain = Toolchain::find()?;
    make(workspace, ui, &toolchain, board, args)
}

/// The package of the chainloader.
const CHAINLOADER: &str = "halyard-chainloader";

/// Builds with the tools that are there.
fn make(
    workspace: &Workspace,
    ui: &Ui,
    toolchain: &Toolchain,
    board: &Board,
    args: &BuildArgs,
) -> Result<Products> {
    let out = workspace.products(&args.board)?;
    let manifest = initramfs::Manifest::read(workspace)?;
    let mut packages = vec![board.package.as_str(), CHAINLOADER];
    packages.extend(manifest.rust_packages());
    let step = ui.step(format!(
        "building the kernel and the programs with rustc {}",
        toolchain.version
    ));
    let built = rust::build(workspace, ui, &step, toolchain, &packages, args.debug)?;
    step.done();

    let elf = built.kernel(&board.package)?;
    let image = out.join("Image");
    let bytes = read(elf)?;
    let filled = symbols::fill(&bytes).context("the kernel's symbol table cannot be filled")?;
    let flat = image::flatten(&filled)
        .with_context(|| format!("the kernel {} is not bootable", elf.display()))?;
    write(&image, &flat)?;

    let chainloader = chainloader(workspace, &built)?;

    let step = ui.step("building the C programs");
    let c = c_programs::build(workspace, ui, &step, &manifest, &out)?;
    step.done();

    let rust = built.programs(&manifest.rust_packages());
    let suites: Vec<String> = built
        .programs(&manifest.suite_packages())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let (ordinary, only_testing) = manifest.split(&rust, &suites, &c.built);
    let archive = initramfs::pack(workspace, &manifest, &ordinary, &[])?;
    let initramfs = out.join("initramfs.cpio");
    write(&initramfs, &archive.bytes)?;
    let archive = initramfs::pack(workspace, &manifest, &rust, &c.built)?;
    let testing = out.join("initramfs-testing.cpio");
    write(&testing, &archive.bytes)?;
    for skipped in &c.skipped {
        ui.warn(skipped);
    }
    Ok(Products {
        elf: elf.to_owned(),
        image,
        chainloader,
        initramfs,
        testing,
        programs: archive.programs,
        only_testing,
        suites,
        skipped: c.skipped,
    })
}

/// Makes the flat image of the chainloader; where it lies.
fn chainloader(workspace: &Workspace, built: &rust::Built) -> Result<PathBuf> {
    let elf = built.kernel(CHAINLOADER)?;
    let flat = image::flatten(&read(elf)?)
        .with_context(|| format!("the chainloader {} is not bootable", elf.display()))?;
    let path = workspace.products("chainloader")?.join("Image");
    write(&path, &flat)?;
    Ok(path)
}

/// Reads a file. Error: names it.
fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file, unless it holds those bytes already. Error: names it.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
