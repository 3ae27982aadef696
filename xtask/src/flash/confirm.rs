//! Has a person say that this is the disk.

use std::io::{self, BufRead, Write};

use anyhow::{Result, bail};

use super::disk::Disk;
use crate::ui::Ui;

/// What the person said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is.
    Yes,
    /// It is not, or something else.
    No,
}

/// Asks, unless `yes` was said on the command line. Error: nobody is there to ask.
pub(crate) fn ask(ui: &Ui, disk: &Disk, yes: bool) -> Result<Answer> {
    if yes {
        return Ok(Answer::Yes);
    }
    if !ui.can_ask() {
        bail!(
            "nobody is at the terminal to say whether {} is the right disk; --yes says it for a script",
            disk.node.display()
        );
    }
    dialogue(&disk.phrase(), &mut io::stdin().lock(), &mut io::stderr())
}

/// Asks for the phrase, once.
fn dialogue(phrase: &str, input: &mut impl BufRead, output: &mut impl Write) -> Result<Answer> {
    write!(
        output,
        "EVERYTHING on it will be lost. To go on, type\n  {phrase}\n> "
    )?;
    output.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    Ok(if words(&line) == words(phrase) {
        Answer::Yes
    } else {
        Answer::No
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(typed: &str) -> Answer {
        let mut output = Vec::new();
        let answer =
            dialogue("SD Reader S-77", &mut typed.as_bytes(), &mut output).expect("answer");
        assert!(String::from_utf8_lossy(&output).contains("SD Reader S-77"));
        answer
    }

    #[test]
    fn only_the_phrase_itself_is_a_yes() {
        assert_eq!(answer("SD Reader  S-77\n"), Answer::Yes);
        for typed in ["", "\n", "y\n", "yes\n", "SD Reader\n", "SD Reader S-78\n"] {
            assert_eq!(answer(typed), Answer::No, "{typed:?}");
        }
    }
}
