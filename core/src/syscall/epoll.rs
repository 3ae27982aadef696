//! epoll_create1(2), epoll_ctl(2), epoll_pwait(2), epoll_pwait2(2).

use alloc::sync::Arc;

use halyard_abi::raw::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::poll::{deadline, mask};
use super::{Answer, Call, DONE, Outcome};
use crate::fs::file::Special;
use crate::fs::open_file::{FileRef, OpenFile};
use crate::ipc::epoll::{EDGE, EXCLUSIVE, Epoll, EpollFile, Wish};
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::signal::{self, RESTART_TIMED, SignalSet};
use crate::process::thread::Thread;
use crate::time::Instant;
use crate::wait::{Interruption, wait_until};
use crate::{Errno, Result};

/// `struct epoll_event` of arm64: not packed, as it is elsewhere.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Event {
    events: u32,
    pad: u32,
    data: u64,
}

const EVENT_BYTES: usize = size_of::<Event>();

/// The most reports that one call may ask for (include/linux/eventpoll.h's bound: what fits an `int` of bytes).
const EVENTS_MAX: usize = i32::MAX as usize / EVENT_BYTES;

/// What may stand beside EPOLLEXCLUSIVE (epoll_ctl(2)).
const BESIDE_EXCLUSIVE: u32 = EXCLUSIVE
    | EDGE
    | raw::EPOLLIN
    | raw::EPOLLOUT
    | raw::EPOLLRDNORM
    | raw::EPOLLWRNORM
    | raw::EPOLLERR
    | raw::EPOLLHUP
    | raw::EPOLLWAKEUP;

/// epoll_create1(2).
pub(super) fn epoll_create1(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<0>();
    if flags & !raw::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let file = EpollFile(Epoll::new());
    let fd = call.open_anonymous(Arc::new(file), false, flags & raw::EPOLL_CLOEXEC != 0)?;
    Ok(Outcome::Done(fd as usize))
}

/// EINVAL: not an epoll instance.
#[inline]
fn instance(file: &OpenFile) -> Result<&Arc<Epoll>> {
    match file.file().special() {
        Special::Epoll(epoll) => Ok(epoll),
        _ => Err(Errno::EINVAL),
    }
}

/// epoll_ctl(2): instance, operation, descriptor, event.
pub(super) fn epoll_ctl(call: &mut Call<'_>) -> Answer {
    let operation = call.uint::<1>();
    let wish = if operation == raw::EPOLL_CTL_DEL {
        Wish { events: 0, data: 0 }
    } else {
        let event: Event = call.space().read_user(call.addr::<3>())?;
        Wish {
            // Errors and hang-ups are reported whether asked for or not.
            events: event.events | raw::EPOLLERR | raw::EPOLLHUP,
            data: event.data,
        }
    };
    let (holder, file) = (call.file::<0>()?, call.usable_file::<2>()?);
    if !Epoll::can_watch(&**file.file()) {
        return Err(Errno::EPERM);
    }
    let epoll = instance(&holder)?;
    if Arc::ptr_eq(&holder, &file) {
        return Err(Errno::EINVAL);
    }
    let fd = call.int::<2>();
    match operation {
        raw::EPOLL_CTL_ADD => {
            check_exclusive(&file, wish.events)?;
            epoll.add(&call.kernel.epolls, fd, &file, wish)?;
        }
        raw::EPOLL_CTL_MOD if wish.events & EXCLUSIVE != 0 => return Err(Errno::EINVAL),
        raw::EPOLL_CTL_MOD => epoll.modify(fd, &file, wish)?,
        raw::EPOLL_CTL_DEL => epoll.delete(fd, &file)?,
        _ => return Err(Errno::EINVAL),
    }
    DONE
}

/// EINVAL: EPOLLEXCLUSIVE with what does not go with it, or for an instance.
fn check_exclusive(file: &OpenFile, events: u32) -> Result<()> {
    let wrong = events & !BESIDE_EXCLUSIVE != 0 || instance(file).is_ok();
    if events & EXCLUSIVE != 0 && wrong {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// epoll_pwait(2): instance, events, their number, time-out in ms, signal mask, its size.
pub(super) fn epoll_pwait(call: &mut Call<'_>) -> Answer {
    let until = match call.int::<3>() {
        ..0 => None,
        0 => Some(Instant(0)),
        millis => {
            let length = u64::from(millis.unsigned_abs()) * 1_000_000;
            Some(call.kernel.machine.now().after(length))
        }
    };
    let until = match until {
        Some(Instant(0)) => until,
        until => call.thread().signals.kept_deadline().or(until),
    };
    wait(call, until)
}

/// epoll_pwait2(2): as epoll_pwait(2), with a timespec.
pub(super) fn epoll_pwait2(call: &mut Call<'_>) -> Answer {
    let until = deadline::<3>(call)?;
    wait(call, until)
}

fn wait(call: &mut Call<'_>, until: Option<Instant>) -> Answer {
    let mask = mask(call, call.addr::<4>(), call.size::<5>())?;
    let most = usize::try_from(call.int::<2>()).map_err(|_| Errno::EINVAL)?;
    if most == 0 || most > EVENTS_MAX {
        return Err(Errno::EINVAL);
    }
    let holder = call.file::<0>()?;
    let events = call.addr::<1>();
    let count = collect(instance(&holder)?, call.space(), events, most)?;
    if count > 0 || until.is_some_and(|until| until <= call.kernel.machine.now()) {
        return Ok(Outcome::Done(count));
    }
    sleep(call, holder, events, most, until, mask)
}

/// Reports what there is at `events`. EFAULT: the first report cannot be stored.
#[inline]
fn collect(epoll: &Epoll, space: &AddressSpace, events: UserAddr, most: usize) -> Result<usize> {
    epoll.collect(most, |index, report| {
        let event = Event {
            events: report.events,
            pad: 0,
            data: report.data,
        };
        space.write_user(UserAddr(events.0.wrapping_add(index * EVENT_BYTES)), &event)
    })
}

fn sleep(
    call: &mut Call<'_>,
    holder: FileRef,
    events: UserAddr,
    most: usize,
    until: Option<Instant>,
    mask: Option<SignalSet>,
) -> Answer {
    let (thread, space) = (Arc::clone(call.thread()), Arc::clone(call.space()));
    if let Some(mask) = mask {
        signal::begin_masked_wait(&thread, mask);
    }
    call.wait(async move {
        let epoll = instance(&holder)?;
        let look = || match collect(epoll, &space, events, most) {
            Ok(0) => None,
            outcome => Some(outcome),
        };
        let outcome = wait_until(&thread, epoll.queue(), until, look).await;
        if mask.is_some() && outcome != Err(Interruption::Signal) {
            signal::end_masked_wait(&thread);
        }
        match outcome {
            Ok(outcome) => outcome,
            Err(Interruption::TimedOut) => Ok(0),
            Err(Interruption::Signal) => Err(interrupted(&thread, until)),
            Err(other) => Err(other.errno()),
        }
    })
}

/// A signal, or a stop, ends the call for good, with a handler or without; a false alarm does not (signal(7)).
fn interrupted(thread: &Thread, until: Option<Instant>) -> Errno {
    if signal::is_interrupted(thread) {
        return Errno::EINTR;
    }
    thread
        .signals
        .keep_deadline(until.unwrap_or(Instant::NEVER));
    RESTART_TIMED
}
