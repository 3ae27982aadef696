//! splice, tee, vmsplice and sendfile against plain models: queues of bytes and a file, looked at byte by byte; and a line of
//! threads that hand on what others write, all of which must come out at its end.

use alloc::collections::VecDeque;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::actors::Chance;
use crate::bench::judged::{Asked, Model, run_judged};
use crate::bench::{DATA, EAGAIN, EINVAL, Script, run_on, store_words};
use crate::host::{Config, HostCpu, Label, Program};
use crate::machine::Trap;

const SEQUENCES: u64 = 1000;
const PIPES: usize = 3;
/// The file's descriptor: behind two for each pipe.
const FILE: u64 = 2 * PIPES as u64;
const EBADF: i64 = -9;
const EPIPE: i64 = -32;
const ESPIPE: i64 = -29;
const O_NONBLOCK: u64 = 0o4000;
const F_SETPIPE_SZ: u64 = 1031;
const CAPACITY: usize = 4096;
/// Bytes that a write and a read find at once; where they are kept, and where a position and a vector of one are.
const MOST: usize = 2000;
const BYTES: u64 = DATA + 0x1000;
const POSITION: u64 = DATA;
const VECTOR: u64 = DATA + 16;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// To a pipe, so many bytes from this one on.
    Write(usize, usize, u8),
    Read(usize, usize),
    /// From a pipe to another.
    Splice(usize, usize, usize),
    Tee(usize, usize, usize),
    /// From the file at a position, to it.
    FromFile(usize, u64, usize),
    ToFile(usize, u64, usize),
    SendFile(usize, u64, usize),
    /// To a pipe, as a write.
    Give(usize, usize, u8),
    /// Ends of a pipe: all that read, all that write.
    CloseReader(usize),
    CloseWriter(usize),
    /// A position in what has none.
    Misplaced(usize),
}

impl Op {
    fn draw(chance: &mut Chance) -> Op {
        let pipe = chance.below(PIPES as u64) as usize;
        let other = chance.below(PIPES as u64) as usize;
        let count = chance.of(&[1, 7, 100, 1000, 1024, 1025, MOST]);
        let (byte, position) = (chance.below(256) as u8, chance.of(&[0, 5, 1500, 9000]));
        match chance.below(24) {
            0..=4 => Op::Write(pipe, count, byte),
            5..=7 => Op::Read(pipe, count),
            8..=11 => Op::Splice(pipe, other, count),
            12..=14 => Op::Tee(pipe, other, count),
            15 | 16 => Op::FromFile(pipe, position, count),
            17 | 18 => Op::ToFile(pipe, position, count),
            19 => Op::SendFile(pipe, position, count),
            20 | 21 => Op::Give(pipe, count, byte),
            22 if chance.below(4) == 0 => Op::CloseReader(pipe),
            22 if chance.below(4) == 0 => Op::CloseWriter(pipe),
            _ => Op::Misplaced(pipe),
        }
    }
}

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// How much of the first page has been read: no room until the page is empty.
    spent: usize,
    unread: bool,
    unwritten: bool,
}

impl Pipe {
    /// Takes all of `bytes` or says why not: no more than a page is written at once.
    fn put(&mut self, bytes: &[u8]) -> i64 {
        match bytes.len() {
            0 => 0,
            _ if self.unread => EPIPE,
            count if self.spent + self.bytes.len() + count > CAPACITY => EAGAIN,
            count => {
                self.bytes.extend(bytes);
                count as i64
            }
        }
    }

    /// Takes the first `count` bytes, which there are.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.bytes.drain(..count).collect();
        let page = self.spent + count;
        self.spent = if self.bytes.is_empty() {
            0
        } else {
            page % CAPACITY
        };
        taken
    }

    /// What an attempt to take from it says if nothing is there.
    fn nothing(&self) -> i64 {
        if self.unwritten { 0 } else { EAGAIN }
    }
}

/// A run of bytes that count up.
fn run(from: u8, count: usize) -> Vec<u8> {
    (0..count).map(|at| from.wrapping_add(at as u8)).collect()
}

#[derive(Default)]
struct Pipes {
    pipes: [Pipe; PIPES],
    file: Vec<u8>,
}

/// The least that is moved at once; what does not fit into the output as a whole is not begun.
const CHUNK: usize = 1024;

impl Pipes {
    fn read(&mut self, pipe: usize, count: usize) -> Result<Vec<u8>, i64> {
        let it = &mut self.pipes[pipe];
        if it.bytes.is_empty() {
            return Err(it.nothing());
        }
        let count = count.min(it.bytes.len());
        Ok(it.take(count))
    }

    /// Moves or copies from pipe to pipe.
    fn hand_on(&mut self, from: usize, to: usize, count: usize, keeps: bool) -> i64 {
        if from == to {
            return EINVAL;
        }
        let mut done = 0;
        while done < count {
            let behind = if keeps { done } else { 0 };
            let bytes: Vec<u8> = self.pipes[from]
                .bytes
                .iter()
                .skip(behind)
                .take(CHUNK.min(count - done))
                .copied()
                .collect();
            if bytes.is_empty() {
                return if done > 0 {
                    done as i64
                } else {
                    self.pipes[from].nothing()
                };
            }
            let put = self.pipes[to].put(&bytes);
            if put < 0 {
                return if done > 0 { done as i64 } else { put };
            }
            done += bytes.len();
            if !keeps {
                self.pipes[from].take(bytes.len());
            }
        }
        done as i64
    }

    fn take_in(&mut self, pipe: usize, position: u64, count: usize) -> i64 {
        let mut done = 0;
        while done < count {
            let at = (position as usize + done).min(self.file.len());
            let end = self.file.len().min(at + CHUNK.min(count - done));
            let bytes = self.file[at..end].to_vec();
            if bytes.is_empty() {
                break;
            }
            let put = self.pipes[pipe].put(&bytes);
            if put < 0 {
                return if done > 0 { done as i64 } else { put };
            }
            done += bytes.len();
        }
        done as i64
    }

    fn put_out(&mut self, pipe: usize, position: u64, count: usize) -> i64 {
        match self.read(pipe, count) {
            Err(result) => result,
            Ok(bytes) => {
                let (at, end) = (position as usize, position as usize + bytes.len());
                self.file.resize(self.file.len().max(end), 0);
                self.file[at..end].copy_from_slice(&bytes);
                bytes.len() as i64
            }
        }
    }

    /// Whether an end that `op` needs is closed.
    fn lacks(&self, op: Op) -> bool {
        let reads = |pipe: usize| self.pipes[pipe].unread;
        let writes = |pipe: usize| self.pipes[pipe].unwritten;
        match op {
            Op::Read(pipe, _) | Op::ToFile(pipe, ..) | Op::CloseReader(pipe) => reads(pipe),
            Op::Splice(from, to, _) | Op::Tee(from, to, _) => reads(from) || writes(to),
            Op::Write(pipe, ..)
            | Op::FromFile(pipe, ..)
            | Op::SendFile(pipe, ..)
            | Op::Give(pipe, ..)
            | Op::Misplaced(pipe)
            | Op::CloseWriter(pipe) => writes(pipe),
        }
    }

    fn expect(&mut self, op: Op) -> i64 {
        if self.lacks(op) {
            return EBADF;
        }
        match op {
            Op::Write(pipe, count, byte) | Op::Give(pipe, count, byte) => {
                self.pipes[pipe].put(&run(byte, count))
            }
            Op::Read(..) => unreachable!("judged by what it reads"),
            Op::Splice(from, to, count) => self.hand_on(from, to, count, false),
            Op::Tee(from, to, count) => self.hand_on(from, to, count, true),
            Op::FromFile(pipe, position, count) | Op::SendFile(pipe, position, count) => {
                self.take_in(pipe, position, count)
            }
            Op::ToFile(pipe, position, count) => self.put_out(pipe, position, count),
            Op::CloseReader(pipe) => {
                self.pipes[pipe].unread = true;
                0
            }
            Op::CloseWriter(pipe) => {
                self.pipes[pipe].unwritten = true;
                0
            }
            Op::Misplaced(_) => ESPIPE,
        }
    }
}

const fn reader(pipe: usize) -> u64 {
    2 * pipe as u64
}

const fn writer(pipe: usize) -> u64 {
    2 * pipe as u64 + 1
}

/// Stores what a write finds.
fn bytes(cpu: &HostCpu<'_>, byte: u8, count: usize) -> Result<(), Trap> {
    cpu.store(BYTES, &run(byte, count))
}

impl Model for Pipes {
    type Op = Op;

    fn ask(&self, op: Op, cpu: &mut HostCpu<'_>) -> Result<Option<Asked>, Trap> {
        Ok(Some(match op {
            Op::Write(pipe, count, byte) => {
                bytes(cpu, byte, count)?;
                (nr::WRITE, [writer(pipe), BYTES, count as u64, 0, 0, 0])
            }
            Op::Give(pipe, count, byte) => {
                bytes(cpu, byte, count)?;
                store_words(cpu, VECTOR, &[BYTES, count as u64])?;
                (nr::VMSPLICE, [writer(pipe), VECTOR, 1, 0, 0, 0])
            }
            Op::Read(pipe, count) => (nr::READ, [reader(pipe), BYTES, count as u64, 0, 0, 0]),
            Op::Splice(from, to, count) => (
                nr::SPLICE,
                [reader(from), 0, writer(to), 0, count as u64, 0],
            ),
            Op::Tee(from, to, count) => {
                (nr::TEE, [reader(from), writer(to), count as u64, 0, 0, 0])
            }
            Op::FromFile(pipe, position, count) => {
                cpu.store_u64(POSITION, position)?;
                (
                    nr::SPLICE,
                    [FILE, POSITION, writer(pipe), 0, count as u64, 0],
                )
            }
            Op::ToFile(pipe, position, count) => {
                cpu.store_u64(POSITION, position)?;
                (
                    nr::SPLICE,
                    [reader(pipe), 0, FILE, POSITION, count as u64, 0],
                )
            }
            Op::SendFile(pipe, position, count) => {
                cpu.store_u64(POSITION, position)?;
                (
                    nr::SENDFILE,
                    [writer(pipe), FILE, POSITION, count as u64, 0, 0],
                )
            }
            Op::CloseReader(pipe) => (nr::CLOSE, [reader(pipe), 0, 0, 0, 0, 0]),
            Op::CloseWriter(pipe) => (nr::CLOSE, [writer(pipe), 0, 0, 0, 0, 0]),
            Op::Misplaced(pipe) => (nr::SPLICE, [FILE, 0, writer(pipe), POSITION, 1, 0]),
        }))
    }

    fn judge(
        &mut self,
        op: Op,
        result: i64,
        cpu: &HostCpu<'_>,
    ) -> Result<Result<(), String>, Trap> {
        if let Op::Read(pipe, count) = op {
            let mut seen = vec![0; usize::try_from(result).unwrap_or(0)];
            cpu.load(BYTES, &mut seen)?;
            let known = if self.lacks(op) {
                Err(EBADF)
            } else {
                self.read(pipe, count)
            };
            let told = if result < 0 { Err(result) } else { Ok(seen) };
            // The end and nothing read look the same.
            let known = if known == Err(0) { Ok(vec![]) } else { known };
            return Ok(if told == known {
                Ok(())
            } else {
                Err(format!("not {known:?}"))
            });
        }
        if let Op::FromFile(_, position, _)
        | Op::ToFile(_, position, _)
        | Op::SendFile(_, position, _) = op
        {
            let (now, moved) = (cpu.load_u64(POSITION)?, result.max(0).cast_unsigned());
            if now != position + moved {
                return Ok(Err(format!("the position is {now}")));
            }
        }
        let expected = self.expect(op);
        let wrong = || format!("{result}, not {expected}");
        Ok(if result == expected {
            Ok(())
        } else {
            Err(wrong())
        })
    }
}

/// Three pipes of a page each and an empty file, in the lowest descriptors; SIGPIPE is ignored.
fn open_all(program: &mut Program, flags: u64) {
    const SIGPIPE: u64 = 13;
    program.dispose(SIGPIPE, 1);
    for pipe in 0..PIPES {
        program.call(nr::PIPE2, [DATA, flags]).expect("pipe2", 0);
        program
            .call(nr::FCNTL, [writer(pipe), F_SETPIPE_SZ, CAPACITY as u64])
            .expect("F_SETPIPE_SZ", CAPACITY as i64);
    }
    program.store(DATA, &[u64::from(b'm')]);
    program
        .call(nr::MEMFD_CREATE, [DATA, 0])
        .expect("memfd_create", FILE as i64);
}

#[test]
fn splice_and_tee_do_what_queues_of_bytes_do() {
    for seed in 1..=SEQUENCES {
        run_judged(seed, Pipes::default(), |program, judged| {
            let mut chance = Chance::new(seed);
            open_all(program, O_NONBLOCK);
            for _ in 0..10 + chance.below(40) {
                judged.perform(program, Op::draw(&mut chance));
            }
        });
    }
}

/// A call, its length drawn each time, again and again until it gives 0.
fn until_nothing(
    program: &mut Program,
    chance: &mut Chance,
    number: usize,
    arguments: impl Fn(u64) -> [u64; 6] + Send + Sync + 'static,
) {
    const LENGTHS: [u64; 6] = [1, 100, 1000, 1024, 3000, 9000];
    let (again, out) = (Label::default(), Label::default());
    let seed = chance.below(u64::from(u32::MAX));
    program.act(move |regs| regs.x[22] = seed);
    program.place(&again).call_with(number, move |cpu| {
        cpu.regs().x[22] = cpu.regs().x[22].wrapping_mul(6_364_136_223_846_793_005) + 1;
        let length = LENGTHS[(cpu.regs().x[22] >> 40) as usize % LENGTHS.len()];
        arguments(length).to_vec()
    });
    program
        .act(|regs| assert!(regs.x[0].cast_signed() >= 0, "{}", regs.x[0].cast_signed()))
        .jump_if_zero(&out)
        .jump(&again)
        .place(&out);
}

/// Closes all ends but those.
fn keep(program: &mut Program, kept: &[u64]) {
    for end in (0..FILE).filter(|end| !kept.contains(end)) {
        program.call(nr::CLOSE, [end]).expect("close", 0);
    }
}

const PERIOD: u64 = 251;

/// Writes `total` bytes that count up, in pieces.
fn produce(program: &mut Program, chance: &mut Chance, to: u64, total: u64) {
    let pattern: Vec<u8> = (0..PERIOD + MOST as u64)
        .map(|at| (at % PERIOD) as u8)
        .collect();
    program.step(move |cpu| cpu.store(BYTES, &pattern));
    let mut at = 0;
    while at < total {
        let count = (1 + chance.below(MOST as u64)).min(total - at);
        program
            .call(nr::WRITE, [to, BYTES + at % PERIOD, count])
            .expect("write", count as i64);
        at += count;
    }
}

/// Reads bytes that count up until the end, which must come behind `total`.
fn consume(program: &mut Program, from: u64, total: u64) {
    let (again, out) = (Label::default(), Label::default());
    program
        .act(|regs| regs.x[23] = 0)
        .place(&again)
        .call(nr::READ, [from, BYTES, MOST as u64])
        .step(|cpu| {
            let mut bytes = vec![0; cpu.regs().x[0].cast_signed().try_into().unwrap()];
            cpu.load(BYTES, &mut bytes)?;
            let at = cpu.regs().x[23];
            let known = (at..).take(bytes.len()).map(|at| (at % PERIOD) as u8);
            assert!(known.eq(bytes.iter().copied()), "bytes from {at} on");
            cpu.regs().x[23] = at + bytes.len() as u64;
            Ok(())
        })
        .jump_if_zero(&out)
        .jump(&again)
        .place(&out)
        .act(move |regs| assert_eq!(regs.x[23], total, "what came"));
}

/// One writes to the first pipe, one splices on to the second, one to the third, from which the last reads. All wait.
#[test]
fn splice_line_of_processes_loses_and_doubles_nothing() {
    const TOTAL: u64 = 30_000;
    for seed in 1..=60 {
        let mut chance = Chance::new(seed);
        let config = Config {
            seed,
            cpus: 1 + seed as usize % 4,
            ..Config::default()
        };
        let code = run_on(config, |program| {
            open_all(program, 0);
            program.fork(20, |child| {
                keep(child, &[writer(0)]);
                produce(child, &mut chance, writer(0), TOTAL);
            });
            for pipe in 0..2 {
                program.fork(21 + pipe, |child| {
                    keep(child, &[reader(pipe), writer(pipe + 1)]);
                    until_nothing(child, &mut chance, nr::SPLICE, move |length| {
                        [reader(pipe), 0, writer(pipe + 1), 0, length, 0]
                    });
                });
            }
            keep(program, &[reader(2)]);
            consume(program, reader(2), TOTAL);
            for child in 20..23 {
                program.expect_status(child, 0, 0);
            }
        });
        assert_eq!(code, 0, "seed {seed}");
    }
}
