//! The line discipline against examples, and against a plain model.

use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const NOW: Instant = Instant(5);

fn shown(typed: &Typed) -> Vec<u8> {
    let mut text = b"\x08 \x08".repeat(typed.echo.erased);
    text.extend_from_slice(typed.echo.as_slice());
    text
}

fn type_all(line: &mut Line, text: &[u8]) -> (Vec<u8>, Vec<Signal>) {
    let (mut screen, mut signals) = (Vec::new(), Vec::new());
    for byte in text {
        let typed = line.type_byte(*byte, NOW);
        screen.extend(shown(&typed));
        signals.extend(typed.signal);
    }
    (screen, signals)
}

fn read_into(line: &mut Line, size: usize) -> Result<Vec<u8>> {
    let mut room = std::vec![0; size];
    let mut left = &mut room[..];
    let count = line.read(&mut left, false)?;
    room.truncate(count);
    Ok(room)
}

fn read(line: &mut Line) -> Option<Vec<u8>> {
    read_into(line, ROOM).ok()
}

fn raw(minimum: u8, tenths: u8) -> Termios {
    let mut raw = Termios {
        c_lflag: 0,
        c_iflag: 0,
        ..Termios::default()
    };
    (raw.c_cc[cc::VMIN], raw.c_cc[cc::VTIME]) = (minimum, tenths);
    raw
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
    line.set_termios(raw(1, 0));
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

#[test]
fn ends_of_file_each_end_their_own_line() {
    let mut line = Line::new();
    type_all(&mut line, b"abc\x04def\n\x04");
    assert_eq!(line.available(), 7);
    assert_eq!(read(&mut line), Some(b"abc".to_vec()));
    assert_eq!(read(&mut line), Some(b"def\n".to_vec()));
    assert_eq!(read(&mut line), Some(Vec::new()));
    assert_eq!(read(&mut line), None);
}

#[test]
fn end_of_file_behind_a_read_that_it_fits_is_over_with_it() {
    let mut line = Line::new();
    type_all(&mut line, b"abc\x04x\n");
    assert_eq!(read_into(&mut line, 3), Ok(b"abc".to_vec()));
    assert_eq!(read(&mut line), Some(b"x\n".to_vec()));
    type_all(&mut line, b"ab\n\x04");
    assert_eq!(read_into(&mut line, 3), Ok(b"ab\n".to_vec()));
    assert_eq!(read(&mut line), Some(Vec::new()));
}

#[test]
fn erase_of_a_tab_goes_back_to_where_it_was_typed() {
    let mut line = Line::new();
    line.wrote(b"$ ");
    type_all(&mut line, b"abc\t");
    assert_eq!(line.type_byte(0x7f, NOW).echo.erased, 3);
    assert_eq!(line.type_byte(0x7f, NOW).echo.erased, 1);
    type_all(&mut line, b"\x16\x01");
    assert_eq!(line.type_byte(0x7f, NOW).echo.erased, 2);
}

#[test]
fn erase_takes_a_whole_utf8_character() {
    let mut line = Line::new();
    type_all(&mut line, "a\u{e4}\u{20ac}".as_bytes());
    assert_eq!(line.type_byte(0x7f, NOW).echo.erased, 1);
    assert_eq!(line.type_byte(0x7f, NOW).echo.erased, 1);
    type_all(&mut line, b"\n");
    assert_eq!(read(&mut line), Some(b"a\n".to_vec()));
}

#[test]
fn kill_without_echoke_shows_itself_and_a_new_line() {
    let mut line = Line::new();
    let mut termios = Termios::default();
    termios.c_lflag &= !Local::ECHOKE.bits();
    line.set_termios(termios);
    let (screen, _) = type_all(&mut line, b"ab\x15");
    assert_eq!(screen, b"ab^U\r\n");
}

#[test]
fn password_is_not_shown_but_its_newline_may_be() {
    let mut line = Line::new();
    let mut termios = Termios::default();
    termios.c_lflag = termios.c_lflag & !Local::ECHO.bits() | Local::ECHONL.bits();
    line.set_termios(termios);
    assert_eq!(type_all(&mut line, b"secret\x7f\n").0, b"\r\n");
    assert_eq!(read(&mut line), Some(b"secre\n".to_vec()));
}

#[test]
fn raw_read_waits_for_vmin_bytes_or_what_fits() {
    let mut line = Line::new();
    line.set_termios(raw(3, 0));
    type_all(&mut line, b"ab");
    assert!(!line.ready());
    assert_eq!(read_into(&mut line, 10), Err(Errno::EAGAIN));
    assert_eq!(read_into(&mut line, 1), Ok(b"a".to_vec()));
    type_all(&mut line, b"cd");
    assert!(line.ready());
    assert_eq!(read(&mut line), Some(b"bcd".to_vec()));
    assert_eq!(line.deadline(NOW), None);
}

#[test]
fn raw_read_with_vmin_0_never_waits_without_vtime_and_vtime_with_it() {
    let mut line = Line::new();
    line.set_termios(raw(0, 0));
    assert_eq!(read(&mut line), Some(Vec::new()));
    assert!(!line.ready());
    line.set_termios(raw(0, 5));
    assert_eq!(read_into(&mut line, 10), Err(Errno::EAGAIN));
    assert_eq!(line.deadline(Instant(7)), Some(Instant(500_000_007)));
}

#[test]
fn raw_read_with_vmin_and_vtime_counts_from_the_last_byte() {
    let mut line = Line::new();
    line.set_termios(raw(3, 1));
    assert_eq!(line.deadline(NOW), None);
    line.type_byte(b'a', Instant(1000));
    assert_eq!(line.deadline(NOW), Some(Instant(100_001_000)));
    let mut room = [0; 4];
    assert_eq!(line.read(&mut &mut room[..], false), Err(Errno::EAGAIN));
    assert_eq!(line.read(&mut &mut room[..], true), Ok(1));
    assert_eq!(line.read(&mut &mut room[..], true), Err(Errno::EAGAIN));
}

#[test]
fn change_of_mode_keeps_what_was_typed() {
    let mut line = Line::new();
    type_all(&mut line, b"one\ntwo");
    line.set_termios(raw(1, 0));
    assert_eq!(read_into(&mut line, 5), Ok(b"one\nt".to_vec()));
    line.set_termios(Termios::default());
    assert_eq!(read(&mut line), Some(b"wo".to_vec()));
    assert_eq!(read(&mut line), None);
}

/// Canonical mode without a screen: complete lines (true: without a newline, ended by an end of file), then the one being
/// typed.
#[derive(Default)]
struct Model {
    lines: VecDeque<(Vec<u8>, bool)>,
    current: Vec<u8>,
    literal: bool,
}

impl Model {
    fn used(&self) -> usize {
        let line = |(text, ended): &(Vec<u8>, bool)| text.len() + usize::from(*ended);
        self.lines.iter().map(line).sum::<usize>() + self.current.len()
    }

    fn push(&mut self, byte: u8, room: usize) -> bool {
        let fits = self.used() < room;
        if fits {
            self.current.push(byte);
        }
        fits
    }

    fn type_byte(&mut self, byte: u8) -> Option<Signal> {
        let literal = core::mem::take(&mut self.literal);
        match byte {
            byte if literal => drop(self.push(byte, ROOM - 1)),
            3 | 0x1c | 0x1a => {
                *self = Model::default();
                return Some(match byte {
                    3 => Signal::INT,
                    0x1c => Signal::QUIT,
                    _ => Signal::TSTP,
                });
            }
            0x7f => drop(self.current.pop()),
            0x15 => self.current.clear(),
            0x16 => self.literal = true,
            0x17 => {
                let word = |byte: &u8| byte.is_ascii_alphanumeric();
                let end = self
                    .current
                    .iter()
                    .rposition(word)
                    .map_or(0, |last| last + 1);
                let start = self.current[..end]
                    .iter()
                    .rposition(|byte| !word(byte))
                    .map_or(0, |blank| blank + 1);
                self.current.truncate(start);
            }
            4 if self.used() < ROOM => self
                .lines
                .push_back((core::mem::take(&mut self.current), true)),
            4 => {}
            b'\r' | b'\n' if self.push(b'\n', ROOM) => {
                self.lines
                    .push_back((core::mem::take(&mut self.current), false));
            }
            b'\r' | b'\n' => {}
            byte => drop(self.push(byte, ROOM - 1)),
        }
        None
    }

    fn read(&mut self, size: usize) -> Option<Vec<u8>> {
        let (mut text, ended) = self.lines.pop_front()?;
        let rest = text.split_off(text.len().min(size));
        if !rest.is_empty() {
            self.lines.push_front((rest, ended));
        }
        Some(text)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Type(Vec<u8>),
    Fill(usize),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let special = prop::sample::select(&b"\r\n\x03\x1c\x1a\x7f\x15\x16\x17\x04 .\t"[..]);
    let byte = prop_oneof![2 => special, 3 => prop::sample::select(&b"abcxyz09 "[..])];
    prop_oneof![
        4 => prop::collection::vec(byte, 0..30).prop_map(Step::Type),
        1 => (ROOM - 20..ROOM + 20).prop_map(Step::Fill),
        4 => prop_oneof![1..5usize, 30..60usize, Just(ROOM)].prop_map(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn line_does_what_a_queue_of_lines_does(steps in prop::collection::vec(step(), 1..40)) {
        let (mut line, mut model) = (Line::new(), Model::default());
        for step in steps {
            match step {
                Step::Type(bytes) => for byte in bytes {
                    prop_assert_eq!(line.type_byte(byte, NOW).signal, model.type_byte(byte));
                },
                Step::Fill(count) => for _ in 0..count {
                    line.type_byte(b'f', NOW);
                    model.type_byte(b'f');
                },
                Step::Read(size) => prop_assert_eq!(read_into(&mut line, size).ok(), model.read(size)),
            }
            prop_assert_eq!(line.ready(), !model.lines.is_empty());
            prop_assert_eq!(line.available(), model.lines.iter().map(|(text, _)| text.len()).sum::<usize>());
        }
    }
}
