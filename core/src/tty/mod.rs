//! Terminals: the line discipline and job control (termios(3), tty(4)).
//!
//! One terminal is the console. Typed bytes come from the machine and go through [`line::Line`], which knows nothing of
//! processes; what programs do with the terminal is in [`Tty`] and [`ioctl`]. Lock level 3.

pub mod ioctl;
mod job_control;
pub mod line;
pub mod termios;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use halyard_cell::SpinLock;

use self::line::{Echo, Line, Typed};
use self::termios::Termios;
use crate::Result;
use crate::fs::file::{File, Readiness, Side, Special};
use crate::fs::inode::Inode;
use crate::io::{Sink, Source};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::signal::{self, Signal, SignalInfo};
use crate::time::Instant;
use crate::wait::WaitQueue;

/// The size of a terminal's window (tty_ioctl(4), struct winsize).
pub type WindowSize = [u16; 4];

/// Bytes moved between a program and the terminal in one piece. The machine takes them as fast as its serial line does, and
/// nothing else happens meanwhile: 11 ms at 115,200 baud.
const CHUNK: usize = 128;

/// A terminal.
pub struct Tty {
    machine: &'static dyn Machine,
    line: SpinLock<Line>,
    window: SpinLock<WindowSize>,
    /// Whose controlling terminal it is; 0: nobody's.
    session: AtomicU32,
    /// The group that gets its signals and may read it; 0: none.
    foreground: AtomicU32,
    /// Told when there is something to read.
    readable: WaitQueue,
    /// Nobody ever waits for output: the machine takes it at once.
    writable: WaitQueue,
}

impl Tty {
    /// The terminal at the machine's console.
    #[must_use]
    pub fn new(machine: &'static dyn Machine) -> Tty {
        Tty {
            machine,
            line: SpinLock::new(Line::new()),
            window: SpinLock::new([24, 80, 0, 0]),
            session: AtomicU32::new(0),
            foreground: AtomicU32::new(0),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
        }
    }

    /// The session that it controls; 0: none.
    #[must_use]
    pub fn session(&self) -> u32 {
        self.session.load(Ordering::Relaxed)
    }

    /// Gives it to a session; 0 takes it away.
    pub fn set_session(&self, session: u32) {
        self.session.store(session, Ordering::Relaxed);
    }

    /// Gives it to a session, whose leader's group comes to the foreground, if it is nobody's.
    pub fn offer_control(&self, session: u32) {
        if self
            .session
            .compare_exchange(0, session, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.set_foreground(session);
        }
    }

    /// The group in the foreground; 0: none.
    #[must_use]
    pub fn foreground(&self) -> u32 {
        self.foreground.load(Ordering::Relaxed)
    }

    /// Puts a group into the foreground.
    pub fn set_foreground(&self, group: u32) {
        self.foreground.store(group, Ordering::Relaxed);
    }

    /// Its settings.
    #[must_use]
    pub fn termios(&self) -> Termios {
        *self.line.lock().termios()
    }

    /// Changes its settings; with `flush`, what was typed and not read is forgotten.
    pub fn set_termios(&self, termios: Termios, flush: bool) {
        let mut line = self.line.lock();
        line.set_termios(termios);
        if flush {
            line.flush();
        }
        drop(line);
        self.readable.wake_all();
    }

    /// Forgets what was typed and not read.
    pub fn flush_input(&self) {
        self.line.lock().flush();
    }

    /// Its window's size.
    #[must_use]
    pub fn window(&self) -> WindowSize {
        *self.window.lock()
    }

    /// Changes the window's size; true if it differs.
    pub fn set_window(&self, size: WindowSize) -> bool {
        let mut window = self.window.lock();
        core::mem::replace(&mut *window, size) != size
    }

    /// How many typed bytes a read would find.
    #[must_use]
    pub fn waiting_input(&self) -> usize {
        self.line.lock().available()
    }

    /// The machine has console input: takes all of it.
    pub fn input_waiting(&self, kernel: &'static Kernel) {
        let mut chunk = [0u8; 64];
        loop {
            let count = self.machine.console_read(&mut chunk);
            if count == 0 {
                return;
            }
            chunk
                .iter()
                .take(count)
                .for_each(|byte| self.typed(kernel, *byte));
        }
    }

    /// Sends a signal to the group in the foreground, if there is one.
    fn signal(&self, kernel: &'static Kernel, signal: Signal) {
        let group = self.foreground();
        if group != 0 {
            // A group that has gone gets nothing, and nobody is to be told.
            let _ = signal::send_to_group(kernel, group, signal, SignalInfo::kernel());
        }
    }

    /// One byte has been typed.
    fn typed(&self, kernel: &'static Kernel, byte: u8) {
        let now = self.machine.now();
        let Typed {
            echo,
            signal,
            ready,
        } = self.line.lock().type_byte(byte, now);
        if !echo.is_empty() {
            self.show_echo(&echo);
        }
        if let Some(signal) = signal {
            self.signal(kernel, signal);
        }
        // A raw read that counts the time since the last byte looks at the clock again.
        if ready {
            self.readable.wake_all();
        }
    }

    /// Wipes out columns, then shows what was typed; in one piece but for the wiping of a long line.
    fn show_echo(&self, echo: &Echo) {
        const WIPE: &[u8] = b"\x08 \x08";
        let mut text = [0u8; CHUNK];
        let mut left = echo.erased;
        loop {
            let columns = left.min((CHUNK - echo.as_slice().len()) / WIPE.len());
            left -= columns;
            let last: &[u8] = if left == 0 { echo.as_slice() } else { &[] };
            let bytes = WIPE.iter().cycle().take(columns * WIPE.len()).chain(last);
            text.iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            self.machine.console_write(
                text.get(..columns * WIPE.len() + last.len())
                    .unwrap_or_default(),
            );
            if left == 0 {
                return;
            }
        }
    }

    /// Writes to the screen as the output settings say. EFAULT; what went before the fault has been shown.
    fn write(&self, source: &mut dyn Source) -> Result<usize> {
        let wanted = source.remaining();
        let mut chunk = [0u8; CHUNK];
        while source.remaining() > 0 {
            let piece = chunk
                .get_mut(..source.remaining().min(CHUNK))
                .unwrap_or_default();
            let before = source.remaining();
            let taken = source.take(piece);
            // Of a piece that cannot be read as a whole, the beginning may have been.
            let done = before - source.remaining();
            self.show(piece.get(..done).unwrap_or_default());
            if let Err(errno) = taken {
                let done = wanted - source.remaining();
                return if done > 0 { Ok(done) } else { Err(errno) };
            }
        }
        Ok(wanted)
    }

    /// Shows `text`, at most [`CHUNK`] bytes, in one piece, with a carriage return before each newline if the settings say so.
    fn show(&self, text: &[u8]) {
        let mut line = self.line.lock();
        line.wrote(text);
        let adds_returns = line.termios().adds_returns();
        drop(line);
        if !adds_returns || !text.contains(&b'\n') {
            return self.machine.console_write(text);
        }
        let mut whole = [0u8; CHUNK * 2];
        let mut used = 0;
        for byte in text {
            let pair: &[u8] = if *byte == b'\n' {
                b"\r\n"
            } else {
                core::slice::from_ref(byte)
            };
            if let Some(room) = whole.get_mut(used..used + pair.len()) {
                room.copy_from_slice(pair);
                used += pair.len();
            }
        }
        self.machine
            .console_write(whole.get(..used).unwrap_or_default());
    }
}

/// A terminal, open.
pub struct TtyFile {
    tty: Arc<Tty>,
    inode: Arc<Inode>,
}

impl TtyFile {
    /// Opens `tty` by `inode`.
    #[must_use]
    pub fn new(tty: Arc<Tty>, inode: Arc<Inode>) -> TtyFile {
        TtyFile { tty, inode }
    }
}

impl File for TtyFile {
    fn try_read(&self, sink: &mut dyn Sink, _: u64) -> Result<usize> {
        if sink.remaining() == 0 {
            return Ok(0);
        }
        self.tty.line.lock().read(sink, false)
    }

    fn try_read_late(&self, sink: &mut dyn Sink) -> Result<usize> {
        self.tty.line.lock().read(sink, true)
    }

    fn read_deadline(&self, begun: Instant) -> Option<Instant> {
        self.tty.line.lock().deadline(begun)
    }

    fn try_write(&self, source: &mut dyn Source, _: u64) -> Result<usize> {
        self.tty.write(source)
    }

    fn piece(&self) -> usize {
        CHUNK
    }

    fn poll(&self) -> Readiness {
        let mut ready = Readiness::OUT | Readiness::WRNORM;
        ready.set(
            Readiness::IN | Readiness::RDNORM,
            self.tty.line.lock().ready(),
        );
        ready
    }

    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        Some(match side {
            Side::Read => &self.tty.readable,
            Side::Write => &self.tty.writable,
        })
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }

    fn available(&self) -> Result<usize> {
        Ok(self.tty.waiting_input())
    }

    fn special(&self) -> Special<'_> {
        Special::Terminal(&self.tty)
    }
}
