//! Takes a line apart into the text that programs wrote and the kernel's log, which comes between in frames, and makes the log
//! readable by the kernel's ELF file; or says why it cannot.

use std::path::PathBuf;

use halyard_wire::frame::{Kind, Record};
use halyard_wire::split::{Piece, Splitter, text_in};

use super::log::Texts;

/// What a line said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Text, as it came.
    Text(Vec<u8>),
    /// A line of the log, or a word about it.
    Remark(String),
}

/// What an ELF file knows of the log.
pub(crate) struct Knowledge {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its build id in hexadecimal, if it has one.
    pub(crate) build: Option<String>,
    /// Its texts; or why they cannot be read.
    pub(crate) texts: Result<Option<Texts>, String>,
}

/// Reads a line.
pub(crate) struct Records {
    splitter: Splitter,
    knowledge: Option<Knowledge>,
    /// What was said of records that cannot be read, so that it is said once.
    complaint: Option<String>,
}

impl Records {
    /// With what a kernel's ELF file knows, if there is one.
    pub(crate) fn new(knowledge: Option<Knowledge>) -> Self {
        Self {
            splitter: Splitter::default(),
            knowledge,
            complaint: None,
        }
    }

    /// Takes bytes as they come.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut pieces = Vec::new();
        self.splitter
            .take(bytes, &mut |piece| pieces.push(Owned::of(piece)));
        self.read(pieces)
    }

    /// Nothing has come for a while: a frame that has not ended will not.
    pub(crate) fn idle(&mut self) -> Vec<Heard> {
        if !self.splitter.holds() {
            return Vec::new();
        }
        let mut pieces = Vec::new();
        self.splitter
            .give_up(&mut |piece| pieces.push(Owned::of(piece)));
        self.read(pieces)
    }

    fn read(&mut self, pieces: Vec<Owned>) -> Vec<Heard> {
        let mut heard = Vec::new();
        for piece in pieces {
            match piece {
                Owned::Text(text) => heard.push(Heard::Text(text)),
                Owned::Frame(kind, payload) => {
                    heard.extend(self.frame(kind, &payload).map(Heard::Remark));
                }
                Owned::Damaged(bytes) => {
                    heard.push(Heard::Remark("[a log record came damaged]".into()));
                    let text: Vec<u8> = text_in(&bytes).flatten().copied().collect();
                    if !text.is_empty() {
                        heard.push(Heard::Text(text));
                    }
                }
            }
        }
        heard
    }

    /// A frame as a line; None: it says nothing that a person needs.
    pub(crate) fn frame(&mut self, kind: Kind, payload: &[u8]) -> Option<String> {
        match kind {
            Kind::Record => match Record::of(payload) {
                Some(record) => self.record(&record),
                None => Some("[an empty log record]".into()),
            },
            Kind::Build => {
                let told = hexadecimal(payload);
                let Some(knowledge) = &self.knowledge else {
                    return None;
                };
                if knowledge.build.as_ref() == Some(&told) {
                    return None;
                }
                let why = format!("the board runs build {told}, {}", knowledge.is());
                self.complain(why)
            }
            Kind::Lost => {
                let count = payload.first_chunk().copied().map(u32::from_le_bytes);
                Some(format!(
                    "[{} log records were lost]",
                    count.unwrap_or_default()
                ))
            }
        }
    }

    fn record(&mut self, record: &Record<'_>) -> Option<String> {
        let begins = hexadecimal(&record.build);
        let Some(knowledge) = &self.knowledge else {
            return self.complain("there is no ELF file of its kernel".into());
        };
        match &knowledge.build {
            Some(own) if own.starts_with(&begins) => {}
            _ => {
                // A build that was told whole was named already.
                if self
                    .complaint
                    .as_ref()
                    .is_some_and(|complaint| complaint.contains(&begins))
                {
                    return None;
                }
                let why = format!("the board runs a build {begins}..., {}", knowledge.is());
                return self.complain(why);
            }
        }
        match &knowledge.texts {
            Ok(Some(texts)) => Some(match texts.line(record) {
                Ok(line) => line,
                Err(error) => format!("[a log record that cannot be read: {error:#}]"),
            }),
            Ok(None) => self.complain(format!("{} has no texts", knowledge.path.display())),
            Err(why) => {
                let why = format!("{}: {why}", knowledge.path.display());
                self.complain(why)
            }
        }
    }

    /// Says once why the log cannot be read.
    fn complain(&mut self, why: String) -> Option<String> {
        if self.complaint.as_ref() == Some(&why) {
            return None;
        }
        self.complaint = Some(why.clone());
        Some(format!(
            "[its log cannot be read: {why}; flash it, or name its ELF file with --elf]"
        ))
    }
}

impl Knowledge {
    /// Which build the file is, within a sentence.
    fn is(&self) -> String {
        let build = self.build.as_deref().unwrap_or("without a build id");
        format!("{} is {build}", self.path.display())
    }
}

/// A piece that outlives the splitter's buffer.
enum Owned {
    Text(Vec<u8>),
    Frame(Kind, Vec<u8>),
    Damaged(Vec<u8>),
}

impl Owned {
    fn of(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Text(text) => Self::Text(text.to_vec()),
            Piece::Frame(kind, payload) => Self::Frame(kind, payload.to_vec()),
            Piece::Damaged(bytes) => Self::Damaged(bytes.to_vec()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use halyard_wire::frame;

    use super::super::log::tests::{BUILD, elf, note};
    use super::*;

    /// What the ELF file of the tests knows.
    pub(crate) fn knowledge() -> Knowledge {
        Knowledge {
            path: "kernel.elf".into(),
            build: Some(hexadecimal(&BUILD)),
            texts: Texts::read(&elf()).map_err(|error| error.to_string()),
        }
    }

    /// A frame on the line.
    pub(crate) fn frame(kind: Kind, parts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode(kind, parts, &mut |byte| out.push(byte));
        out
    }

    /// A record of the kernel with that build id.
    pub(crate) fn record(build: [u8; 2], what: &str) -> Vec<u8> {
        let head = [build[0], build[1], 0];
        frame(Kind::Record, &[&head, &note(7, what)])
    }

    fn hear(records: &mut Records, bytes: &[u8]) -> (String, Vec<String>) {
        let (mut text, mut remarks) = (String::new(), Vec::new());
        for heard in records.take(bytes) {
            match heard {
                Heard::Text(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                Heard::Remark(remark) => remarks.push(remark),
            }
        }
        (text, remarks)
    }

    #[test]
    fn log_is_read_beside_the_text() {
        let mut records = Records::new(Some(knowledge()));
        let line = [b"halyard", &record([0xab; 2], "uart")[..], b":/$ "].concat();
        let (text, remarks) = hear(&mut records, &line);
        assert_eq!(text, "halyard:/$ ");
        assert_eq!(remarks, ["0.001500 cpu0 info  7 drivers for uart"]);
    }

    #[test]
    fn log_of_another_build_is_named_once_and_not_read() {
        let mut records = Records::new(Some(knowledge()));
        let other = frame(Kind::Build, &[&[0xcd; 20]]);
        let line = [
            &other[..],
            &record([0xcd; 2], "uart"),
            &record([0xcd; 2], "i2c"),
        ]
        .concat();
        let (_, remarks) = hear(&mut records, &line);
        assert_eq!(remarks.len(), 1);
        assert!(remarks[0].contains(&"cd".repeat(20)) && remarks[0].contains(&"ab".repeat(20)));
        // And its own again after a reset.
        let (_, remarks) = hear(&mut records, &record([0xab; 2], "uart"));
        assert!(remarks[0].contains("drivers for uart"), "{remarks:?}");
    }

    #[test]
    fn log_of_another_build_is_known_by_any_record() {
        let mut records = Records::new(Some(knowledge()));
        let (_, remarks) = hear(&mut records, &record([0xcd, 0xef], "uart").repeat(3));
        assert_eq!(remarks.len(), 1);
        assert!(remarks[0].contains("cdef..."), "{remarks:?}");
    }

    #[test]
    fn log_without_an_elf_file_says_so_once() {
        let mut records = Records::new(None);
        let (text, remarks) = hear(&mut records, &record([1, 2], "uart").repeat(3));
        assert_eq!((text.as_str(), remarks.len()), ("", 1));
    }

    #[test]
    fn records_lost_are_told() {
        let mut records = Records::new(Some(knowledge()));
        let (_, remarks) = hear(&mut records, &frame(Kind::Lost, &[&9_u32.to_le_bytes()]));
        assert_eq!(remarks, ["[9 log records were lost]"]);
    }

    #[test]
    fn damaged_record_is_told_and_the_text_it_swallowed_shown() {
        let mut records = Records::new(Some(knowledge()));
        let mut line = record([0xab; 2], "uart");
        line.pop();
        line.extend(b"\r\nhalyard:/$ ");
        let (text, remarks) = hear(&mut records, &line);
        assert!(text.is_empty() && remarks.is_empty());
        let heard = records.idle();
        assert_eq!(
            heard[0],
            Heard::Remark("[a log record came damaged]".into())
        );
        assert!(matches!(&heard[1], Heard::Text(text) if text.ends_with(b"\r\nhalyard:/$ ")));
        assert!(records.idle().is_empty());
    }
}
