//! The boards' real trees, damaged: each node missing in turn, cut short, bits flipped. Reading them ends in values or in a plain
//! error.

use std::ops::Range;
use std::panic::catch_unwind;
use std::println;
use std::vec::Vec;

use super::read_everything::read_everything;
use super::test_trees::{Random, real};
use super::*;
use crate::psci::Psci;
use crate::{bcm2835_pm, bcm2835_rng, iproc_rng200, irq, sunxi_wdt};

const TREES: [&str; 3] = [
    "bcm2837-rpi-3-b.dtb",
    "bcm2711-rpi-4-b.dtb",
    "sun50i-a64-pine64-plus.dtb",
];

/// Bindings that the kernel has drivers for.
const DRIVEN: [&[&str]; 6] = [
    bcm2835_pm::COMPATIBLE,
    bcm2835_rng::COMPATIBLE,
    iproc_rng200::COMPATIBLE,
    sunxi_wdt::COMPATIBLE,
    &["arm,pl011", "brcm,bcm2835-aux-uart", "snps,dw-apb-uart"],
    &["arm,armv8-timer", "arm,armv7-timer"],
];

/// Of the trees without a node, each so many-th is read in full: it takes a tenth of a second.
const IN_FULL: usize = 16;

/// How many damaged copies of each tree are read.
const SEEDS: u64 = 30;

// Tokens (Devicetree Specification 5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: [u8; 4] = [0, 0, 0, 4];
const END: u32 = 9;

fn trees() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    TREES
        .into_iter()
        .filter_map(|name| Some((name, real(name)?)))
}

/// How many nodes there are, by `read`, or why the tree is refused. Panics, and says what was read, if the reader does.
fn judge_by(
    read: impl Fn(&Tree<'_>) -> usize + std::panic::RefUnwindSafe,
    bytes: &[u8],
    what: &str,
) -> Result<usize, Error> {
    let judged = catch_unwind(|| Tree::new(bytes).map(|tree| read(&tree)));
    judged.unwrap_or_else(|_| panic!("{what} panics"))
}

fn judge(bytes: &[u8], what: &str) -> Result<usize, Error> {
    judge_by(read_everything, bytes, what)
}

/// What a boot asks: memory, CPUs, console, and the place and line of each device that has a driver.
fn read_for_boot(tree: &Tree<'_>) -> usize {
    let ranges = tree.memory().filter(Result::is_ok).count();
    let kept = tree.reserved().filter(Result::is_ok).count();
    let cpus = tree.cpus().filter(Result::is_ok).count();
    std::hint::black_box((ranges, kept, cpus));
    let _ = (Psci::find(tree), tree.stdout().map(|stdout| stdout.baud()));
    let _ = tree.chosen().map(|chosen| chosen.initrd());
    for bindings in DRIVEN {
        for node in tree.compatible(bindings) {
            let _ = node.region(0);
            let _ = node.interrupt(0).map(|interrupt| irq::line(&interrupt));
        }
    }
    tree.nodes().count()
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

/// Where each node's tokens lie in the file, and how many nodes that is. Not the reader's own walk, which is on trial.
fn nodes(tree: &[u8]) -> Vec<(Range<usize>, usize)> {
    let mut at = word(tree, 8);
    let (mut open, mut found) = (Vec::new(), Vec::new());
    loop {
        let start = at;
        at += 4;
        match word(tree, start) as u32 {
            BEGIN_NODE => {
                let name = tree[at..].iter().position(|&byte| byte == 0).unwrap();
                at = (at + name + 1).next_multiple_of(4);
                open.push(found.len());
                found.push((start..start, 0));
            }
            END_NODE => {
                let node = open.pop().unwrap();
                let count = found.len() - node;
                found[node] = (found[node].0.start..at, count);
            }
            PROP => at = (at + 8 + word(tree, at)).next_multiple_of(4),
            END => return found,
            _ => {}
        }
    }
}

#[test]
fn real_tree_without_a_node_has_all_the_others() {
    for (name, whole) in trees() {
        let nodes = nodes(&whole);
        assert_eq!(judge(&whole, name), Ok(nodes.len()));
        // The root is the first: a tree without it is none.
        for (index, (place, count)) in nodes.iter().enumerate().skip(1) {
            let mut cut = whole.clone();
            for token in cut[place.clone()].chunks_mut(4) {
                token.copy_from_slice(&NOP);
            }
            let what = std::format!("{name} without the node at {:#x}", place.start);
            let read = if index % IN_FULL == 0 {
                read_everything
            } else {
                read_for_boot
            };
            assert_eq!(
                judge_by(read, &cut, &what),
                Ok(nodes.len() - count),
                "{what}"
            );
        }
        println!("{name}: {} nodes, each left out in turn", nodes.len());
    }
}

#[test]
fn real_tree_cut_short_is_an_error() {
    for (name, whole) in trees() {
        let mut random = Random::new(1);
        let lengths = (0..SEEDS).map(|_| random.below(whole.len()));
        for length in lengths.chain(0..64) {
            let what = std::format!("{name} cut to {length} bytes");
            assert!(judge(&whole[..length], &what).is_err(), "{what}");
        }
    }
}

#[test]
fn real_tree_with_flipped_bits_ends_in_values_or_errors() {
    for (name, whole) in trees() {
        let mut refused = 0;
        for seed in 0..SEEDS {
            let mut random = Random::new(seed);
            let mut tree = whole.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(tree.len());
                tree[at] ^= 1 << random.below(8);
            }
            let judged = judge(&tree, &std::format!("{name} flipped by seed {seed}"));
            refused += u32::from(judged.is_err());
        }
        println!("{name}: seeds 0..{SEEDS}, {refused} trees refused");
        assert!(refused > 0, "no flip of {name} was noticed");
    }
}
