//! The trees that boards really hand over: virt's as QEMU makes it, the Pis' and the Pine64's as Debian's kernel
//! packages carry them. What the reader says is held against `dtoolkit`, which was written by others, and against the
//! facts of the boards.

use std::println;
use std::string::{String, ToString};
use std::vec::Vec;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};

use super::read_everything::read_everything;
use super::test_trees::{qemu_board, qemu_virt, real};
use super::*;
use crate::irq;

const PI3: &str = "bcm2837-rpi-3-b.dtb";
const PI4: &str = "bcm2711-rpi-4-b.dtb";
const PINE64: &str = "sun50i-a64-pine64-plus.dtb";

/// Every node and property, and every `reg` that can be followed through `ranges`, as both readers see them.
fn agrees_with_oracle(bytes: &[u8]) {
    let tree = Tree::new(bytes).unwrap();
    let oracle = Fdt::new(bytes).unwrap();
    let nodes = compare(tree.root(), oracle.root(), &mut Vec::new());
    assert_eq!(nodes, read_everything(&tree));
    let theirs: Vec<_> = oracle
        .memory_reservations()
        .map(|entry| (entry.address(), entry.size()))
        .collect();
    let ours: Vec<_> = tree
        .reserved()
        .take(theirs.len())
        .map(|entry| entry.unwrap().region)
        .map(|region| (region.address, region.size))
        .collect();
    assert_eq!(ours, theirs);
}

fn compare<'a>(ours: Node<'a>, theirs: FdtNode<'a>, above: &mut Vec<FdtNode<'a>>) -> usize {
    let property = |name: &str, value: &[u8]| (String::from(name), value.to_vec());
    let mine: Vec<_> = ours
        .properties()
        .map(|it| property(it.name, it.value))
        .collect();
    let other: Vec<_> = theirs
        .properties()
        .map(|it| property(it.name(), it.value()))
        .collect();
    assert_eq!(mine, other, "{ours}");
    compare_regions(ours, theirs, above);
    let mut nodes = 1;
    let mut children = ours.children();
    above.push(theirs);
    for their_child in theirs.children() {
        let child = children.next().unwrap();
        assert_eq!(child.name(), their_child.name());
        assert_eq!(child.parent(), Some(ours));
        nodes += compare(child, their_child, above);
    }
    above.pop();
    assert_eq!(children.next(), None, "{ours}");
    nodes
}

/// Translates with the oracle's own `reg` and `ranges`, level by level.
fn compare_regions<'a>(ours: Node<'a>, theirs: FdtNode<'a>, above: &[FdtNode<'a>]) {
    let Ok(Some(regs)) = theirs.reg() else { return };
    let mut mine = ours.regions().unwrap();
    for reg in regs {
        let mine = mine.next().unwrap();
        let (Ok(address), Ok(size)) = (reg.address::<u64>(), reg.size::<u64>()) else {
            assert!(mine.is_err(), "{ours}");
            continue;
        };
        let translated = above
            .iter()
            .rev()
            .take(above.len().saturating_sub(1))
            .try_fold(address, |address, bus| {
                let mut ranges = bus.ranges().ok()??.peekable();
                if ranges.peek().is_none() {
                    return Some(address);
                }
                ranges.find_map(|range| {
                    let from = range.child_bus_address::<u64>().ok()?;
                    let offset = address.checked_sub(from)?;
                    let inside = offset < range.length::<u64>().ok()?;
                    inside.then_some(range.parent_bus_address::<u64>().ok()? + offset)
                })
            });
        let mine = mine.ok().map(|region| (region.address, region.size));
        assert_eq!(mine, translated.map(|address| (address, size)), "{ours}");
    }
    assert!(mine.next().is_none(), "{ours}");
}

fn virt(machine: &str, cpus: u32) -> Option<Vec<u8>> {
    let bytes = qemu_virt(machine, cpus);
    if bytes.is_none() {
        println!("skipped: no QEMU");
    }
    bytes
}

fn interrupt(tree: &Tree<'_>, path: &str, index: usize) -> (String, Vec<u32>) {
    let interrupt = tree.find(path).unwrap().interrupt(index).unwrap();
    let controller = interrupt.controller.string("compatible").unwrap();
    (controller.to_string(), interrupt.specifier().to_vec())
}

fn region(tree: &Tree<'_>, path: &str, index: usize) -> (u64, u64) {
    let region = tree.find(path).unwrap().region(index).unwrap();
    (region.address, region.size)
}

#[test]
fn all_trees_agree_with_the_oracle() {
    let machines = [
        "virt",
        "virt,gic-version=3",
        "virt,virtualization=on,secure=on",
    ];
    let dumped = machines.iter().filter_map(|machine| virt(machine, 4));
    let stored = [PI3, PI4, PINE64].into_iter().filter_map(real);
    for bytes in dumped.chain(stored) {
        agrees_with_oracle(&bytes);
    }
    agrees_with_oracle(&super::test_trees::board());
}

#[test]
fn virt_tree_says_what_the_machine_has() {
    let Some(bytes) = virt("virt", 4) else { return };
    let tree = Tree::new(&bytes).unwrap();
    let stdout = tree.stdout().unwrap();
    assert!(stdout.node.is_compatible("arm,pl011"));
    assert_eq!(stdout.options, "");
    assert_eq!(region(&tree, "/pl011", 0), (0x0900_0000, 0x1000));
    let gic = "arm,cortex-a15-gic".to_string();
    assert_eq!(
        interrupt(&tree, "/pl011", 0),
        (gic.clone(), [0, 1, 4].to_vec())
    );
    assert_eq!(interrupt(&tree, "/timer", 2).1[..2], [1, 11]);
    assert_eq!(region(&tree, "/intc", 1), (0x0801_0000, 0x1_0000));
    let memory: Vec<_> = tree.memory().map(Result::unwrap).collect();
    assert_eq!(
        memory,
        [Region {
            address: 0x4000_0000,
            size: 512 << 20
        }]
    );
    assert_eq!(tree.reserved().count(), 0);
    let cpus: Vec<_> = tree.cpus().map(Result::unwrap).collect();
    assert_eq!(cpus.len(), 4);
    assert!(
        cpus.iter()
            .all(|cpu| cpu.enable_method == EnableMethod::Psci)
    );
    assert_eq!(cpus[3].mpidr, 3);
    let chosen = tree.chosen().unwrap();
    assert_eq!(chosen.rng_seed().len(), 32);
    assert!(chosen.kaslr_seed().is_some());
    assert_eq!(tree.find("/psci").unwrap().string("method"), Some("hvc"));
}

#[test]
fn virt_tree_with_gicv3_has_distributor_and_redistributors() {
    let Some(bytes) = virt("virt,gic-version=3", 1) else {
        return;
    };
    let tree = Tree::new(&bytes).unwrap();
    assert!(tree.compatible(&["arm,gic-v3"]).next().is_some());
    assert_eq!(region(&tree, "/intc", 0), (0x0800_0000, 0x1_0000));
    assert_eq!(region(&tree, "/intc", 1), (0x080a_0000, 0xf6_0000));
    let cpu = tree.cpus().next().unwrap().unwrap();
    assert_eq!(cpu.enable_method, EnableMethod::None);
}

#[test]
fn pi3_tree_says_what_the_board_has() {
    let Some(bytes) = real(PI3) else { return };
    let tree = Tree::new(&bytes).unwrap();
    let stdout = tree.stdout().unwrap();
    assert!(stdout.node.is_compatible("brcm,bcm2835-aux-uart"));
    assert_eq!(stdout.baud(), Some(115_200));
    assert_eq!(stdout.node.region(0).unwrap().address, 0x3f21_5040);
    assert_eq!(region(&tree, "/soc/serial@7e201000", 0).0, 0x3f20_1000);
    let legacy = "brcm,bcm2836-armctrl-ic".to_string();
    assert_eq!(
        interrupt(&tree, "/soc/serial@7e201000", 0),
        (legacy, [2, 25].to_vec())
    );
    let line = |path, index| {
        let device = tree.find(path).unwrap();
        irq::line(&device.interrupt(index).unwrap()).map(|(line, _)| line)
    };
    assert_eq!(line("/soc/serial@7e201000", 0), Ok(irq::Line(32 + 64 + 25)));
    assert_eq!(line("/timer", 2), Ok(irq::Line(16 + 3)));
    let local = tree.compatible(&["brcm,bcm2836-l1-intc"]).next().unwrap();
    assert_eq!(local.region(0).unwrap().address, 0x4000_0000);
    let cpus: Vec<_> = tree.cpus().map(Result::unwrap).collect();
    let release = [0xd8, 0xe0, 0xe8, 0xf0];
    for (cpu, release) in cpus.iter().zip(release) {
        assert_eq!(cpu.enable_method, EnableMethod::SpinTable { release });
    }
    assert_eq!(cpus.len(), 4);
}

#[test]
fn pi4_tree_says_what_the_board_has() {
    let Some(bytes) = real(PI4) else { return };
    let tree = Tree::new(&bytes).unwrap();
    assert_eq!(region(&tree, "/soc/serial@7e201000", 0).0, 0xfe20_1000);
    let (controller, specifier) = interrupt(&tree, "/soc/serial@7e201000", 0);
    assert_eq!((controller.as_str(), specifier[1]), ("arm,gic-400", 121));
    let gic = tree.compatible(&["arm,gic-400"]).next().unwrap();
    assert_eq!(gic.region(0).unwrap().address, 0xff84_1000);
    assert_eq!(gic.region(1).unwrap().address, 0xff84_2000);
    assert_eq!(tree.stdout().unwrap().baud(), Some(115_200));
    // The file has no size; the firmware fills it in.
    assert_eq!(tree.memory().count(), 0);
    assert_eq!(tree.cpus().filter(Result::is_ok).count(), 4);
}

#[test]
fn pine64_tree_says_what_the_board_has() {
    let Some(bytes) = real(PINE64) else { return };
    let tree = Tree::new(&bytes).unwrap();
    let stdout = tree.stdout().unwrap();
    assert!(stdout.node.is_compatible("snps,dw-apb-uart"));
    assert_eq!(stdout.node.region(0).unwrap().address, 0x01c2_8000);
    assert_eq!(stdout.node.u32("reg-shift"), Ok(Some(2)));
    let (controller, specifier) = interrupt(&tree, "serial0", 0);
    assert_eq!(
        (controller.as_str(), specifier),
        ("arm,gic-400", [0, 0, 4].to_vec())
    );
    assert_eq!(tree.memory().count(), 0);
    let cpus: Vec<_> = tree.cpus().map(Result::unwrap).collect();
    assert_eq!(cpus.len(), 4);
    assert!(
        cpus.iter()
            .all(|cpu| cpu.enable_method == EnableMethod::Psci)
    );
    assert_eq!(tree.find("/psci").unwrap().string("method"), Some("smc"));
}

/// QEMU deletes nodes in place, which leaves NOP tokens.
#[test]
fn pi_trees_as_qemu_edits_them_agree_with_the_oracle() {
    for (machine, name) in [("raspi3b", PI3), ("raspi4b", PI4)] {
        let Some(bytes) = qemu_board(machine, name) else {
            println!("skipped: no QEMU, or no {name}");
            continue;
        };
        agrees_with_oracle(&bytes);
        let tree = Tree::new(&bytes).unwrap();
        let memory: Vec<_> = tree.memory().map(Result::unwrap).collect();
        assert_eq!(
            memory,
            [Region {
                address: 0,
                size: 0x3c00_0000
            }]
        );
        assert_eq!(tree.reserved().count(), 1);
    }
}
