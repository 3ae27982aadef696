//! `/cpus`: which CPUs there are and how each is started (Devicetree Specification 3.7, 3.8; bindings/arm/cpus.yaml).

use super::Tree;
use super::error::Error;
use super::node::Node;

/// How a CPU that is not running is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnableMethod<'a> {
    /// The tree says nothing: the boot CPU of a machine with one.
    None,
    /// By a call to the firmware: PSCI's CPU_ON.
    Psci,
    /// By writing the entry address to `release` (physical, 8 bytes) and sending an event.
    SpinTable {
        /// Physical address of the 64-bit word.
        release: u64,
    },
    /// By something that is not known here.
    Other(&'a str),
}

/// One CPU.
#[derive(Clone, Copy, Debug)]
pub struct Cpu<'a> {
    /// Its affinity, MPIDR_EL1 bits 39:32 and 23:0 (Arm ARM D19.2.103).
    pub mpidr: u64,
    /// How it is started.
    pub enable_method: EnableMethod<'a>,
    /// Its node.
    pub node: Node<'a>,
}

impl<'a> Cpu<'a> {
    fn read(node: Node<'a>) -> Result<Self, Error> {
        let mut numbers = node.bus_regions()?;
        let number = numbers.next().ok_or(Error::Missing("reg"))??;
        Ok(Cpu {
            mpidr: number.address,
            enable_method: enable_method(&node)?,
            node,
        })
    }
}

fn enable_method<'a>(node: &Node<'a>) -> Result<EnableMethod<'a>, Error> {
    match node.string("enable-method") {
        None => Ok(EnableMethod::None),
        Some("psci") => Ok(EnableMethod::Psci),
        Some("spin-table") => {
            let name = "cpu-release-addr";
            let release = node.u64(name)?.ok_or(Error::Missing(name))?;
            Ok(EnableMethod::SpinTable { release })
        }
        Some(other) => Ok(EnableMethod::Other(other)),
    }
}

impl<'a> Tree<'a> {
    /// The CPUs, in the tree's order, those whose `status` says that they failed left out: `disabled` means only that a
    /// CPU waits to be started. One that makes no sense is an error in its place.
    pub fn cpus(&self) -> impl Iterator<Item = Result<Cpu<'a>, Error>> + use<'a> {
        self.root()
            .child("cpus")
            .into_iter()
            .flat_map(|node| node.children())
            .filter(|node| is_cpu(node) && !has_failed(node))
            .map(Cpu::read)
    }
}

fn is_cpu(node: &Node<'_>) -> bool {
    match node.string("device_type") {
        Some(kind) => kind == "cpu",
        None => node.base_name() == "cpu",
    }
}

fn has_failed(node: &Node<'_>) -> bool {
    node.string("status")
        .is_some_and(|status| status.starts_with("fail"))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::test_trees::{board, build};
    use super::*;

    #[test]
    fn cpus_say_how_each_is_started_and_the_failed_is_left_out() {
        let bytes = board();
        let cpus: Vec<_> = Tree::new(&bytes)
            .unwrap()
            .cpus()
            .map(|cpu| cpu.map(|cpu| (cpu.mpidr, cpu.enable_method)))
            .collect();
        assert_eq!(
            cpus,
            [
                Ok((0, EnableMethod::SpinTable { release: 0xd8 })),
                Ok((1, EnableMethod::Psci))
            ]
        );
    }

    #[test]
    fn cpu_number_of_two_cells_is_read_whole() {
        let bytes = build(|tree| {
            let root = tree.begin_node("")?;
            let cpus = tree.begin_node("cpus")?;
            tree.property_u32("#address-cells", 2)?;
            tree.property_u32("#size-cells", 0)?;
            let cpu = tree.begin_node("cpu@100000203")?;
            tree.property_array_u32("reg", &[1, 0x203])?;
            tree.property_string("enable-method", "magic")?;
            tree.end_node(cpu)?;
            let cpu = tree.begin_node("cpu@4")?;
            tree.property_string("enable-method", "spin-table")?;
            tree.property_array_u32("reg", &[0, 4])?;
            tree.end_node(cpu)?;
            tree.end_node(cpus)?;
            tree.end_node(root)
        });
        let cpus: Vec<_> = Tree::new(&bytes).unwrap().cpus().collect();
        let first = cpus[0].unwrap();
        assert_eq!(first.mpidr, 0x1_0000_0203);
        assert_eq!(first.enable_method, EnableMethod::Other("magic"));
        assert_eq!(cpus[1].err(), Some(Error::Missing("cpu-release-addr")));
    }
}
