//! Lines of test results, sealed: told apart from other text on the line, numbered, and with a sum.
//!
//! `@NUMBER SUM TEXT`, the sum being the CRC-32 of `NUMBER TEXT` in eight hexadecimal digits. A line stays a line, so that a terminal's
//! handling of line ends does it no harm and a person can read it.

use core::fmt::{self, Write};

use crate::load;

/// A line that was sealed, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// Its number, counted from 0, and its text.
    Whole(u32, &'a str),
    /// It was one, and noise or another's words got into it.
    Damaged,
}

/// The longest text; what is longer is cut.
pub const TEXT_MAX: usize = 400;

/// Seals lines in the order they are given.
#[derive(Debug, Default)]
pub struct Sealer {
    next: u32,
}

impl Sealer {
    /// Writes a line, its end included. Error: the writer's.
    pub fn seal(&mut self, text: &str, to: &mut dyn Write) -> fmt::Result {
        // Readers of lines differ about blanks at the end.
        let text = text.get(..cut(text)).unwrap_or_default().trim_end();
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        writeln!(to, "@{number} {:08x} {text}", sum(number, text))
    }
}

/// Opens a line, its end left out. None: it is no sealed line.
#[must_use]
pub fn open(line: &str) -> Option<Opened<'_>> {
    let rest = line.strip_prefix('@')?;
    let (number, rest) = rest.split_once(' ')?;
    // `@` and a word is anybody's line; `@`, a number and eight digits are nobody else's.
    let (digits, text) = rest.split_at_checked(8)?;
    let text = match text {
        "" => Some(text),
        text => text.strip_prefix(' '),
    };
    let number = number.parse().ok();
    let claimed = u32::from_str_radix(digits, 16).ok();
    match (number, claimed, text) {
        (Some(number), Some(claimed), Some(text)) if claimed == sum(number, text) => {
            Some(Opened::Whole(number, text))
        }
        (None, None, _) => None,
        _ => Some(Opened::Damaged),
    }
}

/// Where a text is cut, at a character's end.
fn cut(text: &str) -> usize {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// The sum of number and text.
fn sum(number: u32, text: &str) -> u32 {
    load::sum_of(&[&number.to_le_bytes(), text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use proptest::prelude::*;

    use super::*;

    fn sealed(text: &str, number: u32) -> String {
        let mut line = String::new();
        Sealer { next: number }
            .seal(text, &mut line)
            .expect("a string takes it");
        line.trim_end().into()
    }

    #[test]
    fn sealed_lines_are_numbered() {
        let (mut sealer, mut text) = (Sealer::default(), String::new());
        for line in ["1..1", "ok 1 - a"] {
            sealer.seal(line, &mut text).expect("written");
        }
        let opened: std::vec::Vec<_> = text.lines().filter_map(open).collect();
        assert_eq!(
            opened,
            [Opened::Whole(0, "1..1"), Opened::Whole(1, "ok 1 - a")]
        );
    }

    #[test]
    fn other_text_is_no_sealed_line() {
        for line in ["ok 1 - a", "@home is where", "", "@", "@@@@@@ @@@@@@@@@@"] {
            assert_eq!(open(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn sealed_line_with_a_byte_changed_is_not_taken(text in "[ -~]{0,80}", number in 0..1000_u32, at in any::<prop::sample::Index>(), other in b' '..=b'~') {
            let line = sealed(&text, number);
            prop_assert_eq!(open(&line), Some(Opened::Whole(number, text.trim_end())));
            let mut bytes = line.into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(!bytes[at].eq_ignore_ascii_case(&other));
            bytes[at] = other;
            let line = String::from_utf8(bytes).expect("ASCII");
            prop_assert!(!matches!(open(&line), Some(Opened::Whole(..))), "{}", line);
        }

        #[test]
        fn any_text_is_opened_or_refused(line in "@?[ -~é]{0,40}") {
            let _ = open(&line);
            let line = sealed(&line.repeat(12), 7);
            prop_assert!(matches!(open(&line), Some(Opened::Whole(7, _))));
        }
    }
}
