//! `cargo xtask size`: how large the kernel is.

use std::process::ExitCode;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionFlags};

use crate::build;
use crate::cli::BuildArgs;
use crate::setup::Consent;
use crate::ui::Ui;
use crate::workspace::Workspace;

/// Prints the size of each loaded section, of the image and of the initramfs, in bytes.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &BuildArgs,
) -> Result<ExitCode> {
    let products = build::build(workspace, ui, consent, args, &[])?;
    let bytes = std::fs::read(&products.elf).context("cannot read the kernel")?;
    let file = object::File::parse(&*bytes).context("the kernel is no ELF file")?;
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        if sh_flags.0 & object::elf::SHF_ALLOC.0 != 0 && section.size() > 0 {
            println!(
                "{:>9}  {:#018x}  {}",
                section.size(),
                section.address(),
                section.name().unwrap_or("?")
            );
        }
    }
    for path in [&products.image, &products.initramfs, &products.testing] {
        let size = std::fs::metadata(path)
            .map(|data| data.len())
            .unwrap_or_default();
        println!("{size:>9}  {}", workspace.relative(path).display());
    }
    Ok(ExitCode::SUCCESS)
}
