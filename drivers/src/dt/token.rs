//! The structure block as tokens (Devicetree Specification 5.4), and the check that they make a tree.

use super::cells::be32;
use super::error::Error;
use super::node::MAX_DEPTH;

const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// The two blocks that a walk needs.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    pub(super) structure: &'a [u8],
    pub(super) strings: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A node's name follows, without its terminator.
    BeginNode(&'a [u8]),
    EndNode,
    Property {
        /// In bytes into the strings block, and within it.
        name_offset: usize,
        value: &'a [u8],
    },
    /// A hole that whoever edited the tree in place has left.
    Nop,
    End,
}

impl<'a> Blocks<'a> {
    /// The token at byte `offset` and where the next one starts.
    pub(super) fn token(&self, offset: usize) -> Result<(Token<'a>, usize), Error> {
        let truncated = Error::Truncated { offset };
        let word = be32(self.structure, offset).ok_or(truncated)?;
        let body = offset + 4;
        match word {
            BEGIN_NODE => {
                let rest = self.structure.get(body..).ok_or(truncated)?;
                let length = rest.iter().position(|&byte| byte == 0);
                let name = length.and_then(|length| rest.get(..length));
                let name = name
                    .filter(|name| name.is_ascii())
                    .ok_or(Error::BadNodeName { offset })?;
                Ok((Token::BeginNode(name), next(body + name.len() + 1)))
            }
            PROP => self.property(offset, body),
            END_NODE => Ok((Token::EndNode, body)),
            NOP => Ok((Token::Nop, body)),
            END => Ok((Token::End, body)),
            token => Err(Error::BadToken { offset, token }),
        }
    }

    fn property(&self, offset: usize, body: usize) -> Result<(Token<'a>, usize), Error> {
        let truncated = Error::Truncated { offset };
        let length = be32(self.structure, body).ok_or(truncated)? as usize;
        let name_offset = be32(self.structure, body + 4).ok_or(truncated)? as usize;
        let start = body + 8;
        let end = start.checked_add(length).ok_or(truncated)?;
        let value = self.structure.get(start..end).ok_or(truncated)?;
        if name_offset >= self.strings.len() {
            return Err(Error::BadPropertyName {
                offset,
                name_offset,
            });
        }
        Ok((Token::Property { name_offset, value }, next(end)))
    }

    /// Whether the name at `offset` of the strings block is `name`. Looks at no more bytes than `name` has, and one.
    pub(super) fn name_is(&self, offset: usize, name: &str) -> bool {
        let Some(rest) = self.strings.get(offset..) else {
            return false;
        };
        rest.strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The name at `offset` of the strings block.
    pub(super) fn name(&self, offset: usize) -> &'a str {
        let rest = self.strings.get(offset..).unwrap_or_default();
        let name = rest.split(|&byte| byte == 0).next().unwrap_or_default();
        core::str::from_utf8(name).unwrap_or_default()
    }

    /// Checks that the tokens make one tree, no deeper than [`MAX_DEPTH`], each node's properties before its children.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut offset = 0;
        let mut depth = 0;
        let mut rooted = false;
        let mut properties_allowed = false;
        loop {
            let (token, next) = self.token(offset)?;
            match token {
                Token::Nop => {}
                Token::BeginNode(_) if depth == MAX_DEPTH => return Err(Error::TooDeep { offset }),
                Token::BeginNode(_) if depth > 0 || !rooted => {
                    depth += 1;
                    rooted = true;
                    properties_allowed = true;
                }
                Token::EndNode if depth > 0 => {
                    depth -= 1;
                    properties_allowed = false;
                }
                Token::Property { .. } if properties_allowed => {}
                Token::End if depth == 0 && rooted => return Ok(()),
                _ => return Err(Error::BadNesting { offset }),
            }
            offset = next;
        }
    }
}

/// Tokens start at multiples of four bytes.
fn next(offset: usize) -> usize {
    offset.next_multiple_of(4)
}
