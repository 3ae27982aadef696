//! The spin lock as the model checker knows it: the same interface over loom's mutex, so that a lock held elsewhere is a
//! point where the checker switches threads.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use loom::sync::{Mutex, MutexGuard};

/// A value that one thread of the model at a time may touch.
pub struct SpinLock<T: ?Sized> {
    /// Made on first use, because loom's locks cannot be made in a constant.
    mutex: OnceLock<Mutex<()>>,
    value: UnsafeCell<T>,
}

// SAFETY: the mutex hands out the value to one holder at a time, so sharing the lock only ever moves access to the value
// between threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock around `value`.
    pub const fn new(value: T) -> Self {
        Self {
            mutex: OnceLock::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The value, the lock being gone.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    fn mutex(&self) -> &Mutex<()> {
        self.mutex.get_or_init(|| Mutex::new(()))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        let held = match self.mutex().lock() {
            Ok(held) => held,
            Err(poisoned) => poisoned.into_inner(),
        };
        SpinGuard {
            lock: self,
            _held: held,
            not_send: PhantomData,
        }
    }

    /// The lock if it is free now.
    pub fn try_lock(&self) -> Option<SpinGuard<'_, T>> {
        let held = self.mutex().try_lock().ok()?;
        Some(SpinGuard {
            lock: self,
            _held: held,
            not_send: PhantomData,
        })
    }

    /// The value, borrowed for as long as nobody else can reach the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpinLock(in a model)")
    }
}

/// The lock, held. Dropping it frees the lock.
#[must_use = "dropping the guard frees the lock"]
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    _held: MutexGuard<'a, ()>,
    not_send: PhantomData<*mut ()>,
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the mutex of this lock is held by this guard alone; `&self` keeps it so.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `&mut self` makes this the only borrow through the guard.
        unsafe { &mut *self.lock.value.get() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn loom_lock_excludes() {
        loom::model(|| {
            let lock = Arc::new(SpinLock::new(0));
            let other = lock.clone();
            let thread = loom::thread::spawn(move || *other.lock() += 1);
            *lock.lock() += 1;
            assert!(thread.join().is_ok());
            assert_eq!(*lock.lock(), 2);
        });
    }
}
