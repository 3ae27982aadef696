//! A value that boot sets once and everybody reads after.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, Ordering};

const EMPTY: u8 = 0;
const SETTING: u8 = 1;
const SET: u8 = 2;

/// Nothing, and later a value for ever.
pub(crate) struct Once<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written before `SET` is stored with release and only read after that; `T: Send + Sync` lets it go from the
// CPU that set it to all.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU8::new(EMPTY),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Sets the value, unless it was set before; returns what it is, if this was the first.
    pub(crate) fn set(&self, value: T) -> Option<&T> {
        let claim =
            self.state
                .compare_exchange(EMPTY, SETTING, Ordering::Acquire, Ordering::Relaxed);
        if claim.is_err() {
            return None;
        }
        // SAFETY: only who moved the state from EMPTY to SETTING gets here, so nobody else writes, and nobody reads before SET.
        unsafe { (*self.value.get()).write(value) };
        self.state.store(SET, Ordering::Release);
        self.get()
    }

    /// The value, if it was set.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: SET is stored after the value was written, and it is never written again.
        (self.state.load(Ordering::Acquire) == SET)
            .then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }
}
