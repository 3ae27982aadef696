//! Memory objects: files of bytes with holes.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Bench, RW, get, page, put, shared};
use crate::Errno;
use crate::machine::{PAGE_SIZE, UserAddr};
use crate::mm::{MAX_SIZE, MemoryObject};

const PAGE: u64 = PAGE_SIZE as u64;

fn read(object: &MemoryObject, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; length];
    let count = object.read_at(&mut bytes.as_mut_slice(), at).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn object_from_bytes_reads_back() {
    let bench = Bench::new(16);
    let bytes: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
    let object = MemoryObject::from_bytes(bench.memory, &bytes).unwrap();
    assert_eq!((object.size(), object.resident_pages()), (10_000, 3));
    assert_eq!(read(&object, 0, 20_000), bytes);
    assert_eq!(read(&object, 4090, 10), bytes[4090..4100]);
    assert_eq!(read(&object, 10_000, 1), []);
}

#[test]
fn object_hole_reads_as_zeros_and_takes_no_frame() {
    let bench = Bench::new(16);
    let object = MemoryObject::new(bench.memory, 1 << 40);
    assert_eq!(object.write_at(&mut &b"end"[..], (1 << 40) - 3), Ok(3));
    assert_eq!(read(&object, (1 << 40) - 5, 9), b"\0\0end");
    assert_eq!(read(&object, 12345, 3), [0; 3]);
    assert_eq!(object.resident_pages(), 1);
}

#[test]
fn object_larger_than_an_offset_is_efbig() {
    let bench = Bench::new(16);
    let object = MemoryObject::new(bench.memory, 0);
    assert_eq!(object.write_at(&mut &b"x"[..], MAX_SIZE), Err(Errno::EFBIG));
    assert_eq!(object.write_at(&mut &b"xy"[..], MAX_SIZE - 1), Ok(1));
    assert_eq!(object.set_size(MAX_SIZE + 1), Err(Errno::EFBIG));
    assert_eq!(object.set_size(MAX_SIZE), Ok(()));
    assert_eq!(object.write_at(&mut &b""[..], MAX_SIZE), Ok(0));
}

#[test]
fn object_write_without_memory_is_short_then_enomem() {
    let bench = Bench::new(4);
    let object = MemoryObject::new(bench.memory, 0);
    let bytes = vec![7; 10 * PAGE_SIZE];
    assert_eq!(object.write_at(&mut bytes.as_slice(), 0), Ok(4 * PAGE_SIZE));
    assert_eq!(
        object.write_at(&mut bytes.as_slice(), 4 * PAGE),
        Err(Errno::ENOMEM)
    );
    assert_eq!(object.size(), 4 * PAGE);
}

#[test]
fn object_append_goes_to_the_end() {
    let bench = Bench::new(4);
    let object = MemoryObject::from_bytes(bench.memory, b"one ").unwrap();
    assert_eq!(object.append(&mut &b"two"[..]), Ok((3, 7)));
    assert_eq!(read(&object, 0, 10), b"one two");
}

#[test]
fn object_cut_and_extended_reads_as_zeros() {
    let bench = Bench::new(16);
    let object = MemoryObject::from_bytes(bench.memory, &[9; 3 * PAGE_SIZE]).unwrap();
    object.set_size(100).unwrap();
    object.set_size(2 * PAGE).unwrap();
    assert_eq!(object.resident_pages(), 1);
    let mut expected = vec![0; 2 * PAGE_SIZE];
    expected[..100].fill(9);
    assert_eq!(read(&object, 0, 3 * PAGE_SIZE), expected);
}

#[test]
fn object_cut_while_mapped_is_bus_error_everywhere() {
    let bench = Bench::new(32);
    let object = MemoryObject::from_bytes(bench.memory, &[9; 3 * PAGE_SIZE]).unwrap();
    let spaces = [bench.space(), bench.space()];
    for space in &spaces {
        space
            .map_private(page(0), 3 * PAGE_SIZE, RW, &object, 0)
            .unwrap();
        shared(space, page(8), 3, &object).unwrap();
        // A page of the object, and a private copy.
        get(space, page(8 + 2)).unwrap();
        put(space, page(2), 1).unwrap();
    }
    object.set_size(PAGE + 1).unwrap();
    for space in &spaces {
        assert_eq!(get(space, page(2)), Err(Errno::EFAULT));
        assert_eq!(get(space, page(8 + 2)), Err(Errno::EFAULT));
        assert_eq!(get(space, UserAddr(page(1).0 + 1)), Ok(0));
        assert_eq!(get(space, page(8)), Ok(0x0909_0909_0909_0909));
    }
    // Grown again, the mappings see the new zeros.
    object.set_size(3 * PAGE).unwrap();
    assert_eq!(get(&spaces[0], page(2)), Ok(0));
}

#[test]
fn object_page_outlives_the_object() {
    let bench = Bench::new(4);
    let object = MemoryObject::from_bytes(bench.memory, &[5; 10]).unwrap();
    assert_eq!(object.page(1).err(), Some(Errno::EINVAL));
    let held = object.page(0).unwrap();
    drop(object);
    let mut byte = [0];
    bench.memory.machine.read_frame(held.frame(), 9, &mut byte);
    assert_eq!(byte, [5]);
}

#[test]
fn object_mapped_by_many_forgets_the_dead() {
    let bench = Bench::new(64);
    let object = MemoryObject::from_bytes(bench.memory, &[5; 10]).unwrap();
    for _ in 0..1000 {
        let space = bench.space();
        space
            .map_private(page(0), PAGE_SIZE, RW, &object, 0)
            .unwrap();
    }
    let live = bench.space();
    live.map_private(page(0), PAGE_SIZE, RW, &object, 0)
        .unwrap();
    put(&live, page(0), 1).unwrap();
    object.set_size(0).unwrap();
    assert_eq!(get(&live, page(0)), Err(Errno::EFAULT));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn object_any_steps_agree_with_a_vector(
        steps in prop::collection::vec((0..3_u8, 0..40_000_usize, 0..9_000_usize, any::<u8>()), 1..40),
    ) {
        let bench = Bench::new(64);
        let object = MemoryObject::new(bench.memory, 0);
        let mut model: Vec<u8> = Vec::new();
        for (step, at, length, fill) in steps {
            match step {
                0 => {
                    let bytes = vec![fill; length];
                    prop_assert_eq!(object.write_at(&mut bytes.as_slice(), at as u64), Ok(length));
                    if length > 0 {
                        model.resize(model.len().max(at + length), 0);
                        model[at..at + length].fill(fill);
                    }
                }
                1 => {
                    object.set_size(at as u64).unwrap();
                    model.resize(at, 0);
                }
                _ => {
                    let expected = model.get(at..(at + length).min(model.len())).unwrap_or_default();
                    prop_assert_eq!(read(&object, at as u64, length), expected);
                }
            }
            prop_assert_eq!(object.size(), model.len() as u64);
        }
        prop_assert_eq!(read(&object, 0, 60_000), model);
    }
}
