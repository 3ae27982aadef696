//! An emulated machine. It owns its frames, page tables, clock and CPUs; nothing is shared between two of them, so a test
//! process can hold many. All of it is deterministic: chance comes from the seed in [`Config`].

mod bus;
mod cpus;
mod page_table;
mod program;
mod ram;

use std::boxed::Box;
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec;
use std::vec::Vec;

use halyard_core::machine::{Frame, MAX_CPUS};
use halyard_core::mm::{FramePool, Memory};

pub use cpus::End;
pub use program::{HostCpu, Label, Program, Step};

use cpus::Cpus;
use page_table::Tables;
use program::Programs;
use ram::Ram;

/// The number of the first frame: not 0, so that an index taken for a frame number shows.
const FIRST_FRAME: usize = 0x40000;

/// What kind of machine.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Frames of RAM, all free at first.
    pub frames: usize,
    /// CPUs, 1 to [`MAX_CPUS`].
    pub cpus: usize,
    /// What chance is drawn from: entropy, and which CPU goes on when more than one can.
    pub seed: u64,
    /// Nanoseconds that the clock advances at each program step.
    pub step_ns: u64,
    /// Whether a program step needs an executable page at its PC, as on hardware.
    pub fetch_checks: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            frames: 1024,
            cpus: 1,
            seed: 1,
            step_ns: 100,
            fetch_checks: false,
        }
    }
}

/// The machine. Made by [`HostMachine::new`], which leaks it: the kernel wants it for ever.
pub struct HostMachine {
    config: Config,
    ram: Ram,
    pool: &'static FramePool,
    tables: Tables,
    programs: Programs,
    cpus: Cpus,
    chance: Mutex<Chance>,
    console: Mutex<Console>,
}

#[derive(Default)]
struct Console {
    written: Vec<u8>,
    typed: Vec<u8>,
}

impl HostMachine {
    /// A machine and the memory over it.
    #[must_use]
    pub fn new(config: Config) -> (&'static HostMachine, &'static Memory) {
        let pool: &'static FramePool = Box::leak(Box::new(new_pool(config.frames)));
        let machine: &'static HostMachine = Box::leak(Box::new(HostMachine {
            config,
            ram: Ram::new(FIRST_FRAME, config.frames),
            pool,
            tables: Tables::default(),
            programs: Programs::default(),
            cpus: Cpus::new(config.cpus.clamp(1, MAX_CPUS), config.seed),
            chance: Mutex::new(Chance(config.seed | 1)),
            console: Mutex::default(),
        }));
        (machine, Box::leak(Box::new(Memory::new(machine, pool))))
    }

    /// Makes `program`'s steps what runs at its addresses, in every address space.
    pub fn install(&self, program: Program) {
        self.programs.install(program);
    }

    /// What was written to the console so far; forgets it.
    pub fn take_console(&self) -> Vec<u8> {
        std::mem::take(&mut locked(&self.console).written)
    }

    /// Types on the console.
    pub fn type_in(&self, text: &[u8]) {
        locked(&self.console).typed.extend_from_slice(text);
        self.cpus.console_input();
    }

    /// Lets time pass.
    pub fn advance(&self, ns: u64) {
        self.cpus.advance(ns);
    }

    /// Makes the caller's code run as if on `cpu`; for tests that call the kernel without [`HostMachine::run`].
    pub fn select_cpu(&self, cpu: u8) {
        self.cpus.select(cpu);
    }

    /// Runs `cpu_main` once for each CPU until one shuts the machine down, or none has anything to do ever again. Only one
    /// CPU runs at a time; it gives way where it enters a program or idles, and the seed decides who goes on.
    pub fn run(&'static self, cpu_main: impl Fn() + Send + Sync) -> End {
        self.cpus.run(&cpu_main)
    }
}

fn new_pool(frames: usize) -> FramePool {
    let (first, end) = (Frame(FIRST_FRAME), Frame(FIRST_FRAME + frames));
    let size = FramePool::metadata_size(first, end);
    let words = vec![u64::MAX; size.words].into_boxed_slice();
    let shares: Vec<AtomicU32> = (0..size.shares)
        .map(|_| AtomicU32::new(0xdead_beef))
        .collect();
    match FramePool::new(
        first,
        end,
        Box::leak(words),
        Box::leak(shares.into_boxed_slice()),
    ) {
        Some(pool) => {
            pool.give(first..end);
            pool
        }
        None => unreachable!("the books have the size that the pool asked for"),
    }
}

/// The lock, whether or not a test died with it held.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A small generator (xorshift64*): chance that can be repeated.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
