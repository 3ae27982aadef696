//! poll and ppoll in general; what pipes show is in `pipe_poll`.

use core::time::Duration;

use halyard_rt::poll::{POLLIN, POLLNVAL, POLLOUT, PollFd, poll, poll_masked};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, How, SIGUSR1, SignalSet};
use halyard_rt::{fd, io, nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, WILD, call, check, check_eq};

suite!(
    poll_of_nothing_waits_out_its_time,
    poll_of_ready_ones_counts_them,
    poll_of_bad_descriptor_is_nval,
    poll_passes_over_negative_descriptors,
    poll_of_files_is_always_ready,
    poll_time_out_gives_zero,
    signal_17_poll_interrupted_is_eintr_despite_restart,
    poll_masked_lets_the_signal_in,
    poll_masked_puts_the_mask_back,
    poll_bad_arguments_fail,
    poll_wakes_all_who_wait,
);

const SHORT: Duration = Duration::from_millis(20);

fn poll_of_nothing_waits_out_its_time() -> Outcome {
    let start = time::uptime();
    check_eq!(poll(&mut [], Some(SHORT))?, 0);
    check!(time::uptime() - start >= SHORT);
    Ok(())
}

fn poll_of_ready_ones_counts_them() -> Outcome {
    let (first, first_in) = fd::pipe()?;
    let (second, second_in) = fd::pipe()?;
    let (third, _third_in) = fd::pipe()?;
    io::write(&first_in, b"x")?;
    io::write(&second_in, b"x")?;
    let mut fds = [&first, &second, &third].map(|end| PollFd::new(end.fd(), POLLIN));
    check_eq!(poll(&mut fds, None)?, 2);
    check_eq!(fds.map(|entry| entry.revents), [POLLIN, POLLIN, 0]);
    Ok(())
}

fn poll_of_bad_descriptor_is_nval() -> Outcome {
    let mut fds = [PollFd::new(777, POLLIN), PollFd::new(778, 0)];
    check_eq!(poll(&mut fds, None)?, 2);
    check_eq!(fds.map(|entry| entry.revents), [POLLNVAL, POLLNVAL]);
    Ok(())
}

fn poll_passes_over_negative_descriptors() -> Outcome {
    let mut fds = [PollFd::new(-1, POLLIN)];
    fds[0].revents = 99;
    check_eq!(poll(&mut fds, Some(Duration::ZERO))?, 0);
    check_eq!(fds[0].revents, 0);
    Ok(())
}

fn poll_of_files_is_always_ready() -> Outcome {
    let file = fs::open("/dev/null")?;
    let directory = fs::open("/")?;
    let events = POLLIN | POLLOUT;
    let mut fds = [
        PollFd::new(file.fd(), events),
        PollFd::new(directory.fd(), events),
    ];
    check_eq!(poll(&mut fds, None)?, 2);
    check_eq!(fds.map(|entry| entry.revents), [events, events]);
    Ok(())
}

fn poll_time_out_gives_zero() -> Outcome {
    let (reader, _writer) = fd::pipe()?;
    let mut fds = [PollFd::new(reader.fd(), POLLIN)];
    let start = time::uptime();
    check_eq!(poll(&mut fds, Some(SHORT))?, 0);
    check!(time::uptime() - start >= SHORT);
    check_eq!(fds[0].revents, 0);
    Ok(())
}

extern "C" fn note(_: i32) {}

fn signal_17_poll_interrupted_is_eintr_despite_restart() -> Outcome {
    let (reader, _writer) = fd::pipe()?;
    let child = Blocker::start(|| {
        let _ = signal::set(
            SIGUSR1,
            Action::Call(note),
            signal::SA_RESTART,
            SignalSet::EMPTY,
        );
        let mut fds = [PollFd::new(reader.fd(), POLLIN)];
        i32::from(poll(&mut fds, None) != Err(Errno::EINTR))
    })?;
    check!(child.blocked()?);
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn poll_masked_lets_the_signal_in() -> Outcome {
    signal::set(SIGUSR1, Action::Call(note), 0, SignalSet::EMPTY)?;
    let blocked = SignalSet::of(&[SIGUSR1]);
    signal::mask(How::Block, blocked)?;
    process::kill(process::id(), SIGUSR1)?;
    // Blocked it does not disturb; let in it does, at once.
    check_eq!(poll(&mut [], Some(SHORT))?, 0);
    check_eq!(
        poll_masked(&mut [], None, Some(SignalSet::EMPTY)),
        Err(Errno::EINTR)
    );
    check_eq!(signal::pending()?, SignalSet::EMPTY);
    Ok(())
}

fn poll_masked_puts_the_mask_back() -> Outcome {
    let before = signal::mask(How::Block, SignalSet::of(&[SIGUSR1]))?;
    check_eq!(
        poll_masked(&mut [], Some(Duration::ZERO), Some(SignalSet::FULL))?,
        0
    );
    let after = signal::mask(How::Block, SignalSet::EMPTY)?;
    check_eq!(after.0, before.0 | SignalSet::of(&[SIGUSR1]).0);
    Ok(())
}

fn poll_bad_arguments_fail() -> Outcome {
    let place = [PollFd::new(0, 0)];
    let at = place.as_ptr() as usize;
    for address in WILD {
        check_eq!(call(nr::PPOLL, [address, 1, 0, 0, 8]), Err(Errno::EFAULT));
        check_eq!(call(nr::PPOLL, [at, 1, address, 0, 8]), Err(Errno::EFAULT));
        check_eq!(call(nr::PPOLL, [at, 1, 0, address, 8]), Err(Errno::EFAULT));
    }
    let bad_time = [0u64, 1_000_000_000];
    let time = bad_time.as_ptr() as usize;
    check_eq!(call(nr::PPOLL, [at, 1, time, 0, 8]), Err(Errno::EINVAL));
    check_eq!(call(nr::PPOLL, [at, 1, 0, at, 4]), Err(Errno::EINVAL));
    check_eq!(
        call(nr::PPOLL, [at, usize::MAX, 0, 0, 8]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn poll_wakes_all_who_wait() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let wait = || {
        Blocker::start(|| {
            let mut fds = [PollFd::new(reader.fd(), POLLIN)];
            i32::from(poll(&mut fds, None) != Ok(1))
        })
    };
    let (first, second, third) = (wait()?, wait()?, wait()?);
    io::write(&writer, b"x")?;
    for child in [first, second, third] {
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}
