//! A lesson for each mechanism of inter-process communication, in one file: `demo_semaphore`, or `demo semaphore`; `demo`
//! alone lists them. Each is about a page, to be read along with its chapter in docs/ipc.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod channel;
mod epoll;
mod eventfd;
mod fifo;
mod futex;
mod pipe;
mod posix_queue;
mod posix_shm;
mod semaphore;
mod shared_memory;
mod signals;
mod typed_queue;
mod unix;

use halyard_rt::prelude::*;

/// Name, what it shows, and the lesson.
type Lesson = (&'static str, &'static str, fn() -> Result<()>);

const LESSONS: &[Lesson] = &[
    ("channel", "calls to a server", channel::run),
    ("epoll", "one process waits for many", epoll::run),
    ("eventfd", "a counter that wakes", eventfd::run),
    ("futex", "a semaphore in shared memory", futex::run),
    ("fifo", "strangers meet at a name", fifo::run),
    ("pipe", "a filter, its end, and a broken pipe", pipe::run),
    (
        "posix_queue",
        "orders, the urgent first, and a bell",
        posix_queue::run,
    ),
    (
        "posix_shm",
        "a shared board and a sealed letter",
        posix_shm::run,
    ),
    (
        "semaphore",
        "philosophers take two forks at once",
        semaphore::run,
    ),
    (
        "shared_memory",
        "a board that two processes write on",
        shared_memory::run,
    ),
    ("signals", "handlers, waiting, timers", signals::run),
    (
        "typed_queue",
        "urgent letters first, answers to whom they are for",
        typed_queue::run,
    ),
    ("unix", "a server hands out open files", unix::run),
];

entry!(main);

fn main() -> i32 {
    let mut words = args::args();
    let called = words.next().unwrap_or("");
    let name = called.rsplit('/').next().unwrap_or("");
    let wanted = name.strip_prefix("demo_").or_else(|| words.next());
    let lesson = LESSONS.iter().find(|(name, ..)| Some(*name) == wanted);
    let Some((name, _, run)) = lesson else {
        for (name, about, _) in LESSONS {
            println!("demo {name:14} {about}");
        }
        return i32::from(wanted.is_some());
    };
    match run() {
        Ok(()) => 0,
        Err(errno) => {
            eprintln!("demo {name}: {errno}");
            1
        }
    }
}
