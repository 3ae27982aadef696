//! The chainloader on a machine behind a pseudo terminal, over a line that flips, drops, adds and repeats bytes.

use std::env;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use halyard_hil::bootargs::BootArgs;
use halyard_hil::load::{self, Line, LoadError};
use halyard_hil::pty::PtyRig;
use halyard_hil::rig::{Boot, RigError};
use halyard_hil::serial;
use halyard_hil::verdict::Verdict;
use halyard_wire::load::{Load, Progress};

use super::checks::PROMPT;
use super::session::{Failure, Session};
use super::target::Bench;

/// A word for the kernel that it does not know: it must be on its command line.
const WORD: &str = "chainloaded";

/// What a chainloader says again and again.
const WAITS: &str = "waits for a kernel";

/// Of so many bytes one comes to harm.
const ONE_IN: u64 = 5_000;

/// A pseudo terminal has no speed; this one makes the waits for lost answers short.
const BAUD: u32 = 1_500_000;

/// The board may be a slow emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which is there first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Board,
    Desk,
}

/// Kernel and initramfs come whole over a bad line, when the board is there first and the desk not yet, and start with the words that
/// went along.
pub(super) fn board_first(bench: &Bench<'_>) -> Result<String, Failure> {
    once(bench, First::Board, 1)
}

/// The same when the desk calls before the board is switched on. An emulated mini UART takes minutes for a kernel: it is the chainloader itself
/// that is sent, which says what words it was given.
pub(super) fn desk_first(bench: &Bench<'_>) -> Result<String, Failure> {
    once(bench, First::Desk, 2)
}

/// One transfer, to the prompt.
fn once(bench: &Bench<'_>, first: First, seed: u64) -> Result<String, Failure> {
    let began = Instant::now();
    let socket = env::temp_dir().join(format!("halyard-{}-load.qmp", std::process::id()));
    let options = bench.options.clone();
    let mut rig = PtyRig::new(bench.name, bench.board, options, socket);
    let args = bench.board.append.iter();
    let boot = Boot {
        kernel: bench.products.chainloader.clone(),
        initrd: None,
        args: args.fold(BootArgs::new(), |line, word| line.kernel(word)),
    };
    let port = rig.reset(&boot).map_err(infra)?;
    if first == First::Board {
        rig.go().map_err(infra)?;
        thread::sleep(Duration::from_secs(1));
    }
    let (kernel, ready) = match first {
        First::Board => (bench.kernel, PROMPT),
        First::Desk => (&*bench.products.chainloader, WAITS),
    };
    let harms = transfer(bench, &port, kernel, seed, &mut |progress, calls| {
        // The desk has called into the void for a while.
        if first == First::Desk && progress == Progress::Calling && calls == 100 {
            rig.go()?;
        }
        Ok(())
    })?;
    let console = serial::open(bench.name, &port, BAUD).map_err(infra)?;
    let mut session = Session::over(Box::new(rig), console);
    session.set_patience(PATIENCE);
    session.expect(ready)?;
    if first == First::Board {
        session.send("cat /proc/cmdline\r")?;
    }
    session.expect(WORD)?;
    session.expect(ready)?;
    if harms == 0 {
        return Err(session.fail("the line did no harm"));
    }
    let seconds = began.elapsed().as_secs_f32();
    Ok(format!(
        "{seconds:.1} s, and {harms} times the line did harm"
    ))
}

/// Sends what the board would boot; gives how often the line did harm.
fn transfer(
    bench: &Bench<'_>,
    port: &str,
    kernel: &Path,
    seed: u64,
    tell: &mut dyn FnMut(Progress, u32) -> Result<(), RigError>,
) -> Result<u64, Failure> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| error.to_string());
    let whole = kernel == bench.kernel;
    let kernel = read(kernel)?;
    let mut initramfs = read(&bench.products.initramfs)?;
    if !whole {
        // Enough to have two parts.
        initramfs.truncate(3000);
    }
    let load = Load::new(&kernel, &initramfs, WORD).map_err(|error| error.to_string())?;
    let harms = Arc::default();
    let mut open = || -> io::Result<Box<dyn Line>> {
        Ok(Box::new(Noisy {
            line: load::open(port, BAUD)?,
            random: Random(seed),
            harms: Arc::clone(&harms),
        }))
    };
    let (mut calls, mut broken) = (0, None);
    let sent = load::send(&mut open, load, BAUD, PATIENCE, &mut |progress| {
        calls += u32::from(progress == Progress::Calling);
        if let Err(error) = tell(progress, calls) {
            broken = Some(error);
        }
    });
    if let Some(error) = broken {
        return Err(infra(error));
    }
    match sent {
        Ok(()) => Ok(harms.load(Ordering::Relaxed)),
        Err(LoadError::Line(error)) => Err(infra(error)),
        Err(error) => Err(format!("{error} (seed {seed})").into()),
    }
}

fn infra(error: impl ToString) -> Failure {
    Failure {
        verdict: Verdict::Infra(error.to_string()),
        console: Vec::new(),
    }
}

/// Numbers from a seed: xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }
}

/// A line that does harm in both directions.
struct Noisy {
    line: Box<dyn Line>,
    random: Random,
    harms: Arc<AtomicU64>,
}

impl Noisy {
    fn harm(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 8);
        for &byte in bytes {
            if self.random.below(ONE_IN) != 0 {
                out.push(byte);
                continue;
            }
            self.harms.fetch_add(1, Ordering::Relaxed);
            match self.random.below(4) {
                0 => out.push(byte ^ (1 << self.random.below(8))),
                1 => {}
                2 => out.extend([byte, byte]),
                _ => out.extend([self.random.below(256) as u8, byte]),
            }
        }
        out
    }
}

impl Read for Noisy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What harm adds needs room.
        let part = buffer.len() / 2;
        let count = self.line.read(&mut buffer[..part])?;
        let harmed = self.harm(&buffer[..count]);
        if count > 0 && harmed.is_empty() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        buffer[..harmed.len()].copy_from_slice(&harmed);
        Ok(harmed.len())
    }
}

impl Write for Noisy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let harmed = self.harm(bytes);
        self.line.write_all(&harmed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.line.flush()
    }
}
