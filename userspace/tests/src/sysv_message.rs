//! Message queues of System V, by the rules of the chapter docs/ipc/message-queues.md.

use halyard_rt::process::Status;
use halyard_rt::signal::{SIGKILL, SIGUSR1};
use halyard_rt::sysv::message;
use halyard_rt::sysv::{
    IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE, Id, MSG_COPY, MSG_EXCEPT, MSG_NOERROR,
};
use halyard_rt::{nr, prelude::*, wild};

use crate::runner::suite;
use crate::support::{Blocker, Edge, Outcome, WILD, call, check, check_eq, in_child};
use crate::sysv_support::{as_user, catch_and_restart, key};

suite!(
    sysv_msg_01_limits_are_as_documented_and_too_many_queues_are_enospc,
    sysv_msg_02_get_finds_makes_and_refuses,
    sysv_msg_03_bad_arguments_are_einval_and_bad_pointers_efault,
    sysv_msg_04_empty_messages_fit_until_the_count_is_qbytes,
    sysv_msg_05_full_is_eagain_and_none_is_enomsg,
    sysv_msg_06_types_select,
    sysv_msg_07_too_long_is_e2big_and_stays,
    sysv_msg_08_sleeping_receiver_with_a_small_buffer_is_e2big_and_the_message_stays,
    sysv_msg_09_copy_leaves_the_message_and_wants_nowait,
    sysv_msg_10_removal_is_eidrm_to_sleepers_and_einval_later,
    sysv_msg_10_stale_id_is_not_the_new_queue,
    sysv_msg_11_a_handler_ends_the_wait_despite_sa_restart,
    sysv_msg_11_permissions_deny_and_only_the_owner_removes,
    sysv_msg_12_status_is_exact_and_the_queue_outlives_its_maker,
    sysv_msg_12_raising_qbytes_wakes_senders,
    sysv_msg_13_type_has_eight_bytes_and_the_result_is_the_length,
    sysv_msg_sleeping_sender_goes_on_when_there_is_room,
    sysv_msg_sleeping_receiver_of_a_type_is_not_given_another,
    sysv_msg_killed_sleepers_leave_nothing_behind,
    sysv_msg_every_command_shows_the_queue,
);

const TEXT: usize = 8192;

/// A queue that is removed at the end.
struct Queue(Id);

impl Queue {
    fn new() -> Result<Queue> {
        message::get(IPC_PRIVATE, IPC_CREAT | 0o600).map(Queue)
    }

    fn send(&self, kind: i64, text: &[u8]) -> Result<()> {
        message::send(self.0, kind, text, IPC_NOWAIT)
    }

    fn receive(&self, kind: i64, flags: u32) -> Result<(i64, Vec<u8>)> {
        let mut text = vec![0; TEXT];
        let (kind, count) = message::receive(self.0, &mut text, kind, flags | IPC_NOWAIT)?;
        text.truncate(count);
        Ok((kind, text))
    }

    fn kinds(&self) -> Vec<i64> {
        let next = || self.receive(0, 0).ok().map(|(kind, _)| kind);
        core::iter::from_fn(next).collect()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = message::remove(self.0);
    }
}

fn sysv_msg_01_limits_are_as_documented_and_too_many_queues_are_enospc() -> Outcome {
    let (info, _) = message::info(false)?;
    check_eq!((info.msgmax, info.msgmnb), (8192, 16384));
    check!(info.msgmni > 0);
    let queue = Queue::new()?;
    check_eq!(message::status(queue.0)?.qbytes, 16384);
    queue.send(1, &[7; TEXT])?;
    queue.send(1, &[7; TEXT])?;
    check_eq!(queue.send(1, b"x"), Err(Errno::EAGAIN));
    let mut queues = Vec::new();
    let why = loop {
        match Queue::new() {
            Ok(queue) => queues.push(queue),
            Err(why) => break why,
        }
        check!(queues.len() <= info.msgmni as usize);
    };
    check_eq!(why, Errno::ENOSPC);
    Ok(())
}

fn sysv_msg_02_get_finds_makes_and_refuses() -> Outcome {
    let key = key();
    check_eq!(message::get(key, 0o600), Err(Errno::ENOENT));
    let queue = Queue(message::get(key, IPC_CREAT | IPC_EXCL | 0o600)?);
    check_eq!(message::get(key, 0), Ok(queue.0));
    check_eq!(message::get(key, IPC_CREAT | 0o600), Ok(queue.0));
    let again = message::get(key, IPC_CREAT | IPC_EXCL | 0o600);
    check_eq!(again, Err(Errno::EEXIST));
    let (one, other) = (Queue::new()?, Queue::new()?);
    check!(one.0 != other.0);
    let status = as_user(1000, || match message::get(key, 0o600) {
        Err(Errno::EACCES) => i32::from(message::get(key, 0) != Ok(queue.0)),
        _ => 2,
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn sysv_msg_03_bad_arguments_are_einval_and_bad_pointers_efault() -> Outcome {
    let queue = Queue::new()?;
    for kind in [0, -1, i64::MIN] {
        check_eq!(queue.send(kind, b"x"), Err(Errno::EINVAL));
    }
    check_eq!(queue.send(1, &[0; TEXT + 1]), Err(Errno::EINVAL));
    let message = [1u64, 0];
    let (id, at) = (queue.0 as usize, message.as_ptr() as usize);
    check_eq!(
        call(nr::MSGSND, [id, at, usize::MAX, 0]),
        Err(Errno::EINVAL)
    );
    check_eq!(
        call(nr::MSGRCV, [id, at, usize::MAX, 0, IPC_NOWAIT as usize]),
        Err(Errno::EINVAL)
    );
    for bad in [-1, i32::MAX] {
        check_eq!(message::send(bad, 1, b"x", 0), Err(Errno::EINVAL));
        check_eq!(
            message::receive(bad, &mut [0], 0, IPC_NOWAIT),
            Err(Errno::EINVAL)
        );
        check_eq!(message::status(bad), Err(Errno::EINVAL));
    }
    check_eq!(call(nr::MSGCTL, [id, 99, 0]), Err(Errno::EINVAL));
    for address in WILD {
        check_eq!(call(nr::MSGSND, [id, address, 1, 0]), Err(Errno::EFAULT));
    }
    check_eq!(message::status(queue.0)?.qnum, 0);
    queue.send(1, b"abc")?;
    for address in WILD {
        check_eq!(call(nr::MSGCTL, [id, 2, address]), Err(Errno::EFAULT));
    }
    let edge = Edge::new()?;
    let half_there = [id, edge.before(12), 8, 0];
    // Its type is zero, which is looked at before the text.
    check_eq!(call(nr::MSGSND, half_there), Err(Errno::EINVAL));
    wild::store(edge.before(12), 1);
    check_eq!(call(nr::MSGSND, half_there), Err(Errno::EFAULT));
    check_eq!(message::status(queue.0)?.qnum, 1);
    Ok(())
}

fn sysv_msg_04_empty_messages_fit_until_the_count_is_qbytes() -> Outcome {
    let queue = Queue::new()?;
    let mut status = message::status(queue.0)?;
    status.qbytes = 10;
    message::set(queue.0, &status)?;
    queue.send(1, &[1; 10])?;
    check_eq!(queue.send(1, b"x"), Err(Errno::EAGAIN));
    for _ in 1..10 {
        queue.send(2, b"")?;
    }
    check_eq!(queue.send(2, b""), Err(Errno::EAGAIN));
    check_eq!(message::status(queue.0)?.qnum, 10);
    check_eq!(queue.receive(2, 0)?, (2, vec![]));
    Ok(())
}

fn sysv_msg_05_full_is_eagain_and_none_is_enomsg() -> Outcome {
    let queue = Queue::new()?;
    check_eq!(queue.receive(0, 0), Err(Errno::ENOMSG));
    queue.send(5, b"five")?;
    for kind in [4, -4] {
        check_eq!(queue.receive(kind, 0), Err(Errno::ENOMSG));
    }
    check_eq!(queue.receive(5, MSG_EXCEPT), Err(Errno::ENOMSG));
    while queue.send(1, &[0; 4000]).is_ok() {}
    check_eq!(queue.send(1, &[0; 4000]), Err(Errno::EAGAIN));
    Ok(())
}

fn sysv_msg_06_types_select() -> Outcome {
    let queue = Queue::new()?;
    let fill = || [3, 1, 4, 1, 5].map(|kind| queue.send(kind, &[kind as u8]));
    check!(fill().iter().all(|sent| sent.is_ok()));
    check_eq!(queue.receive(4, 0)?.0, 4);
    check_eq!(queue.receive(-3, 0)?.0, 1);
    check_eq!(queue.receive(-3, 0)?.0, 1);
    check_eq!(queue.receive(-3, 0)?.0, 3);
    check_eq!(queue.receive(-3, 0), Err(Errno::ENOMSG));
    check_eq!(queue.kinds(), [5]);
    check!(fill().iter().all(|sent| sent.is_ok()));
    check_eq!(queue.receive(3, MSG_EXCEPT)?.0, 1);
    check_eq!(queue.receive(i64::MIN, 0)?.0, 1);
    check_eq!(queue.kinds(), [3, 4, 5]);
    Ok(())
}

fn sysv_msg_07_too_long_is_e2big_and_stays() -> Outcome {
    let queue = Queue::new()?;
    for text in [&b"hello"[..], &[b'h'; 300]] {
        queue.send(1, text)?;
        let mut two = [0; 2];
        let refused = message::receive(queue.0, &mut two, 0, IPC_NOWAIT);
        check_eq!(refused, Err(Errno::E2BIG));
        check_eq!(message::status(queue.0)?.qnum, 1);
        let cut = message::receive(queue.0, &mut two, 0, IPC_NOWAIT | MSG_NOERROR);
        check_eq!(cut, Ok((1, 2)));
        check!(two[0] == b'h');
        let status = message::status(queue.0)?;
        check_eq!((status.qnum, status.cbytes), (0, 0));
    }
    Ok(())
}

fn sysv_msg_08_sleeping_receiver_with_a_small_buffer_is_e2big_and_the_message_stays() -> Outcome {
    let queue = Queue::new()?;
    let child = Blocker::start(|| {
        let got = message::receive(queue.0, &mut [0; 2], 0, 0);
        i32::from(got != Err(Errno::E2BIG))
    })?;
    queue.send(1, b"long")?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(queue.receive(0, 0)?, (1, b"long".to_vec()));
    Ok(())
}

fn sysv_msg_09_copy_leaves_the_message_and_wants_nowait() -> Outcome {
    let queue = Queue::new()?;
    queue.send(7, b"first")?;
    queue.send(8, b"second")?;
    let wrong = message::receive(queue.0, &mut [0; 9], 0, MSG_COPY);
    check_eq!(wrong, Err(Errno::EINVAL));
    let flags = MSG_COPY | MSG_EXCEPT;
    check_eq!(queue.receive(0, flags), Err(Errno::EINVAL));
    check_eq!(queue.receive(1, MSG_COPY), Ok((8, b"second".to_vec())));
    check_eq!(queue.receive(0, MSG_COPY), Ok((7, b"first".to_vec())));
    check_eq!(queue.receive(2, MSG_COPY), Err(Errno::ENOMSG));
    check_eq!(queue.kinds(), [7, 8]);
    Ok(())
}

fn sysv_msg_10_removal_is_eidrm_to_sleepers_and_einval_later() -> Outcome {
    let (empty, full) = (Queue::new()?, Queue::new()?);
    while full.send(1, &[0; TEXT]).is_ok() {}
    let receiver = Blocker::start(|| {
        let got = message::receive(empty.0, &mut [0; 9], 0, 0);
        i32::from(got != Err(Errno::EIDRM))
    })?;
    let sender = Blocker::start(|| {
        let sent = message::send(full.0, 1, &[0; TEXT], 0);
        i32::from(sent != Err(Errno::EIDRM))
    })?;
    check!(receiver.blocked()? && sender.blocked()?);
    message::remove(empty.0)?;
    message::remove(full.0)?;
    check_eq!(receiver.join()?, Status::Exited(0));
    check_eq!(sender.join()?, Status::Exited(0));
    check_eq!(empty.send(1, b"x"), Err(Errno::EINVAL));
    check_eq!(message::remove(empty.0), Err(Errno::EINVAL));
    Ok(())
}

fn sysv_msg_10_stale_id_is_not_the_new_queue() -> Outcome {
    let key = key();
    let old = message::get(key, IPC_CREAT | 0o600)?;
    message::remove(old)?;
    for _ in 0..50 {
        let new = Queue(message::get(key, IPC_CREAT | 0o600)?);
        check!(new.0 != old);
        check_eq!(message::status(old), Err(Errno::EINVAL));
    }
    Ok(())
}

fn sysv_msg_11_a_handler_ends_the_wait_despite_sa_restart() -> Outcome {
    let (empty, full) = (Queue::new()?, Queue::new()?);
    while full.send(1, &[0; TEXT]).is_ok() {}
    let receiver = Blocker::start(|| {
        catch_and_restart();
        let got = message::receive(empty.0, &mut [0; 9], 0, 0);
        i32::from(got != Err(Errno::EINTR))
    })?;
    let sender = Blocker::start(|| {
        catch_and_restart();
        let sent = message::send(full.0, 1, &[0; TEXT], 0);
        i32::from(sent != Err(Errno::EINTR))
    })?;
    process::kill(receiver.pid(), SIGUSR1)?;
    process::kill(sender.pid(), SIGUSR1)?;
    check_eq!(receiver.join()?, Status::Exited(0));
    check_eq!(sender.join()?, Status::Exited(0));
    check_eq!(message::status(empty.0)?.qnum, 0);
    Ok(())
}

fn sysv_msg_11_permissions_deny_and_only_the_owner_removes() -> Outcome {
    let queue = Queue::new()?;
    let status = as_user(1000, || {
        let denied = [
            message::send(queue.0, 1, b"x", IPC_NOWAIT) == Err(Errno::EACCES),
            message::receive(queue.0, &mut [0], 0, IPC_NOWAIT) == Err(Errno::EACCES),
            message::status(queue.0) == Err(Errno::EACCES),
            message::remove(queue.0) == Err(Errno::EPERM),
            message::set(queue.0, &message::Status::default()) == Err(Errno::EPERM),
        ];
        i32::from(denied.contains(&false))
    })?;
    check_eq!(status, Status::Exited(0));
    let mut status = message::status(queue.0)?;
    status.perm.mode = 0o602;
    message::set(queue.0, &status)?;
    let sent = as_user(1000, || {
        let sent = message::send(queue.0, 1, b"x", IPC_NOWAIT);
        let got = message::receive(queue.0, &mut [0], 0, IPC_NOWAIT);
        i32::from((sent, got) != (Ok(()), Err(Errno::EACCES)))
    })?;
    check_eq!(sent, Status::Exited(0));
    status.perm.uid = 1000;
    message::set(queue.0, &status)?;
    let removed = as_user(1000, || {
        let mut status = message::status(queue.0).unwrap_or_default();
        status.qbytes = 20_000;
        let raised = message::set(queue.0, &status);
        let removed = message::remove(queue.0);
        i32::from((raised, removed) != (Err(Errno::EPERM), Ok(())))
    })?;
    check_eq!(removed, Status::Exited(0));
    Ok(())
}

fn sysv_msg_12_status_is_exact_and_the_queue_outlives_its_maker() -> Outcome {
    let key = key();
    let made = in_child(|| match message::get(key, IPC_CREAT | 0o640) {
        Ok(id) => i32::from(message::send(id, 1, b"abc", 0).is_err()),
        Err(_) => 2,
    })?;
    check_eq!(made, Status::Exited(0));
    let queue = Queue(message::get(key, 0)?);
    let status = message::status(queue.0)?;
    check_eq!((status.qnum, status.cbytes, status.qbytes), (1, 3, 16384));
    check_eq!(status.perm.key, key);
    check_eq!(status.perm.mode, 0o640);
    check!(status.lspid > 0 && status.lspid != process::id() && status.lrpid == 0);
    check!(status.stime > 0 && status.rtime == 0 && status.ctime > 0);
    queue.receive(0, 0)?;
    queue.send(1, b"x")?;
    queue.send(1, b"yz")?;
    let status = message::status(queue.0)?;
    check_eq!((status.qnum, status.cbytes), (2, 3));
    check_eq!((status.lspid, status.lrpid), (process::id(), process::id()));
    check!(status.rtime >= status.ctime);
    Ok(())
}

fn sysv_msg_12_raising_qbytes_wakes_senders() -> Outcome {
    let queue = Queue::new()?;
    let mut status = message::status(queue.0)?;
    status.qbytes = 4;
    message::set(queue.0, &status)?;
    queue.send(1, b"full")?;
    let sender = Blocker::start(|| i32::from(message::send(queue.0, 1, b"more", 0).is_err()))?;
    check!(sender.blocked()?);
    status.qbytes = 8;
    message::set(queue.0, &status)?;
    check_eq!(sender.join()?, Status::Exited(0));
    check_eq!(message::status(queue.0)?.qnum, 2);
    Ok(())
}

fn sysv_msg_13_type_has_eight_bytes_and_the_result_is_the_length() -> Outcome {
    let queue = Queue::new()?;
    let kind = 0x1234_5678_9abc;
    queue.send(kind, b"12345")?;
    let mut buffer = [0u64; 4];
    let arguments = [queue.0 as usize, buffer.as_mut_ptr() as usize, 24, 0, 0];
    check_eq!(call(nr::MSGRCV, arguments), Ok(5));
    check_eq!(buffer[0], kind as u64);
    check_eq!(buffer[1], u64::from_le_bytes(*b"12345\0\0\0"));
    Ok(())
}

fn sysv_msg_sleeping_sender_goes_on_when_there_is_room() -> Outcome {
    let queue = Queue::new()?;
    queue.send(1, &[1; TEXT])?;
    queue.send(1, &[1; TEXT])?;
    let large = Blocker::start(|| i32::from(message::send(queue.0, 2, &[2; TEXT], 0).is_err()))?;
    check!(large.blocked()?);
    queue.receive(0, 0)?;
    check_eq!(large.join()?, Status::Exited(0));
    check_eq!(queue.kinds(), [1, 2]);
    Ok(())
}

fn sysv_msg_sleeping_receiver_of_a_type_is_not_given_another() -> Outcome {
    let queue = Queue::new()?;
    let child = Blocker::start(|| {
        let got = message::receive(queue.0, &mut [0; 9], 7, 0);
        i32::from(got != Ok((7, 1)))
    })?;
    queue.send(6, b"a")?;
    check!(child.blocked()?);
    queue.send(7, b"b")?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(queue.kinds(), [6]);
    Ok(())
}

fn sysv_msg_killed_sleepers_leave_nothing_behind() -> Outcome {
    let queue = Queue::new()?;
    let receiver =
        Blocker::start(|| i32::from(message::receive(queue.0, &mut [0], 0, 0).is_err()))?;
    check_eq!(receiver.kill()?, Status::Signaled(SIGKILL));
    while queue.send(1, &[0; TEXT]).is_ok() {}
    let sender = Blocker::start(|| i32::from(message::send(queue.0, 2, &[0; TEXT], 0).is_err()))?;
    check_eq!(sender.kill()?, Status::Signaled(SIGKILL));
    check_eq!(queue.kinds(), [1, 1]);
    Ok(())
}

fn sysv_msg_every_command_shows_the_queue() -> Outcome {
    let queue = Queue::new()?;
    queue.send(1, b"abc")?;
    let (_, highest) = message::info(false)?;
    let mut places = 0..=highest;
    let found = places.any(|place| message::at(place, false).is_ok_and(|(id, _)| id == queue.0));
    check!(found);
    let (uses, _) = message::info(true)?;
    check!(uses.msgpool >= 1 && uses.msgmap >= 1 && uses.msgtql >= 3);
    let place =
        (0..=highest).find(|place| message::at(*place, true).is_ok_and(|it| it.0 == queue.0));
    let text = fs::read_to_string("/proc/sysvipc/msg")?;
    let line = text
        .lines()
        .find(|line| line.split_ascii_whitespace().nth(1) == Some(&format!("{}", queue.0)));
    check!(place.is_some() && line.is_some());
    let line: Vec<&str> = line.unwrap_or_default().split_ascii_whitespace().collect();
    check_eq!(line.get(2..5), Some(&["600", "3", "1"][..]));
    let denied = as_user(1000, || {
        let place = place.unwrap_or(0);
        let open = message::at(place, true).is_ok();
        i32::from(!open || message::at(place, false) != Err(Errno::EACCES))
    })?;
    check_eq!(denied, Status::Exited(0));
    Ok(())
}
