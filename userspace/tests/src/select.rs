//! select: what readable, writable and exceptional mean, and what is left in the sets.

use core::time::Duration;

use halyard_rt::poll::{FdSet, select};
use halyard_rt::signal::{self, Action, How, SIGUSR1, SignalSet};
use halyard_rt::{fd, io, open, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, check, check_eq, sleep_ms};

suite!(
    select_leaves_the_ready_ones_in_the_sets,
    select_end_of_file_is_readable,
    select_broken_pipe_is_writable_and_readable,
    select_hangup_is_nothing_to_a_writer,
    select_time_out_empties_the_sets,
    select_of_closed_descriptor_is_ebadf,
    select_negative_count_is_einval,
    select_passes_over_what_is_beyond_the_count,
    select_wakes_when_data_comes,
    select_mask_lets_the_signal_in,
    select_of_files_is_always_ready,
);

const NOW: Option<Duration> = Some(Duration::ZERO);

fn select_leaves_the_ready_ones_in_the_sets() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let (other, _keep) = fd::pipe()?;
    io::write(&writer, b"x")?;
    let mut reads = FdSet::of(&[reader.fd(), other.fd()]);
    let mut writes = FdSet::of(&[writer.fd()]);
    let count = select(64, [Some(&mut reads), Some(&mut writes), None], NOW, None)?;
    check_eq!(count, 2);
    check_eq!(reads, FdSet::of(&[reader.fd()]));
    check_eq!(writes, FdSet::of(&[writer.fd()]));
    Ok(())
}

fn select_end_of_file_is_readable() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    drop(writer);
    let mut reads = FdSet::of(&[reader.fd()]);
    check_eq!(select(64, [Some(&mut reads), None, None], None, None)?, 1);
    check!(reads.contains(reader.fd()));
    Ok(())
}

fn select_broken_pipe_is_writable_and_readable() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    drop(reader);
    let mut reads = FdSet::of(&[writer.fd()]);
    let mut writes = reads;
    let count = select(64, [Some(&mut reads), Some(&mut writes), None], NOW, None)?;
    check_eq!(count, 2);
    Ok(())
}

/// A hang-up makes a descriptor readable, and nothing else: who asks for something else goes on waiting.
fn select_hangup_is_nothing_to_a_writer() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    drop(writer);
    let begun = time::uptime();
    let length = Duration::from_millis(30);
    let mut writes = FdSet::of(&[reader.fd()]);
    let mut excepts = writes;
    let sets = [None, Some(&mut writes), Some(&mut excepts)];
    check_eq!(select(64, sets, Some(length), None)?, 0);
    check!(time::uptime() - begun >= length);
    check_eq!(writes, FdSet::EMPTY);
    check_eq!(excepts, FdSet::EMPTY);
    Ok(())
}

fn select_time_out_empties_the_sets() -> Outcome {
    let (reader, _writer) = fd::pipe()?;
    let mut reads = FdSet::of(&[reader.fd()]);
    let length = Some(Duration::from_millis(5));
    check_eq!(select(64, [Some(&mut reads), None, None], length, None)?, 0);
    check_eq!(reads, FdSet::EMPTY);
    Ok(())
}

fn select_of_closed_descriptor_is_ebadf() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let number = reader.fd();
    drop(reader);
    let mut reads = FdSet::of(&[number]);
    let outcome = select(number + 1, [Some(&mut reads), None, None], NOW, None);
    check_eq!(outcome, Err(Errno::EBADF));
    drop(writer);
    Ok(())
}

fn select_negative_count_is_einval() -> Outcome {
    check_eq!(
        select(-1, [None, None, None], NOW, None),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn select_passes_over_what_is_beyond_the_count() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    io::write(&writer, b"x")?;
    let mut reads = FdSet::of(&[reader.fd()]);
    check_eq!(
        select(reader.fd(), [Some(&mut reads), None, None], NOW, None)?,
        0
    );
    check_eq!(
        select(
            reader.fd() + 1,
            [Some(&mut FdSet::of(&[reader.fd()])), None, None],
            NOW,
            None
        )?,
        1
    );
    Ok(())
}

fn select_wakes_when_data_comes() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let waiter = Blocker::start(|| {
        let mut reads = FdSet::of(&[reader.fd()]);
        i32::from(select(64, [Some(&mut reads), None, None], None, None) != Ok(1))
    })?;
    check!(waiter.blocked()?);
    io::write(&writer, b"x")?;
    check_eq!(waiter.join()?, process::Status::Exited(0));
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn select_mask_lets_the_signal_in() -> Outcome {
    signal::set(
        SIGUSR1,
        Action::Call(nothing),
        signal::SA_RESTART,
        SignalSet::EMPTY,
    )?;
    let blocked = SignalSet::of(&[SIGUSR1]);
    signal::mask(How::Block, blocked)?;
    let parent = process::id();
    let child = process::spawn(|| {
        sleep_ms(20);
        i32::from(process::kill(parent, SIGUSR1).is_err())
    })?;
    let outcome = select(0, [None, None, None], None, Some(SignalSet::EMPTY));
    check_eq!(outcome, Err(Errno::EINTR));
    check!(signal::mask(How::Block, SignalSet::EMPTY)?.contains(SIGUSR1));
    process::wait_pid(child)?;
    Ok(())
}

fn select_of_files_is_always_ready() -> Outcome {
    let flags = open::O_RDWR | open::O_CREAT | open::O_TRUNC;
    let file = fs::open_with("/tmp/select_file", flags, 0o600)?;
    fs::remove_file("/tmp/select_file")?;
    let mut reads = FdSet::of(&[file.fd()]);
    let mut writes = reads;
    let count = select(64, [Some(&mut reads), Some(&mut writes), None], None, None)?;
    check_eq!(count, 2);
    Ok(())
}
