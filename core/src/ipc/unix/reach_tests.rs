//! The collection of sockets on the way against what can be reached: random passing, receiving and closing.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::testing::{ME, eventually, receive_all, send_with};
use super::*;
use crate::fs::descriptors::DescriptorTable;
use crate::fs::open_file::{OpenFile, OpenFlags};

const PAIRS: usize = 3;
const SOCKETS: usize = 2 * PAIRS;

#[derive(Clone, Debug)]
enum Step {
    /// Over a socket, descriptors of two others.
    Pass(usize, usize, usize),
    Receive(usize),
    Close(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let one = || 0..SOCKETS;
    prop_oneof![
        4 => (one(), one(), one()).prop_map(|(over, a, b)| Step::Pass(over, a, b)),
        2 => one().prop_map(Step::Receive),
        3 => one().prop_map(Step::Close),
    ]
}

/// What holds what.
struct World {
    /// Descriptors of each socket.
    held: [Vec<i32>; SOCKETS],
    /// What is on the way to each.
    queues: [VecDeque<[usize; 2]>; SOCKETS],
    table: DescriptorTable,
    sockets: Vec<Weak<Socket>>,
}

impl World {
    fn new() -> World {
        let mut world = World {
            held: Default::default(),
            queues: Default::default(),
            table: DescriptorTable::new(),
            sockets: Vec::new(),
        };
        for _ in 0..PAIRS {
            for socket in Socket::pair(Kind::SeqPacket, ME) {
                let index = world.sockets.len();
                world.sockets.push(Arc::downgrade(&socket));
                let file = OpenFile::new(socket, OpenFlags::READ_WRITE).unwrap();
                world.hold(index, file);
            }
        }
        world
    }

    fn hold(&mut self, index: usize, file: Arc<OpenFile>) {
        let fd = self.table.insert(file, 0, 4096, false).unwrap();
        self.held[index].push(fd);
    }

    fn file(&self, index: usize) -> Option<Arc<OpenFile>> {
        let fd = self.held[index].first()?;
        self.table.get(*fd).ok().map(|file| Arc::clone(&file))
    }

    fn reachable(&self) -> [bool; SOCKETS] {
        let mut reached = self.held.each_ref().map(|fds| !fds.is_empty());
        for _ in 0..SOCKETS {
            for index in 0..SOCKETS {
                if reached[index] {
                    for held in self.queues[index].iter().flatten() {
                        reached[*held] = true;
                    }
                }
            }
        }
        reached
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Pass(over, a, b) => {
                let (Some(file), Some(first), Some(second)) =
                    (self.file(over), self.file(a), self.file(b))
                else {
                    return;
                };
                let quota = Quota {
                    user: 0,
                    limit: None,
                };
                let attachment = Attachment {
                    credentials: None,
                    rights: Rights::launch([first, second].into(), quota).unwrap(),
                };
                if send_with(file.file().socket().unwrap(), b"x", attachment).is_ok() {
                    self.queues[over ^ 1].push_back([a, b]);
                }
            }
            Step::Receive(index) => {
                let Some(file) = self.file(index) else { return };
                let socket = file.file().socket().unwrap();
                let Ok((_, mut arrival)) = receive_all(socket, 9, Request::default()) else {
                    // The peer closed with something unread.
                    return;
                };
                if arrival.rights.is_empty() {
                    return;
                }
                arrival.rights.land();
                for index in self.queues[index].pop_front().unwrap() {
                    let file = arrival.rights.take_next().unwrap();
                    self.hold(index, file);
                }
            }
            Step::Close(index) => {
                if let Some(fd) = self.held[index].pop() {
                    self.table.close(fd).unwrap();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn unix_rights_live_exactly_as_long_as_they_can_be_reached(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            let reachable = world.reachable();
            for (index, reached) in reachable.into_iter().enumerate() {
                if !reached {
                    world.queues[index].clear();
                }
                let alive = || world.sockets[index].strong_count() > 0;
                prop_assert!(eventually(|| alive() == reached), "socket {} lives: {}", index, alive());
            }
        }
    }
}
