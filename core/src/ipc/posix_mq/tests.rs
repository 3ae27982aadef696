//! The queue by example.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::*;
use crate::fs::namespace::Namespace;
use crate::mm::Room;
use crate::process::credentials::Credentials;
use crate::wait::testing::{Bell, TestSleeper};

type Received = core::result::Result<Message, Interruption>;

fn queue(messages: usize) -> Arc<Queue> {
    Queue::new(
        Shape {
            messages,
            bytes: 100,
        },
        None,
    )
}

fn send(queue: &Queue, text: &[u8], priority: u32) -> Result<Option<Notification>> {
    queue.try_send(&mut &text[..], priority)
}

fn receive(queue: &Queue) -> Result<(Vec<u8>, u32)> {
    let mut found = None;
    queue.try_receive(|message| {
        found = Some((message.bytes().to_vec(), message.priority()));
        Ok(())
    })?;
    found.ok_or(Errno::EIO)
}

fn registration() -> Notification {
    Notification {
        owner: Weak::new(),
        table: 7,
        signal: None,
    }
}

/// A receiver that has found nothing and waits.
fn receiver<'a>(
    queue: &'a Queue,
    sleeper: &'a TestSleeper,
) -> (Pin<Box<dyn Future<Output = Received> + 'a>>, Waker) {
    let (_, waker) = Bell::new();
    let mut call: Pin<Box<dyn Future<Output = Received> + 'a>> =
        Box::pin(queue.receive(sleeper, None));
    assert!(poll(&mut call, &waker).is_pending());
    (call, waker)
}

fn poll<T>(call: &mut Pin<Box<dyn Future<Output = T> + '_>>, waker: &Waker) -> Poll<T> {
    call.as_mut().poll(&mut Context::from_waker(waker))
}

#[test]
fn messages_come_by_priority_and_within_it_by_age() {
    let queue = queue(9);
    for (text, priority) in [(b"a", 1), (b"b", 3), (b"c", 1), (b"d", 3), (b"e", 0)] {
        send(&queue, text, priority).unwrap();
    }
    let order: Vec<u8> = (0..5).map(|_| receive(&queue).unwrap().0[0]).collect();
    assert_eq!(order, b"bdace");
    assert_eq!(receive(&queue), Err(Errno::EAGAIN));
}

#[test]
fn full_queue_refuses_and_polls_readable_alone() {
    let queue = queue(1);
    assert_eq!(queue.poll(), Readiness::OUT | Readiness::WRNORM);
    send(&queue, b"x", 0).unwrap();
    assert_eq!(send(&queue, b"y", 0).err(), Some(Errno::EAGAIN));
    assert_eq!(queue.poll(), Readiness::IN | Readiness::RDNORM);
}

#[test]
fn receive_that_faults_leaves_the_message() {
    let queue = queue(2);
    send(&queue, b"kept", 5).unwrap();
    let fault = queue.try_receive(|_| Err(Errno::EFAULT));
    assert_eq!(fault, Err(Errno::EFAULT));
    assert_eq!(receive(&queue), Ok((b"kept".to_vec(), 5)));
}

#[test]
fn registration_is_used_once_and_by_arrival_in_the_empty_queue_alone() {
    let queue = queue(4);
    send(&queue, b"before", 0).unwrap();
    queue.register(registration()).unwrap();
    assert_eq!(queue.register(registration()), Err(Errno::EBUSY));
    assert!(send(&queue, b"not empty", 0).unwrap().is_none());
    receive(&queue).unwrap();
    receive(&queue).unwrap();
    assert!(send(&queue, b"now", 0).unwrap().is_some());
    receive(&queue).unwrap();
    assert!(send(&queue, b"no more", 0).unwrap().is_none());
}

#[test]
fn registration_of_a_table_goes_when_that_closes_a_descriptor() {
    let queue = queue(4);
    queue.register(registration()).unwrap();
    queue.flush(8);
    assert_eq!(queue.register(registration()), Err(Errno::EBUSY));
    queue.flush(7);
    assert_eq!(queue.register(registration()), Ok(()));
}

#[test]
fn waiting_receiver_wins_over_the_registration_and_over_who_comes_later() {
    let (queue, sleeper) = (queue(4), TestSleeper::new());
    queue.register(registration()).unwrap();
    let (mut first, waker) = receiver(&queue, &sleeper);
    assert!(send(&queue, b"mine", 0).unwrap().is_none());
    assert_eq!(queue.len(), 0);
    assert_eq!(receive(&queue), Err(Errno::EAGAIN));
    let Poll::Ready(Ok(message)) = poll(&mut first, &waker) else {
        panic!("not served")
    };
    assert_eq!(message.bytes(), b"mine");
    assert!(send(&queue, b"next", 0).unwrap().is_some());
}

#[test]
fn receiver_that_dies_with_a_message_gives_it_back_in_its_place() {
    let (queue, sleeper) = (queue(4), TestSleeper::new());
    let (first, _) = receiver(&queue, &sleeper);
    send(&queue, b"old", 1).unwrap();
    send(&queue, b"young", 1).unwrap();
    drop(first);
    assert_eq!(receive(&queue).map(|it| it.0), Ok(b"old".to_vec()));
    assert_eq!(receive(&queue).map(|it| it.0), Ok(b"young".to_vec()));
    assert_eq!(queue.state.lock().receivers.len(), 0);
}

#[test]
fn waiting_sender_has_its_message_taken_when_room_appears() {
    let (queue, sleeper) = (queue(1), TestSleeper::new());
    send(&queue, b"1", 0).unwrap();
    let (_, waker) = Bell::new();
    let second = Queue::message(&mut &b"2"[..], 0).unwrap();
    let mut call: Pin<Box<dyn Future<Output = _>>> = Box::pin(queue.send(&sleeper, second, None));
    assert!(poll(&mut call, &waker).is_pending());
    assert_eq!(receive(&queue).map(|it| it.0), Ok(b"1".to_vec()));
    assert_eq!(send(&queue, b"3", 0).err(), Some(Errno::EAGAIN));
    assert!(matches!(poll(&mut call, &waker), Poll::Ready(Ok(None))));
    assert_eq!(receive(&queue).map(|it| it.0), Ok(b"2".to_vec()));
}

#[test]
fn interrupted_sender_takes_its_message_along() {
    let (queue, sleeper) = (queue(1), TestSleeper::new());
    send(&queue, b"1", 0).unwrap();
    let (_, waker) = Bell::new();
    let second = Queue::message(&mut &b"2"[..], 0).unwrap();
    let mut call: Pin<Box<dyn Future<Output = _>>> = Box::pin(queue.send(&sleeper, second, None));
    assert!(poll(&mut call, &waker).is_pending());
    sleeper.signal();
    let ended = poll(&mut call, &waker);
    assert!(matches!(ended, Poll::Ready(Err(Interruption::Signal))));
    receive(&queue).unwrap();
    assert_eq!(queue.len(), 0);
}

#[test]
fn receive_after_the_deadline_times_out() {
    let (queue, sleeper) = (queue(1), TestSleeper::new());
    let (_, waker) = Bell::new();
    let mut call: Pin<Box<dyn Future<Output = Received>>> =
        Box::pin(queue.receive(&sleeper, Some(Instant(5))));
    assert!(poll(&mut call, &waker).is_pending());
    assert_eq!(sleeper.alarm(), Some(Instant(5)));
    sleeper.set_now(Instant(5));
    let ended = poll(&mut call, &waker);
    assert!(matches!(ended, Poll::Ready(Err(Interruption::TimedOut))));
    assert_eq!(queue.state.lock().receivers.len(), 0);
}

#[test]
fn file_of_the_queue_says_what_it_holds() {
    let queue = queue(3);
    send(&queue, b"12345", 0).unwrap();
    let mut text = [0; 100];
    let count = queue.try_read(&mut &mut text[..], 0).unwrap();
    let expected = b"QSIZE:5          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n";
    assert_eq!(&text[..count], expected);
    assert_eq!(queue.try_read(&mut &mut text[..], 500), Ok(0));
}

static ENDLESS: Room = Room::new();

struct Names {
    names: Namespace,
    queues: PosixQueues,
}

impl Names {
    fn new() -> Names {
        Names {
            names: Namespace::new(&ENDLESS, 0),
            queues: PosixQueues::new(0),
        }
    }

    fn open(
        &self,
        who: &Credentials,
        name: &[u8],
        flags: u32,
        shape: Option<(i64, i64)>,
    ) -> Result<Arc<crate::fs::open_file::OpenFile>> {
        let request = MqOpen {
            who,
            flags,
            permissions: 0o600,
            shape,
            limit: 819_200,
            now: 0,
        };
        self.queues.open(&self.names, name.to_vec(), &request)
    }
}

fn user(uid: u32) -> Credentials {
    Credentials {
        uid,
        euid: uid,
        fsuid: uid,
        ..Credentials::default()
    }
}

const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_RDWR: u32 = 2;

#[test]
fn names_that_are_none_are_refused() {
    let all = Names::new();
    let root = Credentials::root();
    let open = |name: &[u8]| all.open(&root, name, O_CREAT | O_RDWR, None).err();
    assert_eq!(open(b""), Some(Errno::ENOENT));
    assert_eq!(open(b"a/b"), Some(Errno::EACCES));
    assert_eq!(open(b".."), Some(Errno::EACCES));
    assert_eq!(open(&[b'x'; 256]), Some(Errno::ENAMETOOLONG));
    assert_eq!(open(&[b'x'; 255]), None);
}

#[test]
fn name_leads_to_one_queue_until_it_is_removed() {
    let all = Names::new();
    let root = Credentials::root();
    let first = all.open(&root, b"q", O_CREAT | O_EXCL, None).unwrap();
    let again = all.open(&root, b"q", O_CREAT | O_EXCL, None).err();
    assert_eq!(again, Some(Errno::EEXIST));
    let second = all.open(&root, b"q", O_RDWR, None).unwrap();
    assert!(Arc::ptr_eq(first.file(), second.file()));
    let gone = all.queues.unlink(&all.names, b"q".to_vec(), &root, 0);
    assert_eq!(gone, Ok(()));
    assert_eq!(all.open(&root, b"q", 0, None).err(), Some(Errno::ENOENT));
    assert_eq!(first.inode().map(|inode| inode.metadata().links), Some(0));
}

#[test]
fn permissions_and_the_sticky_directory_hold() {
    let all = Names::new();
    let owner = user(5);
    all.open(&owner, b"q", O_CREAT, None).unwrap();
    let foreign = all.open(&user(6), b"q", 0, None).err();
    assert_eq!(foreign, Some(Errno::EACCES));
    let unlink = |who: &Credentials| all.queues.unlink(&all.names, b"q".to_vec(), who, 0);
    assert_eq!(unlink(&user(6)), Err(Errno::EPERM));
    assert_eq!(unlink(&owner), Ok(()));
}

#[test]
fn limits_bound_shape_bytes_and_number() {
    let all = Names::new();
    let owner = user(5);
    for (messages, bytes) in [(0, 1), (1, 0), (-1, 1), (11, 1), (1, 8193)] {
        let made = all.open(&owner, b"bad", O_CREAT, Some((messages, bytes)));
        assert_eq!(made.err(), Some(Errno::EINVAL), "{messages} {bytes}");
    }
    let root = Credentials::root();
    let large = all.open(&root, b"large", O_CREAT, Some((1000, 8192)));
    assert_eq!(large.err(), Some(Errno::EMFILE));
    // Each counts 82,880 bytes.
    let names: Vec<u8> = (b'a'..b'j').collect();
    for name in &names {
        all.open(&owner, &[*name], O_CREAT, None).unwrap();
    }
    let tenth = all.open(&owner, b"tenth", O_CREAT, None).err();
    assert_eq!(tenth, Some(Errno::EMFILE));
    all.queues
        .unlink(&all.names, b"a".to_vec(), &owner, 0)
        .unwrap();
    assert!(all.open(&owner, b"tenth", O_CREAT, None).is_ok());
    let small = Some((1, 1));
    for number in names.len()..QUEUES_MAX {
        let name = std::format!("small{number}");
        all.open(&user(6), name.as_bytes(), O_CREAT, small).unwrap();
    }
    let beyond = all.open(&user(6), b"beyond", O_CREAT, small).err();
    assert_eq!(beyond, Some(Errno::ENOSPC));
}
