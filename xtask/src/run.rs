//! `cargo xtask run`: boots a board in QEMU, on the terminal or for one command.

use std::io::{self, IsTerminal, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halyard_hil::board::{ExitMethod, QemuBoard};
use halyard_hil::bootargs::BootArgs;
use halyard_hil::qemu::{self, Options, Serial};
use halyard_hil::rig::Boot;

use crate::attach;
use crate::build::{self, Products};
use crate::cli::RunArgs;
use crate::machine;
use crate::monitor::{self, Heard, Records};
use crate::setup::{Consent, Need};
use crate::ui::Ui;
use crate::workspace::Workspace;

/// How long a machine may need until it listens, if it says nothing.
const BOOT: Duration = Duration::from_millis(1500);

/// A machine that says nothing for so long has come to its prompt.
const PAUSE: Duration = Duration::from_millis(250);

/// What `--timeout` leaves, as timeout(1) does.
const TIMED_OUT: u8 = 124;

/// Builds, boots, and ends with the exit code that the machine left.
pub(crate) fn verb(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &RunArgs,
) -> Result<ExitCode> {
    let board = qemu_board(workspace, &args.build.board)?;
    let products = build::build(workspace, ui, consent, &args.build, &[Need::Qemu])?;
    let boot = boot(&products, board, &args.words, &args.init);
    let on_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let logs = args.words.iter().any(|word| word.starts_with("log="));
    let options = Options {
        cpus: args.smp,
        memory: args.mem.clone(),
        icount: args.icount,
        serial: if on_terminal && !logs {
            Serial::Terminal
        } else {
            Serial::Stdio
        },
        ..machine::options(workspace, ui, consent, board)?
    };
    let command = qemu::command(board, &boot, &options);
    ui.command(&command);
    if on_terminal && args.init.is_empty() {
        ui.note("^A x ends QEMU, `exit` ends the shell");
    }
    let status = match (on_terminal, logs) {
        (true, false) => attached(command, args.timeout)?,
        (true, true) => attach::run(command, args.timeout, monitor::annotator(ui, &products.elf))?,
        (false, logs) => {
            let records = logs.then(|| monitor::records(&products.elf));
            piped(command, args.timeout, records)?
        }
    };
    Ok(match status {
        Some(status) => exit_code(status),
        None => {
            ui.warn("the time given with --timeout is up; the machine was switched off");
            ExitCode::from(TIMED_OUT)
        }
    })
}

/// The machine QEMU makes of a board. Error: it makes none.
pub(crate) fn qemu_board<'a>(workspace: &'a Workspace, name: &str) -> Result<&'a QemuBoard> {
    match &workspace.board(name)?.qemu {
        Some(qemu) => Ok(qemu),
        None => bail!("QEMU does not play the board '{name}'; boards.toml says how to reach it"),
    }
}

/// What is booted: quietly where init was given something to do.
pub(crate) fn boot(
    products: &Products,
    board: &QemuBoard,
    words: &[String],
    init: &[String],
) -> Boot {
    let mut line = BootArgs::new();
    if !init.is_empty() {
        line = line.kernel("quiet");
    }
    if board.exit == ExitMethod::Semihosting {
        line = line.kernel("semihosting");
    }
    for word in board.append.iter().chain(words) {
        line = line.kernel(word);
    }
    Boot {
        kernel: products.image.clone(),
        initrd: Some(products.initramfs_for(init).to_owned()),
        args: line.init(init),
    }
}

/// Runs QEMU with the terminal as its own; QEMU sets it to raw and back.
fn attached(mut command: Command, timeout: Option<u64>) -> Result<Option<ExitStatus>> {
    let mut child = command.spawn().context("cannot start QEMU")?;
    wait(&mut child, timeout)
}

/// Runs QEMU for a script: what the machine prints goes to standard output, with line ends as scripts expect them, and
/// what comes on standard input is typed at the machine. The kernel's log, if it is to be read, goes to standard error.
fn piped(
    mut command: Command,
    timeout: Option<u64>,
    records: Option<Records>,
) -> Result<Option<ExitStatus>> {
    if !io::stdin().is_terminal() {
        command.stdin(Stdio::piped());
    }
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start QEMU")?;
    let (heard, listened) = mpsc::channel();
    if let Some(input) = child.stdin.take() {
        // Not waited for: it may sit in a read that never returns, and ends with xtask.
        thread::spawn(move || {
            until_ready(&listened);
            type_in(io::stdin(), input)
        });
    }
    let copier = child
        .stdout
        .take()
        .map(|output| thread::spawn(move || copy(output, &heard, records)));
    let status = wait(&mut child, timeout)?;
    if let Some(copied) = copier.and_then(|copier| copier.join().ok()) {
        copied.context("cannot write what the machine prints")?;
    }
    Ok(status)
}

/// Waits until the machine has said something and then nothing for a while, as it does at a prompt, or until it has been
/// silent for so long that it will be. What is typed before it listens is lost.
fn until_ready(heard: &Receiver<()>) {
    let mut patience = BOOT;
    while heard.recv_timeout(patience).is_ok() {
        patience = PAUSE;
    }
}

/// Types what `input` gives at the machine, and ^D at its end: a serial line has no end of its own. Gives up when the
/// machine is off.
fn type_in(mut input: impl Read, mut console: impl Write) -> io::Result<()> {
    let mut last = b'\n';
    let mut buffer = [0; 4096];
    loop {
        let count = input.read(&mut buffer)?;
        let Some(&byte) = buffer[..count].last() else {
            break;
        };
        last = byte;
        console.write_all(&buffer[..count])?;
        console.flush()?;
    }
    // Within a line the first ^D only hands on what was typed; the second one ends it. Source: termios(3), VEOF.
    console.write_all(if last == b'\n' { b"\x04" } else { b"\x04\x04" })?;
    console.flush()?;
    // The line stays open: closing it would be no different to the machine, but QEMU might take it for an error.
    loop {
        thread::park();
    }
}

/// Copies a console to standard output, each CR LF as LF, until it closes, and says so each time it hears something.
fn copy(
    mut console: ChildStdout,
    heard: &Sender<()>,
    mut records: Option<Records>,
) -> io::Result<()> {
    let mut output = io::stdout();
    let mut lines = LineEnds::default();
    let mut buffer = [0; 4096];
    loop {
        let count = console.read(&mut buffer)?;
        // Nobody may be listening, which is as good.
        let _ = heard.send(());
        let text = match &mut records {
            Some(records) => without_log(records, &buffer[..count]),
            None => buffer[..count].to_vec(),
        };
        let text = if count == 0 {
            [lines.turn(&text), lines.rest()].concat()
        } else {
            lines.turn(&text)
        };
        match output.write_all(&text).and_then(|()| output.flush()) {
            // Whoever read it has enough; the machine goes on to its end.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other?,
        }
        if count == 0 {
            return Ok(());
        }
    }
}

/// The text in what came; nothing is the end. The log goes to standard error.
fn without_log(records: &mut Records, bytes: &[u8]) -> Vec<u8> {
    let heard = if bytes.is_empty() {
        records.idle()
    } else {
        records.take(bytes)
    };
    let mut text = Vec::new();
    for piece in heard {
        match piece {
            Heard::Text(bytes) => text.extend(bytes),
            Heard::Remark(line) => eprintln!("{line}"),
        }
    }
    text
}

/// Turns CR LF into LF, across the borders of what is read at a time.
#[derive(Default)]
struct LineEnds {
    held: bool,
}

impl LineEnds {
    fn turn(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() + 1);
        for &byte in bytes {
            if self.held && byte != b'\n' {
                text.push(b'\r');
            }
            self.held = byte == b'\r';
            if !self.held {
                text.push(byte);
            }
        }
        text
    }

    fn rest(&mut self) -> Vec<u8> {
        if std::mem::take(&mut self.held) {
            vec![b'\r']
        } else {
            Vec::new()
        }
    }
}

/// Waits for QEMU, and ends it when time is up: then there is no status.
fn wait(child: &mut Child, timeout: Option<u64>) -> Result<Option<ExitStatus>> {
    let Some(seconds) = timeout else {
        return Ok(Some(child.wait()?));
    };
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The machine's exit code as xtask's.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_turned_across_reads() {
        let mut lines = LineEnds::default();
        let mut text = lines.turn(b"a\r");
        text.extend(lines.turn(b"\nb\r\n\rc\r"));
        text.extend(lines.rest());
        assert_eq!(text, b"a\nb\n\rc\r");
    }

    #[test]
    fn boot_for_a_command_is_quiet() {
        let workspace = Workspace::find().expect("workspace");
        let board = qemu_board(&workspace, "virt").expect("virt");
        let products = Products {
            elf: "e".into(),
            image: "i".into(),
            chainloader: "c".into(),
            initramfs: "r".into(),
            testing: "t".into(),
            programs: Vec::new(),
            only_testing: vec!["fuzz".into()],
            suites: Vec::new(),
            skipped: Vec::new(),
        };
        let words = ["trace".to_owned()];
        let line = |init: &[String]| boot(&products, board, &words, init).args.line();
        assert_eq!(line(&[]), "semihosting trace");
        let command = ["-c".to_owned(), "ls /".to_owned()];
        assert_eq!(line(&command), r#"quiet semihosting trace -- -c "ls /""#);
        let initrd = |command: &str| {
            let init = ["-c".to_owned(), command.to_owned()];
            boot(&products, board, &words, &init).initrd
        };
        assert_eq!(initrd("ls /bin").as_deref(), Some("r".as_ref()));
        assert_eq!(initrd("ls; /bin/fuzz 100").as_deref(), Some("t".as_ref()));
    }
}
