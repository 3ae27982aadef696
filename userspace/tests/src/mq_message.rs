//! POSIX message queues: sending, receiving, waiting.

use core::time::Duration;

use halyard_rt::mqueue as mq;
use halyard_rt::poll::{POLLIN, POLLOUT, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, SA_RESTART, SIGUSR1, SignalSet};
use halyard_rt::time::{Clock, now};
use halyard_rt::{nr, open, prelude::*};

use crate::mq_name::nameless;
use crate::runner::suite;
use crate::support::{Blocker, Outcome, Random, Shared, WILD, call, check, check_eq, settle};

suite!(
    mq_send_longer_than_msgsize_is_emsgsize,
    mq_receive_into_less_than_msgsize_is_emsgsize,
    mq_send_priority_beyond_the_highest_is_einval,
    mq_messages_come_highest_priority_first_fifo_within,
    mq_empty_message_is_a_message,
    mq_full_and_empty_nonblocking_are_eagain,
    mq_wrong_mode_is_ebadf,
    mq_bad_timespec_is_einval,
    mq_time_that_is_over_counts_only_if_it_must_wait,
    mq_receive_until_a_time_is_etimedout,
    mq_send_until_a_time_is_etimedout,
    mq_bad_pointers_are_efault,
    mq_receive_waits_for_a_message,
    mq_send_waits_for_room,
    mq_waiting_receiver_is_given_the_message_at_once,
    mq_waiting_sender_is_served_before_who_comes_later,
    mq_receive_interrupted_is_eintr,
    mq_receive_interrupted_with_restart_goes_on,
    mq_send_interrupted_is_eintr_and_sends_nothing,
    mq_receiver_killed_leaves_the_queue_in_order,
    mq_poll_follows_the_messages,
    mq_poll_wakes_when_a_message_arrives,
    mq_ping_pong_loses_no_wake_up,
    mq_many_senders_and_receivers_lose_no_message,
);

fn mq_send_longer_than_msgsize_is_emsgsize() -> Outcome {
    let queue = nameless(1, 8)?;
    check_eq!(mq::send(&queue, &[0; 9], 0), Err(Errno::EMSGSIZE));
    mq::send(&queue, &[0; 8], 0)?;
    // Also when the queue is full.
    check_eq!(mq::send(&queue, &[0; 9], 0), Err(Errno::EMSGSIZE));
    Ok(())
}

fn mq_receive_into_less_than_msgsize_is_emsgsize() -> Outcome {
    let queue = nameless(1, 8)?;
    check_eq!(mq::receive(&queue, &mut [0; 7]), Err(Errno::EMSGSIZE));
    mq::send(&queue, b"1", 0)?;
    check_eq!(mq::receive(&queue, &mut [0; 7]), Err(Errno::EMSGSIZE));
    check_eq!(mq::receive(&queue, &mut [0; 8])?, (1, 0));
    Ok(())
}

fn mq_send_priority_beyond_the_highest_is_einval() -> Outcome {
    let queue = nameless(2, 8)?;
    for priority in [32768, u32::MAX] {
        check_eq!(mq::send(&queue, b"x", priority), Err(Errno::EINVAL));
    }
    mq::send(&queue, b"x", 32767)?;
    check_eq!(mq::receive(&queue, &mut [0; 8])?, (1, 32767));
    Ok(())
}

fn mq_messages_come_highest_priority_first_fifo_within() -> Outcome {
    let queue = nameless(10, 8)?;
    let mut random = Random(0x5eed_0001);
    for _ in 0..20 {
        let mut sent: Vec<(u32, u8)> = Vec::new();
        for number in 0..10u8 {
            let priority = random.below(4) as u32 * 1000;
            mq::send(&queue, &[number], priority)?;
            sent.push((priority, number));
        }
        sent.sort_by_key(|&(priority, number)| (u32::MAX - priority, number));
        for expected in sent {
            let mut text = [0; 8];
            let (length, priority) = mq::receive(&queue, &mut text)?;
            check_eq!((length, (priority, text[0])), (1, expected));
        }
    }
    Ok(())
}

fn mq_empty_message_is_a_message() -> Outcome {
    let queue = nameless(2, 8)?;
    mq::send(&queue, b"", 4)?;
    check_eq!(mq::attributes(&queue)?.messages, 1);
    check_eq!(mq::receive(&queue, &mut [0; 8])?, (0, 4));
    Ok(())
}

fn mq_full_and_empty_nonblocking_are_eagain() -> Outcome {
    let queue = nameless(2, 8)?;
    mq::set_nonblocking(&queue, true)?;
    check_eq!(mq::receive(&queue, &mut [0; 8]), Err(Errno::EAGAIN));
    mq::send(&queue, b"1", 0)?;
    mq::send(&queue, b"2", 0)?;
    check_eq!(mq::send(&queue, b"3", 9), Err(Errno::EAGAIN));
    check_eq!(mq::attributes(&queue)?.messages, 2);
    Ok(())
}

fn mq_wrong_mode_is_ebadf() -> Outcome {
    let _ = mq::unlink("/modes");
    let reader = mq::create("/modes", open::O_RDONLY, 0o600, Some((2, 8)))?;
    let writer = mq::open("/modes", open::O_WRONLY)?;
    mq::unlink("/modes")?;
    check_eq!(mq::send(&reader, b"x", 0), Err(Errno::EBADF));
    check_eq!(mq::receive(&writer, &mut [0; 8]), Err(Errno::EBADF));
    mq::send(&writer, b"x", 0)?;
    check_eq!(mq::receive(&reader, &mut [0; 8])?, (1, 0));
    Ok(())
}

fn mq_bad_timespec_is_einval() -> Outcome {
    let queue = nameless(2, 8)?;
    let fd = queue.fd() as usize;
    let mut buffer = [0u8; 8];
    for bad in [[0i64, -1], [0, 1_000_000_000], [-1, 0]] {
        let at = bad.as_ptr() as usize;
        let text = b"x".as_ptr() as usize;
        check_eq!(
            call(nr::MQ_TIMEDSEND, [fd, text, 1, 0, at]),
            Err(Errno::EINVAL)
        );
        let room = buffer.as_mut_ptr() as usize;
        check_eq!(
            call(nr::MQ_TIMEDRECEIVE, [fd, room, 8, 0, at]),
            Err(Errno::EINVAL)
        );
    }
    check_eq!(mq::attributes(&queue)?.messages, 0);
    Ok(())
}

fn mq_time_that_is_over_counts_only_if_it_must_wait() -> Outcome {
    let queue = nameless(1, 8)?;
    let past = Some(Duration::from_secs(1));
    mq::send_until(&queue, b"x", 0, past)?;
    check_eq!(mq::send_until(&queue, b"y", 0, past), Err(Errno::ETIMEDOUT));
    check_eq!(mq::receive_until(&queue, &mut [0; 8], past)?, (1, 0));
    let late = mq::receive_until(&queue, &mut [0; 8], past);
    check_eq!(late, Err(Errno::ETIMEDOUT));
    // Who does not wait is not told of the time.
    mq::set_nonblocking(&queue, true)?;
    let none = mq::receive_until(&queue, &mut [0; 8], past);
    check_eq!(none, Err(Errno::EAGAIN));
    Ok(())
}

fn mq_receive_until_a_time_is_etimedout() -> Outcome {
    let queue = nameless(1, 8)?;
    let until = now(Clock::Real)? + Duration::from_millis(30);
    let late = mq::receive_until(&queue, &mut [0; 8], Some(until));
    check_eq!(late, Err(Errno::ETIMEDOUT));
    check!(now(Clock::Real)? >= until);
    Ok(())
}

fn mq_send_until_a_time_is_etimedout() -> Outcome {
    let queue = nameless(1, 8)?;
    mq::send(&queue, b"1", 0)?;
    let until = now(Clock::Real)? + Duration::from_millis(30);
    let late = mq::send_until(&queue, b"2", 0, Some(until));
    check_eq!(late, Err(Errno::ETIMEDOUT));
    check!(now(Clock::Real)? >= until);
    check_eq!(mq::attributes(&queue)?.messages, 1);
    Ok(())
}

fn mq_bad_pointers_are_efault() -> Outcome {
    let queue = nameless(2, 64)?;
    let fd = queue.fd() as usize;
    for at in WILD {
        check_eq!(
            call(nr::MQ_TIMEDSEND, [fd, at, 64, 0, 0]),
            Err(Errno::EFAULT)
        );
        check_eq!(call(nr::MQ_NOTIFY, [fd, at]), Err(Errno::EFAULT));
        check_eq!(call(nr::MQ_GETSETATTR, [fd, at, 0]), Err(Errno::EFAULT));
        check_eq!(mq::attributes(&queue)?.messages, 0);
        mq::send(&queue, b"lost on Linux", 0)?;
        check_eq!(
            call(nr::MQ_TIMEDRECEIVE, [fd, at, 64, 0, 0]),
            Err(Errno::EFAULT)
        );
        mq::set_nonblocking(&queue, true)?;
        let _ = mq::receive(&queue, &mut [0; 64]);
        mq::set_nonblocking(&queue, false)?;
    }
    Ok(())
}

fn mq_receive_waits_for_a_message() -> Outcome {
    let queue = nameless(1, 8)?;
    let child = Blocker::start(|| {
        let mut text = [0; 8];
        let got = mq::receive(&queue, &mut text);
        i32::from(got != Ok((2, 5)) || &text[..2] != b"hi")
    })?;
    check!(child.blocked()?);
    mq::send(&queue, b"hi", 5)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn mq_send_waits_for_room() -> Outcome {
    let queue = nameless(1, 8)?;
    mq::send(&queue, b"first", 0)?;
    let child = Blocker::start(|| i32::from(mq::send(&queue, b"second", 9).is_err()))?;
    check!(child.blocked()?);
    check_eq!(mq::receive(&queue, &mut [0; 8])?, (5, 0));
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(mq::receive(&queue, &mut [0; 8])?, (6, 9));
    Ok(())
}

fn mq_waiting_receiver_is_given_the_message_at_once() -> Outcome {
    let queue = nameless(4, 8)?;
    let child = Blocker::start(|| i32::from(mq::receive(&queue, &mut [0; 8]) != Ok((1, 0))))?;
    mq::send(&queue, b"1", 0)?;
    // It is the child's, whether that has run or not.
    check_eq!(mq::attributes(&queue)?.messages, 0);
    mq::set_nonblocking(&queue, true)?;
    check_eq!(mq::receive(&queue, &mut [0; 8]), Err(Errno::EAGAIN));
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn mq_waiting_sender_is_served_before_who_comes_later() -> Outcome {
    let queue = nameless(1, 8)?;
    mq::send(&queue, b"1", 0)?;
    let child = Blocker::start(|| i32::from(mq::send(&queue, b"2", 0).is_err()))?;
    mq::receive(&queue, &mut [0; 8])?;
    // The room is the child's.
    check_eq!(mq::attributes(&queue)?.messages, 1);
    let past = Some(Duration::from_secs(1));
    check_eq!(mq::send_until(&queue, b"3", 0, past), Err(Errno::ETIMEDOUT));
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

extern "C" fn nothing(_: i32) {}

fn catch(flags: u32) -> Result<()> {
    signal::set(SIGUSR1, Action::Call(nothing), flags, SignalSet::EMPTY).map(drop)
}

fn mq_receive_interrupted_is_eintr() -> Outcome {
    let queue = nameless(1, 8)?;
    let child = Blocker::start(|| {
        let ready = catch(0).is_ok();
        i32::from(!ready || mq::receive(&queue, &mut [0; 8]) != Err(Errno::EINTR))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn mq_receive_interrupted_with_restart_goes_on() -> Outcome {
    let queue = nameless(1, 8)?;
    let child = Blocker::start(|| {
        let ready = catch(SA_RESTART).is_ok();
        i32::from(!ready || mq::receive(&queue, &mut [0; 8]) != Ok((1, 2)))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    settle();
    check!(child.blocked()?);
    mq::send(&queue, b"!", 2)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn mq_send_interrupted_is_eintr_and_sends_nothing() -> Outcome {
    let queue = nameless(1, 8)?;
    mq::send(&queue, b"1", 0)?;
    let child = Blocker::start(|| {
        let ready = catch(0).is_ok();
        i32::from(!ready || mq::send(&queue, b"2", 0) != Err(Errno::EINTR))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(mq::receive(&queue, &mut [0; 8])?, (1, 0));
    check_eq!(mq::attributes(&queue)?.messages, 0);
    Ok(())
}

fn mq_receiver_killed_leaves_the_queue_in_order() -> Outcome {
    let queue = nameless(4, 8)?;
    let child = Blocker::start(|| i32::from(mq::receive(&queue, &mut [0; 8]).is_err()))?;
    child.kill()?;
    mq::send(&queue, b"1", 0)?;
    check_eq!(mq::attributes(&queue)?.messages, 1);
    check_eq!(mq::receive(&queue, &mut [0; 8])?, (1, 0));
    Ok(())
}

/// What poll finds at once.
fn ready(queue: &Fd) -> Result<i16> {
    let mut fds = [PollFd::new(queue.fd(), POLLIN | POLLOUT)];
    poll(&mut fds, Some(Duration::ZERO))?;
    Ok(fds[0].revents)
}

fn mq_poll_follows_the_messages() -> Outcome {
    let queue = nameless(2, 8)?;
    check_eq!(ready(&queue)?, POLLOUT);
    mq::send(&queue, b"1", 0)?;
    check_eq!(ready(&queue)?, POLLIN | POLLOUT);
    mq::send(&queue, b"2", 0)?;
    check_eq!(ready(&queue)?, POLLIN);
    Ok(())
}

fn mq_poll_wakes_when_a_message_arrives() -> Outcome {
    let queue = nameless(1, 8)?;
    let child = Blocker::start(|| {
        let mut fds = [PollFd::new(queue.fd(), POLLIN)];
        i32::from(poll(&mut fds, None) != Ok(1) || fds[0].revents != POLLIN)
    })?;
    check!(child.blocked()?);
    mq::send(&queue, b"1", 0)?;
    check_eq!(child.join()?, Status::Exited(0));
    let child = Blocker::start(|| {
        let mut fds = [PollFd::new(queue.fd(), POLLOUT)];
        i32::from(poll(&mut fds, None) != Ok(1) || fds[0].revents != POLLOUT)
    })?;
    check!(child.blocked()?);
    mq::receive(&queue, &mut [0; 8])?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn mq_ping_pong_loses_no_wake_up() -> Outcome {
    const ROUNDS: u32 = 500;
    let (there, back) = (nameless(1, 8)?, nameless(1, 8)?);
    let child = process::spawn(|| {
        let mut text = [0; 8];
        for _ in 0..ROUNDS {
            if mq::receive(&there, &mut text) != Ok((4, 0)) {
                return 1;
            }
            if mq::send(&back, &text[..4], 0).is_err() {
                return 2;
            }
        }
        0
    })?;
    for round in 0..ROUNDS {
        mq::send(&there, &round.to_le_bytes(), 0)?;
        let mut text = [0; 8];
        check_eq!(mq::receive(&back, &mut text)?, (4, 0));
        check_eq!(&text[..4], &round.to_le_bytes());
    }
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(())
}

fn mq_many_senders_and_receivers_lose_no_message() -> Outcome {
    const SENDERS: u32 = 3;
    const RECEIVERS: u32 = 3;
    const EACH: u32 = 100;
    let queue = nameless(2, 8)?;
    let sum = Shared::new()?;
    let mut children = Vec::new();
    for sender in 0..SENDERS {
        children.push(process::spawn(|| {
            let send = |number: u32| mq::send(&queue, &number.to_le_bytes(), number % 3).is_ok();
            i32::from(!(0..EACH).all(|at| send(sender * EACH + at + 1)))
        })?);
    }
    for _ in 0..RECEIVERS {
        children.push(process::spawn(|| {
            let mut text = [0; 8];
            for _ in 0..SENDERS * EACH / RECEIVERS {
                if mq::receive(&queue, &mut text).map(|got| got.0) != Ok(4) {
                    return 1;
                }
                sum.add(0, u32::from_le_bytes([text[0], text[1], text[2], text[3]]));
            }
            0
        })?);
    }
    for child in children {
        check_eq!(process::wait_pid(child)?, Status::Exited(0));
    }
    let all = SENDERS * EACH;
    check_eq!(sum.get(0), all * (all + 1) / 2);
    check_eq!(mq::attributes(&queue)?.messages, 0);
    Ok(())
}
