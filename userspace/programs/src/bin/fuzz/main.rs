//! Throws random system calls at the kernel: random numbers, arguments and pointers, in processes that may die of it.
//!
//! `fuzz [CALLS [SEED]]`: a million calls and a seed from the clock if not told; the seed is printed, and gives the
//! same calls again as far as the kernel's answers are the same. It avoids only what would end the machine or reach
//! other programs. In the end nothing may be left: the kernel's counters of live objects (`/proc/halyard/objects`,
//! `name count` a line) must be where they were. 0 if they are, or if the kernel has none.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod arena;
mod child;
mod choice;

use core::time::Duration;

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::objects::{self, Objects};
use halyard_rt::process::{Pid, Status};
use halyard_rt::raw::general::WNOHANG;
use halyard_rt::{ipc, nr, prelude::*, signal, sysv, wild};

use choice::Random;

/// Where children make their files.
const DIRECTORY: &str = "/tmp/fuzz";
/// The user that most children become, so that they reach nobody else.
pub(crate) const NOBODY: usize = 47_110;
/// A child that makes no call for so long is hung.
const PATIENCE: Duration = Duration::from_millis(250);
/// Children at a time: they disturb each other.
const TOGETHER: usize = 4;

entry!(main);

/// What happened so far.
#[derive(Default)]
struct Tally {
    children: u32,
    killed_by_signal: u32,
    hung: u32,
}

fn main() -> Result<i32> {
    let mut words = args::args().skip(1);
    let calls = number(words.next(), 1_000_000);
    let clock = time::now(time::Clock::Real).unwrap_or_default() + time::uptime();
    let seed = number(words.next(), clock.as_nanos() as u64) | 1;
    println!("fuzz: {calls} calls, seed {seed:#x}");
    prepare()?;
    // The mapping is a live object too, and there to the end: it comes before the count.
    let progress = Mapping::anonymous(PAGE, PROT_READ | PROT_WRITE, Sharing::Shared)?;
    let before = settled_objects();
    let tally = run_all(calls, seed, &progress)?;
    clean_up();
    println!(
        "fuzz: {} calls in {} processes, {} of them ended by a signal, {} hung and killed",
        made(&progress),
        tally.children,
        tally.killed_by_signal,
        tally.hung
    );
    let code = judge(before);
    remove_tree(DIRECTORY.as_bytes())?;
    Ok(code)
}

fn number(text: Option<&str>, usual: u64) -> u64 {
    let parsed = text.and_then(|text| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    });
    parsed.unwrap_or(usual)
}

/// Calls made by all children so far: each has a counter of its own.
fn made(progress: &Mapping) -> u64 {
    let counters = (0..TOGETHER).map(|slot| counter(progress, slot));
    counters.map(u64::from).sum()
}

fn counter(progress: &Mapping, slot: usize) -> u32 {
    progress
        .atomic(slot * 64)
        .load(core::sync::atomic::Ordering::Relaxed)
}

fn prepare() -> Result<()> {
    let _ = remove_tree(DIRECTORY.as_bytes());
    fs::create_dir(DIRECTORY, 0o777)?;
    fs::set_permissions(DIRECTORY, 0o777)
}

/// A child in its slot, and when it was last seen to make a call.
struct Running {
    pid: Pid,
    count: u32,
    since: Duration,
}

/// Children between two sweeps: their files must not fill the memory.
const BATCH: u32 = 64;

fn run_all(calls: u64, seed: u64, progress: &Mapping) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut random = Random::new(seed);
    let mut slots: [Option<Running>; TOGETHER] = [const { None }; TOGETHER];
    let mut sweep_at = BATCH;
    let mut last_word = time::uptime();
    loop {
        let done = made(progress) >= calls;
        for (slot, running) in slots.iter_mut().enumerate() {
            watch(running, counter(progress, slot), &mut tally);
            if running.is_none() && !done && tally.children < sweep_at {
                let seed = random.next();
                let pid = process::spawn(|| child::run(seed, progress.atomic(slot * 64)))?;
                tally.children += 1;
                *running = Some(Running {
                    pid,
                    count: counter(progress, slot),
                    since: time::uptime(),
                });
            }
        }
        if slots.iter().all(Option::is_none) {
            if done {
                return Ok(tally);
            }
            clean_up();
            sweep_at = tally.children + BATCH;
        }
        if time::uptime() - last_word > Duration::from_secs(10) {
            last_word = time::uptime();
            println!("fuzz: {} calls so far", made(progress));
        }
        let _ = time::sleep_once(Duration::from_millis(1));
    }
}

/// Takes a child that has ended out of its slot, and kills one that hangs.
fn watch(slot: &mut Option<Running>, count: u32, tally: &mut Tally) {
    let Some(running) = slot else { return };
    match process::wait_for(running.pid, WNOHANG) {
        Ok(None) => {
            if count != running.count {
                running.count = count;
                running.since = time::uptime();
            } else if time::uptime() - running.since > PATIENCE {
                tally.hung += 1;
                running.since = time::uptime();
                let _ = process::kill(running.pid, signal::SIGKILL);
            }
        }
        Ok(Some((_, status))) => {
            tally.killed_by_signal += u32::from(matches!(status, Status::Signaled(_)));
            *slot = None;
        }
        Err(Errno::EINTR) => {}
        // A child that made itself nobody's.
        Err(_) => *slot = None,
    }
}

/// Ends what children left running, and removes what they left in files.
fn clean_up() {
    let sweeper = process::spawn(|| {
        // As their user it can only reach them: everybody but itself.
        if wild::call(nr::SETUID, [NOBODY, 0, 0, 0, 0, 0]).is_ok() {
            let _ = process::kill(-1, signal::SIGKILL);
        }
        0
    });
    if let Ok(sweeper) = sweeper {
        let _ = process::wait_pid(sweeper);
    }
    // A child may have given us children that it did not tell of.
    while let Ok(Some(_)) = process::wait_for(-1, WNOHANG) {}
    for directory in [DIRECTORY, "/dev/mqueue", "/dev/shm"] {
        for entry in fs::read_dir(directory).unwrap_or_default() {
            if entry.name != b"." && entry.name != b".." {
                let _ = remove_tree(&arena::join(directory.as_bytes(), &entry.name));
            }
        }
    }
    remove_named();
}

/// System V objects outlive their makers until they are removed.
fn remove_named() {
    for record in ipc::info().unwrap_or_default() {
        let Ok(id) = i32::try_from(record.id) else {
            continue;
        };
        let kind = record.kind.split(|byte| *byte == 0).next();
        let _ = match kind {
            Some(b"message_queue") => sysv::message::remove(id),
            Some(b"shared_memory") => sysv::memory::remove(id),
            Some(b"semaphore_set") => sysv::semaphore::remove(id),
            _ => Ok(()),
        };
    }
}

fn remove_tree(path: &[u8]) -> Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    for entry in fs::read_dir(path)? {
        if entry.name != b"." && entry.name != b".." {
            let _ = remove_tree(&arena::join(path, &entry.name));
        }
    }
    fs::remove_dir(path)
}

/// The counters after this program has done once what it does between the two looks.
fn settled_objects() -> Option<Objects> {
    for _ in 0..3 {
        clean_up();
    }
    objects::at_rest()
}

/// Compares the counters with what they were; what ends later than its process is given some time.
fn judge(before: Option<Objects>) -> i32 {
    let Some(before) = before else {
        println!("fuzz: this kernel has no /proc/halyard/objects: what is left is not known");
        return 0;
    };
    let after = objects::settled(&before, Duration::from_secs(5)).unwrap_or_default();
    if after == before {
        println!("fuzz: every object is gone");
        return 0;
    }
    for (name, count, now) in objects::differences(&before, &after) {
        println!("fuzz: {name}: {count} before, {now} after");
    }
    1
}
