//! The calls on POSIX message queues (mq_overview(7)).

use alloc::sync::Arc;

use halyard_abi::mqueue::{MQ_PRIO_MAX, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::transfer::restartable;
use super::{Answer, Call, DONE, Outcome};
use crate::fs::file::Special;
use crate::fs::open_file::{FileRef, OpenFile, OpenFlags};
use crate::fs::path::PATH_MAX;
use crate::io::Sink;
use crate::ipc::posix_mq::{Message, MqOpen, Notification, Queue};
use crate::machine::UserAddr;
use crate::mm::{AddressSpace, UserSlice};
use crate::process::limits::Resource;
use crate::process::signal::info::SI_MESGQ;
use crate::process::signal::{Signal, SignalInfo, send_to_process};
use crate::process::state::Process;
use crate::time::{Instant, TimeSpec};
use crate::{Errno, Result};

/// `struct mq_attr` (linux/mqueue.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Attributes {
    flags: i64,
    max_messages: i64,
    message_size: i64,
    messages: i64,
    reserved: [i64; 4],
}

/// `struct sigevent` (sigevent(3type)).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Event {
    value: u64,
    signal: i32,
    notify: i32,
    rest: [u64; 6],
}

const _: () = assert!(size_of::<Attributes>() == size_of::<halyard_abi::mqueue::Attributes>());
const _: () = assert!(size_of::<Event>() == size_of::<halyard_abi::mqueue::Event>());

/// mq_open(2): name without its slash, flags, mode, attributes. The descriptor is closed by exec.
pub(super) fn mq_open(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<1>();
    let shape = match call.addr::<3>() {
        UserAddr(0) => None,
        at => {
            let asked: Attributes = call.space().read_user(at)?;
            Some((asked.max_messages, asked.message_size))
        }
    };
    let name = call.space().read_cstr(call.addr::<0>(), PATH_MAX)?;
    let fs = call.process().fs().ok_or(Errno::ESRCH)?;
    let who = call.process().credentials();
    let request = MqOpen {
        who: &who,
        flags,
        permissions: call.uint::<2>() & 0o7777 & !fs.umask(),
        shape,
        limit: call.process().limits.get(Resource::MESSAGE_QUEUES).soft,
        now: call.kernel.wall_clock(),
    };
    let queues = &call.kernel.posix_queues;
    let file = queues.open(&call.kernel.names, name, &request)?;
    let fd = call
        .files()
        .insert(file, 0, call.descriptor_limit(), true)?;
    Ok(Outcome::Done(fd as usize))
}

/// mq_unlink(2).
pub(super) fn mq_unlink(call: &mut Call<'_>) -> Answer {
    let name = call.space().read_cstr(call.addr::<0>(), PATH_MAX)?;
    let who = call.process().credentials();
    let now = call.kernel.wall_clock();
    let queues = &call.kernel.posix_queues;
    queues.unlink(&call.kernel.names, name, &who, now)?;
    DONE
}

/// The queue that `file` is. EBADF: it is none.
#[inline]
fn queue_of(file: &OpenFile) -> Result<&Queue> {
    match file.file().special() {
        Special::MessageQueue(queue) => Ok(queue),
        _ => Err(Errno::EBADF),
    }
}

/// The end of the absolute time (CLOCK_REALTIME) that argument 4 points to; none if it is NULL. EINVAL, EFAULT.
#[inline]
fn deadline(call: &Call<'_>) -> Result<Option<Instant>> {
    let UserAddr(0) = call.addr::<4>() else {
        let time: TimeSpec = call.space().read_user(call.addr::<4>())?;
        let nanos = time.to_nanos()?;
        let now = call.kernel.machine.now();
        return Ok(Some(
            now.after(nanos.saturating_sub(call.kernel.clock.real(now))),
        ));
    };
    Ok(None)
}

/// mq_timedsend(2): descriptor, message, its length, its priority, deadline.
pub(super) fn mq_timedsend(call: &mut Call<'_>) -> Answer {
    let deadline = deadline(call)?;
    let (length, priority) = (call.size::<2>(), call.uint::<3>());
    if priority >= MQ_PRIO_MAX {
        return Err(Errno::EINVAL);
    }
    let file = call.file::<0>()?;
    let queue = queue_of(&file)?;
    if !file.flags().writable() {
        return Err(Errno::EBADF);
    }
    if length > queue.shape().bytes {
        return Err(Errno::EMSGSIZE);
    }
    let mut source = UserSlice::new(call.space(), call.addr::<1>(), length)?;
    match queue.try_send(&mut source, priority) {
        Ok(notification) => {
            notify(call.process(), notification);
            DONE
        }
        Err(Errno::EAGAIN) if !file.nonblocking() => {
            let message = Queue::message(&mut source, priority)?;
            send_waiting(call, file, message, deadline)
        }
        Err(errno) => Err(errno),
    }
}

#[cold]
#[inline(never)]
fn send_waiting(
    call: &mut Call<'_>,
    file: FileRef,
    message: Message,
    deadline: Option<Instant>,
) -> Answer {
    let thread = Arc::clone(call.thread());
    call.wait(async move {
        let sent = queue_of(&file)?.send(&thread, message, deadline).await;
        notify(&thread.process, sent.map_err(restartable)?);
        Ok(0)
    })
}

/// A message has arrived for whose arrival `sender`'s victim is registered.
#[inline]
fn notify(sender: &Process, notification: Option<Notification>) {
    if let Some(notification) = notification {
        send_notification(sender, &notification);
    }
}

#[cold]
#[inline(never)]
fn send_notification(sender: &Process, notification: &Notification) {
    let (Some(owner), Some((signal, value))) = (notification.owner.upgrade(), notification.signal)
    else {
        return;
    };
    let uid = sender.credentials().uid;
    let info = SignalInfo::with_value(SI_MESGQ, sender.pid, uid, value);
    // A full queue of real-time signals loses it, as on Linux.
    let _ = send_to_process(&owner, signal, info);
}

/// mq_timedreceive(2): descriptor, buffer, its length, where the priority goes, deadline.
pub(super) fn mq_timedreceive(call: &mut Call<'_>) -> Answer {
    let deadline = deadline(call)?;
    let file = call.file::<0>()?;
    let queue = queue_of(&file)?;
    if !file.flags().readable() {
        return Err(Errno::EBADF);
    }
    if call.size::<2>() < queue.shape().bytes {
        return Err(Errno::EMSGSIZE);
    }
    let (buffer, priority) = (call.addr::<1>(), call.addr::<3>());
    let space = call.space();
    match queue.try_receive(|message| hand_over(space, message, buffer, priority)) {
        Ok(length) => Ok(Outcome::Done(length)),
        Err(Errno::EAGAIN) if !file.nonblocking() => receive_waiting(call, file, deadline),
        Err(errno) => Err(errno),
    }
}

/// Copies a message to the program.
fn hand_over(
    space: &AddressSpace,
    message: &Message,
    buffer: UserAddr,
    priority: UserAddr,
) -> Result<()> {
    let bytes = message.bytes();
    UserSlice::new(space, buffer, bytes.len())?.put(bytes)?;
    if priority.0 != 0 {
        space.write_user(priority, &message.priority())?;
    }
    Ok(())
}

#[inline(never)]
fn receive_waiting(call: &mut Call<'_>, file: FileRef, deadline: Option<Instant>) -> Answer {
    let (thread, space) = (Arc::clone(call.thread()), Arc::clone(call.space()));
    let (buffer, priority) = (call.addr::<1>(), call.addr::<3>());
    call.wait(async move {
        let queue = queue_of(&file)?;
        let message = queue.receive(&thread, deadline).await;
        let message = message.map_err(restartable)?;
        if let Err(fault) = hand_over(&space, &message, buffer, priority) {
            notify(&thread.process, queue.give_back(message));
            return Err(fault);
        }
        Ok(queue.consume(message))
    })
}

/// mq_notify(2). SIGEV_THREAD wants a netlink socket, of which there are none: EBADF if the descriptor is not open, else
/// ENOTSOCK.
pub(super) fn mq_notify(call: &mut Call<'_>) -> Answer {
    let event = match call.addr::<1>() {
        UserAddr(0) => None,
        at => Some(checked_event(call, call.space().read_user(at)?)?),
    };
    let file = call.file::<0>()?;
    let queue = queue_of(&file)?;
    match event {
        None => queue.unregister(call.process()),
        Some(signal) => queue.register(Notification {
            owner: Arc::downgrade(call.process()),
            table: call.files().owner(),
            signal,
        })?,
    }
    DONE
}

/// What an event asks to be sent: a signal and its value, or nothing. EINVAL.
fn checked_event(call: &Call<'_>, event: Event) -> Result<Option<(Signal, u64)>> {
    match event.notify {
        SIGEV_NONE => Ok(None),
        // Linux takes signal 0 and sends nothing.
        SIGEV_SIGNAL if event.signal == 0 => Ok(None),
        SIGEV_SIGNAL => Ok(Some((Signal::from_number(event.signal)?, event.value))),
        SIGEV_THREAD => {
            call.files().get(event.signal)?;
            Err(Errno::ENOTSOCK)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// mq_getsetattr(2): only O_NONBLOCK can be changed.
pub(super) fn mq_getsetattr(call: &mut Call<'_>) -> Answer {
    let nonblock = i64::from(OpenFlags::NONBLOCK.bits());
    let wanted = match call.addr::<1>() {
        UserAddr(0) => None,
        at => Some(call.space().read_user::<Attributes>(at)?.flags),
    };
    if wanted.is_some_and(|flags| flags & !nonblock != 0) {
        return Err(Errno::EINVAL);
    }
    let file = call.file::<0>()?;
    let queue = queue_of(&file)?;
    let old = Attributes {
        flags: if file.nonblocking() { nonblock } else { 0 },
        max_messages: queue.shape().messages as i64,
        message_size: queue.shape().bytes as i64,
        messages: queue.len() as i64,
        reserved: [0; 4],
    };
    if let Some(wanted) = wanted {
        let mut flags = file.flags();
        flags.set(OpenFlags::NONBLOCK, wanted != 0);
        file.set_flags(flags);
    }
    if call.addr::<2>().0 != 0 {
        call.space().write_user(call.addr::<2>(), &old)?;
    }
    DONE
}
