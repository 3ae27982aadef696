//! Futexes: so far what a thread's end owes to those who wait for it (set_tid_address(2)).

use core::sync::atomic::Ordering;

use crate::machine::UserAddr;
use crate::mm::AddressSpace;
use crate::process::thread::Thread;

/// `thread` ends, or executes another program: the word that it promised to clear is cleared.
pub fn on_thread_exit(thread: &Thread, space: &AddressSpace) {
    let at = thread.clear_child_tid.swap(0, Ordering::Relaxed);
    if at != 0 {
        // A bad address is the program's own affair.
        let _ = space.write_user(UserAddr(at as usize), &0u32);
    }
}
