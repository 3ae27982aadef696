//! A copy of a tree with a loader's words in `/chosen` (Devicetree Specification 3.6, 5; Documentation/arch/arm64/booting.rst).
//!
//! Owns nothing: the copy goes into room that the caller has. Old words of the same names are left out, and so are holes.

use super::Tree;
use super::address::Region;
use super::cells::be32;
use super::token::Token;

/// The properties that are written anew.
const NAMES: [&str; 3] = ["bootargs", "linux,initrd-start", "linux,initrd-end"];

const HEADER: usize = 40;
const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const END: u32 = 9;

/// What a loader says to a kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// Words for the command line, behind those that are there.
    pub words: &'a str,
    /// Where the initial RAM disk lies; what the tree says of another one is left out in any case.
    pub initrd: Option<Region>,
}

impl Tree<'_> {
    /// Writes a copy of the tree that says so into `to`; returns its size in bytes. None: `to` is too small. One kibibyte more than
    /// the tree has, and the words, are always enough.
    #[must_use]
    pub fn tell(&self, told: &Told<'_>, to: &mut [u8]) -> Option<usize> {
        let mut copy = Copy { to, used: 0 };
        copy.put(&[0; HEADER])?;
        let reservations = self.reservations()?;
        copy.put(reservations)?;
        let structure = copy.used;
        self.copy_structure(told, &mut copy)?;
        let strings = copy.used;
        copy.put(self.blocks.strings)?;
        for name in NAMES {
            copy.put(name.as_bytes())?;
            copy.put(&[0])?;
        }
        let size = copy.used;
        let field = |index: usize| be32(self.whole, 4 * index);
        let header = [
            MAGIC,
            word(size)?,
            word(structure)?,
            word(strings)?,
            word(HEADER)?,
            field(5)?,
            field(6)?,
            field(7)?,
            word(size - strings)?,
            word(strings - structure)?,
        ];
        copy.used = 0;
        header.iter().try_for_each(|&word| copy.word(word))?;
        Some(size)
    }

    /// The memory reservation block with the entry that ends it.
    fn reservations(&self) -> Option<&[u8]> {
        let rest = self.whole.get(be32(self.whole, 16)? as usize..)?;
        let ends = |entry: &[u8]| entry.iter().all(|&byte| byte == 0);
        let end = rest.chunks_exact(16).position(ends)?;
        rest.get(..16 * (end + 1))
    }

    fn copy_structure(&self, told: &Told<'_>, copy: &mut Copy<'_>) -> Option<()> {
        let (mut offset, mut depth, mut chosen_at, mut said) = (0, 0_usize, None, false);
        loop {
            let (token, next) = self.blocks.token(offset).ok()?;
            match token {
                Token::Nop => {}
                Token::BeginNode(name) => {
                    depth += 1;
                    copy.node(name)?;
                    if depth == 2 && name == b"chosen" && !said {
                        (chosen_at, said) = (Some(depth), true);
                        self.say(told, copy)?;
                    }
                }
                Token::Property { name_offset, value } => {
                    let old = chosen_at == Some(depth)
                        && NAMES
                            .iter()
                            .any(|name| self.blocks.name_is(name_offset, name));
                    if !old {
                        copy.property(name_offset, value)?;
                    }
                }
                Token::EndNode => {
                    if depth == 1 && !said {
                        copy.node(b"chosen")?;
                        self.say(told, copy)?;
                        copy.word(END_NODE)?;
                    }
                    chosen_at = chosen_at.filter(|&at| at != depth);
                    depth = depth.checked_sub(1)?;
                    copy.word(END_NODE)?;
                }
                Token::End => return copy.word(END),
            }
            offset = next;
        }
    }

    /// The properties of `/chosen` that are written anew.
    fn say(&self, told: &Told<'_>, copy: &mut Copy<'_>) -> Option<()> {
        let mut names = [0; NAMES.len()];
        let mut at = self.blocks.strings.len();
        for (place, name) in names.iter_mut().zip(NAMES) {
            *place = at;
            at += name.len() + 1;
        }
        let [bootargs, start, end] = names;
        let own = self.chosen().map_or("", |chosen| chosen.bootargs());
        let between = if own.is_empty() || told.words.is_empty() {
            ""
        } else {
            " "
        };
        copy.parts(
            bootargs,
            &[
                own.as_bytes(),
                between.as_bytes(),
                told.words.as_bytes(),
                b"\0",
            ],
        )?;
        if let Some(initrd) = told.initrd {
            copy.property(start, &initrd.address.to_be_bytes())?;
            copy.property(end, &initrd.end().to_be_bytes())?;
        }
        Some(())
    }
}

/// A tree in the making.
struct Copy<'a> {
    to: &'a mut [u8],
    used: usize,
}

impl Copy<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.used.checked_add(bytes.len())?;
        self.to.get_mut(self.used..end)?.copy_from_slice(bytes);
        self.used = end;
        Some(())
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.put(&word.to_be_bytes())
    }

    /// Up to the next multiple of four bytes.
    fn align(&mut self) -> Option<()> {
        let short = self.used.next_multiple_of(4) - self.used;
        self.put([0; 4].get(..short)?)
    }

    fn node(&mut self, name: &[u8]) -> Option<()> {
        self.word(BEGIN_NODE)?;
        self.put(name)?;
        self.put(&[0])?;
        self.align()
    }

    fn property(&mut self, name: usize, value: &[u8]) -> Option<()> {
        self.parts(name, &[value])
    }

    /// A property whose value is these parts in turn.
    fn parts(&mut self, name: usize, parts: &[&[u8]]) -> Option<()> {
        self.word(PROP)?;
        self.word(word(parts.iter().map(|part| part.len()).sum())?)?;
        self.word(word(name)?)?;
        parts.iter().try_for_each(|part| self.put(part))?;
        self.align()
    }
}

fn word(size: usize) -> Option<u32> {
    u32::try_from(size).ok()
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    use super::super::test_trees::{board, build, qemu_virt, real};
    use super::*;

    const WORDS: &str = "log=info -- -c ls";

    fn told(bytes: &[u8], words: &str, initrd: Option<Region>) -> Vec<u8> {
        let tree = Tree::new(bytes).expect("a tree");
        let mut room = vec![0; bytes.len() + 1024];
        let size = tree.tell(&Told { words, initrd }, &mut room).expect("room");
        room.truncate(size);
        room
    }

    /// Every property but those that are written anew, by path.
    fn others(bytes: &[u8]) -> Vec<std::string::String> {
        let tree = Tree::new(bytes).expect("a tree");
        let nodes = tree.nodes().filter(|node| node.name() != "chosen");
        let lines = nodes.flat_map(|node| {
            node.properties()
                .map(move |property| std::format!("{node} {property:?}"))
        });
        lines.collect()
    }

    #[test]
    fn tree_with_words_and_disk_is_the_same_otherwise() {
        let mut trees = vec![board()];
        trees.extend(qemu_virt("virt", 4));
        trees.extend(real("bcm2837-rpi-3-b.dtb"));
        trees.extend(real("bcm2711-rpi-4-b.dtb"));
        trees.extend(real("sun50i-a64-pine64-plus.dtb"));
        for bytes in trees {
            let before = Tree::new(&bytes).expect("a tree");
            let own = before.chosen().map_or("", |chosen| chosen.bootargs());
            let initrd = Region::new(0x1_2345_6000, 0x1001);
            let copy = told(&bytes, WORDS, initrd);
            let tree = Tree::new(&copy).expect("a tree");
            let chosen = tree.chosen().expect("chosen");
            let wanted = std::format!("{own} {WORDS}");
            assert_eq!(chosen.bootargs(), wanted.trim_start());
            assert_eq!(chosen.initrd(), Ok(initrd));
            assert_eq!(
                tree.stdout().map(|stdout| stdout.node.to_string()),
                before.stdout().map(|stdout| stdout.node.to_string())
            );
            assert_eq!(others(&copy), others(&bytes));
            assert!(tree.reserved().eq(before.reserved()));
        }
    }

    #[test]
    fn disk_of_an_earlier_loader_is_forgotten() {
        let copy = told(&board(), "", None);
        let chosen = Tree::new(&copy).expect("a tree").chosen().expect("chosen");
        assert_eq!(chosen.initrd(), Ok(None));
        assert_eq!(chosen.bootargs(), "console=ttyAMA0 quiet");
        assert_eq!(chosen.rng_seed(), [7; 32]);
    }

    #[test]
    fn tree_without_chosen_gets_one() {
        let bytes = build(|tree| {
            let root = tree.begin_node("")?;
            tree.property_string("model", "m")?;
            tree.end_node(root)
        });
        let copy = told(&bytes, WORDS, None);
        let tree = Tree::new(&copy).expect("a tree");
        assert_eq!(tree.chosen().expect("chosen").bootargs(), WORDS);
        assert_eq!(tree.model(), Some("m"));
    }

    #[test]
    fn telling_twice_is_telling_the_last() {
        let disk = |start| Region::new(start, 16);
        let copy = told(&told(&board(), "a", disk(64)), "b", disk(128));
        let chosen = Tree::new(&copy).expect("a tree").chosen().expect("chosen");
        assert_eq!(chosen.bootargs(), "console=ttyAMA0 quiet a b");
        assert_eq!(chosen.initrd(), Ok(disk(128)));
    }

    #[test]
    fn too_little_room_is_said_whatever_it_is() {
        let bytes = board();
        let tree = Tree::new(&bytes).expect("a tree");
        let told = Told {
            words: WORDS,
            initrd: Region::new(1, 2),
        };
        let size = tree.tell(&told, &mut [0; 1 << 14]).expect("room");
        for room in 0..size {
            assert_eq!(tree.tell(&told, &mut vec![0; room]), None);
        }
    }
}
