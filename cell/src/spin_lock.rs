//! A mutual-exclusion lock that spins (test and test-and-set).
//!
//! Not first come first served, on purpose: in a queue of tickets each CPU waits for all before it, and if one of these does not
//! run at the moment, because a hypervisor or an emulator has fewer processors than the machine has CPUs, all behind it
//! stand still with the lock free. Seen with four CPUs on two processors: seconds for what takes half of one. The price: there is
//! no bound on how often others are served before one that waits.
//!
//! The kernel runs with interrupts masked, so holding one across an interrupt cannot happen; the guard is not `Send`, so
//! holding one across an `.await` of a `Send` future does not compile.

use core::cell::UnsafeCell;
use core::fmt;
use core::hint;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that one CPU at a time may touch.
pub struct SpinLock<T: ?Sized> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out the value to one holder at a time, so sharing the lock only ever moves access to the
// value between CPUs, which `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, the lock being gone.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Waits for the lock. Taking it twice on one CPU never returns.
    #[inline]
    pub fn lock(&self) -> SpinGuard<'_, T> {
        if !take(&self.held) {
            take_when_free(&self.held);
        }
        SpinGuard {
            lock: self,
            not_send: PhantomData,
        }
    }

    /// The lock if it is free now.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        // Made only if it was taken: dropping a guard frees the lock.
        take(&self.held).then(|| SpinGuard {
            lock: self,
            not_send: PhantomData,
        })
    }

    /// The value, borrowed for as long as nobody else can reach the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

#[inline]
fn take(held: &AtomicBool) -> bool {
    held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Reading alone, as long as it is held, leaves the cache line with the holder.
#[cold]
#[inline(never)]
fn take_when_free(held: &AtomicBool) {
    while !take(held) {
        while held.load(Ordering::Relaxed) {
            hint::spin_loop();
        }
    }
}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(value) => f.debug_tuple("SpinLock").field(&&*value).finish(),
            None => f.write_str("SpinLock(held)"),
        }
    }
}

/// The lock, held. Dropping it frees the lock.
#[must_use = "dropping the guard frees the lock"]
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    /// A raw pointer is not `Send`: the holder stays on its CPU and does not wait.
    not_send: PhantomData<*mut ()>,
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: only who has set `held` has a guard, and it stays set for as long as there is one; `&self` keeps it alive.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` makes this the only borrow through the guard.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.held.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn lock_held_refuses_try_and_frees_on_drop() {
        let lock = SpinLock::new(1);
        let guard = lock.lock();
        for _ in 0..2 {
            assert!(lock.try_lock().is_none(), "nor does a refusal free it");
        }
        drop(guard);
        assert_eq!(lock.try_lock().map(|value| *value), Some(1));
    }

    #[test]
    fn lock_contended_loses_no_increment() {
        let lock = SpinLock::new(0_u32);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        *lock.lock() += 1;
                        std::thread::yield_now();
                    }
                });
            }
        });
        assert_eq!(lock.into_inner(), 20_000);
    }
}
