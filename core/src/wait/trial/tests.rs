//! Both ways, held to the same results; and each call dropped at each point where it waits.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;

use super::channel::Stage;
use super::executor::RunQueue;
use super::futures::Futures;
use super::state_machine::StateMachine;
use super::*;
use crate::fs::file::{File, Readiness};
use crate::ipc::pipe::Pipe;
use crate::wait::testing::Bell;

/// The objects that a call may touch.
struct World {
    reader: Arc<PipeReader>,
    writer: Arc<PipeWriter>,
    channel: Arc<Channel>,
    thread: Arc<Thread>,
}

/// A call, and what others do between its polls.
type Script = (fn(&World) -> Call, Vec<fn(&World)>);

impl World {
    fn new() -> World {
        let Ok((reader, writer)) = Pipe::pair() else {
            panic!("no pipe")
        };
        World {
            reader: Arc::new(reader),
            writer: Arc::new(writer),
            channel: Arc::new(Channel::default()),
            thread: Thread::new(),
        }
    }

    /// Calls, each with what others do between its polls, one step a poll, until it is done.
    fn scripts() -> Vec<Script> {
        vec![
            (
                |world| Call::Read {
                    end: world.reader.clone(),
                    room: Room::new(8),
                },
                vec![World::nothing, World::put],
            ),
            (
                |world| Call::Read {
                    end: world.reader.clone(),
                    room: Room::faulting(8),
                },
                vec![World::nothing, World::put],
            ),
            (
                |world| Call::Write {
                    end: world.writer.clone(),
                    bytes: Bytes::new(140_000),
                },
                vec![World::drain, World::nothing, World::drain],
            ),
            (
                |world| Call::Ask {
                    channel: world.channel.clone(),
                    message: 7,
                },
                vec![World::nothing, World::take, World::answer],
            ),
            (
                |world| Call::Answer {
                    channel: world.channel.clone(),
                    reply: None,
                },
                vec![World::nothing, World::send],
            ),
            (
                |_| Call::SleepUntil(Instant(100)),
                vec![World::nothing, World::later],
            ),
        ]
    }

    fn nothing(&self) {}

    fn put(&self) {
        assert_eq!(self.writer.try_write(&mut Bytes::new(8), 0), Ok(8));
    }

    fn drain(&self) {
        assert_eq!(self.reader.try_read(&mut Room::new(65536), 0), Ok(65536));
    }

    fn take(&self) {
        assert_eq!(self.channel.try_receive(), Some(7));
    }

    fn answer(&self) {
        self.channel.reply(9);
    }

    fn send(&self) {
        assert_eq!(self.channel.try_send(7), Some(()));
    }

    fn later(&self) {
        self.thread.sleeper.set_now(Instant(100));
    }

    /// Nothing of a call is left: no place, no alarm, no reference, no call in the channel that nobody will end.
    fn check_clean(&self) {
        for queue in [
            self.reader.queue(),
            self.writer.queue(),
            &self.channel.callers,
            &self.channel.caller,
            &self.channel.servers,
        ] {
            assert_eq!(queue.waiting(), 0);
            assert!(queue.is_idle());
        }
        assert_eq!(self.thread.sleeper.alarm(), None);
        assert_eq!(Arc::strong_count(&self.reader), 1);
        assert_eq!(Arc::strong_count(&self.writer), 1);
        assert_eq!(Arc::strong_count(&self.channel), 1);
        assert_eq!(Arc::strong_count(&self.thread), 1);
    }
}

/// Runs `call`, and drops it after `polls` polls. None: dropped.
fn run<M: Model>(
    call: fn(&World) -> Call,
    script: &[fn(&World)],
    polls: usize,
) -> Option<Result<usize>> {
    let world = World::new();
    let mut model = M::default();
    if let Some(done) = model.start(call(&world), &world.thread) {
        return Some(done);
    }
    for turn in 0..polls {
        let polled = model.poll(&world.thread, &mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = polled {
            assert!(model.is_empty());
            world.check_clean();
            return Some(done);
        }
        if let Some(step) = script.get(turn) {
            step(&world);
        }
    }
    model.clear();
    assert!(model.is_empty());
    world.check_clean();
    match world.channel.stage() {
        Stage::Orphaned => {
            world.channel.reply(9);
            assert_eq!(world.channel.stage(), Stage::Free);
        }
        // A message that no server has received, though it could.
        stage => assert!(matches!(stage, Stage::Free | Stage::Sent(7)), "{stage:?}"),
    }
    None
}

fn ends_as<M: Model>() -> Vec<Option<Result<usize>>> {
    World::scripts()
        .into_iter()
        .map(|(call, script)| run::<M>(call, &script, 10))
        .collect()
}

fn drops_everywhere<M: Model>() {
    for (call, script) in World::scripts() {
        let mut polls = 0;
        while run::<M>(call, &script, polls).is_none() {
            polls += 1;
        }
        assert!(polls >= 2, "the script never made it wait");
    }
}

#[test]
fn trial_both_ways_end_alike() {
    let expected: Vec<Option<Result<usize>>> = vec![
        Some(Ok(8)),
        Some(Err(Errno::EFAULT)),
        Some(Ok(140_000)),
        Some(Ok(9)),
        Some(Ok(7)),
        Some(Ok(0)),
    ];
    assert_eq!(ends_as::<Futures>(), expected);
    assert_eq!(ends_as::<StateMachine>(), expected);
}

#[test]
fn trial_futures_dropped_at_every_wait_leave_nothing() {
    drops_everywhere::<Futures>();
}

#[test]
fn trial_state_machine_dropped_at_every_wait_leaves_nothing() {
    drops_everywhere::<StateMachine>();
}

/// Two wait for one pipe; the first is reached by the wake and killed before it runs.
fn hands_the_wake_on<M: Model>() {
    let world = World::new();
    let (mut first, mut second) = (M::default(), M::default());
    let (bell, waker) = Bell::new();
    for (model, waker) in [(&mut first, Waker::noop()), (&mut second, &waker)] {
        let call = Call::Read {
            end: world.reader.clone(),
            room: Room::new(8),
        };
        assert!(model.start(call, &world.thread).is_none());
        assert!(
            model
                .poll(&world.thread, &mut Context::from_waker(waker))
                .is_pending()
        );
    }
    world.put();
    assert_eq!(bell.rings(), 0);
    first.clear();
    assert_eq!(bell.rings(), 1);
    let polled = second.poll(&world.thread, &mut Context::from_waker(&waker));
    assert_eq!(polled, Poll::Ready(Ok(8)));
    world.check_clean();
}

#[test]
fn trial_kill_of_a_woken_reader_wakes_the_next() {
    hands_the_wake_on::<Futures>();
    hands_the_wake_on::<StateMachine>();
}

/// A fault after a wait: EFAULT, and the data is still there.
fn keeps_data_on_fault<M: Model>() {
    let world = World::new();
    let mut model = M::default();
    let call = Call::Read {
        end: world.reader.clone(),
        room: Room::faulting(8),
    };
    assert!(model.start(call, &world.thread).is_none());
    assert!(
        model
            .poll(&world.thread, &mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    world.put();
    let polled = model.poll(&world.thread, &mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(Err(Errno::EFAULT)));
    assert_eq!(world.reader.poll(), Readiness::IN | Readiness::RDNORM);
}

#[test]
fn trial_read_that_faults_after_its_wait_keeps_the_data() {
    keeps_data_on_fault::<Futures>();
    keeps_data_on_fault::<StateMachine>();
}

/// A client and a server under the executor.
fn serves<M: Model>() {
    let channel = Arc::new(Channel::default());
    let queue = RunQueue::<M>::new();
    let (served, asked) = (channel.clone(), channel);
    let mut first = true;
    queue.spawn(Box::new(move |received| {
        let reply = if core::mem::take(&mut first) {
            None
        } else {
            received.ok().map(|message| message + 1)
        };
        Some(Call::Answer {
            channel: served.clone(),
            reply,
        })
    }));
    let total = Arc::new(halyard_cell::SpinLock::new((0_usize, 0_usize)));
    let sum = total.clone();
    queue.spawn(Box::new(move |reply| {
        let mut sum = sum.lock();
        sum.1 += reply.unwrap_or(0);
        sum.0 += 1;
        (sum.0 <= 100).then(|| Call::Ask {
            channel: asked.clone(),
            message: sum.0,
        })
    }));
    queue.run();
    assert_eq!(*total.lock(), (101, (2..=101).sum()));
}

#[test]
fn trial_channel_serves_under_the_executor() {
    serves::<Futures>();
    serves::<StateMachine>();
}
