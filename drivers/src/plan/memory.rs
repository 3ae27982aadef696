//! Which RAM there is by the tree, and what of it is taken before the kernel has it.

use core::fmt;
use core::ops::Range;

use super::{Full, PHYSICAL_END, RangeSet};
use crate::dt::{EnableMethod, Error, Tree};

/// RAM is mapped, and so used, in blocks of so many bytes.
pub const BLOCK: usize = 2 << 20;

const PAGE: usize = 4096;

/// Why the memory is not enough, or not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMemory {
    /// The tree makes no sense.
    Tree(Error),
    /// It is in more pieces than a [`RangeSet`] can hold.
    Scattered,
    /// So many bytes are too few.
    Little(usize),
    /// The kernel runs at this address, and no memory is said to be there: what is said of the rest is not to be believed either.
    Elsewhere(usize),
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoMemory::Tree(error) => write!(f, "memory in the device tree: {error}"),
            NoMemory::Scattered => f.write_str("memory is in too many pieces"),
            NoMemory::Little(bytes) => {
                write!(f, "{} KiB of memory are free, too little", bytes / 1024)
            }
            NoMemory::Elsewhere(at) => {
                write!(
                    f,
                    "the device tree has no memory at {at:#x}, where the kernel is"
                )
            }
        }
    }
}

impl From<Full> for NoMemory {
    fn from(_: Full) -> Self {
        NoMemory::Scattered
    }
}

/// Why there is no initial RAM disk, though the loader tells of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoInitrd {
    /// The tree makes no sense.
    Tree(Error),
    /// It does not lie in RAM.
    NotRam(Range<usize>),
    /// It lies where the kernel, the tree or the words of parked CPUs are.
    Overlaps(Range<usize>),
}

impl fmt::Display for NoInitrd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoInitrd::Tree(error) => error.fmt(f),
            NoInitrd::NotRam(Range { start, end }) => {
                write!(f, "{start:#x} to {end:#x} is not RAM")
            }
            NoInitrd::Overlaps(Range { start, end }) => {
                write!(f, "something else is in {start:#x} to {end:#x}")
            }
        }
    }
}

/// The RAM that a kernel may map.
#[derive(Clone, Debug)]
pub struct Banks {
    /// Whole blocks of it, without what must not even be mapped.
    pub ranges: RangeSet,
    /// There is more, beyond what the kernel's maps reach.
    pub beyond: bool,
}

/// The RAM that the tree tells of. Errors: it makes no sense, or is in too many pieces.
pub fn banks(tree: &Tree<'_>) -> Result<Banks, NoMemory> {
    let mut ranges = RangeSet::new();
    let mut beyond = false;
    for bank in tree.memory() {
        let bank = bank.map_err(NoMemory::Tree)?;
        beyond |= bank.end() > PHYSICAL_END;
        ranges.add(address(bank.address), address(bank.end()))?;
    }
    for reserved in tree.reserved() {
        let reserved = reserved.map_err(NoMemory::Tree)?;
        if reserved.no_map {
            let region = reserved.region;
            ranges.remove(address(region.address), address(region.end()))?;
        }
    }
    // What does not fill a block is not used.
    let ranges = ranges.whole(BLOCK);
    Ok(Banks { ranges, beyond })
}

/// Cut at the end of what the kernel's maps reach.
fn address(address: u64) -> usize {
    address.min(PHYSICAL_END) as usize
}

/// What the loader has put into RAM besides what the tree tells of. Physical.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The kernel.
    pub image: Range<usize>,
    /// The tree, as long as it says it is.
    pub tree: Range<usize>,
    /// The end of what means something of the tree.
    pub tree_end: usize,
}

/// How RAM is shared out.
#[derive(Clone, Debug)]
pub struct Shares {
    /// What nobody has.
    pub free: RangeSet,
    /// The initial RAM disk, if there is one.
    pub initrd: Result<Option<Range<usize>>, NoInitrd>,
    /// Of the initial RAM disk: what is free once it is not used any more.
    pub after_initrd: Range<usize>,
    /// Of the tree: what is free once it is not used any more.
    pub after_tree: Range<usize>,
}

/// Shares out `ram`, which is of [`banks`]. Errors as there.
pub fn share_out(tree: &Tree<'_>, ram: &RangeSet, loaded: &Loaded) -> Result<Shares, NoMemory> {
    if ram.bytes() == 0 {
        return Err(NoMemory::Little(0));
    }
    let image = &loaded.image;
    if !image.is_empty() && !ram.iter().any(|ram| within(image, &ram)) {
        return Err(NoMemory::Elsewhere(image.start));
    }
    let mut free = ram.clone();
    for taken in taken(tree, loaded) {
        remove(&mut free, &taken)?;
    }
    let initrd = find_initrd(tree, ram, loaded);
    let mut after_initrd = 0..0;
    if let Ok(Some(initrd)) = &initrd {
        remove(&mut free, initrd)?;
        after_initrd = initrd.clone();
    }
    for reserved in tree.reserved() {
        let region = reserved.map_err(NoMemory::Tree)?.region;
        let region = address(region.address)..address(region.end());
        remove(&mut free, &region)?;
        // A loader may reserve the initial RAM disk itself; what reaches beyond it is something else's.
        if overlap(&region, &after_initrd) && !within(&region, &after_initrd) {
            after_initrd = 0..0;
        }
    }
    let after_tree = after_tree(tree, ram, loaded, &initrd);
    Ok(Shares {
        free,
        initrd,
        after_initrd,
        after_tree,
    })
}

/// What is in RAM by other words than the tree's reservations: the kernel, the tree, the words on which parked CPUs wait, and the
/// first page, where they are on boards that do not say so.
fn taken<'a>(tree: &Tree<'a>, loaded: &Loaded) -> impl Iterator<Item = Range<usize>> + use<'a> {
    let words = tree
        .cpus()
        .flatten()
        .filter_map(|cpu| match cpu.enable_method {
            EnableMethod::SpinTable { release } => Some(address(release)),
            _ => None,
        });
    let words = words.map(|word| word..word + 8);
    [loaded.image.clone(), loaded.tree.clone(), 0..PAGE]
        .into_iter()
        .chain(words)
}

/// The part of the tree that means nothing, if it is RAM and nothing else's.
fn after_tree(
    tree: &Tree<'_>,
    ram: &RangeSet,
    loaded: &Loaded,
    initrd: &Result<Option<Range<usize>>, NoInitrd>,
) -> Range<usize> {
    let rest = loaded.tree_end..loaded.tree.end;
    let others = tree.reserved().flatten().any(|reserved| {
        let region = reserved.region;
        let region = address(region.address)..address(region.end());
        overlap(&region, &rest) && !within(&region, &loaded.tree)
    });
    let initrd = initrd.as_ref().ok().and_then(Option::as_ref);
    let taken = others
        || overlap(&loaded.image, &rest)
        || initrd.is_some_and(|initrd| overlap(initrd, &rest));
    if taken || !ram.iter().any(|ram| within(&rest, &ram)) {
        return 0..0;
    }
    rest
}

/// The initial RAM disk: it lies in RAM, and only the tree's reservations may lie there too.
fn find_initrd(
    tree: &Tree<'_>,
    ram: &RangeSet,
    loaded: &Loaded,
) -> Result<Option<Range<usize>>, NoInitrd> {
    let region = tree.chosen().map_or(Ok(None), |chosen| chosen.initrd());
    let Some(region) = region.map_err(NoInitrd::Tree)? else {
        return Ok(None);
    };
    let range = region.address as usize..region.end() as usize;
    if !ram.iter().any(|ram| within(&range, &ram)) {
        return Err(NoInitrd::NotRam(range));
    }
    if taken(tree, loaded).any(|taken| overlap(&taken, &range)) {
        return Err(NoInitrd::Overlaps(range));
    }
    Ok(Some(range))
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start.max(other.start) < one.end.min(other.end)
}

/// Takes out all pages of which the range has a byte.
fn remove(set: &mut RangeSet, range: &Range<usize>) -> Result<(), Full> {
    if range.is_empty() {
        return Ok(());
    }
    let end = range.end.checked_next_multiple_of(PAGE);
    set.remove(range.start & !(PAGE - 1), end.unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::dt::test_trees::build;

    const MIB: usize = 1 << 20;

    /// 64 MiB from 1 GiB, a RAM disk at 16 MiB of it, and those reservations.
    fn tree(initrd: Range<u32>, reserved: &[(u32, u32)]) -> Vec<u8> {
        build(|tree| {
            let root = tree.begin_node("")?;
            tree.property_u32("#address-cells", 1)?;
            tree.property_u32("#size-cells", 1)?;
            let memory = tree.begin_node("memory@40000000")?;
            tree.property_array_u32("reg", &[0x4000_0000, 64 << 20])?;
            tree.end_node(memory)?;
            let chosen = tree.begin_node("chosen")?;
            tree.property_u32("linux,initrd-start", initrd.start)?;
            tree.property_u32("linux,initrd-end", initrd.end)?;
            tree.end_node(chosen)?;
            let all = tree.begin_node("reserved-memory")?;
            tree.property_u32("#address-cells", 1)?;
            tree.property_u32("#size-cells", 1)?;
            tree.property_null("ranges")?;
            for &(start, size) in reserved {
                let node = tree.begin_node(&std::format!("kept@{start:x}"))?;
                tree.property_array_u32("reg", &[start, size])?;
                tree.end_node(node)?;
            }
            tree.end_node(all)?;
            tree.end_node(root)
        })
    }

    fn shares(bytes: &[u8]) -> Shares {
        let tree = Tree::new(bytes).unwrap();
        let ram = banks(&tree).unwrap().ranges;
        let loaded = Loaded {
            image: 0x4020_0000..0x4034_0000,
            tree: 0x4200_0000..0x4210_0000,
            tree_end: 0x4200_1000,
        };
        share_out(&tree, &ram, &loaded).unwrap()
    }

    const INITRD: Range<u32> = 0x4100_0000..0x4100_3456;

    #[test]
    fn free_is_what_nobody_has() {
        let shares = shares(&tree(INITRD, &[(0x4300_0010, 16)]));
        let free: Vec<_> = shares.free.iter().collect();
        let expected = [
            0x4000_0000..0x4020_0000,
            0x4034_0000..0x4100_0000,
            0x4100_4000..0x4200_0000,
            0x4210_0000..0x4300_0000,
            0x4300_1000..0x4400_0000,
        ];
        assert_eq!(free, expected);
        assert_eq!(shares.initrd, Ok(Some(0x4100_0000..0x4100_3456)));
        assert_eq!(shares.after_initrd, 0x4100_0000..0x4100_3456);
        assert_eq!(shares.after_tree, 0x4200_1000..0x4210_0000);
    }

    #[test]
    fn memory_that_the_kernel_is_not_in_is_not_believed() {
        let bytes = tree(INITRD, &[]);
        let tree = Tree::new(&bytes).unwrap();
        let ram = banks(&tree).unwrap().ranges;
        for start in [0x0020_0000, 0x43f0_0000, 0x8020_0000] {
            let loaded = Loaded {
                image: start..start + 0x14_0000,
                tree: 0..0,
                tree_end: 0,
            };
            let refused = share_out(&tree, &ram, &loaded).err();
            assert_eq!(refused, Some(NoMemory::Elsewhere(start)));
        }
    }

    #[test]
    fn initrd_over_kernel_or_tree_is_refused() {
        for start in [0x401f_f000_u32, 0x4030_0000, 0x4200_0800, 0x420f_f000] {
            let range = start as usize..start as usize + 2 * 4096;
            let shares = shares(&tree(start..start + 2 * 4096, &[]));
            assert_eq!(shares.initrd, Err(NoInitrd::Overlaps(range)));
            assert!(shares.after_initrd.is_empty());
        }
        let shares = shares(&tree(0x4100_0000..0x4500_0000, &[]));
        let beyond = 0x4100_0000..0x4500_0000;
        assert_eq!(shares.initrd, Err(NoInitrd::NotRam(beyond)));
    }

    #[test]
    fn initrd_that_the_loader_reserved_is_free_afterwards_and_one_in_a_reservation_is_not() {
        let own = shares(&tree(INITRD, &[(INITRD.start, 0x3456)]));
        assert_eq!(own.after_initrd.len(), 0x3456);
        let others = shares(&tree(INITRD, &[(INITRD.start + 0x2000, 2 << 20)]));
        assert!(others.initrd.is_ok() && others.after_initrd.is_empty());
    }

    #[test]
    fn room_behind_the_tree_is_kept_where_something_else_is_in_it() {
        let reserved = shares(&tree(INITRD, &[(0x4208_0000, 1 << 20)]));
        assert!(reserved.after_tree.is_empty());
        let own = shares(&tree(INITRD, &[(0x4200_0000, 1 << 20)]));
        assert_eq!(own.after_tree.len(), MIB - 0x1000);
    }
}
