//! QEMU as a board on the desk: its serial line is a pseudo terminal, its power switch is QMP.
//!
//! This is the code path of a board on a USB serial cable, so that what is tested here holds there. Source: QEMU QMP Reference.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use qapi::{Command, qmp};

use crate::board::QemuBoard;
use crate::console::Console;
use crate::orders::Orders;
use crate::qemu::{self, Options, PROGRAM, Serial};
use crate::rig::{Boot, Rig, RigError};
use crate::serial;

/// How long QEMU may take to listen to orders, and to obey one.
const PATIENCE: Duration = Duration::from_secs(10);

/// A speed, which a pseudo terminal does not mind.
const BAUD: u32 = 115_200;

/// A QEMU machine behind a pseudo terminal.
pub struct PtyRig {
    name: String,
    board: QemuBoard,
    options: Options,
    socket: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    orders: Orders,
    port: String,
    boot: Boot,
}

impl PtyRig {
    /// A rig for a board's machine; `socket` is a path where its orders are taken, which must not be long.
    pub fn new(name: &str, board: &QemuBoard, options: Options, socket: PathBuf) -> Self {
        Self {
            name: name.into(),
            board: board.clone(),
            options: Options {
                serial: Serial::Pty(socket.clone()),
                ..options
            },
            socket,
            running: None,
        }
    }

    fn failed(&self, why: impl ToString) -> RigError {
        RigError::Failed {
            rig: self.name.clone(),
            why: why.to_string(),
        }
    }

    /// Starts QEMU, which waits with the machine switched off.
    fn start(&self, boot: &Boot) -> Result<Running, RigError> {
        // One of an earlier run, if that was ended by force.
        let _ = std::fs::remove_file(&self.socket);
        let mut command = qemu::command(&self.board, boot, &self.options);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| RigError::Start {
            program: PROGRAM.into(),
            source,
        })?;
        let started = self.connect(&mut child).and_then(|mut orders| {
            let port = self.port(&mut orders)?;
            Ok((orders, port))
        });
        match started {
            Ok((orders, port)) => Ok(Running {
                child,
                orders,
                port,
                boot: boot.clone(),
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Gets QEMU's ear. Error: it gave up, with what it said, or does not listen.
    fn connect(&self, child: &mut Child) -> Result<Orders, RigError> {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            if let Ok(stream) = UnixStream::connect(&self.socket) {
                break stream;
            }
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                let mut said = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    let _ = stderr.read_to_string(&mut said);
                }
                return Err(self.failed(said.trim()));
            }
            if Instant::now() > deadline {
                return Err(self.failed("QEMU takes no orders"));
            }
            thread::sleep(Duration::from_millis(20));
        };
        Orders::over(stream, PATIENCE)
            .map_err(|error| self.failed(format!("QEMU takes no orders: {error}")))
    }

    /// The pseudo terminal of the console.
    fn port(&self, orders: &mut Orders) -> Result<String, RigError> {
        let label = format!("serial{}", self.board.serial);
        let lines = orders
            .give(&qmp::query_chardev {})
            .map_err(|error| self.failed(error))?;
        let line = lines.into_iter().find(|line| line.label == label);
        let port = line.and_then(|line| line.filename.strip_prefix("pty:").map(str::to_owned));
        port.ok_or_else(|| self.failed(format!("QEMU has no pseudo terminal for {label}")))
    }

    /// Gives an order to a machine that runs.
    fn order<C: Command>(&mut self, command: &C) -> Result<(), RigError> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let obeyed = running.orders.give(command);
        obeyed.map(drop).map_err(|error| self.failed(error))
    }

    /// Makes the machine as it is before its first instruction; gives the name of its serial line.
    pub fn reset(&mut self, boot: &Boot) -> Result<String, RigError> {
        let same = self.running.as_mut().is_some_and(|running| {
            running.boot == *boot
                && running
                    .child
                    .try_wait()
                    .is_ok_and(|status| status.is_none())
        });
        if same {
            self.order(&qmp::stop {})?;
            self.order(&qmp::system_reset {})?;
        } else {
            self.stop();
            self.running = Some(self.start(boot)?);
        }
        match &self.running {
            Some(running) => Ok(running.port.clone()),
            None => Err(self.failed("it did not start")),
        }
    }

    /// Lets it run.
    pub fn go(&mut self) -> Result<(), RigError> {
        self.order(&qmp::cont {})
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // It may have left by itself, which is as good.
            let _ = running.child.kill();
            let _ = running.child.wait();
            let _ = std::fs::remove_file(&self.socket);
        }
    }
}

impl Rig for PtyRig {
    fn name(&self) -> &str {
        &self.name
    }

    fn power_on(&mut self, boot: &Boot) -> Result<Console, RigError> {
        let port = self.reset(boot)?;
        // What the machine says before somebody listens would be lost.
        let console = serial::open(&self.name, &port, BAUD)?;
        self.go()?;
        Ok(console)
    }

    fn wait_off(&mut self, _within: Duration) -> Result<Option<i32>, RigError> {
        Ok(None)
    }

    fn power_off(&mut self) {
        if self.order(&qmp::stop {}).is_err() {
            self.stop();
        }
    }
}

impl Drop for PtyRig {
    fn drop(&mut self) {
        self.stop();
    }
}
