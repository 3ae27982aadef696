//! Every operation with the k-th frame refused, for every k: it fails cleanly, loses nothing, changes nothing that it says it
//! did not, and works when there is memory again.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Bench, RW, get, page, put, shared, zeros};
use crate::Errno;
use crate::machine::PAGE_SIZE;
use crate::mm::{AddressSpace, MemoryObject, Move, UserBuffer};

/// Repeats `operation` on a fresh world with 0, 1, 2... frames to spare, until it succeeds. What it returns as Err must be
/// `errno`; `check` looks at the world after each failure.
fn with_every_frame_refused(
    errno: Errno,
    operation: impl Fn(&World) -> crate::Result<()>,
    check: impl Fn(&World),
) {
    for spare in 0..200 {
        let bench = Bench::new(256);
        let world = World::new(&bench);
        let frames = bench.memory.frames;
        let free = frames.free();
        frames.set_reserve(free - spare);
        let outcome = operation(&world);
        frames.set_reserve(0);
        check(&world);
        match outcome {
            Ok(()) => {
                assert!(spare > 0, "the operation needs no frame");
                return;
            }
            Err(error) => assert_eq!(error, errno),
        }
        operation(&world).expect("there is memory again");
        check(&world);
    }
    panic!("the operation never succeeds");
}

/// A space with some of everything, and a file.
struct World {
    bench_memory: &'static crate::mm::Memory,
    space: Arc<AddressSpace>,
    file: Arc<MemoryObject>,
}

impl World {
    fn new(bench: &Bench) -> World {
        let space = bench.space();
        let file = MemoryObject::from_bytes(bench.memory, &[1; 4 * PAGE_SIZE]).unwrap();
        zeros(&space, page(0), 40, RW).unwrap();
        (0..20).for_each(|n| put(&space, page(n * 2), n as u64).unwrap());
        // Far away, so that a table of its own is needed.
        zeros(&space, page(10_000), 4, RW).unwrap();
        put(&space, page(10_000), 77).unwrap();
        shared(&space, page(20_000), 4, &file).unwrap();
        World {
            bench_memory: bench.memory,
            space,
            file,
        }
    }

    fn check(&self) {
        (0..20).for_each(|n| assert_eq!(get(&self.space, page(n * 2)), Ok(n as u64)));
        assert_eq!(get(&self.space, page(10_000)), Ok(77));
    }
}

#[test]
fn new_space_without_memory_is_enomem() {
    with_every_frame_refused(
        Errno::ENOMEM,
        |world| AddressSpace::new(world.bench_memory).map(|_| ()),
        World::check,
    );
}

#[test]
fn fork_without_memory_leaves_the_parent_whole() {
    with_every_frame_refused(
        Errno::ENOMEM,
        |world| world.space.fork().map(|_| ()),
        World::check,
    );
}

#[test]
fn fork_tree_without_memory_can_store_again_later() {
    with_every_frame_refused(
        Errno::ENOMEM,
        |world| {
            let child = world.space.fork()?;
            for n in 0..20 {
                put(&child, page(n * 2), 1000)?;
            }
            let grandchild = child.fork()?;
            put(&grandchild, page(10_000), 5)?;
            assert_eq!(get(&child, page(10_000)), Ok(77));
            Ok(())
        },
        World::check,
    );
}

#[test]
fn fault_without_memory_fails_alone() {
    with_every_frame_refused(
        Errno::ENOMEM,
        |world| put(&world.space, page(10_001), 1),
        World::check,
    );
    with_every_frame_refused(
        Errno::ENOMEM,
        |world| get(&world.space, page(20_001)).map(|_| ()),
        World::check,
    );
}

#[test]
fn remap_without_memory_leaves_the_mapping_where_it_is() {
    with_every_frame_refused(
        Errno::ENOMEM,
        |world| {
            let (from, to) = (page(0), page(500_000));
            let length = 40 * PAGE_SIZE;
            let moved = world.space.resize(from, length, length, Move::To(to))?;
            assert_eq!(
                get(
                    &world.space,
                    crate::machine::UserAddr(moved.0 + 38 * PAGE_SIZE)
                ),
                Ok(19)
            );
            // The tables of the old place are still there: back again needs nothing.
            world
                .space
                .resize(to, length, length, Move::To(from))
                .unwrap();
            Ok(())
        },
        World::check,
    );
}

#[test]
fn object_write_without_memory_keeps_what_was_written() {
    for spare in 0..5 {
        let bench = Bench::new(64);
        let object = MemoryObject::new(bench.memory, 0);
        bench.memory.frames.set_reserve(64 - spare);
        let bytes = [3; 4 * PAGE_SIZE];
        let written = object.write_at(&mut &bytes[..], 100);
        let whole = spare * PAGE_SIZE;
        match spare {
            0 => assert_eq!(written, Err(Errno::ENOMEM)),
            _ => assert_eq!(written, Ok((whole - 100).min(4 * PAGE_SIZE))),
        }
        assert_eq!(
            object.size() as usize,
            written.map_or(0, |count| count + 100)
        );
    }
}

#[test]
fn transfer_between_memory_and_file_without_memory_is_short() {
    with_every_frame_refused(
        Errno::ENOMEM,
        |world| {
            let mut buffer = UserBuffer::new(&world.space, page(10_000), 4 * PAGE_SIZE)?;
            let read = world.file.read_at(&mut buffer, 0)?;
            put(&world.space, page(10_000), 77)?;
            if read < 4 * PAGE_SIZE {
                Err(Errno::ENOMEM)
            } else {
                Ok(())
            }
        },
        |_| (),
    );
}

#[test]
fn populate_without_memory_stops_and_goes_on_later() {
    with_every_frame_refused(
        Errno::ENOMEM,
        |world| {
            let filled = world.space.populate(page(0), 40 * PAGE_SIZE);
            filled.map_err(|_| Errno::ENOMEM)
        },
        World::check,
    );
}

#[test]
fn storm_at_the_edge_of_memory_loses_nothing() {
    let bench = Bench::new(150);
    let mut spaces: Vec<Arc<AddressSpace>> = Vec::new();
    for round in 0..2000_usize {
        match round % 7 {
            0 => spaces.extend(AddressSpace::new(bench.memory)),
            1 | 2 => {
                if let Some(space) = spaces.get(round % spaces.len().max(1)) {
                    let child = space.fork();
                    spaces.extend(child);
                }
            }
            3 if spaces.len() > 6 => {
                spaces.swap_remove(round % spaces.len());
            }
            _ => {
                if let Some(space) = spaces.get(round % spaces.len().max(1)) {
                    let _ = zeros(space, page(round % 50), 1 + round % 9, RW);
                    let _ = put(space, page(round % 50), round as u64);
                }
            }
        }
    }
}
