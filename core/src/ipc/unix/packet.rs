//! Messages that keep their bounds: datagrams and sequenced packets.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::link::{Channel, Half, Link, Place};
use super::name::Name;
use super::rights::Rights;
use super::{Arrival, Attachment, Request, Ucred};
use crate::io::{Sink, Source};
use crate::{Errno, Result};

/// What a message counts against its sender's limit besides its bytes: about what it takes.
const OVERHEAD: usize = 512;
/// What the longest message must stay below the sender's limit, in bytes (as in Linux).
const SPARE: usize = 32;
/// Datagrams that may wait at a socket before others are turned away (net.unix.max_dgram_qlen).
const QUEUE_LENGTH: usize = 10;

/// A message on the way.
pub struct Packet {
    data: Vec<u8>,
    /// What its sender is called.
    from: Option<Arc<Name>>,
    credentials: Option<Ucred>,
    pub(super) rights: Rights,
    pub(super) cost: usize,
    /// Whose account has `cost`; None: the channel's that it is in.
    pub(super) account: Option<Account>,
}

/// A charge on a sender's account; dropping it takes it off.
pub(super) struct Account {
    link: Arc<Link>,
    cost: usize,
}

impl Drop for Account {
    fn drop(&mut self) {
        self.link.outbox(Place::First).refund(self.cost);
    }
}

impl Packet {
    /// The message that `source` holds. EMSGSIZE: longer than `limit` allows. EFAULT, ENOMEM.
    pub(super) fn new(
        source: &mut dyn Source,
        limit: usize,
        attachment: Attachment,
        from: Option<Arc<Name>>,
    ) -> Result<Packet> {
        let length = source.remaining();
        if length > limit.saturating_sub(SPARE) {
            return Err(Errno::EMSGSIZE);
        }
        source.may_be_held()?;
        let mut data = Vec::new();
        data.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        data.resize(length, 0);
        source.take(&mut data)?;
        Ok(Packet {
            data,
            from,
            credentials: attachment.credentials,
            rights: attachment.rights,
            cost: length + OVERHEAD,
            account: None,
        })
    }

    /// How many bytes it has.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty message is a message")]
    pub const fn len(&self) -> usize {
        self.data.len()
    }

    /// Who sent it, if that was not said yet.
    pub(super) fn sign(&mut self, credentials: Option<Ucred>) {
        self.credentials = self.credentials.or(credentials);
    }

    /// Stores what fits in `sink` and notes the rest in `arrival`. EFAULT.
    fn show(&self, sink: &mut dyn Sink, arrival: &mut Arrival) -> Result<usize> {
        let count = self.data.len().min(sink.remaining());
        sink.put(self.data.get(..count).unwrap_or_default())?;
        arrival.length = self.data.len();
        arrival.truncated = count < self.data.len();
        arrival.credentials = Some(self.credentials);
        arrival.from.clone_from(&self.from);
        Ok(count)
    }
}

impl Half {
    /// Bytes that FIONREAD tells: all there are of a connection, of datagrams the first.
    pub(super) fn waiting_bytes(&self, all: bool) -> usize {
        let messages = if all { usize::MAX } else { 1 };
        let packets = self.packets.iter().take(messages);
        self.stream.len() + packets.map(|packet| packet.data.len()).sum::<usize>()
    }
}

impl Channel {
    /// Sends a sequenced packet; takes it on success. ENOTCONN, EPIPE, EAGAIN, ENOMEM.
    pub(super) fn send_packet(&self, packet: &mut Option<Packet>) -> Result<()> {
        let mut half = self.half.lock();
        if !half.open {
            return Err(Errno::ENOTCONN);
        }
        if half.shut {
            return Err(Errno::EPIPE);
        }
        if half.used() >= half.limit {
            return Err(Errno::EAGAIN);
        }
        half.packets.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        if let Some(packet) = packet.take() {
            half.charged += packet.cost;
            half.packets.push_back(packet);
        }
        let roomy = half.roomy();
        drop(half);
        self.readers.wake_one();
        if roomy {
            self.writers.wake_one();
        }
        Ok(())
    }

    /// Puts a datagram from the socket at `sender` into this mailbox; takes it on success. `related`: the owner of the mailbox
    /// sends to that socket too, so no bound on their number holds. ECONNREFUSED: the owner has closed. EPIPE: one of
    /// both is shut. EAGAIN: no room; the sender's queue is told when there may be. ENOMEM.
    pub(super) fn send_datagram(
        &self,
        packet: &mut Option<Packet>,
        sender: &Arc<Link>,
        related: bool,
    ) -> Result<()> {
        sender.check_shut()?;
        let mut half = self.half.lock();
        if half.gone {
            return Err(Errno::ECONNREFUSED);
        }
        if half.shut {
            return Err(Errno::EPIPE);
        }
        if !related && !half.admits(sender)? {
            return Err(Errno::EAGAIN);
        }
        half.packets.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        // Only what is certain to be sent is charged: taking a charge back would wake the sender's own queue, in which whoever
        // tries this waits, and so make him try for ever. The account comes after the mailbox in the order of locks.
        let account = sender.charge(packet.as_ref().map_or(0, |packet| packet.cost))?;
        if let Some(mut packet) = packet.take() {
            packet.account = Some(account);
            half.packets.push_back(packet);
        }
        drop(half);
        self.readers.wake_one();
        Ok(())
    }

    /// Whether a datagram from `sender` would be let in; if not, it is told when it may be.
    pub(super) fn would_admit(&self, sender: &Arc<Link>) -> bool {
        let mut half = self.half.lock();
        // Without memory to note the sender down it is let try, and gets the error.
        half.gone || half.admits(sender).unwrap_or(true)
    }

    /// Receives a message. 0 with `arrival` untouched is the end. EAGAIN: nothing there. EFAULT: the message is lost, as
    /// datagrams may be. An error that waits comes first.
    pub(super) fn receive_packet(
        &self,
        sink: &mut dyn Sink,
        request: Request,
        arrival: &mut Arrival,
    ) -> Result<usize> {
        let mut half = self.half.lock();
        if let Some(errno) = half.error.take() {
            return Err(errno);
        }
        if request.peek {
            let Some(packet) = half.packets.front() else {
                return half.nothing_left();
            };
            arrival.rights = packet.rights.copy();
            let shown = packet.show(sink, arrival);
            drop(half);
            self.readers.wake_one();
            return shown;
        }
        let Some(mut packet) = half.packets.pop_front() else {
            return half.nothing_left();
        };
        if packet.account.is_none() {
            half.charged = half.charged.saturating_sub(packet.cost);
        }
        let (roomy, more) = (half.roomy(), !half.packets.is_empty());
        let mut turned_away = if half.packets.len() <= QUEUE_LENGTH {
            core::mem::take(&mut half.turned_away)
        } else {
            Vec::new()
        };
        drop(half);
        if more {
            self.readers.wake_one();
        }
        if roomy {
            self.writers.wake_one();
        }
        super::link::tell(&mut turned_away);
        arrival.rights = core::mem::take(&mut packet.rights);
        packet.show(sink, arrival)
    }
}

impl Half {
    /// Whether one more datagram is let in; if not, `sender` is noted down to be told. ENOMEM: there is no room to do so.
    fn admits(&mut self, sender: &Arc<Link>) -> Result<bool> {
        if self.packets.len() <= QUEUE_LENGTH {
            return Ok(true);
        }
        if !self.turned_away.iter().any(|it| Arc::ptr_eq(it, sender)) {
            if self.turned_away.len() == self.turned_away.capacity() {
                // Those whose sockets are gone must not pile up. Such a link is empty.
                self.turned_away.retain(|it| Arc::strong_count(it) > 1);
            }
            self.turned_away.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.turned_away.push(Arc::clone(sender));
        }
        Ok(false)
    }
}

impl Link {
    /// EPIPE: the datagram socket here is shut for sending.
    pub(super) fn check_shut(&self) -> Result<()> {
        if self.outbox(Place::First).half.lock().shut {
            Err(Errno::EPIPE)
        } else {
            Ok(())
        }
    }

    /// Puts `cost` on the account of the datagram socket here. EAGAIN: the account is full.
    fn charge(self: &Arc<Link>, cost: usize) -> Result<Account> {
        let mut half = self.outbox(Place::First).half.lock();
        if half.used() >= half.limit {
            return Err(Errno::EAGAIN);
        }
        half.charged += cost;
        drop(half);
        Ok(Account {
            link: Arc::clone(self),
            cost,
        })
    }
}
