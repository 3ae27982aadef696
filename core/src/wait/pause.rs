//! A stop between two pieces of long work, so that nothing in the kernel runs for long without others getting their turn.
//!
//! The kernel is not preempted: while a call works, its CPU takes no interrupt and runs no other thread. So long work is
//! done a piece at a time by the call's future, which pauses in between: its CPU takes the interrupts that wait, runs whom
//! it owes a turn, and then polls the future again.

use core::future::poll_fn;
use core::task::Poll;

use super::{Interruption, Sleeper};

/// Bytes that one piece of long work moves, zeroes or copies at most: some 100 to 200 microseconds on a slow core.
pub const PIECE_BYTES: usize = 128 << 10;

/// Pages that one piece of work on an address space looks at, at most.
pub const PIECE_PAGES: usize = 1024;

/// Lets others have their turn.
///
/// # Errors
/// [`Interruption::Signal`]: the sleeper is interrupted; the work is to end here, or to be undone.
pub async fn pause<S: Sleeper>(sleeper: &S) -> Result<(), Interruption> {
    let mut paused = false;
    poll_fn(|context| {
        if paused {
            return Poll::Ready(());
        }
        paused = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    if sleeper.interrupted() {
        Err(Interruption::Signal)
    } else {
        Ok(())
    }
}
