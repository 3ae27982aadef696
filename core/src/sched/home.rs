//! The CPU that a thread ran on last: where it goes back to, and whom to kick when it is to look up.
//!
//! A demand for attention races with a move to another CPU. Who demands sets the thread's flag, then asks for the home
//! ([`Home::after_demand`]); who moves the thread sets the home, then looks at the flag ([`Home::move_to`]). Each is a store
//! and then a load of what the other stores, so both need a full fence in between: else either could miss the other, and a
//! killed thread would run on until its CPU happens to be interrupted.

use halyard_cell::sync::atomic::{AtomicU32, Ordering, fence};

use crate::machine::CpuId;

/// Where a thread ran last.
#[derive(Debug)]
pub struct Home(AtomicU32);

impl Home {
    /// `cpu`, to begin with.
    #[must_use]
    pub fn new(cpu: CpuId) -> Home {
        Home(AtomicU32::new(u32::from(cpu.0)))
    }

    /// The CPU, as far as it is known.
    #[inline]
    #[must_use]
    pub fn now(&self) -> CpuId {
        CpuId(self.0.load(Ordering::Relaxed) as u8)
    }

    /// The CPU to kick for a demand that the caller has stored: the thread is there, or its next CPU will see the demand.
    #[inline]
    #[must_use]
    pub fn after_demand(&self) -> CpuId {
        fence(Ordering::SeqCst);
        self.now()
    }

    /// The thread runs on `cpu` from now on; whoever runs it looks at demands after this. Back on the CPU of last time there
    /// is nothing to tell: whoever reads the old value reads the right one.
    #[inline]
    pub fn move_to(&self, cpu: CpuId) {
        if self.now() != cpu {
            self.0.store(u32::from(cpu.0), Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use alloc::sync::Arc;

    use halyard_cell::sync::atomic::AtomicBool;
    use loom::thread;

    use super::*;

    /// A thread that was on CPU 0 and is carried on by CPU 1, and then by CPU 0 again, while somebody demands its attention.
    #[test]
    fn loom_demand_during_a_move_is_seen_or_kicks_the_new_cpu() {
        loom::model(|| {
            let home = Arc::new(Home::new(CpuId(0)));
            let demand = Arc::new(AtomicBool::new(false));
            let (theirs, seen) = (home.clone(), demand.clone());
            let mover = thread::spawn(move || {
                theirs.move_to(CpuId(1));
                seen.load(Ordering::Relaxed)
            });
            demand.store(true, Ordering::Release);
            let kicked = home.after_demand();
            let noticed = mover.join().unwrap_or(false);
            assert!(noticed || kicked == CpuId(1));
        });
    }
}
