//! Boots with device trees that are not as they should be: each says in words why it cannot go on, or comes to the prompt without what
//! is missing. The machine's own tree is damaged and put into memory behind the kernel, which is entered as a loader would enter
//! it; so no loader mends the tree on the way.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use halyard_drivers::dt::Tree;
use halyard_hil::bootargs::BootArgs;
use halyard_hil::qemu::{self, Options};
use halyard_hil::rig::Boot;
use halyard_hil::verdict::Verdict;

use super::checks::PROMPT;
use super::session::{Failure, Session};
use super::target::Bench;
use crate::dtb;

/// Where QEMU puts a kernel that is no arm64 Image (`hw/arm/boot.c`), in virt's memory and the Pine64's.
const BLOB: u64 = 0x4008_0000;
/// Where the kernel is within it: as every loader has it, on a boundary of 2 MiB.
const KERNEL: u64 = 0x4020_0000;
/// Where the tree is: behind all that a kernel may take.
const TREE: u64 = 0x4080_0000;

/// What the kernel says before it goes to a console that the tree has elsewhere.
const MOVED: &str = "the console goes on at ";
/// What init says before the shell prompts.
const READY: &str = "Halyard. `ls /bin`";
const REFUSED: &str = "Halyard cannot boot: ";
const FAULT: &str = "kernel fault on CPU ";
const PANIC: &str = "kernel panic on CPU ";

// Tokens (Devicetree Specification 5.4.1).
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: [u8; 4] = [0, 0, 0, 4];
const END: u32 = 9;

/// What is done to a tree.
enum Damage {
    /// The node whose name begins so is missing.
    Without(&'static str),
    /// The root's property of one cell has another value.
    Cell(&'static str, u32),
    /// The header's word of that number has another value.
    Header(usize, u32),
    /// Bits are flipped, by that seed.
    Flips(u64),
    /// The loader gives no tree.
    NoTree,
}

/// A damaged tree, and what may come of it: one of these lines.
struct Case {
    name: &'static str,
    damage: Damage,
    says: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "tree_without_uart_boots_with_the_early_console",
        damage: Damage::Without("pl011@"),
        says: &[READY],
    },
    Case {
        name: "tree_without_interrupt_controller_is_refused",
        damage: Damage::Without("intc@"),
        says: &["Halyard cannot boot: the timer: no node has phandle"],
    },
    Case {
        name: "tree_without_timer_is_refused",
        damage: Damage::Without("timer"),
        says: &["Halyard cannot boot: the timer: the device tree has none"],
    },
    Case {
        name: "tree_without_memory_is_refused",
        damage: Damage::Without("memory@"),
        says: &["Halyard cannot boot: 0 KiB of memory are free, too little"],
    },
    Case {
        name: "tree_without_cpus_boots_with_one",
        damage: Damage::Without("cpus"),
        says: &[READY],
    },
    Case {
        name: "tree_without_psci_boots_with_one_cpu",
        damage: Damage::Without("psci"),
        says: &[READY],
    },
    Case {
        name: "tree_without_clock_boots",
        damage: Damage::Without("pl031@"),
        says: &[READY],
    },
    Case {
        name: "tree_without_chosen_is_refused",
        damage: Damage::Without("chosen"),
        says: &[REFUSED],
    },
    Case {
        name: "tree_with_addresses_of_no_cell_is_refused",
        damage: Damage::Cell("#address-cells", 0),
        says: &[REFUSED],
    },
    Case {
        name: "tree_with_addresses_of_one_cell_is_refused",
        damage: Damage::Cell("#address-cells", 1),
        says: &[REFUSED],
    },
    Case {
        name: "tree_with_addresses_of_five_cells_is_refused",
        damage: Damage::Cell("#address-cells", 5),
        says: &[REFUSED],
    },
    Case {
        name: "tree_with_addresses_of_three_cells_is_refused",
        damage: Damage::Cell("#address-cells", 3),
        says: &[REFUSED],
    },
    Case {
        name: "tree_with_sizes_of_no_cell_is_refused",
        damage: Damage::Cell("#size-cells", 0),
        says: &[REFUSED],
    },
    Case {
        name: "tree_with_flipped_magic_is_refused",
        damage: Damage::Header(0, 0xd00d_feec),
        says: &["the device tree at 0x40800000: starts with 0xd00dfeec, not 0xd00dfeed"],
    },
    Case {
        name: "tree_that_says_it_is_cut_short_is_refused",
        damage: Damage::Header(1, 0x800),
        says: &["Halyard cannot boot: the device tree at 0x40800000: "],
    },
    Case {
        name: "tree_that_is_not_there_is_refused",
        damage: Damage::NoTree,
        says: &["Halyard cannot boot: the device tree at 0x0: no tree can be there"],
    },
];

/// How many trees with flipped bits are booted.
const SEEDS: u64 = 12;

/// What may come of a tree with flipped bits: never silence.
const ANYTHING: &[&str] = &[READY, REFUSED, FAULT, PANIC, MOVED];

/// Each named damage, and what comes of it.
pub(crate) fn named(bench: &Bench<'_>) -> Result<String, Failure> {
    only_of_virt(bench)?;
    let files = Files::new(bench)?;
    for case in CASES {
        boot(bench, &files, &case.damage, case.says, case.name)?;
    }
    Ok(format!("{} trees", CASES.len()))
}

/// Flipped bits, by seeds.
pub(crate) fn flipped(bench: &Bench<'_>) -> Result<String, Failure> {
    only_of_virt(bench)?;
    let files = Files::new(bench)?;
    let mut booted = 0;
    for seed in 0..SEEDS {
        let name = format!("flipped by seed {seed}");
        let said = boot(bench, &files, &Damage::Flips(seed), ANYTHING, &name)?;
        booted += u32::from(said == READY);
    }
    Ok(format!("seeds 0 to {}, of which {booted} boot", SEEDS - 1))
}

/// The board's watchdog resets it where the tree tells of no PSCI that would: after `reboot` the shell prompts a second time.
pub(crate) fn watchdog(bench: &Bench<'_>) -> Result<String, Failure> {
    let files = Files::new(bench)?;
    let mut tree = files.tree.clone();
    if node(&tree, "psci").is_none() {
        return Ok("there is no PSCI: each reboot is the watchdog's".into());
    }
    blank(&mut tree, "psci")?;
    let mut session = files.start(bench, &tree, TREE, true)?;
    session.expect(READY)?;
    session.expect(PROMPT)?;
    session.send("reboot\n")?;
    session.expect(READY)?;
    session.expect(PROMPT)?;
    Ok("prompted twice".into())
}

/// The addresses here are those of virt, and the names of nodes too.
fn only_of_virt(bench: &Bench<'_>) -> Result<(), Failure> {
    if bench.board.dtb.is_none() {
        return Ok(());
    }
    Err(Failure {
        verdict: Verdict::Skip("done on the machine that makes its own tree".into()),
        console: Vec::new(),
    })
}

/// Boots with the damaged tree until one of `says` is said; returns which.
fn boot(
    bench: &Bench<'_>,
    files: &Files,
    damage: &Damage,
    says: &'static [&'static str],
    name: &str,
) -> Result<&'static str, Failure> {
    let mut tree = files.tree.clone();
    let mut at = TREE;
    match *damage {
        Damage::Without(node) => blank(&mut tree, node)?,
        Damage::Cell(property, value) => set(&mut tree, property, value)?,
        Damage::Header(word, value) => put(&mut tree, 4 * word, value),
        Damage::Flips(seed) => flip(&mut tree, seed),
        Damage::NoTree => at = 0,
    }
    let mut session = files.start(bench, &tree, at, false)?;
    loop {
        let line = session.line().map_err(|mut failure| {
            failure.console.push(format!("this was with a {name}"));
            failure
        })?;
        if let Some(said) = says.iter().find(|text| line.contains(**text)) {
            return Ok(said);
        }
        if ANYTHING.iter().any(|text| line.contains(text)) {
            return Err(session.fail(&format!(
                "{name}: '{line}' instead of '{}'",
                says.join("' or '")
            )));
        }
    }
}

/// The machine's own tree, and what a boot with another is made of.
struct Files {
    tree: Vec<u8>,
    blob: PathBuf,
}

impl Files {
    /// Has QEMU write the tree that it would hand over in an ordinary boot.
    fn new(bench: &Bench<'_>) -> Result<Self, Failure> {
        let products = bench.products.image.parent().unwrap_or(Path::new("."));
        let file = products.join("whole.dtb");
        // What another run left is no answer.
        let _ = fs::remove_file(&file);
        let boot = bench.ordinary_boot(&[], &[]);
        let mut command = dtb::dump(bench.board, &file, |board| {
            qemu::command(board, &boot, &bench.options)
        });
        let tree = written(&mut command, &file).map_err(|error| error.to_string())?;
        let used = Tree::new(&tree).map(|tree| tree.used());
        let used = used.map_err(|error| format!("QEMU's own tree: {error}"))?;
        let mut tree = tree.get(..used).unwrap_or_default().to_vec();
        put(&mut tree, 4, used as u32);
        Ok(Self {
            tree,
            blob: products.join("damaged.bin"),
        })
    }

    /// Boots with that tree, which is said to be at `at`; a reset starts the machine anew if it `resets`.
    fn start(
        &self,
        bench: &Bench<'_>,
        tree: &[u8],
        at: u64,
        resets: bool,
    ) -> Result<Session, Failure> {
        let kernel = fs::read(bench.kernel).map_err(|error| error.to_string())?;
        let mut blob = stub(at);
        for (part, at) in [(kernel.as_slice(), KERNEL), (tree, TREE)] {
            blob.resize((at - BLOB) as usize, 0);
            blob.extend(part);
        }
        fs::write(&self.blob, blob).map_err(|error| error.to_string())?;
        let options = Options {
            resets,
            ..bench.options.clone()
        };
        let stub = Bench {
            name: bench.name,
            board: bench.board,
            kernel: &self.blob,
            products: bench.products,
            options: options.clone(),
        };
        let boot = Boot {
            kernel: self.blob.clone(),
            initrd: Some(bench.products.initramfs.clone()),
            args: BootArgs::new(),
        };
        Session::start(&stub, options, &boot)
    }
}

fn written(command: &mut Command, file: &Path) -> std::io::Result<Vec<u8>> {
    command.output()?;
    fs::read(file)
}

/// Code that enters the kernel with x0 as given, wherever it runs: ldr x0, [pc, #24]; ldr x16, [pc, #28]; mov x1, xzr; br x16; nop;
/// nop; and the two addresses.
fn stub(tree: u64) -> Vec<u8> {
    let code: [u32; 6] = [
        0x5800_00c0,
        0x5800_00f0,
        0xaa1f_03e1,
        0xd61f_0200,
        0xd503_201f,
        0xd503_201f,
    ];
    let code = code.iter().flat_map(|word| word.to_le_bytes());
    let addresses = [tree, KERNEL].into_iter().flat_map(u64::to_le_bytes);
    code.chain(addresses).collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(END, |word| u32::from_be_bytes(*word))
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

/// Where the first node below the root whose name begins so lies in the file.
fn node(tree: &[u8], name: &str) -> Option<Range<usize>> {
    let mut at = word(tree, 8) as usize;
    let (mut depth, mut found) = (0, None);
    loop {
        let start = at;
        at += 4;
        match word(tree, start) {
            BEGIN_NODE => {
                let rest = tree.get(at..)?;
                let length = rest.iter().position(|&byte| byte == 0)?;
                if depth == 1 && found.is_none() && rest.starts_with(name.as_bytes()) {
                    found = Some(start);
                }
                at = (at + length + 1).next_multiple_of(4);
                depth += 1;
            }
            END_NODE => {
                depth -= 1;
                if let Some(start) = found.filter(|_| depth == 1) {
                    return Some(start..at);
                }
            }
            PROP => at = (at + 8 + word(tree, at) as usize).next_multiple_of(4),
            END => return None,
            _ => {}
        }
    }
}

/// Takes the node out.
fn blank(tree: &mut [u8], name: &str) -> Result<(), Failure> {
    let place = node(tree, name).ok_or_else(|| format!("QEMU's own tree has no {name}"))?;
    let tokens = tree.get_mut(place).unwrap_or_default();
    tokens
        .chunks_exact_mut(4)
        .for_each(|token| token.copy_from_slice(&NOP));
    Ok(())
}

/// Gives the root's property of one cell another value.
fn set(tree: &mut [u8], property: &str, value: u32) -> Result<(), Failure> {
    let strings = word(tree, 12) as usize;
    // The root's token and its empty name.
    let mut at = word(tree, 8) as usize + 8;
    while word(tree, at) == PROP {
        let (length, name) = (word(tree, at + 4) as usize, word(tree, at + 8) as usize);
        let name = tree.get(strings + name..).unwrap_or_default();
        let is_it = name.strip_prefix(property.as_bytes());
        if length == 4 && is_it.is_some_and(|rest| rest.first() == Some(&0)) {
            put(tree, at + 12, value);
            return Ok(());
        }
        at = (at + 12 + length).next_multiple_of(4);
    }
    Err(format!("QEMU's own tree has no {property}").into())
}

/// Flips one to eight bits (SplitMix64).
fn flip(tree: &mut [u8], seed: u64) {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) as usize
    };
    for _ in 0..=next() % 8 {
        let (at, bit) = (next() % tree.len().max(1), next() % 8);
        if let Some(byte) = tree.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }
}
