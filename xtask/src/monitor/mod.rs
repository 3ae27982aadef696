//! `cargo xtask monitor`: a serial terminal for a board on the desk.
//!
//! [`port`] finds and opens the serial line, [`session`] shuttles bytes between it and the terminal and waits when the cable is
//! pulled, [`annotate`] reads along and adds to a panic's backtrace what [`places`] knows of the kernel's ELF file, [`records`] takes the
//! kernel's log out of the line and reads it by the texts that [`log`] finds in that file, [`keys`] are what a person types.

mod annotate;
mod keys;
mod log;
mod places;
mod port;
mod records;
mod session;

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use halyard_wire::frame::Kind;

use crate::ui::Ui;
use crate::workspace::Workspace;

pub(crate) use annotate::Annotator;
pub(crate) use keys::{Key, Raw, listen};
use places::Places;
pub(crate) use records::{Heard, Records};
use session::Session;

const AFTER: &str = "\
Examples:
  cargo xtask monitor --board rpi4                       the one USB serial cable there is
  cargo xtask monitor --board rpi4 --port /dev/serial/by-id/usb-FTDI...-port0

^A x ends it, ^A ^A types a ^A. The cable may be pulled and put back. Everything that comes is kept in
the log. A panic's backtrace gets files and lines from the kernel that was built last, or from --elf,
and the kernel's own log becomes readable by it (boot with log=info, or write info to
/proc/sys/kernel/log); if the board runs another build, that is said instead.";

/// Which line, and how.
#[derive(Debug, Clone, Args)]
#[command(after_help = AFTER)]
pub(crate) struct MonitorArgs {
    /// The board, by its name in boards.toml
    #[arg(long, short, default_value = "virt", value_name = "NAME")]
    board: String,

    /// The serial line [default: the one USB serial cable]
    #[arg(long, short, value_name = "DEVICE")]
    port: Option<String>,

    /// Bits a second
    #[arg(long, value_name = "RATE", default_value_t = 115_200)]
    baud: u32,

    /// Where everything that comes is kept [default: target/halyard/BOARD/monitor.log]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// The kernel's ELF file [default: the one that was built last for the board]
    #[arg(long, value_name = "FILE")]
    elf: Option<PathBuf>,

    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Shows the line until a person has enough.
pub(crate) fn verb(workspace: &Workspace, ui: &Ui, args: &MonitorArgs) -> Result<ExitCode> {
    let package = workspace.board(&args.board)?.package.clone();
    let port = port(args.port.as_deref())?;
    let log = match &args.log {
        Some(path) => path.clone(),
        None => workspace.products(&args.board)?.join("monitor.log"),
    };
    let file = OpenOptions::new().create(true).append(true).open(&log);
    let file = file.with_context(|| format!("cannot write the log {}", log.display()))?;
    let elf = args
        .elf
        .clone()
        .or_else(|| built(&workspace.target, &package));
    let annotator = match &elf {
        Some(elf) => annotator(ui, elf),
        None => Annotator::new(None, None),
    };
    ui.note(&format!(
        "{port} at {} baud, log in {}",
        args.baud,
        workspace.relative(&log).display()
    ));
    if io::stdin().is_terminal() {
        ui.note("^A x ends it");
    }
    let _raw = keys::Raw::set(io::stdin())?;
    let session = Session {
        open: Box::new(|| port::open(&port, args.baud)),
        name: port.clone(),
        keys: keys::listen(io::stdin()),
        annotator,
        log: file,
        end: args
            .timeout
            .map(|seconds| Instant::now() + Duration::from_secs(seconds)),
    };
    session.run(&mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

/// The serial line that was named, or the only cable there is. Error: there is none, or a choice.
pub(crate) fn port(named: Option<&str>) -> Result<String> {
    match named {
        Some(port) => Ok(port.into()),
        None => port::only(&port::usb()?),
    }
}

/// A reader of what the kernel of that ELF file says.
pub(crate) fn annotator(ui: &Ui, elf: &Path) -> Annotator {
    Annotator::new(places(ui, elf), Places::knowledge(elf).ok())
}

/// The log that came in those frames, a line for each record, and words about what cannot be read.
pub(crate) fn read_log(elf: &Path, frames: &[(Kind, Vec<u8>)]) -> Vec<String> {
    let mut records = records(elf);
    let lines = frames
        .iter()
        .filter_map(|(kind, payload)| records.frame(*kind, payload));
    lines.collect()
}

/// A reader of the log of that ELF file's kernel.
pub(crate) fn records(elf: &Path) -> Records {
    Records::new(Places::knowledge(elf).ok())
}

/// What the ELF file knows; without it the backtrace stays as the kernel prints it.
fn places(ui: &Ui, path: &Path) -> Option<Places> {
    match Places::read(path) {
        Ok(places) => Some(places),
        Err(error) => {
            ui.warn(&format!("backtraces get no files and lines: {error:#}"));
            None
        }
    }
}

/// The kernel of that package that was built last, by whichever tool chain.
fn built(target: &Path, package: &str) -> Option<PathBuf> {
    let profiles = ["release", "debug"].map(|profile| {
        target
            .join("kernel")
            .join(crate::toolchain::TARGET)
            .join(profile)
    });
    let files = profiles
        .into_iter()
        .map(|directory| directory.join(package));
    let dated = files.filter_map(|file| Some((fs::metadata(&file).ok()?.modified().ok()?, file)));
    dated.max().map(|(_, file)| file)
}
