//! POSIX message queues: being told of a message's arrival (mq_notify(3)).

use core::time::Duration;

use halyard_rt::fd;
use halyard_rt::mqueue::{self as mq, Notify};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, How, Info, SIGUSR1, SignalSet};
use halyard_rt::{nr, prelude::*};

use crate::mq_name::nameless;
use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq, in_child};

suite!(
    mq_notify_sends_the_signal_with_its_value_and_sender,
    mq_notify_second_registration_is_ebusy,
    mq_notify_is_used_once,
    mq_notify_comes_from_empty_to_not_empty_alone,
    mq_notify_waiting_receiver_wins,
    mq_notify_null_takes_the_registration_back,
    mq_notify_null_of_another_process_changes_nothing,
    mq_notify_is_gone_when_its_process_closes_or_exits,
    mq_notify_by_nothing_is_used_up_by_a_message,
    mq_notify_bad_event_is_einval,
);

/// Blocks the signal, so that it can be waited for.
fn block() -> Result<()> {
    signal::mask(How::Block, SignalSet::of(&[SIGUSR1])).map(drop)
}

/// The signal, if it is there.
fn taken() -> Result<Info> {
    signal::wait(SignalSet::of(&[SIGUSR1]), Some(Duration::ZERO))
}

fn by_signal(value: u64) -> Option<Notify> {
    Some(Notify::Signal(SIGUSR1, value))
}

fn mq_notify_sends_the_signal_with_its_value_and_sender() -> Outcome {
    const SI_MESGQ: i32 = -3;
    block()?;
    let queue = nameless(2, 8)?;
    mq::notify(&queue, by_signal(77))?;
    let child = process::spawn(|| i32::from(mq::send(&queue, b"x", 0).is_err()))?;
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    let info = taken()?;
    check_eq!(
        (info.code, info.pid(), info.status()),
        (SI_MESGQ, child, 77)
    );
    Ok(())
}

fn mq_notify_second_registration_is_ebusy() -> Outcome {
    let queue = nameless(2, 8)?;
    mq::notify(&queue, Some(Notify::Nothing))?;
    check_eq!(mq::notify(&queue, by_signal(0)), Err(Errno::EBUSY));
    let status = in_child(|| i32::from(mq::notify(&queue, by_signal(0)) != Err(Errno::EBUSY)))?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn mq_notify_is_used_once() -> Outcome {
    block()?;
    let queue = nameless(2, 8)?;
    mq::notify(&queue, by_signal(1))?;
    mq::send(&queue, b"x", 0)?;
    taken()?;
    mq::receive(&queue, &mut [0; 8])?;
    mq::send(&queue, b"y", 0)?;
    check_eq!(taken().map(|info| info.signal), Err(Errno::EAGAIN));
    mq::notify(&queue, by_signal(2))?;
    Ok(())
}

fn mq_notify_comes_from_empty_to_not_empty_alone() -> Outcome {
    block()?;
    let queue = nameless(4, 8)?;
    mq::send(&queue, b"there", 0)?;
    mq::notify(&queue, by_signal(1))?;
    mq::send(&queue, b"more", 9)?;
    check_eq!(taken().map(|info| info.signal), Err(Errno::EAGAIN));
    mq::receive(&queue, &mut [0; 8])?;
    mq::receive(&queue, &mut [0; 8])?;
    mq::send(&queue, b"first", 0)?;
    check_eq!(taken()?.signal, SIGUSR1);
    Ok(())
}

fn mq_notify_waiting_receiver_wins() -> Outcome {
    block()?;
    let queue = nameless(4, 8)?;
    let child = Blocker::start(|| i32::from(mq::receive(&queue, &mut [0; 8]).is_err()))?;
    mq::notify(&queue, by_signal(1))?;
    mq::send(&queue, b"for it", 0)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(taken().map(|info| info.signal), Err(Errno::EAGAIN));
    // The registration is still there.
    mq::send(&queue, b"for us", 0)?;
    check_eq!(taken()?.signal, SIGUSR1);
    Ok(())
}

fn mq_notify_null_takes_the_registration_back() -> Outcome {
    block()?;
    let queue = nameless(4, 8)?;
    mq::notify(&queue, None)?;
    mq::notify(&queue, by_signal(1))?;
    mq::notify(&queue, None)?;
    mq::send(&queue, b"x", 0)?;
    check_eq!(taken().map(|info| info.signal), Err(Errno::EAGAIN));
    Ok(())
}

fn mq_notify_null_of_another_process_changes_nothing() -> Outcome {
    block()?;
    let queue = nameless(4, 8)?;
    mq::notify(&queue, by_signal(1))?;
    let status = in_child(|| i32::from(mq::notify(&queue, None).is_err()))?;
    check_eq!(status, Status::Exited(0));
    mq::send(&queue, b"x", 0)?;
    check_eq!(taken()?.signal, SIGUSR1);
    Ok(())
}

fn mq_notify_is_gone_when_its_process_closes_or_exits() -> Outcome {
    let queue = nameless(4, 8)?;
    let status = in_child(|| i32::from(mq::notify(&queue, by_signal(1)).is_err()))?;
    check_eq!(status, Status::Exited(0));
    mq::notify(&queue, by_signal(1))?;
    // Any descriptor of the queue.
    drop(fd::dup(&queue)?);
    let status = in_child(|| i32::from(mq::notify(&queue, by_signal(1)).is_err()))?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn mq_notify_by_nothing_is_used_up_by_a_message() -> Outcome {
    let queue = nameless(4, 8)?;
    mq::notify(&queue, Some(Notify::Nothing))?;
    mq::send(&queue, b"x", 0)?;
    mq::notify(&queue, Some(Notify::Nothing))?;
    Ok(())
}

fn mq_notify_bad_event_is_einval() -> Outcome {
    let queue = nameless(1, 8)?;
    let bad = mq::notify(&queue, Some(Notify::Signal(65, 0)));
    check_eq!(bad, Err(Errno::EINVAL));
    // value, signal and sort in one word: no such sort.
    let event = [0u64, 10 | 99 << 32, 0, 0, 0, 0, 0, 0];
    let found = call(
        nr::MQ_NOTIFY,
        [queue.fd() as usize, event.as_ptr() as usize],
    );
    check_eq!(found, Err(Errno::EINVAL));
    check!(mq::notify(&queue, Some(Notify::Signal(0, 0))).is_ok());
    Ok(())
}
