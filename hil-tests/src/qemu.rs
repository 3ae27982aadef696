//! QEMU as a rig, and the command line that makes a machine of a board.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::board::{ExitMethod, QemuBoard};
use crate::console::Console;
use crate::rig::{Boot, Rig, RigError};

/// The program.
pub const PROGRAM: &str = "qemu-system-aarch64";

/// Where the first serial line goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Serial {
    /// Standard input and output, nothing else.
    #[default]
    Stdio,
    /// The terminal, with QEMU's monitor behind `^A c` and `^A x` to quit.
    Terminal,
    /// A file that it is written to; nothing can be typed.
    File(PathBuf),
    /// A pseudo terminal, as a USB serial cable is one; the machine waits, switched off, for orders at this socket.
    Pty(PathBuf),
}

/// How to differ from what the board's entry says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Number of CPUs.
    pub cpus: Option<u32>,
    /// RAM, as `-m` takes it.
    pub memory: Option<String>,
    /// Deterministic time: one instruction takes one nanosecond of the machine's time.
    pub icount: bool,
    /// Where the serial line goes.
    pub serial: Serial,
    /// A reset starts the machine anew instead of ending it.
    pub resets: bool,
    /// Wait for a debugger on TCP port 1234 before the first instruction.
    pub debugger: bool,
    /// Another QEMU than the one on the path.
    pub program: Option<PathBuf>,
    /// The device tree to hand over, for machines that make none.
    pub dtb: Option<PathBuf>,
}

/// The command that boots `boot` on the machine QEMU makes of `board`.
pub fn command(board: &QemuBoard, boot: &Boot, options: &Options) -> Command {
    let mut command = machine(board, options);
    command.arg("-kernel").arg(&boot.kernel);
    if let Some(dtb) = &options.dtb {
        command.arg("-dtb").arg(dtb);
    }
    if let Some(initrd) = &boot.initrd {
        command.arg("-initrd").arg(initrd);
    }
    command.args(["-append", &boot.args.line()]);
    command
}

/// The command that starts the machine from a memory card: by `loader` in the firmware's stead, or by what is on the card.
pub fn card_command(
    board: &QemuBoard,
    card: &Path,
    loader: Option<&Path>,
    options: &Options,
) -> Command {
    let mut command = machine(board, options);
    let drive = format!("if=sd,format=raw,file={}", card.display());
    command.args(["-drive", &drive]);
    if let Some(loader) = loader {
        command.arg("-kernel").arg(loader);
        // The firmware would hand a tree over too.
        if let Some(dtb) = &options.dtb {
            command.arg("-dtb").arg(dtb);
        }
    }
    command
}

/// The machine, with nothing to start yet.
fn machine(board: &QemuBoard, options: &Options) -> Command {
    let program = options.program.as_deref();
    let mut command = Command::new(program.unwrap_or(Path::new(PROGRAM)));
    command.args(["-M", &board.machine]);
    if let Some(cpu) = &board.cpu {
        command.args(["-cpu", cpu]);
    }
    // -icount runs all CPUs in one thread in turn; QEMU takes any number of them.
    command.args(["-smp", &options.cpus.unwrap_or(board.cpus).to_string()]);
    command.args(["-m", options.memory.as_deref().unwrap_or(&board.memory)]);
    command.args(&board.args);
    command.args(["-display", "none"]);
    if !options.resets && !matches!(options.serial, Serial::Pty(_)) {
        command.arg("-no-reboot");
    }
    // Lines before the console's are left in the air.
    command.args(["-serial", "null"].repeat(board.serial));
    match &options.serial {
        Serial::Stdio => command.args(["-monitor", "none", "-serial", "stdio"]),
        Serial::Terminal => command.args(["-serial", "mon:stdio"]),
        Serial::File(path) => command.args([
            "-monitor",
            "none",
            "-serial",
            &format!("file:{}", path.display()),
        ]),
        Serial::Pty(orders) => {
            let orders = format!("unix:{},server=on,wait=off", orders.display());
            command.args(["-monitor", "none", "-serial", "pty", "-S", "-no-shutdown"]);
            command.args(["-qmp", &orders])
        }
    };
    if board.exit == ExitMethod::Semihosting {
        command.args(["-semihosting-config", "enable=on,target=native"]);
    }
    if options.icount {
        command.args(["-icount", "shift=0"]);
    }
    if options.debugger {
        command.args(["-S", "-gdb", "tcp:127.0.0.1:1234"]);
    }
    command
}

/// Picks the version out of what `qemu-system-aarch64 --version` prints.
pub fn version_in(text: &str) -> Option<&str> {
    let after = text.split("version ").nth(1)?;
    after
        .split(|c: char| !c.is_ascii_digit() && c != '.')
        .next()
        .filter(|version| !version.is_empty())
}

/// What QEMU complained of, its warnings left out.
fn grave(complaints: &str) -> String {
    let lines = complaints
        .lines()
        .filter(|line| !line.contains(": warning:"));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// A board played by QEMU, with its serial line on pipes.
pub struct QemuRig {
    name: String,
    board: QemuBoard,
    options: Options,
    running: Option<Running>,
}

struct Running {
    child: Child,
    complaints: JoinHandle<String>,
}

impl QemuRig {
    /// A rig for the board of that name.
    pub fn new(name: &str, board: &QemuBoard, options: Options) -> Self {
        Self {
            name: format!("qemu {name}"),
            board: board.clone(),
            options,
            running: None,
        }
    }
}

impl Rig for QemuRig {
    fn name(&self) -> &str {
        &self.name
    }

    fn power_on(&mut self, boot: &Boot) -> Result<Console, RigError> {
        self.power_off();
        let broken = |source| RigError::Start {
            program: PROGRAM.into(),
            source,
        };
        let mut command = command(&self.board, boot, &self.options);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(broken)?;
        let (Some(input), Some(output), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(RigError::Failed {
                rig: self.name.clone(),
                why: "its pipes are missing".into(),
            });
        };
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            // What cannot be read as text is not worth more than being left out.
            let _ = stderr.read_to_string(&mut text);
            text
        });
        self.running = Some(Running { child, complaints });
        Ok(Console::new(output, input))
    }

    fn wait_off(&mut self, within: Duration) -> Result<Option<i32>, RigError> {
        let Some(running) = &mut self.running else {
            return Ok(None);
        };
        let deadline = Instant::now() + within;
        let status = loop {
            match running.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(None) => return Ok(None),
                Err(source) => {
                    return Err(RigError::Start {
                        program: PROGRAM.into(),
                        source,
                    });
                }
            }
        };
        let complaints = self
            .running
            .take()
            .and_then(|running| running.complaints.join().ok())
            .unwrap_or_default();
        let why = grave(&complaints);
        match status.code() {
            // QEMU says why in words when it gives up; a program's exit code comes without any.
            Some(1) if !why.is_empty() => Err(RigError::Failed {
                rig: self.name.clone(),
                why,
            }),
            Some(code) => Ok(Some(code)),
            None => Err(RigError::Failed {
                rig: self.name.clone(),
                why: format!("{status} {why}"),
            }),
        }
    }

    fn power_off(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have left by itself in between, which is as good.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

impl Drop for QemuRig {
    fn drop(&mut self) {
        self.power_off();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootargs::BootArgs;

    fn board() -> QemuBoard {
        QemuBoard {
            version: "7.2.0".into(),
            machine: "virt".into(),
            cpu: Some("cortex-a53".into()),
            memory: "512M".into(),
            cpus: 4,
            args: vec!["-nic".into(), "none".into()],
            exit: ExitMethod::Semihosting,
            dtb: None,
            serial: 0,
            append: Vec::new(),
            i2c: None,
            gpio: None,
            own: false,
        }
    }

    fn words(options: &Options) -> Vec<String> {
        let args = BootArgs::new().kernel("quiet").init(["-c", "a b"]);
        let boot = Boot {
            kernel: "Image".into(),
            initrd: Some("rd".into()),
            args,
        };
        let command = command(&board(), &boot, options);
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    fn value_of(words: &[String], option: &str) -> Option<String> {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1).cloned()
    }

    #[test]
    fn command_takes_what_the_board_says() {
        let words = words(&Options::default());
        assert_eq!(value_of(&words, "-smp").as_deref(), Some("4"));
        assert_eq!(value_of(&words, "-nic").as_deref(), Some("none"));
        assert_eq!(
            value_of(&words, "-append").as_deref(),
            Some(r#"quiet -- -c "a b""#)
        );
        assert_eq!(
            value_of(&words, "-semihosting-config").as_deref(),
            Some("enable=on,target=native")
        );
        assert!(!words.contains(&"-icount".to_owned()));
    }

    #[test]
    fn command_options_win_over_the_board() {
        let options = Options {
            cpus: Some(1),
            memory: Some("64M".into()),
            icount: true,
            ..Options::default()
        };
        let words = words(&options);
        assert_eq!(value_of(&words, "-smp").as_deref(), Some("1"));
        assert_eq!(value_of(&words, "-m").as_deref(), Some("64M"));
        assert_eq!(value_of(&words, "-icount").as_deref(), Some("shift=0"));
    }

    #[test]
    fn command_leaves_the_lines_before_the_console_in_the_air() {
        let second = QemuBoard {
            serial: 1,
            ..board()
        };
        let boot = Boot {
            kernel: "Image".into(),
            initrd: None,
            args: BootArgs::new(),
        };
        let options = Options {
            dtb: Some("board.dtb".into()),
            program: Some("own/qemu".into()),
            ..Options::default()
        };
        let command = command(&second, &boot, &options);
        assert_eq!(command.get_program(), "own/qemu");
        let words: Vec<_> = command.get_args().collect();
        let serials: Vec<_> = words
            .windows(2)
            .filter(|pair| pair[0] == "-serial")
            .map(|pair| pair[1])
            .collect();
        assert_eq!(serials, ["null", "stdio"]);
        assert!(words.windows(2).any(|pair| pair == ["-dtb", "board.dtb"]));
    }

    #[test]
    fn warning_of_qemu_is_no_failure() {
        assert_eq!(grave("qemu: warning: old\n"), "");
        assert_eq!(
            grave("qemu: warning: old\nqemu: no such machine\n"),
            "qemu: no such machine"
        );
    }

    #[test]
    fn version_is_found_in_distribution_text() {
        assert_eq!(
            version_in("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"),
            Some("10.0.2")
        );
        assert_eq!(version_in("QEMU emulator version 7.2.22"), Some("7.2.22"));
        assert_eq!(version_in("nothing of the kind"), None);
    }
}
