//! Pairs of sockets against plain reference models under random operations of both sides, and actors that block against the
//! promise that nobody sleeps who could go on. proptest prints the seed and the shortest sequence that fails.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Waker};

use proptest::prelude::*;

use super::testing::{ME, receive, receive_waiting, send, send_waiting};
use super::*;
use crate::Result;
use crate::fs::file::{File, Readiness};
use crate::wait::testing::Bell;

/// The send buffers' size.
const LIMIT: usize = 16_000;

#[derive(Clone, Debug)]
enum Step {
    Send(usize, usize),
    Receive(usize, usize),
    Shut(usize, bool, bool),
    Close(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![0..4_usize, 1..300_usize, 4090..4100_usize, 1..12_000_usize];
    prop_oneof![
        10 => (0..2_usize, size()).prop_map(|(side, size)| Step::Send(side, size)),
        10 => (0..2_usize, size()).prop_map(|(side, size)| Step::Receive(side, size)),
        1 => (0..2_usize, any::<bool>(), any::<bool>())
            .prop_map(|(side, receiving, sending)| Step::Shut(side, receiving, sending)),
        1 => (0..2_usize).prop_map(Step::Close),
    ]
}

/// What is on the way to one side: a stream's pieces are its bytes.
#[derive(Default)]
struct Way {
    messages: VecDeque<Vec<u8>>,
    shut: bool,
    reset: bool,
}

impl Way {
    fn used(&self, kind: Kind) -> usize {
        let cost = if kind == Kind::Stream { 0 } else { 512 };
        self.messages.iter().map(|it| it.len() + cost).sum()
    }

    fn send(&mut self, kind: Kind, data: &[u8]) -> Result<usize> {
        if self.shut {
            return Err(Errno::EPIPE);
        }
        if kind == Kind::SeqPacket {
            if self.used(kind) >= LIMIT {
                return Err(Errno::EAGAIN);
            }
            self.messages.push_back(data.to_vec());
            return Ok(data.len());
        }
        let mut done = 0;
        // Piece by piece, a page each; one that finds any room is taken whole.
        while done < data.len() && self.used(kind) < LIMIT {
            let piece = &data[done..data.len().min(done + 4096)];
            self.messages.push_back(piece.to_vec());
            done += piece.len();
        }
        if done == 0 && !data.is_empty() {
            Err(Errno::EAGAIN)
        } else {
            Ok(done)
        }
    }

    fn receive(&mut self, kind: Kind, room: usize) -> Result<Vec<u8>> {
        let filled = self
            .messages
            .iter()
            .any(|it| !it.is_empty() || kind == Kind::SeqPacket);
        if self.reset && (kind == Kind::SeqPacket || !filled) {
            self.reset = false;
            return Err(Errno::ECONNRESET);
        }
        if !filled {
            return if self.shut {
                Ok(vec![])
            } else {
                Err(Errno::EAGAIN)
            };
        }
        if kind == Kind::SeqPacket {
            let mut message = self.messages.pop_front().unwrap_or_default();
            message.truncate(room);
            return Ok(message);
        }
        let pieces: Vec<Vec<u8>> = self.messages.drain(..).collect();
        let mut bytes = pieces.concat();
        let rest = bytes.split_off(room.min(bytes.len()));
        self.messages.push_back(rest);
        Ok(bytes)
    }

    fn poll(inbox: &Way, outbox: &Way, kind: Kind) -> Readiness {
        let filled = inbox.used(kind) > 0;
        let mut ready = Readiness::empty();
        ready.set(Readiness::IN | Readiness::RDNORM, filled || inbox.shut);
        ready.set(Readiness::RDHUP, inbox.shut);
        ready.set(Readiness::HUP, inbox.shut && outbox.shut);
        ready.set(Readiness::ERR, inbox.reset);
        let roomy = outbox.used(kind) <= LIMIT / 4;
        ready.set(Readiness::OUT | Readiness::WRNORM, roomy);
        ready
    }
}

/// Runs `steps` on a pair and on the model.
fn compare(kind: Kind, steps: Vec<Step>) -> core::result::Result<(), TestCaseError> {
    let mut sockets = Socket::pair(kind, ME).map(Some);
    for socket in sockets.iter().flatten() {
        socket.set_send_buffer(LIMIT as u32 / 2, false);
    }
    let mut ways = [Way::default(), Way::default()];
    let mut next = 0_u8;
    for step in steps {
        match step {
            Step::Send(side, size) => {
                let Some(socket) = &sockets[side] else {
                    continue;
                };
                let mut data = vec![next; size];
                data.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x55);
                next = next.wrapping_add(101);
                let expected = if kind == Kind::SeqPacket && ways[side].reset {
                    ways[side].reset = false;
                    Err(Errno::ECONNRESET)
                } else {
                    ways[1 - side].send(kind, &data)
                };
                prop_assert_eq!(send(socket, &data), expected);
            }
            Step::Receive(side, room) => {
                let Some(socket) = &sockets[side] else {
                    continue;
                };
                prop_assert_eq!(receive(socket, room), ways[side].receive(kind, room));
            }
            Step::Shut(side, receiving, sending) => {
                let Some(socket) = &sockets[side] else {
                    continue;
                };
                socket.shut_down(receiving, sending);
                ways[side].shut |= receiving;
                ways[1 - side].shut |= sending;
            }
            Step::Close(side) => {
                if sockets[side].take().is_none() {
                    continue;
                }
                ways[1 - side].reset |= ways[side].used(kind) > 0;
                ways[side].messages.clear();
                ways[0].shut = true;
                ways[1].shut = true;
            }
        }
        for (side, socket) in sockets.iter().enumerate() {
            if let Some(socket) = socket {
                prop_assert_eq!(socket.poll(), Way::poll(&ways[side], &ways[1 - side], kind));
                let bytes = ways[side].messages.iter().map(Vec::len).sum();
                prop_assert_eq!(socket.unread(), Ok(bytes));
            }
        }
    }
    Ok(())
}

/// Somebody who does one blocking thing after the other.
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
        let mut context = Context::from_waker(&self.waker);
        self.call.as_mut().poll(&mut context).is_ready()
    }
}

/// Writers that share an end, readers that share the other; whoever is killed, the others come to their end.
fn run_actors(
    kind: Kind,
    sizes: &[Vec<usize>],
    readers: usize,
    turns: &[(usize, bool)],
) -> core::result::Result<(), TestCaseError> {
    let [reading, writing] = Socket::pair(kind, ME);
    writing.set_send_buffer(1, false);
    let mut actors = Vec::new();
    for sizes in sizes.iter().cloned() {
        let socket = writing.clone();
        actors.push(Actor::new(async move {
            for size in sizes {
                if send_waiting(&socket, &vec![1; size]).await.is_err() {
                    break;
                }
            }
        }));
    }
    for _ in 0..readers {
        let socket = reading.clone();
        actors.push(Actor::new(async move {
            while receive_waiting(&socket, 3000)
                .await
                .is_ok_and(|it| !it.is_empty())
            {}
        }));
    }
    drop((reading, writing));
    for &(turn, kill) in turns {
        if actors.is_empty() {
            break;
        }
        let who = turn % actors.len();
        if kill || actors[who].run() {
            drop(actors.remove(who));
        }
    }
    while actors.iter_mut().any(Actor::woken) {
        actors.retain_mut(|actor| !actor.run());
    }
    prop_assert_eq!(actors.len(), 0, "somebody sleeps who could go on");
    Ok(())
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Stream), Just(Kind::SeqPacket)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unix_pair_agrees_with_the_model(kind in kinds(), steps in prop::collection::vec(step(), 1..60)) {
        compare(kind, steps)?;
    }

    #[test]
    fn unix_actors_never_sleep_while_they_could_go_on(
        kind in kinds(),
        sizes in prop::collection::vec(prop::collection::vec(1..9000_usize, 1..6), 1..4),
        readers in 1..4_usize,
        turns in prop::collection::vec((0..100_usize, prop::bool::weighted(0.02)), 0..150),
    ) {
        run_actors(kind, &sizes, readers, &turns)?;
    }
}
