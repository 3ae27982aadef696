//! A lesson for each mechanism of inter-process communication, in one file: `demo_eventfd`, or `demo eventfd`; `demo` alone
//! lists them. Each is about a page, to be read along with its chapter in docs/ipc.
//! A program for each mechanism of inter-process communication, about a page long, to be read as a lesson.
//!
//! All are one file: the name it is called by says which one it is. `demo` alone lists them; `demo NAME` works as well.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod unix;

use halyard_rt::prelude::*;

/// Name, what it shows, and the lesson.
type Lesson = (&'static str, &'static str, fn() -> Result<()>);

const LESSONS: &[Lesson] = &[("unix", "a server hands out open files", unix::run)];

entry!(main);

fn main() -> i32 {
    let mut words = args::args();
    let called = words.next().unwrap_or("");
    let name = called.rsplit('/').next().unwrap_or("");
    let wanted = name.strip_prefix("demo_").or_else(|| words.next());
    let lesson = LESSONS.iter().find(|(name, ..)| Some(*name) == wanted);
    let Some((name, _, run)) = lesson else {
        for (name, about, _) in LESSONS {
            println!("demo {name:10} {about}");
        }
        return i32::from(wanted.is_some());
    };
    match run() {
        Ok(()) => 0,
        Err(errno) => {
            eprintln!("demo {name}: {errno}");
            1
mod semaphore;
mod shared_memory;
mod typed_queue;

use halyard_rt::prelude::*;

/// A lesson: its name, what it shows, and its code.
type Lesson = (&'static str, &'static str, fn() -> Result<()>);

const LESSONS: &[Lesson] = &[
    (
        "demo_semaphore",
        "System V semaphores: philosophers take two forks at once",
        semaphore::run,
    ),
    (
        "demo_shared_memory",
        "System V shared memory: a board that two processes write on",
        shared_memory::run,
    ),
    (
        "demo_typed_queue",
        "System V message queue: urgent letters first, answers to whom they are for",
        typed_queue::run,
    ),
];

entry!(main);

fn main() -> Result<i32> {
    let called = args::program();
    let asked = args::args().nth(1).unwrap_or("");
    let chosen = |lesson: &&Lesson| {
        let name = lesson.0;
        name == called || name == asked || name.strip_prefix("demo_") == Some(asked)
    };
    match LESSONS.iter().find(chosen) {
        Some((_, _, run)) => run().map(|()| 0),
        None => {
            for (name, what, _) in LESSONS {
                println!("{name:20} {what}");
            }
            Ok(i32::from(!asked.is_empty()))
        }
    }
}
