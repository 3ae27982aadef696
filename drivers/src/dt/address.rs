//! `reg` as the CPU sees it: cells of any parent, translated through every `ranges` above (Devicetree Specification
//! 2.3.5 to 2.3.8).

use super::cells::Cells;
use super::error::Error;
use super::node::Node;

/// A range of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub address: u64,
    /// Bytes; `address + size` does not wrap.
    pub size: u64,
}

impl Region {
    /// A region, if it does not wrap.
    #[must_use]
    pub fn new(address: u64, size: u64) -> Option<Self> {
        address.checked_add(size)?;
        Some(Region { address, size })
    }

    /// First byte beyond.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.size)
    }
}

/// How many cells the addresses and sizes of a node's children have. The specification allows addresses and sizes
/// beyond 64 bits; here they are an error where their value needs them.
#[derive(Clone, Copy)]
pub(super) struct CellCounts {
    pub(super) address: u32,
    pub(super) size: u32,
}

impl CellCounts {
    /// Those for the children of `node`; 2 and 1 where it does not say (Devicetree Specification 2.3.5).
    pub(super) fn of_children(node: &Node<'_>) -> Result<Self, Error> {
        let count = |name, default| match node.u32(name)? {
            None => Ok(default),
            Some(cells) if cells <= 4 => Ok(cells),
            Some(_) => Err(Error::BadProperty(name)),
        };
        Ok(CellCounts {
            address: count("#address-cells", 2)?,
            size: count("#size-cells", 1)?,
        })
    }
}

/// The entries of a `reg`, as CPU addresses.
#[derive(Clone)]
pub struct Regions<'a> {
    node: Node<'a>,
    cells: Cells<'a>,
    counts: CellCounts,
    translate: bool,
}

impl Iterator for Regions<'_> {
    type Item = Result<Region, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cells.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.cells.0 = &[];
        }
        let region = entry.ok_or(Error::BadProperty("reg"));
        Some(if self.translate {
            region.and_then(|region| to_cpu(&self.node, region))
        } else {
            region
        })
    }
}

impl Regions<'_> {
    fn entry(&mut self) -> Option<Region> {
        let address = self.cells.number(self.counts.address)?;
        let size = self.cells.number(self.counts.size)?;
        Region::new(address, size)
    }
}

impl<'a> Node<'a> {
    /// The node's register blocks (or memory) as CPU addresses; none if it has no `reg`. An entry that makes no sense,
    /// or that no `ranges` leads to, is an error in its place.
    pub fn regions(&self) -> Result<Regions<'a>, Error> {
        self.reg_entries(true)
    }

    /// Register block `index` as CPU addresses.
    pub fn region(&self, index: usize) -> Result<Region, Error> {
        self.regions()?
            .nth(index)
            .ok_or(Error::Missing("reg"))
            .flatten()
    }

    /// The entries of `reg` as they stand, on the node's own bus: the numbers of CPUs, I2C devices and the like.
    pub fn bus_regions(&self) -> Result<Regions<'a>, Error> {
        self.reg_entries(false)
    }

    fn reg_entries(&self, translate: bool) -> Result<Regions<'a>, Error> {
        let counts = match self.parent() {
            Some(parent) => CellCounts::of_children(&parent)?,
            None => CellCounts {
                address: 2,
                size: 1,
            },
        };
        let value = self.property("reg").unwrap_or_default();
        if counts.address == 0 && counts.size == 0 && !value.is_empty() {
            return Err(Error::BadProperty("reg"));
        }
        Ok(Regions {
            node: *self,
            cells: Cells(value),
            counts,
            translate,
        })
    }
}

/// `region` on the bus that `node` sits on, as the CPU sees it.
fn to_cpu(node: &Node<'_>, mut region: Region) -> Result<Region, Error> {
    let mut bus = node.parent();
    while let Some(this) = bus {
        let Some(parent) = this.parent() else { break };
        region = through_ranges(&this, &parent, region)?;
        bus = Some(parent);
    }
    Ok(region)
}

/// `region` on bus `bus`, as its parent bus has it. No `ranges` at all: nothing on the bus is memory-mapped. An empty
/// one: one to one.
fn through_ranges(bus: &Node<'_>, parent: &Node<'_>, region: Region) -> Result<Region, Error> {
    let unreachable = Error::Unreachable {
        address: region.address,
    };
    let ranges = bus.property("ranges").ok_or(unreachable)?;
    if ranges.is_empty() {
        return Ok(region);
    }
    let child = CellCounts::of_children(bus)?;
    let above = CellCounts::of_children(parent)?;
    let width = 4 * (child.address + above.address + child.size) as usize;
    if width == 0 || !ranges.len().is_multiple_of(width) {
        return Err(Error::BadProperty("ranges"));
    }
    for entry in ranges.chunks_exact(width) {
        let mut cells = Cells(entry);
        let from = cells.number(child.address);
        // An entry in an address space wider than 64 bits (PCI's first cell is flags) maps nothing that is asked for
        // here.
        let Some(from) = from else { continue };
        let (Some(to), Some(size)) = (cells.number(above.address), cells.number(child.size)) else {
            continue;
        };
        let Some(offset) = region.address.checked_sub(from) else {
            continue;
        };
        if offset < size && region.size <= size - offset {
            let address = to.checked_add(offset);
            return address
                .and_then(|address| Region::new(address, region.size))
                .ok_or(Error::BadProperty("ranges"));
        }
    }
    Err(unreachable)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::Tree;
    use super::super::test_trees::board;
    use super::*;

    fn region(path: &str, index: usize) -> Result<Region, Error> {
        let bytes = board();
        let tree = Tree::new(&bytes).unwrap();
        tree.find(path).unwrap().region(index)
    }

    #[test]
    fn region_below_one_bus_is_translated() {
        let uart = Region::new(0xfe20_1000, 0x200).unwrap();
        assert_eq!(region("serial0", 0), Ok(uart));
    }

    #[test]
    fn region_below_two_buses_is_translated_twice() {
        let device = Region::new(0xfe10_0040, 0x10).unwrap();
        assert_eq!(region("/soc/bus/device@40", 0), Ok(device));
    }

    #[test]
    fn second_region_uses_the_second_range() {
        let interface = Region::new(0xff84_2000, 0x2000).unwrap();
        assert_eq!(region("/soc/interrupt-controller", 1), Ok(interface));
    }

    #[test]
    fn region_outside_all_ranges_is_unreachable() {
        let unreachable = Error::Unreachable { address: 0x1_0000 };
        assert_eq!(region("/soc/bus/device@10000", 0), Err(unreachable));
    }

    #[test]
    fn region_where_there_is_none_is_missing() {
        assert_eq!(region("serial0", 1), Err(Error::Missing("reg")));
        assert_eq!(region("/soc", 0), Err(Error::Missing("reg")));
        assert_eq!(region("/", 0), Err(Error::Missing("reg")));
    }

    #[test]
    fn regions_of_an_odd_length_end_in_an_error() {
        let bytes = super::super::test_trees::build(|tree| {
            let root = tree.begin_node("")?;
            let node = tree.begin_node("a")?;
            tree.property_array_u32("reg", &[0, 1, 2, 3])?;
            tree.end_node(node)?;
            tree.end_node(root)
        });
        let tree = Tree::new(&bytes).unwrap();
        let regions: Vec<_> = tree.find("/a").unwrap().regions().unwrap().collect();
        let good = Region::new(1, 2).unwrap();
        assert_eq!(regions, [Ok(good), Err(Error::BadProperty("reg"))]);
    }

    #[test]
    fn region_that_wraps_is_an_error() {
        let bytes = super::super::test_trees::build(|tree| {
            let root = tree.begin_node("")?;
            let node = tree.begin_node("a")?;
            tree.property_array_u32("reg", &[u32::MAX, u32::MAX, 2])?;
            tree.end_node(node)?;
            tree.end_node(root)
        });
        let tree = Tree::new(&bytes).unwrap();
        let region = tree.find("/a").unwrap().region(0);
        assert_eq!(region, Err(Error::BadProperty("reg")));
    }
}
