//! What a script is made of, once it is understood.

use halyard_rt::prelude::*;

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text; what is quoted is neither split nor a pattern.
    Text { text: String, quoted: bool },
    /// `$NAME`, `$?`, `$1`...; quoted, its value stays one piece.
    Variable { name: String, quoted: bool },
    /// `$(...)`
    Command { text: String, quoted: bool },
}

/// A word, before its variables are replaced.
pub(crate) type Word = Vec<Part>;

/// The word's text if it is plain and unquoted, as keywords are.
pub(crate) fn plain(word: &Word) -> Option<&str> {
    match word.as_slice() {
        [
            Part::Text {
                text,
                quoted: false,
            },
        ] => Some(text),
        _ => None,
    }
}

/// Where a redirection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// `<`
    Read,
    /// `>`
    Write,
    /// `>>`
    Append,
    /// `>&` or `<&`
    Duplicate,
}

/// `2> word`
#[derive(Debug, Clone)]
pub(crate) struct Redirection {
    pub(crate) fd: i32,
    pub(crate) direction: Direction,
    pub(crate) target: Word,
}

/// A command, or several.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// `A=b name word... > file`
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
        redirections: Vec<Redirection>,
    },
    /// `a | b | c`, with its text for `jobs`
    Pipeline(Vec<Node>, String),
    /// `! a`
    Not(Box<Node>),
    /// `a && b`
    And(Box<Node>, Box<Node>),
    /// `a || b`
    Or(Box<Node>, Box<Node>),
    /// `a; b`
    Sequence(Vec<Node>),
    /// `a &`, with its text for `jobs`
    Background(Box<Node>, String),
    /// `if a; then b; else c; fi`
    If(Box<Node>, Box<Node>, Option<Box<Node>>),
    /// `while a; do b; done`, or `until`
    While {
        condition: Box<Node>,
        body: Box<Node>,
        until: bool,
    },
    /// `for name in words; do a; done`
    For {
        name: String,
        words: Vec<Word>,
        body: Box<Node>,
    },
    /// `( a )`
    Subshell(Box<Node>),
    /// `{ a; } > file` and the like
    Redirected(Box<Node>, Vec<Redirection>),
}
