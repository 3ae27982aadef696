//! Unix-domain sockets: making, naming and connecting them.

use core::time::Duration;

use halyard_rt::net::{self, Address, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM};
use halyard_rt::poll::{POLLHUP, POLLIN, POLLOUT, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, SA_RESTART, SIGUSR1, SignalSet};
use halyard_rt::{fd, io, nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq, in_child};

suite!(
    unix_socketpair_of_af_inet_is_eopnotsupp,
    unix_socketpair_of_af_inet_tells_an_unknown_type_or_protocol_first,
    unix_socketpair_of_type_99_is_einval,
    unix_socketpair_of_protocol_6_is_eprotonosupport,
    unix_accept4_tells_no_descriptor_then_bad_flags_then_no_socket,
    unix_socketpair_bad_pointer_leaks_none,
    unix_socket_unknown_types_and_families_are_refused,
    unix_socket_flags_set_nonblock_and_cloexec,
    unix_connect_to_no_name_is_enoent,
    unix_connect_to_nobody_is_econnrefused,
    unix_connect_to_itself_is_econnrefused_and_einval_if_it_listens,
    unix_connect_to_another_type_is_eprototype,
    unix_connect_twice_is_eisconn,
    unix_connect_full_backlog_nonblocking_is_eagain,
    unix_connect_full_backlog_waits_for_room,
    unix_connect_full_backlog_with_timeout_is_eagain,
    unix_connect_waiting_ends_when_the_listener_closes,
    unix_connect_needs_write_permission,
    unix_bind_used_name_is_eaddrinuse,
    unix_bind_twice_is_einval,
    unix_bind_makes_a_socket_inode,
    unix_bind_fills_sun_path_to_108,
    unix_bind_abstract_names_may_have_any_bytes,
    unix_bind_to_nothing_takes_an_abstract_name,
    unix_close_leaves_the_path,
    unix_names_of_bad_length_or_family_are_einval,
    unix_accept_unlistened_is_einval,
    unix_listen_on_datagrams_is_eopnotsupp,
    unix_listen_needs_a_name,
    unix_accept_empty_nonblocking_is_eagain,
    unix_accept_waits_for_a_connection,
    unix_accept_interrupted_is_eintr_or_restarted,
    unix_accept_with_timeout_is_eagain_and_never_restarted,
    unix_accept_without_a_free_descriptor_keeps_the_connection,
    unix_accept_names_the_peer,
    unix_listener_polls_readable_when_somebody_waits,
    unix_listener_closing_resets_who_was_not_accepted,
    unix_listener_is_no_place_for_bytes,
    unix_calls_on_other_files_are_enotsock,
);

/// A path that no other test has.
fn path(name: &str) -> Address {
    Address::path(format!("/tmp/{name}.{}", process::id()))
}

fn hidden(name: &str) -> Address {
    Address::hidden(format!("{name}.{}", process::id()))
}

fn listener(address: &Address, backlog: i32) -> Result<Fd> {
    let socket = net::socket(SOCK_STREAM)?;
    net::bind(&socket, address)?;
    net::listen(&socket, backlog)?;
    Ok(socket)
}

fn client(address: &Address) -> Result<Fd> {
    let socket = net::socket(SOCK_STREAM)?;
    net::connect(&socket, address)?;
    Ok(socket)
}

fn now(fd: &Fd) -> Result<i16> {
    let mut fds = [PollFd::new(fd.fd(), POLLIN | POLLOUT)];
    poll(&mut fds, Some(Duration::ZERO))?;
    Ok(fds[0].revents)
}

extern "C" fn ignore(_: i32) {}

fn unix_socketpair_of_af_inet_is_eopnotsupp() -> Outcome {
    let mut ends = [0i32; 2];
    let made = call(nr::SOCKETPAIR, [2, 1, 0, ends.as_mut_ptr() as usize]);
    check_eq!(made, Err(Errno::EOPNOTSUPP));
    Ok(())
}

fn unix_socketpair_of_af_inet_tells_an_unknown_type_or_protocol_first() -> Outcome {
    const RDM: usize = 4;
    const SEQPACKET: usize = 5;
    let mut ends = [0i32; 2];
    let mut pair = |kind, protocol| {
        let ends = ends.as_mut_ptr() as usize;
        call(nr::SOCKETPAIR, [2, kind, protocol, ends])
    };
    check_eq!(pair(SEQPACKET, 0), Err(Errno::ESOCKTNOSUPPORT));
    check_eq!(pair(RDM, 0), Err(Errno::ESOCKTNOSUPPORT));
    check_eq!(pair(1, 17), Err(Errno::EPROTONOSUPPORT));
    check_eq!(pair(2, 6), Err(Errno::EPROTONOSUPPORT));
    check_eq!(pair(3, 0), Err(Errno::EPROTONOSUPPORT));
    check_eq!(pair(99, 0), Err(Errno::EINVAL));
    Ok(())
}

fn unix_socketpair_of_type_99_is_einval() -> Outcome {
    check_eq!(net::pair(99).err(), Some(Errno::EINVAL));
    Ok(())
}

fn unix_socketpair_of_protocol_6_is_eprotonosupport() -> Outcome {
    let mut ends = [0i32; 2];
    let made = call(nr::SOCKETPAIR, [1, 1, 6, ends.as_mut_ptr() as usize]);
    check_eq!(made, Err(Errno::EPROTONOSUPPORT));
    Ok(())
}

fn unix_accept4_tells_no_descriptor_then_bad_flags_then_no_socket() -> Outcome {
    const BAD_FLAGS: usize = 1;
    let (reader, _writer) = fd::pipe()?;
    let file = reader.fd() as usize;
    let accept = |fd: usize, flags: usize| call(nr::ACCEPT4, [fd, 0, 0, flags]);
    check_eq!(accept(usize::MAX, BAD_FLAGS), Err(Errno::EBADF));
    check_eq!(accept(file, BAD_FLAGS), Err(Errno::EINVAL));
    check_eq!(accept(file, 0), Err(Errno::ENOTSOCK));
    Ok(())
}

fn unix_socketpair_bad_pointer_leaks_none() -> Outcome {
    let before = fd::dup(0)?;
    let number = before.fd();
    drop(before);
    check_eq!(call(nr::SOCKETPAIR, [1, 1, 0, 8]), Err(Errno::EFAULT));
    check_eq!(fd::dup(0)?.fd(), number);
    Ok(())
}

fn unix_socket_unknown_types_and_families_are_refused() -> Outcome {
    check_eq!(net::socket(4).err(), Some(Errno::ESOCKTNOSUPPORT));
    check_eq!(net::socket(11).err(), Some(Errno::EINVAL));
    check_eq!(call(nr::SOCKET, [99, 1, 0]), Err(Errno::EAFNOSUPPORT));
    Ok(())
}

fn unix_socket_flags_set_nonblock_and_cloexec() -> Outcome {
    let socket = net::socket(SOCK_STREAM | SOCK_NONBLOCK | net::SOCK_CLOEXEC)?;
    check!(fd::cloexec(&socket)?);
    check_eq!(fd::flags(&socket)? & 0o4003, 0o4002);
    check!(!fd::cloexec(&net::socket(SOCK_STREAM)?)?);
    Ok(())
}

fn unix_connect_to_no_name_is_enoent() -> Outcome {
    check_eq!(client(&path("nobody")).err(), Some(Errno::ENOENT));
    Ok(())
}

fn unix_connect_to_nobody_is_econnrefused() -> Outcome {
    check_eq!(client(&hidden("nobody")).err(), Some(Errno::ECONNREFUSED));
    let (name, socket) = (path("refused"), net::socket(SOCK_STREAM)?);
    net::bind(&socket, &name)?;
    check_eq!(client(&name).err(), Some(Errno::ECONNREFUSED));
    drop(socket);
    check_eq!(client(&name).err(), Some(Errno::ECONNREFUSED));
    let file = Address::path("/tmp");
    check_eq!(client(&file).err(), Some(Errno::ECONNREFUSED));
    Ok(())
}

fn unix_connect_to_itself_is_econnrefused_and_einval_if_it_listens() -> Outcome {
    let address = hidden("unix_itself");
    let socket = net::socket(SOCK_STREAM)?;
    net::bind(&socket, &address)?;
    check_eq!(net::connect(&socket, &address), Err(Errno::ECONNREFUSED));
    net::listen(&socket, 1)?;
    check_eq!(net::connect(&socket, &address), Err(Errno::EINVAL));
    let (one, _other) = net::pair(SOCK_STREAM)?;
    let address = hidden("unix_itself_connected");
    net::bind(&one, &address)?;
    check_eq!(net::connect(&one, &address), Err(Errno::ECONNREFUSED));
    Ok(())
}

fn unix_connect_to_another_type_is_eprototype() -> Outcome {
    let (name, socket) = (path("type"), net::socket(SOCK_DGRAM)?);
    net::bind(&socket, &name)?;
    check_eq!(client(&name).err(), Some(Errno::EPROTOTYPE));
    Ok(())
}

fn unix_connect_twice_is_eisconn() -> Outcome {
    let name = hidden("twice");
    let _listener = listener(&name, 5)?;
    let socket = client(&name)?;
    check_eq!(net::connect(&socket, &name), Err(Errno::EISCONN));
    Ok(())
}

fn unix_connect_full_backlog_nonblocking_is_eagain() -> Outcome {
    let name = hidden("full");
    let listener = listener(&name, 0)?;
    let _first = client(&name)?;
    let second = net::socket(SOCK_STREAM | SOCK_NONBLOCK)?;
    check_eq!(net::connect(&second, &name), Err(Errno::EAGAIN));
    net::accept(&listener, 0)?;
    net::connect(&second, &name)?;
    Ok(())
}

fn unix_connect_full_backlog_waits_for_room() -> Outcome {
    let name = hidden("room");
    let listener = listener(&name, 0)?;
    let _first = client(&name)?;
    let child = Blocker::start(|| i32::from(client(&name).is_err()))?;
    check!(child.blocked()?);
    net::accept(&listener, 0)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_connect_full_backlog_with_timeout_is_eagain() -> Outcome {
    let name = hidden("time");
    let _listener = listener(&name, 0)?;
    let _first = client(&name)?;
    let second = net::socket(SOCK_STREAM)?;
    net::set_timeout(&second, net::SO_SNDTIMEO, Duration::from_millis(20))?;
    check_eq!(net::connect(&second, &name), Err(Errno::EAGAIN));
    Ok(())
}

fn unix_connect_waiting_ends_when_the_listener_closes() -> Outcome {
    let name = hidden("gone");
    let listener = listener(&name, 0)?;
    let number = listener.fd();
    let _first = client(&name)?;
    let child = Blocker::start(|| {
        let _ = fd::close(number);
        i32::from(client(&name).err() != Some(Errno::ECONNREFUSED))
    })?;
    check!(child.blocked()?);
    drop(listener);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_connect_needs_write_permission() -> Outcome {
    let name = path("permission");
    let _listener = listener(&name, 5)?;
    let text = format!("/tmp/permission.{}", process::id());
    fs::set_permissions(&text, 0o555)?;
    let status = in_child(|| {
        if call(nr::SETUID, [1000]).is_err() {
            return 77;
        }
        i32::from(client(&name).err() != Some(Errno::EACCES))
    })?;
    check!(status == Status::Exited(0) || status == Status::Exited(77));
    Ok(())
}

fn unix_bind_used_name_is_eaddrinuse() -> Outcome {
    for name in [path("used"), hidden("used")] {
        let (first, second) = (net::socket(SOCK_STREAM)?, net::socket(SOCK_STREAM)?);
        net::bind(&first, &name)?;
        check_eq!(net::bind(&second, &name), Err(Errno::EADDRINUSE));
        drop(first);
        let again = net::bind(&second, &name);
        // A path stays, an abstract name goes with its socket.
        let path = name.bytes().first() != Some(&0);
        check_eq!(again.err(), path.then_some(Errno::EADDRINUSE));
    }
    Ok(())
}

fn unix_bind_twice_is_einval() -> Outcome {
    let socket = net::socket(SOCK_STREAM)?;
    net::bind(&socket, &hidden("first"))?;
    check_eq!(net::bind(&socket, &hidden("second")), Err(Errno::EINVAL));
    check_eq!(net::bind(&socket, &path("second")), Err(Errno::EINVAL));
    check_eq!(net::bind(&socket, &hidden("first")), Err(Errno::EINVAL));
    let socket = net::socket(SOCK_STREAM)?;
    let name = path("twice");
    net::bind(&socket, &name)?;
    check_eq!(net::bind(&socket, &name), Err(Errno::EADDRINUSE));
    Ok(())
}

fn unix_bind_makes_a_socket_inode() -> Outcome {
    let (name, socket) = (path("inode"), net::socket(SOCK_STREAM)?);
    net::bind(&socket, &name)?;
    check_eq!(net::local_address(&socket)?, name);
    let text = format!("/tmp/inode.{}", process::id());
    check!(fs::metadata(&text)?.kind() == fs::Kind::Socket);
    check_eq!(fs::open(&text).err(), Some(Errno::ENXIO));
    fs::remove_file(&text)?;
    Ok(())
}

fn unix_bind_fills_sun_path_to_108() -> Outcome {
    let mut text = format!("/tmp/{}.", process::id());
    while text.len() < 108 {
        text.push('x');
    }
    let (name, socket) = (Address::raw(text.as_bytes()), net::socket(SOCK_STREAM)?);
    check_eq!(name.length(), 110);
    net::bind(&socket, &name)?;
    net::listen(&socket, 1)?;
    client(&name)?;
    check_eq!(net::local_address(&socket)?.length(), 111);
    fs::remove_file(&text)?;
    Ok(())
}

fn unix_bind_abstract_names_may_have_any_bytes() -> Outcome {
    let name = Address::hidden([b'a', 0, 255, process::id() as u8, 0]);
    let _listener = listener(&name, 5)?;
    let socket = client(&name)?;
    check_eq!(net::peer_address(&socket)?, name);
    let shorter = Address::hidden([b'a', 0, 255, process::id() as u8]);
    check_eq!(client(&shorter).err(), Some(Errno::ECONNREFUSED));
    Ok(())
}

fn unix_bind_to_nothing_takes_an_abstract_name() -> Outcome {
    let socket = net::socket(SOCK_STREAM)?;
    check_eq!(net::local_address(&socket)?, Address::unnamed());
    net::bind(&socket, &Address::unnamed())?;
    let name = net::local_address(&socket)?;
    check_eq!(name.bytes().len(), 6);
    check_eq!(name.bytes()[0], 0);
    check!(name.bytes()[1..].iter().all(u8::is_ascii_hexdigit));
    net::listen(&socket, 1)?;
    client(&name)?;
    Ok(())
}

fn unix_close_leaves_the_path() -> Outcome {
    let name = path("stays");
    drop(listener(&name, 5)?);
    let text = format!("/tmp/stays.{}", process::id());
    check!(fs::metadata(&text)?.kind() == fs::Kind::Socket);
    fs::remove_file(&text)?;
    check_eq!(client(&name).err(), Some(Errno::ENOENT));
    Ok(())
}

fn unix_names_of_bad_length_or_family_are_einval() -> Outcome {
    let socket = net::socket(SOCK_STREAM)?;
    check_eq!(
        net::connect(&socket, &Address::unnamed()),
        Err(Errno::EINVAL)
    );
    check_eq!(
        net::connect(&socket, &path("x").of_family(2)),
        Err(Errno::EINVAL)
    );
    let name = path("x");
    let at = &raw const name as usize;
    let number = socket.fd() as usize;
    for length in [0, 1, 111, 200, usize::MAX] {
        check_eq!(call(nr::BIND, [number, at, length]), Err(Errno::EINVAL));
    }
    check_eq!(call(nr::BIND, [number, 8, 20]), Err(Errno::EFAULT));
    Ok(())
}

fn unix_accept_unlistened_is_einval() -> Outcome {
    check_eq!(
        net::accept(net::socket(SOCK_STREAM)?, 0).err(),
        Some(Errno::EINVAL)
    );
    let (one, _other) = net::pair(SOCK_SEQPACKET)?;
    check_eq!(net::accept(&one, 0).err(), Some(Errno::EINVAL));
    Ok(())
}

fn unix_listen_on_datagrams_is_eopnotsupp() -> Outcome {
    let socket = net::socket(SOCK_DGRAM)?;
    net::bind(&socket, &Address::unnamed())?;
    check_eq!(net::listen(&socket, 1), Err(Errno::EOPNOTSUPP));
    check_eq!(net::accept(&socket, 0).err(), Some(Errno::EOPNOTSUPP));
    Ok(())
}

fn unix_listen_needs_a_name() -> Outcome {
    check_eq!(
        net::listen(net::socket(SOCK_STREAM)?, 1),
        Err(Errno::EINVAL)
    );
    let (one, _other) = net::pair(SOCK_STREAM)?;
    net::bind(&one, &Address::unnamed())?;
    check_eq!(net::listen(&one, 1), Err(Errno::EINVAL));
    Ok(())
}

fn unix_accept_empty_nonblocking_is_eagain() -> Outcome {
    let listener = listener(&hidden("empty"), 5)?;
    fd::set_nonblocking(&listener, true)?;
    check_eq!(net::accept(&listener, 0).err(), Some(Errno::EAGAIN));
    Ok(())
}

fn unix_accept_waits_for_a_connection() -> Outcome {
    let name = hidden("wait");
    let listener = listener(&name, 5)?;
    let child = Blocker::start(|| match net::accept(&listener, 0) {
        Ok(socket) => i32::from(io::write(&socket, b"hi") != Ok(2)),
        Err(_) => 1,
    })?;
    check!(child.blocked()?);
    let socket = client(&name)?;
    let mut text = [0; 2];
    check_eq!(io::read(&socket, &mut text)?, 2);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_accept_interrupted_is_eintr_or_restarted() -> Outcome {
    let name = hidden("signal");
    let listener = listener(&name, 5)?;
    for (flags, ends) in [(0, true), (SA_RESTART, false)] {
        let child = Blocker::start(|| {
            let _ = signal::set(SIGUSR1, Action::Call(ignore), flags, SignalSet::EMPTY);
            let accepted = net::accept(&listener, 0);
            i32::from(accepted.err() != ends.then_some(Errno::EINTR))
        })?;
        process::kill(child.pid(), SIGUSR1)?;
        crate::support::settle();
        check_eq!(child.blocked()?, !ends);
        if ends {
            continue;
        }
        client(&name)?;
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

fn unix_accept_with_timeout_is_eagain_and_never_restarted() -> Outcome {
    let listener = listener(&hidden("timeout"), 5)?;
    net::set_timeout(&listener, net::SO_RCVTIMEO, Duration::from_millis(20))?;
    check_eq!(net::accept(&listener, 0).err(), Some(Errno::EAGAIN));
    net::set_timeout(&listener, net::SO_RCVTIMEO, Duration::from_secs(60))?;
    let child = Blocker::start(|| {
        let _ = signal::set(SIGUSR1, Action::Call(ignore), SA_RESTART, SignalSet::EMPTY);
        i32::from(net::accept(&listener, 0).err() != Some(Errno::EINTR))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_accept_without_a_free_descriptor_keeps_the_connection() -> Outcome {
    let name = hidden("emfile");
    let listener = listener(&name, 5)?;
    let client = client(&name)?;
    let mut filler = Vec::new();
    while let Ok(copy) = fd::dup(0) {
        filler.push(copy);
    }
    check_eq!(net::accept(&listener, 0).err(), Some(Errno::EMFILE));
    drop(filler);
    let server = net::accept(&listener, 0)?;
    check_eq!(io::write(&server, b"x")?, 1);
    check_eq!(io::read(&client, &mut [0])?, 1);
    Ok(())
}

fn unix_accept_names_the_peer() -> Outcome {
    let (name, own) = (hidden("server"), hidden("client"));
    let listener = listener(&name, 5)?;
    let socket = net::socket(SOCK_STREAM)?;
    net::bind(&socket, &own)?;
    net::connect(&socket, &name)?;
    let (server, from) = net::accept_from(&listener, 0)?;
    check_eq!(from, own);
    check_eq!(net::peer_address(&server)?, own);
    check_eq!(net::local_address(&server)?, name);
    check_eq!(net::peer_address(&socket)?, name);
    let _unnamed = client(&name)?;
    check_eq!(net::accept_from(&listener, 0)?.1, Address::unnamed());
    Ok(())
}

fn unix_listener_polls_readable_when_somebody_waits() -> Outcome {
    let name = hidden("poll");
    let listener = listener(&name, 5)?;
    check_eq!(now(&listener)?, 0);
    check_eq!(now(&net::socket(SOCK_STREAM)?)?, POLLOUT | POLLHUP);
    let _client = client(&name)?;
    check_eq!(now(&listener)?, POLLIN);
    check_eq!(net::option(&listener, net::SO_ACCEPTCONN)?, 1);
    check_eq!(net::option(&_client, net::SO_ACCEPTCONN)?, 0);
    Ok(())
}

fn unix_listener_closing_resets_who_was_not_accepted() -> Outcome {
    let name = hidden("embryo");
    let listener = listener(&name, 5)?;
    let client = client(&name)?;
    check_eq!(io::write(&client, b"hello")?, 5);
    drop(listener);
    check_eq!(io::read(&client, &mut [0]), Err(Errno::ECONNRESET));
    check_eq!(io::read(&client, &mut [0])?, 0);
    Ok(())
}

fn unix_listener_is_no_place_for_bytes() -> Outcome {
    let listener = listener(&hidden("bytes"), 5)?;
    check_eq!(io::read(&listener, &mut [0]), Err(Errno::EINVAL));
    check_eq!(io::write(&listener, b"x"), Err(Errno::ENOTCONN));
    check_eq!(io::readable_bytes(&listener), Err(Errno::EINVAL));
    check_eq!(net::peer_address(&listener), Err(Errno::ENOTCONN));
    Ok(())
}

fn unix_calls_on_other_files_are_enotsock() -> Outcome {
    let (reader, _writer) = fd::pipe()?;
    check_eq!(net::send(&reader, b"x", 0), Err(Errno::ENOTSOCK));
    check_eq!(net::receive(&reader, &mut [0], 0), Err(Errno::ENOTSOCK));
    check_eq!(net::listen(&reader, 1), Err(Errno::ENOTSOCK));
    check_eq!(net::shutdown(&reader, 0), Err(Errno::ENOTSOCK));
    check_eq!(net::local_address(-1), Err(Errno::EBADF));
    Ok(())
}
