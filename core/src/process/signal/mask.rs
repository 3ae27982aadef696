//! Changing what a thread blocks. Only the thread itself does, and it looks at what pends afterwards.

use super::info::{SI_TIMER, SignalInfo};
use super::number::{Signal, SignalSet};
use crate::process::state::Process;
use crate::process::thread::Thread;

/// Blocks `mask` (without SIGKILL and SIGSTOP) and nothing else; `thread` is the caller's. What pends and is no longer
/// blocked is delivered before the thread goes on; what it was told of for the process and now blocks goes to another
/// thread.
#[inline]
pub fn set_mask(thread: &Thread, mask: SignalSet) {
    let mask = mask.minus(SignalSet::UNBLOCKABLE);
    let before = thread.signals.mask();
    thread.signals.store_mask(mask);
    let for_process = thread.process.signals.pending.set();
    let pending = for_process.union(thread.signals.pending.set());
    if !pending.minus(mask).is_empty() {
        thread.note_attention();
    }
    let refused = for_process.intersection(mask).minus(before);
    if !refused.is_empty() {
        offer(&thread.process, refused);
    }
    // What is ignored pends while it is blocked.
    thread.process.posix_timers.on_release(mask.minus(before));
}

/// Blocks `mask` for the length of a wait (sigsuspend(2), ppoll(2), pselect(2), epoll_pwait(2)). If the wait ends with
/// [`Interruption::Signal`], the call returns [`super::RESTART_NO_HANDLER`] and the old mask comes back when the signal
/// has been dealt with; if it ends otherwise the call brings it back with [`end_masked_wait`].
///
/// [`Interruption::Signal`]: crate::wait::Interruption::Signal
pub fn begin_masked_wait(thread: &Thread, mask: SignalSet) {
    thread.signals.save_mask(thread.signals.mask());
    set_mask(thread, mask);
}

/// Brings back the mask that [`begin_masked_wait`] replaced, if it has not come back yet.
#[inline]
pub fn end_masked_wait(thread: &Thread) {
    if let Some(mask) = thread.signals.take_saved_mask() {
        set_mask(thread, mask);
    }
}

/// What pends for `thread` and is blocked (sigpending(2)).
#[must_use]
pub fn blocked_pending(thread: &Thread) -> SignalSet {
    let pending = thread
        .signals
        .pending
        .set()
        .union(thread.process.signals.pending.set());
    pending.intersection(thread.signals.mask())
}

/// What pends for `thread`, blocked or not.
#[must_use]
pub fn pending(thread: &Thread) -> SignalSet {
    let own = thread.signals.pending.set();
    own.union(thread.process.signals.pending.set())
}

/// Takes the first signal of `wanted` that pends for `thread`, the caller's, blocked or not (sigtimedwait(2)): those sent
/// to the thread first, as Linux does.
#[inline]
pub fn take_awaited(thread: &Thread, wanted: SignalSet) -> Option<(Signal, SignalInfo)> {
    let (signal, mut info) = thread
        .signals
        .pending
        .take_first(wanted)
        .or_else(|| thread.process.signals.pending.take_first(wanted))?;
    if info.code == SI_TIMER {
        thread.process.posix_timers.on_delivery(&mut info);
    }
    thread.process.posix_timers.on_release(signal.set());
    Some((signal, info))
}

/// Whether there is more than a false alarm for `thread`, the caller's, to look at. A call that a signal interrupts for good
/// (EINTR with or without a handler, as sigtimedwait(2)) asks this first, and is made anew if not.
#[must_use]
pub fn is_interrupted(thread: &Thread) -> bool {
    let signals = &thread.process.signals;
    let pending = signals.pending.set().union(thread.signals.pending.set());
    signals.is_stopped() || !pending.minus(thread.signals.mask()).is_empty()
}

/// Tells all threads of `process` that would take one of `signals` to look. Needed when the thread that was told will not.
pub(super) fn offer(process: &Process, signals: SignalSet) {
    process.for_each_thread(|thread| {
        if !signals
            .minus(thread.signals.mask().minus(thread.signals.awaited()))
            .is_empty()
        {
            thread.demand_attention();
        }
    });
}

/// Tells one thread of `process` that wants `signal`, if any does, to look: best one that has nothing to look at yet.
pub(super) fn tell_one(process: &Process, signal: Signal) {
    let mut told = false;
    let mut busy = false;
    process.for_each_thread(|thread| {
        if !told && thread.signals.wants(signal) {
            told = !thread.attention();
            busy |= !told;
            if told {
                thread.demand_attention();
            }
        }
    });
    if !told && busy {
        tell_busy(process, signal);
    }
}

/// As [`tell_one`] where all that want it have something to look at: the first is told, as it may have looked already.
fn tell_busy(process: &Process, signal: Signal) {
    let mut told = false;
    process.for_each_thread(|thread| {
        if !told && thread.signals.wants(signal) {
            told = true;
            thread.demand_attention();
        }
    });
}
