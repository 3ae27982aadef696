//! Signals: holding them back, what pends, in which order they come, who may send them.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use halyard_rt::process::Status;
use halyard_rt::signal::{
    self, Action, Context, How, Info, SIGCHLD, SIGKILL, SIGRTMIN, SIGSTOP, SIGTERM, SIGUSR1,
    SIGUSR2, SignalSet,
};
use halyard_rt::{nr, prelude::*, thread};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq, in_child};

suite!(
    mask_holds_back_until_let_through,
    signal_04_mask_never_holds_kill_and_stop,
    signal_04_mask_bad_how_is_einval_only_with_a_set,
    mask_is_the_threads_own,
    signal_11_mask_of_a_handler_is_added_and_taken_back,
    signal_06_standard_signals_do_not_queue,
    signal_14_realtime_signals_queue_in_order,
    signal_14_pending_ones_come_lowest_first,
    signal_10_fork_clears_what_pends_and_keeps_the_mask,
    signal_05_kill_checks_its_target,
    kill_of_a_group_reaches_all_of_it,
    signal_24_kill_of_everybody_spares_the_first_process,
    signal_05_kill_without_permission_is_eperm,
    signal_05_tgkill_checks_its_arguments,
    signal_12_sigqueue_carries_a_value,
    signal_15_process_signal_goes_to_a_thread_that_takes_it,
);

static ORDER: AtomicU64 = AtomicU64::new(0);

/// Notes the order of up to eight signals, a byte each.
extern "C" fn note(number: i32) {
    let old = ORDER.load(Ordering::SeqCst);
    ORDER.store(old << 8 | number as u64, Ordering::SeqCst);
}

fn order() -> Vec<u8> {
    let order = ORDER.swap(0, Ordering::SeqCst);
    order
        .to_be_bytes()
        .into_iter()
        .skip_while(|&byte| byte == 0)
        .collect()
}

fn catch(number: i32) -> Result<()> {
    signal::set(number, Action::Call(note), 0, SignalSet::FULL).map(drop)
}

fn raise(number: i32) -> Result<()> {
    process::kill(process::id(), number)
}

fn mask_holds_back_until_let_through() -> Outcome {
    let set = SignalSet::of(&[SIGUSR1]);
    catch(SIGUSR1)?;
    check_eq!(signal::mask(How::Block, set)?, SignalSet::EMPTY);
    raise(SIGUSR1)?;
    check_eq!(order(), []);
    check_eq!(signal::pending()?, set);
    check_eq!(signal::mask(How::Unblock, set)?, set);
    check_eq!(order(), [SIGUSR1 as u8]);
    check_eq!(signal::pending()?, SignalSet::EMPTY);
    Ok(())
}

fn signal_04_mask_never_holds_kill_and_stop() -> Outcome {
    signal::mask(How::Set, SignalSet::FULL)?;
    let now = signal::mask(How::Block, SignalSet::EMPTY)?;
    check_eq!(now.0, !SignalSet::of(&[SIGKILL, SIGSTOP]).0);
    let child = Blocker::start(|| {
        crate::support::sleep_ms(10_000);
        0
    })?;
    check_eq!(child.kill()?, Status::Signaled(SIGKILL));
    Ok(())
}

fn signal_04_mask_bad_how_is_einval_only_with_a_set() -> Outcome {
    let set = [0u64];
    let at = set.as_ptr() as usize;
    check_eq!(call(nr::RT_SIGPROCMASK, [99, at, 0, 8]), Err(Errno::EINVAL));
    check_eq!(call(nr::RT_SIGPROCMASK, [99, 0, at, 8])?, 0);
    check_eq!(call(nr::RT_SIGPROCMASK, [0, at, 0, 4]), Err(Errno::EINVAL));
    Ok(())
}

fn mask_is_the_threads_own() -> Outcome {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let set = SignalSet::of(&[SIGUSR1]);
    signal::mask(How::Block, set)?;
    thread::spawn(|| {
        let inherited = signal::mask(How::Set, SignalSet::of(&[SIGUSR2]));
        SEEN.store(inherited.map_or(0, |set| set.0), Ordering::SeqCst);
    })?
    .join();
    check_eq!(SEEN.load(Ordering::SeqCst), set.0);
    check_eq!(signal::mask(How::Block, SignalSet::EMPTY)?, set);
    Ok(())
}

static INSIDE: AtomicU64 = AtomicU64::new(0);

extern "C" fn note_mask(_: i32) {
    let mask = signal::mask(How::Block, SignalSet::EMPTY);
    INSIDE.store(mask.map_or(0, |set| set.0), Ordering::SeqCst);
    let _ = signal::mask(How::Set, SignalSet::FULL);
}

fn signal_11_mask_of_a_handler_is_added_and_taken_back() -> Outcome {
    let before = SignalSet::of(&[SIGTERM]);
    signal::mask(How::Set, before)?;
    signal::set(
        SIGUSR1,
        Action::Call(note_mask),
        0,
        SignalSet::of(&[SIGUSR2]),
    )?;
    raise(SIGUSR1)?;
    let inside = SignalSet(INSIDE.load(Ordering::SeqCst));
    check_eq!(inside, SignalSet::of(&[SIGTERM, SIGUSR1, SIGUSR2]));
    // What the handler set is undone by its return.
    check_eq!(signal::mask(How::Block, SignalSet::EMPTY)?, before);
    Ok(())
}

fn signal_06_standard_signals_do_not_queue() -> Outcome {
    catch(SIGUSR1)?;
    signal::mask(How::Block, SignalSet::FULL)?;
    for _ in 0..5 {
        raise(SIGUSR1)?;
    }
    signal::mask(How::Set, SignalSet::EMPTY)?;
    check_eq!(order(), [SIGUSR1 as u8]);
    Ok(())
}

/// `rt_sigqueueinfo` with a value.
fn queue(number: i32, value: u64) -> Result<()> {
    const SI_QUEUE: i32 = -1;
    let mut info = [0u64; 16];
    info[0] = number as u64;
    info[1] = u64::from(SI_QUEUE as u32);
    info[2] = u64::from(process::id() as u32);
    info[3] = value;
    let at = info.as_ptr() as usize;
    call(
        nr::RT_SIGQUEUEINFO,
        [process::id() as usize, number as usize, at],
    )
    .map(drop)
}

static VALUES: AtomicU64 = AtomicU64::new(0);

extern "C" fn note_value(number: i32, info: &Info, _: &mut Context) {
    let old = VALUES.load(Ordering::SeqCst);
    VALUES.store(old << 8 | info.status() as u64, Ordering::SeqCst);
    note(number);
}

fn signal_14_realtime_signals_queue_in_order() -> Outcome {
    signal::set(SIGRTMIN, Action::CallInfo(note_value), 0, SignalSet::FULL)?;
    signal::mask(How::Block, SignalSet::FULL)?;
    for value in 1..=5 {
        queue(SIGRTMIN, value)?;
    }
    signal::mask(How::Set, SignalSet::EMPTY)?;
    check_eq!(VALUES.load(Ordering::SeqCst), 0x01_02_03_04_05);
    check_eq!(order(), [SIGRTMIN as u8; 5]);
    Ok(())
}

fn signal_14_pending_ones_come_lowest_first() -> Outcome {
    let numbers = [50, SIGUSR2, SIGRTMIN, SIGTERM, SIGUSR1];
    for number in numbers {
        catch(number)?;
    }
    signal::mask(How::Block, SignalSet::FULL)?;
    for number in numbers {
        raise(number)?;
    }
    signal::mask(How::Set, SignalSet::EMPTY)?;
    check_eq!(
        order(),
        [SIGUSR1, SIGUSR2, SIGTERM, SIGRTMIN, 50].map(|number| number as u8)
    );
    Ok(())
}

fn signal_10_fork_clears_what_pends_and_keeps_the_mask() -> Outcome {
    let set = SignalSet::of(&[SIGUSR1]);
    signal::mask(How::Block, set)?;
    raise(SIGUSR1)?;
    let status = in_child(|| {
        let clear = signal::pending() == Ok(SignalSet::EMPTY);
        let kept = signal::mask(How::Block, SignalSet::EMPTY) == Ok(set);
        i32::from(!(clear && kept))
    })?;
    check_eq!(status, Status::Exited(0));
    check_eq!(signal::pending()?, set);
    Ok(())
}

fn signal_05_kill_checks_its_target() -> Outcome {
    check_eq!(process::kill(0x3fff_ffff, 0), Err(Errno::ESRCH));
    check_eq!(process::kill(-0x3fff_ffff, 0), Err(Errno::ESRCH));
    for number in [65, -1, 1000] {
        check_eq!(process::kill(process::id(), number), Err(Errno::EINVAL));
    }
    check_eq!(process::kill(process::id(), 0), Ok(()));
    Ok(())
}

fn kill_of_a_group_reaches_all_of_it() -> Outcome {
    let mut children = Vec::new();
    for _ in 0..3 {
        let child = Blocker::start(|| {
            crate::support::sleep_ms(10_000);
            0
        })?;
        let leader = children.first().map_or(child.pid(), Blocker::pid);
        process::set_group(child.pid(), leader)?;
        children.push(child);
    }
    let leader = children.first().map_or(0, Blocker::pid);
    process::kill(-leader, SIGTERM)?;
    for child in children {
        check_eq!(child.join()?, Status::Signaled(SIGTERM));
    }
    Ok(())
}

fn signal_24_kill_of_everybody_spares_the_first_process() -> Outcome {
    // Not to everybody in earnest: the first process must live, and it does not handle this signal.
    check_eq!(process::kill(1, 0), Ok(()));
    check_eq!(process::kill(1, SIGUSR1), Ok(()));
    crate::support::settle();
    check_eq!(process::kill(1, 0), Ok(()));
    Ok(())
}

fn signal_05_kill_without_permission_is_eperm() -> Outcome {
    let parent = process::id();
    let status = in_child(|| {
        let _ = call(nr::SETUID, [1000]);
        let refused = process::kill(parent, 0) == Err(Errno::EPERM);
        let own = process::kill(process::id(), 0) == Ok(());
        i32::from(!(refused && own))
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn signal_05_tgkill_checks_its_arguments() -> Outcome {
    let own = process::id();
    check_eq!(signal::send_thread(own, 0, 0), Err(Errno::EINVAL));
    check_eq!(signal::send_thread(0, own, 0), Err(Errno::EINVAL));
    check_eq!(signal::send_thread(-1, own, 0), Err(Errno::EINVAL));
    check_eq!(signal::send_thread(1, own, 0), Err(Errno::ESRCH));
    check_eq!(signal::send_thread(own, own, 65), Err(Errno::EINVAL));
    check_eq!(signal::send_thread(own, own, 0), Ok(()));
    Ok(())
}

fn signal_12_sigqueue_carries_a_value() -> Outcome {
    signal::set(SIGUSR1, Action::CallInfo(note_value), 0, SignalSet::FULL)?;
    queue(SIGUSR1, 77)?;
    check_eq!(VALUES.load(Ordering::SeqCst), 77);
    check_eq!(queue(65, 0), Err(Errno::EINVAL));
    let at = [0u64; 16];
    let result = call(nr::RT_SIGQUEUEINFO, [0x3fff_ffff, 10, at.as_ptr() as usize]);
    check!(result.is_err());
    check_eq!(
        call(nr::RT_SIGQUEUEINFO, [process::id() as usize, 10, 8]),
        Err(Errno::EFAULT)
    );
    Ok(())
}

fn signal_15_process_signal_goes_to_a_thread_that_takes_it() -> Outcome {
    static TAKER: AtomicU32 = AtomicU32::new(0);
    extern "C" fn note_thread(_: i32) {
        TAKER.store(process::thread_id() as u32, Ordering::SeqCst);
    }
    signal::set(SIGUSR1, Action::Call(note_thread), 0, SignalSet::EMPTY)?;
    let worker = thread::spawn(|| {
        while TAKER.load(Ordering::SeqCst) == 0 {
            crate::support::sleep_ms(1);
        }
    })?;
    signal::mask(How::Block, SignalSet::of(&[SIGUSR1, SIGCHLD]))?;
    raise(SIGUSR1)?;
    let id = worker.id();
    worker.join();
    check_eq!(TAKER.load(Ordering::SeqCst), id as u32);
    Ok(())
}
