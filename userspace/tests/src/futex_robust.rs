//! Locks whose owners die: robust lists, and the word that a thread's end clears (set_robust_list(2), set_tid_address(2)).

use core::sync::atomic::Ordering;
use core::time::Duration;

use halyard_rt::process::{Status, thread_id};
use halyard_rt::raw::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use halyard_rt::thread::futex_wait_shared;
use halyard_rt::{nr, prelude::*, signal::SIGKILL, thread};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, Shared, call, check, check_eq, in_child, sleep_ms};

suite!(
    futex_robust_owner_that_exits_leaves_it_marked,
    futex_robust_owner_that_is_killed_wakes_who_waits,
    futex_robust_word_of_another_owner_is_left_alone,
    futex_robust_pending_lock_is_marked_too,
    futex_robust_list_that_leads_nowhere_does_no_harm,
    futex_robust_head_of_another_size_is_einval,
    futex_cleartid_wakes_who_joins,
);

/// Where things are in the shared page, in words of four bytes.
const HEAD: usize = 16;
const LINK: usize = 32;
const LOCK: usize = 40;
/// The size of `struct robust_list_head`.
const HEAD_SIZE: usize = 24;

fn address(shared: &Shared, word: usize) -> usize {
    shared.word(word).as_ptr() as usize
}

/// Stores eight bytes.
fn put(shared: &Shared, word: usize, value: usize) {
    shared.set(word, value as u32);
    shared.set(word + 1, (value >> 32) as u32);
}

/// Gives the kernel a list whose first entry is at `first`, and whose lock about to be taken is at `pending`.
fn register(shared: &Shared, first: usize, pending: usize) -> Result<()> {
    put(shared, HEAD, first);
    put(shared, HEAD + 2, (LOCK - LINK) * 4);
    put(shared, HEAD + 4, pending);
    call(nr::SET_ROBUST_LIST, [address(shared, HEAD), HEAD_SIZE]).map(drop)
}

/// A list with the one lock in it, of which `owner` is the owner.
fn own(shared: &Shared, owner: u32) -> Result<()> {
    put(shared, LINK, address(shared, HEAD));
    shared.set(LOCK, owner);
    register(shared, address(shared, LINK), 0)
}

fn futex_robust_owner_that_exits_leaves_it_marked() -> Outcome {
    let shared = Shared::new()?;
    in_child(|| i32::from(own(&shared, thread_id() as u32).is_err()))?;
    check_eq!(shared.get(LOCK), FUTEX_OWNER_DIED);
    Ok(())
}

fn futex_robust_owner_that_is_killed_wakes_who_waits() -> Outcome {
    let shared = Shared::new()?;
    let owner = Blocker::start(|| {
        let _ = own(&shared, thread_id() as u32 | FUTEX_WAITERS);
        sleep_ms(1_000_000);
        0
    })?;
    let held = shared.get(LOCK);
    check_eq!(held & FUTEX_TID_MASK, owner.pid() as u32);
    let waiter = Blocker::start(|| {
        let slept = futex_wait_shared(shared.word(LOCK), held, Some(Duration::from_secs(10)));
        i32::from(slept.is_err())
    })?;
    check_eq!(owner.kill()?, Status::Signaled(SIGKILL));
    check_eq!(waiter.join()?, Status::Exited(0));
    // The bit that says that somebody waits is for the next owner to clear.
    check_eq!(shared.get(LOCK), FUTEX_OWNER_DIED | FUTEX_WAITERS);
    Ok(())
}

fn futex_robust_word_of_another_owner_is_left_alone() -> Outcome {
    let shared = Shared::new()?;
    let me = thread_id() as u32;
    in_child(|| i32::from(own(&shared, me).is_err()))?;
    check_eq!(shared.get(LOCK), me);
    Ok(())
}

fn futex_robust_pending_lock_is_marked_too() -> Outcome {
    let shared = Shared::new()?;
    in_child(|| {
        shared.set(LOCK, thread_id() as u32);
        // The list is empty: the owner died between taking the lock and entering it.
        i32::from(register(&shared, address(&shared, HEAD), address(&shared, LINK)).is_err())
    })?;
    check_eq!(shared.get(LOCK), FUTEX_OWNER_DIED);
    Ok(())
}

fn futex_robust_list_that_leads_nowhere_does_no_harm() -> Outcome {
    let shared = Shared::new()?;
    for first in [8, 0xffff_0000_0000_0000, address(&shared, LINK)] {
        // The last of them is a circle that never comes back to the head.
        put(&shared, LINK, address(&shared, LINK));
        let status = in_child(|| i32::from(register(&shared, first, 0).is_err()))?;
        check_eq!(status, Status::Exited(0));
    }
    Ok(())
}

fn futex_robust_head_of_another_size_is_einval() -> Outcome {
    let shared = Shared::new()?;
    let args = [address(&shared, HEAD), HEAD_SIZE + 8];
    check_eq!(call(nr::SET_ROBUST_LIST, args), Err(Errno::EINVAL));
    Ok(())
}

fn futex_cleartid_wakes_who_joins() -> Outcome {
    let shared = Shared::new()?;
    let word = shared.word(0);
    let sleeper = thread::spawn(move || {
        sleep_ms(10);
        word.store(1, Ordering::SeqCst);
    })?;
    // It sleeps without a limit on the word that the kernel clears.
    sleeper.join();
    check!(shared.get(0) == 1);
    Ok(())
}
