//! The line discipline: from typed bytes to what programs read, and what is shown meanwhile (termios(3)). Pure: no lock, no
//! process, no clock of its own.
//!
//! Typed bytes stand in a ring. A mark at a byte says that a line ends with it; a marked NUL is an end of file, which is
//! read as an end but not as a byte. (Nobody can type a marked NUL: a special character of 0 is one switched off.)

use super::termios::{Input, Local, Termios, cc};
use crate::io::Sink;
use crate::process::signal::Signal;
use crate::time::Instant;
use crate::{Errno, Result};

/// The longest line, and the most bytes that wait to be read (N_TTY_BUF_SIZE of Linux). More that is typed is dropped.
pub const ROOM: usize = 4096;

/// Tab stops are this far apart.
const TAB: usize = 8;

/// What happened by one typed byte.
#[derive(Default)]
pub struct Typed {
    /// What is to be shown.
    pub echo: Echo,
    /// What is to be sent to the foreground group.
    pub signal: Option<Signal>,
    /// A reader may find something now.
    pub ready: bool,
}

/// What is to be shown: columns wiped out backward, then a few bytes.
#[derive(Default)]
pub struct Echo {
    /// How many columns.
    pub erased: usize,
    bytes: [u8; 8],
    used: usize,
}

impl Echo {
    fn push(&mut self, text: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.used..self.used + text.len()) {
            room.copy_from_slice(text);
            self.used += text.len();
        }
    }

    /// Whether nothing is to be shown.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0 && self.erased == 0
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

/// A line being typed, behind lines that wait to be read. Places are counts of bytes typed since the beginning.
pub struct Line {
    termios: Termios,
    ring: [u8; ROOM],
    marks: [u64; ROOM / 64],
    /// The first byte not read.
    head: usize,
    /// Up to here lines are complete.
    complete: usize,
    /// One more than the last byte typed.
    tail: usize,
    /// The next byte is taken as it is.
    literal: bool,
    /// Where the cursor is.
    column: usize,
    /// Where it was when the line being typed was begun.
    start_column: usize,
    typed_last: Instant,
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// Nothing typed yet.
    #[must_use]
    pub fn new() -> Line {
        Line {
            termios: Termios::default(),
            ring: [0; ROOM],
            marks: [0; ROOM / 64],
            head: 0,
            complete: 0,
            tail: 0,
            literal: false,
            column: 0,
            start_column: 0,
            typed_last: Instant::default(),
        }
    }

    /// Its settings.
    #[must_use]
    pub const fn termios(&self) -> &Termios {
        &self.termios
    }

    fn has(&self, flag: Local) -> bool {
        self.termios.local().contains(flag)
    }

    fn canonical(&self) -> bool {
        self.has(Local::ICANON)
    }

    fn at(&self, place: usize) -> u8 {
        self.ring.get(place % ROOM).copied().unwrap_or_default()
    }

    fn marked(&self, place: usize) -> bool {
        let bit = place % ROOM;
        self.marks
            .get(bit / 64)
            .is_some_and(|word| word >> (bit % 64) & 1 != 0)
    }

    fn ends_file(&self, place: usize) -> bool {
        self.marked(place) && self.at(place) == 0
    }

    fn put(&mut self, byte: u8, mark: bool) {
        let place = self.tail % ROOM;
        if let (Some(at), Some(word)) = (self.ring.get_mut(place), self.marks.get_mut(place / 64)) {
            *at = byte;
            *word = *word & !(1 << (place % 64)) | u64::from(mark) << (place % 64);
            self.tail += 1;
        }
    }

    /// Changes the settings. Leaving canonical mode, what has been typed can be read as it is; entering it, what has not been
    /// read becomes a line.
    pub fn set_termios(&mut self, termios: Termios) {
        let was_canonical = self.canonical();
        self.termios = termios;
        if was_canonical == self.canonical() {
            return;
        }
        self.marks = [0; ROOM / 64];
        self.complete = self.tail;
        if self.canonical() && self.tail > self.head {
            let last = (self.tail - 1) % ROOM;
            if let Some(word) = self.marks.get_mut(last / 64) {
                *word |= 1 << (last % 64);
            }
        }
    }

    /// Forgets everything typed.
    pub fn flush(&mut self) {
        (self.head, self.complete, self.literal) = (self.tail, self.tail, false);
    }

    /// How many bytes can be read (FIONREAD): in canonical mode those of complete lines.
    #[must_use]
    pub fn available(&self) -> usize {
        if !self.canonical() {
            return self.tail - self.head;
        }
        (self.head..self.complete)
            .filter(|place| !self.ends_file(*place))
            .count()
    }

    /// Whether poll(2) says that there is something to read: a line, or (raw) the bytes of VMIN, or one if VTIME is set.
    #[must_use]
    pub fn ready(&self) -> bool {
        if self.canonical() {
            return self.complete > self.head;
        }
        let wanted = if self.termios.patience() == 0 {
            self.termios.minimum().max(1)
        } else {
            1
        };
        self.tail - self.head >= wanted
    }

    /// Reads: in canonical mode at most a line, else as VMIN and VTIME say, `late` meaning that there is no more time to wait.
    /// EAGAIN: nothing yet. EFAULT: and nothing is lost.
    pub fn read(&mut self, sink: &mut dyn Sink, late: bool) -> Result<usize> {
        let room = sink.remaining();
        let (count, passed) = if self.canonical() {
            self.next_line(room)?
        } else {
            self.next_raw(room, late)?
        };
        sink.prepare(count)?;
        let start = self.head % ROOM;
        let first = count.min(ROOM - start);
        sink.put(self.ring.get(start..start + first).unwrap_or_default())?;
        sink.put(self.ring.get(..count - first).unwrap_or_default())?;
        self.head += passed;
        self.complete = self.complete.max(self.head);
        Ok(count)
    }

    /// How many bytes of the next line go into `room`, and how many are then done with.
    fn next_line(&self, room: usize) -> Result<(usize, usize)> {
        if self.head == self.complete {
            return Err(Errno::EAGAIN);
        }
        let limit = self.complete.min(self.head.saturating_add(room));
        let end = (self.head..limit).find(|place| self.marked(*place));
        let count = end.map_or(limit, |end| end + usize::from(!self.ends_file(end))) - self.head;
        // An end of file right behind what fits is over with it, so that the next read does not take it for one.
        let next = self.head + count;
        let passed = count
            + usize::from(
                next < self.complete && end != Some(next.wrapping_sub(1)) && self.ends_file(next),
            );
        Ok((count, passed))
    }

    fn next_raw(&self, room: usize, late: bool) -> Result<(usize, usize)> {
        let there = self.tail - self.head;
        let count = there.min(room);
        let minimum = self.termios.minimum();
        let enough = if late { 1 } else { minimum.min(room) };
        if count >= enough.max(1) || (minimum == 0 && self.termios.patience() == 0) || room == 0 {
            return Ok((count, count));
        }
        Err(Errno::EAGAIN)
    }

    /// Until when a read that began at `begun` waits at most for more: VTIME counts from its beginning if VMIN is 0, else
    /// from the last byte typed, if there is one.
    #[must_use]
    pub fn deadline(&self, begun: Instant) -> Option<Instant> {
        let patience = self.termios.patience();
        if self.canonical() || patience == 0 {
            return None;
        }
        let from = if self.termios.minimum() == 0 {
            begun
        } else {
            self.typed_last
        };
        (self.termios.minimum() == 0 || self.tail > self.head).then_some(from.after(patience))
    }

    /// One byte has been typed at `now`.
    pub fn type_byte(&mut self, byte: u8, now: Instant) -> Typed {
        let mut typed = Typed::default();
        self.typed_last = now;
        let byte = if self.termios.input().contains(Input::ISTRIP) {
            byte & 0x7f
        } else {
            byte
        };
        if core::mem::take(&mut self.literal) {
            self.append(byte, false, &mut typed);
            return typed;
        }
        if self.has(Local::ISIG)
            && let Some(signal) = self.signal_of(byte)
        {
            if !self.has(Local::NOFLSH) {
                self.flush();
            }
            self.show(byte, &mut typed.echo);
            typed.signal = Some(signal);
            return typed;
        }
        let Some(byte) = self.translate(byte) else {
            return typed;
        };
        if !self.canonical() {
            self.append(byte, false, &mut typed);
        } else if !self.edit(byte, &mut typed) {
            let ends = byte == b'\n'
                || self.termios.is(cc::VEOL, byte)
                || self.termios.is(cc::VEOL2, byte);
            self.append(byte, ends, &mut typed);
        }
        typed
    }

    fn translate(&self, byte: u8) -> Option<u8> {
        let input = self.termios.input();
        match byte {
            b'\r' if input.contains(Input::IGNCR) => None,
            b'\r' if input.contains(Input::ICRNL) => Some(b'\n'),
            b'\n' if input.contains(Input::INLCR) => Some(b'\r'),
            byte => Some(byte),
        }
    }

    fn signal_of(&self, byte: u8) -> Option<Signal> {
        let signals = [
            (cc::VINTR, Signal::INT),
            (cc::VQUIT, Signal::QUIT),
            (cc::VSUSP, Signal::TSTP),
        ];
        signals
            .into_iter()
            .find(|(place, _)| self.termios.is(*place, byte))
            .map(|(_, signal)| signal)
    }

    /// Editing characters of canonical mode. False: it is none.
    fn edit(&mut self, byte: u8, typed: &mut Typed) -> bool {
        let extended = self.has(Local::IEXTEN);
        let termios = self.termios;
        if termios.is(cc::VERASE, byte) {
            self.erase(byte, &mut typed.echo);
        } else if termios.is(cc::VKILL, byte) {
            self.kill(byte, &mut typed.echo);
        } else if extended && termios.is(cc::VWERASE, byte) {
            self.erase_word(&mut typed.echo);
        } else if extended && termios.is(cc::VLNEXT, byte) {
            self.literal = true;
            if self.has(Local::ECHO) && self.has(Local::ECHOCTL) {
                typed.echo.push(b"^\x08");
            }
        } else if termios.is(cc::VEOF, byte) {
            // The end of file takes the place that a full line keeps for its end.
            if self.tail - self.head < ROOM {
                self.put(0, true);
                self.complete = self.tail;
                typed.ready = true;
            }
        } else {
            return false;
        }
        true
    }

    /// Takes back the last character typed, with all its bytes if it is UTF-8; returns how many columns it takes on the
    /// screen. None: the line is empty.
    fn take_back(&mut self) -> Option<usize> {
        let continues = |byte: u8| byte & 0xc0 == 0x80;
        let utf8 = self.termios.input().contains(Input::IUTF8);
        while self.tail > self.complete {
            self.tail -= 1;
            let byte = self.at(self.tail);
            if !(utf8 && continues(byte) && self.tail > self.complete) {
                return Some(self.width(byte, self.tail));
            }
        }
        None
    }

    /// How many columns `byte`, typed at `place`, takes on the screen.
    fn width(&self, byte: u8, place: usize) -> usize {
        match byte {
            b'\t' => {
                let before = (self.complete..place).fold(self.start_column, |column, at| {
                    self.after(column, self.at(at))
                });
                TAB - before % TAB
            }
            byte if is_control(byte) => {
                if self.has(Local::ECHOCTL) {
                    2
                } else {
                    0
                }
            }
            _ => 1,
        }
    }

    /// The column behind `byte`, typed and shown at `column`.
    fn after(&self, column: usize, byte: u8) -> usize {
        match byte {
            b'\t' => (column / TAB + 1) * TAB,
            byte if is_control(byte) => column + if self.has(Local::ECHOCTL) { 2 } else { 0 },
            byte if byte & 0xc0 == 0x80 && self.termios.input().contains(Input::IUTF8) => column,
            _ => column + 1,
        }
    }

    fn wipe(&mut self, columns: usize, echo: &mut Echo) {
        echo.erased += columns;
        self.column = self.column.saturating_sub(columns);
    }

    fn erase(&mut self, byte: u8, echo: &mut Echo) {
        let Some(columns) = self.take_back() else {
            return;
        };
        if self.has(Local::ECHO | Local::ECHOE) {
            self.wipe(columns, echo);
        } else if self.has(Local::ECHO) {
            self.show(byte, echo);
        }
    }

    fn kill(&mut self, byte: u8, echo: &mut Echo) {
        if self.has(Local::ECHO | Local::ECHOK | Local::ECHOKE | Local::ECHOE) {
            while let Some(columns) = self.take_back() {
                self.wipe(columns, echo);
            }
            return;
        }
        self.tail = self.complete;
        self.show(byte, echo);
        if self.has(Local::ECHO | Local::ECHOK) {
            self.show(b'\n', echo);
        }
    }

    fn erase_word(&mut self, echo: &mut Echo) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let mut in_word = false;
        while self.tail > self.complete {
            let word = is_word(self.at(self.tail - 1));
            if in_word && !word {
                return;
            }
            in_word |= word;
            let columns = self.take_back().unwrap_or_default();
            if self.has(Local::ECHO) {
                self.wipe(columns, echo);
            }
        }
    }

    /// Adds `byte` to what is being typed; `ends`: it completes the line. A full line takes only its end.
    fn append(&mut self, byte: u8, ends: bool, typed: &mut Typed) {
        let used = self.tail - self.head;
        let room = if ends || !self.canonical() {
            ROOM
        } else {
            ROOM - 1
        };
        if used >= room {
            if self.termios.input().contains(Input::IMAXBEL) {
                typed.echo.push(b"\x07");
            }
            return;
        }
        if self.tail == self.complete {
            self.start_column = self.column;
        }
        self.put(byte, ends);
        self.show(byte, &mut typed.echo);
        if !self.canonical() || ends {
            self.complete = self.tail;
            typed.ready = true;
        }
    }

    /// Echoes `byte`.
    fn show(&mut self, byte: u8, echo: &mut Echo) {
        let shown: &[u8] = match byte {
            b'\n' if self.has(Local::ECHO) || (self.has(Local::ECHONL) && self.canonical()) => {
                if self.termios.adds_returns() {
                    b"\r\n"
                } else {
                    b"\n"
                }
            }
            _ if !self.has(Local::ECHO) => return,
            b'\t' => b"\t",
            byte if is_control(byte) && self.has(Local::ECHOCTL) => &[b'^', byte ^ 0x40],
            byte => &[byte],
        };
        echo.push(shown);
        self.wrote(shown);
    }

    /// `text` has been shown: follows the cursor.
    pub fn wrote(&mut self, text: &[u8]) {
        let utf8 = self.termios.input().contains(Input::IUTF8);
        let returns = self.termios.adds_returns();
        self.column = text.iter().fold(self.column, |column, byte| match byte {
            b'\r' => 0,
            b'\n' => {
                if returns {
                    0
                } else {
                    column
                }
            }
            b'\t' => (column / TAB + 1) * TAB,
            8 => column.saturating_sub(1),
            byte if is_control(*byte) || (utf8 && byte & 0xc0 == 0x80) => column,
            _ => column.saturating_add(1),
        });
    }
}

const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
