//! What a person types: the terminal in raw mode, and the keys that are for the monitor itself.

use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// ^A, which begins what is for the monitor.
const ESCAPE: u8 = 1;

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// For the board.
    Bytes(Vec<u8>),
    /// Enough.
    Quit,
}

/// A terminal that hands on every key as it is typed; as it was before when dropped.
pub(crate) struct Raw<T: AsFd> {
    terminal: T,
    before: Option<Termios>,
}

impl<T: AsFd + IsTerminal> Raw<T> {
    /// Sets it; what is no terminal is left alone.
    pub(crate) fn set(terminal: T) -> Result<Self> {
        if !terminal.is_terminal() {
            return Ok(Self {
                terminal,
                before: None,
            });
        }
        let before = tcgetattr(&terminal).context("cannot ask how the terminal is set")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &raw).context("cannot set the terminal")?;
        Ok(Self {
            terminal,
            before: Some(before),
        })
    }
}

impl<T: AsFd> Drop for Raw<T> {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // There is nobody left to tell.
            let _ = tcsetattr(&self.terminal, OptionalActions::Now, before);
        }
    }
}

/// Listens in a thread of its own, which ends with the input or the program.
pub(crate) fn listen(mut input: impl Read + Send + 'static) -> Receiver<Key> {
    let (sender, keys) = mpsc::channel();
    thread::spawn(move || {
        let mut escape = Escape::default();
        let mut buffer = [0; 256];
        loop {
            let count = match input.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let (bytes, quit) = escape.take(&buffer[..count]);
            let gone = sender.send(Key::Bytes(bytes)).is_err();
            if gone || (quit && sender.send(Key::Quit).is_err()) {
                return;
            }
        }
    });
    keys
}

/// Finds the monitor's own keys.
#[derive(Default)]
struct Escape(bool);

impl Escape {
    /// The bytes for the board, and whether to end.
    fn take(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut bytes = Vec::with_capacity(typed.len());
        for &byte in typed {
            match (std::mem::take(&mut self.0), byte) {
                (false, ESCAPE) => self.0 = true,
                (true, b'x' | b'X') => return (bytes, true),
                (true, ESCAPE) | (false, _) => bytes.push(byte),
                (true, other) => bytes.extend([ESCAPE, other]),
            }
        }
        (bytes, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_ends_doubles_and_passes_on() {
        let mut escape = Escape::default();
        assert_eq!(escape.take(b"a\x01"), (b"a".to_vec(), false));
        assert_eq!(escape.take(b"\x01b\x01c"), (b"\x01b\x01c".to_vec(), false));
        assert_eq!(escape.take(b"d\x01xe"), (b"d".to_vec(), true));
    }

    #[test]
    fn input_that_ends_does_not_end_the_monitor() {
        let keys = listen(&b"ls\n"[..]);
        assert_eq!(keys.recv(), Ok(Key::Bytes(b"ls\n".to_vec())));
        assert!(keys.recv().is_err());
    }
}
