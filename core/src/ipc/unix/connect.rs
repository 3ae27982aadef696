//! Who is connected to whom: bind, listen, connect, accept, shutdown, and the names of both ends.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use halyard_cell::SpinGuard;

use super::link::Place;
use super::{Backlog, Kind, Name, Phase, Socket, SocketNames, State, Ucred};
use crate::wait::WaitQueue;
use crate::{Errno, Result};

/// The longest backlog (net.core.somaxconn).
const BACKLOG_MAX: u32 = 4096;

/// What came of an attempt to connect.
pub enum Connecting {
    /// It is connected.
    Done,
    /// The backlog is full; wait on [`Doorstep::queue`] and try again.
    Full(Doorstep),
}

/// Where those wait who are to be let into a backlog. Keeps nothing open.
#[derive(Clone)]
pub struct Doorstep(Arc<super::Link>);

impl Doorstep {
    /// Who is told when there is room, or the listener has closed.
    #[must_use]
    pub fn queue(&self) -> &WaitQueue {
        &self.0.outbox(Place::First).writers
    }

    /// Whether both lead to the same listener.
    #[must_use]
    pub fn is(&self, other: &Doorstep) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Socket {
    /// What it is called (getsockname(2)).
    #[must_use]
    pub fn name(&self) -> Option<Arc<Name>> {
        self.link.end(self.place).lock().name.clone()
    }

    /// Gives it its name; `names` is the table that has it, if it is abstract. EINVAL: it has one.
    pub fn set_name(&self, name: &Arc<Name>, names: Option<&Arc<SocketNames>>) -> Result<()> {
        let mut state = self.state.lock();
        let mut end = self.link.end(self.place).lock();
        if end.name.is_some() {
            return Err(Errno::EINVAL);
        }
        end.name = Some(Arc::clone(name));
        state.names = names.cloned();
        Ok(())
    }

    /// What the peer is called. ENOTCONN.
    pub fn peer_name(&self) -> Result<Option<Arc<Name>>> {
        let state = self.state.lock();
        if self.kind == Kind::Datagram {
            let (peer, name) = state.peer.as_ref().ok_or(Errno::ENOTCONN)?;
            let (peer, name) = (peer.upgrade(), name.clone());
            drop(state);
            return Ok(peer.and_then(|peer| peer.name()).or(name));
        }
        match state.phase {
            Phase::Connected => Ok(self.link.end(self.place.other()).lock().name.clone()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// Whether it listens (SO_ACCEPTCONN).
    #[must_use]
    pub fn listens(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Listening(_))
    }

    /// Accepts connections from now on, of which `backlog` and one may wait (listen(2)). EOPNOTSUPP: datagrams. EINVAL: it has
    /// no name, or is connected.
    pub fn listen(&self, backlog: u32, who: Ucred) -> Result<()> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if self.name().is_none() {
            return Err(Errno::EINVAL);
        }
        let limit = backlog.min(BACKLOG_MAX) as usize;
        match &mut state.phase {
            Phase::Connected => return Err(Errno::EINVAL),
            Phase::Listening(backlog) => backlog.limit = limit,
            phase @ Phase::Idle => {
                *phase = Phase::Listening(Backlog {
                    pending: VecDeque::new(),
                    limit,
                });
            }
        }
        self.link.end(self.place).lock().credentials = Some(who);
        drop(state);
        self.outbox().writers.wake_all();
        Ok(())
    }

    /// Connects to what listens at `listener`, without being accepted yet (connect(2)). EPROTOTYPE: another type.
    /// ECONNREFUSED: it does not listen. EISCONN; EINVAL: this one listens. ENOMEM.
    pub fn try_connect(&self, listener: &Arc<Socket>, who: Ucred) -> Result<Connecting> {
        if listener.kind != self.kind {
            return Err(Errno::EPROTOTYPE);
        }
        let (mut own, theirs) = self.lock_with(listener);
        let Some(mut theirs) = theirs else {
            // Itself: what does not listen refuses, what does cannot call.
            return Err(match own.phase {
                Phase::Listening(_) => Errno::EINVAL,
                Phase::Idle | Phase::Connected => Errno::ECONNREFUSED,
            });
        };
        let Phase::Listening(backlog) = &mut theirs.phase else {
            return Err(Errno::ECONNREFUSED);
        };
        if listener.inbox().half.lock().shut {
            return Err(Errno::ECONNREFUSED);
        }
        if backlog.pending.len() > backlog.limit {
            return Ok(Connecting::Full(Doorstep(Arc::clone(&listener.link))));
        }
        match own.phase {
            Phase::Idle => {}
            Phase::Connected => return Err(Errno::EISCONN),
            Phase::Listening(_) => return Err(Errno::EINVAL),
        }
        backlog.pending.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        // From here on nothing fails: what stands at the other end would close it.
        let link = Arc::clone(&self.link);
        let accepted = Socket::at(self.kind, link, Place::Second, Phase::Connected);
        accepted.taken.store(false, Ordering::Relaxed);
        own.phase = Phase::Connected;
        let host = listener.link.end(listener.place).lock().clone();
        *self.link.end(Place::Second).lock() = host;
        self.link.end(Place::First).lock().credentials = Some(who);
        self.link.open(self.kind);
        backlog.pending.push_back(accepted);
        let room = backlog.pending.len() <= backlog.limit;
        drop((own, theirs));
        listener.inbox().readers.wake_one();
        if room {
            listener.outbox().writers.wake_one();
        }
        self.inbox().wake_everybody();
        self.outbox().wake_everybody();
        Ok(Connecting::Done)
    }

    /// The states of both, locked; one alone if they are the same.
    fn lock_with<'a>(
        &'a self,
        other: &'a Socket,
    ) -> (SpinGuard<'a, State>, Option<SpinGuard<'a, State>>) {
        let (mine, theirs) = (core::ptr::from_ref(self), core::ptr::from_ref(other));
        if core::ptr::eq(mine, theirs) {
            return (self.state.lock(), None);
        }
        if mine < theirs {
            let own = self.state.lock();
            (own, Some(other.state.lock()))
        } else {
            let theirs = other.state.lock();
            (self.state.lock(), Some(theirs))
        }
    }

    /// Takes the connection that came first (accept(2)). EINVAL: it does not listen, or is shut and none waits. EAGAIN: none
    /// waits.
    pub fn try_accept(&self, waits: bool) -> Result<Arc<Socket>> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        let Phase::Listening(backlog) = &mut state.phase else {
            return Err(Errno::EINVAL);
        };
        let Some(socket) = backlog.pending.pop_front() else {
            let shut = self.inbox().half.lock().shut;
            return Err(if shut && waits {
                Errno::EINVAL
            } else {
                Errno::EAGAIN
            });
        };
        let more = !backlog.pending.is_empty();
        drop(state);
        socket.taken.store(true, Ordering::Relaxed);
        self.outbox().writers.wake_one();
        if more {
            self.inbox().readers.wake_one();
        }
        Ok(socket)
    }

    /// Makes `to` the receiver of what this datagram socket sends, and the only one that it takes from; None: nobody
    /// (connect(2)). EPROTOTYPE; EPERM: that one is connected to somebody else.
    pub fn connect_datagram(&self, to: Option<&Arc<Socket>>) -> Result<()> {
        if let Some(to) = to {
            if to.kind != Kind::Datagram {
                return Err(Errno::EPROTOTYPE);
            }
            to.may_be_sent_to_by(self)?;
        }
        let new = to.map(|to| (Arc::downgrade(to), to.name()));
        let mut state = self.state.lock();
        let old = core::mem::replace(&mut state.peer, new);
        drop(state);
        if let Some((old, _)) = old
            && !to.is_some_and(|to| core::ptr::eq(old.as_ptr(), Arc::as_ptr(to)))
        {
            self.part_from(old.upgrade());
        }
        self.outbox().wake_everybody();
        Ok(())
    }

    /// It sends to `old` no more: what that has sent is lost, and if that sends here still, it is told so.
    fn part_from(&self, old: Option<Arc<Socket>>) {
        let remains = self.forget_messages();
        let lost = !remains.packets.is_empty();
        drop(remains);
        if let Some(old) = old
            && lost
            && !core::ptr::eq(self, Arc::as_ptr(&old))
            && old.may_be_sent_to_by(self) == Ok(true)
        {
            old.inbox().half.lock().error = Some(Errno::ECONNRESET);
            old.inbox().readers.wake_all();
        }
    }

    /// Ends receiving, sending, or both (shutdown(2)).
    pub fn shut_down(&self, receiving: bool, sending: bool) {
        for (wanted, channel) in [(receiving, self.inbox()), (sending, self.outbox())] {
            if wanted {
                let mut half = channel.half.lock();
                half.shut = true;
                let mut turned_away = core::mem::take(&mut half.turned_away);
                drop(half);
                super::link::tell(&mut turned_away);
            }
        }
        self.inbox().wake_everybody();
        self.outbox().wake_everybody();
    }
}
