//! A node, its properties, its children and the nodes above it.

use core::fmt;

use super::cells::{one_cell, one_or_two_cells};
use super::error::Error;
use super::token::{Blocks, Token};

/// How many levels a tree may have, the root's included. The trees of the four boards have seven at most.
pub const MAX_DEPTH: usize = 24;

/// A node of a tree that [`super::Tree::new`] has checked. A small value to be copied: it knows where it is and what is
/// above it.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub(super) blocks: Blocks<'a>,
    /// Where the nodes from the root down to this one start. A checked structure block is below 4 GiB.
    pub(super) starts: [u32; MAX_DEPTH],
    /// How many of `starts` count; at least 1.
    pub(super) depth: usize,
}

/// A property: a name and a value whose meaning is its binding's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value, as it stands in the tree.
    pub value: &'a [u8],
}

/// The strings of a string list value (Devicetree Specification 2.2.4). One that is not UTF-8 is left out.
#[derive(Clone, Debug)]
pub struct Strings<'a>(&'a [u8]);

impl<'a> Strings<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Strings(value)
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let end = self.0.iter().position(|&byte| byte == 0)?;
            let (text, rest) = self.0.split_at_checked(end)?;
            self.0 = rest.get(1..)?;
            if let Ok(text) = core::str::from_utf8(text) {
                return Some(text);
            }
        }
    }
}

impl<'a> Node<'a> {
    fn start(&self) -> usize {
        let index = self.depth.saturating_sub(1);
        self.starts.get(index).copied().unwrap_or(u32::MAX) as usize
    }

    /// Its name with the unit address: `serial@9000000`. The root's is empty.
    #[must_use]
    pub fn name(&self) -> &'a str {
        match self.blocks.token(self.start()) {
            Ok((Token::BeginNode(name), _)) => core::str::from_utf8(name).unwrap_or_default(),
            _ => "",
        }
    }

    /// Its name without the unit address: `serial`.
    #[must_use]
    pub fn base_name(&self) -> &'a str {
        base_name(self.name())
    }

    /// Where the first token after the name is.
    fn body(&self) -> Option<usize> {
        self.blocks
            .token(self.start())
            .ok()
            .map(|(_, offset)| offset)
    }

    /// Its properties, in the tree's order.
    pub fn properties(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let blocks = self.blocks;
        self.raw_properties()
            .map(move |(name_offset, value)| Property {
                name: blocks.name(name_offset),
                value,
            })
    }

    fn raw_properties(&self) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a> {
        let blocks = self.blocks;
        let mut offset = self.body();
        core::iter::from_fn(move || {
            loop {
                let (token, next) = blocks.token(offset?).ok()?;
                offset = Some(next);
                match token {
                    Token::Nop => {}
                    Token::Property { name_offset, value } => return Some((name_offset, value)),
                    _ => return None,
                }
            }
        })
    }

    /// The value of property `name`.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'a [u8]> {
        self.raw_properties()
            .find(|&(name_offset, _)| self.blocks.name_is(name_offset, name))
            .map(|(_, value)| value)
    }

    /// Property `name` as one cell. Errors if it is there and is not one.
    pub fn u32(&self, name: &'static str) -> Result<Option<u32>, Error> {
        self.parse(name, one_cell)
    }

    /// Property `name` as one number of one or two cells. Errors if it is there and is not one.
    pub fn u64(&self, name: &'static str) -> Result<Option<u64>, Error> {
        self.parse(name, one_or_two_cells)
    }

    pub(super) fn parse<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&'a [u8]) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        self.property(name)
            .map(|value| parse(value).ok_or(Error::BadProperty(name)))
            .transpose()
    }

    /// The first string of property `name`; None if it is absent or no terminated UTF-8 text.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<&'a str> {
        self.strings(name).next()
    }

    /// The strings of property `name`; none if it is absent.
    #[must_use]
    pub fn strings(&self, name: &str) -> Strings<'a> {
        Strings::new(self.property(name).unwrap_or_default())
    }

    /// Whether `compatible` is among the bindings that the node says it follows.
    #[must_use]
    pub fn is_compatible(&self, compatible: &str) -> bool {
        self.strings("compatible").any(|text| text == compatible)
    }

    /// Whether neither the node nor a bus above it is switched off by a `status` other than `okay` (Devicetree
    /// Specification 2.3.4; `ok` is an old spelling).
    #[must_use]
    pub fn is_okay(&self) -> bool {
        let okay = |node: &Node<'_>| match node.property("status") {
            None => true,
            Some(value) => matches!(Strings::new(value).next(), Some("okay" | "ok")),
        };
        okay(self) && self.ancestors().all(|node| okay(&node))
    }

    /// The node above; None for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Node<'a>> {
        let depth = self.depth.checked_sub(1).filter(|&depth| depth > 0)?;
        Some(Node { depth, ..*self })
    }

    /// The nodes above it, the nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        core::iter::successors(self.parent(), Node::parent)
    }

    /// The nodes directly below it, in the tree's order.
    pub fn children(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let depth = self.depth + 1;
        self.descendants().filter(move |node| node.depth == depth)
    }

    /// The node itself and all below it, in the tree's order.
    #[must_use]
    pub fn descendants(&self) -> super::Nodes<'a> {
        super::Nodes::below(*self)
    }

    /// The child that `name` names: in full, or without the unit address.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Node<'a>> {
        if name.contains('@') {
            self.children().find(|node| node.name() == name)
        } else {
            self.children().find(|node| node.base_name() == name)
        }
    }
}

/// The same node of the same tree in memory.
impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.blocks.structure, other.blocks.structure)
            && (self.depth, self.start()) == (other.depth, other.start())
    }
}

impl Eq for Node<'_> {}

fn base_name(name: &str) -> &str {
    name.split('@').next().unwrap_or_default()
}

/// The node's path: `/soc/serial@7e201000`.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth <= 1 {
            return f.write_str("/");
        }
        for depth in 2..=self.depth {
            write!(f, "/{}", Node { depth, ..*self }.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({self})")
    }
}
