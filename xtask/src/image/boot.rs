//! Starts a card in QEMU, through firmware that QEMU can run: the Pine64's own, or U-Boot in place of the Raspberry Pi's.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use halyard_hil::board::ExitMethod;
use halyard_hil::console::Console;
use halyard_hil::qemu::{self, Options, Serial};

use super::{ImageArgs, card, contents_of, disk};
use crate::build;
use crate::machine;
use crate::run;
use crate::setup::{self, Consent, Need};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// What the shell prompts with.
const PROMPT: &str = "halyard:/$ ";

/// The kernel's first word, whatever the firmware said before it.
const BANNER: &str = "Halyard ";

/// Makes a card for QEMU and starts it: on the terminal, or until the prompt.
pub(super) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &ImageArgs,
    until_prompt: Option<u64>,
) -> Result<ExitCode> {
    let serial = if until_prompt.is_some() {
        Serial::Stdio
    } else {
        Serial::Terminal
    };
    let mut command = command(workspace, ui, consent, args, serial)?;
    ui.command(&command);
    match until_prompt {
        Some(seconds) => {
            let step = ui.step("starting from the card");
            let started = prompt(command, Duration::from_secs(seconds));
            step.done();
            let started = started.map_err(Silent::into_error)?;
            started.lines.iter().for_each(|line| println!("{line}"));
            println!("the shell prompts after {:.1} s", started.seconds);
            Ok(ExitCode::SUCCESS)
        }
        None => {
            ui.note("^A x ends QEMU, `exit` ends the shell");
            Ok(run::exit_code(
                command.status().context("cannot start QEMU")?,
            ))
        }
    }
}

/// The command that starts the card, which is made here.
fn command(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &ImageArgs,
    serial: Serial,
) -> Result<Command> {
    let card = card(workspace, &args.build.board)?;
    let board = run::qemu_board(workspace, &args.build.board)?;
    let options = Options {
        serial,
        ..machine::options(workspace, ui, consent, board)?
    };
    let products = build::build(workspace, ui, consent, &args.build, &[Need::Qemu])?;
    let mut words = board.append.clone();
    if board.exit == ExitMethod::Semihosting {
        words.push("semihosting".into());
    }
    words.extend(args.words.iter().cloned());
    let contents = contents_of(workspace, ui, args, card, &products, &words)?;
    let image = workspace.products(&args.build.board)?.join("card-qemu.img");
    disk::write(&image, &contents)?;
    let loader = match (&card.emulated_by, &args.firmware) {
        (Some(file), Some(directory)) => Some(directory.join(file)),
        (Some(file), None) => Some(setup::fetch_firmware(workspace, ui, &[file])?.join(file)),
        (None, _) => None,
    };
    Ok(qemu::card_command(
        board,
        &image,
        loader.as_deref(),
        &options,
    ))
}

/// How a test's start from a card went.
pub(crate) struct Started {
    /// How long the shell took to prompt.
    pub(crate) seconds: f32,
    /// What was said last.
    lines: Vec<String>,
}

/// The shell did not prompt.
pub(crate) struct Silent {
    /// What came instead.
    pub(crate) why: String,
    /// What was said last.
    pub(crate) lines: Vec<String>,
}

impl Silent {
    fn into_error(self) -> anyhow::Error {
        for line in &self.lines {
            eprintln!("  | {line}");
        }
        anyhow::anyhow!("{}; above is what came", self.why)
    }
}

impl From<anyhow::Error> for Silent {
    fn from(error: anyhow::Error) -> Self {
        Silent {
            why: format!("{error:#}"),
            lines: Vec::new(),
        }
    }
}

/// Makes a card for QEMU, starts it, and ends the machine when the shell prompts, for a test.
pub(crate) fn until_prompt(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &ImageArgs,
    within: Duration,
) -> Result<Started, Silent> {
    let command = command(workspace, ui, consent, args, Serial::Stdio)?;
    prompt(command, within)
}

/// Runs until the shell prompts.
fn prompt(mut command: Command, within: Duration) -> Result<Started, Silent> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start QEMU")?;
    let started = Instant::now();
    let deadline = started + within;
    let mut console = match (child.stdin.take(), child.stdout.take()) {
        (Some(input), Some(output)) => Console::new(output, input),
        _ => return Err(anyhow::anyhow!("QEMU's pipes are missing").into()),
    };
    let came = console
        .wait_for(BANNER, within, deadline)
        .and_then(|()| console.wait_for(PROMPT, within, deadline));
    let seconds = started.elapsed().as_secs_f32();
    // It is of no more use either way.
    let _ = child.kill();
    let _ = child.wait();
    match came {
        Ok(()) => Ok(Started {
            seconds,
            lines: console.tail(12),
        }),
        Err(event) => Err(Silent {
            why: format!(
                "{event:?} instead of the shell's prompt within {} s",
                within.as_secs()
            ),
            lines: console.tail(40),
        }),
    }
}
