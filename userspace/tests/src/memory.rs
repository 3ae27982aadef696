//! The address space: brk, mmap, munmap, mappings of files.

use halyard_rt::mm::{Mapping, PAGE, PROT_NONE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::Status;
use halyard_rt::raw::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED,
};
use halyard_rt::{fs, io, nr, open, prelude::*, signal, wild};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child};

suite!(
    brk_grows_zeroed_and_shrinks,
    brk_that_cannot_be_keeps_the_end,
    mmap_gives_zeroed_pages,
    mmap_of_nothing_is_einval,
    mmap_bad_arguments_are_einval,
    mmap_of_too_much_is_enomem,
    mmap_hint_is_no_order,
    mmap_fixed_replaces_what_was_there,
    mmap_fixed_noreplace_keeps_what_was_there,
    mmap_fixed_out_of_range_fails,
    munmap_takes_pages_away,
    munmap_of_the_middle_keeps_the_rest,
    munmap_of_nothing_is_fine,
    munmap_bad_arguments_are_einval,
    mmap_shared_is_seen_by_a_child,
    mmap_file_private_shows_the_file_and_keeps_writes,
    mmap_file_shared_writes_reach_the_file,
    mmap_file_behind_its_end_is_sigbus,
    mmap_file_tail_of_last_page_is_zero,
    mmap_file_outlives_its_descriptor_and_name,
    mmap_file_permissions_are_checked,
    mmap_of_a_pipe_is_enodev,
    large_mapping_touched_everywhere_holds_its_values,
    read_into_fresh_memory_resolves_it,
);

const RW: u32 = PROT_READ | PROT_WRITE;

fn brk(end: usize) -> usize {
    call(nr::BRK, [end]).unwrap_or(0)
}

fn brk_grows_zeroed_and_shrinks() -> Outcome {
    let end = brk(0);
    check!(end != 0);
    let grown = end + 3 * PAGE;
    check_eq!(brk(grown), grown);
    check_eq!(wild::load(grown - 1), 0);
    wild::store(grown - 1, 5);
    check_eq!(brk(end), end);
    // What comes back is zero again.
    check_eq!(brk(grown), grown);
    check_eq!(wild::load(grown - 1), 0);
    check_eq!(brk(end), end);
    Ok(())
}

fn brk_that_cannot_be_keeps_the_end() -> Outcome {
    let end = brk(0);
    check_eq!(brk(8), end);
    check_eq!(brk(usize::MAX), end);
    check_eq!(brk(0xffff_0000_0000_0000), end);
    Ok(())
}

fn mmap_gives_zeroed_pages() -> Outcome {
    let pages = Mapping::anonymous(5 * PAGE, RW, Sharing::Private)?;
    check_eq!(pages.address() % PAGE, 0);
    for index in (0..5 * PAGE).step_by(509) {
        check_eq!(pages.load(index), 0);
        pages.store(index, 1);
    }
    check!(
        (0..5 * PAGE)
            .step_by(509)
            .all(|index| pages.load(index) == 1)
    );
    // A part of a page is a page.
    let odd = Mapping::anonymous(100, RW, Sharing::Private)?;
    odd.store(PAGE - 1, 1);
    Ok(())
}

/// `mmap` with everything given.
fn map(address: usize, length: usize, prot: u32, flags: u32, fd: i32, at: usize) -> Result<usize> {
    call(
        nr::MMAP,
        [
            address,
            length,
            prot as usize,
            flags as usize,
            fd as usize,
            at,
        ],
    )
}

const ANON: u32 = MAP_PRIVATE | MAP_ANONYMOUS;

fn mmap_of_nothing_is_einval() -> Outcome {
    check_eq!(map(0, 0, RW, ANON, -1, 0), Err(Errno::EINVAL));
    Ok(())
}

fn mmap_bad_arguments_are_einval() -> Outcome {
    let file = fs::open_with("/tmp/mmap_bad", open::O_RDWR | open::O_CREAT, 0o600)?;
    check_eq!(map(0, PAGE, RW, MAP_ANONYMOUS, -1, 0), Err(Errno::EINVAL));
    check_eq!(
        map(0, PAGE, RW, MAP_PRIVATE, file.fd(), 100),
        Err(Errno::EINVAL)
    );
    check_eq!(
        map(100, PAGE, RW, ANON | MAP_FIXED, -1, 0),
        Err(Errno::EINVAL)
    );
    check_eq!(map(0, PAGE, RW, MAP_PRIVATE, 999, 0), Err(Errno::EBADF));
    fs::remove_file("/tmp/mmap_bad")?;
    Ok(())
}

fn mmap_of_too_much_is_enomem() -> Outcome {
    check_eq!(
        map(0, usize::MAX - PAGE, RW, ANON, -1, 0),
        Err(Errno::ENOMEM)
    );
    check_eq!(map(0, 1 << 50, RW, ANON, -1, 0), Err(Errno::ENOMEM));
    Ok(())
}

fn mmap_hint_is_no_order() -> Outcome {
    let taken = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    taken.store(0, 9);
    let other = map(taken.address(), PAGE, RW, ANON, -1, 0)?;
    check!(other != taken.address());
    check_eq!(taken.load(0), 9);
    Ok(())
}

fn mmap_fixed_replaces_what_was_there() -> Outcome {
    let pages = Mapping::anonymous(3 * PAGE, RW, Sharing::Private)?;
    (0..3).for_each(|page| pages.store(page * PAGE, 7));
    let middle = pages.address() + PAGE;
    check_eq!(map(middle, PAGE, RW, ANON | MAP_FIXED, -1, 0)?, middle);
    check_eq!(pages.load(0), 7);
    check_eq!(pages.load(PAGE), 0);
    check_eq!(pages.load(2 * PAGE), 7);
    Ok(())
}

fn mmap_fixed_noreplace_keeps_what_was_there() -> Outcome {
    let pages = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    pages.store(0, 7);
    let flags = ANON | MAP_FIXED_NOREPLACE;
    check_eq!(
        map(pages.address(), PAGE, RW, flags, -1, 0),
        Err(Errno::EEXIST)
    );
    check_eq!(pages.load(0), 7);
    let place = pages.address();
    drop(pages);
    check_eq!(map(place, PAGE, RW, flags, -1, 0)?, place);
    Ok(())
}

fn mmap_fixed_out_of_range_fails() -> Outcome {
    for address in [
        0xffff_0000_0000_0000,
        0x0100_0000_0000_0000,
        usize::MAX - PAGE + 1,
    ] {
        let result = map(address, PAGE, RW, ANON | MAP_FIXED, -1, 0);
        check_eq!(result, Err(Errno::ENOMEM));
    }
    Ok(())
}

fn munmap_takes_pages_away() -> Outcome {
    let pages = Mapping::anonymous(2 * PAGE, RW, Sharing::Private)?;
    pages.store(0, 1);
    pages.store(PAGE, 1);
    call(nr::MUNMAP, [pages.address() + PAGE, PAGE])?;
    check_eq!(pages.load(0), 1);
    let status = in_child(|| i32::from(pages.load(PAGE)))?;
    check_eq!(status, Status::Signaled(signal::SIGSEGV));
    Ok(())
}

fn munmap_of_the_middle_keeps_the_rest() -> Outcome {
    let pages = Mapping::anonymous(5 * PAGE, RW, Sharing::Private)?;
    (0..5).for_each(|page| pages.store(page * PAGE, page as u8 + 1));
    call(nr::MUNMAP, [pages.address() + 2 * PAGE, PAGE])?;
    for page in [0, 1, 3, 4] {
        check_eq!(pages.load(page * PAGE), page as u8 + 1);
    }
    let status = in_child(|| i32::from(pages.load(2 * PAGE)))?;
    check_eq!(status, Status::Signaled(signal::SIGSEGV));
    Ok(())
}

fn munmap_of_nothing_is_fine() -> Outcome {
    let pages = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    let place = pages.address();
    drop(pages);
    check_eq!(call(nr::MUNMAP, [place, PAGE])?, 0);
    Ok(())
}

fn munmap_bad_arguments_are_einval() -> Outcome {
    let pages = Mapping::anonymous(PAGE, RW, Sharing::Private)?;
    check_eq!(
        call(nr::MUNMAP, [pages.address() + 1, PAGE]),
        Err(Errno::EINVAL)
    );
    check_eq!(call(nr::MUNMAP, [pages.address(), 0]), Err(Errno::EINVAL));
    check_eq!(
        call(nr::MUNMAP, [pages.address(), usize::MAX - 5]),
        Err(Errno::EINVAL)
    );
    check_eq!(
        call(nr::MUNMAP, [0xffff_0000_0000_0000, PAGE]),
        Err(Errno::EINVAL)
    );
    pages.store(0, 1);
    Ok(())
}

fn mmap_shared_is_seen_by_a_child() -> Outcome {
    let shared = Mapping::anonymous(2 * PAGE, RW, Sharing::Shared)?;
    shared.store(0, 1);
    let status = in_child(|| {
        let seen = shared.load(0);
        shared.store(0, 2);
        // A page that nobody touched before the fork.
        shared.store(PAGE, 3);
        i32::from(seen != 1)
    })?;
    check_eq!(status, Status::Exited(0));
    check_eq!((shared.load(0), shared.load(PAGE)), (2, 3));
    Ok(())
}

/// A file of that length: byte `i` is `i % 253`.
fn file(path: &str, length: usize) -> Result<Fd> {
    let contents: Vec<u8> = (0..length).map(|index| (index % 253) as u8).collect();
    fs::write(path, &contents)?;
    fs::open_with(path, open::O_RDWR, 0)
}

fn mmap_file_private_shows_the_file_and_keeps_writes() -> Outcome {
    let path = "/tmp/mmap_private";
    let file = file(path, 3 * PAGE)?;
    let pages = Mapping::file(&file, PAGE as u64, 2 * PAGE, RW, Sharing::Private)?;
    check!((0..2 * PAGE).all(|index| pages.load(index) == ((index + PAGE) % 253) as u8));
    pages.store(0, 255);
    let mut byte = [0];
    io::pread(&file, &mut byte, PAGE as i64)?;
    check_eq!(byte[0], (PAGE % 253) as u8);
    check_eq!(pages.load(0), 255);
    fs::remove_file(path)?;
    Ok(())
}

fn mmap_file_shared_writes_reach_the_file() -> Outcome {
    let path = "/tmp/mmap_shared";
    let file = file(path, 2 * PAGE)?;
    let pages = Mapping::file(&file, 0, 2 * PAGE, RW, Sharing::Shared)?;
    pages.store(5000, 255);
    let mut byte = [0];
    io::pread(&file, &mut byte, 5000)?;
    check_eq!(byte[0], 255);
    // And the other way round.
    io::pwrite(&file, &[254], 6000)?;
    check_eq!(pages.load(6000), 254);
    let second = Mapping::file(&file, 0, 2 * PAGE, PROT_READ, Sharing::Shared)?;
    check_eq!((second.load(5000), second.load(6000)), (255, 254));
    fs::remove_file(path)?;
    Ok(())
}

fn mmap_file_behind_its_end_is_sigbus() -> Outcome {
    let path = "/tmp/mmap_end";
    let file = file(path, 100)?;
    let pages = Mapping::file(&file, 0, 2 * PAGE, PROT_READ, Sharing::Shared)?;
    check_eq!(pages.load(99), 99);
    let status = in_child(|| i32::from(pages.load(PAGE)))?;
    check_eq!(status, Status::Signaled(signal::SIGBUS));
    fs::remove_file(path)?;
    Ok(())
}

fn mmap_file_tail_of_last_page_is_zero() -> Outcome {
    let path = "/tmp/mmap_tail";
    let file = file(path, PAGE + 100)?;
    let pages = Mapping::file(&file, 0, 2 * PAGE, PROT_READ, Sharing::Private)?;
    check_eq!(pages.load(PAGE + 99), ((PAGE + 99) % 253) as u8);
    check!((PAGE + 100..2 * PAGE).all(|index| pages.load(index) == 0));
    fs::remove_file(path)?;
    Ok(())
}

fn mmap_file_outlives_its_descriptor_and_name() -> Outcome {
    let path = "/tmp/mmap_outlives";
    let file = file(path, PAGE)?;
    let pages = Mapping::file(&file, 0, PAGE, PROT_READ, Sharing::Shared)?;
    drop(file);
    fs::remove_file(path)?;
    check_eq!(pages.load(77), 77);
    Ok(())
}

fn mmap_file_permissions_are_checked() -> Outcome {
    let path = "/tmp/mmap_permissions";
    drop(file(path, PAGE)?);
    let read_only = fs::open(path)?;
    let write_only = fs::open_with(path, open::O_WRONLY, 0)?;
    let try_map = |file: &Fd, prot, sharing| Mapping::file(file, 0, PAGE, prot, sharing).map(drop);
    check_eq!(try_map(&read_only, RW, Sharing::Shared), Err(Errno::EACCES));
    check_eq!(try_map(&read_only, RW, Sharing::Private), Ok(()));
    check_eq!(
        try_map(&write_only, PROT_WRITE, Sharing::Shared),
        Err(Errno::EACCES)
    );
    check_eq!(
        try_map(&write_only, PROT_READ, Sharing::Private),
        Err(Errno::EACCES)
    );
    let shared = Mapping::file(&read_only, 0, PAGE, PROT_READ, Sharing::Shared)?;
    check_eq!(shared.protect(0, PAGE, RW), Err(Errno::EACCES));
    fs::remove_file(path)?;
    Ok(())
}

fn mmap_of_a_pipe_is_enodev() -> Outcome {
    let (reader, _writer) = halyard_rt::fd::pipe()?;
    let result = map(0, PAGE, PROT_READ, MAP_SHARED, reader.fd(), 0);
    check_eq!(result, Err(Errno::ENODEV));
    Ok(())
}

fn large_mapping_touched_everywhere_holds_its_values() -> Outcome {
    const PAGES: usize = 2048;
    let pages = Mapping::anonymous(PAGES * PAGE, RW, Sharing::Private)?;
    (0..PAGES).for_each(|page| pages.store(page * PAGE + page % PAGE, page as u8 | 1));
    for page in 0..PAGES {
        check_eq!(pages.load(page * PAGE + page % PAGE), page as u8 | 1);
    }
    // An untouched reservation costs nothing.
    let reserved = Mapping::anonymous(1 << 36, PROT_NONE, Sharing::Private);
    check!(reserved.is_ok());
    Ok(())
}

fn read_into_fresh_memory_resolves_it() -> Outcome {
    let pages = Mapping::anonymous(4 * PAGE, RW, Sharing::Private)?;
    let zero = fs::open("/dev/zero")?;
    let (reader, writer) = halyard_rt::fd::pipe()?;
    io::write_all(&writer, &[6; 3 * PAGE])?;
    let start = pages.address() + 100;
    check_eq!(
        call(nr::READ, [reader.fd() as usize, start, 3 * PAGE])?,
        3 * PAGE
    );
    check_eq!(
        (pages.load(99), pages.load(100), pages.load(3 * PAGE + 99)),
        (0, 6, 6)
    );
    check_eq!(pages.load(3 * PAGE + 100), 0);
    check_eq!(
        call(nr::READ, [zero.fd() as usize, start, 3 * PAGE])?,
        3 * PAGE
    );
    check_eq!(pages.load(100), 0);
    Ok(())
}
