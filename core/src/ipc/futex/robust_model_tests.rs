//! Robust lists against a plain model. A process draws a list of locks, some of them its own, and one that it is about to take or
//! let go of; the list may end well, in itself, or nowhere. Then it ends in one way or another, and the locks must say so:
//! those, and only those, that it held and that can be found from its list (get_robust_list(2)).

use std::collections::BTreeSet;
use std::vec::Vec;

use halyard_abi::nr;

use crate::bench::actors::Chance;
use crate::bench::{DATA_END, Script, run_on};
use crate::host::{Config, HostCpu, Program};
use crate::machine::Trap;

const SEQUENCES: u64 = 1500;
const LOCKS: usize = 6;
const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;
/// Memory of both: each lock's link and word, and the head.
const SHARED: u64 = DATA_END + 0x1_0000;
const HEAD: u64 = SHARED + 2048;
const WORD: u64 = 8;
/// Where nothing is.
const NOWHERE: u64 = SHARED + 0x10_0000;

const fn lock(at: usize) -> u64 {
    SHARED + 64 * at as u64
}

/// Whose a lock is.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Nobody,
    Itself,
    /// With somebody waiting.
    ItselfWanted,
    Another,
}

impl Owner {
    fn word(self, tid: u32) -> u32 {
        match self {
            Owner::Nobody => 0,
            Owner::Itself => tid,
            Owner::ItselfWanted => tid | WAITERS,
            Owner::Another => tid + 1,
        }
    }
}

/// Where the last link leads.
#[derive(Clone, Copy, Debug)]
enum Tail {
    Home,
    /// To one of the list.
    Back(usize),
    Nowhere,
}

#[derive(Clone, Debug)]
struct Plan {
    owners: [Owner; LOCKS],
    list: Vec<usize>,
    tail: Tail,
    pending: Option<usize>,
    end: usize,
}

impl Plan {
    fn draw(chance: &mut Chance) -> Plan {
        let owner = |chance: &mut Chance| {
            chance.of(&[
                Owner::Nobody,
                Owner::Itself,
                Owner::Itself,
                Owner::ItselfWanted,
                Owner::Another,
            ])
        };
        let mut list: Vec<usize> = (0..LOCKS).filter(|_| chance.below(3) > 0).collect();
        for at in (1..list.len()).rev() {
            list.swap(at, chance.below(at as u64 + 1) as usize);
        }
        let tail = match chance.below(6) {
            0 if !list.is_empty() => Tail::Back(chance.below(list.len() as u64) as usize),
            1 => Tail::Nowhere,
            _ => Tail::Home,
        };
        let pending = (chance.below(2) == 0).then(|| chance.below(LOCKS as u64) as usize);
        Plan {
            owners: core::array::from_fn(|_| owner(chance)),
            list,
            tail,
            pending,
            end: chance.of(&[nr::EXIT, nr::EXIT_GROUP, nr::KILL]),
        }
    }

    /// Stores locks, links and head.
    fn store(&self, cpu: &HostCpu<'_>, tid: u32) -> Result<(), Trap> {
        for (at, owner) in self.owners.iter().enumerate() {
            cpu.store_u64(lock(at) + WORD, owner.word(tid).into())?;
        }
        let last = match self.tail {
            Tail::Home => HEAD,
            Tail::Back(to) => lock(self.list[to]),
            Tail::Nowhere => NOWHERE,
        };
        let mut from = HEAD;
        for &at in &self.list {
            cpu.store_u64(from, lock(at))?;
            from = lock(at);
        }
        cpu.store_u64(from, last)?;
        cpu.store_u64(HEAD + 8, WORD)?;
        cpu.store_u64(HEAD + 16, self.pending.map_or(0, lock))
    }

    /// The words afterwards.
    fn words(&self, tid: u32) -> [u32; LOCKS] {
        // The pending one comes last, and not at all behind a list that leads nowhere.
        let listed = self
            .list
            .iter()
            .copied()
            .filter(|at| Some(*at) != self.pending);
        let last = self.pending.filter(|_| !matches!(self.tail, Tail::Nowhere));
        let found: BTreeSet<usize> = listed.chain(last).collect();
        core::array::from_fn(|at| {
            let word = self.owners[at].word(tid);
            if found.contains(&at) && word & !WAITERS == tid {
                word & WAITERS | OWNER_DIED
            } else {
                word
            }
        })
    }
}

fn write(program: &mut Program, plan: &Plan, seed: u64) {
    const SHARED_ANONYMOUS_FIXED: u64 = 0x31;
    const READ_WRITE: u64 = 3;
    const SIGKILL: u64 = 9;
    program
        .call(
            nr::MMAP,
            [
                SHARED,
                4096,
                READ_WRITE,
                SHARED_ANONYMOUS_FIXED,
                u64::MAX,
                0,
            ],
        )
        .expect("mmap", SHARED.cast_signed());
    program.fork(20, |child| {
        let stored = plan.clone();
        child
            .call(nr::GETTID, [])
            .act(|regs| regs.x[20] = regs.x[0]);
        child.step(move |cpu| {
            let tid = cpu.regs().x[20] as u32;
            stored.store(cpu, tid)
        });
        child
            .call(nr::SET_ROBUST_LIST, [HEAD, 24])
            .expect("set_robust_list", 0);
        if plan.end == nr::KILL {
            child.raise(SIGKILL);
        }
        child.call(plan.end, [0]);
    });
    let status = if plan.end == nr::KILL {
        SIGKILL as u32
    } else {
        0
    };
    program.expect_status(20, 0, status);
    let plan = plan.clone();
    program.step(move |cpu| {
        let tid = cpu.regs().x[20] as u32;
        let mut words = [0; LOCKS];
        for (at, word) in words.iter_mut().enumerate() {
            *word = cpu.load_u64(lock(at) + WORD)? as u32;
        }
        assert_eq!(
            words,
            plan.words(tid),
            "seed {seed}, thread {tid}: {plan:?}"
        );
        Ok(())
    });
}

#[test]
fn futex_robust_list_marks_what_its_owner_held_and_nothing_else() {
    for seed in 1..=SEQUENCES {
        let plan = Plan::draw(&mut Chance::new(seed));
        let config = Config {
            seed,
            ..Config::default()
        };
        let code = run_on(config, |program| write(program, &plan, seed));
        assert_eq!(code, 0, "seed {seed}: {plan:?}");
    }
}
