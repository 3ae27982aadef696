//! Reads the console's lines as they pass, and says what they do not: files and lines of a panic's backtrace, the kernel's log,
//! and that the kernel is not the one whose ELF file is at hand.

use super::places::Places;
use super::records::{Heard, Knowledge, Records};

/// The lowest address the kernel is linked at. Source: arch/aarch64/kernel.ld.
pub(crate) const KERNEL: u64 = 0xffff_ffff_8000_0000;

/// A line longer than this is no line of the kernel's.
const LONGEST: usize = 4096;

/// What is known of the kernel that speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    /// It has not said which it is.
    Untold,
    /// It is the one of the ELF file.
    Ours,
    /// It is another.
    Other,
}

/// Reads along.
pub(crate) struct Annotator {
    records: Records,
    places: Option<Places>,
    line: Vec<u8>,
    build: Build,
}

impl Annotator {
    /// With what a kernel's ELF file says of its code and of its log, if there is one.
    pub(crate) fn new(places: Option<Places>, knowledge: Option<Knowledge>) -> Self {
        Self {
            records: Records::new(knowledge),
            places,
            line: Vec::new(),
            build: Build::Untold,
        }
    }

    /// Takes bytes of the console; gives what to show: the text as it came, with remarks after the lines they are about and the
    /// log between.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let heard = self.records.take(bytes);
        self.show(heard)
    }

    /// Nothing has come for a while.
    pub(crate) fn idle(&mut self) -> Vec<u8> {
        let heard = self.records.idle();
        self.show(heard)
    }

    fn show(&mut self, heard: Vec<Heard>) -> Vec<u8> {
        let mut shown = Vec::new();
        for piece in heard {
            match piece {
                Heard::Text(text) => self.text(&text, &mut shown),
                Heard::Remark(remark) => self.beside(&remark, &mut shown),
            }
        }
        shown
    }

    /// A remark on a line of its own; a line of text that it comes into is begun again after it.
    fn beside(&self, remark: &str, shown: &mut Vec<u8>) {
        if !self.line.is_empty() {
            shown.extend(b"\r\n");
        }
        shown.extend(format!("      {remark}\r\n").bytes());
        shown.extend(&self.line);
    }

    fn text(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        for &byte in bytes {
            shown.push(byte);
            if byte != b'\n' {
                if self.line.len() < LONGEST {
                    self.line.push(byte);
                }
                continue;
            }
            let line = String::from_utf8_lossy(&self.line).into_owned();
            self.line.clear();
            for remark in self.remarks(line.trim_end()) {
                shown.extend(format!("      {remark}\r\n").bytes());
            }
        }
    }

    /// What there is to say about a line.
    fn remarks(&mut self, line: &str) -> Vec<String> {
        let Some(places) = &self.places else {
            return Vec::new();
        };
        if line.starts_with("kernel panic on CPU") || line.starts_with("kernel fault on CPU") {
            self.build = Build::Untold;
        }
        if let Some(told) = build_in(line) {
            self.build = if places.build.as_deref() == Some(told) {
                Build::Ours
            } else {
                Build::Other
            };
            if self.build == Build::Other {
                let own = places.build.as_deref().unwrap_or("without a build id");
                return vec![format!(
                    "[the board runs another build than {} ({own}): no files and lines; flash it, or name its ELF file with --elf]",
                    places.path.display()
                )];
            }
            return Vec::new();
        }
        match (self.build, address_in(line)) {
            (Build::Ours, Some(address)) => places
                .of(address)
                .into_iter()
                .map(|place| format!("at {place}"))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// The id in `build 0123abcd...`, as a panic prints it.
fn build_in(line: &str) -> Option<&str> {
    let id = line.strip_prefix("build ")?;
    (id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// The address at the beginning of a line of a backtrace.
fn address_in(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("  ")?.trim_start();
    let rest = rest.strip_prefix("at ").unwrap_or(rest);
    let word = rest.split_whitespace().next()?;
    let address = u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()?;
    (address >= KERNEL).then_some(address)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::records::tests::{knowledge, record};
    use super::*;

    /// This test program itself, which has lines and a build id of its own making.
    pub(crate) fn own() -> Option<Places> {
        let mut places = Places::read(&std::env::current_exe().ok()?).ok()?;
        places.build = Some("00112233445566778899".into());
        places.base = KERNEL;
        Some(places)
    }

    fn shown(annotator: &mut Annotator, text: &str) -> String {
        // In odd pieces, as a line gives them.
        let bytes: Vec<u8> = text.bytes().collect();
        let pieces = bytes
            .chunks(7)
            .flat_map(|piece| annotator.take(piece))
            .collect();
        String::from_utf8(pieces).expect("text")
    }

    #[test]
    fn lines_pass_as_they_are_without_an_elf_file() {
        let text =
            "boot\r\nbuild 00112233445566778899\r\n  0xffffffff80001234 a + 0x4\r\nhalyard:/$ ";
        assert_eq!(shown(&mut Annotator::new(None, None), text), text);
    }

    #[test]
    fn another_build_is_named_and_gets_no_lines() {
        let mut annotator = Annotator::new(own(), None);
        let text = shown(
            &mut annotator,
            "kernel panic on CPU 0: x\r\nbuild ffffffffffffffffffff\r\nbacktrace:\r\n",
        );
        assert!(
            text.contains("another build than") && text.contains("00112233445566778899"),
            "{text}"
        );
        assert_eq!(annotator.build, Build::Other);
    }

    #[test]
    fn build_of_the_elf_file_is_recognised_until_the_next_panic() {
        let mut annotator = Annotator::new(own(), None);
        shown(&mut annotator, "build 00112233445566778899\r\n");
        assert_eq!(annotator.build, Build::Ours);
        shown(&mut annotator, "kernel fault on CPU 1: data abort\r\n");
        assert_eq!(annotator.build, Build::Untold);
    }

    #[test]
    fn addresses_are_those_of_backtraces_only() {
        assert_eq!(
            address_in("  0xffffffff80001234 core::f + 0x10"),
            Some(0xffff_ffff_8000_1234)
        );
        assert_eq!(
            address_in("  at 0xffffffff80001234 core::f"),
            Some(0xffff_ffff_8000_1234)
        );
        assert_eq!(
            address_in("  address 0x0000000000000010, syndrome 0x1"),
            None
        );
        assert_eq!(address_in("0xffffffff80001234"), None);
        assert_eq!(address_in("  0x1234"), None);
        assert_eq!(address_in("  at core/src/x.rs:1:2"), None);
    }

    #[test]
    fn log_comes_on_lines_of_its_own_and_a_prompt_again() {
        let mut annotator = Annotator::new(None, Some(knowledge()));
        let note = record([0xab; 2], "uart");
        let mut text = annotator.take(&[b"boot\r\n", &note[..]].concat());
        text.extend(annotator.take(&[b"halyard:/$ ", &note[..], b"ls\r\n"].concat()));
        let line = "      0.001500 cpu0 info  7 drivers for uart\r\n";
        assert_eq!(
            String::from_utf8_lossy(&text),
            format!("boot\r\n{line}halyard:/$ \r\n{line}halyard:/$ ls\r\n")
        );
    }

    #[test]
    fn words_that_are_no_build_id_are_none() {
        assert_eq!(build_in("build me a house"), None);
        assert_eq!(build_in("build 0011"), None);
    }
}
