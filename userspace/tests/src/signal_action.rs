//! Signals: what is done on one. Handlers, defaults, what they see and what they leave.

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use halyard_rt::process::Status;
use halyard_rt::signal::{
    self, Action, Context, How, Info, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SIGCHLD, SIGKILL,
    SIGSEGV, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2, SignalSet,
};
use halyard_rt::{mm, nr, prelude::*, wild};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child};

suite!(
    signal_02_default_action_ends_the_process,
    signal_02_default_action_ignores_some,
    signal_18_handler_runs_and_returns,
    signal_03_handler_of_kill_and_stop_is_einval,
    signal_03_handler_bad_numbers_are_einval,
    signal_04_handler_bad_size_is_einval,
    signal_12_handler_sees_who_sent_it,
    signal_22_handler_sees_the_registers_and_may_change_them,
    signal_11_handler_blocks_its_own_signal,
    signal_11_handler_with_nodefer_can_be_entered_again,
    signal_12_handler_with_resethand_runs_once,
    signal_21_handler_runs_on_the_alternate_stack,
    signal_21_altstack_arguments_are_checked,
    signal_21_handler_on_too_small_stack_kills,
    signal_22_handler_stack_is_aligned,
    signal_22_handler_nested_returns_to_each,
    signal_10_handlers_are_inherited_by_fork,
    signal_07_ignored_signal_vanishes,
    signal_07_ignoring_discards_what_pends,
    signal_13_fault_while_blocked_or_ignored_kills,
    action_is_told_back,
);

static SEEN: AtomicU32 = AtomicU32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(number: i32) {
    SEEN.fetch_or(1 << number, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
}

fn raise(number: i32) -> Result<()> {
    signal::send_thread(process::id(), process::thread_id(), number)
}

fn set(number: i32, action: Action, flags: u32) -> Result<()> {
    signal::set(number, action, flags, SignalSet::EMPTY).map(drop)
}

fn signal_02_default_action_ends_the_process() -> Outcome {
    for number in [
        signal::SIGHUP,
        signal::SIGINT,
        signal::SIGQUIT,
        signal::SIGABRT,
        SIGKILL,
        SIGUSR1,
        SIGUSR2,
        signal::SIGPIPE,
        signal::SIGALRM,
        SIGTERM,
        signal::SIGSTKFLT,
        signal::SIGXCPU,
        signal::SIGXFSZ,
        signal::SIGVTALRM,
        signal::SIGPROF,
        signal::SIGIO,
        signal::SIGPWR,
        signal::SIGSYS,
        signal::SIGRTMIN,
        40,
        signal::SIGRTMAX,
    ] {
        let status = in_child(|| {
            let _ = process::kill(process::id(), number);
            0
        })?;
        check_eq!(status, Status::Signaled(number));
    }
    Ok(())
}

fn signal_02_default_action_ignores_some() -> Outcome {
    for number in [SIGCHLD, signal::SIGURG, signal::SIGWINCH, signal::SIGCONT] {
        let status = in_child(|| {
            let _ = process::kill(process::id(), number);
            5
        })?;
        check_eq!(status, Status::Exited(5));
    }
    Ok(())
}

fn signal_18_handler_runs_and_returns() -> Outcome {
    set(SIGUSR1, Action::Call(note), 0)?;
    for count in 1..=50 {
        process::kill(process::id(), SIGUSR1)?;
        check_eq!(COUNT.load(Ordering::SeqCst), count);
    }
    check_eq!(SEEN.load(Ordering::SeqCst), 1 << SIGUSR1);
    Ok(())
}

fn signal_03_handler_of_kill_and_stop_is_einval() -> Outcome {
    for number in [SIGKILL, SIGSTOP] {
        for action in [Action::Call(note), Action::Ignore, Action::Default] {
            check_eq!(set(number, action, 0), Err(Errno::EINVAL));
        }
        check_eq!(signal::get(number)?.handler, 0);
    }
    Ok(())
}

fn signal_03_handler_bad_numbers_are_einval() -> Outcome {
    for number in [0, 65, -1, i32::MAX] {
        check_eq!(set(number, Action::Ignore, 0), Err(Errno::EINVAL));
        check_eq!(signal::get(number).map(drop), Err(Errno::EINVAL));
    }
    Ok(())
}

fn signal_04_handler_bad_size_is_einval() -> Outcome {
    for size in [0, 4, 16, 128] {
        check_eq!(call(nr::RT_SIGACTION, [10, 0, 0, size]), Err(Errno::EINVAL));
        check_eq!(
            call(nr::RT_SIGPENDING, [8, size.max(9)]),
            Err(Errno::EINVAL)
        );
        check_eq!(call(nr::RT_SIGSUSPEND, [8, size]), Err(Errno::EINVAL));
    }
    Ok(())
}

static CODE: AtomicI32 = AtomicI32::new(0);
static SENDER: AtomicI32 = AtomicI32::new(0);

extern "C" fn note_sender(_: i32, info: &Info, _: &mut Context) {
    CODE.store(info.code, Ordering::SeqCst);
    SENDER.store(info.pid(), Ordering::SeqCst);
}

fn signal_12_handler_sees_who_sent_it() -> Outcome {
    const SI_USER: i32 = 0;
    const SI_TKILL: i32 = -6;
    const CLD_EXITED: i32 = 1;
    let seen = || (CODE.load(Ordering::SeqCst), SENDER.load(Ordering::SeqCst));
    set(SIGUSR1, Action::CallInfo(note_sender), 0)?;
    process::kill(process::id(), SIGUSR1)?;
    check_eq!(seen(), (SI_USER, process::id()));
    raise(SIGUSR1)?;
    check_eq!(seen(), (SI_TKILL, process::id()));
    set(SIGCHLD, Action::CallInfo(note_sender), 0)?;
    let child = process::spawn(|| 0)?;
    process::wait_pid(child)?;
    check_eq!(seen(), (CLD_EXITED, child));
    Ok(())
}

/// The instruction `mov x0, x1` (or whatever faults) is stepped over; x7 gets a value to look for.
extern "C" fn step_over(_: i32, _: &Info, context: &mut Context) {
    COUNT.fetch_add(1, Ordering::SeqCst);
    context.pc += 4;
}

fn signal_22_handler_sees_the_registers_and_may_change_them() -> Outcome {
    set(SIGSEGV, Action::CallInfo(step_over), 0)?;
    for count in 1..=10 {
        wild::store(8, 1);
        check_eq!(COUNT.load(Ordering::SeqCst), count);
    }
    Ok(())
}

static DEPTH: AtomicU32 = AtomicU32::new(0);
static DEEPEST: AtomicU32 = AtomicU32::new(0);

extern "C" fn raise_again(number: i32) {
    let depth = DEPTH.fetch_add(1, Ordering::SeqCst) + 1;
    DEEPEST.fetch_max(depth, Ordering::SeqCst);
    if COUNT.fetch_add(1, Ordering::SeqCst) < 3 {
        let _ = raise(number);
    }
    DEPTH.fetch_sub(1, Ordering::SeqCst);
}

fn signal_11_handler_blocks_its_own_signal() -> Outcome {
    set(SIGUSR1, Action::Call(raise_again), 0)?;
    raise(SIGUSR1)?;
    check_eq!(COUNT.load(Ordering::SeqCst), 4);
    check_eq!(DEEPEST.load(Ordering::SeqCst), 1);
    // Afterwards it is let through again.
    check!(!signal::mask(How::Block, SignalSet::EMPTY)?.contains(SIGUSR1));
    Ok(())
}

fn signal_11_handler_with_nodefer_can_be_entered_again() -> Outcome {
    set(SIGUSR1, Action::Call(raise_again), SA_NODEFER)?;
    raise(SIGUSR1)?;
    check_eq!(COUNT.load(Ordering::SeqCst), 4);
    check_eq!(DEEPEST.load(Ordering::SeqCst), 4);
    Ok(())
}

fn signal_12_handler_with_resethand_runs_once() -> Outcome {
    set(SIGUSR1, Action::Call(note), SA_RESETHAND)?;
    raise(SIGUSR1)?;
    check_eq!(COUNT.load(Ordering::SeqCst), 1);
    check_eq!(signal::get(SIGUSR1)?.handler, 0);
    let status = in_child(|| i32::from(raise(SIGUSR1).is_ok()))?;
    check_eq!(status, Status::Signaled(SIGUSR1));
    Ok(())
}

static STACK_POINTER: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note_stack(_: i32) {
    let local = 0u8;
    STACK_POINTER.store(
        core::hint::black_box(&raw const local) as usize,
        Ordering::SeqCst,
    );
}

/// `sigaltstack` with start, flags and size.
fn altstack(start: usize, flags: u64, size: usize) -> Result<()> {
    let stack = [start, flags as usize, size];
    call(nr::SIGALTSTACK, [stack.as_ptr() as usize, 0]).map(drop)
}

const STACK: usize = 16 * mm::PAGE;

fn new_stack() -> Result<mm::Mapping> {
    mm::Mapping::anonymous(STACK, mm::PROT_READ | mm::PROT_WRITE, mm::Sharing::Private)
}

fn signal_21_handler_runs_on_the_alternate_stack() -> Outcome {
    let stack = new_stack()?;
    altstack(stack.address(), 0, STACK)?;
    set(SIGUSR1, Action::Call(note_stack), SA_ONSTACK)?;
    raise(SIGUSR1)?;
    let inside = |at: usize| (stack.address()..stack.address() + STACK).contains(&at);
    check!(inside(STACK_POINTER.load(Ordering::SeqCst)));
    set(SIGUSR1, Action::Call(note_stack), 0)?;
    raise(SIGUSR1)?;
    check!(!inside(STACK_POINTER.load(Ordering::SeqCst)));
    let old = core::hint::black_box([0usize; 3]);
    call(nr::SIGALTSTACK, [0, old.as_ptr() as usize])?;
    check_eq!(core::hint::black_box(old), [stack.address(), 0, STACK]);
    altstack(0, 2, 0)?;
    Ok(())
}

fn signal_21_altstack_arguments_are_checked() -> Outcome {
    let stack = new_stack()?;
    check_eq!(altstack(stack.address(), 0, 1024), Err(Errno::ENOMEM));
    check_eq!(altstack(stack.address(), 99, STACK), Err(Errno::EINVAL));
    // Disabling needs no stack.
    check_eq!(altstack(0, 2, 0), Ok(()));
    Ok(())
}

fn signal_21_handler_on_too_small_stack_kills() -> Outcome {
    // The alternate stack is not memory at all: the frame can't be written.
    let status = in_child(|| {
        let _ = altstack(0x1000_0000_0000, 0, STACK);
        let _ = set(SIGUSR1, Action::Call(note), SA_ONSTACK);
        let _ = raise(SIGUSR1);
        0
    })?;
    check_eq!(status, Status::Signaled(SIGSEGV));
    Ok(())
}

static SP: AtomicU64 = AtomicU64::new(0);

extern "C" fn note_alignment(_: i32, info: &Info, context: &mut Context) {
    SP.store(context.sp, Ordering::SeqCst);
    let unaligned = (info as *const Info as usize | &raw const *context as usize) % 16;
    COUNT.fetch_add(u32::from(unaligned == 0), Ordering::SeqCst);
}

fn signal_22_handler_stack_is_aligned() -> Outcome {
    set(SIGUSR1, Action::CallInfo(note_alignment), 0)?;
    for count in 1..=5 {
        raise(SIGUSR1)?;
        check_eq!(COUNT.load(Ordering::SeqCst), count);
    }
    check_eq!(SP.load(Ordering::SeqCst) % 16, 0);
    Ok(())
}

extern "C" fn raise_other(number: i32) {
    note(number);
    let _ = raise(SIGUSR2);
    SEEN.fetch_or(1 << 31, Ordering::SeqCst);
}

fn signal_22_handler_nested_returns_to_each() -> Outcome {
    set(SIGUSR1, Action::Call(raise_other), 0)?;
    set(SIGUSR2, Action::Call(note), 0)?;
    raise(SIGUSR1)?;
    let all = 1 << SIGUSR1 | 1 << SIGUSR2 | 1 << 31;
    check_eq!(SEEN.load(Ordering::SeqCst), all);
    Ok(())
}

fn signal_10_handlers_are_inherited_by_fork() -> Outcome {
    set(SIGUSR1, Action::Call(note), 0)?;
    let status = in_child(|| {
        let _ = raise(SIGUSR1);
        COUNT.load(Ordering::SeqCst) as i32
    })?;
    check_eq!(status, Status::Exited(1));
    check_eq!(COUNT.load(Ordering::SeqCst), 0);
    Ok(())
}

fn signal_07_ignored_signal_vanishes() -> Outcome {
    set(SIGTERM, Action::Ignore, 0)?;
    raise(SIGTERM)?;
    check_eq!(signal::pending()?, SignalSet::EMPTY);
    Ok(())
}

fn signal_07_ignoring_discards_what_pends() -> Outcome {
    let usr1 = SignalSet::of(&[SIGUSR1]);
    signal::mask(How::Block, usr1)?;
    set(SIGUSR1, Action::Call(note), 0)?;
    raise(SIGUSR1)?;
    check_eq!(signal::pending()?, usr1);
    set(SIGUSR1, Action::Ignore, 0)?;
    check_eq!(signal::pending()?, SignalSet::EMPTY);
    // Blocked and ignored, it still pends, and vanishes only when it is let through.
    raise(SIGUSR1)?;
    check_eq!(signal::pending()?, usr1);
    set(SIGUSR1, Action::Call(note), 0)?;
    signal::mask(How::Unblock, usr1)?;
    check_eq!(COUNT.load(Ordering::SeqCst), 1);
    Ok(())
}

fn signal_13_fault_while_blocked_or_ignored_kills() -> Outcome {
    let status = in_child(|| {
        let _ = signal::mask(How::Block, SignalSet::of(&[SIGSEGV]));
        let _ = set(SIGSEGV, Action::Call(note), 0);
        i32::from(wild::load(8))
    })?;
    check_eq!(status, Status::Signaled(SIGSEGV));
    let status = in_child(|| {
        let _ = set(SIGSEGV, Action::Ignore, 0);
        i32::from(wild::load(8))
    })?;
    check_eq!(status, Status::Signaled(SIGSEGV));
    Ok(())
}

fn action_is_told_back() -> Outcome {
    let mask = SignalSet::of(&[SIGUSR2, SIGKILL]);
    signal::set(SIGUSR1, Action::Call(note), signal::SA_RESTART, mask)?;
    let told = signal::get(SIGUSR1)?;
    check_eq!(told.handler, note as extern "C" fn(i32) as usize);
    check_eq!(told.flags as u32 & signal::SA_RESTART, signal::SA_RESTART);
    // SIGKILL is dropped from any mask.
    check_eq!(told.mask, SignalSet::of(&[SIGUSR2]));
    let old = signal::set(SIGUSR1, Action::Default, 0, SignalSet::EMPTY)?;
    check_eq!(old.handler, told.handler);
    Ok(())
}
