//! Unix-domain sockets: datagrams, sequenced packets, descriptors and credentials in messages.

use core::sync::atomic::{AtomicI32, Ordering};
use core::time::Duration;

use halyard_rt::net::{
    self, Address, Control, Credentials, MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_OOB,
    MSG_PEEK, MSG_TRUNC, MSG_WAITFORONE, SHUT_RD, SHUT_WR, SOCK_DGRAM, SOCK_NONBLOCK,
    SOCK_SEQPACKET, SOCK_STREAM,
};
use halyard_rt::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, PollFd, poll};
use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, SIGPIPE, SignalSet};
use halyard_rt::{fd, io, nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq};
use crate::system::{live_objects, live_objects_settled};

suite!(
    unix_seqpacket_keeps_bounds,
    unix_seqpacket_msg_trunc_tells_and_cuts,
    unix_seqpacket_closed_peer_is_epipe_without_sigpipe,
    unix_seqpacket_reset_comes_first,
    unix_seqpacket_not_connected_is_enotconn,
    unix_seqpacket_connects_and_accepts,
    unix_dgram_keeps_bounds_and_names_the_sender,
    unix_dgram_too_long_is_emsgsize,
    unix_dgram_dead_peer_is_econnrefused,
    unix_dgram_shut_for_sending_is_epipe_whoever_it_is_for,
    unix_dgram_empty_message_is_a_message,
    unix_dgram_nobody_to_send_to_is_enotconn_enoent_econnrefused,
    unix_dgram_full_queue_is_eagain_and_wakes,
    unix_dgram_waiting_send_ends_when_the_receiver_closes,
    unix_dgram_connected_takes_from_its_peer_alone,
    unix_dgram_unconnects_by_af_unspec,
    unix_dgram_shutdown_is_epipe_for_senders,
    unix_dgram_fionread_tells_the_first,
    unix_dgram_peek_keeps_the_message,
    unix_many_messages_in_one_call,
    unix_oob_is_refused_for_packets,
    unix_rights_pass_an_open_file,
    unix_rights_share_the_open_description,
    unix_rights_254_are_einval_and_253_pass,
    unix_rights_bad_descriptor_is_ebadf,
    unix_rights_without_room_are_closed_and_ctrunc,
    unix_rights_some_room_takes_some,
    unix_rights_cloexec_on_request,
    unix_rights_read_without_control_closes_them,
    unix_rights_end_a_stream_receive,
    unix_rights_peek_gives_others_each_time,
    unix_rights_beyond_the_limit_are_ctrunc,
    unix_rights_unread_are_closed_with_the_socket,
    unix_rights_cycle_is_collected,
    unix_rights_cycle_of_two_is_collected,
    unix_rights_chain_is_closed,
    unix_rights_that_can_be_reached_are_kept,
    unix_credentials_come_with_passcred,
    unix_credentials_of_others_are_refused,
    unix_credentials_malformed_are_einval,
    unix_passcred_takes_a_name,
);

static CAUGHT: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: i32) {
    CAUGHT.store(number, Ordering::SeqCst);
}

fn hidden(name: &str) -> Address {
    Address::hidden(format!("{name}.{}", process::id()))
}

fn now(fd: &Fd) -> Result<i16> {
    let mut fds = [PollFd::new(fd.fd(), POLLIN | POLLOUT | POLLRDHUP)];
    poll(&mut fds, Some(Duration::ZERO))?;
    Ok(fds[0].revents)
}

/// A datagram socket with a name.
fn mailbox(name: &Address) -> Result<Fd> {
    let socket = net::socket(SOCK_DGRAM)?;
    net::bind(&socket, name)?;
    Ok(socket)
}

/// Whether a descriptor is open.
fn is_open(fd: i32) -> bool {
    fd::flags(fd).is_ok()
}

fn text(socket: &Fd) -> Result<Vec<u8>> {
    let mut text = vec![0; 100];
    let count = net::receive(socket, &mut text, MSG_DONTWAIT)?;
    text.truncate(count);
    Ok(text)
}

fn unix_seqpacket_keeps_bounds() -> Outcome {
    let (one, other) = net::pair(SOCK_SEQPACKET)?;
    io::write(&one, b"hello")?;
    io::write(&one, b"world")?;
    check_eq!(text(&other)?, b"hello");
    check_eq!(text(&other)?, b"world");
    check_eq!(text(&other), Err(Errno::EAGAIN));
    Ok(())
}

fn unix_seqpacket_msg_trunc_tells_and_cuts() -> Outcome {
    let (one, other) = net::pair(SOCK_SEQPACKET)?;
    for _ in 0..2 {
        io::write(&one, b"hello")?;
    }
    io::write(&one, b"next")?;
    let received = net::receive_message(&other, &mut [0; 2], 0, 0)?;
    check_eq!((received.count, received.flags), (2, MSG_TRUNC));
    check_eq!(net::receive(&other, &mut [0; 2], MSG_TRUNC)?, 5);
    check_eq!(text(&other)?, b"next");
    Ok(())
}

fn unix_seqpacket_closed_peer_is_epipe_without_sigpipe() -> Outcome {
    let (one, other) = net::pair(SOCK_SEQPACKET)?;
    drop(other);
    signal::set(SIGPIPE, Action::Call(note), 0, SignalSet::EMPTY)?;
    check_eq!(io::write(&one, b"x"), Err(Errno::EPIPE));
    check_eq!(CAUGHT.load(Ordering::SeqCst), 0);
    check_eq!(io::read(&one, &mut [0; 9])?, 0);
    let all = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    check_eq!(now(&one)?, all);
    Ok(())
}

fn unix_seqpacket_reset_comes_first() -> Outcome {
    let (one, other) = net::pair(SOCK_SEQPACKET)?;
    io::write(&one, b"unread")?;
    io::write(&other, b"zz")?;
    drop(other);
    check!(now(&one)? & POLLERR != 0);
    check_eq!(text(&one), Err(Errno::ECONNRESET));
    check_eq!(text(&one)?, b"zz");
    check_eq!(text(&one)?, b"");
    Ok(())
}

fn unix_seqpacket_not_connected_is_enotconn() -> Outcome {
    let socket = net::socket(SOCK_SEQPACKET)?;
    check_eq!(io::write(&socket, b"x"), Err(Errno::ENOTCONN));
    check_eq!(io::read(&socket, &mut [0]), Err(Errno::ENOTCONN));
    check_eq!(now(&socket)?, POLLOUT | POLLHUP);
    Ok(())
}

fn unix_seqpacket_connects_and_accepts() -> Outcome {
    let name = hidden("packets");
    let listener = net::socket(SOCK_SEQPACKET)?;
    net::bind(&listener, &name)?;
    net::listen(&listener, 5)?;
    let client = net::socket(SOCK_SEQPACKET)?;
    net::connect(&client, &name)?;
    io::write(&client, b"one")?;
    io::write(&client, b"two")?;
    let server = net::accept(&listener, 0)?;
    check_eq!(text(&server)?, b"one");
    check_eq!(text(&server)?, b"two");
    Ok(())
}

fn unix_dgram_keeps_bounds_and_names_the_sender() -> Outcome {
    let (to, from) = (hidden("to"), hidden("from"));
    let (receiver, sender) = (mailbox(&to)?, mailbox(&from)?);
    net::send_to(&sender, b"hello", 0, &to)?;
    net::send_to(net::socket(SOCK_DGRAM)?, b"unnamed", 0, &to)?;
    let mut buffer = [0; 100];
    let (count, name) = net::receive_from(&receiver, &mut buffer, 0)?;
    check_eq!((&buffer[..count], name), (&b"hello"[..], from));
    let (count, name) = net::receive_from(&receiver, &mut buffer, 0)?;
    check_eq!((&buffer[..count], name.length()), (&b"unnamed"[..], 0));
    Ok(())
}

fn unix_dgram_too_long_is_emsgsize() -> Outcome {
    let (one, _other) = net::pair(SOCK_DGRAM)?;
    let size = net::option(&one, net::SO_SNDBUF)? as usize;
    check_eq!(io::write(&one, &vec![0; size]), Err(Errno::EMSGSIZE));
    check_eq!(io::write(&one, &vec![0; size - 32])?, size - 32);
    Ok(())
}

fn unix_dgram_dead_peer_is_econnrefused() -> Outcome {
    let (one, other) = net::pair(SOCK_DGRAM)?;
    drop(other);
    check_eq!(now(&one)?, POLLOUT);
    check_eq!(io::write(&one, b"x"), Err(Errno::ECONNREFUSED));
    check_eq!(io::write(&one, b"x"), Err(Errno::ENOTCONN));
    Ok(())
}

fn unix_dgram_shut_for_sending_is_epipe_whoever_it_is_for() -> Outcome {
    let (one, _other) = net::pair(SOCK_DGRAM)?;
    net::shutdown(&one, SHUT_WR)?;
    let nobody = Address::path("/tmp/nobody-at-all");
    check_eq!(net::send_to(&one, b"x", 0, &nobody), Err(Errno::EPIPE));
    Ok(())
}

fn unix_dgram_empty_message_is_a_message() -> Outcome {
    let (one, other) = net::pair(SOCK_DGRAM)?;
    check_eq!(io::write(&one, b"")?, 0);
    io::write(&one, b"next")?;
    check_eq!(net::receive(&other, &mut [0; 9], 0)?, 0);
    // Even without room a message is taken.
    check_eq!(net::receive(&other, &mut [], 0)?, 0);
    check_eq!(text(&other), Err(Errno::EAGAIN));
    Ok(())
}

fn unix_dgram_nobody_to_send_to_is_enotconn_enoent_econnrefused() -> Outcome {
    let socket = net::socket(SOCK_DGRAM)?;
    check_eq!(io::write(&socket, b"x"), Err(Errno::ENOTCONN));
    let missing = Address::path("/tmp/nobody-at-all");
    check_eq!(net::send_to(&socket, b"x", 0, &missing), Err(Errno::ENOENT));
    let missing = hidden("nobody");
    check_eq!(
        net::send_to(&socket, b"x", 0, &missing),
        Err(Errno::ECONNREFUSED)
    );
    let listener = net::socket(SOCK_STREAM)?;
    let path = Address::path(format!("/tmp/stream.{}", process::id()));
    net::bind(&listener, &path)?;
    check_eq!(
        net::send_to(&socket, b"x", 0, &path),
        Err(Errno::EPROTOTYPE)
    );
    Ok(())
}

fn unix_dgram_full_queue_is_eagain_and_wakes() -> Outcome {
    let name = hidden("full");
    let (receiver, sender) = (mailbox(&name)?, net::socket(SOCK_DGRAM)?);
    let mut count = 0;
    while net::send_to(&sender, b"x", MSG_DONTWAIT, &name).is_ok() {
        count += 1;
    }
    check!(count > 0);
    net::connect(&sender, &name)?;
    check_eq!(now(&sender)?, 0);
    let child = Blocker::start(|| i32::from(net::send_to(&sender, b"y", 0, &name) != Ok(1)))?;
    check!(child.blocked()?);
    text(&receiver)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(now(&sender)?, 0);
    let child = Blocker::start(|| {
        let mut fds = [PollFd::new(sender.fd(), POLLOUT)];
        i32::from(poll(&mut fds, None) != Ok(1))
    })?;
    check!(child.blocked()?);
    text(&receiver)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_dgram_waiting_send_ends_when_the_receiver_closes() -> Outcome {
    let name = hidden("closing");
    let (receiver, sender) = (mailbox(&name)?, net::socket(SOCK_DGRAM)?);
    let number = receiver.fd();
    while net::send_to(&sender, b"x", MSG_DONTWAIT, &name).is_ok() {}
    let child = Blocker::start(|| {
        let _ = fd::close(number);
        let sent = net::send_to(&sender, b"y", 0, &name);
        i32::from(sent != Err(Errno::ECONNREFUSED))
    })?;
    check!(child.blocked()?);
    drop(receiver);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_dgram_connected_takes_from_its_peer_alone() -> Outcome {
    let (first, second) = (hidden("first"), hidden("second"));
    let (one, other) = (mailbox(&first)?, mailbox(&second)?);
    net::connect(&one, &second)?;
    let third = net::socket(SOCK_DGRAM)?;
    check_eq!(net::send_to(&third, b"x", 0, &first), Err(Errno::EPERM));
    check_eq!(net::connect(&third, &first), Err(Errno::EPERM));
    net::send_to(&other, b"x", 0, &first)?;
    check_eq!(text(&one)?, b"x");
    check_eq!(net::peer_address(&one)?, second);
    Ok(())
}

fn unix_dgram_unconnects_by_af_unspec() -> Outcome {
    let (one, _other) = net::pair(SOCK_DGRAM)?;
    net::connect(&one, &Address::unnamed().of_family(0))?;
    check_eq!(io::write(&one, b"x"), Err(Errno::ENOTCONN));
    Ok(())
}

fn unix_dgram_shutdown_is_epipe_for_senders() -> Outcome {
    let (one, other) = net::pair(SOCK_DGRAM)?;
    net::shutdown(&other, SHUT_RD)?;
    check_eq!(io::write(&one, b"x"), Err(Errno::EPIPE));
    check_eq!(io::read(&other, &mut [0])?, 0);
    check_eq!(text(&other), Err(Errno::EAGAIN));
    check_eq!(io::write(&other, b"back")?, 4);
    net::shutdown(&other, SHUT_WR)?;
    check_eq!(io::write(&other, b"x"), Err(Errno::EPIPE));
    Ok(())
}

fn unix_dgram_fionread_tells_the_first() -> Outcome {
    let (one, other) = net::pair(SOCK_DGRAM)?;
    io::write(&one, b"hello")?;
    io::write(&one, b"wor")?;
    check_eq!(io::readable_bytes(&other)?, 5);
    Ok(())
}

fn unix_dgram_peek_keeps_the_message() -> Outcome {
    let (one, other) = net::pair(SOCK_DGRAM)?;
    io::write(&one, b"hello")?;
    check_eq!(net::receive(&other, &mut [0; 2], MSG_PEEK)?, 2);
    check_eq!(text(&other)?, b"hello");
    Ok(())
}

fn unix_many_messages_in_one_call() -> Outcome {
    let (one, other) = net::pair(SOCK_SEQPACKET)?;
    check_eq!(net::send_many(&one, &[b"a", b"bb", b"ccc"], 0)?, 3);
    let (mut a, mut b, mut c, mut d) = ([0; 9], [0; 9], [0; 9], [0; 9]);
    let mut buffers = [&mut a[..], &mut b[..], &mut c[..], &mut d[..]];
    let lengths = net::receive_many(&other, &mut buffers, MSG_WAITFORONE)?;
    check_eq!(lengths, [1, 2, 3]);
    check_eq!(&c[..3], b"ccc");
    let empty = net::receive_many(&other, &mut [&mut a[..]], MSG_DONTWAIT);
    check_eq!(empty, Err(Errno::EAGAIN));
    let child = Blocker::start(|| {
        let (mut a, mut b) = ([0; 9], [0; 9]);
        let lengths = net::receive_many(&other, &mut [&mut a[..], &mut b[..]], 0);
        i32::from(lengths != Ok(vec![4, 5]))
    })?;
    io::write(&one, b"dddd")?;
    check!(child.blocked()?);
    io::write(&one, b"eeeee")?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_oob_is_refused_for_packets() -> Outcome {
    let (one, other) = net::pair(SOCK_DGRAM)?;
    check_eq!(net::send(&one, b"x", MSG_OOB), Err(Errno::EOPNOTSUPP));
    check_eq!(
        net::receive(&other, &mut [0], MSG_OOB),
        Err(Errno::EOPNOTSUPP)
    );
    Ok(())
}

fn pass(socket: &Fd, fds: &[i32]) -> Result<usize> {
    net::send_message(socket, b"x", &Control::new().descriptors(fds), 0)
}

/// Room for that many descriptors.
const fn room(count: usize) -> usize {
    16 + count * 4
}

fn unix_rights_pass_an_open_file() -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = net::pair(kind)?;
        let (reader, writer) = fd::pipe()?;
        pass(&one, &[writer.fd()])?;
        drop(writer);
        let received = net::receive_message(&other, &mut [0; 9], room(1), 0)?;
        check_eq!(
            (received.count, received.flags, received.fds.len()),
            (1, 0, 1)
        );
        check_eq!(received.control, room(1));
        io::write(&received.fds[0], b"through")?;
        check_eq!(io::read(&reader, &mut [0; 9])?, 7);
        drop(received);
        check_eq!(io::read(&reader, &mut [0; 9])?, 0);
    }
    Ok(())
}

fn unix_rights_share_the_open_description() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    pass(&one, &[one.fd()])?;
    let received = net::receive_message(&other, &mut [0; 9], room(1), 0)?;
    fd::set_nonblocking(&one, true)?;
    check!(fd::flags(&received.fds[0])? & halyard_rt::open::O_NONBLOCK != 0);
    Ok(())
}

fn unix_rights_254_are_einval_and_253_pass() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    check_eq!(pass(&one, &[0; 254]), Err(Errno::EINVAL));
    let two = Control::new().descriptors(&[0; 200]).descriptors(&[0; 54]);
    check_eq!(net::send_message(&one, b"x", &two, 0), Err(Errno::EINVAL));
    pass(&one, &[0; 253])?;
    let received = net::receive_message(&other, &mut [0; 9], room(253), 0)?;
    check_eq!(received.fds.len(), 253);
    Ok(())
}

fn unix_rights_bad_descriptor_is_ebadf() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    check_eq!(pass(&one, &[0, 999]), Err(Errno::EBADF));
    check_eq!(pass(&one, &[-1]), Err(Errno::EBADF));
    check_eq!(text(&other), Err(Errno::EAGAIN));
    // Only there it comes first that nobody would receive it.
    let alone = |kind| net::socket(kind).and_then(|socket| pass(&socket, &[999]));
    check_eq!(alone(SOCK_SEQPACKET).err(), Some(Errno::ENOTCONN));
    check_eq!(alone(SOCK_STREAM).err(), Some(Errno::EBADF));
    check_eq!(alone(SOCK_DGRAM).err(), Some(Errno::EBADF));
    Ok(())
}

fn unix_rights_without_room_are_closed_and_ctrunc() -> Outcome {
    for room in [0, 16] {
        let (one, other) = net::pair(SOCK_STREAM)?;
        let (reader, writer) = fd::pipe()?;
        pass(&one, &[writer.fd()])?;
        drop(writer);
        let received = net::receive_message(&other, &mut [0; 9], room, 0)?;
        check_eq!((received.flags, received.fds.len()), (MSG_CTRUNC, 0));
        check_eq!(io::read(&reader, &mut [0; 9])?, 0);
    }
    Ok(())
}

fn unix_rights_some_room_takes_some() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    pass(&one, &[0, 0, 0])?;
    let received = net::receive_message(&other, &mut [0; 9], room(2), 0)?;
    check_eq!((received.flags, received.fds.len()), (MSG_CTRUNC, 2));
    Ok(())
}

fn unix_rights_cloexec_on_request() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    pass(&one, &[0])?;
    let received = net::receive_message(&other, &mut [0; 9], room(1), MSG_CMSG_CLOEXEC)?;
    check!(fd::cloexec(&received.fds[0])?);
    pass(&one, &[0])?;
    let received = net::receive_message(&other, &mut [0; 9], room(1), 0)?;
    check!(!fd::cloexec(&received.fds[0])?);
    Ok(())
}

fn unix_rights_read_without_control_closes_them() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    let (reader, writer) = fd::pipe()?;
    pass(&one, &[writer.fd()])?;
    drop(writer);
    check_eq!(io::read(&other, &mut [0; 9])?, 1);
    check_eq!(io::read(&reader, &mut [0; 9])?, 0);
    Ok(())
}

fn unix_rights_end_a_stream_receive() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    io::write(&one, b"a")?;
    net::send_message(&one, b"bb", &Control::new().descriptors(&[0]), 0)?;
    io::write(&one, b"c")?;
    let received = net::receive_message(&other, &mut [0; 9], room(1), 0)?;
    check_eq!((received.count, received.fds.len()), (3, 1));
    let received = net::receive_message(&other, &mut [0; 9], room(1), 0)?;
    check_eq!((received.count, received.fds.len()), (1, 0));
    Ok(())
}

fn unix_rights_peek_gives_others_each_time() -> Outcome {
    let (one, other) = net::pair(SOCK_DGRAM)?;
    pass(&one, &[0])?;
    let first = net::receive_message(&other, &mut [0; 9], room(1), MSG_PEEK)?;
    let second = net::receive_message(&other, &mut [0; 9], room(1), 0)?;
    check_eq!((first.fds.len(), second.fds.len()), (1, 1));
    check!(first.fds[0] != second.fds[0]);
    Ok(())
}

fn unix_rights_beyond_the_limit_are_ctrunc() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    pass(&one, &[0, 0])?;
    let mut filler = Vec::new();
    while let Ok(copy) = fd::dup(0) {
        filler.push(copy);
    }
    filler.pop();
    let received = net::receive_message(&other, &mut [0; 9], room(2), 0)?;
    check_eq!((received.flags, received.fds.len()), (MSG_CTRUNC, 1));
    Ok(())
}

fn unix_rights_unread_are_closed_with_the_socket() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    let (reader, writer) = fd::pipe()?;
    pass(&one, &[writer.fd()])?;
    drop((writer, other));
    check_eq!(io::read(&reader, &mut [0; 9])?, 0);
    Ok(())
}

fn unix_rights_cycle_is_collected() -> Outcome {
    let before = live_objects();
    let (reader, writer) = fd::pipe()?;
    let (one, other) = net::pair(SOCK_STREAM)?;
    // `one` is on the way to itself, with an end of the pipe.
    pass(&other, &[one.fd(), writer.fd()])?;
    drop(writer);
    drop(other);
    drop(one);
    // Some kernels collect when the next socket closes.
    drop(net::socket(SOCK_STREAM)?);
    let mut fds = [PollFd::new(reader.fd(), POLLIN)];
    check_eq!(poll(&mut fds, Some(Duration::from_secs(5)))?, 1);
    check_eq!(io::read(&reader, &mut [0])?, 0);
    drop(reader);
    check_eq!(live_objects_settled(&before), before);
    Ok(())
}

fn unix_rights_cycle_of_two_is_collected() -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (reader, writer) = fd::pipe()?;
        let ((a, b), (c, d)) = (net::pair(kind)?, net::pair(kind)?);
        pass(&a, &[c.fd(), d.fd(), writer.fd()])?;
        pass(&c, &[a.fd(), b.fd()])?;
        drop((a, b, c, d, writer));
        drop(net::socket(SOCK_STREAM)?);
        let mut fds = [PollFd::new(reader.fd(), POLLIN)];
        check_eq!(poll(&mut fds, Some(Duration::from_secs(5)))?, 1);
        check_eq!(io::read(&reader, &mut [0])?, 0);
    }
    Ok(())
}

fn unix_rights_chain_is_closed() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    let (mut last, start) = net::pair(SOCK_STREAM)?;
    for _ in 0..200 {
        let (next, other) = net::pair(SOCK_STREAM)?;
        pass(&last, &[next.fd()])?;
        last = other;
    }
    pass(&last, &[writer.fd()])?;
    drop((writer, last));
    drop(start);
    let mut fds = [PollFd::new(reader.fd(), POLLIN)];
    check_eq!(poll(&mut fds, Some(Duration::from_secs(5)))?, 1);
    Ok(())
}

fn unix_rights_that_can_be_reached_are_kept() -> Outcome {
    let ((a, b), (c, d)) = (net::pair(SOCK_STREAM)?, net::pair(SOCK_STREAM)?);
    // `d` is on the way to itself, but on the way to `b` as well.
    pass(&c, &[d.fd()])?;
    pass(&a, &[d.fd()])?;
    drop((a, c, d));
    drop(net::socket(SOCK_STREAM)?);
    let received = net::receive_message(&b, &mut [0; 9], room(1), 0)?;
    check_eq!(received.fds.len(), 1);
    let inner = net::receive_message(&received.fds[0], &mut [0; 9], room(1), 0)?;
    check_eq!((inner.count, inner.fds.len()), (1, 1));
    check!(is_open(inner.fds[0].fd()));
    Ok(())
}

fn unix_credentials_come_with_passcred() -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = net::pair(kind)?;
        io::write(&one, b"before")?;
        net::set_option(&other, net::SO_PASSCRED, 1)?;
        check_eq!(net::option(&other, net::SO_PASSCRED)?, 1);
        let before = net::receive_message(&other, &mut [0; 9], 32, 0)?;
        let who = before.credentials.map(|who| (who.pid, who.uid, who.gid));
        check_eq!(who, Some((0, 65534, 65534)));
        for _ in 0..2 {
            io::write(&one, b"x")?;
        }
        let received = net::receive_message(&other, &mut [0; 1], 32, 0)?;
        check_eq!(received.credentials.map(|who| who.pid), Some(process::id()));
        check_eq!(received.control, 32);
        // Without room for them that is told.
        let received = net::receive_message(&other, &mut [0; 1], 0, 0)?;
        check_eq!((received.count, received.flags), (1, MSG_CTRUNC));
    }
    Ok(())
}

fn unix_credentials_of_others_are_refused() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM)?;
    net::set_option(&other, net::SO_PASSCRED, 1)?;
    let claim = |pid, uid| {
        let who = Credentials { pid, uid, gid: 0 };
        net::send_message(&one, b"x", &Control::new().credentials(who), 0)
    };
    let child = process::spawn(|| {
        if call(nr::SETGID, [1000]).is_err() || call(nr::SETUID, [1000]).is_err() {
            return 0;
        }
        let own = Credentials {
            pid: process::id(),
            uid: 1000,
            gid: 1000,
        };
        let sent = net::send_message(&one, b"x", &Control::new().credentials(own), 0);
        i32::from(claim(process::id(), 0) != Err(Errno::EPERM) || sent != Ok(1))
    })?;
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(())
}

fn unix_credentials_malformed_are_einval() -> Outcome {
    let (one, _other) = net::pair(SOCK_STREAM)?;
    let send = |control: Control| net::send_message(&one, b"x", &control, 0);
    check_eq!(send(Control::new().item(1, 2, &[0; 4])), Err(Errno::EINVAL));
    check_eq!(
        send(Control::new().item(1, 99, &[0; 4])),
        Err(Errno::EINVAL)
    );
    check_eq!(send(Control::new().item(6, 99, &[0; 4]))?, 1);
    Ok(())
}

fn unix_passcred_takes_a_name() -> Outcome {
    let name = hidden("named");
    let receiver = mailbox(&name)?;
    let sender = net::socket(SOCK_DGRAM | SOCK_NONBLOCK)?;
    net::set_option(&sender, net::SO_PASSCRED, 1)?;
    net::send_to(&sender, b"x", 0, &name)?;
    let (_, from) = net::receive_from(&receiver, &mut [0; 9], 0)?;
    check_eq!(from.bytes().len(), 6);
    check_eq!(net::local_address(&sender)?, from);
    check_eq!(now(&sender)? & POLLHUP, 0);
    Ok(())
}
