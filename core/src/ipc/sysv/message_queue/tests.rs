//! Rules that a model does not say better.

use super::*;
use crate::ipc::sysv::testing::{Actor, by, header};
use crate::wait::testing::TestSleeper;

const ANY: Wanted = Wanted {
    select: Select::Oldest,
    room: 100,
    truncate: false,
};

fn queue(limits: Limits) -> Arc<MessageQueue> {
    Arc::new(MessageQueue::new(header(), limits, 5))
}

fn message(kind: i64, length: usize) -> Message {
    Message::with(kind, length, |_| Ok(())).unwrap()
}

#[test]
fn handbook_queue_full_of_64_is_eagain_and_a_longer_message_einval() {
    let queue = queue(Limits::HANDBOOK);
    assert!(matches!(
        queue.send(message(1, 257), false, by(1)),
        Err(Errno::EINVAL)
    ));
    for _ in 0..64 {
        assert!(queue.send(message(1, 256), false, by(1)).unwrap().is_none());
    }
    assert!(matches!(
        queue.send(message(1, 0), false, by(1)),
        Err(Errno::EAGAIN)
    ));
    assert_eq!(queue.status().bytes, 64 * 256);
}

#[test]
fn message_given_to_a_receiver_that_is_killed_goes_to_the_next() {
    let queue = queue(Limits::SYSTEM_V);
    let receive = |queue: Arc<MessageQueue>| async move {
        match queue.receive(ANY, true, by(2), |_, _| Ok(())) {
            Ok(Received::Waits(mut place)) => place.wait(&TestSleeper::new(), None).await,
            _ => panic!("there is nothing to receive"),
        }
    };
    let mut first = Actor::new(receive(queue.clone()));
    let mut second = Actor::new(receive(queue.clone()));
    assert!(first.run().is_none() && second.run().is_none());
    assert!(queue.send(message(3, 7), false, by(1)).unwrap().is_none());
    drop(first);
    assert_eq!(second.run(), Some(Ok(Ok(message(3, 7)))));
    let third = Actor::new(receive(queue.clone()));
    drop(third);
    let mut fourth = Actor::new(receive(queue.clone()));
    assert!(fourth.run().is_none());
    assert!(queue.send(message(4, 9), false, by(1)).unwrap().is_none());
    drop(fourth);
    assert_eq!((queue.status().count, queue.status().bytes), (1, 9));
}

#[test]
fn answer_that_came_before_the_signal_was_noticed_counts() {
    let queue = queue(Limits::SYSTEM_V);
    let Ok(Received::Waits(place)) = queue.receive(ANY, true, by(2), |_, _| Ok(())) else {
        panic!("there is nothing to receive");
    };
    let sleeper = Arc::new(TestSleeper::new());
    let signalled = sleeper.clone();
    let mut actor = Actor::new(async move {
        let mut place = place;
        place.wait(&*signalled, None).await
    });
    assert!(actor.run().is_none());
    sleeper.signal();
    assert!(queue.send(message(3, 7), false, by(1)).unwrap().is_none());
    assert_eq!(actor.run(), Some(Ok(Ok(message(3, 7)))));
}

#[test]
fn message_that_cannot_be_stored_is_the_first_again() {
    let queue = queue(Limits::SYSTEM_V);
    assert!(queue.send(message(1, 1), false, by(1)).unwrap().is_none());
    let failed = queue.finish_receive(message(2, 2), &ANY, |_, _| Err(Errno::EFAULT));
    assert_eq!(failed, Err(Errno::EFAULT));
    let mut seen = 0;
    let store = |message: &Message, _: usize| {
        seen = message.kind;
        Ok(())
    };
    assert!(matches!(
        queue.receive(ANY, false, by(2), store),
        Ok(Received::Done(2))
    ));
    assert_eq!(seen, 2);
}
