//! The commands of `ipc_call` that use channels. Registers: docs/ipc/channels.md.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::exchange::{
    Delivery, Letter, Outcome as Completed, Owed, Waiting, accept, copy_words, write_head,
};
use super::{Channel, ClientEnd, Exchange, Queued, ServerEnd, WORDS};
use crate::fs::file::Special;
use crate::fs::open_file::{FileRef, OpenFile, OpenFlags};
use crate::kernel::Kernel;
use crate::process::thread::{Parking, Thread};
use crate::sched::task::Task;
use crate::syscall::{Answer, Call, DONE, Outcome};
use crate::{Errno, Result};

const O_CLOEXEC: u64 = 0o2_000_000;
/// Bit of the tag: a descriptor goes with the message.
const PASSES: u64 = 0x100;

/// How many words, and the descriptor that goes with them. EINVAL, EBADF.
#[inline]
fn message(task: &Task) -> Result<(usize, Option<FileRef>)> {
    let tag = task.context.regs.x[2];
    if tag <= WORDS as u64 {
        return Ok((tag as usize, None));
    }
    let count = tag & !PASSES;
    if count > WORDS as u64 {
        return Err(Errno::EINVAL);
    }
    let file = task.files.get(task.context.regs.x[3] as i32)?;
    Ok((count as usize, Some(file)))
}

/// The client's end behind `file`. EBADF: it is another kind of file.
#[inline]
fn client_end(file: &OpenFile) -> Result<&ClientEnd> {
    match file.file().special() {
        Special::ChannelClient(end) => Ok(end),
        _ => Err(Errno::EBADF),
    }
}

/// The server's end behind `file`. EBADF: it is another kind of file.
#[inline]
fn server_end(file: &OpenFile) -> Result<&ServerEnd> {
    match file.file().special() {
        Special::ChannelServer(end) => Ok(end),
        _ => Err(Errno::EBADF),
    }
}

fn flags(bits: u64) -> Result<(OpenFlags, bool)> {
    let nonblock = u64::from(OpenFlags::NONBLOCK.bits());
    if bits & !(nonblock | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let flags = OpenFlags::from_bits_truncate((bits & nonblock) as u32) | OpenFlags::READ_WRITE;
    Ok((flags, bits & O_CLOEXEC != 0))
}

/// `channel_create(flags)`: a channel; gives the server's end. EINVAL: flags. EMFILE, ENFILE, ENOMEM.
pub(crate) fn create(call: &Call<'_>, bits: u64) -> Answer {
    let (flags, close_on_exec) = flags(bits)?;
    let file = OpenFile::new(Arc::new(ServerEnd::new()), flags)?;
    insert(call, file, close_on_exec)
}

/// `channel_client(server, badge, flags)`: another end that calls. EBADF: not a server's end.
pub(crate) fn client(call: &Call<'_>, server: i32, badge: u64, bits: u64) -> Answer {
    let (flags, close_on_exec) = flags(bits)?;
    let server = call.task.files.get(server)?;
    let end = server_end(&server)?.client(badge);
    let file = OpenFile::new(Arc::new(end), flags)?;
    insert(call, file, close_on_exec)
}

fn insert(call: &Call<'_>, file: Arc<OpenFile>, close_on_exec: bool) -> Answer {
    let limit = call.task.thread.descriptor_limit();
    let fd = call.task.files.insert(file, 0, limit, close_on_exec)?;
    Ok(Outcome::Done(fd as usize))
}

/// `channel_call(client, tag, descriptor)`: sends a message and waits for the reply.
#[inline]
pub(crate) fn call(call: &mut Call<'_>) -> Answer {
    let task = &mut *call.task;
    let (count, passed) = message(task)?;
    let end = task.files.get(task.context.regs.x[1] as i32)?;
    let client = client_end(&end)?;
    task.ticket = task.ticket.wrapping_add(1);
    let mut state = client.channel.state.lock();
    if passed.is_none()
        && let Some(server) = state.servers.pop()
    {
        let mut place = server.place();
        if let Parking::Here(mut partner) = core::mem::replace(&mut place.parking, Parking::Away) {
            drop(place);
            if task.thread.schedule.policy().rank() > 0 {
                donate(task, &server);
            }
            drop(state);
            drop(partner.exchange.take());
            let regs = &mut partner.context.regs;
            write_head(regs, false, count, client.badge, -1);
            copy_words(&task.context.regs, regs, count);
            partner.owed = Some(Owed {
                caller: Arc::clone(&task.thread),
                ticket: task.ticket,
                paid: false,
            });
            wait(task, end, true, Some(partner), Some(server));
            return Ok(Outcome::HandOver);
        }
        // It was called away, and looks at its place before it parks again.
        place.parking = Parking::Called;
        drop(place);
        state.servers.push(server);
    }
    if !state.open {
        drop(state);
        return Err(Errno::EPIPE);
    }
    let letter = Letter::of(&task.context.regs, count, client.badge, passed);
    if let Some(server) = state.servers.pop() {
        let woken = deliver(task, &server, letter);
        drop(state);
        enqueue(call.kernel, woken);
    } else {
        if end.nonblocking() {
            drop(state);
            return Err(Errno::EAGAIN);
        }
        if state.calls.try_reserve(1).is_err() {
            // Before the letter, which may hold the last reference to what it passes on.
            drop(state);
            return Err(Errno::ENOMEM);
        }
        state.calls.push_back(Queued {
            caller: Arc::clone(&task.thread),
            ticket: task.ticket,
            letter,
        });
        begin_call(task, None);
        drop(state);
        client.channel.called.wake_all();
    }
    wait(task, end, true, None, None);
    Ok(Outcome::Waiting)
}

/// Gives the caller's rank to `server`, which serves it now.
#[cold]
fn donate(task: &Task, server: &Arc<Thread>) {
    let before = task
        .thread
        .kernel()
        .scheduler
        .world
        .lock()
        .donate(&task.thread, server);
    drop(before);
}

fn begin_call(task: &Task, server: Option<Arc<Thread>>) {
    let ticket = task.ticket;
    task.thread.place().exchange = Exchange::Calling { ticket, server };
}

/// Completes the receive of `server`, whose task is not parked, or is to take a descriptor by itself.
fn deliver(task: &Task, server: &Arc<Thread>, letter: Letter) -> Option<Box<Task>> {
    begin_call(task, Some(Arc::clone(server)));
    if task.thread.schedule.policy().rank() > 0 {
        donate(task, server);
    }
    let owed = Owed {
        caller: Arc::clone(&task.thread),
        ticket: task.ticket,
        paid: false,
    };
    let mut place = server.place();
    place.exchange = Exchange::Done;
    place.delivery = Some(Delivery {
        letter: Ok(letter),
        owed: Some(owed),
        unsent: None,
    });
    place.call()
}

#[inline]
fn wait(
    task: &mut Task,
    end: FileRef,
    calls: bool,
    partner: Option<Box<Task>>,
    server: Option<Arc<Thread>>,
) {
    task.exchange = Some(Waiting {
        end,
        calls,
        partner,
        server,
    });
}

fn enqueue(kernel: &'static Kernel, task: Option<Box<Task>>) {
    if let Some(task) = task {
        kernel.scheduler.enqueue(kernel.machine, task);
    }
}

/// `channel_receive(server)`: waits for a call. A reply that the thread still owes fails with ECONNRESET.
pub(crate) fn receive(call: &mut Call<'_>) -> Answer {
    let end = call.task.files.get(call.task.context.regs.x[1] as i32)?;
    server_end(&end)?;
    drop(call.task.owed.take());
    receive_on(call, end, None, None)
}

/// `channel_reply(_, tag, descriptor)`: replies to the call that the thread received last. ECANCELED: none is owed, or the
/// caller waits no more.
pub(crate) fn reply(call: &mut Call<'_>) -> Answer {
    let (count, passed) = message(call.task)?;
    let owed = call.task.owed.take().ok_or(Errno::ECANCELED)?;
    let done = owed.reply(&call.task.context.regs, count, passed)?;
    if let Completed::Task(task, _) = done {
        enqueue(call.kernel, Some(task));
    }
    DONE
}

/// `channel_reply_receive(server, tag, descriptor)`: both. With no reply owed, or the caller gone, the first half is nothing.
#[inline]
pub(crate) fn reply_receive(call: &mut Call<'_>) -> Answer {
    let (count, passed) = message(call.task)?;
    let end = call.task.files.get(call.task.context.regs.x[1] as i32)?;
    server_end(&end)?;
    let done = match call.task.owed.take() {
        Some(owed) => owed.reply(&call.task.context.regs, count, passed).ok(),
        None => None,
    };
    match done {
        Some(Completed::Task(partner, me)) => receive_on(call, end, Some(partner), me),
        _ => receive_on(call, end, None, None),
    }
}

/// Takes a call, or waits for one; `partner` has its reply and is to run.
#[inline]
fn receive_on(
    call: &mut Call<'_>,
    end: FileRef,
    partner: Option<Box<Task>>,
    me: Option<Arc<Thread>>,
) -> Answer {
    let task = &mut *call.task;
    let taken = enter(task, &server_end(&end)?.channel, &end, me);
    match taken {
        Ok(None) => {
            let Some(partner) = partner else {
                wait(task, end, false, None, None);
                return Ok(Outcome::Waiting);
            };
            wait(task, end, false, Some(partner), None);
            Ok(Outcome::HandOver)
        }
        Ok(Some(queued)) => {
            enqueue(call.kernel, partner);
            task.owed = Some(Owed {
                caller: queued.caller,
                ticket: queued.ticket,
                paid: false,
            });
            accept(task, false, queued.letter);
            Ok(Outcome::Resumed)
        }
        Err(errno) => {
            enqueue(call.kernel, partner);
            Err(errno)
        }
    }
}

/// Takes the next call, or enters the list of those who receive.
#[inline]
fn enter(
    task: &Task,
    channel: &Channel,
    end: &OpenFile,
    me: Option<Arc<Thread>>,
) -> Result<Option<Queued>> {
    let mut state = channel.state.lock();
    if let Some(queued) = state.next_call() {
        queued.caller.place().exchange = Exchange::Calling {
            ticket: queued.ticket,
            server: Some(Arc::clone(&task.thread)),
        };
        if queued.caller.schedule.policy().rank() > 0 {
            let world = &task.thread.kernel().scheduler.world;
            let before = world.lock().donate(&queued.caller, &task.thread);
            drop(before);
        }
        drop(state);
        return Ok(Some(queued));
    }
    if end.nonblocking() {
        return Err(Errno::EAGAIN);
    }
    state.servers.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let me = me.unwrap_or_else(|| Arc::clone(&task.thread));
    state.servers.push(me);
    Ok(None)
}
