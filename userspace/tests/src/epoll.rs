//! Epoll: what is reported and when, by level, by edge, once; what is watched and for how long.

use core::time::Duration;

use halyard_rt::epoll::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP,
    EPOLLIN, EPOLLONESHOT, EPOLLOUT, Event, add, control, create, delete, modify, wait,
    wait_masked, wait_millis,
};
use halyard_rt::event::{self, EFD_NONBLOCK, eventfd};
use halyard_rt::poll::{POLLIN, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, How, SIGCONT, SIGSTOP, SIGUSR1, SignalSet};
use halyard_rt::{fd, io, nr, open, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Edge, Outcome, Shared, call, check, check_eq, settle, sleep_ms};

suite!(
    epoll_level_reports_while_it_is_so,
    epoll_edge_reports_each_change_once,
    epoll_edge_partial_read_is_no_change,
    epoll_edge_room_is_news_only_after_it_was_full,
    epoll_edge_reports_what_was_there_when_added,
    epoll_edge_modify_reports_again,
    epoll_oneshot_reports_once_until_modified,
    epoll_errors_and_hangups_are_reported_unasked,
    epoll_empty_interest_reports_errors_alone,
    epoll_gives_back_the_programs_number,
    epoll_more_ready_than_asked_for_take_turns,
    epoll_close_of_the_last_descriptor_takes_it_out,
    epoll_close_of_one_of_two_descriptors_does_not,
    epoll_delete_takes_it_out,
    epoll_same_file_under_two_numbers_is_two,
    epoll_arguments_of_control_are_checked,
    epoll_unknown_request_is_einval_and_its_kin_say_enotty,
    epoll_arguments_of_wait_are_checked,
    epoll_files_that_are_always_ready_are_eperm,
    epoll_flags_are_checked,
    epoll_time_out_is_kept,
    epoll_wakes_when_something_comes,
    epoll_wakes_for_what_is_added_meanwhile,
    epoll_wakes_one_of_several_for_one_edge,
    epoll_exclusive_is_checked,
    epoll_exclusive_wakes_somebody,
    epoll_bad_pointer_loses_nothing,
    epoll_is_readable_while_it_has_something,
    epoll_nested_reports_the_inner_one,
    epoll_nested_in_a_circle_is_eloop,
    epoll_nested_too_deep_is_eloop,
    epoll_nested_so_that_a_wake_spreads_is_einval,
    epoll_interrupted_is_eintr_despite_restart,
    epoll_stopped_and_continued_is_eintr,
    epoll_mask_lets_the_signal_in_and_is_put_back,
    epoll_is_shared_over_fork,
    epoll_storm_loses_no_edge,
);

const NOW: Option<Duration> = Some(Duration::ZERO);

/// What comes at once: events by the program's number, lowest first.
fn found(set: &Fd) -> Result<Vec<(u64, u32)>> {
    let mut events = [Event::default(); 16];
    let count = wait(set, &mut events, NOW)?;
    let mut found: Vec<_> = events[..count]
        .iter()
        .map(|it| (it.data, it.events))
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// An event counter to be watched.
fn counter() -> Result<Fd> {
    eventfd(0, EFD_NONBLOCK)
}

fn number(fd: &Fd) -> u64 {
    fd.fd() as u64
}

fn epoll_level_reports_while_it_is_so() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    add(&set, &it, EPOLLIN)?;
    check_eq!(found(&set)?, []);
    event::add(&it, 1)?;
    for _ in 0..3 {
        check_eq!(found(&set)?, [(number(&it), EPOLLIN)]);
    }
    event::take(&it)?;
    check_eq!(found(&set)?, []);
    Ok(())
}

fn epoll_edge_reports_each_change_once() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    add(&set, &it, EPOLLIN | EPOLLET)?;
    event::add(&it, 1)?;
    check_eq!(found(&set)?, [(number(&it), EPOLLIN)]);
    check_eq!(found(&set)?, []);
    // Another change is another event, although it was readable all along.
    event::add(&it, 1)?;
    event::add(&it, 1)?;
    check_eq!(found(&set)?, [(number(&it), EPOLLIN)]);
    check_eq!(found(&set)?, []);
    Ok(())
}

/// The example of epoll(7): 2 kB come, 1 kB is read, and nothing more is reported.
fn epoll_edge_partial_read_is_no_change() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let set = create(0)?;
    add(&set, &reader, EPOLLIN | EPOLLET)?;
    io::write(&writer, &[1; 2048])?;
    check_eq!(found(&set)?, [(number(&reader), EPOLLIN)]);
    check_eq!(io::read(&reader, &mut [0; 1024])?, 1024);
    check_eq!(found(&set)?, []);
    Ok(())
}

fn epoll_edge_room_is_news_only_after_it_was_full() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    fd::set_nonblocking(&writer, true)?;
    let set = create(0)?;
    add(&set, &writer, EPOLLOUT | EPOLLET)?;
    check_eq!(found(&set)?, [(number(&writer), EPOLLOUT)]);
    io::write(&writer, &[1; 8192])?;
    io::read(&reader, &mut [0; 4096])?;
    check_eq!(found(&set)?, []);
    while io::write(&writer, &[1; 4096]).is_ok() {}
    check_eq!(found(&set)?, []);
    io::read(&reader, &mut [0; 8192])?;
    check_eq!(found(&set)?, [(number(&writer), EPOLLOUT)]);
    check_eq!(found(&set)?, []);
    Ok(())
}

fn epoll_edge_reports_what_was_there_when_added() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    event::add(&it, 1)?;
    add(&set, &it, EPOLLIN | EPOLLET)?;
    check_eq!(found(&set)?, [(number(&it), EPOLLIN)]);
    check_eq!(found(&set)?, []);
    Ok(())
}

fn epoll_edge_modify_reports_again() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    event::add(&it, 1)?;
    add(&set, &it, EPOLLIN | EPOLLET)?;
    check_eq!(found(&set)?.len(), 1);
    modify(&set, &it, EPOLLIN | EPOLLET)?;
    check_eq!(found(&set)?, [(number(&it), EPOLLIN)]);
    modify(&set, &it, EPOLLOUT | EPOLLET)?;
    check_eq!(found(&set)?, [(number(&it), EPOLLOUT)]);
    Ok(())
}

fn epoll_oneshot_reports_once_until_modified() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    add(&set, &it, EPOLLIN | EPOLLONESHOT)?;
    event::add(&it, 1)?;
    check_eq!(found(&set)?, [(number(&it), EPOLLIN)]);
    event::add(&it, 1)?;
    check_eq!(found(&set)?, []);
    modify(&set, &it, EPOLLIN | EPOLLONESHOT)?;
    check_eq!(found(&set)?, [(number(&it), EPOLLIN)]);
    check_eq!(found(&set)?, []);
    Ok(())
}

fn epoll_errors_and_hangups_are_reported_unasked() -> Outcome {
    let set = create(0)?;
    let (reader, writer) = fd::pipe()?;
    add(&set, &reader, EPOLLIN)?;
    drop(writer);
    check_eq!(found(&set)?, [(number(&reader), EPOLLHUP)]);
    let (gone, writer) = fd::pipe()?;
    add(&set, &writer, EPOLLOUT)?;
    delete(&set, &reader)?;
    drop(gone);
    check_eq!(found(&set)?, [(number(&writer), EPOLLOUT | EPOLLERR)]);
    Ok(())
}

fn epoll_empty_interest_reports_errors_alone() -> Outcome {
    let set = create(0)?;
    let (reader, writer) = fd::pipe()?;
    add(&set, &reader, 0)?;
    io::write(&writer, b"x")?;
    check_eq!(found(&set)?, []);
    drop(writer);
    check_eq!(found(&set)?, [(number(&reader), EPOLLHUP)]);
    Ok(())
}

fn epoll_gives_back_the_programs_number() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    event::add(&it, 1)?;
    let data = 0xdead_beef_0123_4567;
    control(&set, EPOLL_CTL_ADD, &it, Event::new(EPOLLIN, data))?;
    check_eq!(found(&set)?, [(data, EPOLLIN)]);
    Ok(())
}

fn epoll_more_ready_than_asked_for_take_turns() -> Outcome {
    let set = create(0)?;
    let mut all = Vec::new();
    for _ in 0..5 {
        let it = counter()?;
        event::add(&it, 1)?;
        add(&set, &it, EPOLLIN)?;
        all.push(it);
    }
    let mut seen = Vec::new();
    let mut events = [Event::default(); 2];
    for _ in 0..3 {
        let count = wait(&set, &mut events, NOW)?;
        check_eq!(count, 2);
        seen.extend(events.iter().map(|it| it.data));
    }
    seen.sort_unstable();
    seen.dedup();
    check_eq!(seen.len(), 5);
    Ok(())
}

fn epoll_close_of_the_last_descriptor_takes_it_out() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    event::add(&it, 1)?;
    add(&set, &it, EPOLLIN)?;
    let number = it.fd();
    drop(it);
    check_eq!(found(&set)?, []);
    // The number may be used for another file, which is watched on its own.
    let other = counter()?;
    check_eq!(other.fd(), number);
    check_eq!(delete(&set, &other), Err(Errno::ENOENT));
    add(&set, &other, EPOLLIN)?;
    check_eq!(found(&set)?, []);
    Ok(())
}

fn epoll_close_of_one_of_two_descriptors_does_not() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    let copy = fd::dup(&it)?;
    add(&set, &it, EPOLLIN)?;
    let number = number(&it);
    drop(it);
    event::add(&copy, 1)?;
    check_eq!(found(&set)?, [(number, EPOLLIN)]);
    drop(copy);
    check_eq!(found(&set)?, []);
    Ok(())
}

fn epoll_delete_takes_it_out() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    event::add(&it, 1)?;
    add(&set, &it, EPOLLIN)?;
    delete(&set, &it)?;
    check_eq!(found(&set)?, []);
    event::add(&it, 1)?;
    check_eq!(found(&set)?, []);
    check_eq!(delete(&set, &it), Err(Errno::ENOENT));
    check_eq!(modify(&set, &it, EPOLLIN), Err(Errno::ENOENT));
    Ok(())
}

fn epoll_same_file_under_two_numbers_is_two() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    let copy = fd::dup(&it)?;
    add(&set, &it, EPOLLIN)?;
    check_eq!(add(&set, &it, EPOLLIN), Err(Errno::EEXIST));
    add(&set, &copy, EPOLLIN)?;
    event::add(&it, 1)?;
    check_eq!(found(&set)?.len(), 2);
    Ok(())
}

fn epoll_arguments_of_control_are_checked() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    let (epfd, fd) = (set.fd() as usize, it.fd() as usize);
    let add = EPOLL_CTL_ADD as usize;
    check_eq!(call(nr::EPOLL_CTL, [epfd, add, fd, 8]), Err(Errno::EFAULT));
    // Nothing is read to delete.
    let del = EPOLL_CTL_DEL as usize;
    check_eq!(call(nr::EPOLL_CTL, [epfd, del, fd, 8]), Err(Errno::ENOENT));
    let event = Event::new(EPOLLIN, 0);
    check_eq!(control(&set, EPOLL_CTL_ADD, 999, event), Err(Errno::EBADF));
    check_eq!(control(999, EPOLL_CTL_ADD, &it, event), Err(Errno::EBADF));
    check_eq!(control(&it, EPOLL_CTL_ADD, &set, event), Err(Errno::EINVAL));
    check_eq!(
        control(&set, EPOLL_CTL_ADD, &set, event),
        Err(Errno::EINVAL)
    );
    check_eq!(control(&set, 7, &it, event), Err(Errno::EINVAL));
    Ok(())
}

fn epoll_unknown_request_is_einval_and_its_kin_say_enotty() -> Outcome {
    let set = create(0)?;
    check_eq!(io::readable_bytes(&set), Err(Errno::EINVAL));
    check_eq!(io::readable_bytes(&eventfd(0, 0)?), Err(Errno::ENOTTY));
    Ok(())
}

fn epoll_arguments_of_wait_are_checked() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    let mut events = [Event::default(); 1];
    check_eq!(wait(&set, &mut [], NOW), Err(Errno::EINVAL));
    check_eq!(wait(&it, &mut events, NOW), Err(Errno::EINVAL));
    check_eq!(wait(999, &mut events, NOW), Err(Errno::EBADF));
    let most = i32::MAX as usize / 16;
    let args = [
        set.fd() as usize,
        events.as_ptr() as usize,
        most + 1,
        0,
        0,
        8,
    ];
    check_eq!(call(nr::EPOLL_PWAIT, args), Err(Errno::EINVAL));
    let mask = SignalSet::EMPTY;
    let args = [
        set.fd() as usize,
        events.as_ptr() as usize,
        1,
        0,
        &raw const mask as usize,
        4,
    ];
    check_eq!(call(nr::EPOLL_PWAIT, args), Err(Errno::EINVAL));
    Ok(())
}

fn epoll_files_that_are_always_ready_are_eperm() -> Outcome {
    let set = create(0)?;
    let flags = open::O_RDWR | open::O_CREAT | open::O_TRUNC;
    let file = fs::open_with("/tmp/epoll_file", flags, 0o600)?;
    fs::remove_file("/tmp/epoll_file")?;
    check_eq!(add(&set, &file, EPOLLIN), Err(Errno::EPERM));
    let directory = fs::open("/tmp")?;
    check_eq!(add(&set, &directory, EPOLLIN), Err(Errno::EPERM));
    Ok(())
}

fn epoll_flags_are_checked() -> Outcome {
    check_eq!(create(1).err(), Some(Errno::EINVAL));
    check!(fd::cloexec(create(EPOLL_CLOEXEC)?)?);
    check!(!fd::cloexec(create(0)?)?);
    Ok(())
}

fn epoll_time_out_is_kept() -> Outcome {
    let set = create(0)?;
    let mut events = [Event::default(); 1];
    let begun = time::uptime();
    check_eq!(wait(&set, &mut events, Some(Duration::from_millis(20)))?, 0);
    check!(time::uptime() - begun >= Duration::from_millis(20));
    let begun = time::uptime();
    check_eq!(wait_millis(&set, &mut events, 20)?, 0);
    check!(time::uptime() - begun >= Duration::from_millis(20));
    check_eq!(wait_millis(&set, &mut events, 0)?, 0);
    Ok(())
}

fn epoll_wakes_when_something_comes() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    add(&set, &it, EPOLLIN)?;
    let waiter = Blocker::start(|| {
        let mut events = [Event::default(); 4];
        i32::from(wait_millis(&set, &mut events, -1) != Ok(1) || events[0].data != number(&it))
    })?;
    check!(waiter.blocked()?);
    event::add(&it, 1)?;
    check_eq!(waiter.join()?, Status::Exited(0));
    Ok(())
}

fn epoll_wakes_for_what_is_added_meanwhile() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    event::add(&it, 1)?;
    let waiter = Blocker::start(|| {
        let mut events = [Event::default(); 4];
        i32::from(wait(&set, &mut events, None) != Ok(1))
    })?;
    check!(waiter.blocked()?);
    add(&set, &it, EPOLLIN)?;
    check_eq!(waiter.join()?, Status::Exited(0));
    Ok(())
}

fn epoll_wakes_one_of_several_for_one_edge() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    add(&set, &it, EPOLLIN | EPOLLET)?;
    let woken = Shared::new()?;
    let mut waiters = Vec::new();
    for _ in 0..3 {
        waiters.push(Blocker::start(|| {
            let mut events = [Event::default(); 4];
            let outcome = wait(&set, &mut events, None);
            woken.add(0, 1);
            i32::from(outcome != Ok(1))
        })?);
    }
    for round in 1..=3 {
        event::add(&it, 1)?;
        woken.await_value(0, round);
        settle();
        check_eq!(woken.get(0), round);
    }
    for waiter in waiters {
        check_eq!(waiter.join()?, Status::Exited(0));
    }
    Ok(())
}

fn epoll_exclusive_is_checked() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    let inner = create(0)?;
    let wrong = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
    check_eq!(add(&set, &it, wrong), Err(Errno::EINVAL));
    check_eq!(
        add(&set, &inner, EPOLLIN | EPOLLEXCLUSIVE),
        Err(Errno::EINVAL)
    );
    add(&set, &it, EPOLLIN | EPOLLEXCLUSIVE)?;
    check_eq!(
        modify(&set, &it, EPOLLIN | EPOLLEXCLUSIVE),
        Err(Errno::EINVAL)
    );
    check_eq!(modify(&set, &it, EPOLLIN), Err(Errno::EINVAL));
    delete(&set, &it)?;
    Ok(())
}

fn epoll_exclusive_wakes_somebody() -> Outcome {
    let it = counter()?;
    let idle = create(0)?;
    add(&idle, &it, EPOLLIN | EPOLLEXCLUSIVE)?;
    let woken = Shared::new()?;
    let mut waiters = Vec::new();
    for _ in 0..2 {
        waiters.push(Blocker::start(|| {
            let Ok(set) = create(0) else { return 2 };
            if add(&set, &it, EPOLLIN | EPOLLEXCLUSIVE).is_err() {
                return 3;
            }
            let mut events = [Event::default(); 4];
            let outcome = wait(&set, &mut events, None);
            let _ = event::take(&it);
            woken.add(0, 1);
            i32::from(outcome != Ok(1))
        })?);
    }
    for round in 1..=2 {
        event::add(&it, 1)?;
        woken.await_value(0, round);
    }
    for waiter in waiters {
        check_eq!(waiter.join()?, Status::Exited(0));
    }
    Ok(())
}

fn epoll_bad_pointer_loses_nothing() -> Outcome {
    let edge = Edge::new()?;
    let set = create(0)?;
    let (one, other) = (counter()?, counter()?);
    for it in [&one, &other] {
        add(&set, it, EPOLLIN | EPOLLET)?;
        event::add(it, 1)?;
    }
    let epfd = set.fd() as usize;
    let args = [epfd, edge.bad(), 4, 0, 0, 8];
    check_eq!(call(nr::EPOLL_PWAIT, args), Err(Errno::EFAULT));
    // Room for one: that one is reported, the other is not lost.
    let args = [epfd, edge.before(16), 4, 0, 0, 8];
    check_eq!(call(nr::EPOLL_PWAIT, args), Ok(1));
    check_eq!(found(&set)?.len(), 1);
    check_eq!(found(&set)?, []);
    Ok(())
}

fn readable(fd: &Fd) -> Result<bool> {
    let mut fds = [PollFd::new(fd.fd(), POLLIN)];
    Ok(poll(&mut fds, NOW)? == 1)
}

fn epoll_is_readable_while_it_has_something() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    add(&set, &it, EPOLLIN | EPOLLET)?;
    check!(!readable(&set)?);
    event::add(&it, 1)?;
    check!(readable(&set)?);
    check!(readable(&set)?);
    check_eq!(found(&set)?.len(), 1);
    check!(!readable(&set)?);
    check_eq!(io::read(&set, &mut [0; 8]), Err(Errno::EINVAL));
    Ok(())
}

fn epoll_nested_reports_the_inner_one() -> Outcome {
    let (outer, inner, it) = (create(0)?, create(0)?, counter()?);
    add(&outer, &inner, EPOLLIN)?;
    add(&inner, &it, EPOLLIN)?;
    check_eq!(found(&outer)?, []);
    let waiter = Blocker::start(|| {
        let mut events = [Event::default(); 4];
        i32::from(wait(&outer, &mut events, None) != Ok(1) || events[0].data != number(&inner))
    })?;
    event::add(&it, 1)?;
    check_eq!(waiter.join()?, Status::Exited(0));
    check_eq!(found(&outer)?, [(number(&inner), EPOLLIN)]);
    check_eq!(found(&inner)?, [(number(&it), EPOLLIN)]);
    event::take(&it)?;
    check_eq!(found(&outer)?, []);
    Ok(())
}

fn epoll_nested_in_a_circle_is_eloop() -> Outcome {
    let (one, two, three) = (create(0)?, create(0)?, create(0)?);
    add(&one, &two, EPOLLIN)?;
    check_eq!(add(&two, &one, EPOLLIN), Err(Errno::ELOOP));
    add(&two, &three, EPOLLIN)?;
    check_eq!(add(&three, &one, EPOLLIN), Err(Errno::ELOOP));
    delete(&one, &two)?;
    add(&three, &one, EPOLLIN)?;
    Ok(())
}

/// Five in a chain are allowed. (Linux before 6.16 allows a sixth.)
/// Four levels of many instances, each watching all of the level below: one write would go all the ways there are.
fn epoll_nested_so_that_a_wake_spreads_is_einval() -> Outcome {
    const WIDTH: usize = 25;
    let event = eventfd(0, 0)?;
    let mut levels: Vec<Vec<Fd>> = Vec::new();
    let mut refused = None;
    for _ in 0..4 {
        let level: Vec<Fd> = (0..WIDTH).map(|_| create(0)).collect::<Result<_>>()?;
        for outer in &level {
            let outcome = match levels.last() {
                None => add(outer, &event, EPOLLIN),
                Some(below) => below
                    .iter()
                    .try_for_each(|inner| add(outer, inner, EPOLLIN)),
            };
            refused = refused.or(outcome.err());
        }
        levels.push(level);
    }
    check_eq!(refused, Some(Errno::EINVAL));
    let begun = time::uptime();
    io::write_all(&event, &1u64.to_ne_bytes())?;
    check!(time::uptime() - begun < Duration::from_millis(100));
    Ok(())
}

fn epoll_nested_too_deep_is_eloop() -> Outcome {
    let mut sets = Vec::new();
    for _ in 0..8 {
        sets.push(create(0)?);
    }
    for (inner, outer) in sets.iter().zip(sets.iter().skip(1)).take(4) {
        add(outer, inner, EPOLLIN)?;
    }
    let mut outcome = Ok(());
    for (inner, outer) in sets.iter().zip(sets.iter().skip(1)).skip(4) {
        outcome = add(outer, inner, EPOLLIN);
        if outcome.is_err() {
            break;
        }
    }
    check_eq!(outcome, Err(Errno::ELOOP));
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn waits_for_ever(set: &Fd) -> i32 {
    let mut events = [Event::default(); 1];
    i32::from(wait(set, &mut events, None) != Err(Errno::EINTR))
}

fn epoll_interrupted_is_eintr_despite_restart() -> Outcome {
    let set = create(0)?;
    signal::set(
        SIGUSR1,
        Action::Call(nothing),
        signal::SA_RESTART,
        SignalSet::EMPTY,
    )?;
    let waiter = Blocker::start(|| waits_for_ever(&set))?;
    process::kill(waiter.pid(), SIGUSR1)?;
    check_eq!(waiter.join()?, Status::Exited(0));
    Ok(())
}

fn epoll_stopped_and_continued_is_eintr() -> Outcome {
    let set = create(0)?;
    let waiter = Blocker::start(|| waits_for_ever(&set))?;
    process::kill(waiter.pid(), SIGSTOP)?;
    settle();
    process::kill(waiter.pid(), SIGCONT)?;
    check_eq!(waiter.join()?, Status::Exited(0));
    Ok(())
}

fn epoll_mask_lets_the_signal_in_and_is_put_back() -> Outcome {
    let set = create(0)?;
    signal::set(SIGUSR1, Action::Call(nothing), 0, SignalSet::EMPTY)?;
    signal::mask(How::Block, SignalSet::of(&[SIGUSR1]))?;
    let parent = process::id();
    let child = process::spawn(|| {
        sleep_ms(20);
        i32::from(process::kill(parent, SIGUSR1).is_err())
    })?;
    let mut events = [Event::default(); 1];
    let outcome = wait_masked(&set, &mut events, None, Some(SignalSet::EMPTY));
    check_eq!(outcome, Err(Errno::EINTR));
    check!(signal::mask(How::Block, SignalSet::EMPTY)?.contains(SIGUSR1));
    process::wait_pid(child)?;
    let length = Some(Duration::from_millis(2));
    check_eq!(
        wait_masked(&set, &mut events, length, Some(SignalSet::EMPTY))?,
        0
    );
    check!(signal::mask(How::Block, SignalSet::EMPTY)?.contains(SIGUSR1));
    Ok(())
}

fn epoll_is_shared_over_fork() -> Outcome {
    let (set, it) = (create(0)?, counter()?);
    let status = crate::support::in_child(|| i32::from(add(&set, &it, EPOLLIN).is_err()))?;
    check_eq!(status, Status::Exited(0));
    event::add(&it, 1)?;
    check_eq!(found(&set)?, [(number(&it), EPOLLIN)]);
    Ok(())
}

/// Several write, several wait for edges and take all there is each time: nothing may be left over.
fn epoll_storm_loses_no_edge() -> Outcome {
    const EACH: u32 = 300;
    const WRITERS: usize = 3;
    let set = create(0)?;
    let mut counters = Vec::new();
    for _ in 0..WRITERS {
        let it = counter()?;
        add(&set, &it, EPOLLIN | EPOLLET)?;
        counters.push(it);
    }
    let taken = Shared::new()?;
    let mut children = Vec::new();
    for _ in 0..2 {
        children.push(process::spawn(|| {
            let mut events = [Event::default(); 2];
            loop {
                let Ok(count) = wait(&set, &mut events, None) else {
                    return 1;
                };
                for event in &events[..count] {
                    while let Ok(some) = event::take(event.data as i32) {
                        taken.add(0, some as u32);
                    }
                }
            }
        })?);
    }
    for it in &counters {
        process::spawn(|| {
            for _ in 0..EACH {
                if event::add(it, 1).is_err() {
                    return 1;
                }
            }
            0
        })?;
    }
    taken.await_value(0, EACH * WRITERS as u32);
    for child in children {
        process::kill(child, signal::SIGKILL)?;
    }
    Ok(())
}
