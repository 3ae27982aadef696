//! Cuts a text into words and operators.

use halyard_rt::prelude::*;

use crate::parser::Error;
use crate::syntax::{Part, Word};

/// A piece of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word.
    Word(Word),
    /// `|`, `&&`, `;`, `(`...
    Operator(&'static str),
    /// A redirection's operator and the descriptor before it, if one is there.
    Redirect(&'static str, Option<i32>),
    /// The end of a line.
    Newline,
}

/// A token, its line, and where in the text it begins and ends.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) line: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Longest first.
const OPERATORS: [&str; 8] = ["&&", "||", ";", "&", "|", "(", ")", "\n"];
const REDIRECTIONS: [&str; 6] = [">>", ">&", "<&", ">", "<", "\0"];

/// Cuts the whole text.
pub(crate) fn cut(text: &str) -> Result<Vec<Placed>, Error> {
    let mut lexer = Lexer {
        text,
        at: 0,
        line: 1,
    };
    let mut tokens = Vec::new();
    while let Some(placed) = lexer.next()? {
        tokens.push(placed);
    }
    Ok(tokens)
}

type Result<T, E> = core::result::Result<T, E>;

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            if rest.starts_with("\\\n") {
                self.bump();
                self.bump();
            } else if rest.starts_with([' ', '\t', '\r']) {
                self.bump();
            } else if rest.starts_with('#') {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                return;
            }
        }
    }

    fn next(&mut self) -> Result<Option<Placed>, Error> {
        self.skip_blanks();
        let (start, line) = (self.at, self.line);
        if self.peek().is_none() {
            return Ok(None);
        }
        let token = match self.operator() {
            Some(token) => token,
            None => Token::Word(self.word()?),
        };
        Ok(Some(Placed {
            token,
            line,
            start,
            end: self.at,
        }))
    }

    fn operator(&mut self) -> Option<Token> {
        let rest = self.rest();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = rest.get(digits..).unwrap_or("");
        if let Some(operator) = REDIRECTIONS.iter().find(|op| after.starts_with(**op)) {
            self.at += digits + operator.len();
            let fd = rest.get(..digits).and_then(|text| text.parse().ok());
            return Some(Token::Redirect(operator, fd));
        }
        let operator = OPERATORS.iter().find(|op| rest.starts_with(**op))?;
        self.at += operator.len();
        if *operator == "\n" {
            self.line += 1;
            return Some(Token::Newline);
        }
        Some(Token::Operator(operator))
    }

    fn word(&mut self) -> Result<Word, Error> {
        let mut word = Word::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\'' => self.single_quoted(&mut word)?,
                '"' => self.double_quoted(&mut word)?,
                '\\' => {
                    self.bump();
                    match self.bump() {
                        Some('\n') => {}
                        Some(c) => push(&mut word, c, true),
                        None => push(&mut word, '\\', true),
                    }
                }
                '$' => self.dollar(&mut word, false)?,
                _ => {
                    self.bump();
                    push(&mut word, c, false);
                }
            }
        }
        Ok(word)
    }

    fn single_quoted(&mut self, word: &mut Word) -> Result<(), Error> {
        let line = self.line;
        self.bump();
        open_quoted(word);
        loop {
            match self.bump() {
                Some('\'') => return Ok(()),
                Some(c) => push(word, c, true),
                None => return Err(Error::incomplete(line, "the quote ' is not closed")),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), Error> {
        let line = self.line;
        self.bump();
        open_quoted(word);
        loop {
            match self.peek() {
                Some('"') => {
                    self.bump();
                    return Ok(());
                }
                Some('$') => self.dollar(word, true)?,
                Some('\\') => {
                    self.bump();
                    match self.bump() {
                        Some('\n') => {}
                        Some(c @ ('"' | '\\' | '$' | '`')) => push(word, c, true),
                        Some(c) => {
                            push(word, '\\', true);
                            push(word, c, true);
                        }
                        None => {}
                    }
                }
                Some(c) => {
                    self.bump();
                    push(word, c, true);
                }
                None => return Err(Error::incomplete(line, "the quote \" is not closed")),
            }
        }
    }

    /// `$NAME`, `${NAME}`, `$?`, `$1`, `$(command)`, or a dollar.
    fn dollar(&mut self, word: &mut Word, quoted: bool) -> Result<(), Error> {
        let line = self.line;
        self.bump();
        let name = match self.peek() {
            Some('(') => {
                let text = self.command_text(line)?;
                word.push(Part::Command { text, quoted });
                return Ok(());
            }
            Some('{') => {
                self.bump();
                let rest = self.rest();
                let Some(end) = rest.find('}') else {
                    return Err(Error::incomplete(line, "${ is not closed"));
                };
                let name = rest.get(..end).unwrap_or("");
                self.at += end + 1;
                if !is_name(name) && !is_special(name) {
                    return Err(Error::wrong(line, format!("${{{name}}} names no variable")));
                }
                name.to_owned()
            }
            Some(c) if is_special(c.encode_utf8(&mut [0; 4])) => {
                self.bump();
                c.to_string()
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => {
                let rest = self.rest();
                let part = |c: char| c == '_' || c.is_ascii_alphanumeric();
                let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
                self.at += length;
                rest.get(..length).unwrap_or("").to_owned()
            }
            _ => {
                push(word, '$', quoted);
                return Ok(());
            }
        };
        word.push(Part::Variable { name, quoted });
        Ok(())
    }

    /// What stands between the brackets of `$(...)`; quotes in it hide brackets.
    fn command_text(&mut self, line: usize) -> Result<String, Error> {
        self.bump();
        let start = self.at;
        let mut depth = 1;
        let mut quote = None;
        loop {
            let before = self.at;
            match (self.bump(), quote) {
                (None, _) => return Err(Error::incomplete(line, "$( is not closed")),
                (Some('\\'), None | Some('"')) => {
                    self.bump();
                }
                (Some(c), Some(open)) if c == open => quote = None,
                (Some(_), Some(_)) => {}
                (Some(c @ ('\'' | '"')), None) => quote = Some(c),
                (Some('('), None) => depth += 1,
                (Some(')'), None) => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(self.text.get(start..before).unwrap_or("").to_owned());
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether a variable can have that name.
pub(crate) fn is_name(text: &str) -> bool {
    let first = text
        .chars()
        .next()
        .is_some_and(|c| c == '_' || c.is_ascii_alphabetic());
    first && text.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}

/// `$?`, `$$`, `$!`, `$#`, `$@`, `$*`, `$0` to `$9`.
fn is_special(text: &str) -> bool {
    matches!(
        text.as_bytes(),
        [b'?' | b'$' | b'!' | b'#' | b'@' | b'*' | b'0'..=b'9']
    )
}

/// Adds to the last piece if it is of that kind.
fn push(word: &mut Word, c: char, quoted: bool) {
    if let Some(Part::Text { text, quoted: last }) = word.last_mut()
        && *last == quoted
    {
        text.push(c);
        return;
    }
    let text = c.to_string();
    word.push(Part::Text { text, quoted });
}

/// Even empty quotes make a word.
fn open_quoted(word: &mut Word) {
    word.push(Part::Text {
        text: String::new(),
        quoted: true,
    });
}
