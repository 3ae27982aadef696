//! A socket as a file: read, write, poll.
//!
//! The calls on descriptors do not come here but for poll: they know who sends and how long it may take, and go through
//! `syscall::socket`. What moves bytes between files within the kernel does.

use super::link::Half;
use super::{Arrival, Attachment, Kind, Phase, Request, Socket};
use crate::Result;
use crate::fs::file::{File, Readiness, Side, Special};
use crate::io::{Sink, Source};
use crate::wait::WaitQueue;

const READABLE: Readiness = Readiness::IN.union(Readiness::RDNORM);
const WRITABLE: Readiness = Readiness::OUT.union(Readiness::WRNORM);

impl File for Socket {
    fn try_read(&self, sink: &mut dyn Sink, _at: u64) -> Result<usize> {
        self.try_receive(sink, Request::default(), &mut Arrival::default())
    }

    fn try_write(&self, source: &mut dyn Source, _at: u64) -> Result<usize> {
        if self.kind == Kind::Stream {
            return self.try_send_stream(source, &mut Attachment::default());
        }
        let length = source.remaining();
        let mut packet = Some(self.packet(source, Attachment::default())?);
        self.try_send_packet(&mut packet, None, None)?;
        Ok(length)
    }

    fn poll(&self) -> Readiness {
        let half = self.inbox().half.lock();
        let (mut ready, shut, open) = (readable(&half), half.shut, half.open);
        drop(half);
        let half = self.outbox().half.lock();
        let (roomy, shut_too) = (half.roomy(), half.shut);
        drop(half);
        ready.set(Readiness::HUP, shut && shut_too);
        if self.kind == Kind::Datagram {
            ready.set(WRITABLE, roomy && self.peer_has_room());
            return ready;
        }
        ready.set(WRITABLE, roomy);
        if !open {
            if let Phase::Listening(backlog) = &self.state.lock().phase {
                ready.set(READABLE, shut || !backlog.pending.is_empty());
                ready.remove(WRITABLE);
            } else {
                ready.insert(Readiness::HUP);
            }
        }
        ready
    }

    fn wait_queue(&self, side: Side) -> Option<&WaitQueue> {
        Some(self.queue(side))
    }

    fn available(&self) -> Result<usize> {
        self.unread()
    }

    fn special(&self) -> Special<'_> {
        Special::Socket(self)
    }
}

fn readable(half: &Half) -> Readiness {
    let mut ready = Readiness::empty();
    ready.set(READABLE, half.filled() || half.shut);
    ready.set(Readiness::RDHUP, half.shut);
    ready.set(Readiness::ERR, half.error.is_some());
    ready
}

impl Socket {
    /// Whether the socket that this datagram socket is connected to, if there is one, would take a message. If not, this one's
    /// writers are told when it would.
    fn peer_has_room(&self) -> bool {
        let peer = self
            .state
            .lock()
            .peer
            .as_ref()
            .map(|(peer, _)| peer.clone());
        let Some(peer) = peer.and_then(|peer| peer.upgrade()) else {
            return true;
        };
        // Who is sent to in return bounds nobody; who may not send is told so by the attempt.
        let related = peer.may_be_sent_to_by(self).unwrap_or(true);
        related || peer.inbox().would_admit(&self.link)
    }
}
