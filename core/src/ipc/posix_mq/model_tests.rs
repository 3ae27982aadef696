//! The queue against a plain reference model: several actors that send and receive, wait, are interrupted and die, in random
//! order. proptest prints the seed and the shortest sequence that fails.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use proptest::prelude::*;

use super::*;
use crate::wait::testing::{Bell, TestSleeper};

#[derive(Clone, Debug)]
enum Step {
    Send(u32),
    Receive,
    /// A receive whose buffer faults.
    Fault,
    WaitToSend(u32),
    WaitToReceive,
    /// The actor at this place, modulo those there are, runs.
    Run(usize),
    /// A signal for it; it runs.
    Interrupt(usize),
    /// It is killed.
    Kill(usize),
    Register,
    Unregister,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u32).prop_map(Step::Send),
        5 => Just(Step::Receive),
        1 => Just(Step::Fault),
        4 => (0..4_u32).prop_map(Step::WaitToSend),
        4 => Just(Step::WaitToReceive),
        4 => (0..9_usize).prop_map(Step::Run),
        1 => (0..9_usize).prop_map(Step::Interrupt),
        2 => (0..9_usize).prop_map(Step::Kill),
        2 => Just(Step::Register),
        1 => Just(Step::Unregister),
    ]
}

/// A message of the model: priority, number, which is also its text.
type Letter = (u32, u64);

/// An actor of the model that waits.
#[derive(Clone, Debug, PartialEq)]
enum Waiting {
    Receiver(Option<Letter>),
    Sender(Letter, bool),
}

#[derive(Default)]
struct Model {
    held: Vec<Letter>,
    capacity: usize,
    registered: bool,
    /// In the order in which they came.
    actors: Vec<Waiting>,
}

impl Model {
    /// Whether somebody is told.
    fn deliver(&mut self, letter: Letter) -> bool {
        let idle = self
            .actors
            .iter_mut()
            .find(|it| **it == Waiting::Receiver(None));
        if let Some(receiver) = idle {
            *receiver = Waiting::Receiver(Some(letter));
            return false;
        }
        self.held.push(letter);
        self.held.len() == 1 && core::mem::take(&mut self.registered)
    }

    fn send(&mut self, letter: Letter) -> Result<bool> {
        if self.held.len() >= self.capacity {
            return Err(Errno::EAGAIN);
        }
        Ok(self.deliver(letter))
    }

    fn receive(&mut self) -> Result<Letter> {
        let best = self
            .held
            .iter()
            .copied()
            .max_by_key(|(priority, number)| (*priority, u64::MAX - number))
            .ok_or(Errno::EAGAIN)?;
        self.held.retain(|it| *it != best);
        let waiting = self.actors.iter_mut().find_map(|it| match it {
            Waiting::Sender(letter, done @ false) => Some((*letter, done)),
            _ => None,
        });
        if let Some((letter, done)) = waiting {
            *done = true;
            self.held.push(letter);
        }
        Ok(best)
    }
}

enum Ended {
    Sent(core::result::Result<Option<Notification>, Interruption>),
    Received(core::result::Result<Message, Interruption>),
}

/// An actor on the real queue.
struct Actor {
    call: Pin<Box<dyn Future<Output = Ended>>>,
    sleeper: Arc<TestSleeper>,
    bell: Arc<Bell>,
    waker: Waker,
}

impl Actor {
    fn poll(&mut self) -> Poll<Ended> {
        self.call
            .as_mut()
            .poll(&mut Context::from_waker(&self.waker))
    }
}

fn actor<F: Future<Output = Ended> + 'static>(make: impl FnOnce(Arc<TestSleeper>) -> F) -> Actor {
    let (bell, waker) = Bell::new();
    let sleeper = Arc::new(TestSleeper::new());
    Actor {
        call: Box::pin(make(Arc::clone(&sleeper))),
        sleeper,
        bell,
        waker,
    }
}

struct Bench {
    queue: Arc<Queue>,
    model: Model,
    actors: Vec<Actor>,
    next: u64,
}

fn text(message: &Message) -> Letter {
    let bytes = message.bytes().try_into().unwrap_or_default();
    (message.priority(), u64::from_le_bytes(bytes))
}

type Checked = core::result::Result<(), TestCaseError>;

impl Bench {
    fn letter(&mut self, priority: u32) -> Letter {
        self.next += 1;
        (priority, self.next)
    }

    fn send(&mut self, priority: u32) -> Checked {
        let letter = self.letter(priority);
        let bytes = letter.1.to_le_bytes();
        let told = self.queue.try_send(&mut &bytes[..], priority);
        let told = told.map(|it| it.is_some());
        prop_assert_eq!(told, self.model.send(letter));
        Ok(())
    }

    fn receive(&mut self) -> Checked {
        let mut found = None;
        let outcome = self.queue.try_receive(|message| {
            found = Some(text(message));
            Ok(())
        });
        let found = outcome.map(|_| found.unwrap_or_default());
        prop_assert_eq!(found, self.model.receive());
        Ok(())
    }

    fn wait_to_send(&mut self, priority: u32) -> Checked {
        let letter = self.letter(priority);
        let queue = Arc::clone(&self.queue);
        let bytes = letter.1.to_le_bytes();
        let Ok(message) = Queue::message(&mut &bytes[..], priority) else {
            return Err(TestCaseError::fail("no memory"));
        };
        let mut actor =
            actor(|sleeper| async move { Ended::Sent(queue.send(&*sleeper, message, None).await) });
        let polled = actor.poll();
        match (polled, self.model.send(letter)) {
            (Poll::Ready(Ended::Sent(Ok(told))), Ok(expected)) => {
                prop_assert_eq!(told.is_some(), expected);
            }
            (Poll::Pending, Err(Errno::EAGAIN)) => {
                self.model.actors.push(Waiting::Sender(letter, false));
                self.actors.push(actor);
            }
            _ => return Err(TestCaseError::fail("a send waits, or does not")),
        }
        Ok(())
    }

    fn wait_to_receive(&mut self) -> Checked {
        let queue = Arc::clone(&self.queue);
        let mut actor =
            actor(|sleeper| async move { Ended::Received(queue.receive(&*sleeper, None).await) });
        let polled = actor.poll();
        match (polled, self.model.receive()) {
            (Poll::Ready(Ended::Received(Ok(message))), Ok(expected)) => {
                prop_assert_eq!(text(&message), expected);
            }
            (Poll::Pending, Err(Errno::EAGAIN)) => {
                self.model.actors.push(Waiting::Receiver(None));
                self.actors.push(actor);
            }
            _ => return Err(TestCaseError::fail("a receive waits, or does not")),
        }
        Ok(())
    }

    fn run(&mut self, who: usize, interrupt: bool) -> Checked {
        if self.actors.is_empty() {
            return Ok(());
        }
        let who = who % self.actors.len();
        if interrupt {
            self.actors[who].sleeper.signal();
        }
        let served = match &self.model.actors[who] {
            Waiting::Receiver(given) => given.is_some(),
            Waiting::Sender(_, done) => *done,
        };
        prop_assert!(!served || self.actors[who].bell.rings() > 0, "not woken");
        let polled = self.actors[who].poll();
        let ended = match (polled, &self.model.actors[who]) {
            (Poll::Pending, _) => !served && !interrupt,
            (Poll::Ready(Ended::Sent(Ok(None))), Waiting::Sender(_, done)) => *done,
            (Poll::Ready(Ended::Received(Ok(message))), Waiting::Receiver(Some(letter))) => {
                text(&message) == *letter
            }
            (
                Poll::Ready(
                    Ended::Sent(Err(Interruption::Signal))
                    | Ended::Received(Err(Interruption::Signal)),
                ),
                _,
            ) => interrupt && !served,
            _ => false,
        };
        prop_assert!(ended, "served {}, interrupted {}", served, interrupt);
        if served || interrupt {
            self.actors.remove(who);
            self.model.actors.remove(who);
        }
        Ok(())
    }

    fn kill(&mut self, who: usize) {
        if self.actors.is_empty() {
            return;
        }
        let who = who % self.actors.len();
        let gone = self.model.actors.remove(who);
        drop(self.actors.remove(who));
        if let Waiting::Receiver(Some(letter)) = gone {
            self.model.deliver(letter);
        }
    }

    fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::Send(priority) => self.send(priority)?,
            Step::Receive => self.receive()?,
            Step::Fault => {
                let empty = self.model.held.is_empty();
                let expected = if empty { Errno::EAGAIN } else { Errno::EFAULT };
                let outcome = self.queue.try_receive(|_| Err(Errno::EFAULT));
                prop_assert_eq!(outcome, Err(expected));
            }
            Step::WaitToSend(priority) => self.wait_to_send(priority)?,
            Step::WaitToReceive => self.wait_to_receive()?,
            Step::Run(who) => self.run(who, false)?,
            Step::Interrupt(who) => self.run(who, true)?,
            Step::Kill(who) => self.kill(who),
            Step::Register => {
                let outcome = self.queue.register(Notification {
                    owner: Weak::new(),
                    table: 1,
                    signal: None,
                });
                prop_assert_eq!(outcome.is_err(), self.model.registered);
                self.model.registered = true;
            }
            Step::Unregister => {
                self.queue.flush(1);
                self.model.registered = false;
            }
        }
        let held = self.model.held.len();
        prop_assert_eq!(self.queue.len(), held);
        let ready = self.queue.poll();
        prop_assert_eq!(ready.contains(Readiness::IN), held > 0);
        prop_assert_eq!(ready.contains(Readiness::OUT), held < self.model.capacity);
        Ok(())
    }
}

fn compare(capacity: usize, steps: VecDeque<Step>) -> Checked {
    let shape = Shape {
        messages: capacity,
        bytes: 8,
    };
    let mut bench = Bench {
        queue: Queue::new(shape, None),
        model: Model {
            capacity,
            ..Model::default()
        },
        actors: vec![],
        next: 0,
    };
    for step in steps {
        bench.step(step)?;
    }
    drop(bench.actors);
    let state = bench.queue.state.lock();
    prop_assert_eq!(state.senders.len() + state.receivers.len(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn queue_agrees_with_the_model(
        capacity in 1..4_usize,
        steps in prop::collection::vec_deque(step(), 1..80),
    ) {
        compare(capacity, steps)?;
    }
}
