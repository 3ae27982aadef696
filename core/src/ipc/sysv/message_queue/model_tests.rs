//! The queue against a plain model, with senders and receivers that sleep and are killed: after every step those who can go on have gone on,
//! and nobody else. proptest prints the seed and the shortest sequence that fails.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ipc::sysv::testing::{Actor, by, header};
use crate::wait::testing::TestSleeper;

#[derive(Clone, Debug)]
enum Step {
    Send {
        kind: i64,
        length: usize,
        wait: bool,
    },
    Receive {
        kind: i64,
        except: bool,
        room: usize,
        truncate: bool,
        wait: bool,
    },
    Copy {
        index: usize,
        room: usize,
    },
    Limit(usize),
    Kill(usize),
    /// The next receive cannot store what it gets.
    Fault,
    Remove,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![4 => 0..5_usize, 1 => 40..60_usize];
    let room = prop_oneof![1 => 0..5_usize, 4 => 40..60_usize];
    let kind = -4..5_i64;
    prop_oneof![
        10 => (1..5_i64, length, any::<bool>())
            .prop_map(|(kind, length, wait)| Step::Send { kind, length, wait }),
        10 => (kind, any::<bool>(), room.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(kind, except, room, truncate, wait)| Step::Receive { kind, except, room, truncate, wait }
        ),
        1 => (0..4_usize, room).prop_map(|(index, room)| Step::Copy { index, room }),
        1 => (0..120_usize).prop_map(Step::Limit),
        2 => (0..9_usize).prop_map(Step::Kill),
        1 => Just(Step::Fault),
        1 => Just(Step::Remove),
    ]
}

/// What a call came to: the message received, or nothing.
type Came = Result<Option<(i64, usize)>>;

/// Somebody who sleeps in the model: who, and what for.
enum Sleeping {
    Sends(i64, usize),
    Receives(Wanted),
}

struct Model {
    messages: Vec<(i64, usize)>,
    sleeping: Vec<(usize, Sleeping)>,
    limit: usize,
    removed: bool,
    /// What sleepers came to since this was last looked at.
    came: Vec<(usize, Came)>,
}

impl Model {
    fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message.1).sum()
    }

    fn fits(&self, length: usize) -> bool {
        self.bytes() + length <= self.limit && self.messages.len() < self.limit
    }

    fn position(&self, select: Select) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (at, (kind, _)) in self.messages.iter().enumerate() {
            let better = match select {
                Select::UpTo(most) => {
                    *kind <= most && best.is_none_or(|best| *kind < self.messages[best].0)
                }
                Select::Oldest => best.is_none(),
                Select::Of(wanted) => *kind == wanted && best.is_none(),
                Select::Except(unwanted) => *kind != unwanted && best.is_none(),
            };
            if better {
                best = Some(at);
            }
        }
        best
    }

    fn deliver(&mut self, message: (i64, usize)) {
        let mut at = 0;
        while at < self.sleeping.len() {
            let (who, Sleeping::Receives(wanted)) = &self.sleeping[at] else {
                at += 1;
                continue;
            };
            let who = *who;
            if !wanted.select.wants(message.0) {
                at += 1;
                continue;
            }
            let (room, truncate) = (wanted.room, wanted.truncate);
            self.sleeping.remove(at);
            if message.1 > room && !truncate {
                self.came.push((who, Err(Errno::E2BIG)));
                continue;
            }
            self.came
                .push((who, Ok(Some((message.0, message.1.min(room))))));
            return;
        }
        self.messages.push(message);
    }

    fn admit(&mut self) {
        let mut at = 0;
        while at < self.sleeping.len() {
            match self.sleeping[at] {
                (who, Sleeping::Sends(kind, length)) if self.fits(length) => {
                    self.sleeping.remove(at);
                    self.came.push((who, Ok(None)));
                    self.deliver((kind, length));
                    at = 0;
                }
                _ => at += 1,
            }
        }
    }

    fn send(&mut self, who: usize, kind: i64, length: usize, wait: bool) -> Option<Came> {
        if self.removed {
            return Some(Err(Errno::EIDRM));
        }
        if self.fits(length) {
            self.deliver((kind, length));
            return Some(Ok(None));
        }
        if !wait {
            return Some(Err(Errno::EAGAIN));
        }
        self.sleeping.push((who, Sleeping::Sends(kind, length)));
        None
    }

    fn receive(&mut self, who: usize, wanted: Wanted, wait: bool, fault: bool) -> Option<Came> {
        if self.removed {
            return Some(Err(Errno::EIDRM));
        }
        let Some(at) = self.position(wanted.select) else {
            if !wait {
                return Some(Err(Errno::ENOMSG));
            }
            self.sleeping.push((who, Sleeping::Receives(wanted)));
            return None;
        };
        let (kind, length) = self.messages[at];
        if length > wanted.room && !wanted.truncate {
            return Some(Err(Errno::E2BIG));
        }
        if fault {
            return Some(Err(Errno::EFAULT));
        }
        self.messages.remove(at);
        self.admit();
        Some(Ok(Some((kind, length.min(wanted.room)))))
    }
}

async fn send(queue: Arc<MessageQueue>, kind: i64, length: usize, wait: bool) -> Came {
    let text = |into: &mut [u8]| {
        into.fill(kind as u8);
        Ok(())
    };
    let message = Message::with(kind, length, text)?;
    if let Some(mut place) = queue.send(message, wait, by(1))? {
        place
            .wait(&TestSleeper::new(), None)
            .await
            .map_err(|why| why.errno())??;
    }
    Ok(None)
}

async fn receive(queue: Arc<MessageQueue>, wanted: Wanted, wait: bool, fault: bool) -> Came {
    let mut kind = 0;
    let mut store = |message: &Message, _: usize| {
        assert!(
            message
                .text()
                .iter()
                .all(|byte| i64::from(*byte) == message.kind)
        );
        kind = message.kind;
        if fault { Err(Errno::EFAULT) } else { Ok(()) }
    };
    let count = match queue.receive(wanted, wait, by(2), &mut store)? {
        Received::Done(count) => count,
        Received::Waits(mut place) => {
            let message = place.wait(&TestSleeper::new(), None).await;
            let message = message.map_err(|why| why.errno())??;
            queue.finish_receive(message, &wanted, |message, _| {
                kind = message.kind;
                Ok(())
            })?
        }
    };
    Ok(Some((kind, count)))
}

/// Runs `steps` on a queue and on the model.
fn compare(steps: Vec<Step>) -> core::result::Result<(), TestCaseError> {
    let limits = Limits {
        bytes: 60,
        message: 64,
        count: usize::MAX,
    };
    let queue = Arc::new(MessageQueue::new(header(), limits, 0));
    let mut model = Model {
        messages: vec![],
        sleeping: vec![],
        limit: 60,
        removed: false,
        came: vec![],
    };
    let mut actors: Vec<(usize, Actor<Came>)> = vec![];
    let mut fault = false;
    for (who, step) in steps.into_iter().enumerate() {
        let (actor, expected) = match step {
            Step::Send { kind, length, wait } => (
                Actor::new(send(queue.clone(), kind, length, wait)),
                model.send(who, kind, length, wait),
            ),
            Step::Receive {
                kind,
                except,
                room,
                truncate,
                wait,
            } => {
                let select = Select::from_type(kind, except);
                let wanted = Wanted {
                    select,
                    room,
                    truncate,
                };
                let faults = core::mem::take(&mut fault);
                (
                    Actor::new(receive(queue.clone(), wanted, wait, faults)),
                    model.receive(who, wanted, wait, faults),
                )
            }
            Step::Copy { index, room } => {
                let wanted = Wanted {
                    select: Select::Oldest,
                    room,
                    truncate: false,
                };
                let copied = queue.copy(index, &wanted, |_, _| Ok(()));
                let expected = match model.messages.get(index) {
                    _ if model.removed => Err(Errno::EIDRM),
                    None => Err(Errno::ENOMSG),
                    Some((_, length)) if *length > room => Err(Errno::E2BIG),
                    Some((_, length)) => Ok(*length),
                };
                prop_assert_eq!(copied, expected);
                continue;
            }
            Step::Limit(bytes) => {
                queue.set_limit(bytes, 0);
                model.limit = bytes;
                model.admit();
                settle(&mut actors, &mut model)?;
                continue;
            }
            Step::Kill(which) => {
                if !actors.is_empty() {
                    let (who, actor) = actors.remove(which % actors.len());
                    drop(actor);
                    model.sleeping.retain(|sleeping| sleeping.0 != who);
                }
                continue;
            }
            Step::Fault => {
                fault = true;
                continue;
            }
            Step::Remove => {
                queue.remove();
                model.removed = true;
                model.messages.clear();
                for (who, _) in model.sleeping.drain(..) {
                    model.came.push((who, Err(Errno::EIDRM)));
                }
                settle(&mut actors, &mut model)?;
                continue;
            }
        };
        let mut actor = actor;
        let came = actor.run();
        prop_assert_eq!(came, expected);
        if came.is_none() {
            actors.push((who, actor));
        }
        settle(&mut actors, &mut model)?;
        let status = queue.status();
        prop_assert_eq!(
            (status.count, status.bytes),
            (model.messages.len(), model.bytes())
        );
        prop_assert_eq!(actors.len(), model.sleeping.len());
        let (senders, receivers) = queue.sleepers();
        prop_assert_eq!(senders + receivers, actors.len());
    }
    Ok(())
}

/// All who were called have a turn; what they came to is what the model says.
fn settle(
    actors: &mut Vec<(usize, Actor<Came>)>,
    model: &mut Model,
) -> core::result::Result<(), TestCaseError> {
    let mut came = vec![];
    actors.retain_mut(|(who, actor)| match actor.run() {
        Some(result) => {
            came.push((*who, result));
            false
        }
        None => true,
    });
    let mut expected = core::mem::take(&mut model.came);
    expected.sort_by_key(|came| came.0);
    prop_assert_eq!(came, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn message_queue_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        compare(steps)?;
    }
}
