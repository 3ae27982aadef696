//! Turns words into what a command gets: variables replaced, split at blanks, patterns replaced by names.

use halyard_rt::prelude::*;

use crate::glob;
use crate::shell::Shell;
use crate::syntax::{Part, Word};

impl Shell {
    /// The arguments that words come to.
    pub(crate) fn expand_all(&mut self, words: &[Word]) -> Vec<String> {
        let mut all = Vec::new();
        for word in words {
            self.expand_word(word, &mut all);
        }
        all
    }

    /// One word as one text: not split, no patterns.
    pub(crate) fn expand_one(&mut self, word: &Word) -> String {
        let mut text = String::new();
        for part in word {
            match part {
                Part::Text { text: part, .. } => text.push_str(part),
                Part::Variable { name, .. } => text.push_str(&self.value(name)),
                Part::Command { text: command, .. } => text.push_str(&self.capture(command)),
            }
        }
        text
    }

    fn expand_word(&mut self, word: &Word, all: &mut Vec<String>) {
        let mut fields = Fields::default();
        for part in word {
            match part {
                Part::Text { text, quoted } => fields.add(text, *quoted),
                Part::Variable { name, quoted } if name == "@" => {
                    for (index, argument) in self.arguments.iter().enumerate() {
                        if index > 0 {
                            fields.end();
                        }
                        match quoted {
                            true => fields.add(argument, true),
                            false => fields.split(argument),
                        }
                    }
                }
                Part::Variable { name, quoted } => fields.value(&self.value(name), *quoted),
                Part::Command { text, quoted } => {
                    let output = self.capture(text);
                    fields.value(&output, *quoted);
                }
            }
        }
        fields.end();
        for field in fields.done {
            let names = match glob::is_pattern(&field) {
                true => glob::names(&field),
                false => Vec::new(),
            };
            match names.is_empty() {
                true => all.push(glob::unescape(&field)),
                false => all.extend(names),
            }
        }
    }
}

/// The fields that a word falls into.
#[derive(Default)]
struct Fields {
    done: Vec<String>,
    open: Option<String>,
}

impl Fields {
    /// Adds text to the open field; quoted text makes one even if it is empty, and is no pattern.
    fn add(&mut self, text: &str, quoted: bool) {
        let field = self.open.get_or_insert_default();
        for c in text.chars() {
            if quoted && matches!(c, '*' | '?') {
                field.push(glob::ESCAPE);
            }
            field.push(c);
        }
    }

    fn value(&mut self, text: &str, quoted: bool) {
        match quoted {
            true => self.add(text, true),
            false => self.split(text),
        }
    }

    /// Adds text that is split at blanks.
    fn split(&mut self, text: &str) {
        for (index, piece) in text.split([' ', '\t', '\n']).enumerate() {
            if index > 0 {
                self.end();
            }
            if !piece.is_empty() {
                self.add(piece, false);
            }
        }
    }

    fn end(&mut self) {
        self.done.extend(self.open.take());
    }
}
