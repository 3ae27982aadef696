//! Takes all memory there is, by one means after the other, and sees that the machine lives on: while it is taken a shell
//! and its commands run, and afterwards all of it is free again.
//!
//! `famine [MEANS]`: all means whose name has MEANS in it. The machine should be small: each means fills it (64 MiB take some
//! seconds). 0 if all is as it must be.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod means;

use core::time::Duration;

use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
use halyard_rt::objects;
use halyard_rt::process::{Pid, Status};
use halyard_rt::raw::general::WUNTRACED;
use halyard_rt::signal::{SIGKILL, SIGSTOP};
use halyard_rt::{prelude::*, system};

use means::{ALL, End, Means};

/// What the kernel may keep for itself afterwards, in KiB: its heap grows by chunks of 64 KiB that a little may hold, and a CPU
/// that slept meanwhile still keeps some pieces that it freed before.
const KEPT: u64 = 2048;
/// Pages that who has taken nothing must still be able to have.
const OWN: usize = 256;

entry!(main);

fn main() -> Result<i32> {
    let wanted = args::args().nth(1).unwrap_or_default();
    let mut failed = 0;
    for means in ALL.iter().filter(|means| means.name.contains(wanted)) {
        match famine(means) {
            Ok(taken) => println!("famine: {}: took {taken} KiB, all live on", means.name),
            Err(why) => {
                println!("famine: {}: {why}", means.name);
                failed += 1;
            }
        }
    }
    if failed == 0 {
        println!("famine: everybody lives");
    }
    Ok(failed)
}

/// Has a child take all memory; gives how many KiB that was.
fn famine(means: &Means) -> core::result::Result<u64, String> {
    // What an earlier one leaves goes a little later.
    let _ = objects::at_rest();
    let before = free();
    let glutton = process::spawn(|| take(means)).map_err(|errno| format!("no fork: {errno}"))?;
    let eaten = wait(glutton)?;
    let taken = before.saturating_sub(free());
    let outcome = match means.end {
        End::Refused => {
            expect(&eaten, &Status::Stopped(SIGSTOP)).and_then(|()| live_on(means.line))
        }
        End::Signal(signal) => {
            expect(&eaten, &Status::Signaled(signal)).and_then(|()| live_on(means.line))
        }
        End::Outlived => expect(&eaten, &Status::Stopped(SIGSTOP))
            .and_then(|()| own_memory())
            .and_then(|()| expect(&wait(glutton)?, &Status::Signaled(SIGKILL)))
            .and_then(|()| live_on(means.line)),
    };
    let _ = process::kill(glutton, SIGKILL);
    let _ = process::wait_pid(glutton);
    (means.clear)();
    outcome?;
    settle(before)?;
    Ok(taken)
}

/// The glutton: takes until it is refused, and keeps what it has.
fn take(means: &Means) -> i32 {
    let errno = (means.take)(&mut || {
        let _ = process::kill(process::id(), SIGSTOP);
    });
    println!("famine: {}: {errno}, not {}", means.name, means.refusal);
    1
}

fn wait(child: Pid) -> core::result::Result<Status, String> {
    match process::wait_for(child, WUNTRACED) {
        Ok(Some((_, status))) => Ok(status),
        other => Err(format!("wait4: {other:?}")),
    }
}

fn expect(status: &Status, wanted: &Status) -> core::result::Result<(), String> {
    if status == wanted {
        Ok(())
    } else {
        Err(format!("it is {status:?}, not {wanted:?}"))
    }
}

/// A shell does what it is told.
fn live_on(line: &str) -> core::result::Result<(), String> {
    let shell = process::spawn(|| {
        let errno = process::exec_same_env("/bin/sh", ["sh", "-c", line]);
        println!("famine: exec: {errno}");
        126
    });
    let shell = shell.map_err(|errno| format!("no fork for a shell: {errno}"))?;
    match process::wait_pid(shell) {
        Ok(Status::Exited(0)) => Ok(()),
        other => Err(format!("a shell: {other:?}")),
    }
}

/// Memory that is promised is there.
fn own_memory() -> core::result::Result<(), String> {
    let mapping = Mapping::anonymous(OWN * PAGE, PROT_READ | PROT_WRITE, Sharing::Private)
        .map_err(|errno| format!("mmap: {errno}"))?;
    (0..OWN).for_each(|page| mapping.store(page * PAGE, 1));
    Ok(())
}

/// Waits until the memory is free again.
fn settle(before: u64) -> core::result::Result<(), String> {
    for _ in 0..100 {
        if free() + KEPT >= before {
            return Ok(());
        }
        time::sleep(Duration::from_millis(20));
    }
    Err(format!("{} KiB free, and {before} before", free()))
}

/// Free memory in KiB.
fn free() -> u64 {
    system::info().map_or(0, |info| info.free * u64::from(info.unit) / 1024)
}
