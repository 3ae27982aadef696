//! Where memory is and which of it is taken (Devicetree Specification 3.4, 3.5, 5.3).

use super::Tree;
use super::address::{Region, Regions};
use super::error::Error;
use super::node::Node;

/// Memory that is not the kernel's to give away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Which.
    pub region: Region,
    /// Not even to be mapped: `no-map`.
    pub no_map: bool,
}

impl<'a> Tree<'a> {
    /// The banks of memory, those of size 0 left out. A bank that makes no sense is an error in its place.
    pub fn memory(&self) -> impl Iterator<Item = Result<Region, Error>> + use<'a> {
        self.root()
            .children()
            .filter(|node| is_memory(node) && node.is_okay())
            .flat_map(|node| entries(node.regions()))
            .filter(|bank| !matches!(bank, Ok(Region { size: 0, .. })))
    }

    /// What must not be given away: the entries of the memory reservation block, and the children of `/reserved-memory`
    /// that stand at fixed addresses. Those that ask for a place anywhere have none and are left out. The tree itself,
    /// the kernel and the initial RAM disk need not be among them: their owner reserves them.
    pub fn reserved(&self) -> impl Iterator<Item = Result<Reserved, Error>> + use<'a> {
        let nodes = self
            .root()
            .child("reserved-memory")
            .into_iter()
            .flat_map(|node| node.children())
            .filter(Node::is_okay)
            .flat_map(|node| {
                let no_map = node.property("no-map").is_some();
                entries(node.regions())
                    .map(move |region| region.map(|region| Reserved { region, no_map }))
            });
        self.reservation_block().map(Ok).chain(nodes)
    }

    /// The memory reservation block, read by crate `fdt`. [`Tree::new`] has checked what that relies upon: that the
    /// offset lies within the tree and that a terminating entry comes before its end. Entries that wrap are cut at the
    /// end of the address space.
    fn reservation_block(&self) -> impl Iterator<Item = Reserved> + use<'a> {
        let entries = fdt::Fdt::new(self.whole)
            .ok()
            .map(|tree| tree.memory_reservations());
        entries.into_iter().flatten().map(|entry| {
            let address = entry.address().addr() as u64;
            let room = u64::MAX - address;
            Reserved {
                region: Region {
                    address,
                    size: (entry.size() as u64).min(room),
                },
                no_map: false,
            }
        })
    }
}

/// `device_type` says so; a node without one is taken by its name, as trees written by hand have it.
fn is_memory(node: &Node<'_>) -> bool {
    match node.string("device_type") {
        Some(kind) => kind == "memory",
        None => node.base_name() == "memory",
    }
}

/// The entries, or the one error that stands for them.
fn entries(
    regions: Result<Regions<'_>, Error>,
) -> impl Iterator<Item = Result<Region, Error>> + use<'_> {
    let (regions, error) = match regions {
        Ok(regions) => (Some(regions), None),
        Err(error) => (None, Some(Err(error))),
    };
    regions.into_iter().flatten().chain(error)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::test_trees::{board, build};
    use super::*;

    #[test]
    fn memory_gives_the_banks_without_the_empty_one() {
        let bytes = board();
        let banks: Vec<_> = Tree::new(&bytes).unwrap().memory().collect();
        assert_eq!(
            banks,
            [
                Ok(Region::new(0, 0x3c00_0000).unwrap()),
                Ok(Region::new(0x1_0000_0000, 0x8000_0000).unwrap())
            ]
        );
    }

    #[test]
    fn reserved_gives_the_block_and_the_nodes_at_fixed_places() {
        let bytes = board();
        let reserved: Vec<_> = Tree::new(&bytes)
            .unwrap()
            .reserved()
            .map(Result::unwrap)
            .collect();
        let spin_table = Reserved {
            region: Region::new(0, 0x1000).unwrap(),
            no_map: false,
        };
        let firmware = Reserved {
            region: Region::new(0x3b00_0000, 0x10_0000).unwrap(),
            no_map: true,
        };
        assert_eq!(reserved, [spin_table, firmware]);
    }

    #[test]
    fn memory_in_several_nodes_is_found_and_a_broken_one_reported() {
        let bytes = build(|tree| {
            let root = tree.begin_node("")?;
            for (name, reg) in [
                ("memory@0", [0, 0, 4096].as_slice()),
                ("memory@1000", &[0, 1]),
                ("memory@2000", &[0, 0x2000, 4096]),
            ] {
                let node = tree.begin_node(name)?;
                tree.property_array_u32("reg", reg)?;
                tree.end_node(node)?;
            }
            tree.end_node(root)
        });
        let banks: Vec<_> = Tree::new(&bytes).unwrap().memory().collect();
        assert_eq!(
            banks,
            [
                Ok(Region::new(0, 4096).unwrap()),
                Err(Error::BadProperty("reg")),
                Ok(Region::new(0x2000, 4096).unwrap())
            ]
        );
    }
}
