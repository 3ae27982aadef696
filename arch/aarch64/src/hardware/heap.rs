//! The kernel heap: crate `talc` for small allocations, runs of page frames for large ones. Lock level 9.
//!
//! Each CPU keeps a few pieces of each small size that it freed ([`crate::magazine`]): most allocations end there, without
//! the lock. A piece that is kept holds its chunk: when chunks go back to the pool, each CPU gives up what it keeps before it
//! sleeps next, lest some hundred pieces hold some megabytes.
//!
//! Grows from the frame pool and never panics: an allocation that fails returns null. A few chunks are held back so that
//! small allocations go on when the pool is dry: while all of them are there the heap is ready
//! ([`halyard_core::machine::Machine::heap_ready`]); once one was broken into, it is not, until the pool can replace it.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use halyard_cell::SpinLock;
use halyard_core::machine::{Frame, MAX_CPUS, PAGE_SIZE};
use halyard_core::mm::{FramePool, MAX_RUN_ORDER};
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

use super::cpu;
use super::kernel_map::DIRECT_MAP;
use super::once::Once;
use super::table::frame_address;
use crate::magazine::Class;

/// By how much the heap grows: 2^4 frames, 64 KiB.
const CHUNK_ORDER: u32 = 4;
const CHUNK: usize = PAGE_SIZE << CHUNK_ORDER;
/// Bytes that the heap starts with.
pub(crate) const FIRST: usize = CHUNK;
/// Allocations from here on are runs of frames of their own, given back when they are freed.
const LARGE: usize = 16 << 10;
/// Chunks held back at most: one a CPU, and one more.
const SPARE_MAX: usize = MAX_CPUS + 1;

static FRAMES: Once<&'static FramePool> = Once::new();
/// All spare chunks are there.
static READY: AtomicBool = AtomicBool::new(false);
/// How many chunks went back to the pool so far.
static RELEASED: AtomicU32 = AtomicU32::new(0);

/// Where talc gets memory.
#[derive(Debug)]
struct Growth {
    spare: [Option<Frame>; SPARE_MAX],
    /// How many of the places in `spare` are to be filled.
    wanted: usize,
    /// Address of the first heap, which is not the pool's.
    first: usize,
    /// A chunk that was seen to be free and is kept, lest one that fills and empties go to the pool and back.
    kept: usize,
}

impl Growth {
    fn take_spare(&mut self) -> Option<Frame> {
        let frame = self.spare.iter_mut().rev().find_map(Option::take)?;
        READY.store(false, Ordering::Release);
        Some(frame)
    }

    /// A chunk of which nothing is used any more goes to the spare ones, or to the pool.
    fn give_back(&mut self, chunk: usize) {
        let run = Frame((chunk - DIRECT_MAP) / PAGE_SIZE);
        let wanted = self.wanted;
        let mut spare = self.spare.iter_mut().take(wanted);
        if let Some(place) = spare.find(|place| place.is_none()) {
            *place = Some(run);
            let is_full = self.spare.iter().take(wanted).all(Option::is_some);
            READY.store(is_full, Ordering::Release);
        } else if let Some(frames) = FRAMES.get() {
            frames.release_run(run, CHUNK_ORDER);
            RELEASED.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Fills the spare places as far as the pool can; whether all are.
    fn refill(&mut self, frames: &FramePool) -> bool {
        let places = self.spare.iter_mut().take(self.wanted);
        for place in places.filter(|place| place.is_none()) {
            *place = frames.allocate_run(CHUNK_ORDER).ok();
            if place.is_none() {
                return false;
            }
        }
        self.wanted > 0
    }
}

// SAFETY: gives talc frames of the pool that nobody else has, and touches no heap but the one it is handed.
unsafe impl Source for Growth {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, _layout: Layout) -> Result<(), ()> {
        // Every small allocation fits a chunk.
        let fresh = FRAMES
            .get()
            .and_then(|frames| frames.allocate_run(CHUNK_ORDER).ok());
        let chunk = fresh.or_else(|| talc.source.take_spare()).ok_or(())?;
        // SAFETY: the run is this heap's alone from now on, mapped, and never given back.
        unsafe { talc.claim(frame_address(chunk) as *mut u8, CHUNK) }
            .map(drop)
            .ok_or(())
    }

    const TRACK_HEAP_END: bool = true;

    #[inline]
    unsafe fn resize(&mut self, free: *mut u8, end: *mut u8, is_whole: bool) -> *mut u8 {
        if !is_whole {
            return end;
        }
        // All that lies between the ends of a chunk is free: `free` is its first usable byte.
        let chunk = (free.addr() - 1) & !(CHUNK - 1);
        if chunk == self.first || chunk == self.kept || self.kept == 0 {
            if chunk != self.first {
                self.kept = chunk;
            }
            return end;
        }
        self.give_back(chunk);
        free
    }
}

type Small = Talc<Growth, talc::base::binning::DefaultBinning>;

struct Heap(SpinLock<Small>);

#[global_allocator]
static HEAP: Heap = Heap(SpinLock::new(Talc::new(Growth {
    spare: [None; SPARE_MAX],
    wanted: 0,
    first: 0,
    kept: 0,
})));

/// The order of the run for a large allocation, if there are runs so large and so aligned.
fn run_order(layout: Layout) -> Option<u32> {
    let pages = layout.size().max(layout.align()).div_ceil(PAGE_SIZE);
    let order = pages.checked_next_power_of_two()?.trailing_zeros();
    (order <= MAX_RUN_ORDER).then_some(order)
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE || layout.align() >= LARGE
}

fn allocate_large(layout: Layout) -> Option<*mut u8> {
    let run = FRAMES.get()?.allocate_run(run_order(layout)?).ok()?;
    Some(frame_address(run) as *mut u8)
}

/// Where an allocation comes from, which its layout alone says.
#[derive(PartialEq, Eq)]
enum Place {
    /// From talc, as one of a class.
    Class(Class),
    /// From talc, with its own layout.
    Talc,
    /// A run of frames of this order.
    Run(Option<u32>),
}

impl Place {
    fn of(layout: Layout) -> Self {
        match Class::of(layout) {
            Some(class) => Self::Class(class),
            None if is_large(layout) => Self::Run(run_order(layout)),
            None => Self::Talc,
        }
    }
}

impl Heap {
    /// A piece of talc's. Without memory: null.
    ///
    /// # Safety
    /// `layout` must have a size that is not 0.
    #[cold]
    unsafe fn allocate(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.lock().allocate(layout) }.map_or(null_mut(), NonNull::as_ptr)
    }

    /// Gives `piece` back to talc, and with it half of what this CPU keeps of its class.
    ///
    /// # Safety
    /// `piece` must have come from talc with the layout of `class`, and nobody may use it any more.
    #[cold]
    unsafe fn unload(&self, class: Class, piece: NonNull<u8>) {
        let mut heap = self.0.lock();
        // SAFETY: the caller's promise for `piece`; what a magazine keeps of a class was freed with the class's layout.
        let mut give = |piece: NonNull<u8>| unsafe {
            heap.deallocate(piece.as_ptr(), class.layout());
        };
        give(piece);
        cpu::this().magazines.unload(class, give);
    }
}

// SAFETY: an allocation is a piece of talc's, or a run of frames of its own, that nobody else has until it is freed; which of
// the two depends on the layout alone, so `dealloc` takes the way that `alloc` took. Nothing here unwinds.
unsafe impl GlobalAlloc for Heap {
    // One copy: there are a thousand places that allocate.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(class) = Class::of(layout) {
            let kept = cpu::this().magazines.take(class);
            // SAFETY: no class is empty.
            return kept.map_or_else(|| unsafe { self.allocate(class.layout()) }, NonNull::as_ptr);
        }
        if is_large(layout) {
            return allocate_large(layout).unwrap_or(null_mut());
        }
        // SAFETY: the caller promises a size that is not 0.
        unsafe { self.allocate(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some((class, piece)) = Class::of(layout).zip(NonNull::new(pointer)) {
            // SAFETY: `alloc` gave the caller a piece of that class, which is free now; `put` refuses without keeping it.
            unsafe {
                if !cpu::this().magazines.put(class, piece) {
                    self.unload(class, piece);
                }
            }
            return;
        }
        if is_large(layout) {
            let run = Frame((pointer.addr() - DIRECT_MAP) / PAGE_SIZE);
            if let (Some(frames), Some(order)) = (FRAMES.get(), run_order(layout)) {
                frames.release_run(run, order);
            }
            return;
        }
        // SAFETY: the caller's promise: `pointer` came from `alloc` with this layout, hence from talc with it.
        unsafe { self.0.lock().deallocate(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(new_size, layout.align()) else {
            return null_mut();
        };
        let stays = match (Place::of(layout), Place::of(new)) {
            // SAFETY: `pointer` is talc's and has this layout.
            (Place::Talc, Place::Talc) => unsafe {
                self.0
                    .lock()
                    .try_realloc_in_place(pointer, layout, new_size)
            },
            (old, new) => old == new,
        };
        if stays {
            return pointer;
        }
        // SAFETY: the caller's promises hold for these as for `realloc`; the copy covers what both have.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(pointer, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }
}

/// Gives the heap its first memory, before there is a frame pool.
///
/// # Safety
/// RAM at physical `start..start + FIRST` must be mapped and nobody else's, for ever; `start` must be a multiple of [`FIRST`].
pub(crate) unsafe fn init(start: usize) {
    let mut heap = HEAP.0.lock();
    heap.source.first = DIRECT_MAP + start;
    // SAFETY: the caller's promise.
    unsafe { heap.claim((DIRECT_MAP + start) as *mut u8, FIRST) };
}

/// Lets the heap grow from `frames`, with a reserve for `cpus` CPUs.
pub(crate) fn grow_from(frames: &'static FramePool, cpus: usize) {
    FRAMES.set(frames);
    HEAP.0.lock().source.wanted = (cpus + 1).min(SPARE_MAX);
    try_refill();
}

/// Gives up what this CPU keeps if the heap has shrunk since it last did so. For a CPU that has nothing else to do.
pub(crate) fn settle() {
    let cpu = cpu::this();
    if cpu.settled.get() != RELEASED.load(Ordering::Relaxed) {
        give_up(cpu);
        cpu.settled.set(RELEASED.load(Ordering::Relaxed));
    }
}

#[cold]
fn give_up(cpu: &cpu::PerCpu) {
    for class in Class::all() {
        let mut heap = HEAP.0.lock();
        while let Some(piece) = cpu.magazines.take(class) {
            // SAFETY: what a magazine keeps of a class was freed with the class's layout.
            unsafe { heap.deallocate(piece.as_ptr(), class.layout()) };
        }
    }
}

#[cold]
fn try_refill() -> bool {
    let Some(frames) = FRAMES.get() else {
        return false;
    };
    let mut heap = HEAP.0.lock();
    let ready = heap.source.refill(frames);
    READY.store(ready, Ordering::Release);
    ready
}

/// Whether the reserve is intact; mends it if it is not and the pool can.
#[inline]
pub(crate) fn is_ready() -> bool {
    READY.load(Ordering::Relaxed) || try_refill()
}
