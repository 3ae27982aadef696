//! Timers behind a descriptor.

use core::time::Duration;

use halyard_rt::epoll::{self, EPOLLET, EPOLLIN};
use halyard_rt::poll::{POLLIN, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::time::Clock;
use halyard_rt::timer::{
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, Setting, TFD_CLOEXEC, TFD_NONBLOCK,
    TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET, get, set, take, timerfd,
};
use halyard_rt::{fd, io, nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq, differs_on_linux, sleep_ms};

suite!(
    timerfd_once_expires_once,
    timerfd_interval_counts_what_was_missed,
    timerfd_read_waits_until_it_expires,
    timerfd_by_every_clock,
    timerfd_absolute_in_the_past_expires_at_once,
    timerfd_absolute_expires_at_its_time,
    timerfd_says_what_is_left,
    timerfd_set_gives_the_old_and_forgets_expiries,
    timerfd_off_never_expires,
    timerfd_poll_and_edges,
    timerfd_arguments_are_checked,
    timerfd_flags_are_checked,
    timerfd_clock_set_cancels,
    timerfd_clock_set_moves_absolute_ones_alone,
    timerfd_closed_while_running_is_gone,
    timerfd_interrupted_read_restarts,
);

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(1000);

fn nonblocking() -> Result<Fd> {
    timerfd(CLOCK_MONOTONIC, TFD_NONBLOCK)
}

fn timerfd_once_expires_once() -> Outcome {
    let timer = nonblocking()?;
    set(&timer, 0, Setting::once(SHORT))?;
    check_eq!(take(&timer), Err(Errno::EAGAIN));
    sleep_ms(12);
    check_eq!(take(&timer)?, 1);
    check_eq!(take(&timer), Err(Errno::EAGAIN));
    check_eq!(get(&timer)?.left(), Duration::ZERO);
    Ok(())
}

fn timerfd_interval_counts_what_was_missed() -> Outcome {
    let timer = nonblocking()?;
    set(&timer, 0, Setting::new(SHORT, SHORT))?;
    sleep_ms(35);
    let count = take(&timer)?;
    check!((3..=20).contains(&count));
    sleep_ms(12);
    check!(take(&timer)? >= 1);
    let now = get(&timer)?;
    check!(now.left() <= SHORT && now.left() > Duration::ZERO);
    check_eq!(now.interval(), SHORT);
    Ok(())
}

fn timerfd_read_waits_until_it_expires() -> Outcome {
    let timer = timerfd(CLOCK_MONOTONIC, 0)?;
    let begun = time::uptime();
    set(&timer, 0, Setting::once(Duration::from_millis(20)))?;
    check_eq!(take(&timer)?, 1);
    check!(time::uptime() - begun >= Duration::from_millis(20));
    Ok(())
}

fn timerfd_by_every_clock() -> Outcome {
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME] {
        let timer = timerfd(clock, 0)?;
        set(&timer, 0, Setting::once(Duration::from_millis(2)))?;
        check_eq!(take(&timer)?, 1);
    }
    Ok(())
}

fn timerfd_absolute_in_the_past_expires_at_once() -> Outcome {
    let timer = nonblocking()?;
    let past = time::uptime() - Duration::from_millis(1);
    set(&timer, TFD_TIMER_ABSTIME, Setting::once(past))?;
    differs_on_linux("an interrupt has to come first, which may be after the read")?;
    check_eq!(take(&timer)?, 1);
    Ok(())
}

fn timerfd_absolute_expires_at_its_time() -> Outcome {
    let timer = timerfd(CLOCK_REALTIME, 0)?;
    let due = time::now(Clock::Real)? + SHORT;
    set(&timer, TFD_TIMER_ABSTIME, Setting::once(due))?;
    check_eq!(take(&timer)?, 1);
    check!(time::now(Clock::Real)? >= due);
    Ok(())
}

fn timerfd_says_what_is_left() -> Outcome {
    let timer = nonblocking()?;
    check_eq!(get(&timer)?.left(), Duration::ZERO);
    set(&timer, 0, Setting::new(LONG, SHORT))?;
    let now = get(&timer)?;
    check!(now.left() <= LONG && now.left() > LONG - Duration::from_secs(10));
    check_eq!(now.interval(), SHORT);
    Ok(())
}

fn timerfd_set_gives_the_old_and_forgets_expiries() -> Outcome {
    let timer = nonblocking()?;
    set(&timer, 0, Setting::once(Duration::from_millis(1)))?;
    sleep_ms(3);
    let old = set(&timer, 0, Setting::new(LONG, SHORT))?;
    check_eq!(old.left(), Duration::ZERO);
    check_eq!(take(&timer), Err(Errno::EAGAIN));
    let old = set(&timer, 0, Setting::off())?;
    check!(old.left() > Duration::from_secs(900));
    check_eq!(old.interval(), SHORT);
    Ok(())
}

fn timerfd_off_never_expires() -> Outcome {
    let timer = nonblocking()?;
    set(&timer, 0, Setting::once(SHORT))?;
    set(&timer, 0, Setting::off())?;
    sleep_ms(15);
    check_eq!(take(&timer), Err(Errno::EAGAIN));
    Ok(())
}

fn timerfd_poll_and_edges() -> Outcome {
    let timer = nonblocking()?;
    let events = epoll::create(0)?;
    epoll::add(&events, &timer, EPOLLIN | EPOLLET)?;
    set(&timer, 0, Setting::new(SHORT, SHORT))?;
    let mut fds = [PollFd::new(timer.fd(), POLLIN)];
    check_eq!(poll(&mut fds, Some(Duration::ZERO))?, 0);
    check_eq!(poll(&mut fds, None)?, 1);
    check_eq!(fds[0].revents, POLLIN);
    let mut came = [epoll::Event::default()];
    for _ in 0..3 {
        check_eq!(epoll::wait(&events, &mut came, None)?, 1);
        check!(take(&timer)? >= 1);
    }
    Ok(())
}

fn timerfd_arguments_are_checked() -> Outcome {
    let timer = nonblocking()?;
    let fd = timer.fd() as usize;
    check_eq!(call(nr::TIMERFD_SETTIME, [fd, 0, 8, 0]), Err(Errno::EFAULT));
    check_eq!(set(&timer, 8, Setting::off()).err(), Some(Errno::EINVAL));
    for bad in [[0, 0, 0, 1_000_000_000], [0, -1, 1, 0], [0, 0, -1, 0]] {
        let args = [fd, 0, bad.as_ptr() as usize, 0];
        check_eq!(call(nr::TIMERFD_SETTIME, args), Err(Errno::EINVAL));
    }
    let (pipe, _writer) = fd::pipe()?;
    check_eq!(get(&pipe).err(), Some(Errno::EINVAL));
    check_eq!(get(999).err(), Some(Errno::EBADF));
    check_eq!(io::read(&timer, &mut [0; 7]), Err(Errno::EINVAL));
    check_eq!(io::write(&timer, &[0; 8]), Err(Errno::EINVAL));
    Ok(())
}

fn timerfd_flags_are_checked() -> Outcome {
    check_eq!(timerfd(2, 0).err(), Some(Errno::EINVAL));
    check_eq!(timerfd(CLOCK_MONOTONIC, 1).err(), Some(Errno::EINVAL));
    check!(fd::cloexec(timerfd(CLOCK_MONOTONIC, TFD_CLOEXEC)?)?);
    check!(!fd::cloexec(timerfd(CLOCK_MONOTONIC, 0)?)?);
    Ok(())
}

/// Moves the wall clock.
fn set_clock(to: Duration) -> Result<()> {
    let time = time::timespec(to);
    call(nr::CLOCK_SETTIME, [0, &raw const time as usize]).map(drop)
}

fn timerfd_clock_set_cancels() -> Outcome {
    let timer = timerfd(CLOCK_REALTIME, 0)?;
    let now = time::now(Clock::Real)?;
    let flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    set(&timer, flags, Setting::once(now + LONG))?;
    let reader = Blocker::start(|| i32::from(take(&timer) != Err(Errno::ECANCELED)))?;
    check!(reader.blocked()?);
    set_clock(now + Duration::from_secs(5))?;
    let status = reader.join()?;
    set_clock(time::now(Clock::Real)? - Duration::from_secs(5))?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn timerfd_clock_set_moves_absolute_ones_alone() -> Outcome {
    let absolute = timerfd(CLOCK_REALTIME, TFD_NONBLOCK)?;
    let relative = timerfd(CLOCK_REALTIME, TFD_NONBLOCK)?;
    let now = time::now(Clock::Real)?;
    let setting = Setting::once(now + Duration::from_secs(50));
    set(&absolute, TFD_TIMER_ABSTIME, setting)?;
    set(&relative, 0, Setting::once(LONG))?;
    set_clock(now + Duration::from_secs(60))?;
    let mut fds = [PollFd::new(absolute.fd(), POLLIN)];
    let came = poll(&mut fds, Some(Duration::from_secs(2)));
    set_clock(time::now(Clock::Real)? - Duration::from_secs(60))?;
    check_eq!(came?, 1);
    check_eq!(take(&absolute)?, 1);
    check!(get(&relative)?.left() > LONG - Duration::from_secs(20));
    Ok(())
}

fn timerfd_closed_while_running_is_gone() -> Outcome {
    for _ in 0..50 {
        let timer = nonblocking()?;
        set(&timer, 0, Setting::new(SHORT, SHORT))?;
    }
    sleep_ms(15);
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn timerfd_interrupted_read_restarts() -> Outcome {
    use halyard_rt::signal::{self, Action, SA_RESTART, SIGUSR1, SignalSet};
    signal::set(SIGUSR1, Action::Call(nothing), SA_RESTART, SignalSet::EMPTY)?;
    let timer = timerfd(CLOCK_MONOTONIC, 0)?;
    let reader = Blocker::start(|| i32::from(take(&timer) != Ok(1)))?;
    process::kill(reader.pid(), SIGUSR1)?;
    sleep_ms(5);
    check!(reader.blocked()?);
    set(&timer, 0, Setting::once(SHORT))?;
    check_eq!(reader.join()?, Status::Exited(0));
    Ok(())
}
