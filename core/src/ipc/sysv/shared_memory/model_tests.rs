//! Segments against a plain model: a list of them, and who has which attached where. Processes fork, attach, remove, exit.

use alloc::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::actors::Chance;
use crate::bench::judged::{Asked, Judged, Model, run_judged};
use crate::bench::{DATA, DATA_END, EINVAL, Script};
use crate::host::{HostCpu, Program};
use crate::machine::Trap;

const SEQUENCES: u64 = 2000;
const EEXIST: i64 = -17;
const ENOENT: i64 = -2;
const IPC_CREAT: u64 = 0o1000;
const IPC_EXCL: u64 = 0o2000;
const SHM_RDONLY: u64 = 0o10000;
const SHM_REMAP: u64 = 0o40000;
const IPC_RMID: u64 = 0;
const IPC_STAT: u64 = 2;
const PLACES: u64 = 3;
const DEST: u32 = 0o1000;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Key (0: a private one), size, flags.
    Get(u64, u64, u64),
    /// Which of the segments ever made, place, flags.
    Attach(usize, u64, u64),
    Detach(u64),
    Remove(usize),
    Status(usize),
    Poke(u64, u64),
    Peek(u64),
    /// A child goes on from here ...
    Enter,
    /// ... and has ended.
    Leave,
}

impl Op {
    fn draw(chance: &mut Chance) -> Op {
        let segment = chance.below(4) as usize;
        let place = chance.below(PLACES);
        match chance.below(16) {
            0..=2 => Op::Get(
                chance.below(3),
                chance.of(&[0, 1, 100, 4096]),
                chance.of(&[0, IPC_CREAT, IPC_CREAT, IPC_CREAT | IPC_EXCL]),
            ),
            3..=6 => Op::Attach(segment, place, chance.of(&[0, 0, SHM_RDONLY, SHM_REMAP])),
            7 | 8 => Op::Detach(place),
            9 | 10 => Op::Remove(segment),
            11 | 12 => Op::Status(segment),
            13 | 14 => Op::Poke(place, chance.below(1000)),
            _ => Op::Peek(place),
        }
    }
}

/// Far enough apart for the largest.
const fn at(place: u64) -> u64 {
    DATA_END + place * 0x1_0000
}

struct Segment {
    id: i64,
    /// 0 once it was removed: nobody finds it by a key.
    key: u64,
    size: u64,
    doomed: bool,
    word: u64,
}

/// What a process has attached: at which place, which segment, and whether it may write there.
type Attached = BTreeMap<u64, (usize, bool)>;

/// The segments that there are, by their number in the order in which they were made; and the processes, the one that runs last.
struct Segments {
    live: BTreeMap<usize, Segment>,
    made: Vec<i64>,
    processes: Vec<Attached>,
}

impl Segments {
    fn new() -> Segments {
        Segments {
            live: BTreeMap::new(),
            made: vec![],
            processes: vec![Attached::new()],
        }
    }

    fn here(&mut self) -> &mut Attached {
        self.processes.last_mut().unwrap()
    }

    fn held(&self, place: u64) -> Option<(usize, bool)> {
        self.processes.last()?.get(&place).copied()
    }

    fn attaches(&self, segment: usize) -> usize {
        let all = self.processes.iter().flat_map(|it| it.values());
        all.filter(|(which, _)| *which == segment).count()
    }

    /// Those that were removed and have lost their last attach are no more.
    fn bury(&mut self) {
        let doomed: Vec<usize> = self
            .live
            .iter()
            .filter(|(_, it)| it.doomed)
            .map(|it| *it.0)
            .collect();
        for segment in doomed {
            if self.attaches(segment) == 0 {
                self.live.remove(&segment);
            }
        }
    }

    fn id(&self, segment: usize) -> u64 {
        self.made
            .get(segment)
            .copied()
            .unwrap_or(-1)
            .cast_unsigned()
    }

    fn get(&mut self, key: u64, size: u64, flags: u64, result: i64) -> i64 {
        let found = self.live.values().find(|it| key != 0 && it.key == key);
        match found {
            Some(_) if flags & IPC_EXCL != 0 => EEXIST,
            Some(it) if size > it.size => EINVAL,
            Some(it) => it.id,
            None if key != 0 && flags & IPC_CREAT == 0 => ENOENT,
            None if size == 0 => EINVAL,
            None => {
                let known = self.live.values().any(|it| it.id == result);
                self.live.insert(
                    self.made.len(),
                    Segment {
                        id: result,
                        key,
                        size,
                        doomed: false,
                        word: 0,
                    },
                );
                self.made.push(result);
                // Any number that no other has.
                if result < 0 || known {
                    i64::MIN
                } else {
                    result
                }
            }
        }
    }

    fn attach(&mut self, segment: usize, place: u64, flags: u64) -> i64 {
        if !self.live.contains_key(&segment) {
            return EINVAL;
        }
        if flags != SHM_REMAP && self.held(place).is_some() {
            return EINVAL;
        }
        self.here().insert(place, (segment, flags != SHM_RDONLY));
        self.bury();
        at(place).cast_signed()
    }

    fn detach(&mut self, place: u64) -> i64 {
        if self.here().remove(&place).is_none() {
            return EINVAL;
        }
        self.bury();
        0
    }

    fn remove(&mut self, segment: usize) -> i64 {
        let Some(it) = self.live.get_mut(&segment) else {
            return EINVAL;
        };
        (it.doomed, it.key) = (true, 0);
        self.bury();
        0
    }
}

impl Model for Segments {
    type Op = Op;

    fn ask(&self, op: Op, cpu: &mut HostCpu<'_>) -> Result<Option<Asked>, Trap> {
        Ok(Some(match op {
            Op::Get(key, size, flags) => (nr::SHMGET, [key, size, flags | 0o600, 0, 0, 0]),
            Op::Attach(segment, place, flags) => {
                (nr::SHMAT, [self.id(segment), at(place), flags, 0, 0, 0])
            }
            Op::Detach(place) => (nr::SHMDT, [at(place), 0, 0, 0, 0, 0]),
            Op::Remove(segment) => (nr::SHMCTL, [self.id(segment), IPC_RMID, 0, 0, 0, 0]),
            Op::Status(segment) => (nr::SHMCTL, [self.id(segment), IPC_STAT, DATA, 0, 0, 0]),
            Op::Poke(place, value) => {
                if let Some((_, true)) = self.held(place) {
                    cpu.store_u64(at(place), value)?;
                }
                return Ok(None);
            }
            Op::Peek(_) | Op::Enter | Op::Leave => return Ok(None),
        }))
    }

    fn judge(
        &mut self,
        op: Op,
        result: i64,
        cpu: &HostCpu<'_>,
    ) -> Result<Result<(), String>, Trap> {
        let expected = match op {
            Op::Get(key, size, flags) => self.get(key, size, flags, result),
            Op::Attach(segment, place, flags) => self.attach(segment, place, flags),
            Op::Detach(place) => self.detach(place),
            Op::Remove(segment) => self.remove(segment),
            Op::Status(segment) => {
                // struct shmid64_ds: key and (behind 4 bytes) mode of its ipc64_perm, size, attaches.
                let told = [DATA, DATA + 16, DATA + 48, DATA + 88].map(|at| cpu.load_u64(at));
                let [key, mode, size, attaches] = told;
                let told = (key? as u32, (mode? >> 32) as u32 & DEST, size?, attaches?);
                let Some(it) = self.live.get(&segment) else {
                    return Ok(same(result, EINVAL));
                };
                let dest = if it.doomed { DEST } else { 0 };
                let known = (it.key as u32, dest, it.size, self.attaches(segment) as u64);
                if result == 0 && told != known {
                    return Ok(Err(format!("{told:?} is told, {known:?} is so")));
                }
                0
            }
            Op::Poke(place, value) => {
                if let Some((segment, true)) = self.held(place) {
                    self.live.get_mut(&segment).unwrap().word = value;
                }
                return Ok(Ok(()));
            }
            Op::Peek(place) => {
                let Some((segment, _)) = self.held(place) else {
                    return Ok(Ok(()));
                };
                let (seen, known) = (cpu.load_u64(at(place))?, self.live[&segment].word);
                return Ok(same(seen.cast_signed(), known.cast_signed()));
            }
            Op::Enter => {
                let inherited = self.here().clone();
                self.processes.push(inherited);
                return Ok(Ok(()));
            }
            Op::Leave => {
                self.processes.pop();
                self.bury();
                return Ok(Ok(()));
            }
        };
        Ok(same(result, expected))
    }
}

fn same(result: i64, expected: i64) -> Result<(), String> {
    if result == expected {
        Ok(())
    } else {
        Err(format!("{result}, not {expected}"))
    }
}

/// Some operations, and now and then a child that does some of its own and exits with all it has attached.
fn write(program: &mut Program, judged: &Judged<Segments>, chance: &mut Chance, depth: u32) {
    for _ in 0..4 + chance.below(12) {
        if depth < 2 && chance.below(8) == 0 {
            program.fork(20 + depth as usize, |child| {
                judged.perform(child, Op::Enter);
                write(child, judged, chance, depth + 1);
            });
            program.expect_status(20 + depth as usize, 0, 0);
            judged.perform(program, Op::Leave);
        } else {
            judged.perform(program, Op::draw(chance));
        }
    }
}

#[test]
fn sysv_shm_does_what_a_list_of_segments_and_attaches_does() {
    for seed in 1..=SEQUENCES {
        run_judged(seed, Segments::new(), |program, judged| {
            write(program, judged, &mut Chance::new(seed), 0);
        });
    }
}
