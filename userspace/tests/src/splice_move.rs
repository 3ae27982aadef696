//! splice(2), tee(2), vmsplice(2).

use halyard_rt::fd::{self, set_nonblocking};
use halyard_rt::process::Status;
use halyard_rt::raw::general::SPLICE_F_NONBLOCK;
use halyard_rt::signal::{self, Action, SignalSet};
use halyard_rt::{fs, io, memfd, nr, open, prelude::*};

use crate::pipe_size::{CAPACITY, fill};
use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq};

suite!(
    splice_file_to_pipe_moves_the_position,
    splice_with_an_offset_leaves_the_position,
    splice_pipe_to_file_writes_at_the_position,
    splice_pipe_to_pipe_takes_what_is_there,
    splice_of_nothing_is_0,
    splice_at_the_end_is_0,
    splice_from_an_empty_pipe_waits,
    splice_nonblocking_is_eagain,
    splice_to_a_full_pipe_waits_and_loses_nothing,
    splice_to_a_pipe_without_readers_is_epipe,
    splice_bad_ends_are_refused,
    tee_copies_and_leaves,
    tee_bad_ends_are_refused,
    tee_then_splice_carries_every_byte_twice,
    vmsplice_writes_and_reads_a_pipe,
    vmsplice_takes_no_more_than_there_is_room,
);

fn splice(from: &Fd, at: Option<&mut i64>, to: &Fd, length: usize, flags: u32) -> Result<usize> {
    let at = at.map_or(0, |at| core::ptr::from_mut(at) as usize);
    let fds = (from.fd() as usize, to.fd() as usize);
    call(nr::SPLICE, [fds.0, at, fds.1, 0, length, flags as usize])
}

fn tee(from: &Fd, to: &Fd, length: usize, flags: u32) -> Result<usize> {
    let (from, to) = (from.fd() as usize, to.fd() as usize);
    call(nr::TEE, [from, to, length, flags as usize])
}

fn file(text: &[u8]) -> Result<Fd> {
    let file = memfd::create("splice", 0)?;
    io::write_all(&file, text)?;
    io::seek(&file, io::Seek::Start(0))?;
    Ok(file)
}

fn held(reader: &Fd) -> Result<Vec<u8>> {
    let mut text = vec![0; io::readable_bytes(reader)?];
    io::read_full(reader, &mut text)?;
    Ok(text)
}

fn splice_file_to_pipe_moves_the_position() -> Outcome {
    let input = file(b"one two three")?;
    let (reader, writer) = fd::pipe()?;
    check_eq!(splice(&input, None, &writer, 4, 0)?, 4);
    check_eq!(splice(&input, None, &writer, 100, 0)?, 9);
    check_eq!(splice(&input, None, &writer, 100, 0)?, 0);
    check_eq!(held(&reader)?, b"one two three");
    check_eq!(io::seek(&input, io::Seek::Current(0))?, 13);
    Ok(())
}

fn splice_with_an_offset_leaves_the_position() -> Outcome {
    let input = file(b"one two three")?;
    let (reader, writer) = fd::pipe()?;
    let mut at = 4;
    check_eq!(splice(&input, Some(&mut at), &writer, 3, 0)?, 3);
    check_eq!(at, 7);
    check_eq!(held(&reader)?, b"two");
    check_eq!(io::seek(&input, io::Seek::Current(0))?, 0);
    at = -1;
    let bad = splice(&input, Some(&mut at), &writer, 3, 0);
    check_eq!(bad, Err(Errno::EINVAL));
    Ok(())
}

fn splice_pipe_to_file_writes_at_the_position() -> Outcome {
    let output = file(b"........")?;
    io::seek(&output, io::Seek::Start(2))?;
    let (reader, writer) = fd::pipe()?;
    io::write_all(&writer, b"abc")?;
    check_eq!(splice(&reader, None, &output, 100, 0)?, 3);
    io::write_all(&output, b"d")?;
    let mut text = [0; 8];
    io::pread(&output, &mut text, 0)?;
    check_eq!(&text, b"..abcd..");
    Ok(())
}

fn splice_pipe_to_pipe_takes_what_is_there() -> Outcome {
    let (first, one) = fd::pipe()?;
    let (second, other) = fd::pipe()?;
    let data: Vec<u8> = (0..10_000).map(|at| (at % 251) as u8).collect();
    io::write_all(&one, &data)?;
    check_eq!(splice(&first, None, &other, 4000, 0)?, 4000);
    check_eq!(splice(&first, None, &other, 1 << 20, 0)?, 6000);
    check!(held(&second)? == data);
    check_eq!(io::readable_bytes(&first)?, 0);
    Ok(())
}

fn splice_of_nothing_is_0() -> Outcome {
    let (first, _one) = fd::pipe()?;
    let (_second, other) = fd::pipe()?;
    check_eq!(splice(&first, None, &other, 0, 0)?, 0);
    Ok(())
}

fn splice_at_the_end_is_0() -> Outcome {
    let (first, one) = fd::pipe()?;
    let (second, other) = fd::pipe()?;
    io::write_all(&one, b"rest")?;
    drop(one);
    check_eq!(splice(&first, None, &other, 10, 0)?, 4);
    check_eq!(splice(&first, None, &other, 10, 0)?, 0);
    check_eq!(tee(&first, &other, 10, 0)?, 0);
    check_eq!(held(&second)?, b"rest");
    Ok(())
}

fn splice_from_an_empty_pipe_waits() -> Outcome {
    let (first, one) = fd::pipe()?;
    let (second, other) = fd::pipe()?;
    let child = Blocker::start(|| i32::from(splice(&first, None, &other, 99, 0) != Ok(5)))?;
    check!(child.blocked()?);
    io::write_all(&one, b"hello")?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(held(&second)?, b"hello");
    Ok(())
}

fn splice_nonblocking_is_eagain() -> Outcome {
    let (first, one) = fd::pipe()?;
    let (_second, other) = fd::pipe()?;
    let none = splice(&first, None, &other, 9, SPLICE_F_NONBLOCK);
    check_eq!(none, Err(Errno::EAGAIN));
    let none = tee(&first, &other, 9, SPLICE_F_NONBLOCK);
    check_eq!(none, Err(Errno::EAGAIN));
    fill(&other)?;
    io::write_all(&one, b"x")?;
    let none = splice(&first, None, &other, 9, SPLICE_F_NONBLOCK);
    check_eq!(none, Err(Errno::EAGAIN));
    check_eq!(io::readable_bytes(&first)?, 1);
    set_nonblocking(&first, true)?;
    check_eq!(splice(&first, None, &other, 9, 0), Err(Errno::EAGAIN));
    Ok(())
}

fn splice_to_a_full_pipe_waits_and_loses_nothing() -> Outcome {
    let (first, one) = fd::pipe()?;
    let (second, other) = fd::pipe()?;
    fill(&other)?;
    io::write_all(&one, b"last")?;
    let child = Blocker::start(|| i32::from(splice(&first, None, &other, 9, 0) != Ok(4)))?;
    check!(child.blocked()?);
    check_eq!(io::readable_bytes(&first)?, 4);
    let mut text = vec![0; CAPACITY];
    io::read_full(&second, &mut text)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(held(&second)?, b"last");
    Ok(())
}

fn splice_to_a_pipe_without_readers_is_epipe() -> Outcome {
    signal::set(signal::SIGPIPE, Action::Ignore, 0, SignalSet::EMPTY)?;
    let (first, one) = fd::pipe()?;
    let (second, other) = fd::pipe()?;
    drop(second);
    io::write_all(&one, b"x")?;
    check_eq!(splice(&first, None, &other, 9, 0), Err(Errno::EPIPE));
    check_eq!(io::readable_bytes(&first)?, 1);
    Ok(())
}

fn splice_bad_ends_are_refused() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let (input, output) = (file(b"in")?, file(b"out")?);
    let plain = splice(&input, None, &output, 9, 0);
    check_eq!(plain, Err(Errno::EINVAL));
    check_eq!(splice(&reader, None, &writer, 9, 0), Err(Errno::EINVAL));
    check_eq!(splice(&writer, None, &output, 9, 0), Err(Errno::EBADF));
    check_eq!(splice(&input, None, &reader, 9, 0), Err(Errno::EBADF));
    let mut at = 0;
    let placed = splice(&reader, Some(&mut at), &output, 9, 0);
    check_eq!(placed, Err(Errno::ESPIPE));
    check_eq!(splice(&input, None, &writer, 9, 1 << 9), Err(Errno::EINVAL));
    io::write_all(&writer, b"x")?;
    let appended = fs::open_with(
        "/tmp/splice_append",
        open::O_WRONLY | open::O_APPEND | open::O_CREAT,
        0o600,
    )?;
    fs::remove_file("/tmp/splice_append")?;
    check_eq!(splice(&reader, None, &appended, 9, 0), Err(Errno::EINVAL));
    Ok(())
}

fn tee_copies_and_leaves() -> Outcome {
    let (first, one) = fd::pipe()?;
    let (second, other) = fd::pipe()?;
    io::write_all(&one, b"both")?;
    check_eq!(tee(&first, &other, 2, 0)?, 2);
    check_eq!(tee(&first, &other, 99, 0)?, 4);
    check_eq!(held(&first)?, b"both");
    check_eq!(held(&second)?, b"boboth");
    Ok(())
}

fn tee_bad_ends_are_refused() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let plain = file(b"x")?;
    check_eq!(tee(&reader, &writer, 9, 0), Err(Errno::EINVAL));
    check_eq!(tee(&plain, &writer, 9, 0), Err(Errno::EINVAL));
    check_eq!(tee(&reader, &plain, 9, 0), Err(Errno::EINVAL));
    check_eq!(tee(&reader, &reader, 9, 0), Err(Errno::EBADF));
    Ok(())
}

fn tee_then_splice_carries_every_byte_twice() -> Outcome {
    const LENGTH: usize = 200_000;
    let (first, one) = fd::pipe()?;
    let (second, other) = fd::pipe()?;
    let data: Vec<u8> = (0..LENGTH).map(|at| (at % 253) as u8).collect();
    let sender = process::spawn(|| i32::from(io::write_all(&one, &data).is_err()))?;
    drop(one);
    let output = memfd::create("copy", 0)?;
    let checker = process::spawn(|| {
        let mut seen = Vec::new();
        let mut chunk = [0; 3000];
        while seen.len() < LENGTH {
            match io::read(&second, &mut chunk) {
                Ok(count) if count > 0 => seen.extend_from_slice(&chunk[..count]),
                _ => return 1,
            }
        }
        i32::from(seen != data)
    })?;
    loop {
        let count = tee(&first, &other, 10_000, 0)?;
        if count == 0 {
            break;
        }
        let mut moved = 0;
        while moved < count {
            moved += splice(&first, None, &output, count - moved, 0)?;
        }
    }
    check_eq!(process::wait_pid(sender)?, Status::Exited(0));
    check_eq!(process::wait_pid(checker)?, Status::Exited(0));
    let mut copy = vec![0; LENGTH];
    check_eq!(io::pread(&output, &mut copy, 0)?, LENGTH);
    check!(copy == data);
    Ok(())
}

fn vmsplice(end: &Fd, stretch: (usize, usize), flags: u32) -> Result<usize> {
    let vector = [stretch.0, stretch.1];
    let (end, at) = (end.fd() as usize, vector.as_ptr() as usize);
    call(nr::VMSPLICE, [end, at, 1, flags as usize])
}

fn vmsplice_writes_and_reads_a_pipe() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let text = *b"from memory";
    check_eq!(vmsplice(&writer, (text.as_ptr() as usize, 11), 0)?, 11);
    let mut back = [0u8; 20];
    check_eq!(vmsplice(&reader, (back.as_mut_ptr() as usize, 20), 0)?, 11);
    check_eq!(&back[..11], &text);
    let none = vmsplice(&reader, (back.as_mut_ptr() as usize, 20), SPLICE_F_NONBLOCK);
    check_eq!(none, Err(Errno::EAGAIN));
    let plain = file(b"x")?;
    check_eq!(vmsplice(&plain, (8, 1), 0), Err(Errno::EBADF));
    Ok(())
}

fn vmsplice_takes_no_more_than_there_is_room() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let data = vec![7u8; 2 * CAPACITY];
    let at = (data.as_ptr() as usize, data.len());
    let taken = vmsplice(&writer, at, SPLICE_F_NONBLOCK)?;
    // Linux counts pages of the program, of which the first may be cut.
    check!(taken > CAPACITY - 4096 && taken <= CAPACITY);
    check_eq!(io::readable_bytes(&reader)?, taken);
    Ok(())
}
