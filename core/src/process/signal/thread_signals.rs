//! The signals of one thread: its mask, what pends for it alone, its alternate stack, the call to be made anew.
//!
//! The mask, the stack and the restart belong to the thread: nobody else changes them. Senders read the mask without a
//! lock; see [`super::pending::Pending::set`] for why nothing is missed.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::altstack::AltStack;
use super::number::{Signal, SignalSet};
use super::pending::Pending;
use crate::machine::UserAddr;
use crate::process::fork::CloneFlags;
use crate::time::Instant;

/// No mask saved: no mask ever holds SIGKILL.
const NOT_SAVED: u64 = u64::MAX;

/// The signals of one thread.
pub struct ThreadSignals {
    /// What was sent to this thread alone.
    pub(super) pending: Pending,
    mask: AtomicU64,
    /// The mask that comes back when a call that changed it for its wait is over ([`super::mask::begin_masked_wait`]).
    saved_mask: AtomicU64,
    /// Blocked signals that the thread waits for in sigtimedwait(2).
    awaited: AtomicU64,
    /// Parked by a stop of its process.
    stopped: AtomicBool,
    stack: StackCell,
    restart: RestartCell,
    /// ESR_EL1 and address of the fault whose signal pends, for its frame; ESR 0: none.
    fault: (AtomicU64, AtomicU64),
}

/// An [`AltStack`] that only its thread uses: so the words need no lock, nor order among themselves.
#[derive(Default)]
struct StackCell {
    base: AtomicU64,
    size: AtomicU64,
    flags: AtomicU32,
}

impl StackCell {
    fn new(stack: AltStack) -> StackCell {
        let cell = StackCell::default();
        cell.set(stack);
        cell
    }

    fn get(&self) -> AltStack {
        let (base, size) = (
            self.base.load(Ordering::Relaxed),
            self.size.load(Ordering::Relaxed),
        );
        AltStack {
            base,
            size,
            flags: self.flags.load(Ordering::Relaxed),
            pad: 0,
        }
    }

    fn set(&self, stack: AltStack) {
        self.base.store(stack.base, Ordering::Relaxed);
        self.size.store(stack.size, Ordering::Relaxed);
        self.flags.store(stack.flags, Ordering::Relaxed);
    }
}

/// What a call made anew needs to know of its first attempt; only its thread uses it.
#[derive(Default)]
struct RestartCell {
    note: AtomicU8,
    until: AtomicU64,
    left: AtomicU64,
}

/// [`RestartCell::note`]: nothing noted.
const NOTHING: u8 = 0;
/// [`RestartCell::note`]: a sleep, its end, and where what is left of it is stored.
const SLEEP: u8 = 1;
/// [`RestartCell::note`]: the deadline of a call.
const DEADLINE: u8 = 2;

impl RestartCell {
    fn set(&self, note: u8, until: Instant, left: UserAddr) {
        self.until.store(until.0, Ordering::Relaxed);
        self.left.store(left.0 as u64, Ordering::Relaxed);
        self.note.store(note, Ordering::Relaxed);
    }

    fn take(&self, note: u8) -> Option<(Instant, UserAddr)> {
        let noted = self.note.load(Ordering::Relaxed);
        self.note.store(NOTHING, Ordering::Relaxed);
        let left = UserAddr(self.left.load(Ordering::Relaxed) as usize);
        (noted == note).then(|| (Instant(self.until.load(Ordering::Relaxed)), left))
    }
}

impl Default for ThreadSignals {
    fn default() -> Self {
        ThreadSignals {
            pending: Pending::default(),
            mask: AtomicU64::new(0),
            saved_mask: AtomicU64::new(NOT_SAVED),
            awaited: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            stack: StackCell::new(AltStack::NONE),
            restart: RestartCell::default(),
            fault: Default::default(),
        }
    }
}

impl ThreadSignals {
    /// Those of a thread that `maker` makes: the mask is inherited; the alternate stack too, unless the memory is shared
    /// and it is no vfork (clone(2), sigaltstack(2)).
    #[must_use]
    pub fn for_child_of(maker: &ThreadSignals, flags: CloneFlags) -> ThreadSignals {
        let keeps_stack = !flags.contains(CloneFlags::VM) || flags.contains(CloneFlags::VFORK);
        let stack = if keeps_stack {
            maker.stack()
        } else {
            AltStack::NONE
        };
        ThreadSignals {
            mask: AtomicU64::new(maker.mask().0),
            stack: StackCell::new(stack),
            ..ThreadSignals::default()
        }
    }

    /// As execve(2) leaves them: mask and what pends stay, the alternate stack is gone.
    pub fn reset_for_exec(&self) {
        self.set_stack(AltStack::NONE);
        self.forget_restart();
    }

    /// What pends here.
    #[must_use]
    pub fn pending_set(&self) -> SignalSet {
        self.pending.set()
    }

    /// What is blocked.
    #[inline]
    #[must_use]
    pub fn mask(&self) -> SignalSet {
        SignalSet(self.mask.load(Ordering::SeqCst))
    }

    /// Blocks `mask` and nothing else. The caller is the thread itself and looks at what pends afterwards
    /// ([`super::mask::set_mask`] does).
    #[inline]
    pub(super) fn store_mask(&self, mask: SignalSet) {
        self.mask
            .store(mask.minus(SignalSet::UNBLOCKABLE).0, Ordering::SeqCst);
    }

    /// Notes `mask` as what is to come back after the wait of a call.
    pub(super) fn save_mask(&self, mask: SignalSet) {
        self.saved_mask.store(mask.0, Ordering::Relaxed);
    }

    /// The mask that is to come back, which is then no longer noted.
    #[inline]
    pub(super) fn take_saved_mask(&self) -> Option<SignalSet> {
        match self.saved_mask.load(Ordering::Relaxed) {
            NOT_SAVED => None,
            mask => {
                self.saved_mask.store(NOT_SAVED, Ordering::Relaxed);
                Some(SignalSet(mask))
            }
        }
    }

    /// What sigtimedwait(2) waits for, beside what is not blocked.
    #[inline]
    #[must_use]
    pub(super) fn awaited(&self) -> SignalSet {
        SignalSet(self.awaited.load(Ordering::SeqCst))
    }

    /// Sets what sigtimedwait(2) waits for; empty when it is over.
    pub fn set_awaited(&self, set: SignalSet) {
        self.awaited.store(set.0, Ordering::SeqCst);
    }

    /// Whether `signal` would be delivered to it, or is awaited.
    #[inline]
    #[must_use]
    pub(super) fn wants(&self, signal: Signal) -> bool {
        !self.mask().minus(self.awaited()).contains(signal)
    }

    /// Whether it is parked by a stop of its process.
    #[must_use]
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    pub(super) fn set_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
    }

    /// Its alternate stack.
    #[must_use]
    pub fn stack(&self) -> AltStack {
        self.stack.get()
    }

    /// Sets its alternate stack.
    pub fn set_stack(&self, stack: AltStack) {
        self.stack.set(stack);
    }

    /// Notes a sleep that returns [`super::RESTART_SLEEP`]: its end and where what is left of it is stored.
    pub fn restart_sleep(&self, until: Instant, left: UserAddr) {
        self.restart.set(SLEEP, until, left);
    }

    /// The sleep that restart_syscall(2) goes on with; None if there is none (any more).
    #[must_use]
    pub fn sleep_to_restart(&self) -> Option<(Instant, UserAddr)> {
        self.restart.take(SLEEP)
    }

    /// Notes the deadline of a call that returns [`super::RESTART_TIMED`].
    pub fn keep_deadline(&self, until: Instant) {
        self.restart.set(DEADLINE, until, UserAddr(0));
    }

    /// The deadline that the first attempt of this call noted; None if this is the first.
    #[must_use]
    pub fn kept_deadline(&self) -> Option<Instant> {
        self.restart.take(DEADLINE).map(|(until, _)| until)
    }

    /// No call is to be made anew.
    pub(super) fn forget_restart(&self) {
        self.restart.note.store(NOTHING, Ordering::Relaxed);
    }

    pub(super) fn note_fault(&self, esr: u64, address: UserAddr) {
        self.fault.0.store(esr, Ordering::Relaxed);
        self.fault.1.store(address.0 as u64, Ordering::Relaxed);
    }

    pub(super) fn take_fault(&self) -> Option<(u64, UserAddr)> {
        let esr = self.fault.0.swap(0, Ordering::Relaxed);
        (esr != 0).then(|| (esr, UserAddr(self.fault.1.load(Ordering::Relaxed) as usize)))
    }
}
