//! Both sides over a line that flips, drops, adds and repeats bytes.

use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;
use std::{println, vec};

use super::line::Frame;
use super::*;

/// Numbers from a seed: xorshift64* (Vigna 2016).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound.max(1)
    }
}

/// A direction of a line: of so many bytes one comes to harm.
struct Line {
    one_in: u64,
    harms: u64,
}

impl Line {
    fn carry(&mut self, random: &mut Random, bytes: &[u8], to: &mut VecDeque<u8>) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            if random.below(self.one_in) != 0 {
                to.push_back(byte);
                continue;
            }
            self.harms += 1;
            match random.below(5) {
                0 => to.push_back(byte ^ (1 << random.below(8))),
                1 => at += random.below(20) as usize,
                2 => {
                    for _ in 0..=random.below(20) {
                        to.push_back(random.next() as u8);
                    }
                    to.push_back(byte);
                }
                // A run of bytes comes once more.
                3 => {
                    to.push_back(byte);
                    let back = at.saturating_sub(random.below(40) as usize);
                    to.extend(&bytes[back..at]);
                }
                // The whole of what was sent comes twice.
                _ => {
                    to.push_back(byte);
                    to.extend(&bytes[at..]);
                    to.extend(bytes);
                    at = bytes.len();
                }
            }
        }
    }
}

/// The board's memory: what came, and what was told of it.
#[derive(Default)]
struct Ram {
    kernel: Vec<u8>,
    initramfs: Vec<u8>,
    words: String,
    /// A fault of the memory itself: the sum of what lies there is another.
    bad: bool,
    full: bool,
}

impl Memory for Ram {
    fn prepare(&mut self, offer: &Offer<'_>) -> Result<(), Refusal> {
        if self.full {
            return Err(Refusal::NoRoom);
        }
        self.kernel = vec![0; offer.kernel.length as usize];
        self.initramfs = vec![0; offer.initramfs.length as usize];
        self.words = offer.words.into();
        Ok(())
    }

    fn write(&mut self, part: Part, offset: u32, bytes: &[u8]) {
        let to = match part {
            Part::Kernel => &mut self.kernel,
            Part::Initramfs => &mut self.initramfs,
        };
        to[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn sum(&mut self, part: Part) -> u32 {
        let sum = match part {
            Part::Kernel => sum(&self.kernel),
            Part::Initramfs => sum(&self.initramfs),
        };
        sum ^ u32::from(self.bad)
    }
}

/// What both ends share.
struct World<'a> {
    random: Random,
    there: Line,
    back: Line,
    board: Board<'a>,
    ram: Ram,
    now: u64,
}

impl World<'_> {
    fn new(seed: u64, one_in: u64) -> Self {
        let line = || Line { one_in, harms: 0 };
        Self {
            random: Random::new(seed),
            there: line(),
            back: line(),
            board: Board::new("bench"),
            ram: Ram::default(),
            now: 0,
        }
    }

    /// One attempt, to its end.
    fn attempt(&mut self, load: Load<'_>) -> Progress {
        let session = self.random.next() as u32;
        let mut desk = Desk::new(load, session, 115_200);
        loop {
            match desk.progress() {
                end @ (Progress::Started | Progress::Failed(_)) => return end,
                _ => self.turn(&mut desk),
            }
        }
    }

    /// Sends what is due, and lets come what comes of it.
    fn turn(&mut self, desk: &mut Desk<'_>) {
        self.now = self.now.max(desk.due());
        let mut to_board = VecDeque::new();
        if let Some(frame) = desk.poll(self.now) {
            self.there
                .carry(&mut self.random, frame.bytes(), &mut to_board);
        }
        let mut to_desk = VecDeque::new();
        for byte in to_board {
            self.now += u64::from(self.random.below(12) == 0);
            let (random, back) = (&mut self.random, &mut self.back);
            self.board
                .take(byte, self.now, &mut self.ram, &mut |bytes| {
                    back.carry(random, bytes, &mut to_desk)
                });
        }
        for byte in to_desk {
            desk.take(byte, self.now);
        }
    }
}

fn image(random: &mut Random, length: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length.max(64)).map(|_| random.next() as u8).collect();
    // Zeros are what frames are made of.
    let zeros = random.below(bytes.len() as u64) as usize;
    bytes[zeros..].fill(0);
    bytes[56..60].copy_from_slice(b"ARM\x64");
    bytes[16..24].copy_from_slice(&(length + 4096).to_le_bytes());
    bytes
}

/// Starts over until it is there; how often. Each time what the board takes for whole must be what was sent.
fn until_started(world: &mut World<'_>, load: Load<'_>, words: &str, seed: u64) -> u32 {
    for attempt in 1..=20 {
        if world.attempt(load) == Progress::Started {
            assert!(!world.board.may_start(world.now), "seed {seed}");
            assert!(world.board.may_start(world.now + QUIET), "seed {seed}");
            assert_eq!(world.ram.kernel, load.part(Part::Kernel), "seed {seed}");
            assert_eq!(
                world.ram.initramfs,
                load.part(Part::Initramfs),
                "seed {seed}"
            );
            assert_eq!(world.ram.words, words, "seed {seed}");
            return attempt;
        }
        // What was not accepted must not be started either, unless only the desk did not hear of it.
        if world.board.may_start(world.now + QUIET) {
            assert_eq!(world.ram.kernel, load.part(Part::Kernel), "seed {seed}");
            assert_eq!(
                world.ram.initramfs,
                load.part(Part::Initramfs),
                "seed {seed}"
            );
        }
    }
    panic!("20 attempts were not enough, seed {seed}");
}

#[test]
fn thousand_transfers_over_bad_lines_all_come_and_none_comes_wrong() {
    let first = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first: u64 = first.unwrap_or(1);
    let (mut again, mut harms) = (0, 0);
    for seed in first..first + 1000 {
        let mut random = Random::new(!seed);
        let length = random.below(12_000);
        let kernel = image(&mut random, length);
        let initramfs: Vec<u8> = (0..random.below(6_000))
            .map(|_| random.next() as u8)
            .collect();
        let load = Load::new(&kernel, &initramfs, "log=info").expect("a kernel");
        // From one harm in 300 bytes, where three blocks in four come damaged, to one in 30,000.
        let mut world = World::new(seed, 300 << random.below(7));
        let attempts = until_started(&mut world, load, "log=info", seed);
        again += u32::from(attempts > 1);
        harms += world.there.harms + world.back.harms;
    }
    println!("seeds from {first}: {harms} harms, {again} transfers began anew");
    assert!(harms > 10_000, "the lines were bad: {harms}");
}

#[test]
fn clean_line_sends_each_block_once() {
    let kernel = image(&mut Random::new(1), 10_000);
    let load = Load::new(&kernel, &[], "").expect("a kernel");
    let mut world = World::new(1, u64::MAX);
    let mut desk = Desk::new(load, 5, 115_200);
    let mut sent = 0;
    while desk.progress() != Progress::Started {
        let before = desk.progress();
        world.turn(&mut desk);
        sent += u32::from(matches!(before, Progress::Sending(_)));
    }
    // The offer, and the blocks.
    assert_eq!(sent, 1 + load.blocks());
    assert_eq!(world.ram.kernel, kernel);
}

#[test]
fn desk_first_or_board_first_makes_no_difference() {
    let kernel = image(&mut Random::new(2), 3000);
    let load = Load::new(&kernel, b"rd", "").expect("a kernel");
    let mut desk = Desk::new(load, 6, 115_200);
    let mut now = 0;
    // Nobody there for an hour.
    while now < 3_600_000 {
        assert!(desk.poll(now).is_some());
        now = desk.due();
        desk.take(0x55, now);
    }
    assert_eq!(desk.progress(), Progress::Calling);
    // Then the board is switched on; what it hears first is half a frame.
    let mut world = World::new(3, u64::MAX);
    world.now = now;
    world
        .board
        .take(b'x', now, &mut world.ram, &mut |_| panic!("no answer"));
    while desk.progress() != Progress::Started {
        world.turn(&mut desk);
    }
    assert_eq!(world.ram.initramfs, b"rd");
}

#[test]
fn board_switched_off_and_on_says_so_and_the_next_attempt_comes() {
    let kernel = image(&mut Random::new(4), 8000);
    let load = Load::new(&kernel, &[], "").expect("a kernel");
    let mut world = World::new(4, u64::MAX);
    let mut desk = Desk::new(load, 7, 115_200);
    while !matches!(desk.progress(), Progress::Sending(3)) {
        world.turn(&mut desk);
    }
    world.board = Board::new("bench");
    while !matches!(desk.progress(), Progress::Failed(_)) {
        world.turn(&mut desk);
    }
    let why = Failure::Refused(Refusal::NoSession);
    assert_eq!(desk.progress(), Progress::Failed(why));
    assert_eq!(world.attempt(load), Progress::Started);
}

#[test]
fn memory_that_is_full_or_bad_refuses() {
    let kernel = image(&mut Random::new(5), 2000);
    let load = Load::new(&kernel, &[], "").expect("a kernel");
    let mut world = World::new(5, u64::MAX);
    world.ram.full = true;
    let refused = |why| Progress::Failed(Failure::Refused(why));
    assert_eq!(world.attempt(load), refused(Refusal::NoRoom));
    world.ram.full = false;
    world.ram.bad = true;
    assert_eq!(world.attempt(load), refused(Refusal::Sum));
    assert!(!world.board.may_start(u64::MAX));
    world.ram.bad = false;
    assert_eq!(world.attempt(load), Progress::Started);
}

#[test]
fn board_that_falls_silent_is_given_up() {
    let kernel = image(&mut Random::new(6), 2000);
    let load = Load::new(&kernel, &[], "").expect("a kernel");
    let mut world = World::new(6, u64::MAX);
    let mut desk = Desk::new(load, 8, 115_200);
    while !matches!(desk.progress(), Progress::Sending(1)) {
        world.turn(&mut desk);
    }
    let mut now = world.now;
    while desk.progress() == Progress::Sending(1) {
        now = now.max(desk.due());
        let _unheard = desk.poll(now);
    }
    assert_eq!(desk.progress(), Progress::Failed(Failure::Silent));
}

#[test]
fn words_of_another_session_move_nothing() {
    let kernel = image(&mut Random::new(7), 4000);
    let load = Load::new(&kernel, &[], "").expect("a kernel");
    let mut desk = Desk::new(load, 9, 115_200);
    assert!(desk.poll(0).is_some());
    for message in [Message::Ready("x"), Message::Started, Message::Next(3)] {
        let frame = Frame::of(10, &message).expect("it fits");
        frame.bytes().iter().for_each(|&byte| desk.take(byte, 0));
        assert_eq!(desk.progress(), Progress::Calling);
    }
}

#[test]
fn file_that_is_no_kernel_is_refused() {
    assert_eq!(
        Load::new(&[0; 100], &[], "").err(),
        Some(NotAKernel::Header)
    );
    let mut kernel = image(&mut Random::new(8), 200);
    let long = std::string::String::from_utf8(vec![b'x'; WORDS_MAX + 1]).expect("text");
    assert_eq!(
        Load::new(&kernel, &[], &long).err(),
        Some(NotAKernel::Words)
    );
    kernel[16..24].fill(0xff);
    assert_eq!(Load::new(&kernel, &[], "").err(), Some(NotAKernel::Large));
}
