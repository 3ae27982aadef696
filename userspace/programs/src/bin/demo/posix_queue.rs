//! POSIX message queues: orders with priorities, workers that share them, and a bell that rings once.

use core::time::Duration;

use halyard_rt::mqueue::{self as mq, Notify};
use halyard_rt::open;
use halyard_rt::prelude::*;
use halyard_rt::signal::{self, How, SIGUSR1, SignalSet};

const NAME: &str = "/demo_orders";
const WORKERS: usize = 2;

/// Takes orders, the most urgent first, until it is told to stop.
fn worker() -> Result<()> {
    let queue = mq::open(NAME, open::O_RDONLY)?;
    loop {
        let mut order = [0; 64];
        let (length, priority) = mq::receive(&queue, &mut order)?;
        if length == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&order[..length]).into_owned();
        println!("priority {priority}: {text}");
    }
}

pub(crate) fn run() -> Result<()> {
    let _ = mq::unlink(NAME);
    // Eight orders of up to 64 bytes: the ninth sender would wait.
    let queue = mq::create(NAME, open::O_RDWR | open::O_EXCL, 0o600, Some((8, 64)))?;

    // The bell: a signal when a message arrives in the empty queue. Once; whoever wants it again asks again.
    let bell = SignalSet::of(&[SIGUSR1]);
    let before = signal::mask(How::Block, bell)?;
    mq::notify(&queue, Some(Notify::Signal(SIGUSR1, 42)))?;
    mq::send(&queue, b"a cup of tea", 1)?;
    let info = signal::wait(bell, Some(Duration::from_secs(1)))?;
    println!("the bell rings, with the value {}", info.status());
    signal::mask(How::Set, before)?;

    // Nobody has received yet: what is urgent overtakes what waits, and what is equal keeps its order.
    mq::send(&queue, b"two eggs", 1)?;
    mq::send(&queue, b"the kitchen is on fire", 9)?;
    mq::send(&queue, b"toast", 1)?;
    let held = mq::attributes(&queue)?;
    println!("{} of {} orders wait", held.messages, held.max_messages);

    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(process::spawn(|| i32::from(worker().is_err()))?);
    }
    // An empty message is a message too: here, the end of the day, of the lowest priority.
    for _ in 0..WORKERS {
        mq::send(&queue, b"", 0)?;
    }
    for worker in workers {
        process::wait_pid(worker)?;
    }
    // The name outlives processes; the queue goes with its last descriptor.
    mq::unlink(NAME)
}
