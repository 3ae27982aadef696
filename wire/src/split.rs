//! Takes a line's bytes apart again: text, frames, and what noise made of frames.

use crate::frame::{self, ENCODED_MAX, Kind, MARK};

/// A piece of what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text, as it came.
    Text(&'a [u8]),
    /// A frame, whole: its payload.
    Frame(Kind, &'a [u8]),
    /// What began as a frame and is none. Text may be in it, if the frame's end was lost.
    Damaged(&'a [u8]),
}

/// Where in a line the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In text.
    Text,
    /// Behind a mark: the next byte says what follows.
    Marked,
    /// Behind the mark that ended a frame, which is no byte of the text.
    Closed,
    /// In a frame.
    Frame(Kind),
}

/// A reader of a line.
#[derive(Debug)]
pub struct Splitter {
    state: State,
    held: [u8; ENCODED_MAX],
    used: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            state: State::Text,
            held: [0; ENCODED_MAX],
            used: 0,
        }
    }
}

impl Splitter {
    /// Takes bytes as they come; calls `each` for each piece that is now known.
    pub fn take(&mut self, bytes: &[u8], each: &mut dyn FnMut(Piece<'_>)) {
        let mut text = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            let was = self.state;
            if was == State::Text && byte == MARK {
                give_text(bytes.get(text..at), each);
            }
            self.step(byte, each);
            // Text begins behind this byte, or with it.
            match (was, self.state) {
                (State::Text, State::Text) => {}
                (State::Marked | State::Closed, State::Text) => text = at,
                (_, State::Text) => text = at + 1,
                _ => text = bytes.len(),
            }
        }
        if self.state == State::Text {
            give_text(bytes.get(text..), each);
        }
    }

    /// Nothing has come for a while: what was held back will not be completed.
    pub fn give_up(&mut self, each: &mut dyn FnMut(Piece<'_>)) {
        match self.state {
            State::Text | State::Closed => {}
            State::Marked => each(Piece::Text(&[MARK])),
            State::Frame(_) => self.damaged(each),
        }
        self.state = State::Text;
    }

    /// Whether something is held back.
    #[must_use]
    pub fn holds(&self) -> bool {
        !matches!(self.state, State::Text | State::Closed)
    }

    fn step(&mut self, byte: u8, each: &mut dyn FnMut(Piece<'_>)) {
        self.state = match self.state {
            State::Text if byte == MARK => State::Marked,
            State::Text => State::Text,
            State::Marked | State::Closed => self.behind_mark(byte, each),
            State::Frame(kind) if byte == MARK => {
                self.close(kind, each);
                State::Closed
            }
            State::Frame(kind) => match self.held.get_mut(self.used) {
                Some(place) => {
                    *place = byte;
                    self.used += 1;
                    State::Frame(kind)
                }
                None => {
                    self.damaged(each);
                    each(Piece::Text(&[byte]));
                    State::Text
                }
            },
        };
    }

    /// What the byte behind a mark means. A mark that begins no frame is one of a program's own and stays in the text.
    fn behind_mark(&mut self, byte: u8, each: &mut dyn FnMut(Piece<'_>)) -> State {
        if let Some(kind) = Kind::of(byte) {
            self.used = 0;
            return State::Frame(kind);
        }
        let own = self.state == State::Marked;
        if own {
            each(Piece::Text(&[MARK]));
        }
        if byte == MARK {
            State::Marked
        } else {
            State::Text
        }
    }

    fn close(&mut self, kind: Kind, each: &mut dyn FnMut(Piece<'_>)) {
        let held = self.held.get(..self.used).unwrap_or_default();
        let mut room = [0; ENCODED_MAX * 7];
        match frame::decode(kind, held, &mut room) {
            Some(payload) => each(Piece::Frame(kind, payload)),
            None => self.damaged(each),
        }
    }

    fn damaged(&mut self, each: &mut dyn FnMut(Piece<'_>)) {
        each(Piece::Damaged(
            self.held.get(..self.used).unwrap_or_default(),
        ));
        self.used = 0;
    }
}

/// Runs of so many printable bytes are taken for text.
const RUN: usize = 6;

/// The text in what came [damaged](Piece::Damaged): what a frame swallowed whose end was lost.
pub fn text_in(damaged: &[u8]) -> impl Iterator<Item = &[u8]> {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t');
    let runs = damaged.split(move |byte| !plain(byte));
    runs.filter(|run| run.len() >= RUN)
}

fn give_text(text: Option<&[u8]>, each: &mut dyn FnMut(Piece<'_>)) {
    match text {
        Some(text) if !text.is_empty() => each(Piece::Text(text)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Heard {
        text: Vec<u8>,
        frames: Vec<(Kind, Vec<u8>)>,
        damaged: Vec<Vec<u8>>,
    }

    impl Heard {
        fn piece(&mut self, piece: Piece<'_>) {
            match piece {
                Piece::Text(text) => self.text.extend(text),
                Piece::Frame(kind, payload) => self.frames.push((kind, payload.to_vec())),
                Piece::Damaged(bytes) => self.damaged.push(bytes.to_vec()),
            }
        }
    }

    fn hear(bytes: &[u8], step: usize) -> Heard {
        let (mut heard, mut splitter) = (Heard::default(), Splitter::default());
        for piece in bytes.chunks(step.max(1)) {
            splitter.take(piece, &mut |piece| heard.piece(piece));
        }
        splitter.give_up(&mut |piece| heard.piece(piece));
        heard
    }

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode(Kind::Record, &[payload], &mut |byte| out.push(byte));
        out
    }

    #[test]
    fn frames_within_a_line_leave_its_text_whole() {
        let line = [b"one t", &frame(b"abc")[..], &frame(b""), b"wo\r\n"].concat();
        for step in 1..line.len() {
            let heard = hear(&line, step);
            assert_eq!(heard.text, b"one two\r\n");
            let payloads: Vec<_> = heard.frames.iter().map(|(_, bytes)| &bytes[..]).collect();
            assert_eq!(payloads, [&b"abc"[..], b""]);
            assert!(heard.damaged.is_empty());
        }
    }

    #[test]
    fn zeros_of_a_programs_own_stay_in_its_text() {
        for text in [&b"a\0b"[..], b"\0\0\0", b"a\0", b"\0", b"\0\0x\0"] {
            for step in 1..=text.len() {
                let heard = hear(text, step);
                assert_eq!(heard.text, text, "{step}");
                assert!(heard.frames.is_empty());
            }
        }
    }

    #[test]
    fn lost_end_costs_the_frame_and_not_the_next() {
        let mut line = frame(b"first");
        line.pop();
        line.extend(b"prompt $ ");
        line.extend(frame(b"second"));
        let heard = hear(&line, 3);
        assert_eq!(heard.frames.len(), 1);
        assert!(String::from_utf8_lossy(&heard.damaged[0]).contains("prompt $ "));
    }

    #[test]
    fn lost_end_with_much_text_behind_is_given_up() {
        let mut line = frame(b"first");
        line.pop();
        line.extend([b'x'; 2 * ENCODED_MAX]);
        let heard = hear(&line, 7);
        assert!(heard.frames.is_empty());
        let shown = heard.text.len() + heard.damaged.iter().map(Vec::len).sum::<usize>();
        assert_eq!(shown, line.len() - 2, "all but mark and kind is handed on");
    }

    #[test]
    fn silence_within_a_frame_gives_it_up() {
        let (mut heard, mut splitter) = (Heard::default(), Splitter::default());
        let bytes = frame(b"abcdefgh");
        splitter.take(&bytes[..6], &mut |piece| heard.piece(piece));
        assert!(splitter.holds() && heard == Heard::default());
        splitter.give_up(&mut |piece| heard.piece(piece));
        splitter.take(b"text", &mut |piece| heard.piece(piece));
        assert_eq!(heard.text, b"text");
        assert_eq!(heard.damaged.len(), 1);
    }

    proptest! {
        #[test]
        fn noise_costs_what_it_hits_and_one_more_at_most(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 4..12),
            at in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 0..4),
            lost in 0..4_usize,
        ) {
            let mut line = Vec::new();
            for payload in &payloads {
                line.extend(b"text\r\n");
                line.extend(frame(payload));
            }
            let at = at.index(line.len());
            let end = (at + lost).min(line.len());
            line.splice(at..end, noise);
            let heard = hear(&line, 5);
            let right = heard.frames.iter().filter(|(_, payload)| payloads.contains(payload)).count();
            prop_assert!(right + 2 >= payloads.len(), "{} of {}", right, payloads.len());
            // By chance a sum of sixteen bits may still fit, once in 65,536.
        }

        #[test]
        fn any_bytes_are_taken_and_what_is_no_frame_is_all_handed_on(bytes in prop::collection::vec(prop_oneof![Just(0), Just(0xf8), any::<u8>()], 0..900), step in 1..40_usize) {
            let whole = hear(&bytes, bytes.len());
            let pieces = hear(&bytes, step);
            prop_assert_eq!(whole, pieces);
        }
    }
}
