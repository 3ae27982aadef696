//! A whole tree: checked once, then searched by path, alias, phandle and `compatible`.

use super::cells::one_cell;
use super::error::Error;
use super::header;
use super::node::{MAX_DEPTH, Node};
use super::token::{Blocks, Token};

/// A flattened device tree that has been checked: walks stay within it and come to an end.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    pub(super) whole: &'a [u8],
    pub(super) blocks: Blocks<'a>,
    root_start: u32,
}

impl<'a> Tree<'a> {
    /// Checks the tree at the start of `bytes`, which may be longer than it. Errors say what is wrong with it. One pass
    /// over the structure block.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let parts = header::split(bytes)?;
        let blocks = Blocks {
            structure: parts.structure,
            strings: parts.strings,
        };
        blocks.check()?;
        let mut offset = 0;
        while let (Token::Nop, next) = blocks.token(offset)? {
            offset = next;
        }
        Ok(Tree {
            whole: parts.whole,
            blocks,
            root_start: u32::try_from(offset).map_err(|_| Error::BadNesting { offset })?,
        })
    }

    /// Its size in bytes: what must stay reserved while it is used.
    #[must_use]
    pub fn size(&self) -> usize {
        self.whole.len()
    }

    /// How many bytes of it, from its first, mean something: loaders reserve much more than they fill.
    #[must_use]
    pub fn used(&self) -> usize {
        header::used(self.whole)
    }

    /// The root node.
    #[must_use]
    pub fn root(&self) -> Node<'a> {
        let mut starts = [0; MAX_DEPTH];
        starts[0] = self.root_start;
        Node {
            blocks: self.blocks,
            starts,
            depth: 1,
        }
    }

    /// All nodes, in the tree's order.
    #[must_use]
    pub fn nodes(&self) -> Nodes<'a> {
        Nodes::below(self.root())
    }

    /// The node at `path`: from the root (`/soc/serial@7e201000`) or from an alias (`serial0`, `soc/i2c`). A component
    /// without a unit address finds the first node of that name. What follows a colon (options of `stdout-path`) is
    /// left out.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Node<'a>> {
        let path = path.split(':').next()?;
        if let Some(below_root) = path.strip_prefix('/') {
            return descend(self.root(), below_root);
        }
        let (alias, below) = path.split_once('/').unwrap_or((path, ""));
        let target = self.root().child("aliases")?.string(alias)?;
        descend(descend(self.root(), target.strip_prefix('/')?)?, below)
    }

    /// The node with this phandle (Devicetree Specification 2.3.3). 0 and 0xffff_ffff name nothing.
    #[must_use]
    pub fn phandle(&self, phandle: u32) -> Option<Node<'a>> {
        find_phandle(self.root(), phandle)
    }

    /// The nodes that follow one of `bindings` and are switched on, in the tree's order.
    pub fn compatible<'b>(
        &self,
        bindings: &'b [&'b str],
    ) -> impl Iterator<Item = Node<'a>> + use<'a, 'b> {
        self.nodes().filter(move |node| {
            node.strings("compatible")
                .any(|text| bindings.contains(&text))
                && node.is_okay()
        })
    }

    /// What the machine is, for people: the root's `model`.
    #[must_use]
    pub fn model(&self) -> Option<&'a str> {
        self.root().string("model")
    }
}

fn descend<'a>(from: Node<'a>, path: &str) -> Option<Node<'a>> {
    path.split('/')
        .filter(|component| !component.is_empty())
        .try_fold(from, |node, component| node.child(component))
}

pub(super) fn find_phandle(root: Node<'_>, phandle: u32) -> Option<Node<'_>> {
    if phandle == 0 || phandle == u32::MAX {
        return None;
    }
    root.descendants().find(|node| {
        let value = node
            .property("phandle")
            .or_else(|| node.property("linux,phandle"));
        value.and_then(one_cell) == Some(phandle)
    })
}

/// A walk over a node and all below it.
#[derive(Clone)]
pub struct Nodes<'a> {
    /// The node that was last given out, cut to the depth where the walk is.
    node: Node<'a>,
    /// The next token; None at the end.
    offset: Option<usize>,
    /// The depth of the node above the first.
    base: usize,
}

impl<'a> Nodes<'a> {
    pub(super) fn below(node: Node<'a>) -> Self {
        let base = node.depth.saturating_sub(1);
        let offset = node.starts.get(base).map(|&start| start as usize);
        Nodes {
            node: Node {
                depth: base,
                ..node
            },
            offset,
            base,
        }
    }
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let offset = self.offset.take()?;
            let (token, next) = self.node.blocks.token(offset).ok()?;
            match token {
                Token::BeginNode(_) => {
                    *self.node.starts.get_mut(self.node.depth)? = u32::try_from(offset).ok()?;
                    self.node.depth += 1;
                    self.offset = Some(next);
                    return Some(self.node);
                }
                Token::EndNode => {
                    self.node.depth = self.node.depth.checked_sub(1)?;
                    if self.node.depth <= self.base {
                        return None;
                    }
                }
                Token::Property { .. } | Token::Nop => {}
                Token::End => return None,
            }
            self.offset = Some(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::super::test_trees::board;
    use super::*;

    #[test]
    fn find_by_path_alias_and_bare_name_reaches_the_same_node() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        let uart = tree.find("/soc/serial@7e201000").unwrap();
        assert_eq!(uart.name(), "serial@7e201000");
        for path in [
            "serial0",
            "serial0:115200n8",
            "/soc/serial",
            "bus/serial@7e201000",
            "/soc//serial/",
        ] {
            assert_eq!(tree.find(path), Some(uart), "{path}");
        }
        for path in ["/soc/serial@7e201001", "serial1", "", "soc", "/soc/s"] {
            assert_eq!(tree.find(path), None, "{path}");
        }
        assert_eq!(tree.find("/"), Some(tree.root()));
    }

    #[test]
    fn compatible_finds_any_of_the_list_and_not_the_switched_off() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        let found: Vec<_> = tree
            .compatible(&["test,device", "arm,primecell", "arm,pl011"])
            .map(|node| node.to_string())
            .collect();
        assert_eq!(
            found,
            ["/soc/serial@7e201000", "/soc/bus@7e100000/device@40"]
        );
    }

    #[test]
    fn walk_gives_each_node_once_with_those_above_it() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        let paths: Vec<_> = tree.nodes().map(|node| node.to_string()).collect();
        let mut unique = paths.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), paths.len());
        for node in tree.nodes() {
            assert_eq!(tree.find(&node.to_string()), Some(node));
            assert_eq!(node.ancestors().count() + 1, node.depth);
        }
    }

    #[test]
    fn walk_below_a_node_stays_below_it() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        let names: Vec<_> = tree
            .find("/cpus")
            .unwrap()
            .descendants()
            .map(|node| node.name())
            .collect();
        assert_eq!(names, ["cpus", "cpu@0", "cpu@1", "cpu@2"]);
    }

    #[test]
    fn nops_in_place_of_nodes_and_properties_are_skipped() {
        let whole = board();
        let count = Tree::new(&whole).unwrap().nodes().count();
        let structure = u32::from_be_bytes(whole[8..12].try_into().unwrap()) as usize;
        let mut tree = whole.clone();
        let nop = |tree: &mut [u8], from: usize, to: usize| {
            for word in tree[structure + from..structure + to].chunks_exact_mut(4) {
                word.copy_from_slice(&4_u32.to_be_bytes());
            }
        };
        let original = Tree::new(&whole).unwrap();
        // The last child of a node, one in the middle, and a property, as libfdt's fdt_nop_node and fdt_nop_property
        // do.
        for path in ["/soc/bus@7e100000/device@10000", "/cpus/cpu@1"] {
            let node = original.find(path).unwrap();
            let start = node.starts[node.depth - 1] as usize;
            let mut offset = start;
            loop {
                let (token, next) = original.blocks.token(offset).unwrap();
                offset = next;
                if token == Token::EndNode {
                    break;
                }
            }
            nop(&mut tree, start, offset);
        }
        let (_, first) = original.blocks.token(0).unwrap();
        let (_, second) = original.blocks.token(first).unwrap();
        let (_, third) = original.blocks.token(second).unwrap();
        nop(&mut tree, second, third);
        let tree = Tree::new(&tree).unwrap();
        assert_eq!(tree.nodes().count(), count - 2);
        assert_eq!(tree.root().property("#size-cells"), None);
        assert_eq!(tree.model(), Some("Test board"));
        assert!(tree.find("/cpus/cpu@2").is_some());
        assert!(tree.find("/cpus/cpu@1").is_none());
    }

    #[test]
    fn phandle_that_names_nothing_finds_nothing() {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        assert!(tree.phandle(1).unwrap().is_compatible("arm,gic-400"));
        for phandle in [0, 3, u32::MAX] {
            assert_eq!(tree.phandle(phandle), None);
        }
    }
}
