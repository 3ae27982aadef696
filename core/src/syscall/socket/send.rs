//! Sending: sendto(2), sendmsg(2), and write on sockets.
//!
//! Each is tried at once; what must wait goes on in a future, which tries the same again whenever it is told.

use alloc::sync::{Arc, Weak};

use halyard_abi::socket::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB};

use super::address::Address;
use super::connect::name_if_needed;
use super::control::{self};
use super::message::{Header, waits};
use super::{Party, interrupted, sender_identity};
use crate::fs::file::Side;
use crate::fs::open_file::{FileRef, OpenFile};
use crate::io::Source;
use crate::ipc::unix::options::deadline;
use crate::ipc::unix::{Attachment, Kind, Packet, Socket, Ucred};
use crate::machine::UserAddr;
use crate::mm::{UserBuffer, UserSlice};
use crate::process::signal::{self, Signal};
use crate::process::thread::Thread;
use crate::syscall::transfer::{TRANSFER_MAX, unless_again};
use crate::syscall::{Answer, Call, Outcome};
use crate::wait::{Sleeper, wait_until};
use crate::{Errno, Result};

/// A message to be sent, or what is left of it.
pub(super) struct Sending {
    buffer: UserBuffer,
    attachment: Attachment,
    packet: Option<Packet>,
    /// None: to whom the socket is connected. A receiver is not kept open by those who wait to send to it.
    to: Option<Weak<Socket>>,
    who: Option<Ucred>,
    /// How much has been sent.
    done: usize,
}

impl Sending {
    /// What `header` and the call ask for. EOPNOTSUPP, EISCONN, EMSGSIZE, ENOTCONN, and the errors of whatever it names.
    pub(super) fn new(
        party: Party<'_>,
        socket: &Socket,
        header: &Header,
        flags: u32,
    ) -> Result<Sending> {
        let buffer = header.buffer(party.space)?;
        let control = UserAddr(header.control as usize);
        let length = usize::try_from(header.control_length).unwrap_or(usize::MAX);
        if socket.kind() == Kind::SeqPacket {
            // Comes before all that is said of what is sent.
            socket.check_peer()?;
        }
        let attachment = if control.0 == 0 || length == 0 {
            Attachment::default()
        } else {
            control::read(party, control, length)?
        };
        let name = UserAddr(header.name as usize);
        let address = if name.0 == 0 || header.name_length == 0 {
            None
        } else {
            Some(Address::read(party.space, name, header.name_length)?)
        };
        Sending::prepare(party, socket, buffer, attachment, address, flags)
    }

    fn prepare(
        party: Party<'_>,
        socket: &Socket,
        mut buffer: UserBuffer,
        mut attachment: Attachment,
        address: Option<Address>,
        flags: u32,
    ) -> Result<Sending> {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let to = match (socket.kind(), address) {
            (Kind::Datagram, Some(address)) => {
                socket.check_shut()?;
                let to = address.find(party)?;
                Some(Arc::downgrade(&to.socket(party, Kind::Datagram)?))
            }
            (Kind::Stream, Some(_)) if socket.peer_name().is_ok() => return Err(Errno::EISCONN),
            (Kind::Stream, Some(_)) => return Err(Errno::EOPNOTSUPP),
            _ => None,
        };
        let asked = socket.kind() == Kind::Datagram || socket.passes_credentials();
        let who = asked.then(|| sender_identity(party.process));
        let mut packet = None;
        if socket.kind() == Kind::Stream {
            attachment.credentials = attachment.credentials.or(who);
        } else {
            if to.is_none() {
                socket.check_peer()?;
            }
            name_if_needed(party, socket)?;
            packet = Some(socket.packet(&mut buffer, core::mem::take(&mut attachment))?);
        }
        Ok(Sending {
            buffer,
            attachment,
            packet,
            to,
            who,
            done: 0,
        })
    }

    /// Sends what can be sent now; true if that was all. EAGAIN, and whatever sending says.
    fn attempt(&mut self, socket: &Socket) -> Result<bool> {
        if socket.kind() == Kind::Stream {
            self.done += socket.try_send_stream(&mut self.buffer, &mut self.attachment)?;
            return Ok(Source::remaining(&self.buffer) == 0);
        }
        let length = self.packet.as_ref().map_or(0, Packet::len);
        let to = match &self.to {
            None => None,
            Some(to) => Some(to.upgrade().ok_or(Errno::ECONNREFUSED)?),
        };
        socket.try_send_packet(&mut self.packet, to.as_ref(), self.who)?;
        self.done = length;
        Ok(true)
    }

    /// Sends without waiting; None if it must wait.
    fn begin(&mut self, thread: &Thread, file: &OpenFile, flags: u32) -> Option<Result<usize>> {
        let socket = match file.file().socket() {
            Ok(socket) => socket,
            Err(errno) => return Some(Err(errno)),
        };
        match self.attempt(socket) {
            Ok(false) | Err(Errno::EAGAIN) if waits(file, flags) => None,
            Ok(_) => Some(Ok(self.done)),
            Err(errno) => Some(self.end(thread, socket, errno, flags)),
        }
    }

    /// The end by an error: what was sent before counts more. A stream that leads nowhere raises SIGPIPE.
    fn end(&self, thread: &Thread, socket: &Socket, errno: Errno, flags: u32) -> Result<usize> {
        if self.done > 0 {
            return Ok(self.done);
        }
        if errno == Errno::EPIPE && socket.kind() == Kind::Stream && flags & MSG_NOSIGNAL == 0 {
            signal::raise_current(thread, Signal::PIPE);
        }
        Err(errno)
    }

    /// Sends all, waiting for room.
    pub(super) async fn complete(
        &mut self,
        thread: &Arc<Thread>,
        file: &OpenFile,
        flags: u32,
    ) -> Result<usize> {
        if let Some(outcome) = self.begin(thread, file, flags) {
            return outcome;
        }
        let socket = file.file().socket()?;
        let until = deadline(thread.now(), socket.options.send_timeout());
        loop {
            let attempt = || unless_again(self.attempt(socket));
            match wait_until(thread, socket.queue(Side::Write), until, attempt).await {
                Ok(Ok(true)) => return Ok(self.done),
                Ok(Ok(false)) => {}
                Ok(Err(errno)) => return self.end(thread, socket, errno, flags),
                Err(why) => {
                    return self.end(thread, socket, interrupted(why, until), flags);
                }
            }
        }
    }
}

/// sendmsg(2).
pub(in crate::syscall) fn sendmsg(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let flags = call.uint::<2>();
    let header = Header::read(call.space(), call.addr::<1>())?;
    let socket = file.file().socket()?;
    let mut sending = Sending::new(Party::of(call), socket, &header, flags)?;
    if let Some(outcome) = sending.begin(call.thread(), &file, flags) {
        return outcome.map(Outcome::Done);
    }
    send_on(call, file, sending, flags)
}

#[cold]
fn send_on(call: &mut Call<'_>, file: FileRef, sending: Sending, flags: u32) -> Answer {
    let thread = Arc::clone(call.thread());
    let mut sending = sending;
    call.wait(async move { sending.complete(&thread, &file, flags).await })
}

/// sendto(2).
pub(in crate::syscall) fn sendto(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let (at, length) = (call.addr::<1>(), call.size::<2>().min(TRANSFER_MAX));
    let flags = call.uint::<3>();
    if call.arg::<4>() == 0 {
        return send(call, file, at, length, flags);
    }
    let address = Address::read(call.space(), call.addr::<4>(), call.int::<5>())?;
    let buffer = UserBuffer::new(call.space(), at, length)?;
    send_buffer(call, file, buffer, Some(address), flags)
}

/// write(2).
pub(in crate::syscall) fn write(call: &mut Call<'_>, file: FileRef) -> Answer {
    let (at, length) = (call.addr::<1>(), call.size::<2>().min(TRANSFER_MAX));
    send(call, file, at, length, 0)
}

/// writev(2).
pub(in crate::syscall) fn writev(call: &mut Call<'_>, file: FileRef, buffer: UserBuffer) -> Answer {
    send_buffer(call, file, buffer, None, 0)
}

/// Sends one stretch of memory to whom the socket is connected.
fn send(call: &mut Call<'_>, file: FileRef, at: UserAddr, length: usize, flags: u32) -> Answer {
    let socket = file.file().socket()?;
    let ordinary = flags & !(MSG_DONTWAIT | MSG_NOSIGNAL) == 0;
    if socket.kind() != Kind::Stream || socket.passes_credentials() || !ordinary {
        let buffer = UserBuffer::new(call.space(), at, length)?;
        return send_buffer(call, file, buffer, None, flags);
    }
    let sent = match UserSlice::new(call.space(), at, length) {
        Ok(mut slice) => socket.try_send_stream(&mut slice, &mut Attachment::default()),
        Err(errno) => Err(errno),
    };
    match sent {
        Ok(count) if count == length => Ok(Outcome::Done(count)),
        sent => send_rest(call, file, (at, length), sent, flags),
    }
}

/// A send of one stretch that was not done at once, or not to its end.
#[cold]
fn send_rest(
    call: &mut Call<'_>,
    file: FileRef,
    (at, length): (UserAddr, usize),
    sent: Result<usize>,
    flags: u32,
) -> Answer {
    let done = match sent {
        Ok(done) => done,
        Err(Errno::EAGAIN) if waits(&file, flags) => 0,
        Err(errno) => {
            if errno == Errno::EPIPE && flags & MSG_NOSIGNAL == 0 {
                signal::raise_current(call.thread(), Signal::PIPE);
            }
            return Err(errno);
        }
    };
    if !waits(&file, flags) {
        return Ok(Outcome::Done(done));
    }
    let at = UserAddr(at.0.wrapping_add(done));
    let mut sending = Sending {
        buffer: UserBuffer::new(call.space(), at, length - done)?,
        attachment: Attachment::default(),
        packet: None,
        to: None,
        who: None,
        done,
    };
    let thread = Arc::clone(call.thread());
    call.wait(async move { sending.complete(&thread, &file, flags).await })
}

fn send_buffer(
    call: &mut Call<'_>,
    file: FileRef,
    buffer: UserBuffer,
    address: Option<Address>,
    flags: u32,
) -> Answer {
    let socket = file.file().socket()?;
    let attachment = Attachment::default();
    let party = Party::of(call);
    let mut sending = Sending::prepare(party, socket, buffer, attachment, address, flags)?;
    if let Some(outcome) = sending.begin(call.thread(), &file, flags) {
        return outcome.map(Outcome::Done);
    }
    send_on(call, file, sending, flags)
}
