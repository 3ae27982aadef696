//! Names of sockets (unix(7)): paths, which a socket inode stands for; abstract names, which this table knows; none.
//! Lock level 3.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use core::sync::atomic::{AtomicU32, Ordering};

use halyard_cell::SpinLock;

use super::{Kind, Socket};
use crate::{Errno, Result};

/// How many names there are for sockets that ask for any (unix(7), "Autobind feature").
const AUTOMATIC: u32 = 1 << 20;

/// A socket's name as `sun_path` has it: an abstract one begins with a NUL, a path ends in one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Vec<u8>);

impl Name {
    /// The name of these bytes. ENOMEM.
    pub fn new(parts: &[&[u8]]) -> Result<Arc<Name>> {
        let mut bytes = Vec::new();
        let length = parts.iter().map(|part| part.len()).sum();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        Ok(Arc::new(Name(bytes)))
    }

    /// The bytes of `sun_path`.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What the inode of a socket's path leads to: the socket, as long as somebody has it.
#[derive(Debug, Default)]
pub struct SocketPlace(Weak<Socket>);

impl SocketPlace {
    /// Nothing: made by mknod(2).
    #[must_use]
    pub const fn empty() -> SocketPlace {
        SocketPlace(Weak::new())
    }

    /// This socket.
    #[must_use]
    pub fn of(socket: &Arc<Socket>) -> SocketPlace {
        SocketPlace(Arc::downgrade(socket))
    }

    /// The socket. ECONNREFUSED: it has gone.
    pub fn socket(&self) -> Result<Arc<Socket>> {
        self.0.upgrade().ok_or(Errno::ECONNREFUSED)
    }
}

/// Who has which name. Each type of socket has names of its own.
type Bound = BTreeMap<(Kind, Arc<Name>), Weak<Socket>>;

/// The abstract names.
#[derive(Default)]
pub struct SocketNames {
    bound: SpinLock<Bound>,
    next: AtomicU32,
}

impl SocketNames {
    /// No names.
    #[must_use]
    pub fn new() -> SocketNames {
        SocketNames::default()
    }

    /// The socket of that name. ECONNREFUSED: there is none.
    pub fn find(&self, kind: Kind, name: &Arc<Name>) -> Result<Arc<Socket>> {
        let bound = self.bound.lock();
        bound
            .get(&(kind, Arc::clone(name)))
            .and_then(Weak::upgrade)
            .ok_or(Errno::ECONNREFUSED)
    }

    /// Gives `socket` an abstract name; or, if `name` is None, five hexadecimal digits that nobody has. EADDRINUSE; EINVAL:
    /// it has one. ENOMEM.
    pub fn bind(self: &Arc<Self>, socket: &Arc<Socket>, name: Option<Arc<Name>>) -> Result<()> {
        match name {
            Some(name) => self.claim(socket, &name)?,
            None => self.claim_any(socket)?,
        }
        Ok(())
    }

    fn claim_any(self: &Arc<Self>, socket: &Arc<Socket>) -> Result<()> {
        for _ in 0..AUTOMATIC {
            let number = self.next.fetch_add(1, Ordering::Relaxed) % AUTOMATIC;
            let digits: [u8; 5] = core::array::from_fn(|place| {
                let digit = (number >> (16 - 4 * place) & 15) as u8;
                digit + if digit < 10 { b'0' } else { b'a' - 10 }
            });
            match self.claim(socket, &Name::new(&[b"\0", &digits])?) {
                Err(Errno::EADDRINUSE) => {}
                outcome => return outcome,
            }
        }
        Err(Errno::ENOSPC)
    }

    fn claim(self: &Arc<Self>, socket: &Arc<Socket>, name: &Arc<Name>) -> Result<()> {
        // That it has a name is told before that this one is taken, which it may itself have done.
        if socket.name().is_some() {
            return Err(Errno::EINVAL);
        }
        let key = (socket.kind(), Arc::clone(name));
        let mut bound = self.bound.lock();
        if bound.contains_key(&key) {
            return Err(Errno::EADDRINUSE);
        }
        bound.insert(key, Arc::downgrade(socket));
        drop(bound);
        let named = socket.set_name(name, Some(self));
        if named.is_err() {
            self.release(socket.kind(), name);
        }
        named
    }

    /// The name is free again.
    pub(super) fn release(&self, kind: Kind, name: &Arc<Name>) {
        let removed = self.bound.lock().remove(&(kind, Arc::clone(name)));
        drop(removed);
    }

    /// How many abstract names are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.bound.lock().len()
    }
}
