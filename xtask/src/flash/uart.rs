//! Onto a board that has no card with a kernel, but one with the chainloader: over the serial line.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use halyard_hil::bootargs::BootArgs;
use halyard_hil::load;
use halyard_wire::load::{BLOCK, Load, Progress};

use crate::build::{self, Products};
use crate::image::ImageArgs;
use crate::monitor;
use crate::setup::Consent;
use crate::ui::{Bar, Step, Ui};
use crate::workspace::Workspace;

/// How long a person may take to switch the board on.
const PATIENCE: Duration = Duration::from_secs(600);

/// Builds, and sends what was built. Without a board that answers it waits until one is switched on.
pub(super) fn send(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &ImageArgs,
    port: Option<&str>,
    baud: u32,
    dry_run: bool,
) -> Result<ExitCode> {
    let products = build::build(workspace, ui, consent, &args.build, &[])?;
    let (kernel, initramfs) = files(args, &products);
    let read =
        |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (kernel_bytes, initramfs_bytes) = (read(&kernel)?, read(&initramfs)?);
    let words = args
        .words
        .iter()
        .fold(BootArgs::new(), |line, word| line.kernel(word))
        .line();
    let what = Load::new(&kernel_bytes, &initramfs_bytes, &words)
        .with_context(|| format!("{} cannot be sent", kernel.display()))?;
    let port = monitor::port(port)?;
    println!(
        "{} and {}: {} bytes over {port} at {baud} baud",
        workspace.relative(&kernel).display(),
        workspace.relative(&initramfs).display(),
        kernel_bytes.len() + initramfs_bytes.len()
    );
    if dry_run {
        println!("Nothing was sent: --dry-run");
        return Ok(ExitCode::SUCCESS);
    }
    let mut shown = Shown::new(ui, what.blocks());
    load::send(
        &mut || load::open(&port, baud),
        what,
        baud,
        PATIENCE,
        &mut |progress| shown.tell(progress),
    )?;
    drop(shown);
    println!("The board has all of it, and starts it; `cargo xtask monitor` shows what it says.");
    Ok(ExitCode::SUCCESS)
}

/// Kernel and initramfs.
fn files(args: &ImageArgs, products: &Products) -> (PathBuf, PathBuf) {
    let initramfs = if args.testing {
        &products.testing
    } else {
        &products.initramfs
    };
    (products.image.clone(), initramfs.clone())
}

/// What a person sees meanwhile.
struct Shown<'a> {
    ui: &'a Ui,
    blocks: u32,
    waiting: Option<Step>,
    bar: Option<Bar>,
}

impl<'a> Shown<'a> {
    fn new(ui: &'a Ui, blocks: u32) -> Self {
        Self {
            ui,
            blocks,
            waiting: None,
            bar: None,
        }
    }

    fn tell(&mut self, progress: Progress) {
        let bytes = |blocks: u32| u64::from(blocks) * BLOCK as u64;
        match progress {
            Progress::Calling => {
                let ui = self.ui;
                self.waiting.get_or_insert_with(|| {
                    ui.step("waiting for the chainloader: switch the board on, or reset it")
                });
            }
            Progress::Sending(block) => {
                self.waiting = None;
                let (ui, blocks) = (self.ui, self.blocks);
                let bar = self
                    .bar
                    .get_or_insert_with(|| ui.bar("sending", bytes(blocks)));
                bar.set(bytes(block));
            }
            Progress::Checking | Progress::Started | Progress::Failed(_) => self.bar = None,
        }
    }
}
