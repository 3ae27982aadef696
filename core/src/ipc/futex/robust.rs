//! What a thread that ends leaves behind: robust futexes, those that inherit priority, the word that joins wait on
//! (set_robust_list(2), set_tid_address(2)).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::LEFT;
use super::pi::{OWNER_DIED, TID_MASK, WAITERS};
use crate::Result;
use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::thread::Thread;

/// The most entries of a robust list that are followed (Linux's ROBUST_LIST_LIMIT).
const ROBUST_MAX: usize = 2048;

/// `thread` ends: what it owns is handed on, marked as left behind, and the word that it promised to clear is cleared and its
/// waiter woken.
pub fn on_thread_exit(thread: &Arc<Thread>, space: &Arc<AddressSpace>) {
    give_up(thread, space, true);
}

/// `thread` executes another program, which does not know what the old one owned: as [`on_thread_exit`].
pub fn on_exec(thread: &Arc<Thread>, space: &Arc<AddressSpace>) {
    give_up(thread, space, false);
}

fn give_up(thread: &Arc<Thread>, space: &Arc<AddressSpace>, ends: bool) {
    // First those for which others wait: the word then names the next owner, and the list leaves it alone.
    abandon_claims(thread, ends);
    let list = thread.robust_list.swap(0, Ordering::Relaxed);
    if list != 0 {
        // A broken list is the program's own affair: what can be read of it is followed.
        let _ = follow_robust_list(thread, space, list);
    }
    let at = UserAddr(thread.clear_child_tid.swap(0, Ordering::Relaxed) as usize);
    if at.0 != 0 && space.write_user(at, &0u32).is_ok() {
        thread.kernel().futexes.wake_word(space, at);
    }
}

/// Hands on what `thread` owns with others waiting; if it `ends`, nobody can come to wait for it any more.
fn abandon_claims(thread: &Arc<Thread>, ends: bool) {
    let kernel = thread.kernel();
    if ends {
        // Under the lock, so that whoever asks under it sees this or has been counted.
        let states = kernel.futexes.pi.lock();
        thread.claims.fetch_or(LEFT, Ordering::AcqRel);
        drop(states);
    }
    while thread.claims.load(Ordering::Acquire) & !LEFT != 0 {
        let mut states = kernel.futexes.pi.lock();
        let handed = states.abandon_one(&kernel.scheduler.world, thread);
        drop(states);
        match handed {
            Some(handed) => handed.finish(),
            None => break,
        }
    }
}

/// `struct robust_list_head` (uapi/linux/futex.h): first entry, offset of the word in an entry, entry being locked.
fn follow_robust_list(thread: &Thread, space: &Arc<AddressSpace>, list: u64) -> Result<()> {
    let [first, offset, pending]: [u64; 3] = space.read_user(UserAddr(list as usize))?;
    // The lowest bit of an entry's address says that its futex inherits priority.
    let word = |entry: u64| UserAddr((entry & !1).wrapping_add(offset) as usize);
    let mut entry = first;
    for _ in 0..ROBUST_MAX {
        if entry & !1 == list {
            break;
        }
        // Before the word is let go: then the entry may be another's.
        let next: Result<u64> = space.read_user(UserAddr((entry & !1) as usize));
        if entry & !1 != pending & !1 {
            release_robust(thread, space, word(entry), (entry & 1 != 0, false))?;
        }
        entry = next?;
    }
    if pending == 0 {
        return Ok(());
    }
    release_robust(thread, space, word(pending), (pending & 1 != 0, true))
}

/// Marks the word at `at` as left behind if `thread` holds it, and wakes one waiter, unless it inherits priority (`pi`): then
/// whoever waits has got it already. `pending`: it was being locked or unlocked.
fn release_robust(
    thread: &Thread,
    space: &Arc<AddressSpace>,
    at: UserAddr,
    (pi, pending): (bool, bool),
) -> Result<()> {
    let mut value = space.load_u32(at)?;
    if pending && !pi && value == 0 {
        // Unlocked, and the wake that was due may not have been made.
        thread.kernel().futexes.wake_word(space, at);
        return Ok(());
    }
    while value & TID_MASK == thread.tid {
        let found = space.compare_exchange_u32(at, value, value & WAITERS | OWNER_DIED)?;
        if found == value {
            if value & WAITERS != 0 && !pi {
                thread.kernel().futexes.wake_word(space, at);
            }
            return Ok(());
        }
        value = found;
    }
    Ok(())
}
