//! Pipes and poll. Rules 14 and 15.

use core::time::Duration;

use halyard_rt::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::{fd, io, prelude::*};

use crate::pipe_size::{CAPACITY, PIPE_BUF, fill};
use crate::runner::suite;
use crate::support::{Blocker, Outcome, check, check_eq};

suite!(
    pipe_14_poll_reader_shows_data_and_hangup,
    pipe_14_poll_reader_at_end_shows_hangup_alone,
    pipe_14_poll_reader_shows_hangup_unasked,
    pipe_15_poll_writer_needs_room_for_pipe_buf,
    pipe_15_poll_writer_without_readers_shows_error,
    pipe_15_poll_writer_without_readers_shows_error_unasked,
    pipe_15_poll_wakes_when_data_comes,
    pipe_15_poll_wakes_when_room_comes,
    pipe_15_poll_wakes_when_peer_goes,
);

/// What poll shows at once.
fn now(fd: &Fd, events: i16) -> Result<i16> {
    let mut fds = [PollFd::new(fd.fd(), events)];
    let count = poll(&mut fds, Some(Duration::ZERO))?;
    // The count must fit what is shown.
    if count != usize::from(fds[0].revents != 0) {
        return Err(Errno::EPROTO);
    }
    Ok(fds[0].revents)
}

fn pipe_14_poll_reader_shows_data_and_hangup() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(now(&reader, POLLIN)?, 0);
    io::write(&writer, b"x")?;
    check_eq!(now(&reader, POLLIN)?, POLLIN);
    check_eq!(now(&reader, POLLOUT)?, 0);
    drop(writer);
    check_eq!(now(&reader, POLLIN)?, POLLIN | POLLHUP);
    Ok(())
}

fn pipe_14_poll_reader_at_end_shows_hangup_alone() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    io::write(&writer, b"x")?;
    drop(writer);
    io::read(&reader, &mut [0])?;
    check_eq!(now(&reader, POLLIN)?, POLLHUP);
    Ok(())
}

fn pipe_14_poll_reader_shows_hangup_unasked() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    drop(writer);
    check_eq!(now(&reader, 0)?, POLLHUP);
    Ok(())
}

fn pipe_15_poll_writer_needs_room_for_pipe_buf() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    check_eq!(now(&writer, POLLOUT)?, POLLOUT);
    // All but 100 bytes.
    io::write_all(&writer, &[0; CAPACITY - 100])?;
    check_eq!(now(&writer, POLLOUT)?, 0);
    io::read_full(&reader, &mut [0; PIPE_BUF])?;
    check_eq!(now(&writer, POLLOUT)?, POLLOUT);
    Ok(())
}

fn pipe_15_poll_writer_without_readers_shows_error() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    drop(reader);
    check_eq!(now(&writer, POLLOUT)?, POLLOUT | POLLERR);
    Ok(())
}

fn pipe_15_poll_writer_without_readers_shows_error_unasked() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    fill(&writer)?;
    drop(reader);
    check_eq!(now(&writer, 0)?, POLLERR);
    Ok(())
}

/// A child that polls without time-out, and passes if that is what it sees.
fn poller(end: &Fd, close: &Fd, events: i16, wanted: i16) -> Result<Blocker> {
    let (number, unused) = (end.fd(), close.fd());
    Blocker::start(|| {
        let _ = fd::close(unused);
        let mut fds = [PollFd::new(number, events)];
        let count = poll(&mut fds, None);
        i32::from(count != Ok(1) || fds[0].revents != wanted)
    })
}

fn pipe_15_poll_wakes_when_data_comes() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let child = poller(&reader, &writer, POLLIN, POLLIN)?;
    check!(child.blocked()?);
    io::write(&writer, b"x")?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_15_poll_wakes_when_room_comes() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    fill(&writer)?;
    let child = poller(&writer, &reader, POLLOUT, POLLOUT)?;
    check!(child.blocked()?);
    io::read_full(&reader, &mut [0; PIPE_BUF])?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn pipe_15_poll_wakes_when_peer_goes() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let child = poller(&reader, &writer, POLLIN, POLLHUP)?;
    check!(child.blocked()?);
    drop(writer);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}
