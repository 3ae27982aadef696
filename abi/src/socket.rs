//! Constants of the socket calls (socket(7), unix(7), send(2), recv(2)).
//!
//! They are `linux-raw-sys`'s, which has the same values for every machine it is built for; what no UAPI header has is
//! written out, with its source.

pub use crate::raw::net::{
    AF_INET, AF_INET6, AF_MAX, AF_UNIX, AF_UNSPEC, MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT,
    MSG_EOR, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SCM_CREDENTIALS, SCM_RIGHTS,
    SHUT_RD, SHUT_RDWR, SHUT_WR, SO_ACCEPTCONN, SO_BROADCAST, SO_DEBUG, SO_DOMAIN, SO_DONTROUTE,
    SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_NO_CHECK, SO_OOBINLINE, SO_PASSCRED, SO_PEERCRED,
    SO_PEERGROUPS, SO_PRIORITY, SO_PROTOCOL, SO_RCVBUF, SO_RCVBUFFORCE, SO_RCVLOWAT,
    SO_RCVTIMEO_NEW, SO_RCVTIMEO_OLD, SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF, SO_SNDBUFFORCE,
    SO_SNDLOWAT, SO_SNDTIMEO_NEW, SO_SNDTIMEO_OLD, SO_TIMESTAMP_OLD, SO_TYPE, SOCK_DGRAM, SOCK_RAW,
    SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET,
};

/// Or'ed to a socket's type: the descriptor closes on exec; the value of O_CLOEXEC (socket(2)).
pub const SOCK_CLOEXEC: u32 = crate::open::O_CLOEXEC;
/// Or'ed to a socket's type: its calls do not wait; the value of O_NONBLOCK (socket(2)).
pub const SOCK_NONBLOCK: u32 = crate::open::O_NONBLOCK;
/// recvmmsg(2): waits for the first message alone (socket.h of the C library; no UAPI header has it).
pub const MSG_WAITFORONE: u32 = 0x10000;
/// The most descriptors in one message (unix(7)).
pub const SCM_MAX_FD: usize = 253;
/// Bytes of `sun_path` (unix(7)).
pub const PATH_BYTES: usize = 108;
