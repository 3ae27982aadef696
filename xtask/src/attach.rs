//! A machine on the terminal, with its log read along: as `cargo xtask monitor` shows a board.
//!
//! Without the log QEMU has the terminal to itself; with it, frames come between the text and somebody has to take them out.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::monitor::{Annotator, Key, Raw, listen};

/// How often keys are looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// A frame of the log that has paused for so long has lost its end.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs the machine until it ends, or a person has enough (`^A x`), or time is up: then there is no status.
pub(crate) fn run(
    mut command: Command,
    timeout: Option<u64>,
    annotator: Annotator,
) -> Result<Option<ExitStatus>> {
    let _raw = Raw::set(io::stdin())?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start QEMU")?;
    let end = timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let shown = show(&mut child, annotator, &listen(io::stdin()), end);
    // It may have ended by itself.
    let _ = child.kill();
    let status = child.wait()?;
    Ok(shown?.then_some(status))
}

/// Shuttles bytes; says whether the machine ended by itself.
fn show(
    child: &mut Child,
    mut annotator: Annotator,
    keys: &Receiver<Key>,
    end: Option<Instant>,
) -> Result<bool> {
    let output = child.stdout.take().context("QEMU has no output")?;
    let mut input = child.stdin.take().context("QEMU has no input")?;
    let chunks = read(output);
    let (mut terminal, mut heard) = (io::stdout(), Instant::now());
    while end.is_none_or(|end| Instant::now() < end) {
        match keys.try_recv() {
            Ok(Key::Quit) => return Ok(false),
            // A machine that takes nothing is off, which its output tells.
            Ok(Key::Bytes(bytes)) => _ = input.write_all(&bytes).and_then(|()| input.flush()),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        let text = match chunks.recv_timeout(GLANCE) {
            Ok(chunk) => {
                heard = Instant::now();
                annotator.take(&chunk)
            }
            Err(RecvTimeoutError::Timeout) if heard.elapsed() >= PAUSE => annotator.idle(),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Ok(true),
        };
        terminal.write_all(&text)?;
        terminal.flush()?;
    }
    Ok(false)
}

/// Reads in a thread of its own, which ends with the machine.
fn read(mut output: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = output.read(&mut buffer) {
            if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(script: &str, end: Option<Instant>, keys: &[Key]) -> Result<bool> {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, receiver) = mpsc::channel();
        for key in keys {
            sender.send(key.clone())?;
        }
        let ended = show(&mut child, Annotator::new(None, None), &receiver, end);
        let _ = child.kill();
        child.wait()?;
        ended
    }

    #[test]
    fn machine_that_ends_ends_the_session() {
        assert!(play("true", None, &[]).expect("shown"));
    }

    #[test]
    fn what_is_typed_reaches_the_machine() {
        let typed = [Key::Bytes(b"x\n".to_vec())];
        assert!(play("read line; test $line = x || sleep 60", None, &typed).expect("shown"));
    }

    #[test]
    fn person_and_clock_may_end_it_too() {
        assert!(!play("sleep 60", None, &[Key::Quit]).expect("shown"));
        let soon = Instant::now() + Duration::from_millis(50);
        assert!(!play("sleep 60", Some(soon), &[]).expect("shown"));
    }
}
