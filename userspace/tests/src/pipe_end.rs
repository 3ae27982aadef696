//! Pipes: their ends, and what happens when the other one is gone. Rules 9 to 13, 18 and 19.

use halyard_rt::fd::{self, set_nonblocking};
use halyard_rt::fs::Kind;
use halyard_rt::io::Seek;
use halyard_rt::process::Status;
use halyard_rt::{fs, io, nr, open, prelude::*, raw, signal};

use crate::exec;
use crate::pipe_size::{CAPACITY, fill};
use crate::runner::suite;
use crate::support::{Blocker, Failure, Outcome, call, check, check_eq, in_child};

suite!(
    pipe_09_zero_write_returns_0,
    pipe_09_zero_read_returns_0,
    pipe_10_empty_read_waits_for_data,
    pipe_10_empty_read_nonblocking_is_eagain,
    pipe_10_read_without_writers_drains_then_ends,
    pipe_10_read_waiting_ends_when_last_writer_closes,
    pipe_10_read_takes_what_is_there,
    pipe_10_read_leaves_what_is_written_meanwhile,
    pipe_11_end_waits_for_every_dup,
    pipe_11_end_waits_for_forked_copies,
    pipe_11_end_comes_when_writer_is_killed,
    pipe_12_wrong_end_is_ebadf,
    pipe_12_positions_are_espipe,
    pipe_12_truncate_and_sync_are_einval,
    pipe_13_bad_flags_are_einval,
    pipe_13_no_room_for_two_leaks_none,
    pipe_13_bad_pointer_leaks_none,
    pipe_18_contents_are_counted,
    pipe_18_is_a_fifo_of_size_0,
    pipe_19_nonblock_belongs_to_the_description,
    pipe_19_cloexec_belongs_to_the_descriptor,
    pipe_19_cloexec_end_closes_on_exec,
);

fn pipe_09_zero_write_returns_0() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(io::write(&writer, &[])?, 0);
    fill(&writer)?;
    check_eq!(io::write(&writer, &[])?, 0);
    drop(reader);
    check_eq!(io::write(&writer, &[])?, 0);
    Ok(())
}

fn pipe_09_zero_read_returns_0() -> Outcome {
    let (reader, _writer) = fd::pipe()?;
    check_eq!(io::read(&reader, &mut [])?, 0);
    Ok(())
}

fn pipe_10_empty_read_waits_for_data() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let child = Blocker::start(|| {
        let mut byte = [0];
        i32::from(io::read(&reader, &mut byte) != Ok(1) || byte != [b'!'])
    })?;
    check!(child.blocked()?);
    io::write(&writer, b"!")?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_10_empty_read_nonblocking_is_eagain() -> Outcome {
    let (reader, writer) = fd::pipe2(open::O_NONBLOCK)?;
    let mut byte = [0];
    check_eq!(io::read(&reader, &mut byte), Err(Errno::EAGAIN));
    drop(writer);
    check_eq!(io::read(&reader, &mut byte)?, 0);
    Ok(())
}

fn pipe_10_read_without_writers_drains_then_ends() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    io::write_all(&writer, b"last words")?;
    drop(writer);
    let mut text = [0; 4];
    check_eq!(io::read(&reader, &mut text)?, 4);
    let mut rest = Vec::new();
    check_eq!(io::read_to_end(&reader, &mut rest)?, 6);
    check_eq!(rest, b" words");
    check_eq!(io::read(&reader, &mut text)?, 0);
    Ok(())
}

fn pipe_10_read_waiting_ends_when_last_writer_closes() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let number = writer.fd();
    let child = Blocker::start(|| {
        let _ = fd::close(number);
        i32::from(io::read(&reader, &mut [0; 8]) != Ok(0))
    })?;
    check!(child.blocked()?);
    drop(writer);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_10_read_takes_what_is_there() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    io::write_all(&writer, b"one")?;
    io::write_all(&writer, b"two")?;
    let mut text = [0; 100];
    check_eq!(io::read(&reader, &mut text)?, 6);
    check_eq!(&text[..6], b"onetwo");
    Ok(())
}

fn pipe_10_read_leaves_what_is_written_meanwhile() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let child = Blocker::start(|| {
        let bytes = vec![1; 70_000];
        i32::from(io::write(&writer, &bytes) != Ok(bytes.len()))
    })?;
    check!(child.blocked()?);
    let mut bytes = vec![0; 70_000];
    check_eq!(io::read(&reader, &mut bytes)?, 65_536);
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(io::read(&reader, &mut bytes)?, 70_000 - 65_536);
    Ok(())
}

fn pipe_11_end_waits_for_every_dup() -> Outcome {
    let (reader, writer) = fd::pipe2(open::O_NONBLOCK)?;
    let second = fd::dup(&writer)?;
    drop(writer);
    let mut byte = [0];
    check_eq!(io::read(&reader, &mut byte), Err(Errno::EAGAIN));
    io::write(&second, b"x")?;
    check_eq!(io::read(&reader, &mut byte)?, 1);
    drop(second);
    check_eq!(io::read(&reader, &mut byte)?, 0);
    Ok(())
}

fn pipe_11_end_waits_for_forked_copies() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let (held, release) = fd::pipe()?;
    let number = release.fd();
    let child = process::spawn(|| {
        let _ = fd::close(number);
        i32::from(io::read(&held, &mut [0]) != Ok(0))
    })?;
    drop(writer);
    set_nonblocking(&reader, true)?;
    check_eq!(io::read(&reader, &mut [0]), Err(Errno::EAGAIN));
    set_nonblocking(&reader, false)?;
    drop(release);
    // The child's end closes only as it exits.
    check_eq!(io::read(&reader, &mut [0])?, 0);
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(())
}

fn pipe_11_end_comes_when_writer_is_killed() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let child = Blocker::start(|| {
        // Full, so this blocks until the kill.
        let _ = io::write(&writer, &vec![0; CAPACITY * 2]);
        0
    })?;
    drop(writer);
    check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    let mut data = Vec::new();
    check_eq!(io::read_to_end(&reader, &mut data)?, CAPACITY);
    Ok(())
}

fn pipe_12_wrong_end_is_ebadf() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(io::write(&reader, b"x"), Err(Errno::EBADF));
    check_eq!(io::read(&writer, &mut [0]), Err(Errno::EBADF));
    check_eq!(io::write(&reader, b""), Err(Errno::EBADF));
    check_eq!(io::read(&writer, &mut []), Err(Errno::EBADF));
    Ok(())
}

fn pipe_12_positions_are_espipe() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    io::write_all(&writer, b"data")?;
    for place in [Seek::Start(0), Seek::Current(0), Seek::End(0)] {
        check_eq!(io::seek(&reader, place), Err(Errno::ESPIPE));
        check_eq!(io::seek(&writer, place), Err(Errno::ESPIPE));
    }
    check_eq!(io::pread(&reader, &mut [0], 0), Err(Errno::ESPIPE));
    check_eq!(io::pwrite(&writer, b"x", 0), Err(Errno::ESPIPE));
    Ok(())
}

fn pipe_12_truncate_and_sync_are_einval() -> Outcome {
    let (_reader, writer) = fd::pipe()?;
    check_eq!(fs::set_length(&writer, 0), Err(Errno::EINVAL));
    check_eq!(call(nr::FSYNC, [writer.fd() as usize]), Err(Errno::EINVAL));
    Ok(())
}

fn pipe_13_bad_flags_are_einval() -> Outcome {
    let first_free = fd::dup(STDIN)?.fd();
    for flags in [open::O_CREAT, open::O_APPEND, 1, 1 << 31] {
        check_eq!(fd::pipe2(flags).map(drop), Err(Errno::EINVAL));
    }
    check_eq!(fd::dup(STDIN)?.fd(), first_free);
    for flags in [
        open::O_CLOEXEC,
        open::O_NONBLOCK,
        open::O_CLOEXEC | open::O_NONBLOCK,
    ] {
        let (reader, writer) = fd::pipe2(flags)?;
        for end in [reader, writer] {
            check_eq!(fd::cloexec(&end)?, flags & open::O_CLOEXEC != 0);
            check_eq!(
                fd::flags(&end)? & open::O_NONBLOCK,
                flags & open::O_NONBLOCK
            );
        }
    }
    Ok(())
}

/// Lets this process have no more than `count` descriptors.
fn limit_descriptors(count: u64) -> core::result::Result<(), Failure> {
    let limits = [count, count];
    let resource = raw::general::RLIMIT_NOFILE as usize;
    match call(nr::PRLIMIT64, [0, resource, limits.as_ptr() as usize, 0]) {
        Ok(_) => Ok(()),
        Err(Errno::ENOSYS) => Err(Failure::Skip("there is no prlimit64".to_owned())),
        Err(errno) => Err(errno.into()),
    }
}

fn pipe_13_no_room_for_two_leaks_none() -> Outcome {
    let free = fd::dup(STDIN)?.fd();
    // Room for one descriptor: a pipe needs two.
    limit_descriptors(free as u64 + 1)?;
    for _ in 0..3 {
        check_eq!(fd::pipe().map(drop), Err(Errno::EMFILE));
    }
    check_eq!(fd::dup(STDIN)?.fd(), free);
    Ok(())
}

fn pipe_13_bad_pointer_leaks_none() -> Outcome {
    let free = fd::dup(STDIN)?.fd();
    for _ in 0..3 {
        check_eq!(call(nr::PIPE2, [8, 0]), Err(Errno::EFAULT));
    }
    check_eq!(fd::dup(STDIN)?.fd(), free);
    Ok(())
}

fn pipe_18_contents_are_counted() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(io::readable_bytes(&reader)?, 0);
    io::write_all(&writer, &[0; 5000])?;
    check_eq!(io::readable_bytes(&reader)?, 5000);
    check_eq!(io::readable_bytes(&writer)?, 5000);
    io::read(&reader, &mut [0; 123])?;
    check_eq!(io::readable_bytes(&reader)?, 4877);
    Ok(())
}

fn pipe_18_is_a_fifo_of_size_0() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    io::write_all(&writer, b"something")?;
    for end in [&reader, &writer] {
        let found = fs::metadata_of(end)?;
        check_eq!(found.kind(), Kind::Fifo);
        check_eq!(found.size(), 0);
    }
    let inode = |end: &Fd| fs::metadata_of(end).map(|found| found.inode());
    check_eq!(inode(&reader)?, inode(&writer)?);
    Ok(())
}

fn pipe_19_nonblock_belongs_to_the_description() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let second = fd::dup(&reader)?;
    set_nonblocking(&second, true)?;
    check!(fd::flags(&reader)? & open::O_NONBLOCK != 0);
    check_eq!(io::read(&reader, &mut [0]), Err(Errno::EAGAIN));
    // The other end is another description.
    check_eq!(fd::flags(&writer)? & open::O_NONBLOCK, 0);
    // A fork shares it as well.
    let status = in_child(|| i32::from(set_nonblocking(&reader, false).is_err()))?;
    check_eq!(status, Status::Exited(0));
    check_eq!(fd::flags(&second)? & open::O_NONBLOCK, 0);
    Ok(())
}

fn pipe_19_cloexec_belongs_to_the_descriptor() -> Outcome {
    let (reader, _writer) = fd::pipe2(open::O_CLOEXEC)?;
    let second = fd::dup(&reader)?;
    check!(fd::cloexec(&reader)?);
    check!(!fd::cloexec(&second)?);
    fd::set_cloexec(&reader, false)?;
    fd::set_cloexec(&second, true)?;
    check!(!fd::cloexec(&reader)?);
    check!(fd::cloexec(&second)?);
    Ok(())
}

fn pipe_19_cloexec_end_closes_on_exec() -> Outcome {
    let (reader, writer) = fd::pipe2(open::O_CLOEXEC)?;
    let child = exec::start(&["sleep", "300"])?;
    drop(writer);
    // The child has no copy: the end is reached while it still runs.
    check_eq!(io::read(&reader, &mut [0])?, 0);
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(())
}
