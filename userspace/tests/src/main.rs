//! On-target tests: each rule that a program relies on, held against the kernel that runs them.
//!
//! `tests [--sealed] [FILTER...]` runs the tests with one of the words in their name and prints TAP, with `--sealed` in lines that tell
//! whether they came whole over a serial line; `tests list` names them. They
//! hold on Linux arm64 as well, which is the judge of what they expect: `cargo xtask test --on linux`.
//! Each test runs in a process of its own with a deadline, so that a hang or a crash fails one test.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod arguments;
mod bytes;
mod channel;
mod copy_on_write;
mod descriptor;
mod device;
mod directory;
mod epoll;
mod eventfd;
mod exec;
mod exec_interpreter;
mod exit;
mod fifo_open;
mod file;
mod futex;
mod futex_pi;
mod futex_robust;
mod ipc_call;
mod link;
mod long_call;
mod memfd_seal;
mod memory;
mod mq_message;
mod mq_name;
mod mq_notify;
mod pipe_end;
mod pipe_fault;
mod pipe_poll;
mod pipe_signal;
mod pipe_size;
mod pipe_stress;
mod poll;
mod posix_timer;
mod protection;
mod runner;
mod schedule;
mod select;
mod shm_posix;
mod signal_action;
mod signal_job;
mod signal_mask;
mod signal_rules;
mod signal_wait;
mod signalfd;
mod splice_move;
mod support;
mod system;
mod sysv_memory;
mod sysv_message;
mod sysv_semaphore;
mod sysv_support;
mod thread;
mod time;
mod timerfd;
mod tty;
mod unix_message;
mod unix_name;
mod unix_stream;
mod wait;

use halyard_rt::prelude::*;
use halyard_wire::result::Sealer;
use runner::Told;

/// The suites, in the order they run: what others rest on comes first.
const SUITES: &[&[runner::Test]] = &[
    bytes::TESTS,
    exit::TESTS,
    wait::TESTS,
    exec::TESTS,
    exec_interpreter::TESTS,
    memory::TESTS,
    protection::TESTS,
    copy_on_write::TESTS,
    descriptor::TESTS,
    device::TESTS,
    file::TESTS,
    directory::TESTS,
    link::TESTS,
    long_call::TESTS,
    pipe_size::TESTS,
    pipe_end::TESTS,
    pipe_signal::TESTS,
    pipe_fault::TESTS,
    pipe_poll::TESTS,
    pipe_stress::TESTS,
    fifo_open::TESTS,
    splice_move::TESTS,
    memfd_seal::TESTS,
    shm_posix::TESTS,
    mq_name::TESTS,
    mq_message::TESTS,
    mq_notify::TESTS,
    poll::TESTS,
    schedule::TESTS,
    select::TESTS,
    eventfd::TESTS,
    epoll::TESTS,
    time::TESTS,
    futex::TESTS,
    futex_pi::TESTS,
    futex_robust::TESTS,
    channel::TESTS,
    thread::TESTS,
    signal_action::TESTS,
    signal_mask::TESTS,
    signal_wait::TESTS,
    signal_job::TESTS,
    unix_name::TESTS,
    unix_stream::TESTS,
    unix_message::TESTS,
    signal_rules::TESTS,
    signalfd::TESTS,
    timerfd::TESTS,
    posix_timer::TESTS,
    tty::TESTS,
    ipc_call::TESTS,
    sysv_message::TESTS,
    sysv_memory::TESTS,
    sysv_semaphore::TESTS,
    system::TESTS,
    arguments::TESTS,
];

entry!(main);

fn main() -> i32 {
    let words: Vec<&'static str> = args::args().skip(1).collect();
    match words.as_slice() {
        [exec::HELPER, rest @ ..] => exec::help(rest),
        ["list"] => {
            let names = SUITES.iter().copied().flatten().map(|test| test.name);
            names.for_each(|name| println!("{name}"));
            0
        }
        ["--sealed", filters @ ..] => runner::run(SUITES, filters, Told::Sealed(Sealer::default())),
        filters => runner::run(SUITES, filters, Told::Plain),
    }
}
