//! msgget(2), msgsnd(2), msgrcv(2), msgctl(2).

use alloc::sync::Arc;

use halyard_abi::sysv::{
    IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, MSG_COPY, MSG_EXCEPT, MSG_INFO, MSG_NOERROR,
    MSG_STAT, MSG_STAT_ANY, MSGMAX, MSGMNB,
};

use super::sysv::{
    has_room, pair, perm, read_perm, request, seconds, stamp, to_show, who, write_status,
};
use super::{Answer, Call, DONE, Outcome};
use crate::ipc::sysv::message_queue::{
    INLINE, Limits, Message, MessageQueue, Received, ReceiverPlace, Select, SenderPlace, Wanted,
};
use crate::ipc::sysv::permission::{READ, WRITE};
use crate::ipc::sysv::table::Object;
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::signal::RESTART_NO_HANDLER;
use crate::wait::Interruption;
use crate::{Errno, Result};

/// Bytes of a message's type, which stands before the text.
const TYPE_BYTES: usize = 8;

/// `struct msqid64_ds` in words.
const STATUS_WORDS: usize = 15;
/// Where msg_qbytes is.
const LIMIT_WORD: usize = 11;

/// msgget(2).
pub(super) fn msgget(call: &mut Call<'_>) -> Answer {
    create(call, Limits::SYSTEM_V)
}

/// (key, flags): as msgget(2), but a queue that this makes has the limits of the handbook's: 64 messages of up to 256 bytes.
pub(super) fn typed_queue(call: &mut Call<'_>) -> Answer {
    create(call, Limits::HANDBOOK)
}

fn create(call: &Call<'_>, limits: Limits) -> Answer {
    let who = who(call);
    let request = request(call, call.uint::<1>(), &who);
    let make = || {
        has_room(call)?;
        let now = call.kernel.wall_clock();
        Ok(MessageQueue::new(request.header(), limits, now))
    };
    let table = &call.kernel.sysv.messages;
    let queue = table.get(&request, |_| Ok(()), make)?;
    Ok(Outcome::Done(queue.header().id() as usize))
}

/// The queue of argument 0, if the caller may. EINVAL, EACCES.
fn queue(call: &Call<'_>, right: u32) -> Result<Arc<MessageQueue>> {
    let queue = call.kernel.sysv.messages.find(call.int::<0>())?;
    let process = call.process();
    let credentials = process.credentials.lock();
    queue.header().permission.check(&credentials, right)?;
    drop(credentials);
    Ok(queue)
}

/// What an interrupted wait means: made anew only if no handler ran (signal(7)).
const fn interrupted(why: Interruption) -> Errno {
    match why {
        Interruption::Signal => RESTART_NO_HANDLER,
        other => other.errno(),
    }
}

/// msgsnd(2).
pub(super) fn msgsnd(call: &mut Call<'_>) -> Answer {
    let message = read_message(call)?;
    let queue = queue(call, WRITE)?;
    has_room(call)?;
    let wait = call.uint::<3>() & IPC_NOWAIT == 0;
    match queue.send(message, wait, stamp(call))? {
        None => DONE,
        Some(place) => wait_to_send(call, place),
    }
}

#[cold]
#[inline(never)]
fn wait_to_send(call: &mut Call<'_>, mut place: SenderPlace) -> Answer {
    let thread = Arc::clone(call.thread());
    call.wait(async move {
        let sent = place.wait(&thread, None).await;
        sent.unwrap_or_else(|why| Err(interrupted(why))).map(|()| 0)
    })
}

/// The message of arguments 1 and 2. EFAULT; EINVAL: type or length cannot be; ENOMEM.
fn read_message(call: &Call<'_>) -> Result<Message> {
    let (space, at, length) = (call.space(), call.addr::<1>(), call.size::<2>());
    if length <= INLINE {
        let mut bytes = [0; TYPE_BYTES + INLINE];
        let used = bytes.get_mut(..TYPE_BYTES + length).unwrap_or_default();
        if let Err(fault) = space.read_bytes(at, used) {
            // A type that cannot be is told before a text that cannot be read.
            check_type(space.read_user(at)?)?;
            return Err(fault);
        }
        let (kind, text) = used.split_first_chunk().ok_or(Errno::EINVAL)?;
        let kind = check_type(i64::from_ne_bytes(*kind))?;
        return Message::with(kind, length, |into| {
            into.copy_from_slice(text);
            Ok(())
        });
    }
    let kind: i64 = space.read_user(at)?;
    if length > MSGMAX {
        return Err(Errno::EINVAL);
    }
    let kind = check_type(kind)?;
    let text = UserAddr(at.0.wrapping_add(TYPE_BYTES));
    Message::with(kind, length, |into| space.read_bytes(text, into))
}

fn check_type(kind: i64) -> Result<i64> {
    if kind > 0 {
        Ok(kind)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Stores type and text. EFAULT.
fn store(space: &AddressSpace, at: UserAddr, message: &Message, count: usize) -> Result<()> {
    let text = message.text().get(..count).unwrap_or_default();
    let kind = message.kind.to_ne_bytes();
    let mut bytes = [0; TYPE_BYTES + INLINE];
    if let Some(whole) = bytes.get_mut(..TYPE_BYTES + count) {
        let (head, tail) = whole.split_at_mut(TYPE_BYTES);
        head.copy_from_slice(&kind);
        tail.copy_from_slice(text);
        return space.write_bytes(at, whole);
    }
    space.write_bytes(at, &kind)?;
    space.write_bytes(UserAddr(at.0.wrapping_add(TYPE_BYTES)), text)
}

/// msgrcv(2).
pub(super) fn msgrcv(call: &mut Call<'_>) -> Answer {
    let (flags, kind) = (call.uint::<4>(), call.arg::<3>() as i64);
    let room = call.size::<2>();
    if room > isize::MAX as usize {
        return Err(Errno::EINVAL);
    }
    let wanted = Wanted {
        select: Select::from_type(kind, flags & MSG_EXCEPT != 0),
        room,
        truncate: flags & MSG_NOERROR != 0,
    };
    let wait = flags & IPC_NOWAIT == 0;
    let copies = flags & MSG_COPY != 0;
    if copies && (wait || flags & MSG_EXCEPT != 0) {
        return Err(Errno::EINVAL);
    }
    let queue = queue(call, READ)?;
    let (space, at) = (call.space(), call.addr::<1>());
    let store = |message: &Message, count: usize| store(space, at, message, count);
    if copies {
        let index = usize::try_from(kind).map_err(|_| Errno::ENOMSG)?;
        return queue.copy(index, &wanted, store).map(Outcome::Done);
    }
    match queue.receive(wanted, wait, stamp(call), store)? {
        Received::Done(count) => Ok(Outcome::Done(count)),
        Received::Waits(place) => wait_to_receive(call, place, wanted),
    }
}

#[inline(never)]
fn wait_to_receive(call: &mut Call<'_>, mut place: ReceiverPlace, wanted: Wanted) -> Answer {
    let thread = Arc::clone(call.thread());
    let (space, at) = (Arc::clone(call.space()), call.addr::<1>());
    call.wait(async move {
        let message = match place.wait(&thread, None).await {
            Ok(given) => given?,
            Err(why) => return Err(interrupted(why)),
        };
        let store = |message: &Message, count: usize| store(&space, at, message, count);
        place.object().finish_receive(message, &wanted, store)
    })
}

/// msgctl(2).
pub(super) fn msgctl(call: &mut Call<'_>) -> Answer {
    let (id, command) = (call.int::<0>(), call.uint::<1>());
    match command {
        IPC_INFO | MSG_INFO => info(call, command == MSG_INFO),
        IPC_STAT | MSG_STAT | MSG_STAT_ANY => show(call, command),
        IPC_SET => set(call, id),
        IPC_RMID => {
            let table = &call.kernel.sysv.messages;
            let queue = table.find(id)?;
            queue.header().permission.check_owner(&who(call))?;
            let removed = table.remove(id).ok_or(Errno::EIDRM)?;
            removed.remove();
            DONE
        }
        _ => Err(Errno::EINVAL),
    }
}

fn show(call: &Call<'_>, command: u32) -> Answer {
    let table = &call.kernel.sysv.messages;
    let any = command == MSG_STAT_ANY;
    let by_place = command != IPC_STAT;
    let (queue, result) = to_show(table, &who(call), call.int::<0>(), by_place, any)?;
    let status = queue.status();
    let rest: [u64; STATUS_WORDS - 6] = [
        seconds(status.sent.time),
        seconds(status.received.time),
        seconds(status.changed),
        status.bytes as u64,
        status.count as u64,
        status.limit as u64,
        pair(status.sent.pid, status.received.pid),
        0,
        0,
    ];
    let perm = perm(queue.header(), &status.ownership);
    write_status(call, call.addr::<2>(), perm, rest)?;
    Ok(Outcome::Done(result))
}

fn set(call: &Call<'_>, id: i32) -> Answer {
    let words: [u64; STATUS_WORDS] = call.space().read_user(call.addr::<2>())?;
    let queue = call.kernel.sysv.messages.find(id)?;
    let who = who(call);
    queue.header().permission.check_owner(&who)?;
    let limit = words.get(LIMIT_WORD).copied().unwrap_or(0);
    let limit = usize::try_from(limit).map_err(|_| Errno::EINVAL)?;
    if limit > MSGMNB && !who.privileged() {
        return Err(Errno::EPERM);
    }
    let (uid, gid, mode) = read_perm(&words);
    queue.header().permission.set(uid, gid, mode)?;
    queue.set_limit(limit, call.kernel.wall_clock());
    DONE
}

/// IPC_INFO: the limits. MSG_INFO: what there is, in three of the fields.
fn info(call: &Call<'_>, uses: bool) -> Answer {
    let table = &call.kernel.sysv.messages;
    let (mut count, mut bytes) = (0, 0);
    if uses {
        table.for_each(|queue| {
            let status = queue.status();
            count += status.count;
            bytes += status.bytes;
        });
    }
    let limit = table.limit();
    // Of no meaning here: pool in KiB, map, segment's size and how many (linux/msg.h).
    let pool = limit * MSGMNB / 1024;
    let (pool, map, total) = if uses {
        (table.used(), count, bytes)
    } else {
        (pool, MSGMNB, MSGMNB)
    };
    let values = [pool, map, MSGMAX, MSGMNB, limit, 16, total, 0xffff];
    let fields = values.map(|value| i32::try_from(value).unwrap_or(i32::MAX));
    call.space().write_user(call.addr::<2>(), &fields)?;
    Ok(Outcome::Done(table.highest()))
}
