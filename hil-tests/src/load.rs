//! Sends a kernel to a board's chainloader over its serial line (docs/chainloader.md).
//!
//! The protocol is `halyard_wire::load`'s; here are the line, the clock, and what is done when the cable is pulled: the line is opened
//! again and the transfer goes on where it was.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use halyard_wire::load::{Desk, Failure, Load, Progress, Refusal};
use serialport::SerialPort;

/// How long one read waits.
const GLANCE: Duration = Duration::from_millis(20);

/// How often a line that is gone is looked for.
const AGAIN: Duration = Duration::from_millis(200);

/// How often all is begun anew, before the line or the board is given up.
const ATTEMPTS: u32 = 5;

/// Both directions of a line. A read waits a few milliseconds at most.
pub trait Line: Read + Write + Send {}
impl<T: Read + Write + Send> Line for T {}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The line cannot be opened, or was not there again.
    #[error("the serial line: {0}")]
    Line(io::Error),
    /// Nobody answered in the time given.
    #[error(
        "no chainloader answers; is its image on the card, and the board switched on or reset?"
    )]
    NobodyThere,
    /// The board says why.
    #[error("{0}")]
    Board(Failure),
}

/// Opens a line of that name, for this program alone.
pub fn open(port: &str, baud: u32) -> io::Result<Box<dyn Line>> {
    struct Port(Box<dyn SerialPort>);
    impl Read for Port {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Write for Port {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let port = serialport::new(port, baud).timeout(GLANCE).open();
    Ok(Box::new(Port(port.map_err(io::Error::from)?)))
}

/// Sends it, and returns when the board has said that it starts the kernel, which it does
/// [`QUIET`](halyard_wire::load::QUIET) ms later. Waits for a board, or for a line that was there, as long as `patience`; blocks.
pub fn send(
    open: &mut dyn FnMut() -> io::Result<Box<dyn Line>>,
    load: Load<'_>,
    baud: u32,
    patience: Duration,
    tell: &mut dyn FnMut(Progress),
) -> Result<(), LoadError> {
    let mut line = open().map_err(LoadError::Line)?;
    let began = Instant::now();
    let mut failure = Failure::Silent;
    for _ in 0..ATTEMPTS {
        let mut desk = Desk::new(load, number(), baud);
        let mut end = Instant::now() + patience;
        loop {
            let progress = desk.progress();
            tell(progress);
            match progress {
                Progress::Started => return Ok(()),
                Progress::Failed(why @ Failure::Refused(Refusal::NoRoom | Refusal::Tree)) => {
                    return Err(LoadError::Board(why));
                }
                Progress::Failed(why) => {
                    failure = why;
                    break;
                }
                Progress::Calling if Instant::now() >= end => return Err(LoadError::NobodyThere),
                Progress::Calling => {}
                _ => end = Instant::now() + patience,
            }
            if turn(&mut *line, &mut desk, began).is_err() {
                // Who has a line alone keeps it from whoever opens it anew.
                drop(line);
                line = again(open, patience)?;
            }
        }
    }
    Err(LoadError::Board(failure))
}

/// Sends what is due, takes what came. Error: the line is gone.
fn turn(line: &mut dyn Line, desk: &mut Desk<'_>, began: Instant) -> io::Result<()> {
    let now = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(frame) = desk.poll(now()) {
        // What a full line does not take is lost, and asked for again.
        passing(line.write_all(frame.bytes()))?;
    }
    let mut buffer = [0; 512];
    match line.read(&mut buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(count) => {
            let bytes = buffer.iter().take(count);
            bytes.for_each(|&byte| desk.take(byte, now()));
            Ok(())
        }
        Err(error) => passing(Err(error)),
    }
}

/// An error that says more than that nothing came or went.
fn passing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if !matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Waits for a line that was pulled out.
fn again(
    open: &mut dyn FnMut() -> io::Result<Box<dyn Line>>,
    patience: Duration,
) -> Result<Box<dyn Line>, LoadError> {
    let end = Instant::now() + patience;
    loop {
        match open() {
            Ok(line) => return Ok(line),
            Err(error) if Instant::now() >= end => return Err(LoadError::Line(error)),
            Err(_) => thread::sleep(AGAIN),
        }
    }
}

/// A number that no earlier attempt had, most likely.
fn number() -> u32 {
    let [low, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    let rest = RandomState::new().build_hasher().finish() >> 8;
    (rest as u32) ^ u32::from(low)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Sender};

    use halyard_wire::load::{self, Board, Memory, Offer, Part};
    use serialport::TTYPort;

    use super::*;

    #[derive(Default)]
    struct Ram(Vec<u8>);

    impl Memory for Ram {
        fn prepare(&mut self, offer: &Offer<'_>) -> Result<(), Refusal> {
            self.0 = vec![0; offer.kernel.length as usize];
            Ok(())
        }
        fn write(&mut self, _part: Part, offset: u32, bytes: &[u8]) {
            self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        fn sum(&mut self, part: Part) -> u32 {
            match part {
                Part::Kernel => load::sum(&self.0),
                Part::Initramfs => load::sum(&[]),
            }
        }
    }

    /// Plays the board until the kernel is there, or as long as the line is.
    fn board(mut port: TTYPort, stop_at: u32, ram: &mut Ram, board: &mut Board<'_>) {
        port.set_timeout(GLANCE).expect("timeout");
        let began = Instant::now();
        let mut buffer = [0; 64];
        while board.progress().0 < stop_at {
            let now = u64::try_from(began.elapsed().as_millis()).expect("ms");
            if board.may_start(now) {
                return;
            }
            let Ok(count) = port.read(&mut buffer) else {
                continue;
            };
            for &byte in &buffer[..count] {
                board.take(byte, now, ram, &mut |bytes| {
                    let _ = port.write_all(bytes);
                });
            }
        }
    }

    fn kernel() -> Vec<u8> {
        let mut kernel: Vec<u8> = (0..20_000_u32).map(|at| ((at * at) >> 7) as u8).collect();
        kernel[16..24].copy_from_slice(&40_000_u64.to_le_bytes());
        kernel[56..60].copy_from_slice(b"ARM\x64");
        kernel
    }

    #[test]
    fn cable_pulled_in_the_middle_is_survived() {
        let kernel = kernel();
        let load = Load::new(&kernel, &[], "").expect("a kernel");
        let (plugs, names) = mpsc::channel::<String>();
        let plug = |plugs: &Sender<String>| {
            let (board, terminal) = TTYPort::pair().expect("a pty");
            plugs.send(terminal.name().expect("a name")).expect("sent");
            (board, terminal)
        };
        let mut ram = Ram::default();
        thread::scope(|scope| {
            let ram = &mut ram;
            let played = scope.spawn(move || {
                let mut state = Board::new("bench");
                let (first, kept) = plug(&plugs);
                drop(kept);
                board(first, 7, ram, &mut state);
                thread::sleep(AGAIN);
                let (second, _kept) = plug(&plugs);
                board(second, u32::MAX, ram, &mut state);
            });
            let mut open = || {
                let name = names.recv_timeout(Duration::from_millis(10));
                super::open(&name.map_err(|_| ErrorKind::NotFound)?, 115_200)
            };
            thread::sleep(AGAIN);
            let mut furthest = 0;
            send(
                &mut open,
                load,
                115_200,
                Duration::from_secs(20),
                &mut |progress| {
                    if let Progress::Sending(block) = progress {
                        assert!(block >= furthest, "it goes on where it was");
                        furthest = block;
                    }
                },
            )
            .expect("it comes");
            played.join().expect("no panic");
        });
        assert_eq!(ram.0, kernel);
    }

    #[test]
    fn nobody_there_is_said_so() {
        let kernel = kernel();
        let load = Load::new(&kernel, &[], "").expect("a kernel");
        let (_board, terminal) = TTYPort::pair().expect("a pty");
        let name = terminal.name().expect("a name");
        drop(terminal);
        let why = send(
            &mut || open(&name, 115_200),
            load,
            115_200,
            Duration::from_millis(400),
            &mut |_| {},
        );
        assert!(matches!(why, Err(LoadError::NobodyThere)), "{why:?}");
        let absent = send(
            &mut || open("/dev/absent", 115_200),
            load,
            115_200,
            Duration::from_millis(400),
            &mut |_| {},
        );
        assert!(matches!(absent, Err(LoadError::Line(_))), "{absent:?}");
    }
}
