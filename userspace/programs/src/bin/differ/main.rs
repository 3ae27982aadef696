//! Small random programs over all of IPC, the same from the same seed, and a trace of what each of their steps gave: on
//! two kernels that behave alike the traces are alike.
//!
//! `differ SEED FIRST COUNT [FAMILY...]` plays programs FIRST to FIRST + COUNT - 1 and prints a line `NUMBER HASH STEPS`
//! for each, the hash being that of its trace. `differ SEED show NUMBER[/MASK]... [-- FAMILY...]` prints their traces; a
//! hexadecimal mask leaves out the steps whose bits are clear, which is how a program that differs is made smaller.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod actor;
mod calls;
mod chance;
mod op;
mod plan;
mod stage;

use halyard_rt::prelude::*;

use op::Family;
use plan::Plan;

entry!(main);

fn main() -> i32 {
    let words: Vec<&'static str> = args::args().skip(1).collect();
    let (asked, names) = match words.iter().position(|&word| word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (&words[..], &words[words.len()..]),
    };
    let families: Vec<&'static Family> = calls::ALL
        .iter()
        .copied()
        .filter(|family| names.is_empty() || names.contains(&family.name))
        .collect();
    match *asked {
        [seed, "show", ref programs @ ..] => {
            let seed = number(seed);
            for program in programs {
                show(seed, program, &families);
            }
        }
        [seed, first, count] => {
            let (seed, first) = (number(seed), number(first));
            for program in first..first.saturating_add(number(count)) {
                sum_up(seed, program, &families);
            }
        }
        _ => {
            println!("usage: differ SEED FIRST COUNT [-- FAMILY...]");
            println!("       differ SEED show NUMBER[/MASK]... [-- FAMILY...]");
            return 2;
        }
    }
    println!("differ: done");
    0
}

/// A number, hexadecimal behind `0x`.
fn number(text: &str) -> u64 {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or(0)
}

/// Plays a program in a process of its own, which leaves nothing behind, and prints a line.
fn sum_up(seed: u64, program: u64, families: &[&'static Family]) {
    in_child(|| {
        let plan = Plan::new(seed, program, families);
        let trace = stage::play(&plan, program, u64::MAX)?;
        let hash = actor::hash(trace.as_bytes());
        println!("{program} {hash:016x} {}", plan.length());
        Ok(())
    });
}

/// Plays `NUMBER[/MASK]` and prints its trace.
fn show(seed: u64, program: &str, families: &[&'static Family]) {
    let (digits, mask) = program.split_once('/').unwrap_or((program, ""));
    let mask = u64::from_str_radix(mask, 16).unwrap_or(u64::MAX);
    let program = number(digits);
    println!("program {program}/{mask:x}");
    in_child(|| {
        let plan = Plan::new(seed, program, families);
        print!("{}", stage::play(&plan, program, mask)?);
        Ok(())
    });
}

fn in_child(body: impl FnOnce() -> Result<()>) {
    let played = process::spawn(|| match body() {
        Ok(()) => 0,
        Err(errno) => {
            println!("differ: {errno}");
            1
        }
    });
    if let Ok(pid) = played {
        let _ = process::wait_pid(pid);
    }
}
