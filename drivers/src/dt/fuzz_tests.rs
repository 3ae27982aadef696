//! Hostile trees: whatever the bytes, reading them all ends, in values or in errors.

use std::collections::BTreeSet;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::read_everything::read_everything;
use super::test_trees::{Random, board, qemu_virt};
use super::*;

fn judge(bytes: &[u8]) -> Result<usize, Error> {
    let judged = Tree::new(bytes).map(|tree| read_everything(&tree));
    if let Err(error) = judged {
        assert!(!format!("{error}").is_empty());
    }
    judged
}

/// The header's fields, the blocks' bounds.
fn flip(tree: &mut [u8], random: &mut Random) {
    // A fifth of the damage goes into the header, where it does most.
    let range = if random.below(5) == 0 { 40 } else { tree.len() };
    let at = random.below(range);
    tree[at] ^= 1 << random.below(8);
}

#[test]
fn truncated_tree_at_every_length_is_an_error() {
    let whole = board();
    assert!(judge(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(judge(&whole[..length]).is_err(), "length {length}");
    }
}

#[test]
fn truncated_tree_whose_header_agrees_is_an_error_or_reads() {
    let whole = board();
    for length in 40..whole.len() {
        let mut cut = whole[..length].to_vec();
        cut[4..8].copy_from_slice(&(length as u32).to_be_bytes());
        let _ = judge(&cut);
    }
}

#[test]
fn bit_flipped_tree_ends_in_values_or_errors() {
    let whole = board();
    let mut errors = BTreeSet::new();
    for seed in 0..5_000 {
        let mut random = Random::new(seed);
        let mut tree = whole.clone();
        for _ in 0..=random.below(4) {
            flip(&mut tree, &mut random);
        }
        let judged = std::panic::catch_unwind(|| judge(&tree));
        let judged = judged.unwrap_or_else(|_| panic!("seed {seed} panics"));
        if let Err(error) = judged {
            errors.insert(
                format!("{error:?}")
                    .split([' ', '('])
                    .next()
                    .map(String::from),
            );
        }
    }
    assert!(errors.len() >= 8, "only {errors:?} were seen");
}

#[test]
fn overwritten_words_of_the_virt_tree_end_in_values_or_errors() {
    let Some(whole) = qemu_virt("virt", 4) else {
        std::println!("skipped: no QEMU");
        return;
    };
    let whole = compact(&whole);
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut tree = whole.clone();
        let at = 4 * random.below(tree.len() / 4);
        let word = [0, 1, 2, 3, 4, 9, u32::MAX, random.next() as u32][random.below(8)];
        tree[at..at + 4].copy_from_slice(&word.to_be_bytes());
        let judged = std::panic::catch_unwind(|| judge(&tree));
        assert!(judged.is_ok(), "seed {seed} panics");
    }
}

/// QEMU leaves its tree room to grow: a MiB of nothing. Cuts that off.
fn compact(tree: &[u8]) -> Vec<u8> {
    let field = |index: usize| {
        let at = 4 * index;
        u32::from_be_bytes([tree[at], tree[at + 1], tree[at + 2], tree[at + 3]])
    };
    let end = (field(2) + field(9)).max(field(3) + field(8));
    let mut cut = tree[..end as usize].to_vec();
    cut[4..8].copy_from_slice(&end.to_be_bytes());
    cut
}

#[test]
fn random_bytes_behind_a_good_header_end_in_an_error() {
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let mut tree = board();
        for byte in &mut tree[56..] {
            *byte = random.next() as u8;
        }
        assert!(judge(&tree).is_err(), "seed {seed}");
    }
}

#[test]
fn nesting_deeper_than_the_bound_is_an_error() {
    let nested = |levels: usize| {
        super::test_trees::build(|tree| {
            let nodes: Result<Vec<_>, _> = (0..levels)
                .map(|level| tree.begin_node(if level == 0 { "" } else { "n" }))
                .collect();
            for node in nodes?.into_iter().rev() {
                tree.end_node(node)?;
            }
            Ok(())
        })
    };
    assert_eq!(judge(&nested(MAX_DEPTH)), Ok(MAX_DEPTH));
    assert!(matches!(
        judge(&nested(MAX_DEPTH + 1)),
        Err(Error::TooDeep { .. })
    ));
}

#[test]
fn interrupt_parents_in_a_circle_are_an_error() {
    let bytes = super::test_trees::build(|tree| {
        let root = tree.begin_node("")?;
        for (name, phandle, parent) in [("a", 1, 2), ("b", 2, 1)] {
            let node = tree.begin_node(name)?;
            tree.property_phandle(phandle)?;
            tree.property_u32("interrupt-parent", parent)?;
            tree.property_u32("interrupts", 0)?;
            tree.end_node(node)?;
        }
        tree.end_node(root)
    });
    let tree = Tree::new(&bytes).unwrap();
    let interrupts = tree.find("/a").unwrap().interrupts();
    assert_eq!(interrupts.err(), Some(Error::Missing("interrupt-parent")));
}

#[test]
fn huge_cell_counts_are_an_error() {
    for (name, value) in [("#address-cells", u32::MAX), ("#size-cells", 5)] {
        let bytes = super::test_trees::build(|tree| {
            let root = tree.begin_node("")?;
            tree.property_u32(name, value)?;
            let node = tree.begin_node("a")?;
            tree.property("reg", &[0; 64])?;
            tree.end_node(node)?;
            tree.end_node(root)
        });
        let tree = Tree::new(&bytes).unwrap();
        let regions = tree.find("/a").unwrap().regions();
        assert_eq!(regions.err(), Some(Error::BadProperty(name)));
    }
}
