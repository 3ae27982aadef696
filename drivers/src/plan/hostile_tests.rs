//! The whole plan of a boot, from the four boards' real trees damaged in every way: each node and each property missing in turn, cells
//! of any width, cut short, bits flipped. Whatever is left, the plan is made in bounded time; what it grants lies where it says, and
//! what it refuses it refuses in words.

use std::collections::BTreeSet;
use std::format;
use std::ops::Range;
use std::panic::catch_unwind;
use std::println;
use std::string::String;
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::memory::{self, Loaded};
use super::*;
use crate::dt::EnableMethod;
use crate::dt::test_trees::{Random, qemu_board, qemu_boot, real};
use crate::mmio::Window;
use crate::serial::Uart;
use crate::{bcm2835_pm, bcm2835_rng, iproc_rng200, pl031, pl061, sunxi_wdt};

/// Bindings of what boards have drivers for.
const DRIVEN: [&[&str]; 6] = [
    bcm2835_pm::COMPATIBLE,
    bcm2835_rng::COMPATIBLE,
    iproc_rng200::COMPATIBLE,
    pl031::COMPATIBLE,
    pl061::COMPATIBLE,
    sunxi_wdt::COMPATIBLE,
];

/// How many damaged copies of each tree are tried, by seed.
const SEEDS: u64 = 5_000;

/// The longest that one plan may take, unoptimised and on a machine that does other things too: it takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

// Tokens (Devicetree Specification 5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: [u8; 4] = [0, 0, 0, 4];
const END: u32 = 9;

/// A tree without the room that its loader left in it.
fn compact(tree: &[u8]) -> Vec<u8> {
    let used = Tree::new(tree).unwrap().used();
    let mut cut = tree[..used].to_vec();
    put(&mut cut, 4, used as u32);
    cut
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

/// Where the tokens of nodes and properties lie in the file, a property with its name and value.
#[derive(Default)]
struct Places {
    nodes: Vec<Range<usize>>,
    properties: Vec<(String, Range<usize>)>,
}

impl Places {
    /// Not by the reader's own walk, which is on trial.
    fn of(tree: &[u8]) -> Self {
        let strings = word(tree, 12) as usize;
        let mut at = word(tree, 8) as usize;
        let (mut places, mut open) = (Self::default(), Vec::new());
        loop {
            let start = at;
            at += 4;
            match word(tree, start) {
                BEGIN_NODE => {
                    let name = tree[at..].iter().position(|&byte| byte == 0).unwrap();
                    at = (at + name + 1).next_multiple_of(4);
                    open.push(places.nodes.len());
                    places.nodes.push(start..start);
                }
                END_NODE => places.nodes[open.pop().unwrap()].end = at,
                PROP => {
                    let name = &tree[strings + word(tree, at + 4) as usize..];
                    let name = name.split(|&byte| byte == 0).next().unwrap();
                    at = (at + 8 + word(tree, at) as usize).next_multiple_of(4);
                    let name = String::from_utf8_lossy(name).into_owned();
                    places.properties.push((name, start..at));
                }
                END => return places,
                _ => {}
            }
        }
    }
}

fn without(tree: &[u8], place: &Range<usize>) -> Vec<u8> {
    let mut cut = tree.to_vec();
    for token in cut[place.clone()].chunks_mut(4) {
        token.copy_from_slice(&NOP);
    }
    cut
}

/// Registers that nobody may touch yet.
struct Untouched(usize);

impl Window for Untouched {
    fn size(&self) -> usize {
        self.0
    }
    fn read8(&self, _: usize) -> u8 {
        panic!("touched")
    }
    fn write8(&self, _: usize, _: u8) {
        panic!("touched")
    }
    fn read32(&self, _: usize) -> u32 {
        panic!("touched")
    }
    fn write32(&self, _: usize, _: u32) {
        panic!("touched")
    }
}

/// What a plan came to: what it has, by a letter each, and what it refused, in words.
#[derive(Default)]
struct Outcome {
    has: BTreeSet<&'static str>,
    refused: BTreeSet<String>,
}

impl Outcome {
    fn note<T, E: fmt::Display>(&mut self, what: &'static str, part: Result<T, E>) -> Option<T> {
        match part {
            Ok(part) => {
                self.has.insert(what);
                Some(part)
            }
            Err(error) => {
                let words = format!("{error}");
                assert!(words.len() > 8 && words.is_ascii(), "{what}: {words:?}");
                self.refused.insert(format!("{what}: {words}"));
                None
            }
        }
    }
}

fn sound(region: &Region) {
    assert!(region.size > 0 && region.address.is_multiple_of(4) && region.end() <= PHYSICAL_END);
}

/// Makes the plan of a boot, all of it, and checks what it grants. Where kernel and tree are is as on the boards.
fn judge(bytes: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(tree) = outcome.note("tree", Tree::new(bytes)) else {
        return outcome;
    };
    assert!(tree.used() <= tree.size());
    let plan = Plan::of(&tree);
    outcome.note("psci", plan.psci);
    if let Some(console) = plan.console.and_then(|(_, it)| outcome.note("console", it)) {
        sound(&console.registers);
        let uart = Uart::new(console.model, Untouched(console.registers.size as usize));
        assert!(uart.is_ok());
        outcome.note("input", console.wire);
    }
    if let Some(timer) = outcome.note("timer", plan.timer) {
        assert!((16..32).contains(&timer.wire.0.0));
    }
    match outcome.note("controller", plan.controller) {
        Some(Controller::GicV2 {
            distributor,
            interface,
            ..
        }) => [distributor, interface].iter().for_each(sound),
        Some(Controller::GicV3 {
            distributor,
            redistributors,
            ..
        }) => [distributor, redistributors].iter().for_each(sound),
        Some(Controller::Bcm2836 { local, devices, .. }) => [local, devices].iter().for_each(sound),
        None => {}
    }
    for (node, region) in DRIVEN.iter().flat_map(|bindings| devices(&tree, bindings)) {
        assert!(!format!("{node}").is_empty());
        if let Some(region) = outcome.note("device", region) {
            sound(&region);
        }
    }
    for cpu in tree.cpus() {
        outcome.note("cpu", cpu);
    }
    judge_memory(&tree, &mut outcome);
    outcome
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start.max(other.start) < one.end.min(other.end)
}

/// Nothing is free that is somebody's, and what becomes free later is nobody else's.
fn judge_memory(tree: &Tree<'_>, outcome: &mut Outcome) {
    let Some(banks) = outcome.note("memory", memory::banks(tree)) else {
        return;
    };
    let start = banks.ranges.span().map_or(0, |span| span.start);
    let image = start + 0x20_0000..start + 0x34_0000;
    let tree_start = start + 0x700_0000;
    let loaded = Loaded {
        image: image.clone(),
        tree: tree_start..tree_start + tree.size(),
        tree_end: tree_start + tree.used(),
    };
    let Some(shares) = outcome.note("shares", memory::share_out(tree, &banks.ranges, &loaded))
    else {
        return;
    };
    let initrd = shares.initrd.as_ref().ok().cloned().flatten();
    outcome.note("initrd", shares.initrd.clone());
    let mut taken: Vec<Range<usize>> = [image.clone(), loaded.tree.clone(), 0..4096].into();
    taken.extend(initrd.clone());
    let words = tree
        .cpus()
        .flatten()
        .filter_map(|cpu| match cpu.enable_method {
            EnableMethod::SpinTable { release } => Some(release.min(PHYSICAL_END) as usize),
            _ => None,
        });
    taken.extend(words.map(|word| word..word + 8));
    let reserved = tree.reserved().flatten().map(|reserved| reserved.region);
    taken.extend(
        reserved
            .map(|it| it.address.min(PHYSICAL_END) as usize..it.end().min(PHYSICAL_END) as usize),
    );
    for free in shares.free.iter() {
        assert!(
            banks
                .ranges
                .iter()
                .any(|ram| ram.start <= free.start && free.end <= ram.end)
        );
        assert!(!taken.iter().any(|taken| overlap(taken, &free)));
    }
    let (first, second) = (&shares.after_initrd, &shares.after_tree);
    assert!(!overlap(first, second) && !overlap(first, &image) && !overlap(second, &image));
    assert!(!overlap(first, &loaded.tree));
    for later in [first, second] {
        assert!(!shares.free.iter().any(|free| overlap(&free, later)));
    }
}

/// Judges, and says what was judged if the plan panics or takes long.
fn try_out(bytes: &[u8], what: &str) -> Outcome {
    let started = Instant::now();
    let outcome = catch_unwind(|| judge(bytes)).unwrap_or_else(|_| panic!("{what}: it panics"));
    assert!(
        started.elapsed() < PATIENCE,
        "{what}: {:?}",
        started.elapsed()
    );
    outcome
}

/// What damage of one kind came to.
#[derive(Default)]
struct Tally {
    tried: usize,
    whole: usize,
    refusals: BTreeSet<String>,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome, sound: &Outcome) {
        self.tried += 1;
        self.whole += usize::from(outcome.has == sound.has && outcome.refused == sound.refused);
        self.refusals.extend(outcome.refused.iter().cloned());
    }

    fn tell(&self, what: &str) {
        let Tally {
            tried,
            whole,
            refusals,
        } = self;
        println!(
            "{what}: {tried} plans, {whole} as of the sound tree, {} kinds of refusal",
            refusals.len()
        );
    }
}

/// All damage to one board's tree.
fn hostile(name: &str, tree: Option<Vec<u8>>) {
    let Some(tree) = tree else {
        println!("skipped: no tree of {name}");
        return;
    };
    let tree = compact(&tree);
    let sound = judge(&tree);
    for part in [
        "tree",
        "psci",
        "console",
        "input",
        "timer",
        "controller",
        "cpu",
    ] {
        assert!(
            sound.has.contains(part),
            "{name}: {part}: {:?}",
            sound.refused
        );
    }
    let places = Places::of(&tree);
    // As Debian has it, the Pine64's tree leaves the memory to the loader.
    let nowhere = "shares: 0 KiB of memory are free, too little";
    assert!(sound.has.contains("shares") || sound.refused.contains(nowhere));
    assert_eq!(sound.has.contains("shares"), sound.has.contains("initrd"));
    missing(name, &tree, &places, &sound);
    cells(name, &tree, &places, &sound);
    cut_short(name, &tree, &places);
    flipped(name, &tree, &sound);
}

fn missing(name: &str, tree: &[u8], places: &Places, sound: &Outcome) {
    let mut tally = Tally::default();
    for place in places.nodes.iter().skip(1) {
        let what = format!("{name} without the node at {:#x}", place.start);
        tally.add(&try_out(&without(tree, place), &what), sound);
    }
    tally.tell(&format!("{name}, each node missing"));
    assert!(tally.whole < tally.tried);
    let mut tally = Tally::default();
    for (property, place) in &places.properties {
        let what = format!("{name} without {property} at {:#x}", place.start);
        tally.add(&try_out(&without(tree, place), &what), sound);
    }
    tally.tell(&format!("{name}, each property missing"));
    assert!(tally.whole < tally.tried && !tally.refusals.is_empty());
}

/// Each count of cells as it may be, and as it may not.
fn cells(name: &str, tree: &[u8], places: &Places, sound: &Outcome) {
    let mut tally = Tally::default();
    let counts = places.properties.iter().filter(|(property, place)| {
        property.starts_with('#') && property.ends_with("-cells") && place.len() == 16
    });
    for (property, place) in counts {
        for count in [0, 1, 2, 3, 4, 5, 255, u32::MAX] {
            let mut wrong = tree.to_vec();
            put(&mut wrong, place.start + 12, count);
            let what = format!("{name}: {property} {count} at {:#x}", place.start);
            tally.add(&try_out(&wrong, &what), sound);
        }
    }
    tally.tell(&format!("{name}, counts of cells"));
    assert!(tally.whole < tally.tried && !tally.refusals.is_empty());
}

/// Cut at every token's beginning and one byte off it, with a header that knows and one that does not.
fn cut_short(name: &str, tree: &[u8], places: &Places) {
    let structure = word(tree, 8) as usize;
    let starts = places.properties.iter().map(|(_, place)| place.start);
    let starts = starts.chain(places.nodes.iter().map(|place| place.start));
    let mut tried = 0;
    for at in (0..64).chain(starts.flat_map(|at| [at, at + 1])) {
        let what = format!("{name} cut at {at:#x}");
        assert!(!try_out(&tree[..at], &what).has.contains("tree"), "{what}");
        if at > structure {
            let mut short = tree.to_vec();
            put(&mut short, 36, (at - structure) as u32);
            assert!(!try_out(&short, &what).has.contains("tree"), "{what}");
        }
        if at > 8 {
            let mut short = tree[..at].to_vec();
            put(&mut short, 4, at as u32);
            assert!(!try_out(&short, &what).has.contains("tree"), "{what}");
        }
        tried += 1;
    }
    println!("{name}, cut short at {tried} places: refused each time");
}

fn flipped(name: &str, tree: &[u8], sound: &Outcome) {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut damaged = tree.to_vec();
        for _ in 0..=random.below(7) {
            let at = random.below(damaged.len());
            damaged[at] ^= 1 << random.below(8);
        }
        let what = format!("{name} flipped by seed {seed}");
        tally.add(&try_out(&damaged, &what), sound);
    }
    tally.tell(&format!("{name}, flipped by seeds 0 to {SEEDS}"));
    assert!(tally.whole < tally.tried && tally.refusals.len() > 20);
}

/// The tree that virt makes when it boots.
fn virt(machine: &str) -> Option<Vec<u8>> {
    let more = ["-cpu", "cortex-a53", "-smp", "4", "-nic", "none"];
    qemu_boot(machine, &more)
}

#[test]
fn plan_of_virts_damaged_tree_is_sound_or_refused_in_words() {
    hostile("virt", virt("virt"));
}

#[test]
fn plan_of_virts_damaged_tree_with_gicv3_is_sound_or_refused_in_words() {
    hostile("virt with GICv3", virt("virt,gic-version=3"));
}

#[test]
fn plan_of_the_pi3s_damaged_tree_is_sound_or_refused_in_words() {
    hostile("rpi3", qemu_board("raspi3b", "bcm2837-rpi-3-b.dtb"));
}

#[test]
fn plan_of_the_pi4s_damaged_tree_is_sound_or_refused_in_words() {
    hostile("rpi4", qemu_board("raspi4b", "bcm2711-rpi-4-b.dtb"));
}

/// Without a QEMU that plays it: as Debian has it, which is without memory.
#[test]
fn plan_of_the_pine64s_damaged_tree_is_sound_or_refused_in_words() {
    let name = "sun50i-a64-pine64-plus.dtb";
    hostile("pine64", qemu_board("pine64", name).or_else(|| real(name)));
}
