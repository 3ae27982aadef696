//! The rules of unix(7), one by one, and the collection of what nobody can reach.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use core::future::Future;
use core::task::Context;

use super::testing::{ME, eventually, receive, receive_all, send, send_to, send_with};
use super::*;
use crate::Result;
use crate::fs::descriptors::DescriptorTable;
use crate::fs::file::{File, Readiness};
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::wait::testing::{Bell, TestSleeper};
use crate::wait::wait_until;

const QUOTA: Quota = Quota {
    user: 0,
    limit: None,
};
const IN: Readiness = Readiness::IN.union(Readiness::RDNORM);
const OUT: Readiness = Readiness::OUT.union(Readiness::WRNORM);
const PEEK: Request = Request {
    peek: true,
    credentials: false,
    waits: false,
};

fn open(socket: &Arc<Socket>) -> Arc<OpenFile> {
    OpenFile::new(socket.clone(), OpenFlags::READ_WRITE).unwrap()
}

fn pair(kind: Kind) -> (Arc<Socket>, Arc<Socket>) {
    let [one, other] = Socket::pair(kind, ME);
    (one, other)
}

fn names() -> Arc<SocketNames> {
    Arc::new(SocketNames::new())
}

fn listening(kind: Kind, backlog: u32) -> Arc<Socket> {
    let socket = Socket::new(kind);
    names().bind(&socket, None).unwrap();
    socket.listen(backlog, ME).unwrap();
    socket
}

fn connect(socket: &Socket, to: &Arc<Socket>) -> Result<bool> {
    socket
        .try_connect(to, ME)
        .map(|outcome| matches!(outcome, Connecting::Done))
}

fn rights(files: &[&Arc<OpenFile>]) -> Attachment {
    let files = files.iter().map(|file| Arc::clone(file)).collect();
    Attachment {
        credentials: None,
        rights: Rights::launch(files, QUOTA).unwrap(),
    }
}

#[test]
fn unix_stream_joins_sends_and_parts_receives() {
    let (one, other) = pair(Kind::Stream);
    assert_eq!(send(&one, b"hello"), Ok(5));
    assert_eq!(send(&one, b"world"), Ok(5));
    assert_eq!(receive(&other, 7), Ok(b"hellowo".to_vec()));
    assert_eq!(receive(&other, 7), Ok(b"rld".to_vec()));
    assert_eq!(receive(&other, 7), Err(Errno::EAGAIN));
}

#[test]
fn unix_stream_full_is_eagain_and_writable_again_at_a_quarter() {
    let (one, other) = pair(Kind::Stream);
    let sent = send(&one, &vec![1; 500_000]).unwrap();
    assert!(sent >= 212_992, "{sent}");
    assert_eq!(send(&one, b"x"), Err(Errno::EAGAIN));
    assert_eq!(one.poll(), Readiness::empty());
    assert_eq!(receive(&other, 100_000).map(|it| it.len()), Ok(100_000));
    assert_eq!(one.poll(), Readiness::empty());
    assert_eq!(receive(&other, 70_000).map(|it| it.len()), Ok(70_000));
    assert_eq!(one.poll(), OUT);
}

#[test]
fn unix_stream_peek_keeps_what_it_shows() {
    let (one, other) = pair(Kind::Stream);
    send(&one, b"hello").unwrap();
    let (bytes, _) = receive_all(&other, 3, PEEK).unwrap();
    assert_eq!(bytes, b"hel");
    assert_eq!(receive(&other, 9), Ok(b"hello".to_vec()));
}

#[test]
fn unix_stream_shutdown_ends_one_direction_alone() {
    let (one, other) = pair(Kind::Stream);
    send(&one, b"last").unwrap();
    one.shut_down(false, true);
    assert_eq!(send(&one, b"x"), Err(Errno::EPIPE));
    assert_eq!(other.poll(), IN | OUT | Readiness::RDHUP);
    assert_eq!(one.poll(), OUT);
    assert_eq!(receive(&other, 9), Ok(b"last".to_vec()));
    assert_eq!(receive(&other, 9), Ok(vec![]));
    assert_eq!(send(&other, b"back"), Ok(4));
    assert_eq!(receive(&one, 9), Ok(b"back".to_vec()));
}

#[test]
fn unix_stream_close_with_unread_bytes_is_reset_once() {
    let (one, other) = pair(Kind::Stream);
    send(&one, b"unread").unwrap();
    send(&other, b"zz").unwrap();
    drop(other);
    let all = IN | OUT | Readiness::RDHUP | Readiness::HUP;
    assert_eq!(one.poll(), all | Readiness::ERR);
    assert_eq!(receive(&one, 9), Ok(b"zz".to_vec()));
    assert_eq!(receive(&one, 9), Err(Errno::ECONNRESET));
    assert_eq!(receive(&one, 9), Ok(vec![]));
    assert_eq!(send(&one, b"x"), Err(Errno::EPIPE));
    assert_eq!(one.poll(), all);
}

#[test]
fn unix_stream_descriptors_end_a_receive() {
    let (one, other) = pair(Kind::Stream);
    let passed = open(&Socket::new(Kind::Datagram));
    send(&one, b"a").unwrap();
    send_with(&one, b"bb", rights(&[&passed])).unwrap();
    send(&one, b"c").unwrap();
    let (bytes, mut arrival) = receive_all(&other, 2, Request::default()).unwrap();
    assert_eq!((bytes, arrival.rights.len()), (b"ab".to_vec(), 1));
    arrival.rights.land();
    assert!(Arc::ptr_eq(&arrival.rights.take_next().unwrap(), &passed));
    assert!(!passed.in_flight());
    let (bytes, arrival) = receive_all(&other, 9, Request::default()).unwrap();
    assert_eq!((bytes, arrival.rights.len()), (b"bc".to_vec(), 0));
}

#[test]
fn unix_stream_peek_shows_descriptors_and_keeps_them() {
    let (one, other) = pair(Kind::Stream);
    let passed = open(&Socket::new(Kind::Datagram));
    send_with(&one, b"x", rights(&[&passed])).unwrap();
    for request in [PEEK, PEEK, Request::default()] {
        let (bytes, arrival) = receive_all(&other, 9, request).unwrap();
        assert_eq!((bytes, arrival.rights.len()), (b"x".to_vec(), 1));
    }
    assert!(eventually(|| Arc::strong_count(&passed) == 1));
}

#[test]
fn unix_stream_two_senders_are_not_mixed_for_who_wants_to_know() {
    let (one, other) = pair(Kind::Stream);
    let request = Request {
        credentials: true,
        ..Request::default()
    };
    let by = |pid| Attachment {
        credentials: Some(Ucred { pid, ..ME }),
        ..Attachment::default()
    };
    send(&one, b"n").unwrap();
    send_with(&one, b"a", by(1)).unwrap();
    send_with(&one, b"a", by(1)).unwrap();
    send_with(&one, b"b", by(2)).unwrap();
    let mut seen = Vec::new();
    while let Ok((bytes, arrival)) = receive_all(&other, 9, request) {
        seen.push((bytes, arrival.credentials.flatten().map(|who| who.pid)));
    }
    let expected = [(&b"n"[..], None), (b"aa", Some(1)), (b"b", Some(2))];
    assert_eq!(seen, expected.map(|(bytes, who)| (bytes.to_vec(), who)));
}

#[test]
fn unix_seqpacket_keeps_bounds_and_tells_what_was_cut() {
    let (one, other) = pair(Kind::SeqPacket);
    send(&one, b"hello").unwrap();
    send(&one, b"").unwrap();
    send(&one, b"xyz").unwrap();
    let (bytes, arrival) = receive_all(&other, 2, Request::default()).unwrap();
    assert_eq!(
        (bytes, arrival.truncated, arrival.length),
        (b"he".to_vec(), true, 5)
    );
    let (bytes, arrival) = receive_all(&other, 2, Request::default()).unwrap();
    assert_eq!(
        (bytes, arrival.truncated, arrival.length),
        (vec![], false, 0)
    );
    assert_eq!(receive(&other, 9), Ok(b"xyz".to_vec()));
}

#[test]
fn unix_seqpacket_reset_comes_before_what_was_sent() {
    let (one, other) = pair(Kind::SeqPacket);
    send(&one, b"unread").unwrap();
    send(&other, b"zz").unwrap();
    drop(other);
    assert_eq!(receive(&one, 9), Err(Errno::ECONNRESET));
    assert_eq!(receive(&one, 9), Ok(b"zz".to_vec()));
    assert_eq!(receive(&one, 9), Ok(vec![]));
    assert_eq!(send(&one, b"x"), Err(Errno::EPIPE));
}

#[test]
fn unix_packet_longer_than_the_buffer_is_emsgsize() {
    for kind in [Kind::SeqPacket, Kind::Datagram] {
        let (one, _other) = pair(kind);
        assert_eq!(send(&one, &vec![0; 212_960]), Ok(212_960));
        assert_eq!(send(&one, &vec![0; 212_961]), Err(Errno::EMSGSIZE));
        assert_eq!(send(&one, b"x"), Err(Errno::EAGAIN));
    }
}

#[test]
fn unix_dgram_eleven_wait_and_the_next_is_turned_away() {
    let (sender, receiver) = (Socket::new(Kind::Datagram), Socket::new(Kind::Datagram));
    for _ in 0..11 {
        assert_eq!(send_to(&sender, &receiver, b"x"), Ok(1));
    }
    assert_eq!(send_to(&sender, &receiver, b"x"), Err(Errno::EAGAIN));
    sender.connect_datagram(Some(&receiver)).unwrap();
    assert_eq!(sender.poll(), Readiness::empty());
    receive(&receiver, 1).unwrap();
    assert_eq!(sender.poll(), OUT);
    assert_eq!(send(&sender, b"x"), Ok(1));
}

#[test]
fn unix_dgram_turned_away_sender_does_not_wake_itself() {
    let (sender, receiver) = (Socket::new(Kind::Datagram), Socket::new(Kind::Datagram));
    while send_to(&sender, &receiver, b"x").is_ok() {}
    let (bell, waker) = Bell::new();
    let mut tries = 0;
    let sleeper = TestSleeper::new();
    let queue = sender.queue(crate::fs::file::Side::Write);
    let mut waiting = Box::pin(wait_until(&sleeper, queue, None, || {
        tries += 1;
        send_to(&sender, &receiver, b"x").ok()
    }));
    let mut context = Context::from_waker(&waker);
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    assert_eq!(bell.rings(), 0);
    receive(&receiver, 1).unwrap();
    assert!(bell.rings() > 0);
    assert!(waiting.as_mut().poll(&mut context).is_ready());
    drop(waiting);
    assert_eq!(tries, 2);
}

#[test]
fn unix_dgram_dead_peer_is_refused_once_then_not_connected() {
    let (one, other) = pair(Kind::Datagram);
    send(&other, b"zz").unwrap();
    drop(other);
    assert_eq!(one.poll(), IN | OUT);
    assert_eq!(receive(&one, 9), Ok(b"zz".to_vec()));
    assert_eq!(send(&one, b"x"), Err(Errno::ECONNREFUSED));
    assert_eq!(send(&one, b"x"), Err(Errno::ENOTCONN));
}

#[test]
fn unix_dgram_connected_to_another_takes_from_nobody_else() {
    let [one, other, third] = [0; 3].map(|_| Socket::new(Kind::Datagram));
    one.connect_datagram(Some(&other)).unwrap();
    assert_eq!(send_to(&third, &one, b"x"), Err(Errno::EPERM));
    assert_eq!(third.connect_datagram(Some(&one)), Err(Errno::EPERM));
    assert_eq!(send_to(&other, &one, b"x"), Ok(1));
}

#[test]
fn unix_dgram_account_is_settled_when_the_receiver_closes() {
    let (sender, receiver) = (Socket::new(Kind::Datagram), Socket::new(Kind::Datagram));
    send_to(&sender, &receiver, b"x").unwrap();
    assert_eq!(sender.unsent(), Ok(513));
    drop(receiver);
    assert_eq!(sender.unsent(), Ok(0));
}

#[test]
fn unix_connect_waits_in_the_backlog_and_talks_before_it_is_accepted() {
    let listener = listening(Kind::Stream, 0);
    let [client, second] = [0; 2].map(|_| Socket::new(Kind::Stream));
    assert_eq!(connect(&client, &listener), Ok(true));
    assert_eq!(connect(&second, &listener), Ok(false));
    assert_eq!(send(&client, b"hi"), Ok(2));
    let server = listener.try_accept(false).unwrap();
    assert_eq!(receive(&server, 9), Ok(b"hi".to_vec()));
    assert_eq!(server.peer_name(), Ok(None));
    assert_eq!(client.peer_name(), Ok(listener.name()));
    assert_eq!(connect(&second, &listener), Ok(true));
    assert_eq!(connect(&second, &listener), Ok(false));
    drop(listener.try_accept(false));
    assert_eq!(connect(&second, &listener), Err(Errno::EISCONN));
}

#[test]
fn unix_connect_is_reset_when_the_listener_closes() {
    let listener = listening(Kind::Stream, 5);
    let client = Socket::new(Kind::Stream);
    assert_eq!(connect(&client, &listener), Ok(true));
    drop(listener);
    assert_eq!(receive(&client, 1), Err(Errno::ECONNRESET));
    assert_eq!(receive(&client, 1), Ok(vec![]));
}

#[test]
fn unix_connect_to_who_does_not_listen_is_refused() {
    let idle = Socket::new(Kind::Stream);
    let client = Socket::new(Kind::Stream);
    assert_eq!(connect(&client, &idle), Err(Errno::ECONNREFUSED));
    assert_eq!(connect(&client, &client), Err(Errno::ECONNREFUSED));
    let listener = listening(Kind::SeqPacket, 5);
    assert_eq!(connect(&client, &listener), Err(Errno::EPROTOTYPE));
    assert_eq!(connect(&listener, &listener), Err(Errno::EINVAL));
}

#[test]
fn unix_names_are_free_again_when_the_socket_closes() {
    let names = names();
    let name = Name::new(&[b"\0name"]).unwrap();
    let first = Socket::new(Kind::Stream);
    names.bind(&first, Some(name.clone())).unwrap();
    let second = Socket::new(Kind::Stream);
    assert_eq!(
        names.bind(&second, Some(name.clone())),
        Err(Errno::EADDRINUSE)
    );
    assert!(Arc::ptr_eq(
        &names.find(Kind::Stream, &name).unwrap(),
        &first
    ));
    assert!(names.find(Kind::Datagram, &name).is_err());
    drop(first);
    assert_eq!(names.bind(&second, Some(name)), Ok(()));
    assert_eq!(names.bind(&second, None), Err(Errno::EINVAL));
    assert_eq!(names.taken(), 1);
    drop(second);
    assert_eq!(names.taken(), 0);
}

/// Sockets whose descriptors are closed one after the other by a table, as programs close them.
struct Closed(Vec<Weak<Socket>>);

fn close_all(sockets: Vec<Arc<Socket>>, files: Vec<Arc<OpenFile>>) -> Closed {
    let weak = sockets.iter().map(Arc::downgrade).collect();
    drop(sockets);
    let table = DescriptorTable::new();
    for file in files {
        table.insert(file, 0, 100, false).unwrap();
    }
    table.close_range(0, 100);
    Closed(weak)
}

impl Closed {
    fn gone(&self) -> bool {
        eventually(|| self.0.iter().all(|socket| socket.strong_count() == 0))
    }
}

#[test]
fn unix_rights_socket_on_the_way_to_itself_is_collected() {
    let (one, other) = pair(Kind::Stream);
    let files = vec![open(&one), open(&other)];
    send_with(&other, b"x", rights(&[&files[0]])).unwrap();
    assert!(close_all(vec![one, other], files).gone());
}

#[test]
fn unix_rights_call_in_progress_keeps_a_socket_and_frees_it_when_it_ends() {
    let (one, other) = pair(Kind::Stream);
    let weak = Arc::downgrade(&one);
    let file = open(&one);
    send_with(&other, b"x", rights(&[&file])).unwrap();
    let table = DescriptorTable::new();
    let fd = table.insert(file, 0, 4, false).unwrap();
    drop((one, other));
    let call = table.get(fd).unwrap();
    table.close(fd).unwrap();
    assert!(weak.strong_count() > 0);
    drop(call);
    assert!(eventually(|| weak.strong_count() == 0));
}

#[test]
fn unix_rights_table_that_ends_frees_cycles_of_what_it_had() {
    let pairs: Vec<_> = (0..100).map(|_| pair(Kind::Stream)).collect();
    let files: Vec<_> = pairs.iter().map(|(one, _)| open(one)).collect();
    // Each is on the way to the one before it, the first to the last.
    for (at, (_, other)) in pairs.iter().enumerate() {
        let next = &files[(at + 1) % files.len()];
        send_with(other, b"x", rights(&[next])).unwrap();
    }
    let weak: Vec<_> = pairs.iter().map(|(one, _)| Arc::downgrade(one)).collect();
    let table = DescriptorTable::new();
    for file in files {
        table.insert(file, 0, 200, false).unwrap();
    }
    drop(pairs);
    assert!(weak.iter().all(|one| one.strong_count() > 0));
    drop(table);
    assert!(eventually(|| weak
        .iter()
        .all(|one| one.strong_count() == 0)));
}

#[test]
fn unix_rights_two_pairs_on_the_way_to_each_other_are_collected() {
    for kind in [Kind::Stream, Kind::Datagram, Kind::SeqPacket] {
        let ((a, b), (c, d)) = (pair(kind), pair(kind));
        let files: Vec<_> = [&a, &b, &c, &d].map(open).into();
        send_with(&a, b"x", rights(&[&files[2], &files[3]])).unwrap();
        send_with(&c, b"x", rights(&[&files[0], &files[1]])).unwrap();
        assert!(close_all(vec![a, b, c, d], files).gone(), "{kind:?}");
    }
}

#[test]
fn unix_rights_what_can_be_reached_is_kept() {
    let ((a, b), (c, d)) = (pair(Kind::Stream), pair(Kind::Stream));
    let files: Vec<_> = [&a, &c, &d].map(open).into();
    let kept = open(&b);
    // A cycle of c and d, that b can receive from outside.
    send_with(&c, b"x", rights(&[&files[2]])).unwrap();
    send_with(&a, b"x", rights(&[&files[2]])).unwrap();
    let closed = close_all(vec![a, c, d], files);
    assert!(!closed.gone());
    let (_, mut arrival) = receive_all(&b, 1, Request::default()).unwrap();
    arrival.rights.land();
    let file = arrival.rights.take_next().unwrap();
    assert_eq!(
        receive_all(file.file().socket().unwrap(), 1, Request::default()).map(|it| it.0),
        Ok(b"x".to_vec())
    );
    drop((file, arrival));
    assert!(closed.gone());
    drop(kept);
}

#[test]
fn unix_rights_on_the_way_to_a_backlog_are_collected() {
    let listener = listening(Kind::Stream, 5);
    let client = Socket::new(Kind::Stream);
    connect(&client, &listener).unwrap();
    let files = vec![open(&listener), open(&client)];
    send_with(&client, b"x", rights(&[&files[0], &files[1]])).unwrap();
    assert!(close_all(vec![listener, client], files).gone());
}

#[test]
fn unix_rights_long_chain_of_sockets_dies_without_depth() {
    let (first, mut last) = pair(Kind::Stream);
    let start = open(&first);
    let mut weak = Vec::new();
    for _ in 0..20_000 {
        let (next, other) = pair(Kind::Stream);
        weak.push(Arc::downgrade(&next));
        send_with(&last, b"x", rights(&[&open(&next)])).unwrap();
        last = other;
    }
    drop(last);
    drop(first);
    drop(start);
    assert!(eventually(|| weak
        .iter()
        .all(|socket| socket.strong_count() == 0)));
}

#[test]
fn unix_rights_of_the_unprivileged_are_bounded() {
    let (one, _other) = pair(Kind::Stream);
    let file = open(&one);
    let quota = Quota {
        user: 4711,
        limit: Some(2),
    };
    let launch = || Rights::launch(vec![file.clone()], quota);
    let held: Vec<_> = (0..3).map(|_| launch().unwrap()).collect();
    assert_eq!(launch().err(), Some(Errno::ETOOMANYREFS));
    drop(held);
    assert!(launch().is_ok());
}
