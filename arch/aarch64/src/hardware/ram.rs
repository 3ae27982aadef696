//! Which RAM there is, what of it is taken, and the frame pool over the rest.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::AtomicU32;

use alloc::boxed::Box;
use halyard_core::machine::{Frame, PAGE_SIZE};
use halyard_core::mm::FramePool;
use halyard_drivers::dt::{self, EnableMethod, Tree};

use super::console::println;
use super::heap;
use super::kernel_map::{self, DIRECT_MAP, Image, PHYSICAL_END};
use crate::descriptor::BLOCK_2M;
use crate::range_set::{Full, RangeSet};

/// Bytes that must be free at least.
const LEAST: usize = 1 << 20;
/// Frames that programs cannot have, at most.
const RESERVE: usize = 128;

/// Why the memory is not enough, or not understood.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoRam {
    /// The tree makes no sense.
    Tree(dt::Error),
    /// Too many pieces.
    Scattered,
    /// Too little.
    Little(usize),
}

impl fmt::Display for NoRam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoRam::Tree(error) => write!(f, "memory in the device tree: {error}"),
            NoRam::Scattered => f.write_str("memory is in too many pieces"),
            NoRam::Little(bytes) => {
                write!(f, "{} KiB of memory are free, too little", bytes / 1024)
            }
        }
    }
}

impl From<Full> for NoRam {
    fn from(_: Full) -> Self {
        NoRam::Scattered
    }
}

/// What the core is to know of RAM.
pub(crate) struct Ram {
    pub(crate) frames: &'static FramePool,
    /// Bytes that the kernel holds beside the pool: image, tree, the pool's books, the first heap.
    pub(crate) kernel_bytes: usize,
    /// Frames behind what means something in the device tree, to be given to the pool when the tree is not used any more.
    pub(crate) tree_rest: Range<Frame>,
    /// The initial RAM disk: its bytes, and the frames to be given to the pool after.
    pub(crate) initrd: Option<(&'static [u8], Range<Frame>)>,
}

/// Finds and maps all RAM, sets up the heap and the frame pool. `tree_at` is the part of the tree that means something, physical.
pub(crate) fn find(tree: &Tree<'_>, tree_at: Range<usize>, cpus: usize) -> Result<Ram, NoRam> {
    let mut free = RangeSet::new();
    for bank in tree.memory() {
        let bank = bank.map_err(NoRam::Tree)?;
        let (start, end) = (bank.address as usize, bank.end() as usize);
        if end > PHYSICAL_END {
            println!("memory beyond the first 512 GiB is not used");
        }
        free.add(start.min(PHYSICAL_END), end.min(PHYSICAL_END))?;
    }
    reserve_unmapped(tree, &mut free)?;
    // What does not fill a block of the direct map is not used.
    free = free.whole(BLOCK_2M);
    for range in free.clone().iter() {
        if let Err(error) = kernel_map::map_ram(range.start, range.end) {
            println!(
                "memory from {:#x} to {:#x} is not used: {error}",
                range.start, range.end
            );
            free.remove(range.start, range.end)?;
        }
    }
    let initrd = find_initrd(tree, &free);
    reserve(tree, &tree_at, &mut free)?;
    if let Some(initrd) = &initrd {
        free.remove(initrd.start, initrd.end)?;
    }
    let (frames, kernel_bytes) = make_pool(&mut free)?;
    heap::grow_from(frames, cpus);
    let initrd = initrd.map(|initrd| {
        // SAFETY: within RAM that was mapped just now and taken out of what the pool has; the core gives the frames back when it
        // has done with the bytes.
        let bytes = unsafe {
            core::slice::from_raw_parts((DIRECT_MAP + initrd.start) as *const u8, initrd.len())
        };
        (bytes, whole_frames(&initrd))
    });
    let tree_rest = whole_frames(&(tree_at.end..tree_at.start + tree.size()));
    Ok(Ram {
        frames,
        kernel_bytes: kernel_bytes + Image::end() - Image::base() + tree_at.len(),
        tree_rest,
        initrd,
    })
}

/// Takes out what must not even be mapped.
fn reserve_unmapped(tree: &Tree<'_>, free: &mut RangeSet) -> Result<(), NoRam> {
    for reserved in tree.reserved() {
        let reserved = reserved.map_err(NoRam::Tree)?;
        if reserved.no_map {
            free.remove(
                reserved.region.address as usize,
                reserved.region.end() as usize,
            )?;
        }
    }
    Ok(())
}

/// Takes out what is mapped and not ours to give: reservations, the image, the tree, words on which parked CPUs wait, and the first
/// page, where they are on boards that do not say so.
fn reserve(tree: &Tree<'_>, tree_at: &Range<usize>, free: &mut RangeSet) -> Result<(), NoRam> {
    for reserved in tree.reserved() {
        let region = reserved.map_err(NoRam::Tree)?.region;
        remove_pages(free, region.address as usize, region.end() as usize)?;
    }
    let image = Image::physical();
    remove_pages(free, image, image + Image::end() - Image::base())?;
    remove_pages(free, tree_at.start, tree_at.start + tree.size())?;
    remove_pages(free, 0, PAGE_SIZE)?;
    for cpu in tree.cpus().flatten() {
        if let EnableMethod::SpinTable { release } = cpu.enable_method {
            let release = (release as usize).min(PHYSICAL_END);
            remove_pages(free, release, release + 8)?;
        }
    }
    Ok(())
}

fn remove_pages(free: &mut RangeSet, start: usize, end: usize) -> Result<(), Full> {
    let end = end
        .checked_next_multiple_of(PAGE_SIZE)
        .unwrap_or(usize::MAX);
    free.remove(start & !(PAGE_SIZE - 1), end)
}

/// The initial RAM disk, if it lies in RAM.
fn find_initrd(tree: &Tree<'_>, ram: &RangeSet) -> Option<Range<usize>> {
    let region = match tree.chosen()?.initrd() {
        Ok(region) => region?,
        Err(error) => {
            println!("the initial RAM disk is ignored: {error}");
            return None;
        }
    };
    let range = region.address as usize..region.end() as usize;
    let is_ram = ram
        .iter()
        .any(|ram| ram.start <= range.start && range.end <= ram.end);
    if !is_ram {
        println!(
            "the initial RAM disk is ignored: {:#x} to {:#x} is not RAM",
            range.start, range.end
        );
    }
    is_ram.then_some(range)
}

/// The frames that lie wholly in a range: those at its ends may be another's too.
fn whole_frames(range: &Range<usize>) -> Range<Frame> {
    Frame(range.start.div_ceil(PAGE_SIZE))..Frame(range.end / PAGE_SIZE)
}

/// Takes the first heap and the pool's books out of `free`, and gives the rest to the pool; returns how much was taken, too.
fn make_pool(free: &mut RangeSet) -> Result<(&'static FramePool, usize), NoRam> {
    *free = free.whole(PAGE_SIZE);
    let little = NoRam::Little(free.bytes());
    let span = free.span().ok_or(little)?;
    let (first, end) = (Frame(span.start / PAGE_SIZE), Frame(span.end / PAGE_SIZE));
    let size = FramePool::metadata_size(first, end);
    let bytes = 8 * size.words + 4 * size.shares;
    let books = free
        .take(bytes.next_multiple_of(PAGE_SIZE), PAGE_SIZE)
        .ok_or(little)?;
    let heap = free.take(heap::FIRST, heap::FIRST).ok_or(little)?;
    if free.bytes() < LEAST {
        return Err(little);
    }
    let at = DIRECT_MAP + books;
    // SAFETY: both pieces were taken out of the free RAM, so nothing else has them, and they are mapped; words come first, so both
    // slices are aligned; any bytes are valid integers.
    let (words, shares) = unsafe {
        heap::init(heap);
        (
            core::slice::from_raw_parts_mut(at as *mut u64, size.words),
            core::slice::from_raw_parts((at + 8 * size.words) as *const AtomicU32, size.shares),
        )
    };
    let pool = FramePool::new(first, end, words, shares).ok_or(little)?;
    for range in free.iter() {
        pool.give(Frame(range.start / PAGE_SIZE)..Frame(range.end / PAGE_SIZE));
    }
    pool.set_reserve(RESERVE.min(pool.total() / 16));
    pool.set_margin();
    Ok((Box::leak(Box::new(pool)), bytes + heap::FIRST))
}
