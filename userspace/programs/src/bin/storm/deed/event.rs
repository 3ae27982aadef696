//! Event counters, epoll, timers, signals.

use core::time::Duration;

use halyard_rt::signal::{self, How, SignalSet};
use halyard_rt::{fd, nr, prelude::*, raw};

use super::{call, made, with_partner};
use crate::chance::Chance;

/// Counters, pipes and other epolls in an epoll, closed in any order, waited for in two processes.
pub(crate) fn counters(chance: &mut Chance) {
    let (Some(epoll), Some(outer)) = (made(nr::EPOLL_CREATE1, [0]), made(nr::EPOLL_CREATE1, [0]))
    else {
        return;
    };
    let Some(event) = made(nr::EVENTFD2, [chance.below(2), 0]) else {
        return;
    };
    let Ok((reader, writer)) = fd::pipe() else {
        return;
    };
    for member in [&event, &reader, &writer] {
        let mut wanted = [u64::from(5 | (chance.below(4) as u32) << 30), 1];
        let at = wanted.as_mut_ptr() as usize;
        let _ = call(
            nr::EPOLL_CTL,
            [epoll.fd() as usize, 1, member.fd() as usize, at],
        );
        let _ = call(
            nr::EPOLL_CTL,
            [outer.fd() as usize, 1, epoll.fd() as usize, at],
        );
    }
    let mut room = [0u64; 16];
    let at = room.as_mut_ptr() as usize;
    with_partner(
        || {
            let _ = call(nr::EPOLL_PWAIT, [epoll.fd() as usize, at, 4, 50, 0, 8]);
            let _ = call(nr::READ, [event.fd() as usize, at, 8]);
        },
        || {
            let mut one = [1u64];
            let _ = call(
                nr::WRITE,
                [event.fd() as usize, one.as_mut_ptr() as usize, 8],
            );
            let _ = call(nr::EPOLL_PWAIT, [outer.fd() as usize, at, 4, 1, 0, 8]);
        },
    );
    if chance.once_in(2) {
        drop(event);
        drop(epoll);
    }
}

/// Timers of every kind, some due at once, some never.
pub(crate) fn timers(chance: &mut Chance) {
    let alarms = SignalSet::of(&[signal::SIGALRM, signal::SIGVTALRM, signal::SIGPROF]);
    let _ = signal::mask(How::Block, alarms);
    let micros = 1 + chance.below(5000) as u64;
    let mut interval = [0, micros, 0, micros];
    let at = interval.as_mut_ptr() as usize;
    let _ = call(nr::SETITIMER, [chance.below(3), at, 0]);
    let mut id = [0u32];
    let mut nanos = [0, micros * 1000, 0, micros * 1000];
    let times = nanos.as_mut_ptr() as usize;
    if call(nr::TIMER_CREATE, [1, 0, id.as_mut_ptr() as usize]).is_ok() {
        let _ = call(
            nr::TIMER_SETTIME,
            [core::hint::black_box(id)[0] as usize, 0, times, 0],
        );
    }
    if let Some(timer) = made(nr::TIMERFD_CREATE, [1, 0]) {
        let _ = call(nr::TIMERFD_SETTIME, [timer.fd() as usize, 0, times, 0]);
        let mut room = [0u64];
        let _ = call(
            nr::READ,
            [timer.fd() as usize, room.as_mut_ptr() as usize, 8],
        );
    }
    let _ = time::sleep_once(Duration::from_micros(micros));
}

/// Signals queued to a partner that holds them back, waits for them, or reads them.
pub(crate) fn signals(chance: &mut Chance) {
    let real_time = SignalSet(0xffff << 33);
    let _ = signal::mask(How::Block, real_time);
    let parent = process::id();
    let count = chance.below(60);
    with_partner(
        || {
            for number in 0..count {
                let _ = process::kill(parent, 34 + number as i32 % 8);
            }
        },
        || {
            let mut mask = [real_time.0];
            let reader = made(
                nr::SIGNALFD4,
                [usize::MAX, mask.as_mut_ptr() as usize, 8, 0o4000],
            );
            for _ in 0..count / 2 {
                let _ = signal::wait(real_time, Some(Duration::from_micros(300)));
            }
            let mut room = [0; 1024];
            let _ = reader.map(|reader| io::read(&reader, &mut room));
        },
    );
    let _ = raw::general::SIGCHLD;
}
