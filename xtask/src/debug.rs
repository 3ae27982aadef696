//! `cargo xtask debug`: a board in QEMU under a debugger, stopped before its first instruction.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};

use anyhow::{Context, Result};
use halyard_hil::qemu::{self, Options, Serial};

use crate::build;
use crate::cli::DebugArgs;
use crate::machine;
use crate::process;
use crate::run;
use crate::setup::{self, Consent, DEBUGGER, Need};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// Builds, starts QEMU, and gives the terminal to the debugger, or with `--console` to the machine.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &DebugArgs,
) -> Result<ExitCode> {
    let mut needs = vec![Need::Qemu];
    if !args.console {
        needs.push(Need::Debugger);
    }
    let board = run::qemu_board(workspace, &args.build.board)?;
    let products = build::build(workspace, ui, consent, &args.build, &needs)?;
    let log = workspace.products(&args.build.board)?.join("console.log");
    let serial = if args.console {
        Serial::Terminal
    } else {
        Serial::File(log.clone())
    };
    let options = Options {
        cpus: args.smp,
        serial,
        debugger: true,
        ..machine::options(workspace, ui, consent, board)?
    };
    let mut machine = qemu::command(
        board,
        &run::boot(&products, board, &[], &args.init),
        &options,
    );
    ui.command(&machine);
    let status = if args.console {
        let words = process::words(&debugger(&products.elf, &[])).join(" ");
        ui.note(&format!("the machine waits; in another terminal: {words}"));
        machine.status().context("cannot start QEMU")?
    } else {
        ui.note(&format!(
            "what the machine prints goes to {}",
            workspace.relative(&log).display()
        ));
        under_debugger(ui, machine, debugger(&products.elf, &args.gdb))?
    };
    Ok(run::exit_code(status))
}

/// Gives the terminal to the debugger; the machine goes off with it.
fn under_debugger(ui: &Ui, mut machine: Command, mut debugger: Command) -> Result<ExitStatus> {
    // A group of its own: ^C is for the debugger, and would end QEMU.
    let machine = Running(
        machine
            .process_group(0)
            .spawn()
            .context("cannot start QEMU")?,
    );
    ui.command(&debugger);
    let mend = || {
        format!(
            "cannot start {DEBUGGER}; it comes by: {}",
            setup::mend(Need::Debugger)
        )
    };
    let status = debugger.status().with_context(mend)?;
    drop(machine);
    Ok(status)
}

/// The debugger, connected to a machine that QEMU has stopped.
fn debugger(elf: &Path, commands: &[String]) -> Command {
    let mut command = Command::new(DEBUGGER);
    command.args([
        "-q",
        "-ex",
        "set confirm off",
        "-ex",
        "target remote 127.0.0.1:1234",
    ]);
    for words in commands {
        command.args(["-ex", words]);
    }
    command.arg(elf);
    command
}

/// A machine that goes off when the debugger is through with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have gone off by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
