//! Unix-domain stream sockets: bytes, ends, errors, readiness, time-outs.

use core::sync::atomic::{AtomicI32, Ordering};
use core::time::Duration;

use halyard_rt::net::{
    self, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, MSG_WAITALL, SHUT_RD, SHUT_RDWR, SHUT_WR,
    SOCK_STREAM,
};
use halyard_rt::poll::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, PollFd, poll};
use halyard_rt::process::{Pid, Status};
use halyard_rt::signal::{self, Action, SA_RESTART, SIGPIPE, SIGUSR1, SignalSet};
use halyard_rt::{fd, io, nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Edge, Outcome, Random, call, check, check_eq};
use crate::system::{live_objects, live_objects_settled};

suite!(
    unix_stream_bytes_go_both_ways,
    unix_stream_receive_takes_what_is_there,
    unix_stream_empty_read_waits,
    unix_stream_empty_read_nonblocking_is_eagain,
    unix_stream_dontwait_is_for_one_call,
    unix_stream_peek_keeps_bytes,
    unix_stream_waitall_waits_for_all,
    unix_stream_waitall_ends_with_the_stream,
    unix_stream_big_write_is_complete,
    unix_stream_full_nonblocking_is_short_then_eagain,
    unix_stream_closed_peer_gives_end,
    unix_stream_closed_with_unread_data_is_econnreset_once_then_0,
    unix_stream_so_error_takes_the_reset,
    unix_stream_write_to_closed_peer_is_epipe_and_sigpipe,
    unix_stream_write_of_nothing_to_closed_peer_is_epipe,
    unix_stream_nosignal_is_epipe_alone,
    unix_stream_writev_to_closed_peer_raises_sigpipe,
    unix_stream_shut_wr_gives_end_and_reverse_lives,
    unix_stream_shut_rd_stops_the_peer,
    unix_stream_shutdown_bad_how_is_einval,
    unix_stream_shutdown_ends_a_waiting_read,
    unix_stream_not_connected_is_enotconn_and_einval,
    unix_stream_address_on_send_is_eisconn_or_eopnotsupp,
    unix_stream_poll_shows_data_room_and_ends,
    unix_stream_poll_after_reset_shows_error,
    unix_stream_poll_wakes_when_data_comes,
    unix_stream_poll_wakes_when_room_comes,
    unix_stream_poll_wakes_when_the_peer_goes,
    unix_stream_end_waits_for_every_copy,
    unix_stream_end_comes_when_the_peer_is_killed,
    unix_stream_blocked_write_can_be_killed,
    unix_stream_read_interrupted_is_eintr_or_restarted,
    unix_stream_receive_timeout_is_eagain,
    unix_stream_receive_with_timeout_is_never_restarted,
    unix_stream_send_timeout_is_eagain,
    unix_stream_timeouts_are_checked,
    unix_stream_lowat_waits_for_that_much,
    unix_stream_fault_receives_nothing,
    unix_stream_fault_sends_nothing,
    unix_stream_is_a_socket_to_fstat_and_proc,
    unix_stream_positions_are_espipe,
    unix_stream_fionread_counts,
    unix_stream_options_tell_what_it_is,
    unix_stream_buffer_sizes_double_and_are_bounded,
    unix_stream_peer_credentials_are_the_makers,
    unix_stream_ping_pong_pairs_lose_no_wake_up,
    unix_stream_random_sizes_arrive_in_order,
    unix_stream_killed_users_leave_nothing,
);

static CAUGHT: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(number: i32) {
    CAUGHT.store(number, Ordering::SeqCst);
}

fn caught() -> i32 {
    CAUGHT.swap(0, Ordering::SeqCst)
}

fn catch(number: i32, flags: u32) -> Result<()> {
    signal::set(number, Action::Call(note), flags, SignalSet::EMPTY).map(drop)
}

fn pair() -> Result<(Fd, Fd)> {
    net::pair(SOCK_STREAM)
}

/// What poll shows at once.
fn now(fd: &Fd) -> Result<i16> {
    let mut fds = [PollFd::new(fd.fd(), POLLIN | POLLOUT | POLLRDHUP)];
    poll(&mut fds, Some(Duration::ZERO))?;
    Ok(fds[0].revents)
}

/// Sends until no more is taken.
fn fill(socket: &Fd) -> Result<usize> {
    let mut total = 0;
    loop {
        match net::send(socket, &[7; 4096], MSG_DONTWAIT) {
            Ok(count) => total += count,
            Err(Errno::EAGAIN) => return Ok(total),
            Err(errno) => return Err(errno),
        }
    }
}

fn unix_stream_bytes_go_both_ways() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"ping")?;
    net::send(&other, b"pong", 0)?;
    let mut text = [0; 9];
    check_eq!(net::receive(&other, &mut text, 0)?, 4);
    check_eq!(&text[..4], b"ping");
    check_eq!(io::read(&one, &mut text)?, 4);
    check_eq!(&text[..4], b"pong");
    Ok(())
}

fn unix_stream_receive_takes_what_is_there() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"one")?;
    io::write_all(&one, b"two")?;
    let mut text = [0; 5];
    check_eq!(io::read(&other, &mut text)?, 5);
    check_eq!(&text, b"onetw");
    check_eq!(io::read(&other, &mut text)?, 1);
    Ok(())
}

fn unix_stream_empty_read_waits() -> Outcome {
    let (one, other) = pair()?;
    let child = Blocker::start(|| i32::from(io::read(&other, &mut [0]) != Ok(1)))?;
    check!(child.blocked()?);
    io::write(&one, b"!")?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_stream_empty_read_nonblocking_is_eagain() -> Outcome {
    let (one, _other) = net::pair(SOCK_STREAM | net::SOCK_NONBLOCK)?;
    check_eq!(io::read(&one, &mut [0]), Err(Errno::EAGAIN));
    check_eq!(net::receive(&one, &mut [], 0), Err(Errno::EAGAIN));
    check_eq!(io::read(&one, &mut [])?, 0);
    Ok(())
}

fn unix_stream_dontwait_is_for_one_call() -> Outcome {
    let (one, _other) = pair()?;
    check_eq!(
        net::receive(&one, &mut [0], MSG_DONTWAIT),
        Err(Errno::EAGAIN)
    );
    check_eq!(fd::flags(&one)? & halyard_rt::open::O_NONBLOCK, 0);
    Ok(())
}

fn unix_stream_peek_keeps_bytes() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"hello")?;
    let mut text = [0; 3];
    check_eq!(net::receive(&other, &mut text, MSG_PEEK)?, 3);
    check_eq!(net::receive(&other, &mut text, MSG_PEEK)?, 3);
    check_eq!(&text, b"hel");
    let mut text = [0; 9];
    check_eq!(net::receive(&other, &mut text, 0)?, 5);
    Ok(())
}

fn unix_stream_waitall_waits_for_all() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"ab")?;
    let child = Blocker::start(|| {
        let mut text = [0; 4];
        let count = net::receive(&other, &mut text, MSG_WAITALL);
        i32::from(count != Ok(4) || &text != b"abcd")
    })?;
    check!(child.blocked()?);
    io::write_all(&one, b"cd")?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_stream_waitall_ends_with_the_stream() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"ab")?;
    net::shutdown(&one, SHUT_WR)?;
    check_eq!(net::receive(&other, &mut [0; 4], MSG_WAITALL)?, 2);
    check_eq!(net::receive(&other, &mut [0; 4], MSG_WAITALL)?, 0);
    Ok(())
}

fn unix_stream_big_write_is_complete() -> Outcome {
    const TOTAL: usize = 1_000_000;
    let (one, other) = pair()?;
    let number = other.fd();
    let child = process::spawn(|| {
        let _ = fd::close(number);
        i32::from(io::write(&one, &vec![1; TOTAL]) != Ok(TOTAL))
    })?;
    drop(one);
    let mut data = Vec::new();
    check_eq!(io::read_to_end(&other, &mut data)?, TOTAL);
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(())
}

fn unix_stream_full_nonblocking_is_short_then_eagain() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM | net::SOCK_NONBLOCK)?;
    let sent = io::write(&one, &vec![1; 1_000_000])?;
    check!((100_000..500_000).contains(&sent));
    check_eq!(io::write(&one, &[0; 4096]), Err(Errno::EAGAIN));
    check_eq!(io::readable_bytes(&other)?, sent);
    Ok(())
}

fn unix_stream_closed_peer_gives_end() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"last")?;
    drop(one);
    check_eq!(io::read(&other, &mut [0; 9])?, 4);
    check_eq!(io::read(&other, &mut [0; 9])?, 0);
    check_eq!(io::read(&other, &mut [0; 9])?, 0);
    Ok(())
}

fn unix_stream_closed_with_unread_data_is_econnreset_once_then_0() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"unread")?;
    io::write_all(&other, b"zz")?;
    drop(other);
    check_eq!(io::read(&one, &mut [0; 9])?, 2);
    check_eq!(io::read(&one, &mut [0; 9]), Err(Errno::ECONNRESET));
    check_eq!(io::read(&one, &mut [0; 9])?, 0);
    Ok(())
}

fn unix_stream_so_error_takes_the_reset() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"unread")?;
    drop(other);
    check_eq!(net::option(&one, net::SO_ERROR)?, 104);
    check_eq!(net::option(&one, net::SO_ERROR)?, 0);
    check_eq!(io::read(&one, &mut [0; 9])?, 0);
    Ok(())
}

fn unix_stream_write_to_closed_peer_is_epipe_and_sigpipe() -> Outcome {
    let (one, other) = pair()?;
    drop(other);
    catch(SIGPIPE, 0)?;
    check_eq!(io::write(&one, b"x"), Err(Errno::EPIPE));
    check_eq!(caught(), SIGPIPE);
    check_eq!(net::send(&one, b"x", 0), Err(Errno::EPIPE));
    check_eq!(caught(), SIGPIPE);
    Ok(())
}

fn unix_stream_write_of_nothing_to_closed_peer_is_epipe() -> Outcome {
    let (one, other) = pair()?;
    check_eq!(io::write(&one, b"")?, 0);
    drop(other);
    catch(SIGPIPE, 0)?;
    check_eq!(io::write(&one, b""), Err(Errno::EPIPE));
    check_eq!(caught(), SIGPIPE);
    Ok(())
}

fn unix_stream_nosignal_is_epipe_alone() -> Outcome {
    let (one, other) = pair()?;
    drop(other);
    catch(SIGPIPE, 0)?;
    check_eq!(net::send(&one, b"x", MSG_NOSIGNAL), Err(Errno::EPIPE));
    check_eq!(caught(), 0);
    Ok(())
}

fn unix_stream_writev_to_closed_peer_raises_sigpipe() -> Outcome {
    let (one, other) = pair()?;
    drop(other);
    catch(SIGPIPE, 0)?;
    let data = [1u8; 8];
    let parts = [[data.as_ptr() as usize, 3], [data.as_ptr() as usize, 5]];
    let sent = call(nr::WRITEV, [one.fd() as usize, parts.as_ptr() as usize, 2]);
    check_eq!(sent, Err(Errno::EPIPE));
    check_eq!(caught(), SIGPIPE);
    Ok(())
}

fn unix_stream_shut_wr_gives_end_and_reverse_lives() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"last")?;
    net::shutdown(&one, SHUT_WR)?;
    check_eq!(net::send(&one, b"x", MSG_NOSIGNAL), Err(Errno::EPIPE));
    check_eq!(now(&other)?, POLLIN | POLLOUT | POLLRDHUP);
    check_eq!(now(&one)?, POLLOUT);
    check_eq!(io::read(&other, &mut [0; 9])?, 4);
    check_eq!(io::read(&other, &mut [0; 9])?, 0);
    io::write_all(&other, b"back")?;
    check_eq!(io::read(&one, &mut [0; 9])?, 4);
    Ok(())
}

fn unix_stream_shut_rd_stops_the_peer() -> Outcome {
    let (one, other) = pair()?;
    net::shutdown(&one, SHUT_RD)?;
    check_eq!(io::read(&one, &mut [0])?, 0);
    check_eq!(net::send(&other, b"x", MSG_NOSIGNAL), Err(Errno::EPIPE));
    check_eq!(now(&one)?, POLLIN | POLLOUT | POLLRDHUP);
    check_eq!(now(&other)?, POLLOUT);
    Ok(())
}

fn unix_stream_shutdown_bad_how_is_einval() -> Outcome {
    let (one, _other) = pair()?;
    check_eq!(net::shutdown(&one, 3), Err(Errno::EINVAL));
    // Without a connection it is no error.
    net::shutdown(net::socket(SOCK_STREAM)?, SHUT_RDWR)?;
    Ok(())
}

fn unix_stream_shutdown_ends_a_waiting_read() -> Outcome {
    for (how, from_peer) in [(SHUT_RD, false), (SHUT_WR, true)] {
        let (one, other) = pair()?;
        let child = Blocker::start(|| i32::from(io::read(&one, &mut [0]) != Ok(0)))?;
        net::shutdown(if from_peer { &other } else { &one }, how)?;
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

fn unix_stream_not_connected_is_enotconn_and_einval() -> Outcome {
    let socket = net::socket(SOCK_STREAM)?;
    check_eq!(io::write(&socket, b"x"), Err(Errno::ENOTCONN));
    check_eq!(io::read(&socket, &mut [0]), Err(Errno::EINVAL));
    check_eq!(net::peer_address(&socket), Err(Errno::ENOTCONN));
    Ok(())
}

fn unix_stream_address_on_send_is_eisconn_or_eopnotsupp() -> Outcome {
    let (one, _other) = pair()?;
    let name = net::Address::hidden("anybody");
    check_eq!(net::send_to(&one, b"x", 0, &name), Err(Errno::EISCONN));
    let socket = net::socket(SOCK_STREAM)?;
    check_eq!(
        net::send_to(&socket, b"x", 0, &name),
        Err(Errno::EOPNOTSUPP)
    );
    Ok(())
}

fn unix_stream_poll_shows_data_room_and_ends() -> Outcome {
    let (one, other) = pair()?;
    check_eq!(now(&one)?, POLLOUT);
    io::write(&other, b"x")?;
    check_eq!(now(&one)?, POLLIN | POLLOUT);
    io::read(&one, &mut [0])?;
    fill(&one)?;
    check_eq!(now(&one)?, 0);
    // Not one who finds a little room is woken, but one who finds much.
    io::read(&other, &mut [0; 4096])?;
    check_eq!(now(&one)?, 0);
    while net::receive(&other, &mut [0; 4096], MSG_DONTWAIT).is_ok() {}
    check_eq!(now(&one)?, POLLOUT);
    drop(other);
    check_eq!(now(&one)?, POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    Ok(())
}

fn unix_stream_poll_after_reset_shows_error() -> Outcome {
    let (one, other) = pair()?;
    io::write(&one, b"x")?;
    drop(other);
    let all = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    check_eq!(now(&one)?, all | POLLERR);
    check_eq!(io::read(&one, &mut [0]), Err(Errno::ECONNRESET));
    check_eq!(now(&one)?, all);
    Ok(())
}

/// A child that polls one end without time-out, and passes if that is what it sees. It closes the other end.
fn poller(end: &Fd, close: &Fd, events: i16, wanted: i16) -> Result<Blocker> {
    let (number, unused) = (end.fd(), close.fd());
    Blocker::start(|| {
        let _ = fd::close(unused);
        let mut fds = [PollFd::new(number, events)];
        i32::from(poll(&mut fds, None) != Ok(1) || fds[0].revents != wanted)
    })
}

fn unix_stream_poll_wakes_when_data_comes() -> Outcome {
    let (one, other) = pair()?;
    let child = poller(&one, &other, POLLIN, POLLIN)?;
    check!(child.blocked()?);
    io::write(&other, b"x")?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_stream_poll_wakes_when_room_comes() -> Outcome {
    let (one, other) = pair()?;
    fill(&one)?;
    let child = poller(&one, &other, POLLOUT, POLLOUT)?;
    check!(child.blocked()?);
    while net::receive(&other, &mut [0; 4096], MSG_DONTWAIT).is_ok() {}
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_stream_poll_wakes_when_the_peer_goes() -> Outcome {
    let (one, other) = pair()?;
    let child = poller(&one, &other, POLLRDHUP, POLLRDHUP | POLLHUP)?;
    check!(child.blocked()?);
    drop(other);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_stream_end_waits_for_every_copy() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM | net::SOCK_NONBLOCK)?;
    let copy = fd::dup(&one)?;
    drop(one);
    check_eq!(io::read(&other, &mut [0]), Err(Errno::EAGAIN));
    drop(copy);
    check_eq!(io::read(&other, &mut [0])?, 0);
    Ok(())
}

fn unix_stream_end_comes_when_the_peer_is_killed() -> Outcome {
    let (one, other) = pair()?;
    let number = other.fd();
    let child = Blocker::start(|| {
        let _ = fd::close(number);
        let _ = io::read(&one, &mut [0]);
        0
    })?;
    drop(one);
    check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    check_eq!(io::read(&other, &mut [0])?, 0);
    Ok(())
}

fn unix_stream_blocked_write_can_be_killed() -> Outcome {
    let (one, other) = pair()?;
    fill(&one)?;
    let child = Blocker::start(|| i32::from(io::write(&one, &[0; 100_000]).is_ok()))?;
    check!(child.blocked()?);
    check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    drop(other);
    Ok(())
}

fn unix_stream_read_interrupted_is_eintr_or_restarted() -> Outcome {
    let (one, other) = pair()?;
    for (flags, ends) in [(0, true), (SA_RESTART, false)] {
        let child = Blocker::start(|| {
            let _ = catch(SIGUSR1, flags);
            let read = io::read(&one, &mut [0]);
            i32::from(read != if ends { Err(Errno::EINTR) } else { Ok(1) })
        })?;
        process::kill(child.pid(), SIGUSR1)?;
        if !ends {
            crate::support::settle();
            check!(child.blocked()?);
            io::write(&other, b"x")?;
        }
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

fn unix_stream_receive_timeout_is_eagain() -> Outcome {
    let (one, _other) = pair()?;
    net::set_timeout(&one, net::SO_RCVTIMEO, Duration::from_millis(30))?;
    let begun = time::uptime();
    check_eq!(io::read(&one, &mut [0]), Err(Errno::EAGAIN));
    check!(time::uptime() - begun >= Duration::from_millis(29));
    check_eq!(net::receive(&one, &mut [0], 0), Err(Errno::EAGAIN));
    check_eq!(
        net::receive_message(&one, &mut [0], 0, 0).err(),
        Some(Errno::EAGAIN)
    );
    Ok(())
}

fn unix_stream_receive_with_timeout_is_never_restarted() -> Outcome {
    let (one, _other) = pair()?;
    net::set_timeout(&one, net::SO_RCVTIMEO, Duration::from_secs(60))?;
    let child = Blocker::start(|| {
        let _ = catch(SIGUSR1, SA_RESTART);
        i32::from(io::read(&one, &mut [0]) != Err(Errno::EINTR))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn unix_stream_send_timeout_is_eagain() -> Outcome {
    let (one, _other) = pair()?;
    net::set_timeout(&one, net::SO_SNDTIMEO, Duration::from_millis(20))?;
    let sent = io::write(&one, &vec![0; 1_000_000])?;
    check!((100_000..500_000).contains(&sent));
    check_eq!(io::write(&one, &[0; 4096]), Err(Errno::EAGAIN));
    Ok(())
}

fn unix_stream_timeouts_are_checked() -> Outcome {
    let (one, _other) = pair()?;
    let set = |seconds: i64, micros: i64| {
        let mut value = [0; 16];
        value[..8].copy_from_slice(&seconds.to_ne_bytes());
        value[8..].copy_from_slice(&micros.to_ne_bytes());
        net::set_raw_option(&one, net::SO_RCVTIMEO, &value)
    };
    check_eq!(set(0, 1_000_000), Err(Errno::EDOM));
    check_eq!(set(0, -1), Err(Errno::EDOM));
    check_eq!(
        net::set_raw_option(&one, net::SO_RCVTIMEO, &[0; 8]),
        Err(Errno::EINVAL)
    );
    set(-1, 0)?;
    check_eq!(io::read(&one, &mut [0]), Err(Errno::EAGAIN));
    set(2, 500_000)?;
    let mut value = [0; 4];
    check_eq!(net::raw_option(&one, 1, net::SO_RCVTIMEO, &mut value)?, 16);
    check_eq!(value, [2, 0, 500_000, 0]);
    Ok(())
}

fn unix_stream_lowat_waits_for_that_much() -> Outcome {
    let (one, other) = pair()?;
    net::set_option(&other, net::SO_RCVLOWAT, 4)?;
    io::write_all(&one, b"ab")?;
    let child = Blocker::start(|| i32::from(io::read(&other, &mut [0; 9]) != Ok(4)))?;
    check!(child.blocked()?);
    io::write_all(&one, b"cd")?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(
        net::set_option(&other, net::SO_SNDLOWAT, 4),
        Err(Errno::ENOPROTOOPT)
    );
    Ok(())
}

fn unix_stream_fault_receives_nothing() -> Outcome {
    let (one, other) = pair()?;
    io::write_all(&one, b"kept")?;
    let bad = Edge::new()?;
    let read = call(nr::READ, [other.fd() as usize, bad.bad(), 4]);
    check_eq!(read, Err(Errno::EFAULT));
    check_eq!(io::read(&other, &mut [0; 9])?, 4);
    Ok(())
}

fn unix_stream_fault_sends_nothing() -> Outcome {
    let (one, other) = net::pair(SOCK_STREAM | net::SOCK_NONBLOCK)?;
    let edge = Edge::new()?;
    let sent = call(nr::WRITE, [one.fd() as usize, edge.before(96), 200]);
    check_eq!(sent, Err(Errno::EFAULT));
    check_eq!(io::read(&other, &mut [0; 9]), Err(Errno::EAGAIN));
    Ok(())
}

fn unix_stream_is_a_socket_to_fstat_and_proc() -> Outcome {
    let (one, other) = pair()?;
    let found = fs::metadata_of(&one)?;
    check!(found.kind() == fs::Kind::Socket);
    check_eq!(found.permissions(), 0o777);
    check!(found.inode() != fs::metadata_of(&other)?.inode());
    let link = format!("/proc/self/fd/{}", one.fd());
    let text = fs::read_link(&link)?;
    check_eq!(text, format!("socket:[{}]", found.inode()).into_bytes());
    check_eq!(fs::open(&link).err(), Some(Errno::ENXIO));
    Ok(())
}

fn unix_stream_positions_are_espipe() -> Outcome {
    let (one, _other) = pair()?;
    check_eq!(io::seek(&one, io::Seek::Start(0)), Err(Errno::ESPIPE));
    check_eq!(io::pread(&one, &mut [0], 0), Err(Errno::ESPIPE));
    check_eq!(call(nr::FSYNC, [one.fd() as usize]), Err(Errno::EINVAL));
    check_eq!(
        call(nr::FTRUNCATE, [one.fd() as usize, 0]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn unix_stream_fionread_counts() -> Outcome {
    let (one, other) = pair()?;
    check_eq!(io::readable_bytes(&other)?, 0);
    io::write_all(&one, b"hello")?;
    io::write_all(&one, b"wor")?;
    check_eq!(io::readable_bytes(&other)?, 8);
    io::read(&other, &mut [0; 3])?;
    check_eq!(io::readable_bytes(&other)?, 5);
    Ok(())
}

fn unix_stream_options_tell_what_it_is() -> Outcome {
    let (one, _other) = pair()?;
    let wanted = [
        (net::SO_TYPE, SOCK_STREAM as i32),
        (net::SO_DOMAIN, 1),
        (net::SO_PROTOCOL, 0),
        (net::SO_ERROR, 0),
        (net::SO_ACCEPTCONN, 0),
        (net::SO_PASSCRED, 0),
        (net::SO_REUSEADDR, 0),
        (net::SO_RCVLOWAT, 1),
    ];
    for (option, value) in wanted {
        check_eq!((option, net::option(&one, option)?), (option, value));
    }
    net::set_option(&one, net::SO_REUSEADDR, 5)?;
    check_eq!(net::option(&one, net::SO_REUSEADDR)?, 1);
    check_eq!(net::option(&one, 999), Err(Errno::ENOPROTOOPT));
    check_eq!(net::set_option(&one, 999, 1), Err(Errno::ENOPROTOOPT));
    check_eq!(
        net::set_option(&one, net::SO_TYPE, 1),
        Err(Errno::ENOPROTOOPT)
    );
    check_eq!(
        net::raw_option(&one, 6, 1, &mut [0]),
        Err(Errno::EOPNOTSUPP)
    );
    check_eq!(
        net::set_raw_option(&one, net::SO_REUSEADDR, &[1]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn unix_stream_buffer_sizes_double_and_are_bounded() -> Outcome {
    let (one, other) = pair()?;
    net::set_option(&one, net::SO_SNDBUF, 5000)?;
    check_eq!(net::option(&one, net::SO_SNDBUF)?, 10_000);
    net::set_option(&one, net::SO_SNDBUF, 1)?;
    check_eq!(net::option(&one, net::SO_SNDBUF)?, 4608);
    net::set_option(&one, net::SO_RCVBUF, 1)?;
    check_eq!(net::option(&one, net::SO_RCVBUF)?, 2304);
    check!(fill(&one)? < 20_000);
    check!(fill(&other)? > 100_000);
    Ok(())
}

fn unix_stream_peer_credentials_are_the_makers() -> Outcome {
    let (one, other) = pair()?;
    let me = net::peer_credentials(&one)?;
    check_eq!(me.pid, process::id());
    check_eq!(net::peer_credentials(&other)?, me);
    let nobody = net::peer_credentials(net::socket(SOCK_STREAM)?)?;
    check_eq!(
        (nobody.pid, nobody.uid, nobody.gid),
        (0, u32::MAX, u32::MAX)
    );
    let name = net::Address::hidden(format!("credentials.{}", process::id()));
    let listener = net::socket(SOCK_STREAM)?;
    net::bind(&listener, &name)?;
    net::listen(&listener, 5)?;
    let child = process::spawn(|| {
        let connected = net::socket(SOCK_STREAM).and_then(|socket| {
            net::connect(&socket, &name)?;
            let listener = net::peer_credentials(&socket)?;
            io::read(&socket, &mut [0])?;
            Ok(listener.pid)
        });
        i32::from(connected != Ok(me.pid))
    })?;
    let server = net::accept(&listener, 0)?;
    check_eq!(net::peer_credentials(&server)?.pid, child);
    drop(server);
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    Ok(())
}

fn all_pass(children: &[Pid]) -> Outcome {
    for &child in children {
        check_eq!(process::wait_pid(child)?, Status::Exited(0));
    }
    Ok(())
}

fn unix_stream_ping_pong_pairs_lose_no_wake_up() -> Outcome {
    const PAIRS: usize = 4;
    const ROUNDS: u32 = 1500;
    let end = time::uptime() + Duration::from_millis(2500);
    let mut children = Vec::new();
    for _ in 0..PAIRS {
        let (one, other) = pair()?;
        let (first, second) = (one.fd(), other.fd());
        children.push(process::spawn(|| {
            let _ = fd::close(first);
            let mut byte = [0];
            while io::read(&other, &mut byte) == Ok(1) {
                if net::send(&other, &byte, MSG_NOSIGNAL) != Ok(1) {
                    return 1;
                }
            }
            0
        })?);
        children.push(process::spawn(|| {
            let _ = fd::close(second);
            for round in 0..ROUNDS {
                let (sent, mut back) = ([round as u8], [0]);
                let passed = io::write(&one, &sent) == Ok(1)
                    && io::read(&one, &mut back) == Ok(1)
                    && back == sent;
                if !passed {
                    return 1;
                }
                if time::uptime() > end {
                    break;
                }
            }
            0
        })?);
    }
    all_pass(&children)
}

fn unix_stream_random_sizes_arrive_in_order() -> Outcome {
    const TOTAL: usize = 600_000;
    const SEED: u64 = 0x5eed;
    println!("# seed {SEED:#x}");
    let (one, other) = pair()?;
    let number = other.fd();
    let byte_at = |index: usize| (index ^ (index >> 8)) as u8;
    let child = process::spawn(|| {
        let _ = fd::close(number);
        let (mut random, mut sent) = (Random(SEED), 0);
        while sent < TOTAL {
            let size = (1 + random.below(12_000)).min(TOTAL - sent);
            let data: Vec<u8> = (sent..sent + size).map(byte_at).collect();
            if io::write(&one, &data) != Ok(size) {
                return 1;
            }
            sent += size;
        }
        0
    })?;
    drop(one);
    let (mut random, mut at) = (Random(SEED + 1), 0);
    loop {
        let mut buffer = vec![0; 1 + random.below(9000)];
        let count = io::read(&other, &mut buffer)?;
        if count == 0 {
            break;
        }
        for (index, &byte) in buffer[..count].iter().enumerate() {
            check_eq!((at + index, byte), (at + index, byte_at(at + index)));
        }
        at += count;
    }
    check_eq!(at, TOTAL);
    all_pass(&[child])
}

fn unix_stream_killed_users_leave_nothing() -> Outcome {
    let before = live_objects();
    // What the killing needs itself goes with a process, too.
    let child = process::spawn(|| i32::from(kill_users().is_err()))?;
    all_pass(&[child])?;
    check_eq!(live_objects_settled(&before), before);
    Ok(())
}

fn kill_users() -> Result<()> {
    for _ in 0..20 {
        let child = Blocker::start(|| {
            let Ok((one, other)) = pair() else { return 1 };
            let control = net::Control::new().descriptors(&[one.fd(), other.fd()]);
            // Each is on the way to the other, and both go with the process.
            let sent = net::send_message(&one, b"x", &control, 0).is_ok()
                && net::send_message(&other, b"x", &control, 0).is_ok()
                && fill(&one).is_ok();
            if !sent {
                return 1;
            }
            let _ = io::write(&one, &[0; 4096]);
            0
        })?;
        if child.kill()? != Status::Signaled(signal::SIGKILL) {
            return Err(Errno::EPROTO);
        }
    }
    Ok(())
}
