//! Descriptors: dup, fcntl, close, what is shared and what is not.

use halyard_rt::fd::{self, Fd, fcntl};
use halyard_rt::io::Seek;
use halyard_rt::process::Status;
use halyard_rt::raw::general::{F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFD, F_SETFL};
use halyard_rt::{fs, io, net, nr, open, prelude::*};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child};

suite!(
    open_gives_the_lowest_number,
    close_twice_is_ebadf,
    bad_descriptors_are_ebadf_everywhere,
    dup_shares_the_position,
    dup_clears_cloexec,
    dup3_replaces_the_target,
    dup3_of_the_same_is_einval,
    dup3_out_of_range_is_ebadf,
    fcntl_dupfd_gives_at_least_that_number,
    fcntl_cloexec_is_set_and_cleared,
    fcntl_flags_tell_how_it_was_opened_but_not_how_it_was_made,
    fcntl_flags_of_what_has_no_name_are_its_own,
    fcntl_flags_change_only_what_may,
    fcntl_unknown_command_is_einval,
    fork_shares_the_position,
    fork_copies_the_table,
    separate_opens_have_separate_positions,
    many_descriptors_can_be_open,
);

fn scratch(name: &str) -> Result<Fd> {
    fs::write(name, b"0123456789")?;
    let file = fs::open_with(name, open::O_RDWR, 0)?;
    fs::remove_file(name)?;
    Ok(file)
}

fn open_gives_the_lowest_number() -> Outcome {
    let (a, b, c) = (fs::open("/")?, fs::open("/")?, fs::open("/")?);
    check!(a.fd() < b.fd() && b.fd() < c.fd());
    let number = b.fd();
    drop(b);
    check_eq!(fs::open("/")?.fd(), number);
    drop(a);
    Ok(())
}

fn close_twice_is_ebadf() -> Outcome {
    let number = fs::open("/")?.into_raw();
    check_eq!(fd::close(number), Ok(()));
    check_eq!(fd::close(number), Err(Errno::EBADF));
    check_eq!(fd::close(-1), Err(Errno::EBADF));
    Ok(())
}

fn bad_descriptors_are_ebadf_everywhere() -> Outcome {
    let page = [0u8; 256];
    let at = page.as_ptr() as usize;
    for number in [-1i32, 777, i32::MAX, i32::MIN] {
        let fd = number as usize;
        check_eq!(call(nr::READ, [fd, at, 1]), Err(Errno::EBADF));
        check_eq!(call(nr::WRITE, [fd, at, 1]), Err(Errno::EBADF));
        check_eq!(call(nr::READV, [fd, at, 0]), Err(Errno::EBADF));
        check_eq!(call(nr::WRITEV, [fd, at, 0]), Err(Errno::EBADF));
        check_eq!(call(nr::PREAD64, [fd, at, 1, 0]), Err(Errno::EBADF));
        check_eq!(call(nr::LSEEK, [fd, 0, 0]), Err(Errno::EBADF));
        check_eq!(call(nr::FSTAT, [fd, at]), Err(Errno::EBADF));
        check_eq!(call(nr::FTRUNCATE, [fd, 0]), Err(Errno::EBADF));
        check_eq!(call(nr::IOCTL, [fd, 0x5401, at]), Err(Errno::EBADF));
        check_eq!(call(nr::GETDENTS64, [fd, at, 256]), Err(Errno::EBADF));
        check_eq!(call(nr::DUP, [fd]), Err(Errno::EBADF));
        check_eq!(call(nr::FCNTL, [fd, F_GETFL as usize]), Err(Errno::EBADF));
        check_eq!(call(nr::FCHDIR, [fd]), Err(Errno::EBADF));
    }
    Ok(())
}

fn fcntl_flags_tell_how_it_was_opened_but_not_how_it_was_made() -> Outcome {
    const NAME: &str = "/tmp/flags_of_open";
    let making = open::O_CREAT | open::O_TRUNC | open::O_NOCTTY | open::O_CLOEXEC;
    let kept = open::O_RDWR | open::O_SYNC | open::O_NOFOLLOW | open::O_APPEND;
    let file = fs::open_with(NAME, making | kept, 0o600)?;
    fs::remove_file(NAME)?;
    check_eq!(fd::flags(&file)?, kept | open::O_LARGEFILE);
    let folder = fs::open_with("/tmp", open::O_DIRECTORY, 0)?;
    check_eq!(fd::flags(&folder)?, open::O_DIRECTORY | open::O_LARGEFILE);
    let null = fs::open_with("/dev/null", open::O_WRONLY, 0)?;
    check_eq!(fd::flags(&null)?, open::O_WRONLY | open::O_LARGEFILE);
    let path = open::O_PATH | open::O_DIRECTORY | open::O_NOFOLLOW;
    let named = fs::open_with("/tmp", path | open::O_NONBLOCK, 0)?;
    check_eq!(fd::flags(&named)?, path);
    Ok(())
}

fn fcntl_flags_of_what_has_no_name_are_its_own() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(fd::flags(&reader)?, open::O_RDONLY);
    check_eq!(fd::flags(&writer)?, open::O_WRONLY);
    let (socket, _other) = net::pair(net::SOCK_STREAM)?;
    check_eq!(fd::flags(&socket)?, open::O_RDWR);
    Ok(())
}

fn dup_shares_the_position() -> Outcome {
    let file = scratch("/tmp/dup_position")?;
    let second = fd::dup(&file)?;
    let mut text = [0; 3];
    check_eq!(io::read(&file, &mut text)?, 3);
    check_eq!(io::read(&second, &mut text)?, 3);
    check_eq!(&text, b"345");
    io::seek(&second, Seek::Start(8))?;
    check_eq!(io::read(&file, &mut text)?, 2);
    Ok(())
}

fn dup_clears_cloexec() -> Outcome {
    let file = fs::open_with("/", open::O_CLOEXEC, 0)?;
    check!(fd::cloexec(&file)?);
    check!(!fd::cloexec(fd::dup(&file)?)?);
    check!(!fd::cloexec(
        Fd::from_raw(fcntl(&file, F_DUPFD, 0)? as i32)
    )?);
    check!(fd::cloexec(Fd::from_raw(
        fcntl(&file, F_DUPFD_CLOEXEC, 0)? as i32
    ))?);
    fd::dup3(&file, 50, open::O_CLOEXEC)?;
    check!(fd::cloexec(50)?);
    fd::dup3(&file, 50, 0)?;
    check!(!fd::cloexec(50)?);
    Ok(())
}

fn dup3_replaces_the_target() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let file = scratch("/tmp/dup3_target")?;
    fd::dup3(&writer, 60, 0)?;
    drop(writer);
    // The last writing end goes as its number gets another file.
    fd::dup3(&file, 60, 0)?;
    check_eq!(io::read(&reader, &mut [0])?, 0);
    let mut text = [0; 2];
    check_eq!(io::read(60, &mut text)?, 2);
    check_eq!(&text, b"01");
    Ok(())
}

fn dup3_of_the_same_is_einval() -> Outcome {
    let file = fs::open("/")?;
    check_eq!(fd::dup3(&file, file.fd(), 0), Err(Errno::EINVAL));
    check_eq!(fd::dup3(&file, 70, open::O_APPEND), Err(Errno::EINVAL));
    check_eq!(fd::dup3(-1, 70, 0), Err(Errno::EBADF));
    Ok(())
}

fn dup3_out_of_range_is_ebadf() -> Outcome {
    let file = fs::open("/")?;
    check_eq!(fd::dup3(&file, -1, 0), Err(Errno::EBADF));
    check_eq!(fd::dup3(&file, i32::MAX, 0), Err(Errno::EBADF));
    check_eq!(fcntl(&file, F_DUPFD, i32::MAX as usize), Err(Errno::EINVAL));
    Ok(())
}

fn fcntl_dupfd_gives_at_least_that_number() -> Outcome {
    let file = fs::open("/")?;
    let first = Fd::from_raw(fcntl(&file, F_DUPFD, 100)? as i32);
    check_eq!(first.fd(), 100);
    let second = Fd::from_raw(fcntl(&file, F_DUPFD, 100)? as i32);
    check_eq!(second.fd(), 101);
    Ok(())
}

fn fcntl_cloexec_is_set_and_cleared() -> Outcome {
    let file = fs::open_with("/", 0, 0)?;
    check_eq!(fcntl(&file, F_GETFD, 0)?, 0);
    fcntl(&file, F_SETFD, 1)?;
    check_eq!(fcntl(&file, F_GETFD, 0)?, 1);
    fcntl(&file, F_SETFD, 0)?;
    check_eq!(fcntl(&file, F_GETFD, 0)?, 0);
    Ok(())
}

fn fcntl_flags_change_only_what_may() -> Outcome {
    let file = scratch("/tmp/fcntl_flags")?;
    let mode = |flags: u32| flags & open::O_ACCMODE;
    check_eq!(mode(fd::flags(&file)?), open::O_RDWR);
    let wanted = open::O_APPEND | open::O_NONBLOCK | open::O_WRONLY | open::O_TRUNC;
    fcntl(&file, F_SETFL, wanted as usize)?;
    let now = fd::flags(&file)?;
    check_eq!(mode(now), open::O_RDWR);
    check!(now & open::O_APPEND != 0 && now & open::O_NONBLOCK != 0);
    check_eq!(now & open::O_TRUNC, 0);
    check_eq!(fs::metadata_of(&file)?.size(), 10);
    fcntl(&file, F_SETFL, 0)?;
    check_eq!(fd::flags(&file)? & (open::O_APPEND | open::O_NONBLOCK), 0);
    Ok(())
}

fn fcntl_unknown_command_is_einval() -> Outcome {
    let file = fs::open("/")?;
    check_eq!(fcntl(&file, 9999, 0), Err(Errno::EINVAL));
    Ok(())
}

fn fork_shares_the_position() -> Outcome {
    let file = scratch("/tmp/fork_position")?;
    let status = in_child(|| i32::from(io::read(&file, &mut [0; 4]) != Ok(4)))?;
    check_eq!(status, Status::Exited(0));
    check_eq!(io::seek(&file, Seek::Current(0))?, 4);
    Ok(())
}

fn fork_copies_the_table() -> Outcome {
    let file = fs::open("/")?;
    let number = file.fd();
    check_eq!(
        in_child(|| i32::from(fd::close(number).is_err()))?,
        Status::Exited(0)
    );
    check!(fd::flags(&file).is_ok());
    Ok(())
}

fn separate_opens_have_separate_positions() -> Outcome {
    let path = "/tmp/separate";
    fs::write(path, b"0123456789")?;
    let (first, second) = (fs::open(path)?, fs::open(path)?);
    let mut byte = [0];
    io::read(&first, &mut [0; 5])?;
    io::read(&second, &mut byte)?;
    check_eq!(byte, [b'0']);
    fs::remove_file(path)?;
    Ok(())
}

fn many_descriptors_can_be_open() -> Outcome {
    let all = (0..200)
        .map(|_| fs::open("/"))
        .collect::<Result<Vec<_>>>()?;
    check!(all.windows(2).all(|pair| pair[0].fd() < pair[1].fd()));
    Ok(())
}
