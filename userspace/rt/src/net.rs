//! Unix-domain sockets: names, connections, messages, descriptors and credentials in messages.

use alloc::vec::Vec;
use core::time::Duration;

use halyard_abi::socket::{AF_UNIX, PATH_BYTES, SOL_SOCKET};
pub use halyard_abi::socket::{
    MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_TRUNC,
    MSG_WAITALL, MSG_WAITFORONE, SCM_CREDENTIALS, SCM_MAX_FD, SCM_RIGHTS, SHUT_RD, SHUT_RDWR,
    SHUT_WR, SO_ACCEPTCONN, SO_DOMAIN, SO_ERROR, SO_PASSCRED, SO_PEERCRED, SO_PROTOCOL, SO_RCVBUF,
    SO_RCVLOWAT, SO_RCVTIMEO_OLD as SO_RCVTIMEO, SO_REUSEADDR, SO_SNDBUF, SO_SNDLOWAT,
    SO_SNDTIMEO_OLD as SO_SNDTIMEO, SO_TYPE, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK,
    SOCK_SEQPACKET, SOCK_STREAM,
};

use crate::fd::{AsFd, Fd, opened};
use crate::sys::{plain, sys};
use crate::{Errno, Result, nr};

/// Bytes of a `struct cmsghdr`.
const CONTROL_HEADER: usize = 16;

/// The name of a socket: a path, an abstract name, or none.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)]
pub struct Address {
    family: u16,
    path: [u8; PATH_BYTES + 1],
    /// Bytes of family and path.
    length: u32,
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.bytes().escape_ascii())
    }
}

impl Address {
    const FAMILY: usize = 2;

    /// No name.
    pub const fn unnamed() -> Address {
        Address {
            family: AF_UNIX as u16,
            path: [0; PATH_BYTES + 1],
            length: Address::FAMILY as u32,
        }
    }

    /// `sun_path` as given; what does not fit is cut.
    pub fn raw(path: &[u8]) -> Address {
        let mut address = Address::unnamed();
        let length = path.len().min(PATH_BYTES);
        address.path[..length].copy_from_slice(&path[..length]);
        address.length = (Address::FAMILY + length) as u32;
        address
    }

    /// A path.
    pub fn path(path: impl AsRef<[u8]>) -> Address {
        let mut address = Address::raw(path.as_ref());
        if (address.length as usize) < Address::FAMILY + PATH_BYTES {
            address.length += 1;
        }
        address
    }

    /// An abstract name.
    pub fn hidden(name: impl AsRef<[u8]>) -> Address {
        let mut address = Address::unnamed();
        let name = name.as_ref();
        let length = name.len().min(PATH_BYTES - 1);
        address.path[1..=length].copy_from_slice(&name[..length]);
        address.length = (Address::FAMILY + 1 + length) as u32;
        address
    }

    /// Another family.
    pub fn of_family(mut self, family: u32) -> Address {
        self.family = family as u16;
        self
    }

    /// `sun_path`, as long as it counts.
    pub fn bytes(&self) -> &[u8] {
        let length = (self.length as usize).saturating_sub(Address::FAMILY);
        &self.path[..length.min(self.path.len())]
    }

    /// How long it is, the family included; 0 for no address at all.
    pub fn length(&self) -> usize {
        self.length as usize
    }
}

/// Room for an address that the kernel stores.
struct Room(Address);

impl Room {
    fn new() -> Room {
        let mut address = Address::unnamed();
        address.length = (Address::FAMILY + PATH_BYTES + 1) as u32;
        Room(address)
    }
}

/// A new socket that is connected to nobody: `SOCK_STREAM`, `SOCK_DGRAM` or `SOCK_SEQPACKET`, and flags.
///
/// # Errors
/// `EINVAL`, `ESOCKTNOSUPPORT`, `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn socket(kind: u32) -> Result<Fd> {
    opened(plain(nr::SOCKET, AF_UNIX as isize, kind as isize, 0))
}

/// Two sockets that are connected to each other.
///
/// # Errors
/// As [`socket`].
pub fn pair(kind: u32) -> Result<(Fd, Fd)> {
    let mut ends = [-1i32; 2];
    // SAFETY: the kernel writes two numbers there.
    unsafe { sys!(nr::SOCKETPAIR, AF_UNIX, kind, 0, ends.as_mut_ptr()) }?;
    Ok((Fd::from_raw(ends[0]), Fd::from_raw(ends[1])))
}

/// Gives a socket its name; an unnamed address asks for any.
///
/// # Errors
/// `EADDRINUSE`, `EINVAL`, and those of making a file.
pub fn bind(fd: impl AsFd, address: &Address) -> Result<()> {
    // SAFETY: the kernel reads the address, whose length is within it.
    unsafe { sys!(nr::BIND, fd.fd(), &raw const *address, address.length) }.map(drop)
}

/// Lets others connect: `backlog` may wait to be accepted, and one more.
///
/// # Errors
/// `EOPNOTSUPP`, `EINVAL`.
pub fn listen(fd: impl AsFd, backlog: i32) -> Result<()> {
    plain(nr::LISTEN, fd.fd() as isize, backlog as isize, 0).map(drop)
}

/// Connects to what has that name.
///
/// # Errors
/// `ENOENT`, `ECONNREFUSED`, `EPROTOTYPE`, `EISCONN`, `EAGAIN`, `EACCES`, `EINTR`...
pub fn connect(fd: impl AsFd, address: &Address) -> Result<()> {
    // SAFETY: the kernel reads the address, whose length is within it.
    unsafe { sys!(nr::CONNECT, fd.fd(), &raw const *address, address.length) }.map(drop)
}

/// Accepts a connection. Flags: `SOCK_CLOEXEC`, `SOCK_NONBLOCK`.
///
/// # Errors
/// `EINVAL`, `EAGAIN`, `EMFILE`, `EINTR`...
pub fn accept(fd: impl AsFd, flags: u32) -> Result<Fd> {
    accept_from(fd, flags).map(|(socket, _)| socket)
}

/// [`accept`], and what the other side is called.
///
/// # Errors
/// As [`accept`].
pub fn accept_from(fd: impl AsFd, flags: u32) -> Result<(Fd, Address)> {
    let mut room = Room::new();
    // SAFETY: the kernel writes an address that fits, and its length.
    let socket = opened(unsafe {
        sys!(
            nr::ACCEPT4,
            fd.fd(),
            &raw mut room.0,
            &raw mut room.0.length,
            flags
        )
    })?;
    Ok((socket, room.0))
}

/// Ends receiving (`SHUT_RD`), sending (`SHUT_WR`) or both (`SHUT_RDWR`).
///
/// # Errors
/// `EINVAL`, `ENOTSOCK`.
pub fn shutdown(fd: impl AsFd, how: u32) -> Result<()> {
    plain(nr::SHUTDOWN, fd.fd() as isize, how as isize, 0).map(drop)
}

/// What a socket is called.
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn local_address(fd: impl AsFd) -> Result<Address> {
    address_by(nr::GETSOCKNAME, fd.fd())
}

/// What its peer is called.
///
/// # Errors
/// `ENOTCONN`, `ENOTSOCK`, `EBADF`.
pub fn peer_address(fd: impl AsFd) -> Result<Address> {
    address_by(nr::GETPEERNAME, fd.fd())
}

fn address_by(number: usize, fd: i32) -> Result<Address> {
    let mut room = Room::new();
    // SAFETY: the kernel writes an address that fits, and its length.
    unsafe { sys!(number, fd, &raw mut room.0, &raw mut room.0.length) }?;
    Ok(room.0)
}

/// Sends to whom the socket is connected (`MSG_*` flags).
///
/// # Errors
/// `EPIPE`, `ENOTCONN`, `ECONNREFUSED`, `EMSGSIZE`, `EAGAIN`, `EINTR`...
pub fn send(fd: impl AsFd, data: &[u8], flags: u32) -> Result<usize> {
    // SAFETY: the kernel only reads the data.
    unsafe { sys!(nr::SENDTO, fd.fd(), data.as_ptr(), data.len(), flags) }
}

/// Sends a datagram to what has that name.
///
/// # Errors
/// As [`send`], `ENOENT`, `EPROTOTYPE`, `EPERM`.
pub fn send_to(fd: impl AsFd, data: &[u8], flags: u32, to: &Address) -> Result<usize> {
    // SAFETY: the kernel only reads data and address.
    unsafe {
        sys!(
            nr::SENDTO,
            fd.fd(),
            data.as_ptr(),
            data.len(),
            flags,
            &raw const *to,
            to.length
        )
    }
}

/// Receives (`MSG_*` flags).
///
/// # Errors
/// `EAGAIN`, `ECONNRESET`, `EINVAL`, `ENOTCONN`, `EINTR`...
pub fn receive(fd: impl AsFd, buffer: &mut [u8], flags: u32) -> Result<usize> {
    // SAFETY: the kernel writes within the buffer.
    unsafe {
        sys!(
            nr::RECVFROM,
            fd.fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
            flags
        )
    }
}

/// [`receive`], and what the sender is called; an address of length 0 if nothing.
///
/// # Errors
/// As [`receive`].
pub fn receive_from(fd: impl AsFd, buffer: &mut [u8], flags: u32) -> Result<(usize, Address)> {
    let mut room = Room::new();
    // SAFETY: the kernel writes within the buffer, an address that fits, and its length.
    let count = unsafe {
        sys!(
            nr::RECVFROM,
            fd.fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
            flags,
            &raw mut room.0,
            &raw mut room.0.length
        )
    }?;
    Ok((count, room.0))
}

/// An option that is a number (`SO_*`).
///
/// # Errors
/// `ENOPROTOOPT`, `ENOTSOCK`.
pub fn option(fd: impl AsFd, option: u32) -> Result<i32> {
    let mut value = [0i32];
    raw_option(fd, SOL_SOCKET, option, &mut value)?;
    Ok(value[0])
}

/// Any option of any level, in words; returns how many bytes it has.
///
/// # Errors
/// `ENOPROTOOPT`, `EOPNOTSUPP`, `ENOTSOCK`.
pub fn raw_option(fd: impl AsFd, level: u32, option: u32, value: &mut [i32]) -> Result<usize> {
    let mut length = size_of_val(value) as u32;
    // SAFETY: the kernel writes within the value, and its length.
    unsafe {
        sys!(
            nr::GETSOCKOPT,
            fd.fd(),
            level,
            option,
            value.as_mut_ptr(),
            &raw mut length
        )
    }?;
    Ok(length as usize)
}

/// Sets an option that is a number.
///
/// # Errors
/// `ENOPROTOOPT`, `ENOTSOCK`, `EPERM`.
pub fn set_option(fd: impl AsFd, option: u32, value: i32) -> Result<()> {
    set_raw_option(fd, option, &value.to_ne_bytes())
}

/// Sets any option of sockets.
///
/// # Errors
/// `EINVAL`, `EDOM`, `ENOPROTOOPT`, `ENOTSOCK`, `EPERM`.
pub fn set_raw_option(fd: impl AsFd, option: u32, value: &[u8]) -> Result<()> {
    // SAFETY: the kernel only reads the value.
    unsafe {
        sys!(
            nr::SETSOCKOPT,
            fd.fd(),
            SOL_SOCKET,
            option,
            value.as_ptr(),
            value.len()
        )
    }
    .map(drop)
}

/// Sets `SO_RCVTIMEO` or `SO_SNDTIMEO`; zero is none.
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn set_timeout(fd: impl AsFd, option: u32, time: Duration) -> Result<()> {
    let parts = [time.as_secs(), u64::from(time.subsec_micros())];
    let mut value = [0; 16];
    for (place, part) in value.chunks_exact_mut(8).zip(parts) {
        place.copy_from_slice(&part.to_ne_bytes());
    }
    set_raw_option(fd, option, &value)
}

/// Who stands behind a message or a connection (`struct ucred`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// Process.
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who made the connection at the other side.
///
/// # Errors
/// `ENOTSOCK`, `EBADF`.
pub fn peer_credentials(fd: impl AsFd) -> Result<Credentials> {
    let mut value = [0; 3];
    raw_option(fd, SOL_SOCKET, SO_PEERCRED, &mut value)?;
    let [pid, uid, gid] = value;
    Ok(Credentials {
        pid,
        uid: uid as u32,
        gid: gid as u32,
    })
}

/// What comes with a message besides its bytes, in the making.
#[derive(Debug, Clone, Default)]
pub struct Control(Vec<u64>);

impl Control {
    /// Nothing.
    pub fn new() -> Control {
        Control::default()
    }

    /// Any item: level, type, data.
    pub fn item(mut self, level: u32, kind: u32, data: &[u8]) -> Control {
        self.0.push((CONTROL_HEADER + data.len()) as u64);
        self.0.push(u64::from(level) | u64::from(kind) << 32);
        for chunk in data.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0.push(u64::from_ne_bytes(word));
        }
        self
    }

    /// Descriptors.
    pub fn descriptors(self, fds: &[i32]) -> Control {
        let bytes: Vec<u8> = fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
        self.item(SOL_SOCKET, SCM_RIGHTS, &bytes)
    }

    /// Who sends.
    pub fn credentials(self, who: Credentials) -> Control {
        let parts = [who.pid as u32, who.uid, who.gid];
        let bytes: Vec<u8> = parts.iter().flat_map(|it| it.to_ne_bytes()).collect();
        self.item(SOL_SOCKET, SCM_CREDENTIALS, &bytes)
    }
}

/// `struct iovec`.
#[repr(C)]
struct Part {
    base: *mut u8,
    length: usize,
}

/// `struct msghdr`.
#[repr(C)]
struct Header {
    name: *mut Address,
    name_length: u32,
    parts: *mut Part,
    part_count: usize,
    control: *mut u64,
    control_length: usize,
    flags: u32,
}

/// Sends bytes that come with something.
///
/// # Errors
/// As [`send`], `EBADF`, `EINVAL`, `EPERM`, `ETOOMANYREFS`.
pub fn send_message(fd: impl AsFd, data: &[u8], control: &Control, flags: u32) -> Result<usize> {
    let mut part = Part {
        base: data.as_ptr().cast_mut(),
        length: data.len(),
    };
    let mut items = control.0.clone();
    let header = Header {
        name: core::ptr::null_mut(),
        name_length: 0,
        parts: &raw mut part,
        part_count: 1,
        control: items.as_mut_ptr(),
        control_length: items.len() * 8,
        flags: 0,
    };
    // SAFETY: the kernel only reads what the header names, all of which lives on.
    unsafe { sys!(nr::SENDMSG, fd.fd(), &raw const header, flags) }
}

/// What [`receive_message`] received.
#[derive(Debug)]
pub struct Received {
    /// How many bytes.
    pub count: usize,
    /// `MSG_TRUNC`, `MSG_CTRUNC`...
    pub flags: u32,
    /// Descriptors that came.
    pub fds: Vec<Fd>,
    /// Who sent, if that came.
    pub credentials: Option<Credentials>,
    /// How long the control data was.
    pub control: usize,
}

/// Receives bytes and, with `room` bytes for it, what came with them.
///
/// # Errors
/// As [`receive`].
pub fn receive_message(
    fd: impl AsFd,
    buffer: &mut [u8],
    room: usize,
    flags: u32,
) -> Result<Received> {
    let mut part = Part {
        base: buffer.as_mut_ptr(),
        length: buffer.len(),
    };
    let mut items = alloc::vec![0u64; room.div_ceil(8)];
    let mut header = Header {
        name: core::ptr::null_mut(),
        name_length: 0,
        parts: &raw mut part,
        part_count: 1,
        control: items.as_mut_ptr(),
        control_length: room,
        flags: 0,
    };
    // SAFETY: the kernel writes within the buffer, the room for control data, and the header's lengths and flags.
    let count = unsafe { sys!(nr::RECVMSG, fd.fd(), &raw mut header, flags) }?;
    let mut received = Received {
        count,
        flags: header.flags,
        fds: Vec::new(),
        credentials: None,
        control: header.control_length,
    };
    let bytes: Vec<u8> = items.iter().flat_map(|word| word.to_ne_bytes()).collect();
    received.take(bytes.get(..header.control_length).ok_or(Errno::EPROTO)?);
    Ok(received)
}

impl Received {
    fn take(&mut self, mut items: &[u8]) {
        let word = |bytes: &[u8], at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map_or(0, u32::from_ne_bytes)
        };
        while items.len() >= CONTROL_HEADER {
            let length = (word(items, 0) as usize).clamp(CONTROL_HEADER, items.len());
            let data = &items[CONTROL_HEADER..length];
            match (word(items, 8), word(items, 12)) {
                (SOL_SOCKET, SCM_RIGHTS) => {
                    let numbers = data.chunks_exact(4).map(|fd| word(fd, 0) as i32);
                    self.fds.extend(numbers.map(Fd::from_raw));
                }
                (SOL_SOCKET, SCM_CREDENTIALS) => {
                    self.credentials = Some(Credentials {
                        pid: word(data, 0) as i32,
                        uid: word(data, 4),
                        gid: word(data, 8),
                    });
                }
                _ => {}
            }
            items = items.get(length.next_multiple_of(8)..).unwrap_or_default();
        }
    }
}

/// `struct mmsghdr`.
#[repr(C)]
struct Entry {
    header: Header,
    length: u32,
}

fn entries(parts: &mut [Part]) -> Vec<Entry> {
    let entry = |part: &mut Part| Entry {
        header: Header {
            name: core::ptr::null_mut(),
            name_length: 0,
            parts: &raw mut *part,
            part_count: 1,
            control: core::ptr::null_mut(),
            control_length: 0,
            flags: 0,
        },
        length: 0,
    };
    parts.iter_mut().map(entry).collect()
}

/// Sends several messages; returns how many.
///
/// # Errors
/// As [`send`], if it is the first that fails.
pub fn send_many(fd: impl AsFd, messages: &[&[u8]], flags: u32) -> Result<usize> {
    let part = |data: &&[u8]| Part {
        base: data.as_ptr().cast_mut(),
        length: data.len(),
    };
    let mut parts: Vec<Part> = messages.iter().map(part).collect();
    let mut list = entries(&mut parts);
    // SAFETY: the kernel reads the messages and writes lengths to the entries.
    unsafe { sys!(nr::SENDMMSG, fd.fd(), list.as_mut_ptr(), list.len(), flags) }
}

/// Receives up to one message a buffer; returns their lengths.
///
/// # Errors
/// As [`receive`], if it is the first that fails.
pub fn receive_many(fd: impl AsFd, buffers: &mut [&mut [u8]], flags: u32) -> Result<Vec<usize>> {
    let part = |buffer: &mut &mut [u8]| Part {
        base: buffer.as_mut_ptr(),
        length: buffer.len(),
    };
    let mut parts: Vec<Part> = buffers.iter_mut().map(part).collect();
    let mut list = entries(&mut parts);
    // SAFETY: the kernel writes within the buffers, and lengths and flags to the entries.
    let count = unsafe {
        sys!(
            nr::RECVMMSG,
            fd.fd(),
            list.as_mut_ptr(),
            list.len(),
            flags,
            0
        )
    }?;
    Ok(list
        .iter()
        .take(count)
        .map(|entry| entry.length as usize)
        .collect())
}
