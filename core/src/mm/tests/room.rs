//! What programs leave in the kernel leaves the margin alone.

use std::vec;

use super::{Bench, RW, page, put, shared, zeros};
use crate::Errno;
use crate::io::Source;
use crate::machine::{Access, PAGE_SIZE};
use crate::mm::{FaultError, MemoryObject, Room, UserBuffer};

#[test]
fn margin_is_an_eighth_of_ram_up_to_64_mib() {
    assert_eq!(Room::margin_of(16384), 2048);
    assert_eq!(Room::margin_of(1 << 20), 16384);
}

#[test]
fn file_is_written_up_to_the_margin_and_then_enospc() {
    let bench = Bench::new(256);
    let frames = bench.memory.frames;
    frames.set_margin();
    let file = MemoryObject::new(bench.memory, 0);
    let bytes = vec![7; 512 * PAGE_SIZE];
    let written = file.write_at(&mut &bytes[..], 0).unwrap();
    assert_eq!((written / PAGE_SIZE, frames.free()), (224, 32));
    let more = file.write_at(&mut &bytes[..1], written as u64);
    assert_eq!(more, Err(Errno::ENOSPC));
    // What is there can be written again.
    assert_eq!(file.write_at(&mut &bytes[..10], 0), Ok(10));
    file.set_size(0).unwrap();
    assert_eq!(file.write_at(&mut &bytes[..10], 0), Ok(10));
}

#[test]
fn shared_mapping_of_a_file_without_room_is_a_bus_error_and_private_memory_goes_on() {
    let bench = Bench::new(256);
    bench.memory.frames.set_margin();
    let space = bench.space();
    let file = MemoryObject::new(bench.memory, 512 * PAGE_SIZE as u64);
    shared(&space, page(0), 512, &file).unwrap();
    zeros(&space, page(1000), 8, RW).unwrap();
    let full = (0..512).find_map(|n| space.fault(page(n), Access::WRITE).err());
    assert_eq!(full, Some(FaultError::ObjectFull));
    (0..8).for_each(|n| put(&space, page(1000 + n), 1).unwrap());
}

#[test]
fn bytes_on_their_way_may_take_half_of_the_margin() {
    let bench = Bench::new(256);
    let frames = bench.memory.frames;
    frames.set_margin();
    let space = bench.space();
    zeros(&space, page(0), 4, RW).unwrap();
    let source = UserBuffer::new(&space, page(0), 100).unwrap();
    let taken: vec::Vec<_> =
        core::iter::from_fn(|| (frames.free() > 17).then(|| frames.allocate().unwrap())).collect();
    assert!(frames.room().for_lasting().is_err());
    assert_eq!(source.may_be_held(), Ok(()));
    let last = frames.allocate().unwrap();
    assert_eq!(source.may_be_held(), Err(Errno::ENOMEM));
    taken.into_iter().chain([last]).for_each(|frame| {
        frames.release(frame);
    });
    assert_eq!(source.may_be_held(), Ok(()));
}
