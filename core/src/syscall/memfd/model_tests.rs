//! Seals against a plain model: a size, a set of seals, and the mappings there are. Every kind of change after every set of
//! seals, in random order, with a child that has its own mappings and leaves.

use alloc::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::actors::Chance;
use crate::bench::judged::{Asked, Judged, Model, run_judged};
use crate::bench::{DATA, DATA_END, EPERM, Script};
use crate::host::{HostCpu, Program};
use crate::machine::Trap;

const SEQUENCES: u64 = 2000;
const EBUSY: i64 = -16;
const EACCES: i64 = -13;
const PAGE: u64 = 4096;
const SEAL: u64 = 1;
const SHRINK: u64 = 2;
const GROW: u64 = 4;
const WRITE: u64 = 8;
const FUTURE_WRITE: u64 = 16;
const MFD_ALLOW_SEALING: u64 = 2;
const F_ADD_SEALS: u64 = 1033;
const F_GET_SEALS: u64 = 1034;
const PROT_READ: u64 = 1;
const PROT_WRITE: u64 = 2;
const MAP_SHARED: u64 = 1;
const MAP_PRIVATE: u64 = 2;
const MAP_FIXED: u64 = 16;
const PLACES: u64 = 3;
const NAME: u64 = DATA;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Must come first. Whether it may be sealed.
    Create(bool),
    /// Bytes at a position.
    Write(u64, u64),
    Resize(u64),
    /// Place, sharing, protection.
    Map(u64, u64, u64),
    Unmap(u64),
    Protect(u64, u64),
    Add(u64),
    Seals,
    Enter,
    Leave,
}

impl Op {
    fn draw(chance: &mut Chance) -> Op {
        let place = chance.below(PLACES);
        match chance.below(12) {
            0 | 1 => Op::Write(chance.of(&[0, 1, 8]), chance.of(&[0, 100, PAGE - 4, PAGE])),
            2 | 3 => Op::Resize(chance.of(&[0, 1, PAGE, PAGE + 1, 2 * PAGE])),
            4..=6 => Op::Map(
                place,
                chance.of(&[MAP_SHARED, MAP_SHARED, MAP_PRIVATE]),
                chance.of(&[PROT_READ, PROT_READ | PROT_WRITE]),
            ),
            7 => Op::Unmap(place),
            8 => Op::Protect(place, chance.of(&[PROT_READ, PROT_READ | PROT_WRITE])),
            9 => Op::Seals,
            _ => Op::Add(chance.of(&[0, SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE, WRITE | GROW])),
        }
    }
}

const fn at(place: u64) -> u64 {
    DATA_END + place * 0x1_0000
}

/// A mapping: shared, and whether it may ever store.
#[derive(Clone, Copy)]
struct Mapped {
    shared: bool,
    may_store: bool,
}

struct Sealed {
    size: u64,
    seals: u64,
    /// The mappings of each process, the one that runs last.
    processes: Vec<BTreeMap<u64, Mapped>>,
}

impl Sealed {
    fn new() -> Sealed {
        Sealed {
            size: 0,
            seals: 0,
            processes: vec![BTreeMap::new()],
        }
    }

    fn sealed(&self, seals: u64) -> bool {
        self.seals & seals != 0
    }

    fn here(&mut self) -> &mut BTreeMap<u64, Mapped> {
        self.processes.last_mut().unwrap()
    }

    fn write(&mut self, count: u64, position: u64) -> i64 {
        if count == 0 {
            return 0;
        }
        let end = position + count;
        if self.sealed(WRITE | FUTURE_WRITE) || (end > self.size && self.sealed(GROW)) {
            return EPERM;
        }
        self.size = self.size.max(end);
        count.cast_signed()
    }

    fn resize(&mut self, size: u64) -> i64 {
        let forbidden = match size.cmp(&self.size) {
            core::cmp::Ordering::Less => SHRINK,
            core::cmp::Ordering::Equal => 0,
            core::cmp::Ordering::Greater => GROW,
        };
        if self.sealed(forbidden) {
            return EPERM;
        }
        self.size = size;
        0
    }

    fn map(&mut self, place: u64, sharing: u64, protection: u64) -> i64 {
        let (shared, stores) = (sharing == MAP_SHARED, protection & PROT_WRITE != 0);
        let stopped = self.sealed(WRITE | FUTURE_WRITE);
        if shared && stores && stopped {
            return EPERM;
        }
        // What is only read may be made to store later, unless a seal was there before.
        let may_store = !(shared && stopped);
        self.here().insert(place, Mapped { shared, may_store });
        at(place).cast_signed()
    }

    fn protect(&mut self, place: u64, protection: u64) -> i64 {
        let stores = protection & PROT_WRITE != 0;
        match self.here().get(&place) {
            None => crate::bench::ENOMEM,
            Some(it) if stores && !it.may_store => EACCES,
            Some(_) => 0,
        }
    }

    fn add(&mut self, more: u64) -> i64 {
        if self.sealed(SEAL) {
            return EPERM;
        }
        let all = self.processes.iter().flat_map(|it| it.values());
        let stored = all.clone().any(|it| it.shared && it.may_store);
        if more & !self.seals & WRITE != 0 && stored {
            return EBUSY;
        }
        self.seals |= more;
        0
    }
}

impl Model for Sealed {
    type Op = Op;

    fn ask(&self, op: Op, cpu: &mut HostCpu<'_>) -> Result<Option<Asked>, Trap> {
        Ok(Some(match op {
            Op::Create(sealable) => {
                cpu.store_u64(NAME, u64::from(b'm'))?;
                let flags = if sealable { MFD_ALLOW_SEALING } else { 0 };
                (nr::MEMFD_CREATE, [NAME, flags, 0, 0, 0, 0])
            }
            Op::Write(count, position) => (nr::PWRITE64, [0, DATA, count, position, 0, 0]),
            Op::Resize(size) => (nr::FTRUNCATE, [0, size, 0, 0, 0, 0]),
            Op::Map(place, sharing, protection) => (
                nr::MMAP,
                [at(place), PAGE, protection, sharing | MAP_FIXED, 0, 0],
            ),
            Op::Unmap(place) => (nr::MUNMAP, [at(place), PAGE, 0, 0, 0, 0]),
            Op::Protect(place, protection) => {
                (nr::MPROTECT, [at(place), PAGE, protection, 0, 0, 0])
            }
            Op::Add(seals) => (nr::FCNTL, [0, F_ADD_SEALS, seals, 0, 0, 0]),
            Op::Seals => (nr::FCNTL, [0, F_GET_SEALS, 0, 0, 0, 0]),
            Op::Enter | Op::Leave => return Ok(None),
        }))
    }

    fn judge(&mut self, op: Op, result: i64, _: &HostCpu<'_>) -> Result<Result<(), String>, Trap> {
        let expected = match op {
            Op::Create(sealable) => {
                self.seals = if sealable { 0 } else { SEAL };
                0
            }
            Op::Write(count, position) => self.write(count, position),
            Op::Resize(size) => self.resize(size),
            Op::Map(place, sharing, protection) => self.map(place, sharing, protection),
            Op::Unmap(place) => {
                self.here().remove(&place);
                0
            }
            Op::Protect(place, protection) => self.protect(place, protection),
            Op::Add(seals) => self.add(seals),
            Op::Seals => self.seals.cast_signed(),
            Op::Enter => {
                let inherited = self.here().clone();
                self.processes.push(inherited);
                return Ok(Ok(()));
            }
            Op::Leave => {
                self.processes.pop();
                return Ok(Ok(()));
            }
        };
        let wrong = || format!("{result}, not {expected}");
        Ok(if result == expected {
            Ok(())
        } else {
            Err(wrong())
        })
    }
}

fn write(program: &mut Program, judged: &Judged<Sealed>, chance: &mut Chance, depth: u32) {
    for _ in 0..4 + chance.below(12) {
        if depth < 2 && chance.below(10) == 0 {
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
fn memfd_seals_do_what_a_set_of_promises_does() {
    for seed in 1..=SEQUENCES {
        run_judged(seed, Sealed::new(), |program, judged| {
            let mut chance = Chance::new(seed);
            judged.perform(program, Op::Create(chance.below(8) > 0));
            write(program, judged, &mut chance, 0);
        });
    }
}
