//! The queue under the model checker: sends, receives, signals and deaths in every order. A lost wake-up shows as a deadlock.

use alloc::vec::Vec;

use loom::future::block_on;
use loom::thread;

use super::*;
use crate::wait::testing::TestSleeper;

fn queue(messages: usize) -> Arc<Queue> {
    Queue::new(Shape { messages, bytes: 8 }, None)
}

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

fn send(queue: &Queue, text: &'static [u8]) {
    let Ok(message) = Queue::message(&mut &text[..], 0) else {
        panic!("no memory")
    };
    let sent = block_on(queue.send(&TestSleeper::new(), message, None));
    assert!(sent.is_ok());
}

fn receive(queue: &Queue) -> Vec<u8> {
    match block_on(queue.receive(&TestSleeper::new(), None)) {
        Ok(message) => message.bytes().to_vec(),
        Err(why) => panic!("{why:?}"),
    }
}

#[test]
fn loom_mq_two_messages_pass_a_queue_of_one() {
    model(3, || {
        let queue = queue(1);
        let sender = Arc::clone(&queue);
        let thread = thread::spawn(move || {
            send(&sender, b"a");
            send(&sender, b"b");
        });
        assert_eq!(receive(&queue), b"a");
        assert_eq!(receive(&queue), b"b");
        assert!(thread.join().is_ok());
        assert_eq!(queue.len(), 0);
    });
}

#[test]
fn loom_mq_two_receivers_get_one_message_each() {
    model(2, || {
        let queue = queue(2);
        let other = Arc::clone(&queue);
        let thread = thread::spawn(move || receive(&other));
        let sender = Arc::clone(&queue);
        let putter = thread::spawn(move || {
            send(&sender, b"a");
            send(&sender, b"b");
        });
        let mine = receive(&queue);
        assert!(putter.join().is_ok());
        let Ok(theirs) = thread.join() else {
            panic!("the other receiver")
        };
        assert_ne!(mine, theirs);
        assert_eq!(queue.len(), 0);
    });
}

#[test]
fn loom_mq_receiver_that_gives_up_loses_no_message() {
    model(3, || {
        let queue = queue(2);
        let other = Arc::clone(&queue);
        let thread = thread::spawn(move || {
            let sleeper = TestSleeper::new();
            // A signal is there from the beginning: it takes a message that is there, or gives up.
            sleeper.signal();
            block_on(other.receive(&sleeper, None)).is_ok()
        });
        send(&queue, b"a");
        let Ok(taken) = thread.join() else {
            panic!("the other receiver")
        };
        assert_eq!(queue.len(), usize::from(!taken));
    });
}
