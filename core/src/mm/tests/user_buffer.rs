//! Program memory as source and sink.

use alloc::vec;
use alloc::vec::Vec;

use super::{Bench, RW, page, put, shared, zeros};
use crate::Errno;
use crate::io::{Sink, Source};
use crate::machine::{Access, PAGE_SIZE, USER_END, UserAddr};
use crate::mm::{IOV_MAX, MemoryObject, UserBuffer};

#[test]
fn buffer_over_pages_takes_and_puts() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 3, RW).unwrap();
    let bytes: Vec<u8> = (0..8000_u32).map(|n| (n * 7) as u8).collect();
    let at = UserAddr(page(0).0 + 100);
    let mut sink = UserBuffer::new(&space, at, 8000).unwrap();
    for part in bytes.chunks(1234) {
        sink.put(part).unwrap();
    }
    assert_eq!(Sink::remaining(&sink), 0);
    let mut source = UserBuffer::new(&space, at, 8000).unwrap();
    let mut back = vec![0; 8000];
    for part in back.chunks_mut(999) {
        source.take(part).unwrap();
    }
    assert_eq!(back, bytes);
    assert_eq!(source.take(&mut [0]), Err(Errno::EFAULT));
}

#[test]
fn buffer_fault_in_the_middle_stops_there() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 1, RW).unwrap();
    space.zero(page(0), PAGE_SIZE).unwrap();
    let at = UserAddr(page(1).0 - 96);
    let mut source = UserBuffer::new(&space, at, 200).unwrap();
    let mut into = [1; 200];
    assert_eq!(source.take(&mut into), Err(Errno::EFAULT));
    assert_eq!(Source::remaining(&source), 104);
    assert_eq!((&into[..96], into[96]), (&[0; 96][..], 1));
    let mut sink = UserBuffer::new(&space, at, 200).unwrap();
    assert_eq!(sink.put(&into), Err(Errno::EFAULT));
    assert_eq!(Sink::remaining(&sink), 104);
    assert_eq!(
        Sink::prepare(&mut UserBuffer::new(&space, at, 200).unwrap(), 97),
        Err(Errno::EFAULT)
    );
    assert_eq!(
        Source::prepare(&mut UserBuffer::new(&space, at, 200).unwrap(), 96),
        Ok(())
    );
}

#[test]
fn buffer_read_only_can_be_taken_but_not_put() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 1, Access::READ).unwrap();
    let mut buffer = UserBuffer::new(&space, page(0), 8).unwrap();
    assert_eq!(Sink::prepare(&mut buffer, 8), Err(Errno::EFAULT));
    assert_eq!(buffer.put(&[1]), Err(Errno::EFAULT));
    assert_eq!(buffer.take(&mut [1; 8]), Ok(()));
}

fn iovec(
    bench_space: &alloc::sync::Arc<crate::mm::AddressSpace>,
    segments: &[(usize, usize)],
) -> crate::Result<UserBuffer> {
    for (n, (base, length)) in segments.iter().enumerate() {
        put(bench_space, UserAddr(page(8).0 + n * 16), *base as u64)?;
        put(
            bench_space,
            UserAddr(page(8).0 + n * 16 + 8),
            *length as u64,
        )?;
    }
    UserBuffer::from_iovec(bench_space, page(8), segments.len())
}

#[test]
fn iovec_of_any_count_is_one_buffer() {
    let bench = Bench::new(64);
    let space = bench.space();
    zeros(&space, page(0), 24, RW).unwrap();
    for count in [0, 1, 2, 3, 4, 5, IOV_MAX] {
        let segments: Vec<_> = (0..count).map(|n| (page(0).0 + n * 16, n % 9)).collect();
        let mut buffer = iovec(&space, &segments).unwrap();
        let length: usize = segments.iter().map(|(_, length)| length).sum();
        assert_eq!(Source::remaining(&buffer), length);
        buffer.put(&vec![3; length]).unwrap();
        assert_eq!(Source::remaining(&buffer), 0);
        for (base, length) in segments {
            let mut bytes = vec![0; length];
            space.read_bytes(UserAddr(base), &mut bytes).unwrap();
            assert_eq!(bytes, vec![3; length]);
        }
    }
}

#[test]
fn iovec_bad_is_refused() {
    let bench = Bench::new(64);
    let space = bench.space();
    zeros(&space, page(0), 16, RW).unwrap();
    assert_eq!(
        UserBuffer::from_iovec(&space, page(8), IOV_MAX + 1).err(),
        Some(Errno::EINVAL)
    );
    assert_eq!(
        UserBuffer::from_iovec(&space, page(100), 1).err(),
        Some(Errno::EFAULT)
    );
    assert_eq!(iovec(&space, &[(1, 1 << 63)]).err(), Some(Errno::EINVAL));
    let half = isize::MAX as usize / 2 + 1;
    assert_eq!(
        iovec(&space, &[(1, half), (1, half)]).err(),
        Some(Errno::EINVAL)
    );
    assert_eq!(
        iovec(&space, &[(1, half), (1, half), (1, 1), (1, 1), (1, 1)]).err(),
        Some(Errno::EINVAL)
    );
    let clipped = iovec(&space, &[(1, 1 << 40), (1, 5)]).unwrap();
    assert_eq!(Source::remaining(&clipped), 0x7fff_f000);
    assert_eq!(
        iovec(&space, &[(1, 8), (1, half)]).err(),
        Some(Errno::EFAULT)
    );
    assert_eq!(iovec(&space, &[(usize::MAX, 1)]).err(), Some(Errno::EFAULT));
    assert!(iovec(&space, &[(usize::MAX, 0)]).is_ok());
    assert_eq!(
        UserBuffer::new(&space, UserAddr(USER_END - 1), 2).err(),
        Some(Errno::EFAULT)
    );
}

#[test]
fn typed_access_unaligned_over_a_page_border_works() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 2, RW).unwrap();
    let at = UserAddr(page(1).0 - 3);
    space.write_user(at, &0x0102_0304_0506_0708_u64).unwrap();
    assert_eq!(space.read_user::<u64>(at), Ok(0x0102_0304_0506_0708));
    assert_eq!(
        space.read_user::<[u8; 3]>(UserAddr(at.0 + 1)),
        Ok([7, 6, 5])
    );
    assert_eq!(
        space.read_user::<[u64; 100]>(page(0)).map(|words| words[0]),
        Ok(0)
    );
}

#[test]
fn addresses_beyond_everything_are_efault() {
    let bench = Bench::new(16);
    let space = bench.space();
    for at in [
        0,
        8,
        USER_END - 4,
        USER_END,
        1 << 55,
        usize::MAX - 3,
        usize::MAX,
    ] {
        assert_eq!(
            space.read_user::<u64>(UserAddr(at)),
            Err(Errno::EFAULT),
            "{at:#x}"
        );
        assert_eq!(
            space.write_user(UserAddr(at), &1_u64),
            Err(Errno::EFAULT),
            "{at:#x}"
        );
        assert_eq!(
            space.zero(UserAddr(at), usize::MAX),
            Err(Errno::EFAULT),
            "{at:#x}"
        );
        assert_eq!(
            space.read_cstr(UserAddr(at), 100),
            Err(Errno::EFAULT),
            "{at:#x}"
        );
    }
}

#[test]
fn cstr_ends_at_nul_page_or_limit() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 1, RW).unwrap();
    space.write_bytes(page(0), &[b'a'; PAGE_SIZE]).unwrap();
    let at = UserAddr(page(1).0 - 70);
    assert_eq!(space.read_cstr(at, 100), Err(Errno::EFAULT));
    assert_eq!(space.read_cstr(at, 70), Err(Errno::ENAMETOOLONG));
    space.write_bytes(UserAddr(page(1).0 - 1), &[0]).unwrap();
    assert_eq!(space.read_cstr(at, 100), Ok(vec![b'a'; 69]));
    assert_eq!(space.read_cstr(at, 70), Ok(vec![b'a'; 69]));
    assert_eq!(space.read_cstr(at, 69), Err(Errno::ENAMETOOLONG));
    assert_eq!(space.read_cstr(UserAddr(page(1).0 - 1), 1), Ok(vec![]));
}

#[test]
fn words_are_exchanged_atomically_and_only_aligned() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 1, RW).unwrap();
    assert_eq!(space.compare_exchange_u32(page(0), 0, 5), Ok(0));
    assert_eq!(space.compare_exchange_u32(page(0), 0, 6), Ok(5));
    assert_eq!(space.load_u32(page(0)), Ok(5));
    assert_eq!(space.load_u32(UserAddr(page(0).0 + 2)), Err(Errno::EINVAL));
    assert_eq!(space.load_u32(page(1)), Err(Errno::EFAULT));
}

#[test]
fn file_read_into_and_written_from_its_own_mapping_ends() {
    let bench = Bench::new(16);
    let space = bench.space();
    let object = MemoryObject::from_bytes(bench.memory, &[1; 2 * PAGE_SIZE]).unwrap();
    shared(&space, page(0), 2, &object).unwrap();
    let mut buffer = UserBuffer::new(&space, UserAddr(page(0).0 + 100), 5000).unwrap();
    assert_eq!(object.read_at(&mut buffer, 50), Ok(5000));
    let mut buffer = UserBuffer::new(&space, UserAddr(page(0).0 + 50), 5000).unwrap();
    assert_eq!(object.write_at(&mut buffer, 100), Ok(5000));
}

#[test]
fn file_written_from_memory_that_ends_is_short() {
    let bench = Bench::new(16);
    let space = bench.space();
    zeros(&space, page(0), 1, RW).unwrap();
    space.write_bytes(page(0), &[6; PAGE_SIZE]).unwrap();
    let object = MemoryObject::new(bench.memory, 0);
    let mut buffer = UserBuffer::new(&space, UserAddr(page(0).0 + 96), 2 * PAGE_SIZE).unwrap();
    assert_eq!(object.write_at(&mut buffer, 10), Ok(4000));
    assert_eq!(object.write_at(&mut buffer, 10), Err(Errno::EFAULT));
    assert_eq!(object.size(), 4010);
    let mut back = vec![0; 5000];
    assert_eq!(object.read_at(&mut back.as_mut_slice(), 0), Ok(4010));
    assert_eq!(
        (&back[..10], &back[10..4010]),
        (&[0; 10][..], &[6; 4000][..])
    );
}
