//! The queue under the model checker: a sleeper against whoever frees it. A lost wake-up shows as a deadlock.

use loom::future::block_on;
use loom::thread;

use super::*;
use crate::ipc::sysv::testing_loom::{by, header, model};
use crate::wait::testing::TestSleeper;

const ANY: Wanted = Wanted {
    select: Select::Oldest,
    room: 100,
    truncate: false,
};

fn queue(bytes: usize) -> Arc<MessageQueue> {
    let limits = Limits {
        bytes,
        ..Limits::SYSTEM_V
    };
    Arc::new(MessageQueue::new(header(), limits, 0))
}

fn send(queue: &Arc<MessageQueue>, kind: i64) -> Result<()> {
    let message = Message::with(kind, 1, |_| Ok(()))?;
    match queue.send(message, true, by(1))? {
        None => Ok(()),
        Some(mut place) => {
            block_on(place.wait(&TestSleeper::new(), None)).map_err(|why| why.errno())?
        }
    }
}

fn receive(queue: &Arc<MessageQueue>, select: Select) -> Result<i64> {
    let wanted = Wanted { select, ..ANY };
    let mut kind = 0;
    let store = |message: &Message, _: usize| {
        kind = message.kind;
        Ok(())
    };
    match queue.receive(wanted, true, by(2), store)? {
        Received::Done(_) => Ok(kind),
        Received::Waits(mut place) => {
            let given = block_on(place.wait(&TestSleeper::new(), None));
            given
                .map_err(|why| why.errno())?
                .map(|message| message.kind)
        }
    }
}

#[test]
fn loom_message_receiver_meets_its_message() {
    model(3, || {
        let queue = queue(10);
        let other = queue.clone();
        let thread = thread::spawn(move || {
            assert_eq!(send(&other, 1), Ok(()));
            assert_eq!(send(&other, 2), Ok(()));
        });
        assert_eq!(receive(&queue, Select::Of(2)), Ok(2));
        assert_eq!(receive(&queue, Select::Oldest), Ok(1));
        assert!(thread.join().is_ok());
    });
}

#[test]
fn loom_message_sender_meets_room() {
    model(3, || {
        let queue = queue(1);
        assert_eq!(send(&queue, 1), Ok(()));
        let other = queue.clone();
        let thread = thread::spawn(move || assert_eq!(send(&other, 2), Ok(())));
        assert_eq!(receive(&queue, Select::Oldest), Ok(1));
        assert_eq!(receive(&queue, Select::Oldest), Ok(2));
        assert!(thread.join().is_ok());
    });
}

#[test]
fn loom_message_removal_ends_a_wait() {
    model(3, || {
        let queue = queue(1);
        let other = queue.clone();
        let thread = thread::spawn(move || other.remove());
        assert_eq!(receive(&queue, Select::Oldest), Err(Errno::EIDRM));
        assert!(thread.join().is_ok());
    });
}
