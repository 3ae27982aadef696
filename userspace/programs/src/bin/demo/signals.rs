//! A signal interrupts: the kernel puts a frame on the program's stack, runs the handler, and goes on where it was. That
//! leaves a handler little that it may do; so this lesson ends with the two ways to wait for signals instead.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::prelude::*;
use halyard_rt::signal::{self, Action, How, SIGCHLD, SIGUSR1, SignalSet};
use halyard_rt::timer::{CLOCK_MONOTONIC, Event, Setting, Taken, Timer, signalfd, take_signals};

static RINGS: AtomicU32 = AtomicU32::new(0);

/// Between any two instructions of the program: an atomic is safe, printing is not.
extern "C" fn ring(_: i32) {
    RINGS.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn run() -> Result<()> {
    // 1. A handler. Standard signals do not queue: what comes while one pends is the same signal.
    signal::set(SIGUSR1, Action::Call(ring), 0, SignalSet::EMPTY)?;
    let bell = SignalSet::of(&[SIGUSR1]);
    signal::mask(How::Block, bell)?;
    for _ in 0..3 {
        process::kill(process::id(), SIGUSR1)?;
    }
    println!("blocked: {} rings", RINGS.load(Ordering::Relaxed));
    signal::mask(How::Unblock, bell)?;
    println!(
        "let through: {} ring for three",
        RINGS.load(Ordering::Relaxed)
    );

    // 2. A timer that sends a real-time signal, taken by name: those queue, and carry a value.
    let tick = 40;
    let ticks = SignalSet::of(&[tick]);
    signal::mask(How::Block, ticks)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(tick, 7)))?;
    let length = Duration::from_millis(5);
    timer.set(0, Setting::new(length, length))?;
    for _ in 0..3 {
        let info = signal::wait(ticks, None)?;
        println!(
            "tick with value {}, {} missed",
            info.status(),
            timer.overrun()?
        );
    }
    timer.delete()?;

    // 3. A descriptor: the end of a child is something to read, beside anything else that a program polls.
    let children = SignalSet::of(&[SIGCHLD]);
    signal::mask(How::Block, children)?;
    let ends = signalfd(children, 0)?;
    let child = process::spawn(|| 3)?;
    let mut taken = [Taken::default()];
    take_signals(&ends, &mut taken)?;
    let [taken] = taken;
    println!(
        "child {} left with {}",
        if taken.pid == child as u32 {
            "ours"
        } else {
            "?"
        },
        taken.status
    );
    process::wait_pid(child)?;
    Ok(())
}
