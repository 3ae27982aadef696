//! `cargo xtask flash`: puts kernel and initramfs on a board's memory card.
//!
//! Onto a card that is mounted, [`partition`] replaces our files and touches nothing else. Onto a whole disk, [`disk`] says what
//! it is and why it may not be written, [`confirm`] has a person say so, [`writer`] writes and reads back. [`mounts`] reads what is
//! mounted where. [`uart`] sends to a chainloader instead, and
//! [`network`] writes for a TFTP server.

mod confirm;
mod disk;
mod mounts;
mod network;
mod partition;
mod uart;
mod writer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::image::{self, Contents, ImageArgs};
use crate::setup::Consent;
use crate::ui::Ui;
use crate::workspace::Workspace;

use confirm::Answer;
use disk::Disk;
use mounts::Mounts;

const AFTER: &str = "\
Examples:
  cargo xtask flash --board rpi4                          the mounted card with the label HALYARD
  cargo xtask flash --board rpi4 --to /media/me/HALYARD   that one; our files are replaced, no others
  cargo xtask flash --board rpi4 --device /dev/sdX --dry-run   what would be written over
  cargo xtask flash --board rpi4 --device /dev/sdX        a whole card: EVERYTHING on it is lost
  cargo xtask flash --board rpi4 --via uart               to the chainloader, over the serial line
  cargo xtask flash --board rpi4 --via tftp --to /srv/tftp/SERIAL   for the board to fetch by itself

A whole disk is written only if it is removable, of at most --largest GiB, and nothing of it is
mounted or in use. Model and serial number are shown and must be typed back; --yes answers for a
script. It is written with nobody else let in, then read back past the cache and compared.";

/// What to write, and where.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER)]
pub(crate) struct FlashArgs {
    #[command(flatten)]
    card: ImageArgs,

    /// A mounted boot partition, or a TFTP server's directory: our files are replaced, nothing else is touched
    #[arg(long, value_name = "DIR", conflicts_with = "device")]
    to: Option<PathBuf>,

    /// A whole disk: EVERYTHING on it is lost
    #[arg(long, value_name = "DISK")]
    device: Option<PathBuf>,

    /// Not onto a card
    #[arg(long, value_name = "WAY", conflicts_with = "device")]
    via: Option<Via>,

    /// The serial line for --via uart [default: the one USB serial cable]
    #[arg(long, short, value_name = "DEVICE", requires = "via")]
    port: Option<String>,

    /// Bits a second on that line
    #[arg(long, value_name = "RATE", default_value_t = 115_200)]
    baud: u32,

    /// Say what would be written where, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Refuse disks larger than so many GiB
    #[arg(long, value_name = "GIB", default_value_t = 64)]
    largest: u64,
}

/// A way to a board that does not touch its card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Via {
    /// To the chainloader on the board's serial line (its card is made with --chainloader)
    Uart,
    /// For a Raspberry Pi that starts from the network: into the directory of --to
    Tftp,
}

/// Writes where it was asked to; without being asked, onto a mounted card of ours. `yes` is the word of the command line:
/// consent to installing packages, which the environment can give, is no consent to this.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &FlashArgs,
    yes: bool,
) -> Result<ExitCode> {
    let (card, dry_run) = (&args.card, args.dry_run);
    match args.via {
        Some(Via::Uart) => {
            if args.to.is_some() || card.chainloader {
                bail!(
                    "--via uart sends a kernel to a board: it goes with neither --to nor --chainloader"
                );
            }
            let port = args.port.as_deref();
            return uart::send(workspace, ui, consent, card, port, args.baud, dry_run);
        }
        Some(Via::Tftp) => {
            return network::write(workspace, ui, consent, card, args.to.as_deref(), dry_run);
        }
        None => {}
    }
    image::card(workspace, &args.card.build.board)?;
    match &args.device {
        Some(device) => whole(workspace, ui, consent, args, device, yes),
        None => files(workspace, ui, consent, args),
    }
}

/// Replaces files on a mounted card.
fn files(workspace: &Workspace, ui: &Ui, consent: Consent, args: &FlashArgs) -> Result<ExitCode> {
    let mounts = Mounts::read()?;
    let place = match &args.to {
        Some(directory) => partition::check(directory, &mounts)?,
        None => match partition::find(Path::new("/dev/disk/by-label"), &mounts) {
            Some(place) => place,
            None => bail!(
                "no mounted card has the label {}\n  \
                 put the card in and mount it, or name its directory with --to;\n  \
                 a new card is written whole with --device: {}",
                image::LABEL,
                candidates(&mounts, args.largest)
            ),
        },
    };
    let contents = image::make(workspace, ui, consent, &args.card)?;
    let changes = partition::plan(&place, &contents)?;
    changes.show(&place, args.dry_run);
    if !contents.raw.is_empty() {
        ui.note("the firmware in front of the file system stays as it is; --device writes it");
    }
    if !args.dry_run {
        let step = ui.step("writing the files");
        changes.apply(&place, |path| step.progress(path))?;
        step.done();
        println!("Now unmount it: umount {}", place.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a whole disk.
fn whole(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &FlashArgs,
    device: &Path,
    yes: bool,
) -> Result<ExitCode> {
    // Asked before minutes of building, and again before the first byte: a card may be mounted in between.
    let look = || -> Result<Disk> {
        let disk = Disk::look(device)?;
        disk.check(&Mounts::read()?, args.largest)?;
        Ok(disk)
    };
    look()?;
    let contents = image::make(workspace, ui, consent, &args.card)?;
    let image = write_image(workspace, ui, &args.card.build.board, &contents)?;
    let disk = look()?;
    let size = std::fs::metadata(&image)?.len();
    disk.check_room(size)?;
    println!(
        "{disk}\n  would be written over with {}: {size} bytes",
        workspace.relative(&image).display()
    );
    if args.dry_run {
        println!("Nothing was written: --dry-run");
        return Ok(ExitCode::SUCCESS);
    }
    if confirm::ask(ui, &disk, yes)? == Answer::No {
        println!("Nothing was written: what was typed is not what was asked for");
        return Ok(ExitCode::FAILURE);
    }
    look()?;
    writer::write(ui, &image, &disk)?;
    writer::verify(ui, &image, &disk)?;
    println!("Written, read back and compared. The card can be taken out.");
    contents.show_licence(ui);
    Ok(ExitCode::SUCCESS)
}

fn write_image(
    workspace: &Workspace,
    ui: &Ui,
    board: &str,
    contents: &Contents,
) -> Result<PathBuf> {
    let image = workspace.products(board)?.join("card.img");
    let step = ui.step("making the image");
    image::write(&image, contents)?;
    step.done();
    Ok(image)
}

/// The disks that could be written, in words.
fn candidates(mounts: &Mounts, largest: u64) -> String {
    let names = std::fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten();
    let nodes = names.map(|entry| Path::new("/dev").join(entry.file_name()));
    let disks = nodes.filter_map(|node| Disk::look(&node).ok());
    // An unused loop device is a disk of no size.
    let fit = disks.filter(|disk| disk.size > 0 && disk.check(mounts, largest).is_ok());
    let found: Vec<String> = fit.map(|disk| disk.to_string()).collect();
    if found.is_empty() {
        return "no disk here may be written".into();
    }
    found.join("; ")
}
