//! A fixed place for the future of one waiting call: emplaced, polled and dropped where it lies, without allocation.
//!
//! The place is allocated once with the slot and stays where it is for the slot's life, so the slot may be moved,
//! swapped or forgotten while it holds a future: only a pointer moves. Forgetting it leaks the place with the future, which
//! is what pinning asks for (the memory is not used again before the future is dropped).

use alloc::boxed::Box;
use core::future::Future;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};

/// The alignment of the place: what the allocator gives anyway, and enough for any register-sized value.
const ALIGN: usize = 16;

#[repr(C, align(16))]
struct Place<const N: usize>(MaybeUninit<[u8; N]>);

/// What can be done to a future whose type is forgotten. The pointer is to a live `F`, pinned, borrowed by nobody else.
struct Operations<Output> {
    poll: unsafe fn(NonNull<u8>, &mut Context<'_>) -> Poll<Output>,
    drop: unsafe fn(NonNull<u8>),
}

/// Room of `N` bytes for one future that yields `Output`.
pub struct FutureSlot<const N: usize, Output: 'static> {
    place: NonNull<Place<N>>,
    /// Present exactly while `place` holds a live future, and then of that future's type.
    operations: Option<&'static Operations<Output>>,
    owns: PhantomData<Box<Place<N>>>,
}

// SAFETY: the slot owns its place alone, as a Box would, and `emplace` admits only futures that are Send.
unsafe impl<const N: usize, Output: 'static> Send for FutureSlot<N, Output> {}
// SAFETY: through `&FutureSlot` only `is_empty` is reachable, which reads a plain field.
unsafe impl<const N: usize, Output: 'static> Sync for FutureSlot<N, Output> {}

impl<const N: usize, Output: 'static> FutureSlot<N, Output> {
    /// An empty slot. Allocates the place; running out of heap here is fatal, as it is in `Box::new`: callers make sure
    /// of the reserve first.
    #[must_use]
    pub fn new() -> Self {
        let place = Box::leak(Box::new(Place(MaybeUninit::uninit())));
        Self {
            place: NonNull::from(place),
            operations: None,
            owns: PhantomData,
        }
    }

    /// Whether it holds no future.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.operations.is_none()
    }

    /// Puts `future` into the place; one that is there already is dropped first. A future that is too large does not
    /// compile.
    #[inline(always)]
    pub fn emplace<F: Future<Output = Output> + Send + 'static>(&mut self, future: F) {
        const {
            assert!(
                size_of::<F>() <= N,
                "the future of this call is larger than its slot"
            );
            assert!(
                align_of::<F>() <= ALIGN,
                "the future of this call asks for more alignment than its slot has"
            );
        }
        self.clear();
        // SAFETY: the place is owned, N bytes large and 16-aligned, which the assertions above found enough for F; it
        // holds no live value, for `clear` has just emptied it.
        unsafe { self.place.cast::<F>().write(future) };
        self.operations = Some(OperationsOf::<F>::TABLE);
    }

    /// Polls the future. Ready: it is dropped and the slot is empty. Pending for ever if the slot is empty.
    #[inline]
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Output> {
        let Some(operations) = self.operations else {
            return Poll::Pending;
        };
        // SAFETY: `operations` is present, so the place holds a live future of its type; `&mut self` excludes every other
        // access; the place does not move and is not used again before `drop`, so the future is pinned.
        let polled = unsafe { (operations.poll)(self.place.cast(), context) };
        if polled.is_ready() {
            self.clear();
        }
        polled
    }

    /// Drops the future where it lies, if there is one.
    #[inline]
    pub fn clear(&mut self) {
        if let Some(operations) = self.operations.take() {
            // SAFETY: the place held a live future of this type, and taking `operations` made sure that nobody polls
            // or drops it again, even if this drop panics.
            unsafe { (operations.drop)(self.place.cast()) };
        }
    }
}

impl<const N: usize, Output: 'static> Default for FutureSlot<N, Output> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, Output: 'static> Drop for FutureSlot<N, Output> {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: the pointer came from a leaked Box of this type in `new`, is given back once, here, and is not used
        // after; the place holds only `MaybeUninit`.
        drop(unsafe { Box::from_raw(self.place.as_ptr()) });
    }
}

/// Carries the operations of `F` as a constant.
struct OperationsOf<F>(PhantomData<F>);

impl<F: Future> OperationsOf<F>
where
    F::Output: 'static,
{
    const TABLE: &'static Operations<F::Output> = &Operations {
        poll: poll_in_place::<F>,
        drop: drop_in_place::<F>,
    };
}

/// # Safety
/// `place` points to a live `F` that is pinned there and that nobody else borrows.
unsafe fn poll_in_place<F: Future>(
    place: NonNull<u8>,
    context: &mut Context<'_>,
) -> Poll<F::Output> {
    // SAFETY: by this function's contract the reference is valid, unique and pinned.
    unsafe { Pin::new_unchecked(place.cast::<F>().as_mut()) }.poll(context)
}

/// # Safety
/// As [`poll_in_place`]; afterwards there is no `F` at `place`.
unsafe fn drop_in_place<F>(place: NonNull<u8>) {
    // SAFETY: by this function's contract the value is live and nobody uses it again.
    unsafe { place.cast::<F>().drop_in_place() };
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use core::future::{pending, poll_fn, ready};
    use core::pin::pin;
    use core::task::Waker;

    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[test]
    fn slot_ready_future_yields_and_empties() {
        let mut slot = FutureSlot::<64, u32>::new();
        assert!(slot.is_empty());
        slot.emplace(ready(7));
        assert!(!slot.is_empty());
        assert_eq!(slot.poll(&mut context()), Poll::Ready(7));
        assert!(slot.is_empty());
        assert_eq!(slot.poll(&mut context()), Poll::Pending);
    }

    #[test]
    fn slot_cleared_drops_the_future_once() {
        let witness = Arc::new(());
        let mut slot = FutureSlot::<64, ()>::new();
        let held = witness.clone();
        slot.emplace(async move {
            let _held = held;
            pending::<()>().await;
        });
        assert!(slot.poll(&mut context()).is_pending());
        assert_eq!(Arc::strong_count(&witness), 2);
        slot.clear();
        slot.clear();
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn slot_emplace_over_a_future_drops_the_old_one() {
        let witness = Arc::new(());
        let mut slot = FutureSlot::<64, ()>::new();
        for _ in 0..2 {
            let held = witness.clone();
            slot.emplace(async move {
                let _held = held;
                pending::<()>().await;
            });
        }
        assert_eq!(Arc::strong_count(&witness), 2);
        drop(slot);
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn slot_moved_while_filled_keeps_a_self_referential_future_whole() {
        async fn counting(start: u64) -> u64 {
            let mut value = start;
            let mut borrowed = pin!(poll_fn({
                let value = &mut value;
                move |_| {
                    *value += 1;
                    if value.is_multiple_of(3) {
                        Poll::Ready(*value)
                    } else {
                        Poll::Pending
                    }
                }
            }));
            borrowed.as_mut().await
        }
        let mut one = FutureSlot::<128, u64>::new();
        let mut two = FutureSlot::<128, u64>::new();
        one.emplace(counting(0));
        two.emplace(counting(3));
        assert!(one.poll(&mut context()).is_pending());
        core::mem::swap(&mut one, &mut two);
        let mut boxed = Box::new(one);
        assert!(boxed.poll(&mut context()).is_pending());
        assert!(boxed.poll(&mut context()).is_pending());
        assert_eq!(boxed.poll(&mut context()), Poll::Ready(6));
        assert!(two.poll(&mut context()).is_pending());
        assert_eq!(two.poll(&mut context()), Poll::Ready(3));
    }

    #[test]
    fn slot_holds_aligned_futures() {
        #[repr(align(16))]
        struct Wide(u64);
        let wide = Wide(5);
        let mut slot = FutureSlot::<64, bool>::new();
        slot.emplace(async move {
            let wide = wide;
            pending_once().await;
            core::ptr::from_ref(&wide).addr().is_multiple_of(16) && wide.0 == 5
        });
        assert!(slot.poll(&mut context()).is_pending());
        assert_eq!(slot.poll(&mut context()), Poll::Ready(true));
    }

    fn pending_once() -> impl Future<Output = ()> {
        let mut polled = false;
        poll_fn(move |_| {
            if core::mem::replace(&mut polled, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }
}
