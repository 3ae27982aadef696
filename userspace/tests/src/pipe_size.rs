//! Pipes: how much fits, and what is written in one piece. Rules 1 to 5.

use halyard_rt::fd::{self, set_nonblocking};
use halyard_rt::process::Status;
use halyard_rt::raw::general::{F_GETPIPE_SZ, F_SETPIPE_SZ};
use halyard_rt::{fs, io, open, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, check, check_eq, settle};

suite!(
    pipe_01_capacity_is_65536,
    pipe_01_capacity_set_rounds_up_to_power_of_two_pages,
    pipe_01_capacity_that_none_can_have_is_refused,
    pipe_01_capacity_below_contents_is_ebusy,
    pipe_01_capacity_grown_holds_more,
    pipe_02_write_of_pipe_buf_waits_for_full_room,
    pipe_02_writes_up_to_pipe_buf_never_mix,
    pipe_03_nonblocking_small_write_is_all_or_eagain,
    pipe_04_nonblocking_large_write_takes_what_fits,
    pipe_04_nonblocking_large_write_leaves_room_made_meanwhile,
    pipe_04_reader_that_waits_gets_all_of_a_write,
    pipe_04_nonblocking_large_write_to_full_is_eagain,
    pipe_05_begun_write_goes_on_when_there_is_a_page_of_room,
    pipe_05_begun_write_gets_the_room_of_empty_pages_only,
    pipe_05_blocking_large_write_returns_all,
);

/// What a pipe holds unless told otherwise (pipe(7)).
pub(crate) const CAPACITY: usize = 65536;
/// What is written in one piece (pipe(7)).
pub(crate) const PIPE_BUF: usize = 4096;

/// Fills a pipe to the brim and says with how much.
pub(crate) fn fill(writer: &Fd) -> Result<usize> {
    set_nonblocking(writer, true)?;
    let mut total = 0;
    loop {
        match io::write(writer, &[b'f'; PIPE_BUF]) {
            Ok(count) => total += count,
            Err(Errno::EAGAIN) => break,
            Err(errno) => return Err(errno),
        }
    }
    set_nonblocking(writer, false)?;
    Ok(total)
}

fn pipe_01_capacity_is_65536() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(fd::fcntl(&reader, F_GETPIPE_SZ, 0)?, CAPACITY);
    check_eq!(fd::fcntl(&writer, F_GETPIPE_SZ, 0)?, CAPACITY);
    check_eq!(fill(&writer)?, CAPACITY);
    check_eq!(io::readable_bytes(&reader)?, CAPACITY);
    Ok(())
}

fn pipe_01_capacity_set_rounds_up_to_power_of_two_pages() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    for (asked, given) in [(5000, 8192), (1, 4096), (4096, 4096), (65537, 131_072)] {
        check_eq!(fd::fcntl(&writer, F_SETPIPE_SZ, asked)?, given);
        check_eq!(fd::fcntl(&reader, F_GETPIPE_SZ, 0)?, given);
    }
    Ok(())
}

fn pipe_01_capacity_that_none_can_have_is_refused() -> Outcome {
    const SIZES: [usize; 3] = [512 << 20, i32::MAX as usize, (256 << 20) + 1];
    let (_reader, writer) = fd::pipe()?;
    for size in SIZES {
        check_eq!(fd::fcntl(&writer, F_SETPIPE_SZ, size), Err(Errno::ENOMEM));
    }
    let negative = u32::MAX as usize;
    check_eq!(
        fd::fcntl(&writer, F_SETPIPE_SZ, negative),
        Err(Errno::EINVAL)
    );
    check_eq!(fd::fcntl(&writer, F_GETPIPE_SZ, 0)?, CAPACITY);
    let null = fs::open("/dev/null")?;
    check_eq!(fd::fcntl(&null, F_SETPIPE_SZ, negative), Err(Errno::EBADF));
    Ok(())
}

fn pipe_01_capacity_below_contents_is_ebusy() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    io::write_all(&writer, &[7; 3 * PIPE_BUF])?;
    check_eq!(fd::fcntl(&writer, F_SETPIPE_SZ, 8192), Err(Errno::EBUSY));
    check_eq!(fd::fcntl(&writer, F_SETPIPE_SZ, 16384)?, 16384);
    let mut back = [0; 3 * PIPE_BUF];
    check_eq!(io::read(&reader, &mut back)?, back.len());
    check!(back.iter().all(|&byte| byte == 7));
    Ok(())
}

fn pipe_01_capacity_grown_holds_more() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(fill(&writer)?, CAPACITY);
    check_eq!(
        fd::fcntl(&writer, F_SETPIPE_SZ, 2 * CAPACITY)?,
        2 * CAPACITY
    );
    check_eq!(fill(&writer)?, CAPACITY);
    check_eq!(io::readable_bytes(&reader)?, 2 * CAPACITY);
    Ok(())
}

fn pipe_02_write_of_pipe_buf_waits_for_full_room() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(fill(&writer)?, CAPACITY);
    let child = Blocker::start(|| match io::write(&writer, &[b'x'; PIPE_BUF]) {
        Ok(PIPE_BUF) => 0,
        _ => 1,
    })?;
    let mut page = [0; PIPE_BUF];
    check_eq!(io::read(&reader, &mut page[..PIPE_BUF - 1])?, PIPE_BUF - 1);
    settle();
    check!(child.blocked()?);
    check_eq!(io::readable_bytes(&reader)?, CAPACITY - PIPE_BUF + 1);
    check_eq!(io::read(&reader, &mut page[..1])?, 1);
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(io::readable_bytes(&reader)?, CAPACITY);
    Ok(())
}

fn pipe_02_writes_up_to_pipe_buf_never_mix() -> Outcome {
    const WRITERS: u8 = 4;
    const ROUNDS: usize = 100;
    const SIZE: usize = 1000;
    let (reader, writer) = fd::pipe()?;
    for id in 0..WRITERS {
        process::spawn(|| {
            let whole = |_| io::write(&writer, &[b'a' + id; SIZE]) == Ok(SIZE);
            i32::from(!(0..ROUNDS).all(whole))
        })?;
    }
    drop(writer);
    let mut counts = [0; WRITERS as usize];
    let mut message = [0; SIZE];
    while io::read_full(&reader, &mut message)? == SIZE {
        check!(message.iter().all(|&byte| byte == message[0]));
        counts[usize::from(message[0] - b'a')] += 1;
    }
    check_eq!(counts, [ROUNDS; WRITERS as usize]);
    for _ in 0..WRITERS {
        check_eq!(process::wait()?.1, Status::Exited(0));
    }
    Ok(())
}

fn pipe_03_nonblocking_small_write_is_all_or_eagain() -> Outcome {
    let (reader, writer) = fd::pipe2(open::O_NONBLOCK)?;
    for _ in 0..CAPACITY / PIPE_BUF - 1 {
        check_eq!(io::write(&writer, &[1; PIPE_BUF])?, PIPE_BUF);
    }
    check_eq!(
        io::write(&writer, &[2; PIPE_BUF / 2 + 1])?,
        PIPE_BUF / 2 + 1
    );
    let before = io::readable_bytes(&reader)?;
    check_eq!(io::write(&writer, &[3; PIPE_BUF / 2]), Err(Errno::EAGAIN));
    check_eq!(io::readable_bytes(&reader)?, before);
    check_eq!(
        io::write(&writer, &[4; PIPE_BUF / 2 - 1])?,
        PIPE_BUF / 2 - 1
    );
    check_eq!(io::write(&writer, &[5]), Err(Errno::EAGAIN));
    Ok(())
}

fn pipe_04_nonblocking_large_write_takes_what_fits() -> Outcome {
    let (reader, writer) = fd::pipe2(open::O_NONBLOCK)?;
    check_eq!(io::write(&writer, &vec![9; 100_000])?, CAPACITY);
    let mut page = [0; PIPE_BUF];
    check_eq!(io::read(&reader, &mut page)?, PIPE_BUF);
    check_eq!(io::write(&writer, &[8; 10_000])?, PIPE_BUF);
    check_eq!(io::readable_bytes(&reader)?, CAPACITY);
    Ok(())
}

fn pipe_04_nonblocking_large_write_leaves_room_made_meanwhile() -> Outcome {
    for _ in 0..20 {
        let (reader, writer) = fd::pipe()?;
        let waiting = Blocker::start(|| {
            let mut some = [0; 100];
            i32::from(io::read(&reader, &mut some) != Ok(100))
        })?;
        fd::set_nonblocking(&writer, true)?;
        check_eq!(io::write(&writer, &vec![9; 70_000])?, CAPACITY);
        check_eq!(waiting.join()?, Status::Exited(0));
    }
    Ok(())
}

fn pipe_04_reader_that_waits_gets_all_of_a_write() -> Outcome {
    for _ in 0..20 {
        let (reader, writer) = fd::pipe()?;
        let waiting = Blocker::start(|| {
            let mut all = vec![0; CAPACITY];
            i32::from(io::read(&reader, &mut all) != Ok(3 * PIPE_BUF + 1))
        })?;
        check_eq!(
            io::write(&writer, &[9; 3 * PIPE_BUF + 1])?,
            3 * PIPE_BUF + 1
        );
        check_eq!(waiting.join()?, Status::Exited(0));
    }
    Ok(())
}

fn pipe_05_begun_write_goes_on_when_there_is_a_page_of_room() -> Outcome {
    for _ in 0..20 {
        let (reader, writer) = fd::pipe()?;
        check_eq!(fd::fcntl(&writer, F_SETPIPE_SZ, PIPE_BUF)?, PIPE_BUF);
        let waiting = Blocker::start(|| {
            let mut some = [0; 512];
            i32::from(io::read(&reader, &mut some) != Ok(512))
        })?;
        let writing = Blocker::start(|| {
            i32::from(io::write(&writer, &[9; PIPE_BUF + 1]) != Ok(PIPE_BUF + 1))
        })?;
        check_eq!(waiting.join()?, Status::Exited(0));
        settle();
        check!(writing.blocked()?);
        let mut rest = [0; PIPE_BUF];
        check_eq!(io::read(&reader, &mut rest)?, PIPE_BUF - 512);
        check_eq!(writing.join()?, Status::Exited(0));
        check_eq!(io::read(&reader, &mut rest)?, 1);
    }
    Ok(())
}

fn pipe_05_begun_write_gets_the_room_of_empty_pages_only() -> Outcome {
    const READ: usize = 5000;
    let (reader, writer) = fd::pipe()?;
    let writing = Blocker::start(|| {
        let written = io::write(&writer, &vec![9; CAPACITY + READ]);
        i32::from(written != Ok(CAPACITY + READ))
    })?;
    settle();
    check!(writing.blocked()?);
    check_eq!(io::read(&reader, &mut [0; READ])?, READ);
    settle();
    check!(writing.blocked()?);
    check_eq!(io::readable_bytes(&reader)?, CAPACITY - READ + PIPE_BUF);
    let mut rest = vec![0; CAPACITY];
    check_eq!(io::read_full(&reader, &mut rest)?, CAPACITY);
    check_eq!(writing.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_04_nonblocking_large_write_to_full_is_eagain() -> Outcome {
    let (_reader, writer) = fd::pipe2(open::O_NONBLOCK)?;
    check_eq!(io::write(&writer, &[9; CAPACITY])?, CAPACITY);
    check_eq!(io::write(&writer, &[9; 10_000]), Err(Errno::EAGAIN));
    Ok(())
}

fn pipe_05_blocking_large_write_returns_all() -> Outcome {
    const LENGTH: usize = 300_000;
    let (reader, writer) = fd::pipe()?;
    let data: Vec<u8> = (0..LENGTH).map(|index| (index % 251) as u8).collect();
    let child = process::spawn(|| {
        let whole = io::write(&writer, &data) == Ok(LENGTH);
        i32::from(!whole)
    })?;
    drop(writer);
    let mut back = Vec::new();
    io::read_to_end(&reader, &mut back)?;
    check!(back == data);
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(())
}
