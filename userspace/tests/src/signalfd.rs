//! Signals that are read from a descriptor.

use core::time::Duration;

use halyard_rt::epoll::{self, EPOLLIN};
use halyard_rt::poll::{POLLIN, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, How, SIGCHLD, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2, SignalSet};
use halyard_rt::timer::{Taken, set_signals, signalfd, take_signals};
use halyard_rt::{fd, io, nr, open, prelude::*, thread};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq, settle};

suite!(
    signalfd_read_takes_a_blocked_signal,
    signalfd_read_takes_several_at_once,
    signalfd_empty_read_is_eagain_or_waits,
    signalfd_mask_says_which,
    signalfd_mask_can_be_changed,
    signalfd_queued_value_comes_along,
    signalfd_child_status_comes_along,
    signalfd_poll_shows_what_pends,
    signalfd_epoll_wakes,
    signalfd_reads_the_readers_own_signals,
    signalfd_of_a_thread_sees_its_own_and_its_process_signals,
    signalfd_arguments_are_checked,
    signalfd_cannot_take_kill,
);

const NONBLOCK: u32 = open::O_NONBLOCK;

/// Blocks those signals and opens them.
fn open_set(signals: &[i32], flags: u32) -> Result<Fd> {
    let set = SignalSet::of(signals);
    signal::mask(How::Block, set)?;
    signalfd(set, flags)
}

fn one(fd: &Fd) -> Result<Taken> {
    let mut room = [Taken::default()];
    take_signals(fd, &mut room)?;
    Ok(room[0])
}

fn signalfd_read_takes_a_blocked_signal() -> Outcome {
    let fd = open_set(&[SIGUSR1], NONBLOCK)?;
    process::kill(process::id(), SIGUSR1)?;
    let taken = one(&fd)?;
    check_eq!(taken.signal, SIGUSR1 as u32);
    check_eq!(taken.pid, process::id() as u32);
    check_eq!(taken.code, 0);
    check!(!signal::pending()?.contains(SIGUSR1));
    check_eq!(one(&fd).err(), Some(Errno::EAGAIN));
    Ok(())
}

fn signalfd_read_takes_several_at_once() -> Outcome {
    let fd = open_set(&[SIGUSR1, SIGUSR2, SIGTERM], NONBLOCK)?;
    for number in [SIGTERM, SIGUSR2, SIGUSR1] {
        process::kill(process::id(), number)?;
    }
    let mut room = [Taken::default(); 5];
    check_eq!(take_signals(&fd, &mut room[..2])?, 2);
    check_eq!(take_signals(&fd, &mut room[2..])?, 1);
    let numbers: Vec<u32> = room[..3].iter().map(|taken| taken.signal).collect();
    check_eq!(numbers, [10, 12, 15]);
    Ok(())
}

fn signalfd_empty_read_is_eagain_or_waits() -> Outcome {
    let fd = open_set(&[SIGUSR1], 0)?;
    let reader = Blocker::start(|| i32::from(!one(&fd).is_ok_and(|it| it.signal == 10)))?;
    check!(reader.blocked()?);
    process::kill(reader.pid(), SIGUSR1)?;
    check_eq!(reader.join()?, Status::Exited(0));
    fd::set_nonblocking(&fd, true)?;
    check_eq!(one(&fd).err(), Some(Errno::EAGAIN));
    Ok(())
}

fn signalfd_mask_says_which() -> Outcome {
    let fd = open_set(&[SIGUSR1], NONBLOCK)?;
    signal::mask(How::Block, SignalSet::of(&[SIGUSR2]))?;
    process::kill(process::id(), SIGUSR2)?;
    check_eq!(one(&fd).err(), Some(Errno::EAGAIN));
    check!(signal::pending()?.contains(SIGUSR2));
    Ok(())
}

fn signalfd_mask_can_be_changed() -> Outcome {
    let fd = open_set(&[SIGUSR1], NONBLOCK)?;
    signal::mask(How::Block, SignalSet::of(&[SIGUSR2]))?;
    process::kill(process::id(), SIGUSR2)?;
    set_signals(&fd, SignalSet::of(&[SIGUSR2]))?;
    check_eq!(one(&fd)?.signal, SIGUSR2 as u32);
    process::kill(process::id(), SIGUSR1)?;
    check_eq!(one(&fd).err(), Some(Errno::EAGAIN));
    Ok(())
}

fn signalfd_queued_value_comes_along() -> Outcome {
    let fd = open_set(&[40], NONBLOCK)?;
    let pid = process::id();
    for value in [7_u64, 8] {
        let mut info = [0_u64; 16];
        info[1] = u64::from((-1_i32) as u32);
        info[2] = pid as u64;
        info[3] = value;
        let args = [pid as usize, 40, info.as_ptr() as usize];
        call(nr::RT_SIGQUEUEINFO, args)?;
    }
    for value in [7, 8] {
        let taken = one(&fd)?;
        check_eq!(
            (taken.code, taken.int, taken.pointer),
            (-1, value, value as u64)
        );
    }
    Ok(())
}

fn signalfd_child_status_comes_along() -> Outcome {
    let fd = open_set(&[SIGCHLD], 0)?;
    let child = process::spawn(|| 7)?;
    let taken = one(&fd)?;
    check_eq!(taken.signal, SIGCHLD as u32);
    check_eq!((taken.pid, taken.status, taken.code), (child as u32, 7, 1));
    process::wait_pid(child)?;
    Ok(())
}

fn readable(fd: &Fd, timeout: Option<Duration>) -> Result<bool> {
    let mut fds = [PollFd::new(fd.fd(), POLLIN)];
    Ok(poll(&mut fds, timeout)? == 1 && fds[0].revents == POLLIN)
}

fn signalfd_poll_shows_what_pends() -> Outcome {
    let fd = open_set(&[SIGUSR1], 0)?;
    check!(!readable(&fd, Some(Duration::ZERO))?);
    let parent = process::id();
    let child = process::spawn(|| {
        settle();
        i32::from(process::kill(parent, SIGUSR1).is_err())
    })?;
    check!(readable(&fd, None)?);
    one(&fd)?;
    check!(!readable(&fd, Some(Duration::ZERO))?);
    process::wait_pid(child)?;
    Ok(())
}

fn signalfd_epoll_wakes() -> Outcome {
    let fd = open_set(&[SIGUSR1], 0)?;
    let events = epoll::create(0)?;
    epoll::add(&events, &fd, EPOLLIN)?;
    let parent = process::id();
    let child = process::spawn(|| {
        settle();
        i32::from(process::kill(parent, SIGUSR1).is_err())
    })?;
    let mut came = [epoll::Event::default()];
    check_eq!(epoll::wait(&events, &mut came, None)?, 1);
    check_eq!(one(&fd)?.signal, SIGUSR1 as u32);
    process::wait_pid(child)?;
    Ok(())
}

fn signalfd_reads_the_readers_own_signals() -> Outcome {
    let fd = open_set(&[SIGUSR1], NONBLOCK)?;
    process::kill(process::id(), SIGUSR1)?;
    // What pends for the maker is not the child's to read.
    let status = crate::support::in_child(|| i32::from(one(&fd).err() != Some(Errno::EAGAIN)))?;
    check_eq!(status, Status::Exited(0));
    check_eq!(one(&fd)?.signal, SIGUSR1 as u32);
    Ok(())
}

fn signalfd_of_a_thread_sees_its_own_and_its_process_signals() -> Outcome {
    let fd = open_set(&[SIGUSR1, SIGUSR2], NONBLOCK)?;
    let number = fd.fd();
    signal::send_thread(process::id(), process::thread_id(), SIGUSR1)?;
    process::kill(process::id(), SIGUSR2)?;
    let seen = crate::support::Shared::new()?;
    let word = seen.word(0);
    thread::spawn(move || {
        let mut room = [Taken::default(); 4];
        let count = take_signals(number, &mut room).unwrap_or(9);
        let value = if count == 1 { room[0].signal } else { 99 };
        word.store(value, core::sync::atomic::Ordering::SeqCst);
    })?
    .join();
    check_eq!(seen.get(0), SIGUSR2 as u32);
    check_eq!(one(&fd)?.signal, SIGUSR1 as u32);
    Ok(())
}

fn signalfd_arguments_are_checked() -> Outcome {
    let fd = open_set(&[SIGUSR1], NONBLOCK)?;
    let set = SignalSet::of(&[SIGUSR1]);
    let at = &raw const set as usize;
    let none = usize::MAX;
    check_eq!(call(nr::SIGNALFD4, [none, at, 4, 0]), Err(Errno::EINVAL));
    check_eq!(call(nr::SIGNALFD4, [none, at, 8, 1]), Err(Errno::EINVAL));
    check_eq!(call(nr::SIGNALFD4, [none, 8, 8, 0]), Err(Errno::EFAULT));
    check_eq!(set_signals(999, set), Err(Errno::EBADF));
    let (pipe, _writer) = fd::pipe()?;
    check_eq!(set_signals(&pipe, set), Err(Errno::EINVAL));
    check_eq!(io::read(&fd, &mut [0; 127]), Err(Errno::EINVAL));
    check!(fd::cloexec(signalfd(set, open::O_CLOEXEC)?)?);
    Ok(())
}

/// SIGKILL in the mask is passed over.
fn signalfd_cannot_take_kill() -> Outcome {
    let fd = open_set(&[SIGKILL, SIGUSR1], 0)?;
    let child = Blocker::start(|| i32::from(one(&fd).is_ok()))?;
    check_eq!(child.kill()?, Status::Signaled(SIGKILL));
    Ok(())
}
