//! `struct sockaddr_un`: reading it, finding the socket that it names, and writing it.

use alloc::sync::Arc;

use halyard_abi::socket::{AF_UNIX, AF_UNSPEC, PATH_BYTES};

use super::Party;
use crate::fs::inode::{Inode, Node, Want};
use crate::fs::path::Last;
use crate::ipc::unix::{Kind, Name, Socket};
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::syscall::path::{AT_FDCWD, walker};
use crate::{Errno, Result};

/// The longest address of any family (`struct sockaddr_storage`).
const STORAGE: usize = 128;
/// Bytes of `sun_family`.
const FAMILY: usize = 2;

/// An address as a program gave it.
pub(super) enum Address {
    /// AF_UNSPEC.
    Unspecified,
    /// A family and nothing else.
    Unnamed,
    /// A path, without NUL.
    Path(Arc<Name>),
    /// An abstract name, with its NUL.
    Abstract(Arc<Name>),
}

/// What an address led to: the socket there may change, or go.
pub(super) enum Destination {
    Inode(Arc<Inode>),
    Abstract(Arc<Name>),
}

impl Address {
    /// The address of `length` bytes at `at`. EINVAL, EFAULT, ENOMEM.
    pub(super) fn read(space: &AddressSpace, at: UserAddr, length: i32) -> Result<Address> {
        let mut buffer = [0; STORAGE];
        let bytes = usize::try_from(length)
            .ok()
            .and_then(|length| buffer.get_mut(..length))
            .ok_or(Errno::EINVAL)?;
        space.read_bytes(at, bytes)?;
        Address::parse(bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Address> {
        let (family, path) = bytes.split_first_chunk::<FAMILY>().ok_or(Errno::EINVAL)?;
        match u32::from(u16::from_ne_bytes(*family)) {
            AF_UNSPEC => return Ok(Address::Unspecified),
            AF_UNIX if path.len() <= PATH_BYTES => {}
            _ => return Err(Errno::EINVAL),
        }
        match path.first() {
            None => Ok(Address::Unnamed),
            Some(0) => Name::new(&[path]).map(Address::Abstract),
            Some(_) => {
                let end = path.iter().position(|byte| *byte == 0);
                let path = path.get(..end.unwrap_or(path.len())).unwrap_or_default();
                Name::new(&[path]).map(Address::Path)
            }
        }
    }

    /// Where it leads for somebody who wants to send there. EINVAL: nowhere. ECONNREFUSED: not to a socket. Errors of
    /// path_resolution(7).
    pub(super) fn find(&self, party: Party<'_>) -> Result<Destination> {
        match self {
            Address::Unspecified | Address::Unnamed => Err(Errno::EINVAL),
            Address::Abstract(name) => Ok(Destination::Abstract(Arc::clone(name))),
            Address::Path(path) => {
                let who = party.process.credentials();
                let path = owned(path.bytes())?;
                let walker = walker(party.process, party.files, AT_FDCWD, &path, &who)?;
                let inode = walker.find(path, Last::Follow)?;
                inode.check(&who, Want::WRITE)?;
                Ok(Destination::Inode(inode))
            }
        }
    }
}

impl Destination {
    /// The socket there. ECONNREFUSED: none. EPROTOTYPE: one of another type.
    pub(super) fn socket(&self, party: Party<'_>, kind: Kind) -> Result<Arc<Socket>> {
        let socket = match self {
            Destination::Abstract(name) => party.kernel.sockets.find(kind, name)?,
            Destination::Inode(inode) => match &inode.node {
                Node::Socket(place) => place.socket()?,
                _ => return Err(Errno::ECONNREFUSED),
            },
        };
        if socket.kind() == kind {
            Ok(socket)
        } else {
            Err(Errno::EPROTOTYPE)
        }
    }
}

/// A copy of its own. ENOMEM.
pub(super) fn owned(bytes: &[u8]) -> Result<alloc::vec::Vec<u8>> {
    let mut copy = alloc::vec::Vec::new();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| Errno::ENOMEM)?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Stores the address of a socket of that name at `at`, cut to the length at `length_at`, and there its length. EINVAL: that
/// is negative. EFAULT.
pub(super) fn write(
    space: &AddressSpace,
    name: Option<&Name>,
    at: UserAddr,
    length_at: UserAddr,
) -> Result<()> {
    let family = (AF_UNIX as u16).to_ne_bytes();
    let parts = [&family[..], name.map_or(&[], Name::bytes)];
    write_parts(space, parts, at, length_at)
}

/// As [`write`] for the source of a message: who has no name has no address.
pub(super) fn write_source(
    space: &AddressSpace,
    name: Option<&Name>,
    at: UserAddr,
    length_at: UserAddr,
) -> Result<()> {
    match name {
        Some(_) => write(space, name, at, length_at),
        None => write_parts(space, [&[], &[]], at, length_at),
    }
}

fn write_parts(
    space: &AddressSpace,
    parts: [&[u8]; 2],
    at: UserAddr,
    length_at: UserAddr,
) -> Result<()> {
    let room: i32 = space.read_user(length_at)?;
    let mut room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let mut at = at.0;
    let mut length = 0;
    for part in parts {
        let fits = part.get(..room).unwrap_or(part);
        space.write_bytes(UserAddr(at), fits)?;
        room -= fits.len();
        at = at.wrapping_add(fits.len());
        length += part.len();
    }
    space.write_user(length_at, &(length as u32))
}
