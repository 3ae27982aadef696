//! Understands a script: which commands it has, and how they hang together.

use core::fmt;

use halyard_rt::prelude::*;

use crate::lexer::{self, Placed, Token};
use crate::syntax::{Direction, Node, Part, Redirection, Word, plain};

type Parsed<T> = core::result::Result<T, Error>;

/// What is wrong with a script.
#[derive(Debug)]
pub(crate) struct Error {
    line: usize,
    what: String,
    /// More text might mend it.
    pub(crate) incomplete: bool,
}

impl Error {
    /// Something is wrong in that line.
    pub(crate) fn wrong(line: usize, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
            incomplete: false,
        }
    }

    /// The text ended too early.
    pub(crate) fn incomplete(line: usize, what: impl Into<String>) -> Self {
        Self {
            incomplete: true,
            ..Self::wrong(line, what)
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Words that end a list of commands.
const CLOSERS: [&str; 7] = ["then", "elif", "else", "fi", "do", "done", "}"];
/// How deep commands may be nested.
const DEEPEST: usize = 100;

/// Understands a whole text.
pub(crate) fn parse(text: &str) -> Parsed<Node> {
    let tokens = lexer::cut(text)?;
    let mut parser = Parser {
        text,
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let script = parser.list()?;
    match parser.peek() {
        None => Ok(script),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Placed],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    fn line(&self) -> usize {
        let here = self.tokens.get(self.at).or(self.tokens.last());
        here.map_or(1, |placed| placed.line)
    }

    fn is_operator(&self, operator: &str) -> bool {
        matches!(self.peek(), Some(Token::Operator(found)) if *found == operator)
    }

    fn take_operator(&mut self, operator: &str) -> bool {
        let found = self.is_operator(operator);
        self.at += usize::from(found);
        found
    }

    /// The keyword that stands here, if a plain word does.
    fn keyword(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => plain(word),
            _ => None,
        }
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.keyword() == Some(keyword);
        self.at += usize::from(found);
        found
    }

    fn expect_keyword(&mut self, keyword: &str) -> Parsed<()> {
        if self.take_keyword(keyword) {
            return Ok(());
        }
        match self.peek() {
            None => Err(Error::incomplete(
                self.line(),
                format!("'{keyword}' is missing at the end"),
            )),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> Error {
        let placed = self.tokens.get(self.at);
        match placed {
            None => Error::incomplete(self.line(), "a command is missing at the end"),
            Some(placed) => {
                let text = self.text.get(placed.start..placed.end).unwrap_or("");
                let shown = if text == "\n" { "end of line" } else { text };
                Error::wrong(placed.line, format!("'{shown}' is not expected here"))
            }
        }
    }

    fn skip_newlines(&mut self) {
        while self.peek() == Some(&Token::Newline) {
            self.at += 1;
        }
    }

    /// Commands up to a word or bracket that closes them, or the end.
    fn list(&mut self) -> Parsed<Node> {
        let mut nodes = Vec::new();
        loop {
            self.skip_newlines();
            let closed = self.keyword().is_some_and(|word| CLOSERS.contains(&word));
            if self.peek().is_none() || self.is_operator(")") || closed {
                return Ok(Node::Sequence(nodes));
            }
            let first = self.at;
            let node = self.and_or()?;
            if self.take_operator("&") {
                let text = self.source(first, self.at - 1);
                nodes.push(Node::Background(Box::new(node), text));
                continue;
            }
            nodes.push(node);
            if !self.take_operator(";") && self.peek() != Some(&Token::Newline) {
                let closed = self.is_operator(")") || self.peek().is_none();
                return match closed {
                    true => Ok(Node::Sequence(nodes)),
                    false => Err(self.unexpected()),
                };
            }
        }
    }

    /// The text of the tokens from `first` up to but not including `end`.
    fn source(&self, first: usize, end: usize) -> String {
        let start = self.tokens.get(first).map_or(0, |placed| placed.start);
        let end = self
            .tokens
            .get(end)
            .map_or(self.text.len(), |placed| placed.start);
        self.text.get(start..end).unwrap_or("").trim().to_owned()
    }

    fn and_or(&mut self) -> Parsed<Node> {
        let mut left = self.pipeline()?;
        loop {
            let make = if self.take_operator("&&") {
                Node::And
            } else if self.take_operator("||") {
                Node::Or
            } else {
                return Ok(left);
            };
            self.skip_newlines();
            left = make(Box::new(left), Box::new(self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Parsed<Node> {
        if self.take_keyword("!") {
            return Ok(Node::Not(Box::new(self.pipeline()?)));
        }
        let start = self.at;
        let first = self.command()?;
        if !self.is_operator("|") {
            return Ok(first);
        }
        let mut nodes = vec![first];
        while self.take_operator("|") {
            self.skip_newlines();
            nodes.push(self.command()?);
        }
        Ok(Node::Pipeline(nodes, self.source(start, self.at)))
    }

    fn command(&mut self) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Error::wrong(self.line(), "commands are nested too deep"));
        }
        let node = match self.compound()? {
            Some(node) => {
                let redirections = self.redirections()?;
                match redirections.is_empty() {
                    true => node,
                    false => Node::Redirected(Box::new(node), redirections),
                }
            }
            None => self.simple()?,
        };
        self.depth -= 1;
        Ok(node)
    }

    fn compound(&mut self) -> Parsed<Option<Node>> {
        if self.take_operator("(") {
            let body = self.list()?;
            if !self.take_operator(")") {
                return Err(match self.peek() {
                    None => Error::incomplete(self.line(), "')' is missing at the end"),
                    Some(_) => self.unexpected(),
                });
            }
            return Ok(Some(Node::Subshell(Box::new(body))));
        }
        let node = if self.take_keyword("{") {
            let body = self.list()?;
            self.expect_keyword("}")?;
            body
        } else if self.take_keyword("if") {
            self.condition()?
        } else if self.take_keyword("while") {
            self.repetition(false)?
        } else if self.take_keyword("until") {
            self.repetition(true)?
        } else if self.take_keyword("for") {
            self.each()?
        } else {
            return Ok(None);
        };
        Ok(Some(node))
    }

    /// After `if` or `elif`, up to and with `fi`.
    fn condition(&mut self) -> Parsed<Node> {
        let condition = Box::new(self.list()?);
        self.expect_keyword("then")?;
        let body = Box::new(self.list()?);
        let otherwise = if self.take_keyword("elif") {
            Some(Box::new(self.condition()?))
        } else if self.take_keyword("else") {
            let body = self.list()?;
            self.expect_keyword("fi")?;
            Some(Box::new(body))
        } else {
            self.expect_keyword("fi")?;
            None
        };
        Ok(Node::If(condition, body, otherwise))
    }

    fn body(&mut self) -> Parsed<Box<Node>> {
        self.expect_keyword("do")?;
        let body = self.list()?;
        self.expect_keyword("done")?;
        Ok(Box::new(body))
    }

    fn repetition(&mut self, until: bool) -> Parsed<Node> {
        let condition = Box::new(self.list()?);
        let body = self.body()?;
        Ok(Node::While {
            condition,
            body,
            until,
        })
    }

    fn each(&mut self) -> Parsed<Node> {
        let name = match self.keyword() {
            Some(name) if lexer::is_name(name) => name.to_owned(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        self.skip_newlines();
        let mut words = Vec::new();
        if self.take_keyword("in") {
            while let Some(Token::Word(word)) = self.peek() {
                words.push(word.clone());
                self.at += 1;
            }
        } else {
            words.push(vec![Part::Variable {
                name: "@".to_owned(),
                quoted: true,
            }]);
        }
        self.take_operator(";");
        self.skip_newlines();
        let body = self.body()?;
        Ok(Node::For { name, words, body })
    }

    fn simple(&mut self) -> Parsed<Node> {
        let mut assignments = Vec::new();
        let mut words: Vec<Word> = Vec::new();
        let mut redirections = Vec::new();
        loop {
            if let Some(redirection) = self.redirection()? {
                redirections.push(redirection);
                continue;
            }
            let Some(Token::Word(word)) = self.peek() else {
                break;
            };
            match assignment(word).filter(|_| words.is_empty()) {
                Some(found) => assignments.push(found),
                None => words.push(word.clone()),
            }
            self.at += 1;
        }
        if assignments.is_empty() && words.is_empty() && redirections.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Node::Simple {
            assignments,
            words,
            redirections,
        })
    }

    fn redirections(&mut self) -> Parsed<Vec<Redirection>> {
        let mut all = Vec::new();
        while let Some(redirection) = self.redirection()? {
            all.push(redirection);
        }
        Ok(all)
    }

    fn redirection(&mut self) -> Parsed<Option<Redirection>> {
        let Some(&Token::Redirect(operator, fd)) = self.peek() else {
            return Ok(None);
        };
        let (direction, usual) = match operator {
            "<" => (Direction::Read, STDIN),
            ">>" => (Direction::Append, STDOUT),
            ">&" => (Direction::Duplicate, STDOUT),
            "<&" => (Direction::Duplicate, STDIN),
            _ => (Direction::Write, STDOUT),
        };
        self.at += 1;
        let Some(Token::Word(target)) = self.peek() else {
            return Err(match self.peek() {
                None => Error::wrong(self.line(), format!("a name is missing after '{operator}'")),
                Some(_) => self.unexpected(),
            });
        };
        let target = target.clone();
        self.at += 1;
        Ok(Some(Redirection {
            fd: fd.unwrap_or(usual),
            direction,
            target,
        }))
    }
}

/// `NAME=word`: the name must be plain.
fn assignment(word: &Word) -> Option<(String, Word)> {
    let (first, rest) = word.split_first()?;
    let Part::Text {
        text,
        quoted: false,
    } = first
    else {
        return None;
    };
    let (name, value) = text.split_once('=')?;
    if !lexer::is_name(name) {
        return None;
    }
    let mut parts = Word::new();
    if !value.is_empty() {
        parts.push(Part::Text {
            text: value.to_owned(),
            quoted: false,
        });
    }
    parts.extend_from_slice(rest);
    Some((name.to_owned(), parts))
}
