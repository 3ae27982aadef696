//! A lesson for each mechanism of inter-process communication, in one file: `demo_eventfd`, or `demo eventfd`; `demo` alone
//! lists them. Each is about a page, to be read along with its chapter in docs/ipc.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod channel;
mod epoll;
mod eventfd;
mod futex;
mod signals;

use halyard_rt::prelude::*;

/// Name, what it shows, and the lesson.
type Lesson = (&'static str, &'static str, fn() -> Result<()>);

const LESSONS: &[Lesson] = &[
    ("channel", "calls to a server", channel::run),
    ("epoll", "one process waits for many", epoll::run),
    ("eventfd", "a counter that wakes", eventfd::run),
    ("futex", "a semaphore in shared memory", futex::run),
    ("signals", "handlers, waiting, timers", signals::run),
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
            println!("demo {name:10} {about}");
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
