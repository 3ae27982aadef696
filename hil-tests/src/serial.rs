//! Opens a serial line as a console: a USB serial cable, or a pseudo terminal, which is the same to it.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serialport::{ClearBuffer, SerialPort};

use crate::console::Console;
use crate::rig::RigError;

/// How long one read waits; whether anybody still listens is asked in between.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long an earlier reader of this program may take to let go of a line.
const RELEASE: Duration = Duration::from_secs(1);

/// A line with nothing of an earlier boot in it. Error: it is not there, or another program has it.
pub fn open(rig: &str, port: &str, baud: u32) -> Result<Console, RigError> {
    let failed = |error: serialport::Error| RigError::Failed {
        rig: rig.into(),
        why: format!("its serial line {port} cannot be opened: {error}"),
    };
    let deadline = Instant::now() + RELEASE;
    let line = loop {
        match serialport::new(port, baud).timeout(PATIENCE).open() {
            Ok(line) => break line,
            // The reader of the boot before may not have looked up yet.
            Err(_) if Path::new(port).exists() && Instant::now() < deadline => {
                thread::sleep(PATIENCE)
            }
            Err(error) => return Err(failed(error)),
        }
    };
    line.clear(ClearBuffer::Input).map_err(failed)?;
    let input = line.try_clone().map_err(failed)?;
    let listening = Arc::new(AtomicBool::new(true));
    let output = Output {
        line,
        listening: Arc::clone(&listening),
    };
    Ok(Console::new(
        output,
        Input {
            line: input,
            listening,
        },
    ))
}

/// What the board says.
struct Output {
    line: Box<dyn SerialPort>,
    listening: Arc<AtomicBool>,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.listening.load(Ordering::Relaxed) {
            match self.line.read(buffer) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                other => return other,
            }
        }
        Ok(0)
    }
}

/// What is typed at it. When this goes the reader does too, and the line is free for the next.
struct Input {
    line: Box<dyn SerialPort>,
    listening: Arc<AtomicBool>,
}

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Waiting until the last bit is on the wire would wait for ever where nobody reads.
        Ok(())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.listening.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use serialport::TTYPort;

    use super::*;

    #[test]
    fn line_can_be_opened_again_at_once() {
        let (_board, terminal) = TTYPort::pair().expect("a pty");
        let name = terminal.name().expect("a name");
        drop(terminal);
        for _ in 0..5 {
            drop(open("r", &name, 115_200).expect("open"));
        }
    }

    #[test]
    fn line_that_is_absent_or_taken_is_a_broken_rig() {
        let (_board, terminal) = TTYPort::pair().expect("a pty");
        let name = terminal.name().expect("a name");
        drop(terminal);
        let _taken = open("r", &name, 115_200).expect("open");
        let started = Instant::now();
        let why = open("r", &name, 115_200)
            .err()
            .expect("refusal")
            .to_string();
        assert!(why.contains(&name) && started.elapsed() >= RELEASE, "{why}");
        assert!(open("r", "/dev/absent", 115_200).is_err());
    }
}
