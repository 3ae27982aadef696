//! socket(2), socketpair(2), bind(2), listen(2), connect(2), accept(2), shutdown(2), getsockname(2), getpeername(2).

use alloc::sync::Arc;

use halyard_abi::socket::{
    AF_INET, AF_INET6, AF_MAX, AF_UNIX, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, SOCK_DGRAM,
    SOCK_NONBLOCK, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
};

use super::address::{self, Address, Destination};
use super::{Caller, Party, interrupted, peer_identity};
use crate::fs::file::{File, Side};
use crate::fs::inode::Node;
use crate::fs::namespace::Maker;
use crate::fs::open_file::{FileRef, OpenFile, OpenFlags};
use crate::fs::path::Last;
use crate::ipc::unix::options::deadline;
use crate::ipc::unix::{Connecting, Kind, Name, Socket, SocketPlace, Ucred};
use crate::machine::UserAddr;
use crate::process::thread::Thread;
use crate::syscall::path::{AT_FDCWD, walker};
use crate::syscall::transfer::unless_again;
use crate::syscall::{Answer, Call, DONE, Outcome};
use crate::time::Instant;
use crate::wait::{Sleeper, wait_until};
use crate::{Errno, Result};

/// One more than the greatest type that any family has (SOCK_MAX).
const TYPE_END: u32 = 11;
/// The bits of a type argument that are the type.
const TYPE_MASK: u32 = 15;

impl Call<'_> {
    /// The open file that argument `N` names, which is a socket. EBADF, ENOTSOCK.
    pub(super) fn socket_file<const N: usize>(&self) -> Result<FileRef> {
        let file = self.usable_file::<N>()?;
        if file.is_socket() {
            Ok(file)
        } else {
            Err(Errno::ENOTSOCK)
        }
    }
}

/// What the arguments of socket(2) and socketpair(2) ask for. EINVAL, EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT.
fn wanted(call: &Call<'_>) -> Result<(Kind, OpenFlags, bool)> {
    let (family, kind, protocol) = (call.uint::<0>(), call.uint::<1>(), call.uint::<2>());
    let (flags, kind) = (kind & !TYPE_MASK, kind & TYPE_MASK);
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    if family >= AF_MAX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if kind >= TYPE_END {
        return Err(Errno::EINVAL);
    }
    if family != AF_UNIX {
        return Err(Errno::EAFNOSUPPORT);
    }
    if protocol != 0 && protocol != AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    let kind = match kind {
        SOCK_STREAM => Kind::Stream,
        // BSD's raw Unix sockets were datagrams, and programs rely on it.
        SOCK_DGRAM | SOCK_RAW => Kind::Datagram,
        SOCK_SEQPACKET => Kind::SeqPacket,
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    Ok((kind, open_flags(flags), flags & SOCK_CLOEXEC != 0))
}

fn open_flags(flags: u32) -> OpenFlags {
    let mut open = OpenFlags::READ_WRITE;
    open.set(OpenFlags::NONBLOCK, flags & SOCK_NONBLOCK != 0);
    open
}

/// socket(2).
pub(in crate::syscall) fn socket(call: &mut Call<'_>) -> Answer {
    let (kind, flags, close_on_exec) = wanted(call)?;
    let file = OpenFile::new(Socket::new(kind), flags)?;
    let limit = call.descriptor_limit();
    let fd = call.files().insert(file, 0, limit, close_on_exec)?;
    Ok(Outcome::Done(fd as usize))
}

/// socketpair(2). EOPNOTSUPP: a family that has no pairs.
pub(in crate::syscall) fn socketpair(call: &mut Call<'_>) -> Answer {
    let (kind, flags, close_on_exec) = match wanted(call) {
        Err(Errno::EAFNOSUPPORT) if matches!(call.uint::<0>(), AF_INET | AF_INET6) => {
            return Err(no_internet_pair(
                call.uint::<1>() & TYPE_MASK,
                call.uint::<2>(),
            ));
        }
        outcome => outcome?,
    };
    let [first, second] = Socket::pair(kind, peer_identity(call));
    let files = [OpenFile::new(first, flags)?, OpenFile::new(second, flags)?];
    let limit = call.descriptor_limit();
    let fds = call.files().insert_pair(files, limit, close_on_exec)?;
    if let Err(fault) = call.space().write_user(call.addr::<3>(), &fds) {
        for fd in fds {
            let _ = call.files().close(fd);
        }
        return Err(fault);
    }
    DONE
}

/// Why there is no pair of Internet sockets. Their family first makes the two, and then cannot connect them: so a
/// type or a protocol that it does not know is told before (ip(7)).
const fn no_internet_pair(kind: u32, protocol: u32) -> Errno {
    const TCP: u32 = 6;
    const UDP: u32 = 17;
    match (kind, protocol) {
        (SOCK_STREAM, 0 | TCP) | (SOCK_DGRAM, 0 | UDP) | (SOCK_RAW, 1..) => Errno::EOPNOTSUPP,
        (SOCK_STREAM | SOCK_DGRAM | SOCK_RAW, _) => Errno::EPROTONOSUPPORT,
        _ => Errno::ESOCKTNOSUPPORT,
    }
}

/// bind(2). EADDRINUSE, EINVAL, and the errors of mknod(2).
pub(in crate::syscall) fn bind(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let socket = file.file().socket()?;
    let this = socket.myself().ok_or(Errno::EBADF)?;
    match Address::read(call.space(), call.addr::<1>(), call.int::<2>())? {
        Address::Unspecified => return Err(Errno::EINVAL),
        Address::Unnamed if this.name().is_some() => {}
        Address::Unnamed => call.kernel.sockets.bind(&this, None)?,
        Address::Abstract(name) => call.kernel.sockets.bind(&this, Some(name))?,
        Address::Path(path) => bind_path(call, &this, &path)?,
    }
    DONE
}

/// Makes the inode that stands for the socket.
fn bind_path(call: &Call<'_>, socket: &Arc<Socket>, path: &Name) -> Result<()> {
    let who = call.process().credentials();
    let text = address::owned(path.bytes())?;
    let walker = walker(call.process(), call.files(), AT_FDCWD, &text, &who)?;
    let place = walker.walk(text, Last::Name)?;
    if place.inode.is_some() {
        return Err(Errno::EADDRINUSE);
    }
    if socket.name().is_some() {
        return Err(Errno::EINVAL);
    }
    let name = Name::new(&[path.bytes(), b"\0"])?;
    let umask = call.process().fs().ok_or(Errno::ESRCH)?.umask();
    let maker = Maker {
        who: &who,
        permissions: 0o777 & !umask,
        now: call.kernel.wall_clock(),
    };
    let node = Node::Socket(SocketPlace::of(socket));
    match call.kernel.names.create(&place, node, maker) {
        Err(Errno::EEXIST) => return Err(Errno::EADDRINUSE),
        outcome => outcome?,
    };
    let named = socket.set_name(&name, None);
    if named.is_err() {
        // Somebody else was quicker to name the socket.
        let _ = call.kernel.names.unlink(&place, false, &who, maker.now);
    }
    named
}

/// listen(2).
pub(in crate::syscall) fn listen(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let who = peer_identity(call);
    file.file().socket()?.listen(call.uint::<1>(), who)?;
    DONE
}

/// A socket that wants to know who sends to it needs a name to be answered to (unix(7)).
pub(super) fn name_if_needed(party: Party<'_>, socket: &Socket) -> Result<()> {
    if socket.passcred()
        && socket.name().is_none()
        && let Some(this) = socket.myself()
    {
        match party.kernel.sockets.bind(&this, None) {
            Ok(()) | Err(Errno::EINVAL) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// connect(2).
pub(in crate::syscall) fn connect(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let socket = file.file().socket()?;
    let address = Address::read(call.space(), call.addr::<1>(), call.int::<2>())?;
    let party = Party::of(call);
    if socket.kind() == Kind::Datagram {
        connect_datagram(party, socket, &address)?;
        return DONE;
    }
    let to = address.find(party)?;
    name_if_needed(party, socket)?;
    let who = peer_identity(call);
    let listener = to.socket(party, socket.kind())?;
    let Connecting::Full(_) = socket.try_connect(&listener, who)? else {
        return DONE;
    };
    if file.nonblocking() {
        return Err(Errno::EAGAIN);
    }
    drop(listener);
    let until = deadline(call.thread().now(), socket.options.send_timeout());
    let caller = Caller::of(call);
    call.wait(async move { connect_waiting(&caller, &file, &to, who, until).await })
}

fn connect_datagram(party: Party<'_>, socket: &Socket, address: &Address) -> Result<()> {
    if matches!(address, Address::Unspecified) {
        return socket.connect_datagram(None);
    }
    let to = address.find(party)?;
    name_if_needed(party, socket)?;
    let peer = to.socket(party, Kind::Datagram)?;
    socket.connect_datagram(Some(&peer))
}

/// Connects as soon as the backlog has room. The listener, which may close meanwhile, is looked for each time.
async fn connect_waiting(
    caller: &Caller,
    file: &OpenFile,
    to: &Destination,
    who: Ucred,
    until: Option<Instant>,
) -> Result<usize> {
    let socket = file.file().socket()?;
    let attempt = || {
        let listener = to.socket(caller.party(), socket.kind())?;
        socket.try_connect(&listener, who)
    };
    loop {
        let step = match attempt()? {
            Connecting::Done => return Ok(0),
            Connecting::Full(step) => step,
        };
        let elsewhere = || match attempt() {
            Ok(Connecting::Full(now)) if now.is(&step) => None,
            Ok(Connecting::Full(_)) => Some(Err(Errno::EAGAIN)),
            Ok(Connecting::Done) => Some(Ok(0)),
            Err(errno) => Some(Err(errno)),
        };
        match wait_until(&caller.thread, step.queue(), until, elsewhere).await {
            // Another socket listens under that name now.
            Ok(Err(Errno::EAGAIN)) => {}
            Ok(outcome) => return outcome,
            Err(why) => return Err(interrupted(why, until)),
        }
    }
}

/// accept(2).
pub(in crate::syscall) fn accept(call: &mut Call<'_>) -> Answer {
    accept_with(call, 0)
}

/// accept4(2).
pub(in crate::syscall) fn accept4(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<3>();
    // A descriptor that is none comes first, one that is no socket last: EBADF, EINVAL, ENOTSOCK.
    call.usable_file::<0>()?;
    if flags & !(SOCK_CLOEXEC | SOCK_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    accept_with(call, flags)
}

fn accept_with(call: &mut Call<'_>, flags: u32) -> Answer {
    let file = call.socket_file::<0>()?;
    let socket = file.file().socket()?;
    let (at, length_at) = (call.addr::<1>(), call.addr::<2>());
    // Found out before a connection is taken that would be lost with it.
    if !call.files().has_room(call.descriptor_limit()) {
        return Err(Errno::EMFILE);
    }
    let waits = !file.nonblocking();
    match socket.try_accept(waits) {
        Err(Errno::EAGAIN) if waits => {}
        outcome => {
            return install(Party::of(call), outcome?, flags, at, length_at).map(Outcome::Done);
        }
    }
    let until = deadline(call.thread().now(), socket.options.receive_timeout());
    let caller = Caller::of(call);
    call.wait(async move {
        let accepted = accept_waiting(&caller.thread, &file, until).await?;
        install(caller.party(), accepted, flags, at, length_at)
    })
}

async fn accept_waiting(
    thread: &Arc<Thread>,
    file: &OpenFile,
    until: Option<Instant>,
) -> Result<Arc<Socket>> {
    let socket = file.file().socket()?;
    let attempt = || unless_again(socket.try_accept(true));
    wait_until(thread, socket.queue(Side::Read), until, attempt)
        .await
        .unwrap_or_else(|why| Err(interrupted(why, until)))
}

/// Gives an accepted connection a descriptor, and the caller its peer's name.
fn install(
    party: Party<'_>,
    socket: Arc<Socket>,
    flags: u32,
    at: UserAddr,
    length_at: UserAddr,
) -> Result<usize> {
    let name = socket.peer_name()?;
    let file = OpenFile::new(socket as Arc<dyn File>, open_flags(flags))?;
    let close_on_exec = flags & SOCK_CLOEXEC != 0;
    let fd = party.files.insert(file, 0, party.limit, close_on_exec)?;
    if at.0 != 0
        && let Err(errno) = address::write(party.space, name.as_deref(), at, length_at)
    {
        let _ = party.files.close(fd);
        return Err(errno);
    }
    Ok(fd as usize)
}

/// shutdown(2).
pub(in crate::syscall) fn shutdown(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let how = call.uint::<1>();
    if how > SHUT_RDWR {
        return Err(Errno::EINVAL);
    }
    let socket = file.file().socket()?;
    socket.shut_down(how != SHUT_WR, how >= SHUT_WR);
    DONE
}

/// getsockname(2).
pub(in crate::syscall) fn getsockname(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let name = file.file().socket()?.name();
    address::write(
        call.space(),
        name.as_deref(),
        call.addr::<1>(),
        call.addr::<2>(),
    )?;
    DONE
}

/// getpeername(2).
pub(in crate::syscall) fn getpeername(call: &mut Call<'_>) -> Answer {
    let file = call.socket_file::<0>()?;
    let name = file.file().socket()?.peer_name()?;
    address::write(
        call.space(),
        name.as_deref(),
        call.addr::<1>(),
        call.addr::<2>(),
    )?;
    DONE
}
