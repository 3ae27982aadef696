//! A machine's serial console: read against a deadline, by line or up to a text.
//!
//! A thread of its own drains the line, so that a machine never stalls because nobody listens. Everything read is
//! kept for the report of a failure. Frames that come between the text (the kernel's log) are taken out of it and kept apart.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use halyard_wire::frame::Kind;
use halyard_wire::split::{self, Piece, Splitter};

/// Chunks that may wait to be taken before the reader thread holds back.
const BACKLOG: usize = 256;

/// The most of a console that is kept for reports, in bytes; the oldest goes first.
const TRANSCRIPT: usize = 1 << 20;

/// The most frames that are kept.
const FRAMES: usize = 4096;

/// What came, or why nothing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line, without its end; bytes that are not UTF-8 are replaced.
    Line(String),
    /// Not a byte in the time given.
    Silence,
    /// Time is up, though bytes were still coming.
    Deadline,
    /// The console is closed: the machine is off.
    Closed,
}

/// The two directions of a console, and what was read so far.
pub struct Console {
    chunks: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    splitter: Splitter,
    unread: Vec<u8>,
    transcript: Vec<u8>,
    frames: Vec<(Kind, Vec<u8>)>,
}

impl Console {
    /// A console over the two halves of a line. Starts the thread that reads it; the thread ends with the line, or
    /// soon after the console is dropped.
    pub fn new(output: impl Read + Send + 'static, input: impl Write + Send + 'static) -> Self {
        let (sender, chunks) = sync_channel(BACKLOG);
        thread::spawn(move || drain(output, &sender));
        Self {
            chunks,
            input: Box::new(input),
            splitter: Splitter::default(),
            unread: Vec::new(),
            transcript: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Waits for a whole line: at most `silence` without a byte, and not past `deadline`. When the console closes, a
    /// last line without an end is given before [`Event::Closed`].
    pub fn line(&mut self, silence: Duration, deadline: Instant) -> Event {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Event::Line(text_of(&line));
            }
            match self.more(silence, deadline) {
                Some(Event::Closed) if !self.unread.is_empty() => {
                    return Event::Line(text_of(&std::mem::take(&mut self.unread)));
                }
                Some(event) => return event,
                None => {}
            }
        }
    }

    /// Waits until `text` has come, and takes everything up to its end. Otherwise gives what came in its stead.
    pub fn wait_for(
        &mut self,
        text: &str,
        silence: Duration,
        deadline: Instant,
    ) -> Result<(), Event> {
        let wanted = text.as_bytes();
        loop {
            if let Some(at) = self
                .unread
                .windows(wanted.len())
                .position(|window| window == wanted)
            {
                self.unread.drain(..at + wanted.len());
                return Ok(());
            }
            if let Some(event) = self.more(silence, deadline) {
                return Err(event);
            }
        }
    }

    /// Types `text`. Error: the line is gone.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.input.write_all(text.as_bytes())?;
        self.input.flush()
    }

    /// The last `lines` lines that came, oldest first.
    pub fn tail(&self, lines: usize) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.transcript);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..]
            .iter()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// Everything that came (of very long output, the end).
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }

    /// The frames that came, oldest first (of very many, the last).
    pub fn frames(&self) -> &[(Kind, Vec<u8>)] {
        &self.frames
    }

    /// Puts a piece of what came where it belongs.
    fn piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Text(text) => self.text(text),
            Piece::Damaged(bytes) => split::text_in(bytes).for_each(|text| self.text(text)),
            Piece::Frame(kind, payload) => {
                if self.frames.len() >= FRAMES {
                    self.frames.remove(0);
                }
                self.frames.push((kind, payload.to_vec()));
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.unread.extend_from_slice(text);
        self.transcript.extend_from_slice(text);
        let excess = self.transcript.len().saturating_sub(TRANSCRIPT);
        self.transcript.drain(..excess);
    }

    /// Does something with the splitter, whose pieces come here.
    fn split(&mut self, with: impl FnOnce(&mut Splitter, &mut dyn FnMut(Piece<'_>))) {
        let mut splitter = std::mem::take(&mut self.splitter);
        with(&mut splitter, &mut |piece| self.piece(piece));
        self.splitter = splitter;
    }

    /// Takes what is there or comes next; says so if nothing does.
    fn more(&mut self, silence: Duration, deadline: Instant) -> Option<Event> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Some(Event::Deadline);
        }
        match self.chunks.recv_timeout(silence.min(left)) {
            Ok(chunk) => {
                self.split(|splitter, each| splitter.take(&chunk, each));
                None
            }
            // A frame comes in one go: what it has swallowed in such a silence is text after all.
            Err(_) if self.splitter.holds() => {
                self.split(|splitter, each| splitter.give_up(each));
                None
            }
            Err(RecvTimeoutError::Timeout) if left <= silence => Some(Event::Deadline),
            Err(RecvTimeoutError::Timeout) => Some(Event::Silence),
            Err(RecvTimeoutError::Disconnected) => Some(Event::Closed),
        }
    }
}

/// Moves what `output` gives into the channel until either end is gone.
fn drain(mut output: impl Read, sender: &SyncSender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// A line as text, without its end.
fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .trim_end_matches(['\r', '\n'])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(40);

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    fn console_over(text: &'static str) -> Console {
        Console::new(text.as_bytes(), io::sink())
    }

    #[test]
    fn console_gives_lines_then_rest_then_closed() {
        let mut console = console_over("one\r\ntwo\nthree");
        let events: Vec<Event> = (0..4).map(|_| console.line(SHORT, soon())).collect();
        let line = |text: &str| Event::Line(text.into());
        assert_eq!(
            events,
            [line("one"), line("two"), line("three"), Event::Closed]
        );
        assert_eq!(console.tail(2), ["two", "three"]);
    }

    #[test]
    fn console_finds_prompt_without_line_end() {
        let mut console = console_over("boot\n# rest");
        assert_eq!(console.wait_for("# ", SHORT, soon()), Ok(()));
        assert_eq!(console.line(SHORT, soon()), Event::Line("rest".into()));
    }

    #[test]
    fn console_without_bytes_reports_silence() {
        let (reader, _writer) = io::pipe().expect("pipe");
        let mut console = Console::new(reader, io::sink());
        assert_eq!(console.line(SHORT, soon()), Event::Silence);
    }

    #[test]
    fn console_past_deadline_reports_it() {
        let (reader, _writer) = io::pipe().expect("pipe");
        let mut console = Console::new(reader, io::sink());
        assert_eq!(
            console.line(Duration::from_secs(60), Instant::now() + SHORT),
            Event::Deadline
        );
    }

    #[test]
    fn console_keeps_frames_out_of_lines() {
        let mut line = b"ok 1".to_vec();
        halyard_wire::frame::encode(Kind::Record, &[b"abc"], &mut |byte| line.push(byte));
        line.extend(b" - a\r\n\0\xf8half of a frame");
        let mut console = Console::new(std::io::Cursor::new(line), io::sink());
        let next = |console: &mut Console| console.line(SHORT, soon());
        assert_eq!(next(&mut console), Event::Line("ok 1 - a".into()));
        assert_eq!(console.frames(), [(Kind::Record, b"abc".to_vec())]);
        assert_eq!(next(&mut console), Event::Line("half of a frame".into()));
        assert_eq!(next(&mut console), Event::Closed);
    }

    #[test]
    fn console_replaces_bytes_that_are_not_text() {
        let mut console = Console::new(&b"a\xffb\n"[..], io::sink());
        assert_eq!(
            console.line(SHORT, soon()),
            Event::Line("a\u{fffd}b".into())
        );
    }
}
