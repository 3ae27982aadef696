//! Receiving: recvfrom(2), recvmsg(2), and read on sockets.
//!
//! Each is tried at once; what must wait goes on in a future, which tries the same again whenever it is told.

use alloc::boxed::Box;
use alloc::sync::Arc;

use halyard_abi::socket::{
    MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL,
};
use zerocopy::IntoBytes;

use super::address;
use super::control::Room;
use super::message::{CONTROL_LENGTH, Header, NAME_LENGTH, waits};
use super::{Caller, Party, interrupted};
use crate::fs::file::Side;
use crate::fs::open_file::{FileRef, OpenFile};
use crate::io::Sink;
use crate::ipc::unix::options::deadline;
use crate::ipc::unix::{Arrival, Kind, Request, Socket, Ucred};
use crate::machine::UserAddr;
use crate::mm::{UserBuffer, UserSlice};
use crate::process::thread::Thread;
use crate::syscall::transfer::{TRANSFER_MAX, unless_again};
use crate::syscall::{Answer, Call, Outcome};
use crate::time::Instant;
use crate::wait::{Sleeper, wait_until};
use crate::{Errno, Result};

/// Where what comes besides bytes goes to.
#[derive(Clone, Copy)]
pub(super) enum Besides {
    /// Nowhere: read(2).
    Nowhere,
    /// The sender's name: recvfrom(2).
    Name(UserAddr, UserAddr),
    /// All of it: recvmsg(2), to the `struct msghdr` there.
    Message(UserAddr, Header),
}

/// A receive, or what is left of it.
pub(super) struct Receiving {
    buffer: UserBuffer,
    besides: Besides,
    arrival: Arrival,
    request: Request,
    flags: u32,
    /// How many bytes are enough.
    enough: usize,
    /// How many have come.
    done: usize,
}

impl Receiving {
    pub(super) fn new(
        file: &OpenFile,
        socket: &Socket,
        buffer: UserBuffer,
        besides: Besides,
        flags: u32,
    ) -> Result<Receiving> {
        if flags & MSG_OOB != 0 {
            return Err(if socket.kind() == Kind::Stream {
                Errno::EINVAL
            } else {
                Errno::EOPNOTSUPP
            });
        }
        let room = Sink::remaining(&buffer);
        let enough = match socket.kind() {
            Kind::Stream if flags & MSG_WAITALL != 0 => room,
            Kind::Stream => room.min(socket.options.least()),
            _ => 0,
        };
        Ok(Receiving {
            buffer,
            besides,
            arrival: Arrival::default(),
            request: Request {
                peek: flags & MSG_PEEK != 0,
                credentials: socket.passcred(),
                waits: waits(file, flags),
            },
            flags,
            enough,
            done: 0,
        })
    }

    /// What a `struct msghdr` at `at` asks for.
    pub(super) fn of_message(
        party: Party<'_>,
        file: &OpenFile,
        at: UserAddr,
        flags: u32,
    ) -> Result<Receiving> {
        let header = Header::read(party.space, at)?;
        let buffer = header.buffer(party.space)?;
        let socket = file.file().socket()?;
        Receiving::new(file, socket, buffer, Besides::Message(at, header), flags)
    }

    /// Receives what is there; true if that is enough. EAGAIN, and whatever receiving says.
    fn attempt(&mut self, socket: &Socket) -> Result<bool> {
        let count = socket.try_receive(&mut self.buffer, self.request, &mut self.arrival)?;
        self.done += count;
        Ok(count == 0 || self.done >= self.enough || self.arrival.complete)
    }

    /// Receives without waiting; None if it must wait.
    fn begin(&mut self, party: Party<'_>, socket: &Socket) -> Option<Result<usize>> {
        match self.attempt(socket) {
            Ok(false) | Err(Errno::EAGAIN) if self.request.waits => None,
            Ok(_) => Some(self.finish(party, socket)),
            Err(errno) => Some(Err(errno)),
        }
    }

    /// Receives enough, waiting for it.
    pub(super) async fn complete(&mut self, caller: &Caller, file: &OpenFile) -> Result<usize> {
        let socket = file.file().socket()?;
        if let Some(outcome) = self.begin(caller.party(), socket) {
            return outcome;
        }
        let until = deadline(caller.thread.now(), socket.options.receive_timeout());
        self.wait(&caller.thread, socket, until).await?;
        self.finish(caller.party(), socket)
    }

    async fn wait(
        &mut self,
        thread: &Arc<Thread>,
        socket: &Socket,
        until: Option<Instant>,
    ) -> Result<()> {
        loop {
            let attempt = || unless_again(self.attempt(socket));
            let outcome = wait_until(thread, socket.queue(Side::Read), until, attempt)
                .await
                .unwrap_or_else(|why| Err(interrupted(why, until)));
            match outcome {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                Err(_) if self.done > 0 => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Stores what came besides bytes; returns what the call returns.
    fn finish(&mut self, party: Party<'_>, socket: &Socket) -> Result<usize> {
        let arrival = core::mem::take(&mut self.arrival);
        let mut flags = if arrival.truncated { MSG_TRUNC } else { 0 };
        let count = if self.flags & MSG_TRUNC != 0 && arrival.length > 0 {
            arrival.length
        } else {
            self.done
        };
        let from = if socket.kind() == Kind::Stream && self.done > 0 {
            socket.peer_name().unwrap_or_default()
        } else {
            arrival.from
        };
        let name = from.as_deref();
        let (at, header) = match self.besides {
            Besides::Nowhere => return Ok(count),
            Besides::Name(at, length_at) => {
                if at.0 != 0 {
                    address::write_source(party.space, name, at, length_at)?;
                }
                return Ok(count);
            }
            Besides::Message(at, header) => (at, header),
        };
        let mut room = Room::new(
            UserAddr(header.control as usize),
            usize::try_from(header.control_length).unwrap_or(usize::MAX),
        );
        // As in Linux, a fault here costs what it hits, not the message.
        if self.request.credentials
            && let Some(who) = arrival.credentials
        {
            let _ = room.put_credentials(party, who.unwrap_or(Ucred::UNKNOWN));
        }
        if !arrival.rights.is_empty() {
            let close_on_exec = self.flags & MSG_CMSG_CLOEXEC != 0;
            let _ = room.put_rights(party, arrival.rights, close_on_exec);
        }
        flags |= room.flags & MSG_CTRUNC | self.flags & MSG_CMSG_CLOEXEC;
        if header.name != 0 {
            let length_at = UserAddr(at.0.wrapping_add(NAME_LENGTH));
            address::write_source(party.space, name, UserAddr(header.name as usize), length_at)?;
        }
        let tail = [room.used as u64, u64::from(flags)];
        party.space.write_bytes(
            UserAddr(at.0.wrapping_add(CONTROL_LENGTH)),
            tail_bytes(&tail),
        )?;
        Ok(count)
    }
}

/// The length of the control data and the flags, without the padding behind these.
fn tail_bytes(tail: &[u64; 2]) -> &[u8] {
    const PADDING: usize = 4;
    let bytes = tail.as_bytes();
    bytes.get(..bytes.len() - PADDING).unwrap_or(bytes)
}

/// recvmsg(2).
pub(in crate::syscall) fn recvmsg(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let party = Party::of(call);
    let mut receiving = Receiving::of_message(party, &file, call.addr::<1>(), call.uint::<2>())?;
    if let Some(outcome) = receiving.begin(party, file.file().socket()?) {
        return outcome.map(Outcome::Done);
    }
    receive_on(call, file, receiving)
}

#[cold]
fn receive_on(call: &mut Call<'_>, file: FileRef, receiving: Receiving) -> Answer {
    let caller = Caller::of(call);
    let mut receiving = Box::new(receiving);
    call.wait(async move {
        let outcome = receiving.complete(&caller, &file).await;
        drop(file);
        outcome
    })
}

/// recvfrom(2).
pub(in crate::syscall) fn recvfrom(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let buffer = UserBuffer::new(
        call.space(),
        call.addr::<1>(),
        call.size::<2>().min(TRANSFER_MAX),
    )?;
    let besides = Besides::Name(call.addr::<4>(), call.addr::<5>());
    let flags = call.uint::<3>();
    receive(call, file, buffer, besides, flags)
}

/// read(2).
pub(in crate::syscall) fn read(call: &mut Call<'_>, file: FileRef) -> Answer {
    let (at, length) = (call.addr::<1>(), call.size::<2>().min(TRANSFER_MAX));
    if length == 0 {
        return Ok(Outcome::Done(0));
    }
    let socket = file.file().socket()?;
    let request = Request {
        peek: false,
        credentials: socket.passcred(),
        waits: waits(&file, 0),
    };
    // Descriptors that come and are not asked for are closed with the arrival.
    let received = match UserSlice::new(call.space(), at, length) {
        Ok(mut slice) => socket.try_receive(&mut slice, request, &mut Arrival::default()),
        Err(errno) => Err(errno),
    };
    match received {
        Ok(count) if count == 0 || count >= socket.options.least().min(length) => {
            Ok(Outcome::Done(count))
        }
        Err(errno) if errno != Errno::EAGAIN || !request.waits => Err(errno),
        Ok(count) if !request.waits => Ok(Outcome::Done(count)),
        received => read_on(call, file, received.unwrap_or(0)),
    }
}

/// A read that found nothing, or less than it waits for.
#[cold]
fn read_on(call: &mut Call<'_>, file: FileRef, done: usize) -> Answer {
    let length = call.size::<2>().min(TRANSFER_MAX) - done;
    let at = UserAddr(call.addr::<1>().0.wrapping_add(done));
    let buffer = UserBuffer::new(call.space(), at, length)?;
    let socket = file.file().socket()?;
    let mut receiving = Receiving::new(&file, socket, buffer, Besides::Nowhere, 0)?;
    receiving.done = done;
    wait_on(call, file, receiving)
}

/// Goes on with a receive of bytes alone. Without a box: read(2) must not need memory.
fn wait_on(call: &mut Call<'_>, file: FileRef, mut receiving: Receiving) -> Answer {
    let socket = file.file().socket()?;
    let until = deadline(call.thread().now(), socket.options.receive_timeout());
    let thread = Arc::clone(call.thread());
    call.wait(async move {
        let outcome = receiving.wait(&thread, file.file().socket()?, until).await;
        drop(file);
        outcome.map(|()| receiving.done)
    })
}

/// readv(2).
pub(in crate::syscall) fn readv(call: &mut Call<'_>, file: FileRef, buffer: UserBuffer) -> Answer {
    if Sink::remaining(&buffer) == 0 {
        return Ok(Outcome::Done(0));
    }
    let socket = file.file().socket()?;
    let mut receiving = Receiving::new(&file, socket, buffer, Besides::Nowhere, 0)?;
    if let Some(outcome) = receiving.begin(Party::of(call), socket) {
        return outcome.map(Outcome::Done);
    }
    wait_on(call, file, receiving)
}

fn receive(
    call: &mut Call<'_>,
    file: FileRef,
    buffer: UserBuffer,
    besides: Besides,
    flags: u32,
) -> Answer {
    let socket = file.file().socket()?;
    let mut receiving = Receiving::new(&file, socket, buffer, besides, flags)?;
    if let Some(outcome) = receiving.begin(Party::of(call), socket) {
        return outcome.map(Outcome::Done);
    }
    receive_on(call, file, receiving)
}
