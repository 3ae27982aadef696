//! Shuttles bytes between a serial line, a terminal and a log; waits while the cable is out.

use std::io::{ErrorKind, Write};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serialport::SerialPort;

use super::annotate::Annotator;
use super::keys::Key;

/// How often a line that is gone is looked for.
const AGAIN: Duration = Duration::from_millis(200);

/// A frame of the log comes in one go: one that has paused for so long has lost its end.
const PAUSE: Duration = Duration::from_millis(250);

/// Opens the line anew.
type Open<'a> = Box<dyn FnMut() -> serialport::Result<Box<dyn SerialPort>> + 'a>;

/// A line that is watched.
pub(crate) struct Session<'a, L: Write> {
    /// Opens it.
    pub(crate) open: Open<'a>,
    /// What it is called.
    pub(crate) name: String,
    /// What is typed.
    pub(crate) keys: Receiver<Key>,
    /// Who reads along.
    pub(crate) annotator: Annotator,
    /// Where everything is kept.
    pub(crate) log: L,
    /// When to end, if a person does not.
    pub(crate) end: Option<Instant>,
}

impl<L: Write> Session<'_, L> {
    /// Runs until a person has enough, or time is up. Errors: the line cannot be opened at first, the log cannot be written.
    pub(crate) fn run(mut self, output: &mut impl Write) -> Result<()> {
        let mut port = (self.open)().with_context(|| {
            format!(
                "cannot open {}; is it plugged in, does another program have it open, and are you in its group (often dialout)?",
                self.name
            )
        })?;
        let mut buffer = [0; 4096];
        let mut heard = Instant::now();
        loop {
            if !self.type_in(&mut *port)? {
                return Ok(());
            }
            match port.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    heard = Instant::now();
                    let shown = self.annotator.take(&buffer[..count]);
                    self.show(output, &shown)?;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) =>
                {
                    if heard.elapsed() >= PAUSE {
                        let shown = self.annotator.idle();
                        self.show(output, &shown)?;
                    }
                }
                _ => match self.wait(output)? {
                    Some(back) => port = back,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Types what came from the keys; says whether to go on. A line that takes nothing is found out by the next read.
    fn type_in(&mut self, port: &mut dyn SerialPort) -> Result<bool> {
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return Ok(false);
        }
        match self.keys.try_recv() {
            Ok(Key::Quit) => Ok(false),
            Ok(Key::Bytes(bytes)) => {
                let _ = port.write_all(&bytes);
                Ok(true)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(true),
        }
    }

    /// Waits until the line is back. None: a person has enough, or time is up.
    fn wait(&mut self, output: &mut impl Write) -> Result<Option<Box<dyn SerialPort>>> {
        self.remark(output, "is gone; waiting until it is plugged in again")?;
        loop {
            if let Ok(port) = (self.open)() {
                self.remark(output, "is back")?;
                return Ok(Some(port));
            }
            let quit = matches!(self.keys.try_recv(), Ok(Key::Quit));
            if quit || self.end.is_some_and(|end| Instant::now() >= end) {
                return Ok(None);
            }
            thread::sleep(AGAIN);
        }
    }

    fn remark(&mut self, output: &mut impl Write, what: &str) -> Result<()> {
        let text = format!("\r\n[{} {what}]\r\n", self.name);
        self.show(output, text.as_bytes())
    }

    /// Shows, and keeps in the log.
    fn show(&mut self, output: &mut impl Write, bytes: &[u8]) -> Result<()> {
        self.log
            .write_all(bytes)
            .context("cannot write the log; is the disk full?")?;
        match output.write_all(bytes).and_then(|()| output.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                bail!("cannot write to the terminal: {error}")
            }
            // Whoever read it has enough; the log goes on.
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::mpsc::{self, Sender};

    use serialport::TTYPort;

    use super::super::annotate::KERNEL;
    use super::super::annotate::tests::own;
    use super::super::places::tests::own_address;
    use super::super::port;
    use super::super::records::tests::{knowledge, record};
    use super::*;

    /// A board's end of a line, and a name that leads to the other end: as the system's names of cables do.
    fn plug(link: &Path) -> TTYPort {
        let (board, terminal) = TTYPort::pair().expect("a pty");
        let name = terminal.name().expect("a name");
        let _ = std::fs::remove_file(link);
        symlink(name, link).expect("link");
        // The monitor opens it by its name.
        drop(terminal);
        board
    }

    /// Runs a session over the link while `board` plays the board, with the keys and a word for each time the line was opened;
    /// gives what was shown, which the log has too.
    fn play(
        link: &Path,
        annotator: fn() -> Annotator,
        board: impl FnOnce(&Sender<Key>, &Receiver<()>),
    ) -> String {
        let (sender, keys) = mpsc::channel();
        let (opened, opens) = mpsc::channel();
        let name = link.display().to_string();
        let (mut shown, mut log) = (Vec::new(), Vec::new());
        thread::scope(|scope| {
            let (shown, log) = (&mut shown, &mut log);
            let running = scope.spawn(move || {
                let session = Session {
                    open: Box::new(|| {
                        let port = port::open(&name, 115_200)?;
                        let _ = opened.send(());
                        Ok(port)
                    }),
                    name: name.clone(),
                    keys,
                    annotator: annotator(),
                    log,
                    end: Some(Instant::now() + Duration::from_secs(60)),
                };
                session.run(shown)
            });
            board(&sender, &opens);
            thread::sleep(Duration::from_millis(300));
            sender.send(Key::Quit).expect("quit");
            running.join().expect("no panic").expect("no error");
        });
        assert_eq!(log, shown);
        String::from_utf8(shown).expect("text")
    }

    /// Without an ELF file.
    fn plain() -> Annotator {
        Annotator::new(None, None)
    }

    fn soon(opens: &Receiver<()>) {
        opens
            .recv_timeout(Duration::from_secs(30))
            .expect("the line is opened");
    }

    #[test]
    fn text_comes_and_keys_go() {
        let place = tempfile::tempdir().expect("directory");
        let link = place.path().join("cable");
        let mut board = plug(&link);
        let shown = play(&link, plain, |keys, opens| {
            soon(opens);
            board.write_all(b"Halyard\r\nhalyard:/$ ").expect("written");
            keys.send(Key::Bytes(b"ls\r".to_vec())).expect("typed");
            let mut typed = [0; 3];
            board.set_timeout(Duration::from_secs(5)).expect("timeout");
            board.read_exact(&mut typed).expect("keys");
            assert_eq!(&typed, b"ls\r");
        });
        assert_eq!(shown, "Halyard\r\nhalyard:/$ ");
    }

    #[test]
    fn cable_pulled_and_put_back_is_survived() {
        let place = tempfile::tempdir().expect("directory");
        let link = place.path().join("cable");
        let mut board = plug(&link);
        let mut again = None;
        let shown = play(&link, plain, |_, opens| {
            soon(opens);
            board.write_all(b"before\r\n").expect("written");
            thread::sleep(AGAIN);
            std::fs::remove_file(&link).expect("unplugged");
            drop(board);
            thread::sleep(2 * AGAIN);
            let board = again.insert(plug(&link));
            soon(opens);
            board.write_all(b"after\r\n").expect("written");
        });
        let at = |text: &str| {
            shown
                .find(text)
                .unwrap_or_else(|| panic!("'{text}' in {shown}"))
        };
        let order = ["before", "is gone", "is back", "after"].map(at);
        assert!(order.is_sorted(), "{shown}");
    }

    #[test]
    fn another_build_is_named_on_the_line() {
        let place = tempfile::tempdir().expect("directory");
        let link = place.path().join("cable");
        let mut board = plug(&link);
        let shown = play(
            &link,
            || Annotator::new(own(), None),
            |_, opens| {
                soon(opens);
                let text = "kernel panic on CPU 0: x\r\nbuild ffffffffffffffffffff\r\n";
                board.write_all(text.as_bytes()).expect("written");
            },
        );
        assert!(shown.contains("another build"), "{shown}");
    }

    /// With the ELF file of the log's tests.
    fn logging() -> Annotator {
        Annotator::new(None, Some(knowledge()))
    }

    #[test]
    fn log_is_decoded_on_the_line_beside_the_text() {
        let place = tempfile::tempdir().expect("directory");
        let link = place.path().join("cable");
        let mut board = plug(&link);
        let shown = play(&link, logging, |_, opens| {
            soon(opens);
            let note = record([0xab; 2], "uart");
            // Slowly, so that a frame comes in several reads.
            for piece in [b"boot\r\n", &note[..], b"halyard:/$ "].concat().chunks(9) {
                board.write_all(piece).expect("written");
                thread::sleep(Duration::from_millis(2));
            }
        });
        assert_eq!(
            shown,
            "boot\r\n      0.001500 cpu0 info  7 drivers for uart\r\nhalyard:/$ "
        );
    }

    #[test]
    fn log_of_another_build_is_named_on_the_line() {
        let place = tempfile::tempdir().expect("directory");
        let link = place.path().join("cable");
        let mut board = plug(&link);
        let shown = play(&link, logging, |_, opens| {
            soon(opens);
            let other = record([0xcd; 2], "uart");
            board.write_all(&other.repeat(2)).expect("written");
            board.write_all(b"halyard:/$ ").expect("written");
        });
        assert!(
            shown.contains("cdcd...") && shown.contains(&"ab".repeat(20)),
            "{shown}"
        );
        assert!(
            !shown.contains("uart") && shown.ends_with("\r\nhalyard:/$ "),
            "{shown}"
        );
    }

    #[test]
    fn panic_gets_files_and_lines_on_the_line() {
        let place = tempfile::tempdir().expect("directory");
        let link = place.path().join("cable");
        let mut board = plug(&link);
        let shown = play(
            &link,
            || Annotator::new(own(), None),
            |_, opens| {
                soon(opens);
                let text = format!(
                    "kernel panic on CPU 0: x\r\nbuild 00112233445566778899\r\nbacktrace:\r\n  {:#018x} f + 0x4\r\n",
                    KERNEL + own_address()
                );
                board.write_all(text.as_bytes()).expect("written");
            },
        );
        assert!(
            shown.contains("      at ") && shown.contains("places.rs:"),
            "{shown}"
        );
    }

    #[test]
    fn line_that_is_not_there_is_said_so() {
        let (_sender, keys) = mpsc::channel();
        let session = Session {
            open: Box::new(|| port::open("/dev/absent", 115_200)),
            name: "/dev/absent".into(),
            keys,
            annotator: plain(),
            log: Vec::new(),
            end: None,
        };
        let why = session
            .run(&mut Vec::new())
            .expect_err("no line")
            .to_string();
        assert!(
            why.contains("/dev/absent") && why.contains("plugged in"),
            "{why}"
        );
    }
}
