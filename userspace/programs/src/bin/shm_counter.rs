//! The handbook's second exercise: two processes count together in shared memory, one at a time by a semaphore that lies there too.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use halyard_rt::sysv::memory::{self, Attached};
use halyard_rt::sysv::{IPC_CREAT, IPC_PRIVATE};
use halyard_rt::thread::{futex_wait_shared, futex_wake_shared};
use halyard_rt::{mm, prelude::*};

entry!(main);

const ROUNDS: u32 = 10_000;

/// Where the words are in the segment.
const COUNTER: usize = 0;
const VALUE: usize = 4;
const SLEEPERS: usize = 8;

/// A counting semaphore in memory that processes share. The kernel is asked only when somebody must sleep or be woken.
struct Semaphore<'a> {
    value: &'a AtomicU32,
    sleepers: &'a AtomicU32,
}

impl Semaphore<'_> {
    fn in_segment(segment: &Attached) -> Semaphore<'_> {
        Semaphore {
            value: segment.atomic(VALUE),
            sleepers: segment.atomic(SLEEPERS),
        }
    }

    /// Takes one; sleeps while there is none.
    fn wait(&self) {
        loop {
            let value = self.value.load(SeqCst);
            if value > 0 {
                let taken = self
                    .value
                    .compare_exchange(value, value - 1, SeqCst, SeqCst);
                if taken.is_ok() {
                    return;
                }
                continue;
            }
            self.sleepers.fetch_add(1, SeqCst);
            // Returns at once if the value is not 0 any more: so a signal between the look and the sleep is not missed.
            let _ = futex_wait_shared(self.value, 0, None);
            self.sleepers.fetch_sub(1, SeqCst);
        }
    }

    /// Gives one back; wakes somebody who sleeps for it.
    fn signal(&self) {
        self.value.fetch_add(1, SeqCst);
        if self.sleepers.load(SeqCst) > 0 {
            let _ = futex_wake_shared(self.value, 1);
        }
    }
}

/// Counts in two steps, as `counter = counter + 1` does: without the semaphore, counts would be lost in between.
fn count(segment: &Attached) {
    let semaphore = Semaphore::in_segment(segment);
    let counter = segment.atomic(COUNTER);
    for _ in 0..ROUNDS {
        semaphore.wait();
        let value = counter.load(SeqCst);
        counter.store(value + 1, SeqCst);
        semaphore.signal();
    }
}

fn main() -> Result<i32> {
    let id = memory::get(IPC_PRIVATE, mm::PAGE, IPC_CREAT | 0o600)?;
    let segment = memory::attach(id, 0)?;
    // It goes with its last user, however that ends.
    memory::remove(id)?;
    Semaphore::in_segment(&segment).signal();
    let mut children = Vec::new();
    for _ in 0..2 {
        children.push(process::spawn(|| {
            count(&segment);
            0
        })?);
    }
    for child in children {
        process::wait_pid(child)?;
    }
    println!("{}", segment.atomic(COUNTER).load(SeqCst));
    Ok(0)
}
