//! Unix-domain sockets (unix(7)): streams, datagrams, sequenced packets, by name or in pairs; descriptors and credentials
//! in messages.
//!
//! Owns what is on the way between sockets, and who is connected to whom. Promises: what was sent before a close can be
//! received after it; an operation that fails for want of memory or of a good buffer has sent nothing; what cannot be
//! reached any more is freed, cycles of sockets on the way to each other included. Nothing here waits; nothing here knows of
//! programs, descriptors or calls: that is `syscall::socket`.
//!
//! Locks, all of level 3, in this order: the register of rights, the states of sockets (two in the order of their
//! addresses), the halves of channels (a mailbox before an account), the ends of
//! links. A message or a socket is never dropped under one of them.

mod bytes;
mod connect;
mod file;
mod flight;
mod link;
mod name;
pub mod options;
mod packet;
mod reach;
mod rights;
mod stream;
mod transfer;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use halyard_cell::SpinLock;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;
use crate::counters::{Kind as Counted, Live};
use crate::fs::file::Side;
use crate::wait::WaitQueue;
pub use connect::Connecting;
pub use flight::{Leaving, Look, let_go};
use link::{Channel, Link, Place, Remains};
pub use name::{Name, SocketNames, SocketPlace};
use options::Options;
pub use packet::Packet;
pub use rights::{Quota, Rights};

/// The type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SOCK_STREAM: bytes between two.
    Stream,
    /// SOCK_DGRAM: messages to anybody.
    Datagram,
    /// SOCK_SEQPACKET: messages between two.
    SeqPacket,
}

/// `struct ucred` (unix(7)): who stands behind a message or a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Ucred {
    /// Process.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Ucred {
    /// What a socket that nobody is connected to reports (SO_PEERCRED).
    pub const NONE: Ucred = Ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    /// What a receiver is told of a message that does not say who sent it.
    pub const UNKNOWN: Ucred = Ucred {
        pid: 0,
        uid: 65534,
        gid: 65534,
    };
}

/// What a message carries besides its bytes.
#[derive(Default)]
pub struct Attachment {
    /// Who sends it, if that is to be told.
    pub credentials: Option<Ucred>,
    /// Descriptors.
    pub rights: Rights,
}

impl Attachment {
    #[inline]
    const fn is_empty(&self) -> bool {
        self.credentials.is_none() && self.rights.is_empty()
    }
}

/// How somebody receives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// What is received stays (MSG_PEEK).
    pub peek: bool,
    /// Who sent is of interest (SO_PASSCRED).
    pub credentials: bool,
    /// The receiver would wait.
    pub waits: bool,
}

/// What came with what was received.
pub struct Arrival {
    /// Who sent; None if nothing was received; Some(None) if it was not told.
    pub credentials: Option<Option<Ucred>>,
    /// Descriptors.
    pub rights: Rights,
    /// What the sender is called.
    pub from: Option<Arc<Name>>,
    /// How long the message was.
    pub length: usize,
    /// There was not room for all of it.
    pub truncated: bool,
    /// Nothing more can be received together with this.
    pub complete: bool,
    /// Up to where in the stream it goes at most.
    until: u64,
    /// Up to where in the stream a look without receiving has got.
    looked: u64,
}

impl Default for Arrival {
    fn default() -> Arrival {
        Arrival {
            credentials: None,
            rights: Rights::default(),
            from: None,
            length: 0,
            truncated: false,
            complete: false,
            until: u64::MAX,
            looked: 0,
        }
    }
}

/// A socket.
pub struct Socket {
    kind: Kind,
    link: Arc<Link>,
    place: Place,
    /// What setsockopt changes.
    pub options: Options,
    /// Its number in the file system of sockets.
    pub number: u64,
    state: SpinLock<State>,
    /// Somebody has it or had it. False while it waits to be accepted.
    taken: AtomicBool,
    myself: Weak<Socket>,
    _live: Live,
}

struct State {
    phase: Phase,
    /// The socket that a datagram socket is connected to, and what it was called then.
    peer: Option<(Weak<Socket>, Option<Arc<Name>>)>,
    /// The table that has its abstract name.
    names: Option<Arc<SocketNames>>,
}

enum Phase {
    Idle,
    Connected,
    Listening(Backlog),
}

/// Connections that wait to be accepted.
struct Backlog {
    pending: VecDeque<Arc<Socket>>,
    /// One less than how many there may be.
    limit: usize,
}

impl Socket {
    /// A socket that is connected to nobody.
    #[must_use]
    pub fn new(kind: Kind) -> Arc<Socket> {
        Socket::at(kind, Arc::new(Link::new()), Place::First, Phase::Idle)
    }

    /// Two sockets, connected to each other by `who` (socketpair(2)).
    #[must_use]
    pub fn pair(kind: Kind, who: Ucred) -> [Arc<Socket>; 2] {
        let first = Socket::at(kind, Arc::new(Link::new()), Place::First, Phase::Connected);
        if kind == Kind::Datagram {
            let second = Socket::new(kind);
            for (one, other) in [(&first, &second), (&second, &first)] {
                one.state.lock().peer = Some((Arc::downgrade(other), None));
                one.link.end(Place::Second).lock().credentials = Some(who);
            }
            return [first, second];
        }
        first.link.open(kind);
        for place in [Place::First, Place::Second] {
            first.link.end(place).lock().credentials = Some(who);
        }
        let link = Arc::clone(&first.link);
        let second = Socket::at(kind, link, Place::Second, Phase::Connected);
        [first, second]
    }

    fn at(kind: Kind, link: Arc<Link>, place: Place, phase: Phase) -> Arc<Socket> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new_cyclic(|myself| Socket {
            kind,
            link,
            place,
            options: Options::new(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            state: SpinLock::new(State {
                phase,
                peer: None,
                names: None,
            }),
            taken: AtomicBool::new(true),
            myself: Weak::clone(myself),
            _live: Live::new(Counted::Socket),
        })
    }

    /// Its type.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Itself, as long as somebody has it.
    #[must_use]
    pub fn myself(&self) -> Option<Arc<Socket>> {
        self.myself.upgrade()
    }

    #[inline]
    fn inbox(&self) -> &Channel {
        self.link.inbox(self.place)
    }

    #[inline]
    fn outbox(&self) -> &Channel {
        self.link.outbox(self.place)
    }

    /// Where whoever waits to receive, accept or send is woken.
    #[inline]
    #[must_use]
    pub fn queue(&self, side: Side) -> &WaitQueue {
        match side {
            Side::Read => &self.inbox().readers,
            Side::Write => &self.outbox().writers,
        }
    }

    /// Takes the error that it has to report (SO_ERROR).
    #[must_use]
    pub fn take_error(&self) -> Option<Errno> {
        self.inbox().half.lock().error.take()
    }

    /// Who made the connection at the other side (SO_PEERCRED).
    #[must_use]
    pub fn peer_credentials(&self) -> Ucred {
        let end = self.link.end(self.place.other()).lock();
        end.credentials.unwrap_or(Ucred::NONE)
    }

    /// Calls `visit` with the descriptors of each message to it, or to a connection that waits to be accepted.
    fn for_each_right(&self, visit: &mut dyn FnMut(&Rights)) {
        let state = self.state.lock();
        let half = self.inbox().half.lock();
        half.stream.rights().for_each(&mut *visit);
        half.packets.iter().for_each(|packet| visit(&packet.rights));
        drop(half);
        if let Phase::Listening(backlog) = &state.phase {
            backlog
                .pending
                .iter()
                .for_each(|socket| socket.for_each_right(visit));
        }
    }

    /// Takes all messages that `for_each_right` sees. They stay if there is no memory for the list.
    fn take_all(&self, remains: &mut Vec<Remains>) {
        let state = self.state.lock();
        if remains.try_reserve(1).is_ok() {
            remains.push(self.inbox().half.lock().empty());
        }
        if let Phase::Listening(backlog) = &state.phase {
            backlog
                .pending
                .iter()
                .for_each(|socket| socket.take_all(remains));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let phase = core::mem::replace(&mut state.phase, Phase::Idle);
        let (names, peer) = (state.names.take(), state.peer.take());
        let mut half = self.inbox().half.lock();
        half.shut = true;
        half.gone = true;
        let lost = half.filled() || !self.taken.load(Ordering::Relaxed);
        let mut remains = half.empty();
        drop(half);
        if self.kind != Kind::Datagram {
            let mut half = self.outbox().half.lock();
            half.shut = true;
            if lost {
                half.error = Some(Errno::ECONNRESET);
            }
            drop(half);
        }
        self.inbox().wake_everybody();
        self.outbox().wake_everybody();
        remains.tell_turned_away();
        if let Some(names) = names
            && let Some(name) = self.name()
        {
            names.release(self.kind, &name);
        }
        drop((remains, phase, peer));
    }
}

#[cfg(test)]
mod testing;

#[cfg(not(loom))]
#[cfg(test)]
mod tests;

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;

#[cfg(not(loom))]
#[cfg(test)]
mod reach_tests;

#[cfg(all(test, loom))]
mod loom_tests;
