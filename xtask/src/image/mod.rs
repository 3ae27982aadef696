//! `cargo xtask image`: a memory card's image, made without root: partition table, FAT32, firmware, kernel, initramfs.
//!
//! [`contents`] gathers what a board's card holds, [`disk`] writes the image and [`mbr`] its partition table, [`boot`] starts
//! it in QEMU through firmware that QEMU can run.

mod boot;
mod contents;
mod disk;
mod mbr;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use halyard_hil::board::Card;

use crate::build::{self, Products};
use crate::cli::BuildArgs;
use crate::setup::{self, Consent};
use crate::ui::Ui;
use crate::workspace::Workspace;

pub(crate) use boot::until_prompt;
use contents::gather;
pub(crate) use contents::{Contents, KEPT};
pub(crate) use disk::{LABEL, write};

const AFTER: &str = "\
Examples:
  cargo xtask image --board rpi4          target/halyard/rpi4/card.img, to be written to a card
  cargo xtask image --board rpi4 --boot   the same for QEMU, and start it there (^A x quits)
  cargo xtask image --board rpi4 --chainloader   one that waits on the serial line for a kernel
  cargo xtask flash --board rpi4          write it: see `cargo xtask flash --help`

The firmware comes from Debian's packages, or from --firmware DIR with the packages unpacked below
it, each in a directory of its name. The Raspberry Pi's is not free: it may be passed on unmodified
and be used with a Raspberry Pi only. Its licence lies on the card beside it.";

/// What to put on a card.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// Take the firmware from Debian packages unpacked below DIR, each in a directory of its name
    #[arg(long, value_name = "DIR")]
    pub(crate) firmware: Option<PathBuf>,

    /// A further word for the kernel's command line; may be given more than once
    #[arg(long = "append", value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,

    /// With the test programs in the initramfs
    #[arg(long)]
    pub(crate) testing: bool,

    /// With the chainloader in the kernel's place: cargo xtask flash --via uart (docs/chainloader.md)
    #[arg(long)]
    pub(crate) chainloader: bool,
}

/// What to make of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImageVerbArgs {
    #[command(flatten)]
    card: ImageArgs,

    /// Where the image goes [default: target/halyard/BOARD/card.img]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Make it for QEMU, and start it there
    #[arg(long, conflicts_with = "output")]
    boot: bool,

    /// With --boot: end when the shell prompts, and fail if it has not within so many seconds
    #[arg(long, value_name = "SECONDS", requires = "boot")]
    until_prompt: Option<u64>,
}

/// Makes the image, and starts it if that was asked for.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &ImageVerbArgs,
) -> Result<ExitCode> {
    if args.boot {
        return boot::verb(workspace, ui, consent, &args.card, args.until_prompt);
    }
    let output = match &args.output {
        Some(path) => path.clone(),
        None => workspace.products(&args.card.build.board)?.join("card.img"),
    };
    let contents = make(workspace, ui, consent, &args.card)?;
    let step = ui.step("writing the image");
    let size = disk::write(&output, &contents)?;
    step.done();
    println!("{size:>9} bytes  {}", workspace.relative(&output).display());
    for (path, data) in &contents.files {
        println!("{:>9} bytes    {path}", data.len());
    }
    contents.show_licence(ui);
    Ok(ExitCode::SUCCESS)
}

/// Builds what a card for the board holds.
pub(crate) fn make(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &ImageArgs,
) -> Result<Contents> {
    let card = card(workspace, &args.build.board)?;
    let products = build::build(workspace, ui, consent, &args.build, &[])?;
    contents_of(workspace, ui, args, card, &products, &args.words)
}

/// Gathers a card for what was built.
fn contents_of(
    workspace: &Workspace,
    ui: &Ui,
    args: &ImageArgs,
    card: &Card,
    products: &Products,
    words: &[String],
) -> Result<Contents> {
    let firmware = match &args.firmware {
        Some(directory) => directory.clone(),
        None => firmware(workspace, ui, card)?,
    };
    let tree = crate::machine::device_tree(workspace, ui, &card.dtb)?;
    let initramfs = if args.testing {
        &products.testing
    } else {
        &products.initramfs
    };
    let kernel = if args.chainloader {
        &products.chainloader
    } else {
        &products.image
    };
    gather(card, &firmware, kernel, initramfs, &tree, words)
}

/// The card of a board. Error: it starts from none; those that do are named.
pub(crate) fn card<'a>(workspace: &'a Workspace, name: &str) -> Result<&'a Card> {
    if let Some(card) = &workspace.board(name)?.card {
        return Ok(card);
    }
    let boards = workspace.boards.iter();
    let known: Vec<&str> = boards
        .filter(|(_, board)| board.card.is_some())
        .map(|(name, _)| name)
        .collect();
    bail!(
        "the board '{name}' starts from no memory card; name one that does with --board: {}",
        known.join(", ")
    );
}

/// The files of Debian's packages that a card, and its start in QEMU, take.
fn files(card: &Card) -> Vec<&str> {
    let raw = card.raw.iter().map(|raw| raw.file.as_str());
    let firmware = card.firmware.iter().map(String::as_str);
    firmware
        .chain(raw)
        .chain(card.emulated_by.as_deref())
        .collect()
}

/// Sees to it that the firmware of a card is here; fetched if it is not. Error: it cannot be had.
pub(crate) fn firmware(workspace: &Workspace, ui: &Ui, card: &Card) -> Result<PathBuf> {
    setup::fetch_firmware(workspace, ui, &files(card))
}

/// Fetches the firmware of every board.
pub(crate) fn fetch_all(workspace: &Workspace, ui: &Ui) -> Result<PathBuf> {
    let cards = workspace
        .boards
        .iter()
        .filter_map(|(_, board)| board.card.as_ref());
    let all: Vec<&str> = cards.flat_map(files).collect();
    setup::fetch_firmware(workspace, ui, &all).context("the boards' firmware is not here")
}
