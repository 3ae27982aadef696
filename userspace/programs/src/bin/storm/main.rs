//! Processes that use every mechanism there is and are killed at random moments; in the end nothing may be left.
//!
//! `storm [KILLS [SEED]]`: 2,000 kills and a seed from the clock if not told; the seed is printed. Some workers at a time,
//! each with partners of its own, use pipes, FIFOs, shared memory, futexes, queues, semaphores, sockets with descriptors in
//! flight, timers and the rest; the storm kills now one process, now its whole group. Then the kernel's counters of live
//! objects and the free memory must be where they were: 0 if they are, or if the kernel has no counters.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod chance;
mod count;
mod deed;

use core::time::Duration;

use halyard_rt::process::{Pid, Status};
use halyard_rt::signal::{SIGKILL, SIGPIPE};
use halyard_rt::{fd, fs, nr, open, prelude::*, raw, signal, wild};

use chance::Chance;
use count::Count;

/// Workers at a time.
const TOGETHER: usize = 6;
/// Kills before the first count: what a kernel makes once and keeps is there then.
const WARM_UP: u64 = 100;
/// The longest a worker is left alone, in microseconds.
const PATIENCE: usize = 4000;

entry!(main);

fn main() -> Result<i32> {
    let words: Vec<&'static str> = args::args().skip(1).collect();
    if let ["worker", seed] = *words.as_slice() {
        return Ok(work(number(Some(seed), 1)));
    }
    let clock = time::now(time::Clock::Real).unwrap_or_default() + time::uptime();
    let kills = number(words.first().copied(), 2000);
    let seed = number(words.get(1).copied(), clock.as_nanos() as u64);
    println!("storm: {kills} kills, seed {seed}");
    let mut chance = Chance::new(seed);
    // The storm goes before its workers: else it waits for its turn among all of them.
    schedule(raw::general::SCHED_FIFO, 1);
    rage(&mut chance, WARM_UP.min(kills));
    let before = Count::at_rest();
    let started = time::uptime();
    rage(&mut chance, kills);
    println!("storm: it took {} s", (time::uptime() - started).as_secs());
    Ok(match before {
        Some(before) => judge(&before),
        None => {
            println!("storm: this kernel has no /proc/halyard/objects: what is left is not known");
            0
        }
    })
}

fn number(text: Option<&str>, usual: u64) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Takes another policy and priority for this process.
fn schedule(policy: u32, priority: u32) {
    let mut parameters = [priority];
    let at = parameters.as_mut_ptr() as usize;
    let _ = wild::call(nr::SCHED_SETSCHEDULER, [0, policy as usize, at, 0, 0, 0]);
}

/// Keeps workers at it until so many were killed, then takes everything down.
fn rage(chance: &mut Chance, kills: u64) {
    let mut workers: Vec<Pid> = Vec::new();
    let mut killed = 0;
    let mut last_word = time::uptime();
    while killed < kills {
        while workers.len() < TOGETHER {
            let seed = chance.next();
            match process::spawn(|| work(seed)) {
                Ok(pid) => {
                    let _ = process::set_group(pid, pid);
                    workers.push(pid);
                }
                Err(_) => break,
            }
        }
        let _ = time::sleep_once(Duration::from_micros(chance.below(PATIENCE) as u64));
        if !workers.is_empty() {
            let victim = workers.swap_remove(chance.below(workers.len()));
            killed += u64::from(end(victim, chance.once_in(2)));
        }
        if time::uptime() - last_word > Duration::from_secs(10) {
            last_word = time::uptime();
            println!("storm: {killed} killed so far");
        }
    }
    for worker in workers {
        end(worker, true);
    }
    deed::clean_up();
}

/// Kills a worker's process, or all of its group at once; in the end all of it is gone. True: it did not end by itself.
fn end(worker: Pid, group: bool) -> bool {
    if !group {
        let _ = process::kill(worker, SIGKILL);
    }
    let _ = process::kill(-worker, SIGKILL);
    let status = process::wait_pid(worker);
    matches!(status, Ok(Status::Signaled(SIGKILL)))
}

/// A worker: one deed after the other, until it is killed.
fn work(seed: u64) -> i32 {
    let _ = process::set_group(0, 0);
    schedule(raw::general::SCHED_NORMAL, 0);
    let _ = signal::set(SIGPIPE, signal::Action::Ignore, 0, signal::SignalSet::EMPTY);
    let usr = signal::SIGUSR1;
    let _ = signal::set(usr, signal::Action::Ignore, 0, signal::SignalSet::EMPTY);
    if let Ok(null) = fs::open_with("/dev/null", open::O_RDWR, 0) {
        for number in [STDIN, STDOUT, STDERR] {
            let _ = fd::dup2(&null, number);
        }
    }
    let mut chance = Chance::new(seed);
    loop {
        if let Some(deed) = deed::ALL.get(chance.below(deed::ALL.len())) {
            deed(&mut chance);
        }
    }
}

/// Whether all is as it was.
fn judge(before: &Count) -> i32 {
    if Count::settled(before).is_some_and(|after| after.is_as(before)) {
        println!("storm: everything is where it was");
        0
    } else {
        name_survivors();
        1
    }
}

/// Prints who is alive beside init, the shell and the storm.
fn name_survivors() {
    let own = process::id().to_string();
    for entry in fs::read_dir("/proc").unwrap_or_default() {
        let name = String::from_utf8_lossy(&entry.name).into_owned();
        let number = name.bytes().all(|byte| byte.is_ascii_digit());
        if number && name != own && name != "1" {
            let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
            println!("storm: lives: {}", stat.trim_end());
        }
    }
}
