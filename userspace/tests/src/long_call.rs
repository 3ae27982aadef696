//! Calls that move much: they end whole, and others run while they last.

use halyard_rt::fd;
use halyard_rt::mm::{Mapping, PAGE, PROT_NONE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::process::Status;
use halyard_rt::{io, nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, Shared, call, check, check_eq, differs_on_linux, sleep_ms};

suite!(
    long_read_of_zeros_lets_others_run,
    long_write_to_a_file_lets_others_run,
    long_read_and_write_of_a_file_are_whole,
    long_read_is_ended_by_kill,
    long_random_read_is_whole,
    sendfile_through_a_full_pipe_goes_on_to_the_end,
    sendfile_through_a_pipe_by_several_calls_is_whole,
    copy_of_a_file_range_is_whole,
    mincore_of_a_huge_range_fails_where_the_answer_ends,
    mremap_of_a_huge_mapping_moves_what_is_there,
    munmap_of_a_huge_mapping_ends,
);

const MIB: usize = 1 << 20;

/// Runs `body` in a child; how often this process had a turn of a millisecond meanwhile.
fn turns_during(body: impl FnOnce() -> i32) -> core::result::Result<u32, crate::support::Failure> {
    let shared = Shared::new()?;
    let child = process::spawn(|| {
        shared.set(0, 1);
        let code = body();
        shared.set(0, 2);
        code
    })?;
    shared.await_value(0, 1);
    let mut turns = 0;
    while shared.get(0) == 1 {
        sleep_ms(1);
        turns += 1;
        if process::wait_for(child, halyard_rt::raw::general::WNOHANG)?.is_some() {
            check_eq!(shared.get(0), 2);
            return Ok(turns);
        }
    }
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(turns)
}

fn long_read_of_zeros_lets_others_run() -> Outcome {
    let zero = fs::open("/dev/zero")?;
    let buffer = Mapping::anonymous(64 * MIB, PROT_READ | PROT_WRITE, Sharing::Private)?;
    let read = || {
        let args = [zero.fd() as usize, buffer.address(), buffer.length()];
        i32::from(call(nr::READ, args) != Ok(buffer.length()))
    };
    check!(turns_during(read)? >= 3);
    Ok(())
}

fn long_write_to_a_file_lets_others_run() -> Outcome {
    let file = fs::create("/tmp/long")?;
    let buffer = Mapping::anonymous(48 * MIB, PROT_READ | PROT_WRITE, Sharing::Private)?;
    let write = || {
        let args = [file.fd() as usize, buffer.address(), buffer.length()];
        i32::from(call(nr::WRITE, args) != Ok(buffer.length()))
    };
    let turns = turns_during(write);
    fs::remove_file("/tmp/long")?;
    check!(turns? >= 3);
    Ok(())
}

/// Bytes that tell where they are.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at) as u8).collect()
}

fn long_read_and_write_of_a_file_are_whole() -> Outcome {
    let bytes = pattern(MIB + 12_345);
    let file = fs::open_with(
        "/tmp/whole",
        halyard_rt::open::O_RDWR | halyard_rt::open::O_CREAT | halyard_rt::open::O_NONBLOCK,
        0o600,
    )?;
    fs::remove_file("/tmp/whole")?;
    check_eq!(io::write(&file, &bytes)?, bytes.len());
    check_eq!(io::pwrite(&file, &bytes, 777)?, bytes.len());
    let mut back = vec![0; bytes.len() + 10];
    check_eq!(io::pread(&file, &mut back, 777)?, bytes.len());
    check!(back[..bytes.len()] == bytes[..]);
    io::seek(&file, io::Seek::Start(777))?;
    check_eq!(io::read(&file, &mut back[..MIB])?, MIB);
    check!(back[..MIB] == bytes[..MIB]);
    check_eq!(io::seek(&file, io::Seek::Current(0))?, (777 + MIB) as u64);
    Ok(())
}

fn long_read_is_ended_by_kill() -> Outcome {
    let zero = fs::open("/dev/zero")?;
    let buffer = Mapping::anonymous(64 * MIB, PROT_READ | PROT_WRITE, Sharing::Private)?;
    let child = Blocker::start(|| {
        loop {
            let _ = call(
                nr::READ,
                [zero.fd() as usize, buffer.address(), buffer.length()],
            );
        }
    })?;
    check_eq!(child.kill()?, Status::Signaled(halyard_rt::signal::SIGKILL));
    Ok(())
}

fn long_random_read_is_whole() -> Outcome {
    let random = fs::open("/dev/urandom")?;
    let mut bytes = vec![0; 100_000];
    check_eq!(io::read(&random, &mut bytes)?, bytes.len());
    check!(bytes[99_000..].iter().any(|byte| *byte != 0));
    let args = [bytes.as_ptr() as usize, bytes.len(), 0];
    check_eq!(call(nr::GETRANDOM, args)?, bytes.len());
    Ok(())
}

fn sendfile_through_a_full_pipe_goes_on_to_the_end() -> Outcome {
    differs_on_linux("the call ends when the pipe is full, as sendfile(2) allows")?;
    send_through_a_pipe(1)
}

fn sendfile_through_a_pipe_by_several_calls_is_whole() -> Outcome {
    send_through_a_pipe(usize::MAX)
}

/// Sends a file that is longer than a pipe through one, in at most so many calls, and looks at what arrives.
fn send_through_a_pipe(calls: usize) -> Outcome {
    let bytes = pattern(300_000);
    let file = fs::create("/tmp/sent")?;
    io::write_all(&file, &bytes)?;
    let file = fs::open("/tmp/sent")?;
    fs::remove_file("/tmp/sent")?;
    let (reader, writer) = fd::pipe()?;
    let sender = process::spawn(|| {
        let mut left = bytes.len();
        for _ in 0..calls {
            let args = [writer.fd() as usize, file.fd() as usize, 0, left];
            match call(nr::SENDFILE, args) {
                Ok(sent) if sent == left => return 0,
                Ok(sent) if sent > 0 => left -= sent,
                _ => return 1,
            }
        }
        2
    })?;
    drop(writer);
    let mut got = Vec::new();
    io::read_to_end(&reader, &mut got)?;
    check_eq!(process::wait_pid(sender)?, Status::Exited(0));
    check!(got == bytes);
    check_eq!(io::seek(&file, io::Seek::Current(0))?, bytes.len() as u64);
    Ok(())
}

fn copy_of_a_file_range_is_whole() -> Outcome {
    let bytes = pattern(500_000);
    let from = fs::create("/tmp/from")?;
    io::write_all(&from, &bytes)?;
    let from = fs::open("/tmp/from")?;
    let to = fs::create("/tmp/to")?;
    let args = [from.fd() as usize, 0, to.fd() as usize, 0, 600_000];
    check_eq!(call(nr::COPY_FILE_RANGE, args)?, bytes.len());
    let same = fs::read("/tmp/to")? == bytes;
    fs::remove_file("/tmp/from")?;
    fs::remove_file("/tmp/to")?;
    check!(same);
    Ok(())
}

/// Address space of which nothing is there.
fn reserve(length: usize) -> Result<usize> {
    const MAP_PRIVATE_ANONYMOUS_NORESERVE: usize = 0x4022;
    call(
        nr::MMAP,
        [
            0,
            length,
            PROT_NONE as usize,
            MAP_PRIVATE_ANONYMOUS_NORESERVE,
            usize::MAX,
        ],
    )
}

const TIB: usize = 1 << 40;

fn mincore_of_a_huge_range_fails_where_the_answer_ends() -> Outcome {
    // A program that reserves a TiB may ask for all of it; the answer needs room for a byte a page, and has little.
    let at = reserve(TIB)?;
    let answer = Mapping::anonymous(5 * PAGE, PROT_READ | PROT_WRITE, Sharing::Private)?;
    answer.protect(4 * PAGE, PAGE, PROT_NONE)?;
    let asked = call(nr::MINCORE, [at, TIB, answer.address()]);
    check_eq!(call(nr::MUNMAP, [at, TIB])?, 0);
    check_eq!(asked, Err(Errno::EFAULT));
    Ok(())
}

fn mremap_of_a_huge_mapping_moves_what_is_there() -> Outcome {
    const MREMAP_MAYMOVE: usize = 1;
    let at = reserve(TIB)?;
    let middle = at + TIB / 2;
    // Something behind it, so that it cannot grow where it is.
    let protect = [at, TIB, (PROT_READ | PROT_WRITE) as usize];
    let whole = call(nr::MPROTECT, protect);
    if whole == Err(Errno::ENOMEM) {
        // A strict count of memory does not let a TiB be written.
        call(nr::MUNMAP, [at, TIB])?;
        return Err(crate::support::Failure::Skip("no overcommit".to_owned()));
    }
    halyard_rt::wild::store(middle, 7);
    halyard_rt::wild::store(at + TIB - 1, 9);
    let moved = call(nr::MREMAP, [at, TIB, 2 * TIB, MREMAP_MAYMOVE]);
    if moved == Err(Errno::ENOMEM) {
        call(nr::MUNMAP, [at, TIB])?;
        return Err(crate::support::Failure::Skip("no overcommit".to_owned()));
    }
    let moved = moved?;
    let found = (
        halyard_rt::wild::load(moved + TIB / 2),
        halyard_rt::wild::load(moved + TIB - 1),
        halyard_rt::wild::load(moved),
    );
    check_eq!(call(nr::MUNMAP, [moved, 2 * TIB])?, 0);
    check_eq!(found, (7, 9, 0));
    Ok(())
}

fn munmap_of_a_huge_mapping_ends() -> Outcome {
    let at = reserve(8 * TIB)?;
    check_eq!(call(nr::MUNMAP, [at + PAGE, 8 * TIB - 2 * PAGE])?, 0);
    check_eq!(call(nr::MUNMAP, [at, 8 * TIB])?, 0);
    Ok(())
}
