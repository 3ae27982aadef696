//! A mutex in shared memory whose owner inherits the priority of those who wait (futex(2), FUTEX_LOCK_PI).

use core::sync::atomic::{AtomicU32, Ordering};

use crate::process::thread_id;
use crate::sys::sys;
use crate::{Result, nr, raw};

/// A mutex over a word that processes may share. The word is 0 while it is free, else its owner's thread number.
#[derive(Clone, Copy, Debug)]
pub struct PiMutex<'a>(&'a AtomicU32);

impl<'a> PiMutex<'a> {
    /// The mutex over `word`.
    #[must_use]
    pub fn over(word: &'a AtomicU32) -> PiMutex<'a> {
        PiMutex(word)
    }

    /// Takes it; waits while another thread has it. While nobody has it the kernel is not asked.
    ///
    /// # Errors
    /// `EDEADLK`: this thread has it, or its owner waits for this thread. `ESRCH`: its owner has ended.
    pub fn lock(self) -> Result<()> {
        let free =
            self.0
                .compare_exchange(0, thread_id() as u32, Ordering::Acquire, Ordering::Relaxed);
        if free.is_ok() {
            return Ok(());
        }
        self.ask(raw::general::FUTEX_LOCK_PI)
    }

    /// Gives it up, to who waits for it if anybody does.
    ///
    /// # Errors
    /// `EPERM`: this thread does not have it.
    pub fn unlock(self) -> Result<()> {
        let alone =
            self.0
                .compare_exchange(thread_id() as u32, 0, Ordering::Release, Ordering::Relaxed);
        if alone.is_ok() {
            return Ok(());
        }
        self.ask(raw::general::FUTEX_UNLOCK_PI)
    }

    fn ask(self, operation: u32) -> Result<()> {
        // SAFETY: the kernel reads and changes the word, as any thread may.
        unsafe { sys!(nr::FUTEX, self.0.as_ptr(), operation, 0, 0) }.map(drop)
    }
}
