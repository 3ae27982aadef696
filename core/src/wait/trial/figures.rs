//! Instructions and sizes. Each scenario is a test that does nothing but run `TRIAL_ROUNDS` rounds; `count.sh` runs it twice
//! with different numbers of rounds, counts all instructions of the process, and divides the difference.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::executor::{Program, RunQueue};
use super::futures::{self, Futures};
use super::state_machine::StateMachine;
use super::*;
use crate::ipc::pipe::Pipe;

fn rounds() -> usize {
    std::env::var("TRIAL_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(10)
}

fn pair() -> (Arc<PipeReader>, Arc<PipeWriter>) {
    let Ok((reader, writer)) = Pipe::pair() else {
        panic!("no pipe")
    };
    (Arc::new(reader), Arc::new(writer))
}

/// Makes the calls that `calls` gives, in turn, `rounds` times.
fn repeat(rounds: usize, calls: Vec<Box<dyn Fn() -> Call + Send>>) -> Program {
    let (mut turn, mut left) = (0, rounds);
    Box::new(move |_| {
        if turn == calls.len() {
            turn = 0;
            left -= 1;
        }
        turn += 1;
        (left > 0).then(|| calls[turn - 1]())
    })
}

fn reads(end: &Arc<PipeReader>) -> Box<dyn Fn() -> Call + Send> {
    let end = end.clone();
    Box::new(move || Call::Read {
        end: end.clone(),
        room: Room::new(1),
    })
}

fn writes(end: &Arc<PipeWriter>) -> Box<dyn Fn() -> Call + Send> {
    let end = end.clone();
    Box::new(move || Call::Write {
        end: end.clone(),
        bytes: Bytes::new(1),
    })
}

/// A byte to oneself: no call waits.
fn unblocked<M: Model>() {
    let (reader, writer) = pair();
    let queue = RunQueue::<M>::new();
    queue.spawn(repeat(
        rounds(),
        alloc::vec![writes(&writer), reads(&reader)],
    ));
    queue.run();
}

/// A byte to and fro between two threads: each read waits.
fn ping_pong<M: Model>() {
    let ((ping_reader, ping_writer), (pong_reader, pong_writer)) = (pair(), pair());
    let queue = RunQueue::<M>::new();
    queue.spawn(repeat(
        rounds(),
        alloc::vec![reads(&ping_reader), writes(&pong_writer)],
    ));
    queue.spawn(repeat(
        rounds(),
        alloc::vec![writes(&ping_writer), reads(&pong_reader)],
    ));
    queue.run();
}

/// A channel call and its answer: both sides wait.
fn channel<M: Model>() {
    let channel = Arc::new(Channel::default());
    let queue = RunQueue::<M>::new();
    let served = channel.clone();
    let mut begun = false;
    queue.spawn(Box::new(move |received| {
        let reply = core::mem::replace(&mut begun, true).then(|| received.unwrap_or(0));
        Some(Call::Answer {
            channel: served.clone(),
            reply,
        })
    }));
    let ask: Box<dyn Fn() -> Call + Send> = Box::new(move || Call::Ask {
        channel: channel.clone(),
        message: 1,
    });
    queue.spawn(repeat(rounds(), alloc::vec![ask]));
    queue.run();
}

/// A wait whose time comes: the clock moves on and the alarm wakes.
fn timed<M: Model>() {
    let queue = RunQueue::<M>::new();
    let mut at = 0;
    let mut left = rounds();
    let (thread, waker) = queue.spawn(Box::new(move |_| {
        at += 10;
        left -= 1;
        (left > 0).then_some(Call::SleepUntil(Instant(at)))
    }));
    queue.run();
    while let Some(at) = thread.sleeper.alarm() {
        thread.sleeper.set_now(at);
        waker.wake_by_ref();
        queue.run();
    }
}

/// A read that waits and then faults; the byte is read by the next.
fn fault<M: Model>() {
    let (reader, writer) = pair();
    let queue = RunQueue::<M>::new();
    let end = reader.clone();
    let faults: Box<dyn Fn() -> Call + Send> = Box::new(move || Call::Read {
        end: end.clone(),
        room: Room::faulting(1),
    });
    queue.spawn(repeat(rounds(), alloc::vec![faults, reads(&reader)]));
    queue.run();
    for _ in 1..rounds() {
        assert_eq!(
            crate::fs::file::File::try_write(&*writer, &mut Bytes::new(1), 0),
            Ok(1)
        );
        queue.run();
    }
}

/// A read that waits and is killed.
fn kill<M: Model>() {
    let (reader, _writer) = pair();
    let thread = Thread::new();
    let mut model = M::default();
    for _ in 0..rounds() {
        assert!(
            model
                .start(
                    Call::Read {
                        end: reader.clone(),
                        room: Room::new(1)
                    },
                    &thread
                )
                .is_none()
        );
        let polled = model.poll(&thread, &mut Context::from_waker(core::task::Waker::noop()));
        assert!(polled.is_pending());
        model.clear();
    }
}

macro_rules! scenarios {
    ($($scenario:ident)*) => {
        mod with_futures {
            $(#[test] #[ignore = "run by count.sh"] fn $scenario() { super::$scenario::<super::Futures>(); })*
        }
        mod with_state_machine {
            $(#[test] #[ignore = "run by count.sh"] fn $scenario() { super::$scenario::<super::StateMachine>(); })*
        }
    };
}

scenarios!(unblocked ping_pong channel timed fault kill);

/// Sizes in bytes, which the slot bounds at compile time too.
#[test]
fn trial_futures_are_small() {
    let (reader, writer) = pair();
    let (thread, channel) = (Thread::new(), Arc::new(Channel::default()));
    let sizes = [
        (
            "read",
            size_of_val(&futures::read(thread.clone(), reader, Room::new(1))),
        ),
        (
            "write",
            size_of_val(&futures::write(thread.clone(), writer, Bytes::new(1), 0)),
        ),
        (
            "ask",
            size_of_val(&futures::ask(thread.clone(), channel.clone(), 1)),
        ),
        (
            "receive",
            size_of_val(&futures::receive(thread.clone(), channel)),
        ),
        ("sleep", size_of_val(&futures::sleep(thread, Instant(1)))),
        ("state machine", size_of::<StateMachine>()),
    ];
    for (name, size) in sizes {
        std::println!("{name}: {size} bytes");
        assert!(size <= 256, "{name}: {size} bytes");
    }
}
