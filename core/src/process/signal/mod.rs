//! Signals: what pends, what a process does about it, how a handler is entered and left (signal(7)).
//!
//! A signal is **sent** ([`send`]): it joins what pends for a thread or a process, and a thread that does not block it is
//! told to look ([`Thread::demand_attention`]). It is **delivered** ([`deliver`]) by the kernel's loop, in the thread's own
//! name, before the thread goes on in user mode. Masks and sets of pending signals are words that are read without a lock:
//! whoever changes one looks at the other afterwards, so that one of sender and receiver always sees both.
//!
//! Lock order within level 2: signal state of a process, then its list of threads, then a queue of pending signals.
//!
//! [`Thread::demand_attention`]: super::thread::Thread::demand_attention

pub mod action;
mod altstack;
mod children;
mod deliver;
mod fault;
mod frame;
pub mod info;
mod interval_timer;
pub mod mask;
pub mod number;
mod pending;
mod process_signals;
mod restart;
pub mod send;
mod stop;
mod thread_signals;

pub use altstack::AltStack;
pub use children::{notify_parent, on_process_end, parent_ignores_children};
pub use deliver::{Verdict, deliver};
pub use fault::on_fault;
pub use frame::{TRAMPOLINE, TRAMPOLINE_AT, sigreturn};
pub use info::SignalInfo;
pub use interval_timer::{IntervalTimer, TimerKind, interval_timer, set_interval_timer};
pub use mask::{
    begin_masked_wait, blocked_pending, end_masked_wait, is_interrupted, pending, set_mask,
    take_awaited,
};
pub use number::{Signal, SignalSet};
pub use process_signals::ProcessSignals;
pub use restart::{
    RESTART, RESTART_ALWAYS, RESTART_NO_HANDLER, RESTART_SLEEP, RESTART_TIMED, is_internal,
};
pub use send::{
    check_permission, raise_current, send_for_timer, send_to_group, send_to_process,
    send_to_thread, set_action,
};
pub use stop::{is_orphaned, on_thread_exit};
pub use thread_signals::ThreadSignals;

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
