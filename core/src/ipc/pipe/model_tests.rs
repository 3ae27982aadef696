//! The pipe against a plain reference model, and actors that block against the promise that nobody sleeps who could go on.
//! proptest prints the seed and the shortest sequence that fails.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Waker};

use proptest::prelude::*;

use super::testing::{TestSink, TestSource, read_some, write_all};
use super::*;
use crate::fs::file::File;
use crate::wait::testing::{Bell, TestSleeper};

#[derive(Clone, Debug)]
enum Step {
    Write { count: usize, fault_at: usize },
    Read { room: usize, fault_at: usize },
    Resize(usize),
    OpenReader,
    OpenWriter,
    CloseReader,
    CloseWriter,
}

/// Counts around the edges at which pipes go wrong.
fn count() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..3_usize,
        1..200_usize,
        4090..4100_usize,
        8190..8195_usize,
        1..70_000_usize
    ]
}

fn fault() -> impl Strategy<Value = usize> {
    prop_oneof![9 => Just(usize::MAX), 1 => 0..9000_usize]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (count(), fault()).prop_map(|(count, fault_at)| Step::Write { count, fault_at }),
        8 => (count(), fault()).prop_map(|(room, fault_at)| Step::Read { room, fault_at }),
        1 => count().prop_map(Step::Resize),
        1 => Just(Step::OpenReader),
        1 => Just(Step::OpenWriter),
        1 => Just(Step::CloseReader),
        1 => Just(Step::CloseWriter),
    ]
}

/// What a pipe is: bytes in order, a capacity, two counts.
struct Model {
    bytes: VecDeque<u8>,
    /// How much of the first page has been read, which is no room until the page is empty.
    spent: usize,
    capacity: usize,
    readers: usize,
    writers: usize,
}

impl Model {
    fn room(&self) -> usize {
        self.capacity - self.spent - self.bytes.len()
    }

    fn write(&mut self, data: &[u8], fault_at: usize) -> Result<usize> {
        let room = self.room();
        let count = match data.len() {
            0 => return Ok(0),
            _ if self.readers == 0 => return Err(Errno::EPIPE),
            n if n <= PIPE_BUF && n > room => return Err(Errno::EAGAIN),
            _ if room == 0 => return Err(Errno::EAGAIN),
            n => n.min(room),
        };
        // Pages are written one at a time; the one that faults is not written.
        let whole = if fault_at >= count {
            count
        } else {
            fault_at / PAGE_SIZE * PAGE_SIZE
        };
        if whole == 0 {
            return Err(Errno::EFAULT);
        }
        self.bytes.extend(&data[..whole]);
        Ok(whole)
    }

    fn read(&mut self, room: usize, fault_at: usize) -> Result<Vec<u8>> {
        let count = room.min(self.bytes.len());
        if count == 0 {
            let over = room == 0 || self.writers == 0;
            return if over { Ok(vec![]) } else { Err(Errno::EAGAIN) };
        }
        let whole = if fault_at >= count {
            count
        } else {
            fault_at / PAGE_SIZE * PAGE_SIZE
        };
        if whole == 0 {
            return Err(Errno::EFAULT);
        }
        let taken = self.bytes.drain(..whole).collect();
        self.spent = (self.spent + whole) % PAGE_SIZE;
        if self.bytes.is_empty() {
            self.spent = 0;
        }
        Ok(taken)
    }

    fn resize(&mut self, bytes: usize) -> Result<usize> {
        let capacity = bytes.max(PAGE_SIZE).next_power_of_two();
        if capacity < self.spent + self.bytes.len() {
            return Err(Errno::EBUSY);
        }
        self.capacity = capacity;
        Ok(capacity)
    }

    fn poll_read(&self) -> Readiness {
        let mut ready = Readiness::empty();
        ready.set(Readiness::IN | Readiness::RDNORM, !self.bytes.is_empty());
        ready.set(Readiness::HUP, self.writers == 0);
        ready
    }

    fn poll_write(&self) -> Readiness {
        let mut ready = Readiness::empty();
        ready.set(Readiness::OUT | Readiness::WRNORM, self.room() >= PIPE_BUF);
        ready.set(Readiness::ERR, self.readers == 0);
        ready
    }
}

/// Runs `steps` on a pipe and on the model.
fn compare(steps: Vec<Step>) -> core::result::Result<(), TestCaseError> {
    let Ok((reader, writer)) = Pipe::pair() else {
        return Err(TestCaseError::fail("no pipe"));
    };
    let pipe = writer.shared().clone();
    let (mut readers, mut writers) = (vec![reader], vec![writer]);
    let mut model = Model {
        bytes: VecDeque::new(),
        spent: 0,
        capacity: DEFAULT_CAPACITY,
        readers: 1,
        writers: 1,
    };
    let mut next = 0_u8;
    for step in steps {
        match step {
            Step::Write { count, fault_at } => {
                let data: Vec<u8> = (0..count).map(|n| next.wrapping_add(n as u8)).collect();
                next = next.wrapping_add(101);
                let Some(end) = writers.last() else { continue };
                let written = end.try_write(&mut TestSource::faulting(&data, fault_at), 0);
                prop_assert_eq!(written, model.write(&data, fault_at));
            }
            Step::Read { room, fault_at } => {
                let Some(end) = readers.last() else { continue };
                let mut sink = TestSink::faulting(room, fault_at);
                let read = end
                    .try_read(&mut sink, 0)
                    .map(|count| sink.bytes[..count].to_vec());
                prop_assert_eq!(read, model.read(room, fault_at));
            }
            Step::Resize(bytes) => {
                prop_assert_eq!(pipe.set_capacity(bytes, false), model.resize(bytes));
            }
            Step::OpenReader => readers.push(PipeReader::open(pipe.clone())),
            Step::OpenWriter => writers.push(PipeWriter::open(pipe.clone())),
            Step::CloseReader => drop(readers.pop()),
            Step::CloseWriter => drop(writers.pop()),
        }
        (model.readers, model.writers) = (readers.len(), writers.len());
        prop_assert_eq!(pipe.unread(), model.bytes.len());
        prop_assert_eq!(pipe.capacity(), model.capacity);
        prop_assert_eq!(pipe.poll_read(None), model.poll_read());
        prop_assert_eq!(pipe.poll_write(), model.poll_write());
    }
    Ok(())
}

/// Something that an actor does until it is done: a blocking call on an end of its own.
struct Actor {
    call: Pin<Box<dyn Future<Output = ()>>>,
    bell: Arc<Bell>,
    waker: Waker,
    runnable: bool,
}

impl Actor {
    fn new(call: impl Future<Output = ()> + 'static) -> Actor {
        let (bell, waker) = Bell::new();
        Actor {
            call: Box::pin(call),
            bell,
            waker,
            runnable: true,
        }
    }

    /// Whether a wake has reached it since it last ran.
    fn woken(&mut self) -> bool {
        self.runnable |= self.bell.rings() > 0;
        self.runnable
    }

    /// Polls it if it was woken; true if it is done.
    fn run(&mut self) -> bool {
        if !self.woken() {
            return false;
        }
        self.runnable = false;
        self.call
            .as_mut()
            .poll(&mut Context::from_waker(&self.waker))
            .is_ready()
    }
}

#[derive(Clone, Debug)]
struct Plan {
    /// For each writer, how many bytes each of its writes has.
    writers: Vec<Vec<usize>>,
    readers: usize,
    room: usize,
    capacity: usize,
    /// Who has the next turn, modulo those that are left; and whether it is killed instead.
    turns: Vec<(usize, bool)>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let sizes = prop_oneof![1..100_usize, 3000..5000_usize, 8000..20_000_usize];
    (
        prop::collection::vec(prop::collection::vec(sizes, 1..6), 1..4),
        1..4_usize,
        prop_oneof![50..500_usize, 1000..10_000_usize],
        prop_oneof![Just(4096), Just(8192), Just(65536)],
        prop::collection::vec((0..100_usize, prop::bool::weighted(0.01)), 0..200),
    )
        .prop_map(|(writers, readers, room, capacity, turns)| Plan {
            writers,
            readers,
            room,
            capacity,
            turns,
        })
}

/// Several readers and writers that block. Returns when nobody can go on; then nobody may be left but for whom there is
/// truly nothing to do.
fn run_actors(plan: &Plan) -> core::result::Result<(), TestCaseError> {
    let Ok((reader, writer)) = Pipe::pair() else {
        return Err(TestCaseError::fail("no pipe"));
    };
    let pipe = writer.shared().clone();
    prop_assert_eq!(pipe.set_capacity(plan.capacity, false), Ok(plan.capacity));
    let seen = Arc::new(SpinLock::new(0_usize));
    let sent = Arc::new(SpinLock::new(0_usize));
    let mut actors: Vec<Actor> = Vec::new();
    for sizes in plan.writers.clone() {
        let (end, sent) = (PipeWriter::open(pipe.clone()), sent.clone());
        actors.push(Actor::new(async move {
            let sleeper = TestSleeper::new();
            for size in sizes {
                match write_all(&end, &vec![1; size], &sleeper).await {
                    Ok(count) => *sent.lock() += count,
                    Err(_) => break,
                }
            }
        }));
    }
    for _ in 0..plan.readers {
        let (end, seen, room) = (PipeReader::open(pipe.clone()), seen.clone(), plan.room);
        actors.push(Actor::new(async move {
            let sleeper = TestSleeper::new();
            while let Ok(bytes) = read_some(&end, room, &sleeper).await {
                if bytes.is_empty() {
                    break;
                }
                *seen.lock() += bytes.len();
            }
        }));
    }
    drop((reader, writer));
    let mut killed = false;
    for &(turn, kill) in &plan.turns {
        if actors.is_empty() {
            break;
        }
        let who = turn % actors.len();
        killed |= kill;
        if kill || actors[who].run() {
            drop(actors.remove(who));
        }
    }
    // Now everybody whom a wake reaches has a turn, until there is none.
    while actors.iter_mut().any(Actor::woken) {
        actors.retain_mut(|actor| !actor.run());
    }
    prop_assert_eq!(
        actors.len(),
        0,
        "somebody sleeps who could go on: {} bytes in the pipe",
        pipe.unread()
    );
    if !killed {
        prop_assert_eq!(*sent.lock(), *seen.lock());
        prop_assert_eq!(pipe.unread(), 0);
    }
    prop_assert_eq!(pipe.readers.waiting() + pipe.writers.waiting(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pipe_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        compare(steps)?;
    }

    #[test]
    fn pipe_actors_never_sleep_while_they_could_go_on(plan in plan()) {
        run_actors(&plan)?;
    }
}
