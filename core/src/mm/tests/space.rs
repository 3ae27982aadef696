//! Address spaces, one rule a test.

use alloc::vec::Vec;

use super::{Bench, RW, RX, get, page, put, shared, zeros};
use crate::Errno;
use crate::machine::{Access, PAGE_SIZE, USER_END, UserAddr};
use crate::mm::{AddressSpace, FaultError, Footprint, MapRequest, MemoryObject, Move, Placement};
use crate::wait::pause::PIECE_PAGES;

fn regions(space: &AddressSpace) -> Vec<(usize, usize, Access)> {
    let mut all = Vec::new();
    space.for_each_region(&mut |region| all.push((region.start, region.end, region.access)));
    all
}

fn anywhere(space: &alloc::sync::Arc<AddressSpace>, pages: usize) -> UserAddr {
    space
        .map(MapRequest::anonymous(pages * PAGE_SIZE, RW))
        .unwrap()
}

#[test]
fn map_neighbours_alike_are_one_region() {
    let bench = Bench::new(16);
    let space = bench.space();
    let first = anywhere(&space, 2);
    let second = anywhere(&space, 3);
    assert_eq!(second.0 + 3 * PAGE_SIZE, first.0);
    assert_eq!(regions(&space), [(second.0, first.0 + 2 * PAGE_SIZE, RW)]);
}

#[test]
fn map_hint_is_taken_if_free_and_ignored_if_not() {
    let bench = Bench::new(16);
    let space = bench.space();
    let hint = |at: usize| {
        let request = MapRequest::anonymous(PAGE_SIZE, RW);
        space
            .map(MapRequest {
                placement: Placement::Hint(UserAddr(at)),
                ..request
            })
            .unwrap()
            .0
    };
    assert_eq!(hint(page(4).0 - 1), page(4).0);
    assert_ne!(hint(page(4).0), page(4).0);
    assert!(hint(1) >= 0x1000);
    assert!(hint(usize::MAX) < USER_END);
}

#[test]
fn map_fixed_replaces_and_fixed_free_refuses() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 3, RW).unwrap();
    put(&space, page(1), 7).unwrap();
    let request = MapRequest::anonymous(PAGE_SIZE, Access::READ);
    let refused = space.map(MapRequest {
        placement: Placement::FixedIfFree(page(1)),
        ..request.clone()
    });
    assert_eq!(refused, Err(Errno::EEXIST));
    assert_eq!(space.map(request.at(page(1))), Ok(page(1)));
    assert_eq!(get(&space, page(1)), Ok(0));
    assert_eq!(regions(&space).len(), 3);
    assert_eq!(space.footprint().mapped, 3);
}

#[test]
fn map_bad_requests_are_refused() {
    let bench = Bench::new(16);
    let space = bench.space();
    let map = |length, at| space.map(MapRequest::anonymous(length, RW).at(UserAddr(at)));
    assert_eq!(map(0, 0x10000), Err(Errno::EINVAL));
    assert_eq!(map(PAGE_SIZE, 0x10001), Err(Errno::EINVAL));
    assert_eq!(map(PAGE_SIZE, 0), Err(Errno::EPERM));
    assert_eq!(map(2 * PAGE_SIZE, USER_END - PAGE_SIZE), Err(Errno::ENOMEM));
    assert_eq!(map(usize::MAX, 0x10000), Err(Errno::ENOMEM));
    assert_eq!(map(17 * PAGE_SIZE, 0x10000), Err(Errno::ENOMEM));
    let lazy = MapRequest {
        unreserved: true,
        ..MapRequest::anonymous(1 << 40, RW)
    };
    assert!(space.map(lazy).is_ok());
}

#[test]
fn map_over_the_limit_is_enomem() {
    let bench = Bench::new(64);
    let space = bench.space();
    space.set_limits(4 * PAGE_SIZE as u64, u64::MAX);
    zeros(&space, page(0), 3, RW).unwrap();
    assert_eq!(
        space.map(MapRequest::anonymous(2 * PAGE_SIZE, RW)),
        Err(Errno::ENOMEM)
    );
    assert_eq!(zeros(&space, page(1), 3, RW), Ok(()));
    space.unmap(page(0), 9 * PAGE_SIZE).unwrap();
    assert!(space.map(MapRequest::anonymous(4 * PAGE_SIZE, RW)).is_ok());
}

#[test]
fn gap_is_found_again_after_unmap() {
    let bench = Bench::new(64);
    let space = bench.space();
    let places: Vec<_> = (0..8).map(|_| anywhere(&space, 2)).collect();
    space.unmap(places[2], 2 * PAGE_SIZE).unwrap();
    space.unmap(places[5], PAGE_SIZE).unwrap();
    assert_eq!(anywhere(&space, 2), places[2]);
    assert_eq!(anywhere(&space, 1), places[5]);
    assert!(anywhere(&space, 2) < places[7]);
}

#[test]
fn gap_below_a_growing_region_keeps_its_guard() {
    let bench = Bench::new(600);
    let space = bench.space();
    let stack = MapRequest {
        grows_down: true,
        ..MapRequest::anonymous(PAGE_SIZE, RW)
    };
    let stack = space.map(stack).unwrap();
    let below = anywhere(&space, 1);
    assert_eq!(stack.0 - below.0, 257 * PAGE_SIZE);
    space.unmap(below, PAGE_SIZE).unwrap();
    assert_eq!(anywhere(&space, 1), below);
}

#[test]
fn unmap_the_middle_splits() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 5, RW).unwrap();
    (0..5).for_each(|n| put(&space, page(n), n as u64).unwrap());
    space.unmap(page(1), 2 * PAGE_SIZE).unwrap();
    assert_eq!(
        regions(&space),
        [(page(0).0, page(1).0, RW), (page(3).0, page(5).0, RW)]
    );
    assert_eq!(get(&space, page(2)), Err(Errno::EFAULT));
    assert_eq!((get(&space, page(0)), get(&space, page(4))), (Ok(0), Ok(4)));
    assert_eq!(
        space.footprint(),
        Footprint {
            mapped: 3,
            present: 3
        }
    );
    assert_eq!(space.unmap(page(0), 0), Err(Errno::EINVAL));
    assert_eq!(space.unmap(UserAddr(1), 5), Err(Errno::EINVAL));
    assert_eq!(space.unmap(page(1), PAGE_SIZE), Ok(()));
}

#[test]
fn unmap_of_many_pages_releases_them_all() {
    let bench = Bench::new(400);
    let space = bench.space();
    zeros(&space, page(0), 300, RW).unwrap();
    (0..300).for_each(|n| put(&space, page(n), n as u64).unwrap());
    let free = bench.memory.frames.free();
    space.unmap(page(10), 200 * PAGE_SIZE).unwrap();
    assert_eq!(bench.memory.frames.free(), free + 200);
    assert_eq!(
        (get(&space, page(9)), get(&space, page(210))),
        (Ok(9), Ok(210))
    );
}

#[test]
fn protect_keeps_contents_and_joins_again() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 3, RW).unwrap();
    put(&space, page(1), 7).unwrap();
    space.protect(page(1), PAGE_SIZE, Access::empty()).unwrap();
    assert_eq!(get(&space, page(1)), Err(Errno::EFAULT));
    assert_eq!(space.fault(page(1), Access::READ), Err(FaultError::Denied));
    assert_eq!(regions(&space).len(), 3);
    space.protect(page(1), PAGE_SIZE, Access::READ).unwrap();
    assert_eq!(get(&space, page(1)), Ok(7));
    assert_eq!(put(&space, page(1), 8), Err(Errno::EFAULT));
    space.protect(page(0), 3 * PAGE_SIZE, RW).unwrap();
    assert_eq!(regions(&space).len(), 1);
    assert_eq!(put(&space, page(1), 8), Ok(()));
}

#[test]
fn protect_a_hole_or_beyond_the_maximum_changes_nothing() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 1, RW).unwrap();
    zeros(&space, page(2), 1, RW).unwrap();
    assert_eq!(
        space.protect(page(0), 3 * PAGE_SIZE, Access::READ),
        Err(Errno::ENOMEM)
    );
    let limited = MapRequest {
        max_access: Access::READ,
        ..MapRequest::anonymous(PAGE_SIZE, Access::READ)
    };
    space.map(limited.at(page(1))).unwrap();
    assert_eq!(
        space.protect(page(0), 3 * PAGE_SIZE, RW),
        Err(Errno::EACCES)
    );
    assert_eq!(
        space.protect(UserAddr(5), PAGE_SIZE, RW),
        Err(Errno::EINVAL)
    );
    assert_eq!(space.protect(page(0), 0, RX), Ok(()));
    assert_eq!(put(&space, page(0), 1), Ok(()));
}

#[test]
fn fault_says_why() {
    let bench = Bench::new(8);
    let space = bench.space();
    zeros(&space, page(0), 1, Access::READ).unwrap();
    let object = MemoryObject::from_bytes(bench.memory, b"x").unwrap();
    space
        .map_private(page(2), 2 * PAGE_SIZE, RW, &object, 0)
        .unwrap();
    assert_eq!(
        space.fault(page(1), Access::READ),
        Err(FaultError::NotMapped)
    );
    assert_eq!(
        space.fault(UserAddr(usize::MAX), Access::READ),
        Err(FaultError::NotMapped)
    );
    assert_eq!(space.fault(page(0), Access::WRITE), Err(FaultError::Denied));
    assert_eq!(
        space.fault(page(0), Access::EXECUTE),
        Err(FaultError::Denied)
    );
    assert_eq!(
        space.fault(page(3), Access::WRITE),
        Err(FaultError::BeyondObject)
    );
    assert_eq!(
        space.fault(page(3), Access::READ),
        Err(FaultError::BeyondObject)
    );
    let hold: Vec<_> = core::iter::from_fn(|| bench.memory.frames.allocate().ok()).collect();
    assert_eq!(
        space.fault(page(0), Access::READ),
        Err(FaultError::OutOfMemory)
    );
    hold.into_iter()
        .for_each(|frame| assert!(bench.memory.frames.release(frame)));
    assert_eq!(space.fault(page(0), Access::READ), Ok(()));
    assert_eq!(space.fault(page(0), Access::READ), Ok(()));
}

#[test]
fn private_object_is_copied_at_the_first_store() {
    let bench = Bench::new(16);
    let space = bench.space();
    let object = MemoryObject::from_bytes(bench.memory, &[1; 2 * PAGE_SIZE]).unwrap();
    space
        .map_private(page(0), 2 * PAGE_SIZE, RW, &object, 0)
        .unwrap();
    let before = bench.memory.frames.free();
    assert_eq!(get(&space, page(1)), Ok(0x0101_0101_0101_0101));
    assert_eq!(
        bench.memory.frames.free(),
        before - 1,
        "a table and no frame"
    );
    put(&space, page(1), 7).unwrap();
    let mut byte = [0];
    object
        .read_at(&mut byte.as_mut_slice(), PAGE_SIZE as u64)
        .unwrap();
    assert_eq!(byte, [1]);
    assert_eq!(get(&space, page(1)), Ok(7));
    // What the file gets shows where no copy was made.
    object.write_at(&mut &[2; 8][..], 0).unwrap();
    assert_eq!(get(&space, page(0)), Ok(0x0202_0202_0202_0202));
}

#[test]
fn shared_object_is_seen_by_all_and_by_the_file() {
    let bench = Bench::new(16);
    let (one, other) = (bench.space(), bench.space());
    let object = MemoryObject::new(bench.memory, 2 * PAGE_SIZE as u64);
    for space in [&one, &other] {
        shared(space, page(0), 2, &object).unwrap();
    }
    put(&one, page(1), 7).unwrap();
    assert_eq!(get(&other, page(1)), Ok(7));
    let child = other.fork().unwrap();
    put(&child, page(1), 8).unwrap();
    assert_eq!(get(&one, page(1)), Ok(8));
    assert_eq!(object.resident_pages(), 1);
}

#[test]
fn private_hole_is_not_filled_in_the_object() {
    let bench = Bench::new(64);
    let space = bench.space();
    let object = MemoryObject::new(bench.memory, 1 << 30);
    space
        .map_private(page(0), 32 * PAGE_SIZE, RW, &object, 0)
        .unwrap();
    (0..32).for_each(|n| assert_eq!(get(&space, page(n)), Ok(0)));
    assert_eq!(object.resident_pages(), 0);
    let child = space.fork().unwrap();
    put(&space, page(3), 1).unwrap();
    assert_eq!(get(&child, page(3)), Ok(0));
}

#[test]
fn object_pages_around_a_fault_come_along() {
    let bench = Bench::new(64);
    let space = bench.space();
    let object = MemoryObject::from_bytes(bench.memory, &[1; 20 * PAGE_SIZE]).unwrap();
    space
        .map_private(page(0), 20 * PAGE_SIZE, RX, &object, 0)
        .unwrap();
    space.fault(page(5), Access::EXECUTE).unwrap();
    assert_eq!(space.footprint().present, 16);
    space.fault(page(17), Access::READ).unwrap();
    assert_eq!(space.footprint().present, 20);
}

#[test]
fn stack_grows_to_its_limit_and_keeps_its_guard() {
    let bench = Bench::new(64);
    let space = bench.space();
    space.set_limits(u64::MAX, 4 * PAGE_SIZE as u64);
    let stack = MapRequest {
        grows_down: true,
        ..MapRequest::anonymous(PAGE_SIZE, RW).at(page(600))
    };
    space.map(stack).unwrap();
    assert_eq!(put(&space, page(598), 1), Ok(()));
    assert_eq!(put(&space, page(597), 1), Ok(()));
    assert_eq!(put(&space, page(596), 1), Err(Errno::EFAULT));
    assert_eq!(regions(&space), [(page(597).0, page(601).0, RW)]);
    space.set_limits(u64::MAX, u64::MAX);
    zeros(&space, page(300), 1, RW).unwrap();
    assert_eq!(put(&space, page(301 + 255), 1), Err(Errno::EFAULT));
    assert_eq!(put(&space, page(301 + 256), 1), Ok(()));
}

#[test]
fn brk_grows_shrinks_and_stops_at_its_neighbour() {
    let bench = Bench::new(64);
    let space = bench.space();
    space.set_heap_start(UserAddr(page(0).0 - 5));
    assert_eq!(space.set_heap_end(UserAddr(0)), page(0));
    let end = UserAddr(page(2).0 + 100);
    assert_eq!(space.set_heap_end(end), end);
    put(&space, page(2), 7).unwrap();
    let more = UserAddr(page(4).0);
    assert_eq!(space.set_heap_end(more), more);
    assert_eq!(regions(&space), [(page(0).0, page(4).0, RW)]);
    zeros(&space, page(6), 1, RW).unwrap();
    assert_eq!(space.set_heap_end(page(6)), more, "a page stays free");
    assert_eq!(space.set_heap_end(page(5)), page(5));
    assert_eq!(space.set_heap_end(page(1)), page(1));
    assert_eq!(space.set_heap_end(page(3)), page(3));
    assert_eq!(
        get(&space, page(2)),
        Ok(0),
        "what was given back reads as zeros"
    );
    assert_eq!(space.set_heap_end(UserAddr(usize::MAX)), page(3));
    assert_eq!(
        space.set_heap_end(UserAddr(page(0).0 + 100 * PAGE_SIZE)),
        page(3)
    );
    assert_eq!(space.set_heap_end(UserAddr(page(0).0 - 1)), page(3));
}

#[test]
fn fork_copies_on_write_both_ways() {
    let bench = Bench::new(64);
    let parent = bench.space();
    zeros(&parent, page(0), 4, RW).unwrap();
    put(&parent, page(0), 1).unwrap();
    put(&parent, page(1), 2).unwrap();
    let child = parent.fork().unwrap();
    put(&parent, page(0), 10).unwrap();
    put(&child, page(1), 20).unwrap();
    assert_eq!(
        (get(&parent, page(0)), get(&child, page(0))),
        (Ok(10), Ok(1))
    );
    assert_eq!(
        (get(&parent, page(1)), get(&child, page(1))),
        (Ok(2), Ok(20))
    );
    assert_eq!(child.footprint(), parent.footprint());
    put(&child, page(3), 3).unwrap();
    assert_eq!(get(&parent, page(3)), Ok(0));
}

#[test]
fn fork_last_sharer_does_not_copy() {
    let bench = Bench::new(64);
    let parent = bench.space();
    zeros(&parent, page(0), 1, RW).unwrap();
    put(&parent, page(0), 1).unwrap();
    drop(parent.fork().unwrap());
    let free = bench.memory.frames.free();
    put(&parent, page(0), 2).unwrap();
    assert_eq!(bench.memory.frames.free(), free);
}

#[test]
fn fork_of_a_changed_private_object_has_the_changes() {
    let bench = Bench::new(64);
    let parent = bench.space();
    let object = MemoryObject::from_bytes(bench.memory, &[1; 2 * PAGE_SIZE]).unwrap();
    parent
        .map_private(page(0), 2 * PAGE_SIZE, RW, &object, 0)
        .unwrap();
    put(&parent, page(0), 7).unwrap();
    parent
        .protect(page(0), 2 * PAGE_SIZE, Access::READ)
        .unwrap();
    let child = parent.fork().unwrap();
    assert_eq!(
        (get(&child, page(0)), get(&child, page(1))),
        (Ok(7), Ok(0x0101_0101_0101_0101))
    );
    object.set_size(0).unwrap();
    assert_eq!(get(&child, page(0)), Err(Errno::EFAULT));
}

#[test]
fn remap_grows_in_place_moves_and_shrinks() {
    let bench = Bench::new(64);
    let space = bench.space();
    zeros(&space, page(0), 2, RW).unwrap();
    put(&space, page(1), 7).unwrap();
    assert_eq!(
        space.resize(page(0), 2 * PAGE_SIZE, 3 * PAGE_SIZE, Move::No),
        Ok(page(0))
    );
    zeros(&space, page(3), 1, Access::READ).unwrap();
    assert_eq!(
        space.resize(page(0), 3 * PAGE_SIZE, 4 * PAGE_SIZE, Move::No),
        Err(Errno::ENOMEM)
    );
    let moved = space
        .resize(page(0), 3 * PAGE_SIZE, 4 * PAGE_SIZE, Move::May)
        .unwrap();
    assert_eq!(get(&space, UserAddr(moved.0 + PAGE_SIZE)), Ok(7));
    assert_eq!(get(&space, page(1)), Err(Errno::EFAULT));
    assert_eq!(
        space.resize(moved, 4 * PAGE_SIZE, 2 * PAGE_SIZE, Move::No),
        Ok(moved)
    );
    assert_eq!(space.footprint().mapped, 3);
    assert_eq!(
        space.resize(moved, 2 * PAGE_SIZE, 2 * PAGE_SIZE, Move::To(page(2))),
        Ok(page(2))
    );
    assert_eq!(get(&space, page(3)), Ok(7));
    assert_eq!(space.footprint().mapped, 2);
}

#[test]
fn remap_bad_requests_are_refused() {
    let bench = Bench::new(64);
    let space = bench.space();
    zeros(&space, page(0), 2, RW).unwrap();
    let to = |at| Move::To(page(at));
    assert_eq!(
        space.resize(UserAddr(1), PAGE_SIZE, PAGE_SIZE, Move::May),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        space.resize(page(0), 0, PAGE_SIZE, Move::May),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        space.resize(page(0), PAGE_SIZE, 0, Move::May),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        space.resize(page(0), 3 * PAGE_SIZE, PAGE_SIZE, Move::May),
        Err(Errno::EFAULT)
    );
    assert_eq!(
        space.resize(page(5), PAGE_SIZE, PAGE_SIZE, Move::May),
        Err(Errno::EFAULT)
    );
    assert_eq!(
        space.resize(page(0), 2 * PAGE_SIZE, 2 * PAGE_SIZE, to(1)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        space.resize(page(0), PAGE_SIZE, usize::MAX - 5000, Move::May),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        space.resize(page(0), PAGE_SIZE, USER_END, Move::May),
        Err(Errno::ENOMEM)
    );
}

#[test]
fn discard_forgets_private_pages_and_keeps_shared_ones() {
    let bench = Bench::new(64);
    let space = bench.space();
    let object = MemoryObject::from_bytes(bench.memory, &[1; PAGE_SIZE]).unwrap();
    zeros(&space, page(0), 1, RW).unwrap();
    space
        .map_private(page(1), PAGE_SIZE, RW, &object, 0)
        .unwrap();
    shared(&space, page(2), 1, &object).unwrap();
    (0..3).for_each(|n| put(&space, page(n), 7).unwrap());
    assert_eq!(space.discard(page(0), 3 * PAGE_SIZE), Ok(()));
    assert_eq!(get(&space, page(0)), Ok(0));
    assert_eq!(get(&space, page(2)), Ok(7));
    assert_eq!(get(&space, page(1)), Ok(7), "as the object has it now");
    assert_eq!(space.discard(page(0), 4 * PAGE_SIZE), Err(Errno::ENOMEM));
    let resident = |at| {
        let mut pages = [9];
        space.residency(at, &mut pages).map(|()| pages)
    };
    assert_eq!(resident(page(2)), Ok([1]));
    assert_eq!(resident(page(0)), Ok([0]));
    assert_eq!(resident(page(3)), Err(Errno::ENOMEM));
    assert!(space.is_anonymous(page(0), PAGE_SIZE) && !space.is_anonymous(page(0), 2 * PAGE_SIZE));
}

#[test]
fn populate_makes_all_present() {
    let bench = Bench::new(64);
    let space = bench.space();
    zeros(&space, page(0), 9, RW).unwrap();
    zeros(&space, page(9), 1, Access::empty()).unwrap();
    assert_eq!(space.populate(page(0), 10 * PAGE_SIZE), Ok(()));
    assert_eq!(space.footprint().present, 9);
    assert_eq!(
        space.populate(page(0), 11 * PAGE_SIZE),
        Err(FaultError::NotMapped)
    );
}

#[test]
fn regions_many_are_bounded() {
    let bench = Bench::new(64);
    let space = bench.space();
    let mut result = Ok(());
    let mut count = 0;
    while result.is_ok() {
        let access = if count % 2 == 0 { RW } else { Access::READ };
        result = zeros(&space, UserAddr(0x10_0000 + count * PAGE_SIZE), 1, access);
        count += 1;
    }
    assert_eq!(result, Err(Errno::ENOMEM));
    assert!((65_500..65_540).contains(&count), "{count}");
}

#[test]
fn region_above_walks_them_all() {
    let bench = Bench::new(64);
    let space = bench.space();
    zeros(&space, page(0), 1, RW).unwrap();
    zeros(&space, page(3), 1, RW).unwrap();
    let first = space.region_above(UserAddr(0)).unwrap();
    let second = space.region_above(UserAddr(first.end)).unwrap();
    assert_eq!((first.start, second.start), (page(0).0, page(3).0));
    assert!(space.region_above(UserAddr(second.end)).is_none());
}

#[test]
fn unmap_in_pieces_takes_all_and_each_is_bounded() {
    const PAGES: usize = 2600;
    let bench = Bench::new(2700);
    let space = bench.space();
    let at = anywhere(&space, PAGES);
    let end = at.0 + PAGES * PAGE_SIZE;
    for page in (at.0..end).step_by(PAGE_SIZE) {
        space.fault(UserAddr(page), Access::WRITE).unwrap();
    }
    let mut next = Some(at);
    let mut pieces = 0;
    while let Some(from) = next {
        let before = space.footprint().present;
        next = space.unmap_piece(from, end - from.0).unwrap();
        assert!(before - space.footprint().present <= PIECE_PAGES);
        pieces += 1;
    }
    let left = space.footprint();
    assert_eq!((left.mapped, left.present, pieces), (0, 0, 3));
}
