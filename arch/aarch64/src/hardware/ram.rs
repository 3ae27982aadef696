//! Which RAM there is, what of it is taken, and the frame pool over the rest.

use core::ops::Range;
use core::sync::atomic::AtomicU32;

use alloc::boxed::Box;
use halyard_core::machine::{Frame, PAGE_SIZE};
use halyard_core::mm::FramePool;
use halyard_drivers::dt::Tree;
use halyard_drivers::plan::RangeSet;
use halyard_drivers::plan::memory::{self, Loaded, NoMemory};

use super::console::println;
use super::heap;
use super::kernel_map::{self, DIRECT_MAP, Image};

/// Bytes that must be free at least.
const LEAST: usize = 1 << 20;
/// Frames that programs cannot have, at most.
const RESERVE: usize = 128;

/// What the core is to know of RAM.
pub(crate) struct Ram {
    pub(crate) frames: &'static FramePool,
    /// Bytes that the kernel holds beside the pool: image, tree, the pool's books, the first heap.
    pub(crate) kernel_bytes: usize,
    /// Frames behind what means something in the device tree, to be given to the pool when the tree is not used any more.
    pub(crate) after_tree: Range<Frame>,
    /// The initial RAM disk: its bytes, and the frames to be given to the pool after.
    pub(crate) initrd: Option<(&'static [u8], Range<Frame>)>,
}

/// Finds and maps all RAM, sets up the heap and the frame pool. `tree_at` is the part of the tree that means something, physical.
pub(crate) fn find(tree: &Tree<'_>, tree_at: Range<usize>, cpus: usize) -> Result<Ram, NoMemory> {
    let ram = map(tree)?;
    let image = Image::physical()..Image::physical() + (Image::end() - Image::base());
    let loaded = Loaded {
        image: image.clone(),
        tree: tree_at.start..tree_at.start + tree.size(),
        tree_end: tree_at.end,
    };
    let mut shares = memory::share_out(tree, &ram, &loaded)?;
    let initrd = shares.initrd.unwrap_or_else(|error| {
        println!("the initial RAM disk is ignored: {error}");
        None
    });
    let (frames, kernel_bytes) = make_pool(&mut shares.free)?;
    heap::grow_from(frames, cpus);
    let initrd = initrd.map(|initrd| {
        // SAFETY: within RAM that was mapped just now and taken out of what the pool has; the core gives the frames back when it
        // has done with the bytes.
        let bytes = unsafe {
            core::slice::from_raw_parts((DIRECT_MAP + initrd.start) as *const u8, initrd.len())
        };
        (bytes, whole_frames(&shares.after_initrd))
    });
    Ok(Ram {
        frames,
        kernel_bytes: kernel_bytes + image.len() + tree_at.len(),
        after_tree: whole_frames(&shares.after_tree),
        initrd,
    })
}

/// Maps the RAM that the tree tells of; what cannot be mapped is said and left out.
fn map(tree: &Tree<'_>) -> Result<RangeSet, NoMemory> {
    let banks = memory::banks(tree)?;
    if banks.beyond {
        println!("memory beyond the first 512 GiB is not used");
    }
    let mut ram = banks.ranges;
    for range in ram.clone().iter() {
        if let Err(error) = kernel_map::map_ram(range.start, range.end) {
            println!(
                "memory from {:#x} to {:#x} is not used: {error}",
                range.start, range.end
            );
            ram.remove(range.start, range.end)?;
        }
    }
    Ok(ram)
}

/// The frames that lie wholly in a range: those at its ends may be another's too.
fn whole_frames(range: &Range<usize>) -> Range<Frame> {
    Frame(range.start.div_ceil(PAGE_SIZE))..Frame(range.end / PAGE_SIZE)
}

/// Takes the first heap and the pool's books out of `free`, and gives the rest to the pool; returns how much was taken, too.
fn make_pool(free: &mut RangeSet) -> Result<(&'static FramePool, usize), NoMemory> {
    *free = free.whole(PAGE_SIZE);
    let little = NoMemory::Little(free.bytes());
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
