//! Asks a tree everything that can be asked: what tests and the fuzz target do to hostile trees.

use std::format;

use halyard_drivers::dt::{Node, Tree};
use halyard_drivers::irq;
use halyard_drivers::irq::gic_line;
use halyard_drivers::psci::Psci;

/// Calls everything there is on every node, and counts the nodes.
pub(crate) fn read_everything(tree: &Tree<'_>) -> usize {
    let mut nodes = 0;
    for node in tree.nodes() {
        nodes += 1;
        read_node(&node);
        if let Some(phandle) = node.property("phandle").filter(|value| value.len() == 4) {
            let phandle = phandle
                .iter()
                .fold(0, |sum, &byte| sum << 8 | u32::from(byte));
            let _ = tree.phandle(phandle);
        }
    }
    let _ = tree
        .memory()
        .chain(tree.reserved().map(|it| it.map(|it| it.region)))
        .count();
    let _ = tree.cpus().count();
    let _ = tree.stdout().map(|stdout| stdout.baud());
    let _ = tree.compatible(&["arm,pl011", "arm,gic-400"]).count();
    let _ = tree.find("serial0:115200").map(|node| format!("{node:?}"));
    if let Some(chosen) = tree.chosen() {
        let _ = (
            chosen.bootargs(),
            chosen.initrd(),
            chosen.kaslr_seed(),
            chosen.rng_seed(),
        );
    }
    let _ = (tree.model(), Psci::find(tree));
    nodes
}

fn read_node(node: &Node<'_>) {
    let _ = (node.name(), node.is_okay(), format!("{node}"));
    let _ = node
        .properties()
        .map(|property| property.name.len())
        .sum::<usize>();
    for regions in [node.regions(), node.bus_regions()].into_iter().flatten() {
        let _ = regions.count();
    }
    if let Ok(interrupts) = node.interrupts() {
        for interrupt in interrupts.flatten() {
            let _ = (gic_line(&interrupt), irq::line(&interrupt));
        }
    }
    let _ = (node.interrupt_index("far"), node.children().count());
}
