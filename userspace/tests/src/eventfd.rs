//! Eventfd: what adds up, what a read takes, when it waits.

use core::time::Duration;

use halyard_rt::event::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, add, eventfd, take};
use halyard_rt::poll::{POLLIN, POLLOUT, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, SignalSet};
use halyard_rt::{epoll, fd, io, nr, prelude::*, timer};

use crate::runner::suite;
use crate::support::{Blocker, Edge, Outcome, Shared, call, check, check_eq};

suite!(
    eventfd_adds_up_and_a_read_takes_all,
    eventfd_semaphore_gives_one_at_a_time,
    eventfd_empty_read_is_eagain_or_waits,
    eventfd_overflow_is_eagain_or_waits,
    eventfd_all_ones_is_einval,
    eventfd_short_buffers_are_einval,
    eventfd_longer_write_is_einval,
    eventfd_poll_shows_count_and_room,
    eventfd_bad_pointer_takes_nothing,
    eventfd_flags_are_checked_and_kept,
    eventfd_semaphore_wakes_as_many_as_it_holds,
    eventfd_is_shared_over_fork,
    eventfd_has_no_positions,
    eventfd_and_its_kin_take_every_seek_and_stay_at_zero,
);

const MOST: u64 = u64::MAX - 1;

fn now(fd: &Fd) -> Result<i16> {
    let mut fds = [PollFd::new(fd.fd(), POLLIN | POLLOUT)];
    poll(&mut fds, Some(Duration::ZERO))?;
    Ok(fds[0].revents)
}

fn eventfd_adds_up_and_a_read_takes_all() -> Outcome {
    let event = eventfd(3, EFD_NONBLOCK)?;
    add(&event, 4)?;
    add(&event, 0)?;
    check_eq!(take(&event)?, 7);
    check_eq!(take(&event), Err(Errno::EAGAIN));
    Ok(())
}

fn eventfd_semaphore_gives_one_at_a_time() -> Outcome {
    let event = eventfd(1, EFD_NONBLOCK | EFD_SEMAPHORE)?;
    add(&event, 2)?;
    for _ in 0..3 {
        check_eq!(take(&event)?, 1);
    }
    check_eq!(take(&event), Err(Errno::EAGAIN));
    Ok(())
}

fn eventfd_empty_read_is_eagain_or_waits() -> Outcome {
    let event = eventfd(0, 0)?;
    let reader = Blocker::start(|| i32::from(take(&event) != Ok(9)))?;
    check!(reader.blocked()?);
    add(&event, 9)?;
    check_eq!(reader.join()?, Status::Exited(0));
    fd::set_nonblocking(&event, true)?;
    check_eq!(take(&event), Err(Errno::EAGAIN));
    Ok(())
}

fn eventfd_overflow_is_eagain_or_waits() -> Outcome {
    let event = eventfd(0, EFD_NONBLOCK)?;
    add(&event, MOST)?;
    check_eq!(add(&event, 1), Err(Errno::EAGAIN));
    add(&event, 0)?;
    fd::set_nonblocking(&event, false)?;
    let writer = Blocker::start(|| i32::from(add(&event, 5).is_err()))?;
    check!(writer.blocked()?);
    check_eq!(take(&event)?, MOST);
    check_eq!(writer.join()?, Status::Exited(0));
    check_eq!(take(&event)?, 5);
    Ok(())
}

fn eventfd_all_ones_is_einval() -> Outcome {
    let event = eventfd(0, EFD_NONBLOCK)?;
    check_eq!(add(&event, u64::MAX), Err(Errno::EINVAL));
    check_eq!(take(&event), Err(Errno::EAGAIN));
    Ok(())
}

fn eventfd_short_buffers_are_einval() -> Outcome {
    let event = eventfd(1, EFD_NONBLOCK)?;
    check_eq!(io::read(&event, &mut [0; 7]), Err(Errno::EINVAL));
    check_eq!(io::write(&event, &[0; 7]), Err(Errno::EINVAL));
    check_eq!(io::read(&event, &mut [0; 20])?, 8);
    Ok(())
}

fn eventfd_longer_write_is_einval() -> Outcome {
    let event = eventfd(0, 0)?;
    let mut bytes = [0; 20];
    bytes[0] = 3;
    check_eq!(io::write(&event, &bytes), Err(Errno::EINVAL));
    check_eq!(now(&event)?, POLLOUT);
    Ok(())
}

fn eventfd_poll_shows_count_and_room() -> Outcome {
    let event = eventfd(0, EFD_NONBLOCK)?;
    check_eq!(now(&event)?, POLLOUT);
    add(&event, 1)?;
    check_eq!(now(&event)?, POLLIN | POLLOUT);
    add(&event, MOST - 1)?;
    check_eq!(now(&event)?, POLLIN);
    Ok(())
}

fn eventfd_bad_pointer_takes_nothing() -> Outcome {
    let edge = Edge::new()?;
    let event = eventfd(0, EFD_NONBLOCK)?;
    let fd = event.fd() as usize;
    check_eq!(call(nr::WRITE, [fd, edge.before(4), 8]), Err(Errno::EFAULT));
    check_eq!(take(&event), Err(Errno::EAGAIN));
    check_eq!(call(nr::READ, [fd, edge.bad(), 8]), Err(Errno::EAGAIN));
    Ok(())
}

fn eventfd_flags_are_checked_and_kept() -> Outcome {
    check_eq!(eventfd(0, 2).err(), Some(Errno::EINVAL));
    let event = eventfd(0, EFD_CLOEXEC)?;
    check!(fd::cloexec(&event)?);
    let event = eventfd(0, 0)?;
    check!(!fd::cloexec(&event)?);
    check_eq!(fd::flags(&event)? & 0o3, 0o2);
    Ok(())
}

fn eventfd_semaphore_wakes_as_many_as_it_holds() -> Outcome {
    let event = eventfd(0, EFD_SEMAPHORE)?;
    let done = Shared::new()?;
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(Blocker::start(|| {
            let taken = take(&event);
            done.add(0, 1);
            i32::from(taken != Ok(1))
        })?);
    }
    add(&event, 2)?;
    done.await_value(0, 2);
    crate::support::settle();
    check_eq!(done.get(0), 2);
    add(&event, 1)?;
    for child in children {
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

fn eventfd_is_shared_over_fork() -> Outcome {
    let event = eventfd(0, EFD_NONBLOCK)?;
    let status = crate::support::in_child(|| i32::from(add(&event, 6).is_err()))?;
    check_eq!(status, Status::Exited(0));
    check_eq!(take(&event)?, 6);
    Ok(())
}

fn eventfd_has_no_positions() -> Outcome {
    let event = eventfd(0, 0)?;
    check_eq!(io::pread(&event, &mut [0; 8], 0), Err(Errno::ESPIPE));
    Ok(())
}

fn eventfd_and_its_kin_take_every_seek_and_stay_at_zero() -> Outcome {
    let alarm = SignalSet::of(&[signal::SIGALRM]);
    let event = eventfd(0, 0)?;
    let set = epoll::create(0)?;
    let timer = timer::timerfd(timer::CLOCK_MONOTONIC, 0)?;
    let signals = timer::signalfd(alarm, 0)?;
    for fd in [&event, &set, &timer, &signals] {
        check_eq!(io::seek(fd, io::Seek::Start(5))?, 0);
        check_eq!(io::seek(fd, io::Seek::Current(-7))?, 0);
        let bad_way = call(nr::LSEEK, [fd.fd() as usize, 0, 9]);
        check_eq!(bad_way, Err(Errno::EINVAL));
    }
    // The way is looked at first, whatever the file.
    let (reader, _writer) = fd::pipe()?;
    let bad_way = call(nr::LSEEK, [reader.fd() as usize, 0, 9]);
    check_eq!(bad_way, Err(Errno::EINVAL));
    Ok(())
}
