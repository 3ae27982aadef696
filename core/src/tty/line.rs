//! The line discipline: from typed bytes to what programs read, and what is shown meanwhile. Pure: no lock, no process.

use super::termios::{Input, Local, Termios, cc};
use crate::process::signal::Signal;

/// The longest line, and the most bytes that wait to be read (N_TTY_BUF_SIZE of Linux). More that is typed is dropped.
const ROOM: usize = 4096;

/// What happened by one typed byte.
pub struct Typed {
    /// What is to be shown.
    pub echo: Echo,
    /// What is to be sent to the foreground group.
    pub signal: Option<Signal>,
    /// A reader may find something now.
    pub ready: bool,
}

/// A few bytes to be shown.
pub struct Echo {
    bytes: [u8; 64],
    used: usize,
}

impl Default for Echo {
    fn default() -> Self {
        Echo { bytes: [0; 64], used: 0 }
    }
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
        self.used == 0
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

/// A line being typed, behind lines that wait to be read.
pub struct Line {
    /// Settings.
    pub termios: Termios,
    /// Lines that wait, then the line being typed.
    text: [u8; ROOM],
    used: usize,
    /// Up to here the lines are complete.
    complete: usize,
    /// An end of file was typed at `complete`: what is before it is read without a newline, or as 0 bytes.
    ends: bool,
    literal: bool,
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
        Line { termios: Termios::default(), text: [0; ROOM], used: 0, complete: 0, ends: false, literal: false }
    }

    fn canonical(&self) -> bool {
        self.termios.local().contains(Local::ICANON)
    }

    /// Changes the settings. Leaving canonical mode, what was being typed can be read as it is.
    pub fn set_termios(&mut self, termios: Termios) {
        let was_canonical = self.canonical();
        self.termios = termios;
        if was_canonical && !self.canonical() {
            self.complete = self.used;
            self.ends = false;
        }
    }

    /// Forgets everything typed.
    pub fn flush(&mut self) {
        (self.used, self.complete, self.ends, self.literal) = (0, 0, false, false);
    }

    /// How many bytes can be read.
    #[must_use]
    pub fn available(&self) -> usize {
        if self.canonical() { self.complete } else { self.used }
    }

    /// Whether a read would not wait.
    #[must_use]
    pub fn ready(&self) -> bool {
        if self.canonical() {
            return self.complete > 0 || self.ends;
        }
        self.used > 0 || self.termios.minimum() == 0
    }

    /// Reads into `into`: in canonical mode at most a line. None: nothing yet. VTIME is taken as 0: a raw read with VMIN 0
    /// returns at once.
    pub fn read(&mut self, into: &mut [u8]) -> Option<usize> {
        if !self.ready() || (!self.canonical() && self.used < self.termios.minimum().min(into.len())) {
            return None;
        }
        let limit = self.available().min(into.len());
        let ready = self.text.get(..limit).unwrap_or_default();
        let count = match ready.iter().position(|byte| *byte == b'\n') {
            Some(newline) if self.canonical() => newline + 1,
            _ => limit,
        };
        into.get_mut(..count)?.copy_from_slice(self.text.get(..count)?);
        self.text.copy_within(count..self.used, 0);
        self.used -= count;
        self.complete = self.complete.saturating_sub(count);
        if self.complete == 0 && limit == count {
            self.ends = false;
        }
        Some(count)
    }

    /// One byte has been typed.
    pub fn type_byte(&mut self, byte: u8) -> Typed {
        let mut typed = Typed { echo: Echo::default(), signal: None, ready: false };
        let local = self.termios.local();
        if core::mem::take(&mut self.literal) {
            self.append(byte, &mut typed);
            return typed;
        }
        let Some(byte) = self.translate(byte) else { return typed };
        if local.contains(Local::ISIG)
            && let Some(signal) = self.signal_of(byte)
        {
            if !local.contains(Local::NOFLSH) {
                self.flush();
            }
            self.show(byte, &mut typed.echo);
            typed.signal = Some(signal);
            return typed;
        }
        if !self.canonical() || !self.edit(byte, &mut typed) {
            self.append(byte, &mut typed);
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
        let signals = [(cc::VINTR, Signal::INT), (cc::VQUIT, Signal::QUIT), (cc::VSUSP, Signal::TSTP)];
        signals.into_iter().find(|(place, _)| self.termios.is(*place, byte)).map(|(_, signal)| signal)
    }

    /// Editing characters of canonical mode. False: it is none.
    fn edit(&mut self, byte: u8, typed: &mut Typed) -> bool {
        let extended = self.termios.local().contains(Local::IEXTEN);
        if self.termios.is(cc::VERASE, byte) || byte == 8 {
            self.erase(&mut typed.echo);
        } else if self.termios.is(cc::VKILL, byte) {
            while self.used > self.complete && typed.echo.used < 60 {
                self.erase(&mut typed.echo);
            }
            self.used = self.complete;
        } else if extended && self.termios.is(cc::VWERASE, byte) {
            self.erase_word(&mut typed.echo);
        } else if extended && self.termios.is(cc::VLNEXT, byte) {
            self.literal = true;
        } else if self.termios.is(cc::VEOF, byte) {
            self.complete = self.used;
            self.ends = true;
            typed.ready = true;
        } else {
            return false;
        }
        true
    }

    fn erase(&mut self, echo: &mut Echo) {
        if self.used == self.complete {
            return;
        }
        self.used -= 1;
        let local = self.termios.local();
        if !local.contains(Local::ECHO) {
            return;
        }
        let shown = self.text.get(self.used).map_or(1, |byte| if is_control(*byte) { 2 } else { 1 });
        for _ in 0..shown {
            echo.push(if local.contains(Local::ECHOE) { b"\x08 \x08" } else { b"\x08" });
        }
    }

    fn last_typed(&self) -> Option<u8> {
        if self.used > self.complete { self.text.get(self.used - 1).copied() } else { None }
    }

    fn erase_word(&mut self, echo: &mut Echo) {
        while self.last_typed().is_some_and(|byte| byte == b' ') {
            self.erase(echo);
        }
        while self.last_typed().is_some_and(|byte| byte != b' ') {
            self.erase(echo);
        }
    }

    /// Adds `byte` to what is being typed; a newline completes the line. A full line takes only its end.
    fn append(&mut self, byte: u8, typed: &mut Typed) {
        let ends_line = byte == b'\n' || self.termios.is(cc::VEOL, byte);
        let room = if ends_line || !self.canonical() { ROOM } else { ROOM - 1 };
        if self.used >= room {
            typed.echo.push(b"\x07");
            return;
        }
        if let Some(place) = self.text.get_mut(self.used) {
            *place = byte;
            self.used += 1;
        }
        self.show(byte, &mut typed.echo);
        if !self.canonical() {
            typed.ready = true;
        } else if ends_line {
            self.complete = self.used;
            typed.ready = true;
        }
    }

    fn show(&self, byte: u8, echo: &mut Echo) {
        let local = self.termios.local();
        if byte == b'\n' {
            if local.intersects(Local::ECHO | Local::ECHONL) {
                echo.push(if self.termios.adds_returns() { b"\r\n" } else { b"\n" });
            }
        } else if local.contains(Local::ECHO) {
            if is_control(byte) && local.contains(Local::ECHOCTL) && byte != b'\t' {
                echo.push(&[b'^', byte ^ 0x40]);
            } else {
                echo.push(&[byte]);
            }
        }
    }
}

const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn type_all(line: &mut Line, text: &[u8]) -> (Vec<u8>, Vec<Signal>) {
        let (mut shown, mut signals) = (Vec::new(), Vec::new());
        for byte in text {
            let typed = line.type_byte(*byte);
            shown.extend_from_slice(typed.echo.as_slice());
            signals.extend(typed.signal);
        }
        (shown, signals)
    }

    fn read(line: &mut Line) -> Option<Vec<u8>> {
        let mut room = [0; 100];
        line.read(&mut room).map(|count| room[..count].to_vec())
    }

    #[test]
    fn line_is_not_readable_before_its_end() {
        let mut line = Line::new();
        type_all(&mut line, b"abc");
        assert_eq!(read(&mut line), None);
        let (shown, _) = type_all(&mut line, b"\r");
        assert_eq!(shown, b"\r\n");
        assert_eq!(read(&mut line), Some(b"abc\n".to_vec()));
    }

    #[test]
    fn line_read_gives_one_line_at_a_time() {
        let mut line = Line::new();
        type_all(&mut line, b"one\ntwo\n");
        assert_eq!(read(&mut line), Some(b"one\n".to_vec()));
        assert_eq!(read(&mut line), Some(b"two\n".to_vec()));
        assert_eq!(read(&mut line), None);
    }

    #[test]
    fn erase_takes_back_a_character_and_its_picture() {
        let mut line = Line::new();
        let (shown, _) = type_all(&mut line, b"ab\x7f\x7f\x7fc\n");
        assert_eq!(shown, b"ab\x08 \x08\x08 \x08c\r\n");
        assert_eq!(read(&mut line), Some(b"c\n".to_vec()));
    }

    #[test]
    fn erase_stops_at_a_complete_line() {
        let mut line = Line::new();
        type_all(&mut line, b"a\n\x7f\x7fb\n");
        assert_eq!(read(&mut line), Some(b"a\n".to_vec()));
        assert_eq!(read(&mut line), Some(b"b\n".to_vec()));
    }

    #[test]
    fn word_erase_takes_a_word_and_the_blanks_behind_it() {
        let mut line = Line::new();
        type_all(&mut line, b"one two  \x17x\n");
        assert_eq!(read(&mut line), Some(b"one x\n".to_vec()));
    }

    #[test]
    fn kill_takes_the_line() {
        let mut line = Line::new();
        type_all(&mut line, b"wrong\x15right\n");
        assert_eq!(read(&mut line), Some(b"right\n".to_vec()));
    }

    #[test]
    fn end_of_file_on_an_empty_line_reads_as_nothing_once() {
        let mut line = Line::new();
        type_all(&mut line, b"\x04");
        assert_eq!(read(&mut line), Some(Vec::new()));
        assert_eq!(read(&mut line), None);
    }

    #[test]
    fn end_of_file_behind_text_gives_the_text_without_newline() {
        let mut line = Line::new();
        type_all(&mut line, b"abc\x04");
        assert_eq!(read(&mut line), Some(b"abc".to_vec()));
        assert_eq!(read(&mut line), None);
    }

    #[test]
    fn interrupt_forgets_the_line_and_sends_sigint() {
        let mut line = Line::new();
        let (shown, signals) = type_all(&mut line, b"abc\x03d\n");
        assert_eq!(signals, [Signal::INT]);
        assert_eq!(shown, b"abc^Cd\r\n");
        assert_eq!(read(&mut line), Some(b"d\n".to_vec()));
    }

    #[test]
    fn literal_next_takes_a_special_character_as_text() {
        let mut line = Line::new();
        let (_, signals) = type_all(&mut line, b"\x16\x03\n");
        assert!(signals.is_empty());
        assert_eq!(read(&mut line), Some(b"\x03\n".to_vec()));
    }

    #[test]
    fn raw_mode_gives_each_byte_as_it_comes() {
        let mut line = Line::new();
        let mut raw = Termios::default();
        (raw.c_lflag, raw.c_iflag) = (0, 0);
        line.set_termios(raw);
        let (shown, signals) = type_all(&mut line, b"\x03\r");
        assert!(shown.is_empty() && signals.is_empty());
        assert_eq!(read(&mut line), Some(b"\x03\r".to_vec()));
    }

    #[test]
    fn full_line_takes_its_newline_still() {
        let mut line = Line::new();
        type_all(&mut line, &[b'x'; ROOM + 10]);
        type_all(&mut line, b"\n");
        assert_eq!(line.available(), ROOM);
    }
}
