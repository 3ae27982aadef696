//! What two connected sockets share: a channel in each direction, and who stands at either end. Lock level 3.
//!
//! A socket is made with a link of its own and with it connects; the socket that the other side accepts stands at the far
//! end of the same link. A datagram socket stays alone at its link: the channel to it is its mailbox, of the other
//! one it uses the account alone, of what it has sent and nobody has received.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use halyard_cell::SpinLock;

use super::name::Name;
use super::packet::Packet;
use super::stream::Stream;
use super::{Kind, Ucred};
use crate::Errno;
use crate::wait::WaitQueue;

/// What a socket may have sent that nobody has received, in bytes (net.core.wmem_default).
pub(super) const DEFAULT_LIMIT: usize = 212_992;

/// Which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the socket stands that made the link.
    First,
    /// Where the socket stands that was accepted, or the second of a pair.
    Second,
}

impl Place {
    #[inline]
    pub(super) const fn other(self) -> Place {
        match self {
            Place::First => Place::Second,
            Place::Second => Place::First,
        }
    }
}

/// Who stands at an end.
#[derive(Clone, Default)]
pub(super) struct End {
    pub(super) name: Option<Arc<Name>>,
    /// Who connected, listened or made the pair; None: nobody did.
    pub(super) credentials: Option<Ucred>,
}

/// What two connected sockets share.
pub(super) struct Link {
    to_first: Channel,
    to_second: Channel,
    first: SpinLock<End>,
    second: SpinLock<End>,
}

/// One direction.
pub(super) struct Channel {
    pub(super) half: SpinLock<Half>,
    /// Whoever waits for something to receive, or to accept.
    pub(super) readers: WaitQueue,
    /// Whoever waits for room to send; at a listening socket: whoever waits to be let into its backlog.
    pub(super) writers: WaitQueue,
    /// Whether the reader wants to know who sent (SO_PASSCRED).
    pub(super) passcred: AtomicBool,
}

/// The state of one direction.
pub(super) struct Half {
    /// Somebody is connected at both ends. Never for datagrams.
    pub(super) open: bool,
    /// No more can be sent; what is there can be received.
    pub(super) shut: bool,
    /// The reader has closed. Only for datagrams, whose senders may still know it.
    pub(super) gone: bool,
    /// What the reader is to be told, once.
    pub(super) error: Option<Errno>,
    pub(super) stream: Stream,
    pub(super) packets: VecDeque<Packet>,
    /// What packets of this direction's sender cost that nobody has received.
    pub(super) charged: usize,
    /// At how many bytes on the way no more can be sent (the sender's SO_SNDBUF).
    pub(super) limit: usize,
    /// Senders of datagrams that found too many waiting here.
    pub(super) turned_away: Vec<Arc<Link>>,
}

/// Everything that was on the way to a socket that closes; to be dropped without a lock.
pub(super) struct Remains {
    _stream: Stream,
    pub(super) packets: VecDeque<Packet>,
    turned_away: Vec<Arc<Link>>,
}

impl Half {
    fn new() -> Half {
        Half {
            open: false,
            shut: false,
            gone: false,
            error: None,
            stream: Stream::default(),
            packets: VecDeque::new(),
            charged: 0,
            limit: DEFAULT_LIMIT,
            turned_away: Vec::new(),
        }
    }

    /// Bytes on the way, as the sender's limit counts them.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.charged + self.stream.used()
    }

    /// Whether poll(2) calls it writable, and whoever waits for room is woken: when three quarters are free.
    #[inline]
    pub(super) fn roomy(&self) -> bool {
        self.used() <= self.limit / 4
    }

    /// Whether there is something to receive.
    #[inline]
    pub(super) fn filled(&self) -> bool {
        self.stream.len() > 0 || !self.packets.is_empty()
    }

    /// Takes out all that is on the way.
    pub(super) fn empty(&mut self) -> Remains {
        for packet in &self.packets {
            if packet.account.is_none() {
                self.charged = self.charged.saturating_sub(packet.cost);
            }
        }
        Remains {
            _stream: core::mem::take(&mut self.stream),
            packets: core::mem::take(&mut self.packets),
            turned_away: core::mem::take(&mut self.turned_away),
        }
    }
}

impl Remains {
    /// Tells senders that were turned away that this is over; the rest goes with the value.
    pub(super) fn tell_turned_away(&mut self) {
        tell(&mut self.turned_away);
    }
}

/// Wakes senders of datagrams.
pub(super) fn tell(senders: &mut Vec<Arc<Link>>) {
    for link in senders.drain(..) {
        link.outbox(Place::First).writers.wake_all();
    }
}

impl Channel {
    fn new() -> Channel {
        Channel {
            half: SpinLock::new(Half::new()),
            readers: WaitQueue::new(),
            writers: WaitQueue::new(),
            passcred: AtomicBool::new(false),
        }
    }

    /// Wakes everybody: something happened that is not just a message.
    pub(super) fn wake_everybody(&self) {
        self.readers.wake_all();
        self.writers.wake_all();
    }

    /// Takes `cost` off the account.
    pub(super) fn refund(&self, cost: usize) {
        let mut half = self.half.lock();
        half.charged = half.charged.saturating_sub(cost);
        let roomy = half.roomy();
        drop(half);
        if roomy {
            self.writers.wake_one();
        }
    }
}

impl Link {
    /// A link at which nobody is connected.
    pub(super) fn new() -> Link {
        Link {
            to_first: Channel::new(),
            to_second: Channel::new(),
            first: SpinLock::new(End::default()),
            second: SpinLock::new(End::default()),
        }
    }

    /// The channel to `place`.
    #[inline]
    pub(super) const fn inbox(&self, place: Place) -> &Channel {
        match place {
            Place::First => &self.to_first,
            Place::Second => &self.to_second,
        }
    }

    /// The channel from `place`.
    #[inline]
    pub(super) const fn outbox(&self, place: Place) -> &Channel {
        self.inbox(place.other())
    }

    /// Who stands at `place`.
    pub(super) const fn end(&self, place: Place) -> &SpinLock<End> {
        match place {
            Place::First => &self.first,
            Place::Second => &self.second,
        }
    }

    /// Both ends are taken now.
    pub(super) fn open(&self, kind: Kind) {
        if kind != Kind::Datagram {
            self.to_first.half.lock().open = true;
            self.to_second.half.lock().open = true;
        }
    }

    /// Whether somebody at either end wants to know who sent.
    #[inline]
    pub(super) fn passes_credentials(&self) -> bool {
        self.to_first.passcred.load(Ordering::Relaxed)
            || self.to_second.passcred.load(Ordering::Relaxed)
    }
}
