//! Sending and receiving, each as one attempt that does not wait.

use alloc::sync::{Arc, Weak};

use super::link::Remains;
use super::{Arrival, Attachment, Kind, Packet, Request, Socket, Ucred, flight};
use crate::io::{Sink, Source};
use crate::{Errno, Result};

impl Socket {
    /// Whether what is sent over this connection says who sent it, though nobody asked the sender to.
    #[inline]
    #[must_use]
    pub fn passes_credentials(&self) -> bool {
        self.link.passes_credentials()
    }

    /// Sends bytes over a stream: as much as there is room for. ENOTCONN, EPIPE, EAGAIN; EFAULT, ENOMEM if nothing was sent.
    #[inline]
    pub fn try_send_stream(
        &self,
        source: &mut dyn Source,
        attachment: &mut Attachment,
    ) -> Result<usize> {
        self.outbox().send_stream(source, attachment)
    }

    /// The message that `source` holds, to be sent from here. EMSGSIZE, EFAULT, ENOMEM.
    pub fn packet(&self, source: &mut dyn Source, attachment: Attachment) -> Result<Packet> {
        let limit = self.outbox().half.lock().limit;
        Packet::new(source, limit, attachment, self.name())
    }

    /// Sends a message, from a datagram socket to `to` or, if that is None, to whom it is connected; takes it on success.
    /// `who` sends, if the receiver wants to know. ENOTCONN, EPIPE, EAGAIN, ENOMEM; ECONNREFUSED: the receiver
    /// has closed, and is not the peer any more; EPERM: it is connected to somebody else.
    pub fn try_send_packet(
        &self,
        packet: &mut Option<Packet>,
        to: Option<&Arc<Socket>>,
        who: Option<Ucred>,
    ) -> Result<()> {
        if self.kind != Kind::Datagram {
            if let Some(errno) = self.take_error() {
                return Err(errno);
            }
            if self.passes_credentials()
                && let Some(packet) = packet
            {
                packet.sign(who);
            }
            return self.outbox().send_packet(packet);
        }
        let peer = match to {
            Some(socket) => Arc::clone(socket),
            None => self.peer()?,
        };
        let related = peer.may_be_sent_to_by(self)?;
        if (self.passcred() || peer.passcred())
            && let Some(packet) = packet
        {
            packet.sign(who);
        }
        peer.inbox().send_datagram(packet, &self.link, related)
    }

    /// Whether this datagram socket may send at all: it says so before it looks for a receiver. EPIPE: it is shut.
    pub fn check_shut(&self) -> Result<()> {
        self.link.check_shut()
    }

    /// Whether there is somebody to send a message to. ENOTCONN.
    pub fn check_peer(&self) -> Result<()> {
        let connected = match self.kind {
            Kind::Datagram => self.state.lock().peer.is_some(),
            _ => self.inbox().half.lock().open,
        };
        if connected {
            Ok(())
        } else {
            Err(Errno::ENOTCONN)
        }
    }

    /// The socket that this datagram socket is connected to. ENOTCONN; ECONNREFUSED once if that has closed.
    pub(super) fn peer(&self) -> Result<Arc<Socket>> {
        let mut state = self.state.lock();
        let (peer, _) = state.peer.as_ref().ok_or(Errno::ENOTCONN)?;
        if let Some(peer) = peer.upgrade() {
            return Ok(peer);
        }
        state.peer = None;
        drop(state);
        drop(self.forget_messages());
        Err(Errno::ECONNREFUSED)
    }

    /// A datagram socket that has lost its peer loses what that has sent, too.
    pub(super) fn forget_messages(&self) -> Remains {
        let mut remains = self.inbox().half.lock().empty();
        remains.tell_turned_away();
        remains
    }

    /// Whether this datagram socket sends to `sender` as well. EPERM: it is connected to another one, and so takes from none
    /// but that.
    pub(super) fn may_be_sent_to_by(&self, sender: &Socket) -> Result<bool> {
        match &self.state.lock().peer {
            None => Ok(core::ptr::eq(self, sender)),
            Some((peer, _)) if core::ptr::eq(Weak::as_ptr(peer), sender) => Ok(true),
            Some(_) => Err(Errno::EPERM),
        }
    }

    /// Receives. 0 with nothing in `arrival` is the end. EAGAIN: nothing there. EINVAL, ENOTCONN: a stream, a socket for
    /// packets that is not connected. ECONNRESET, once. EFAULT.
    pub fn try_receive(
        &self,
        sink: &mut dyn Sink,
        request: Request,
        arrival: &mut Arrival,
    ) -> Result<usize> {
        // Copies of rights are made only while everything on the way stays there.
        let _held = request.peek.then(flight::hold);
        match self.kind {
            Kind::Stream => self.inbox().receive_stream(sink, request, arrival),
            Kind::SeqPacket if !self.inbox().half.lock().open => Err(Errno::ENOTCONN),
            Kind::SeqPacket => self.inbox().receive_packet(sink, request, arrival),
            Kind::Datagram => {
                let count = self.inbox().receive_packet(sink, request, arrival)?;
                let end = count == 0 && arrival.credentials.is_none();
                if end && !request.waits {
                    return Err(Errno::EAGAIN);
                }
                Ok(count)
            }
        }
    }

    /// How many bytes can be received, of datagrams the first one's (FIONREAD). EINVAL: it listens.
    pub fn unread(&self) -> Result<usize> {
        if self.listens() {
            return Err(Errno::EINVAL);
        }
        let half = self.inbox().half.lock();
        Ok(half.waiting_bytes(self.kind != Kind::Datagram))
    }

    /// How much of the send buffer is used (SIOCOUTQ). EINVAL: it listens.
    pub fn unsent(&self) -> Result<usize> {
        if self.listens() {
            return Err(Errno::EINVAL);
        }
        Ok(self.outbox().half.lock().used())
    }
}
