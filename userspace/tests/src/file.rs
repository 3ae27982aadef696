//! Files: opening, reading, writing, positions, lengths, what stays of a removed one.

use halyard_rt::fs::{self, Kind};
use halyard_rt::io::{self, Seek};
use halyard_rt::{nr, open, prelude::*};

use crate::runner::suite;
use crate::support::{Outcome, Shared, call, check, check_eq};

suite!(
    open_of_nothing_is_enoent,
    open_through_a_file_is_enotdir,
    open_excl_of_existing_is_eexist,
    open_trunc_empties,
    open_directory_for_writing_is_eisdir,
    open_name_too_long_is_enametoolong,
    open_empty_name_is_enoent,
    open_creates_with_mask,
    open_relative_to_a_directory,
    write_and_read_go_through_the_position,
    write_read_only_is_ebadf,
    append_writes_at_the_end,
    append_from_many_processes_loses_nothing,
    seek_counts_from_everywhere,
    seek_before_the_start_is_einval,
    fionread_tells_what_lies_behind_the_position,
    sparse_file_reads_zeros,
    truncate_cuts_and_lengthens,
    pread_and_pwrite_leave_the_position,
    readv_and_writev_gather,
    unlinked_file_lives_until_closed,
    stat_tells_what_it_is,
    rewritten_file_gives_memory_back,
    device_null_swallows,
    device_zero_gives_zeros,
    device_write_of_any_length_ends,
    device_urandom_gives_noise,
    device_numbers_are_linux_ones,
    getrandom_fills,
    large_file_keeps_its_contents,
);

fn fionread_tells_what_lies_behind_the_position() -> Outcome {
    fs::write("/tmp/behind", b"0123456789")?;
    let file = fs::open("/tmp/behind")?;
    fs::remove_file("/tmp/behind")?;
    check_eq!(io::readable_bytes(&file)?, 10);
    io::read(&file, &mut [0; 3])?;
    check_eq!(io::readable_bytes(&file)?, 7);
    io::seek(&file, Seek::Start(15))?;
    check_eq!(io::readable_bytes(&file)? as i32, -5);
    Ok(())
}

fn open_of_nothing_is_enoent() -> Outcome {
    check_eq!(fs::open("/tmp/nothing").map(drop), Err(Errno::ENOENT));
    check_eq!(fs::open("/nowhere/x").map(drop), Err(Errno::ENOENT));
    check_eq!(fs::create("/nowhere/x").map(drop), Err(Errno::ENOENT));
    Ok(())
}

fn open_through_a_file_is_enotdir() -> Outcome {
    fs::write("/tmp/through", b"")?;
    check_eq!(fs::open("/tmp/through/x").map(drop), Err(Errno::ENOTDIR));
    check_eq!(fs::open("/tmp/through/").map(drop), Err(Errno::ENOTDIR));
    let directory_only = fs::open_with("/tmp/through", open::O_DIRECTORY, 0);
    check_eq!(directory_only.map(drop), Err(Errno::ENOTDIR));
    fs::remove_file("/tmp/through")?;
    Ok(())
}

fn open_excl_of_existing_is_eexist() -> Outcome {
    let flags = open::O_WRONLY | open::O_CREAT | open::O_EXCL;
    drop(fs::open_with("/tmp/excl", flags, 0o600)?);
    check_eq!(
        fs::open_with("/tmp/excl", flags, 0o600).map(drop),
        Err(Errno::EEXIST)
    );
    // Not even a link that leads nowhere is followed.
    fs::symlink("/tmp/excl_target", "/tmp/excl_link")?;
    check_eq!(
        fs::open_with("/tmp/excl_link", flags, 0o600).map(drop),
        Err(Errno::EEXIST)
    );
    fs::remove_file("/tmp/excl")?;
    fs::remove_file("/tmp/excl_link")?;
    Ok(())
}

fn open_trunc_empties() -> Outcome {
    fs::write("/tmp/trunc", b"contents")?;
    drop(fs::open_with(
        "/tmp/trunc",
        open::O_WRONLY | open::O_TRUNC,
        0,
    )?);
    check_eq!(fs::metadata("/tmp/trunc")?.size(), 0);
    fs::remove_file("/tmp/trunc")?;
    Ok(())
}

fn open_directory_for_writing_is_eisdir() -> Outcome {
    for flags in [open::O_WRONLY, open::O_RDWR] {
        check_eq!(
            fs::open_with("/tmp", flags, 0).map(drop),
            Err(Errno::EISDIR)
        );
    }
    check_eq!(fs::create("/tmp").map(drop), Err(Errno::EISDIR));
    let directory = fs::open("/tmp")?;
    check_eq!(io::read(&directory, &mut [0]), Err(Errno::EISDIR));
    Ok(())
}

fn open_name_too_long_is_enametoolong() -> Outcome {
    let name = "n".repeat(256);
    check_eq!(
        fs::open(format!("/tmp/{name}")).map(drop),
        Err(Errno::ENAMETOOLONG)
    );
    let path = "/tmp/.".repeat(1000);
    check_eq!(fs::open(path).map(drop), Err(Errno::ENAMETOOLONG));
    fs::write(format!("/tmp/{}", &name[..255]), b"")?;
    fs::remove_file(format!("/tmp/{}", &name[..255]))?;
    Ok(())
}

fn open_empty_name_is_enoent() -> Outcome {
    check_eq!(fs::open("").map(drop), Err(Errno::ENOENT));
    check_eq!(fs::metadata("").map(drop), Err(Errno::ENOENT));
    Ok(())
}

fn open_creates_with_mask() -> Outcome {
    call(nr::UMASK, [0o027])?;
    let create = |path, mode| fs::open_with(path, open::O_WRONLY | open::O_CREAT, mode);
    drop(create("/tmp/mask", 0o666)?);
    check_eq!(fs::metadata("/tmp/mask")?.permissions(), 0o640);
    check_eq!(call(nr::UMASK, [0o777])?, 0o027);
    check_eq!(call(nr::UMASK, [0])?, 0o777);
    fs::remove_file("/tmp/mask")?;
    drop(create("/tmp/mask", 0o751)?);
    check_eq!(fs::metadata("/tmp/mask")?.permissions(), 0o751);
    fs::remove_file("/tmp/mask")?;
    Ok(())
}

fn open_relative_to_a_directory() -> Outcome {
    fs::create_dir("/tmp/rel", 0o755)?;
    fs::write("/tmp/rel/file", b"here")?;
    let directory = fs::open("/tmp/rel")?;
    let at = |fd: usize, name: &[u8]| call(nr::OPENAT, [fd, name.as_ptr() as usize, 0, 0]);
    let opened = Fd::from_raw(at(directory.fd() as usize, b"file\0")? as i32);
    let mut text = [0; 8];
    check_eq!(io::read(&opened, &mut text)?, 4);
    check_eq!(at(opened.fd() as usize, b"x\0"), Err(Errno::ENOTDIR));
    check_eq!(at(999, b"x\0"), Err(Errno::EBADF));
    // An absolute name needs no directory.
    Fd::from_raw(at(999, b"/tmp\0")? as i32);
    fs::remove_file("/tmp/rel/file")?;
    fs::remove_dir("/tmp/rel")?;
    Ok(())
}

fn write_and_read_go_through_the_position() -> Outcome {
    let file = fs::open_with("/tmp/position", open::O_RDWR | open::O_CREAT, 0o600)?;
    check_eq!(io::write(&file, b"hello ")?, 6);
    check_eq!(io::write(&file, b"world")?, 5);
    let mut text = [0; 32];
    check_eq!(io::read(&file, &mut text)?, 0);
    io::seek(&file, Seek::Start(3))?;
    check_eq!(io::read(&file, &mut text)?, 8);
    check_eq!(&text[..8], b"lo world");
    io::seek(&file, Seek::Start(1))?;
    io::write(&file, b"E")?;
    check_eq!(fs::read("/tmp/position")?, b"hEllo world");
    fs::remove_file("/tmp/position")?;
    Ok(())
}

fn write_read_only_is_ebadf() -> Outcome {
    fs::write("/tmp/modes", b"x")?;
    let reader = fs::open("/tmp/modes")?;
    let writer = fs::open_with("/tmp/modes", open::O_WRONLY, 0)?;
    check_eq!(io::write(&reader, b"y"), Err(Errno::EBADF));
    check_eq!(io::read(&writer, &mut [0]), Err(Errno::EBADF));
    check_eq!(fs::set_length(&reader, 0), Err(Errno::EINVAL));
    fs::remove_file("/tmp/modes")?;
    Ok(())
}

fn append_writes_at_the_end() -> Outcome {
    fs::write("/tmp/append", b"start")?;
    let file = fs::open_with("/tmp/append", open::O_WRONLY | open::O_APPEND, 0)?;
    check_eq!(io::seek(&file, Seek::Start(0))?, 0);
    io::write(&file, b"+end")?;
    check_eq!(io::seek(&file, Seek::Current(0))?, 9);
    check_eq!(fs::read("/tmp/append")?, b"start+end");
    fs::remove_file("/tmp/append")?;
    Ok(())
}

fn append_from_many_processes_loses_nothing() -> Outcome {
    let path = "/tmp/append_many";
    fs::write(path, b"")?;
    let shared = Shared::new()?;
    for _ in 0..4 {
        process::spawn(|| {
            let Ok(file) = fs::open_with(path, open::O_WRONLY | open::O_APPEND, 0) else {
                return 1;
            };
            for _ in 0..50 {
                if io::write(&file, b"0123456") == Ok(7) {
                    shared.add(0, 1);
                }
            }
            0
        })?;
    }
    for _ in 0..4 {
        process::wait()?;
    }
    check_eq!(shared.get(0), 200);
    let contents = fs::read(path)?;
    check_eq!(contents.len(), 1400);
    check!(contents.chunks(7).all(|chunk| chunk == b"0123456"));
    fs::remove_file(path)?;
    Ok(())
}

fn seek_counts_from_everywhere() -> Outcome {
    fs::write("/tmp/seek", b"0123456789")?;
    let file = fs::open("/tmp/seek")?;
    check_eq!(io::seek(&file, Seek::End(-2))?, 8);
    check_eq!(io::seek(&file, Seek::Current(-3))?, 5);
    check_eq!(io::seek(&file, Seek::Start(100))?, 100);
    check_eq!(io::read(&file, &mut [0])?, 0);
    check_eq!(io::seek(&file, Seek::Current(0))?, 100);
    fs::remove_file("/tmp/seek")?;
    Ok(())
}

fn seek_before_the_start_is_einval() -> Outcome {
    fs::write("/tmp/seek_bad", b"0123456789")?;
    let file = fs::open("/tmp/seek_bad")?;
    io::seek(&file, Seek::Start(4))?;
    check_eq!(io::seek(&file, Seek::Current(-5)), Err(Errno::EINVAL));
    check_eq!(io::seek(&file, Seek::Start(-1)), Err(Errno::EINVAL));
    check_eq!(io::seek(&file, Seek::End(i64::MIN)), Err(Errno::EINVAL));
    check_eq!(
        call(nr::LSEEK, [file.fd() as usize, 0, 99]),
        Err(Errno::EINVAL)
    );
    check_eq!(io::seek(&file, Seek::Current(0))?, 4);
    fs::remove_file("/tmp/seek_bad")?;
    Ok(())
}

fn sparse_file_reads_zeros() -> Outcome {
    const FAR: i64 = 3_000_000;
    let file = fs::open_with("/tmp/sparse", open::O_RDWR | open::O_CREAT, 0o600)?;
    check_eq!(io::pwrite(&file, b"end", FAR)?, 3);
    check_eq!(fs::metadata_of(&file)?.size(), FAR as u64 + 3);
    check!(fs::metadata_of(&file)?.blocks() * 512 < 100_000);
    let mut text = [1; 16];
    check_eq!(io::pread(&file, &mut text, FAR / 2)?, 16);
    check_eq!(text, [0; 16]);
    check_eq!(io::pread(&file, &mut text, FAR - 2)?, 5);
    check_eq!(&text[..5], b"\0\0end");
    fs::remove_file("/tmp/sparse")?;
    Ok(())
}

fn truncate_cuts_and_lengthens() -> Outcome {
    fs::write("/tmp/length", b"0123456789")?;
    let file = fs::open_with("/tmp/length", open::O_RDWR, 0)?;
    fs::set_length(&file, 4)?;
    fs::set_length(&file, 8)?;
    // What was cut off does not come back.
    check_eq!(fs::read("/tmp/length")?, b"0123\0\0\0\0");
    check_eq!(fs::set_length(&file, u64::MAX), Err(Errno::EINVAL));
    let path = c"/tmp/length".as_ptr() as usize;
    check_eq!(call(nr::TRUNCATE, [path, 2])?, 0);
    check_eq!(fs::read("/tmp/length")?, b"01");
    fs::remove_file("/tmp/length")?;
    Ok(())
}

fn pread_and_pwrite_leave_the_position() -> Outcome {
    fs::write("/tmp/pread", b"0123456789")?;
    let file = fs::open_with("/tmp/pread", open::O_RDWR, 0)?;
    let mut text = [0; 3];
    check_eq!(io::pread(&file, &mut text, 5)?, 3);
    check_eq!(&text, b"567");
    check_eq!(io::pwrite(&file, b"xy", 1)?, 2);
    check_eq!(io::seek(&file, Seek::Current(0))?, 0);
    check_eq!(io::pread(&file, &mut text, -1), Err(Errno::EINVAL));
    check_eq!(io::pread(&file, &mut text, 100)?, 0);
    fs::remove_file("/tmp/pread")?;
    Ok(())
}

fn readv_and_writev_gather() -> Outcome {
    let (reader, writer) = halyard_rt::fd::pipe()?;
    let (one, two) = (b"one", b"three");
    let parts = [
        [one.as_ptr() as usize, one.len()],
        [0, 0],
        [two.as_ptr() as usize, two.len()],
    ];
    let list = parts.as_ptr() as usize;
    check_eq!(call(nr::WRITEV, [writer.fd() as usize, list, 3])?, 8);
    let (mut first, mut second) = ([0u8; 4], [0u8; 10]);
    let parts = [
        [first.as_mut_ptr() as usize, 4],
        [second.as_mut_ptr() as usize, 10],
    ];
    let list = parts.as_ptr() as usize;
    check_eq!(call(nr::READV, [reader.fd() as usize, list, 2])?, 8);
    check_eq!(
        (
            &core::hint::black_box(first),
            &core::hint::black_box(second)[..4]
        ),
        (b"onet", &b"hree"[..])
    );
    let fd = writer.fd() as usize;
    check_eq!(call(nr::WRITEV, [fd, list, 1025]), Err(Errno::EINVAL));
    check_eq!(call(nr::WRITEV, [fd, list, usize::MAX]), Err(Errno::EINVAL));
    check_eq!(call(nr::WRITEV, [fd, 8, 1]), Err(Errno::EFAULT));
    let negative = [[list, usize::MAX]];
    check_eq!(
        call(nr::WRITEV, [fd, negative.as_ptr() as usize, 1]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn unlinked_file_lives_until_closed() -> Outcome {
    fs::write("/tmp/unlinked", b"still here")?;
    let file = fs::open_with("/tmp/unlinked", open::O_RDWR, 0)?;
    fs::remove_file("/tmp/unlinked")?;
    check!(!fs::exists("/tmp/unlinked"));
    check_eq!(fs::metadata_of(&file)?.links(), 0);
    let mut text = [0; 10];
    check_eq!(io::read(&file, &mut text)?, 10);
    check_eq!(io::write(&file, b"!")?, 1);
    // The name is free for another.
    fs::write("/tmp/unlinked", b"new")?;
    check_eq!(fs::metadata_of(&file)?.size(), 11);
    check_eq!(fs::metadata("/tmp/unlinked")?.size(), 3);
    fs::remove_file("/tmp/unlinked")?;
    Ok(())
}

fn stat_tells_what_it_is() -> Outcome {
    fs::write("/tmp/stat", &[0; 5000])?;
    fs::set_permissions("/tmp/stat", 0o604)?;
    let found = fs::metadata("/tmp/stat")?;
    check_eq!((found.kind(), found.permissions()), (Kind::Regular, 0o604));
    check_eq!((found.size(), found.links()), (5000, 1));
    check!(found.blocks() * 512 >= 5000);
    let open = fs::metadata_of(fs::open("/tmp/stat")?)?;
    check_eq!(
        (open.inode(), open.device()),
        (found.inode(), found.device())
    );
    let other = fs::metadata("/tmp")?;
    check!(other.inode() != found.inode());
    check_eq!(other.kind(), Kind::Directory);
    fs::remove_file("/tmp/stat")?;
    Ok(())
}

fn rewritten_file_gives_memory_back() -> Outcome {
    let path = "/tmp/rewritten";
    fs::write(path, &vec![1; 100_000])?;
    let before = crate::system::live_objects();
    for _ in 0..20 {
        fs::write(path, &vec![2; 100_000])?;
    }
    check_eq!(crate::system::live_objects_settled(&before), before);
    fs::remove_file(path)?;
    Ok(())
}

fn device_null_swallows() -> Outcome {
    let null = fs::open_with("/dev/null", open::O_RDWR, 0)?;
    check_eq!(io::write(&null, &[1; 5000])?, 5000);
    check_eq!(io::read(&null, &mut [1; 10])?, 0);
    Ok(())
}

fn device_zero_gives_zeros() -> Outcome {
    let zero = fs::open_with("/dev/zero", open::O_RDWR, 0)?;
    let mut bytes = [1; 5000];
    check_eq!(io::read(&zero, &mut bytes)?, 5000);
    check!(bytes.iter().all(|&byte| byte == 0));
    check_eq!(io::write(&zero, &[1; 10])?, 10);
    Ok(())
}

fn device_write_of_any_length_ends() -> Outcome {
    let bytes = vec![1; 300_000];
    for name in ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"] {
        let device = fs::open_with(name, open::O_WRONLY, 0)?;
        for length in [1, 20_000, 200_000, 300_000] {
            let written = io::write(&device, &bytes[..length]);
            check_eq!((name, written), (name, Ok(length)));
            let at = bytes.as_ptr() as usize;
            let parts = [at, length, at, 7];
            let args = [device.fd() as usize, parts.as_ptr() as usize, 2];
            check_eq!((name, call(nr::WRITEV, args)), (name, Ok(length + 7)));
        }
    }
    let full = fs::open_with("/dev/full", open::O_WRONLY, 0)?;
    check_eq!(io::write(&full, &bytes), Err(Errno::ENOSPC));
    Ok(())
}

fn device_urandom_gives_noise() -> Outcome {
    let random = fs::open("/dev/urandom")?;
    let (mut first, mut second) = ([0u8; 64], [0u8; 64]);
    check_eq!(io::read(&random, &mut first)?, 64);
    check_eq!(io::read(&random, &mut second)?, 64);
    check!(first != second);
    Ok(())
}

fn device_numbers_are_linux_ones() -> Outcome {
    let expected = [
        ("/dev/null", (1, 3)),
        ("/dev/zero", (1, 5)),
        ("/dev/urandom", (1, 9)),
        ("/dev/tty", (5, 0)),
        ("/dev/console", (5, 1)),
    ];
    for (path, numbers) in expected {
        let found = fs::metadata(path)?;
        check_eq!((path, found.kind()), (path, Kind::CharDevice));
        check_eq!((path, found.device_numbers()), (path, numbers));
    }
    Ok(())
}

fn getrandom_fills() -> Outcome {
    let mut bytes = [0u8; 100];
    let at = bytes.as_mut_ptr() as usize;
    check_eq!(call(nr::GETRANDOM, [at, 100, 0])?, 100);
    check!(core::hint::black_box(bytes).iter().any(|&byte| byte != 0));
    check_eq!(call(nr::GETRANDOM, [at, 100, 0x100]), Err(Errno::EINVAL));
    check_eq!(call(nr::GETRANDOM, [8, 100, 0]), Err(Errno::EFAULT));
    Ok(())
}

fn large_file_keeps_its_contents() -> Outcome {
    let path = "/tmp/large";
    let byte_at = |index: usize| (index / 4096 + index) as u8;
    let data: Vec<u8> = (0..1_000_000).map(byte_at).collect();
    fs::write(path, &data)?;
    check!(fs::read(path)? == data);
    fs::remove_file(path)?;
    Ok(())
}
