//! Signals: waiting for them, and timers that send them.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, How, SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2, SignalSet};
use halyard_rt::{nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq, settle};

suite!(
    signal_20_sigsuspend_lets_in_and_puts_back,
    signal_20_sigsuspend_sleeps_through_ignored_ones,
    signal_20_sigtimedwait_takes_without_handler,
    signal_20_sigtimedwait_times_out_with_eagain,
    signal_20_sigtimedwait_bad_time_is_einval,
    signal_17_sigtimedwait_interrupted_is_eintr,
    alarm_comes_after_its_time,
    alarm_of_an_interval_comes_again,
    alarm_can_be_taken_back,
    alarm_does_not_pass_to_children,
    signal_09_child_signal_comes_when_a_child_ends,
    signal_09_child_signal_ignored_leaves_no_zombies,
    signal_09_child_signal_nocldwait_leaves_no_zombies,
    signal_09_child_signal_nocldstop_is_quiet_on_stops,
);

static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(_: i32) {
    COUNT.fetch_add(1, Ordering::SeqCst);
}

fn catch(number: i32, flags: u32) -> Result<()> {
    signal::set(number, Action::Call(note), flags, SignalSet::EMPTY).map(drop)
}

fn count() -> u32 {
    COUNT.load(Ordering::SeqCst)
}

fn signal_20_sigsuspend_lets_in_and_puts_back() -> Outcome {
    let set = SignalSet::of(&[SIGUSR1]);
    catch(SIGUSR1, 0)?;
    signal::mask(How::Block, set)?;
    process::kill(process::id(), SIGUSR1)?;
    check_eq!(count(), 0);
    signal::suspend(SignalSet::EMPTY);
    check_eq!(count(), 1);
    check_eq!(signal::mask(How::Block, SignalSet::EMPTY)?, set);
    Ok(())
}

fn signal_20_sigsuspend_sleeps_through_ignored_ones() -> Outcome {
    let child = Blocker::start(|| {
        let _ = catch(SIGUSR1, 0);
        let _ = signal::set(SIGUSR2, Action::Ignore, 0, SignalSet::EMPTY);
        signal::suspend(SignalSet::EMPTY);
        i32::from(count() != 1)
    })?;
    process::kill(child.pid(), SIGUSR2)?;
    process::kill(child.pid(), SIGCHLD)?;
    settle();
    check!(child.blocked()?);
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn signal_20_sigtimedwait_takes_without_handler() -> Outcome {
    let set = SignalSet::of(&[SIGUSR1]);
    catch(SIGUSR1, 0)?;
    signal::mask(How::Block, set)?;
    process::kill(process::id(), SIGUSR1)?;
    let info = signal::wait(set, None)?;
    check_eq!((info.signal, info.pid()), (SIGUSR1, process::id()));
    check_eq!(count(), 0);
    check_eq!(signal::pending()?, SignalSet::EMPTY);
    // It may also come while it is waited for.
    let own = process::id();
    let sender = process::spawn(|| {
        settle();
        i32::from(process::kill(own, SIGUSR1).is_err())
    })?;
    check_eq!(
        signal::wait(set, Some(Duration::from_secs(10)))?.pid(),
        sender
    );
    process::wait_pid(sender)?;
    Ok(())
}

fn signal_20_sigtimedwait_times_out_with_eagain() -> Outcome {
    let set = SignalSet::of(&[SIGUSR1]);
    signal::mask(How::Block, set)?;
    check_eq!(
        signal::wait(set, Some(Duration::ZERO)).map(drop),
        Err(Errno::EAGAIN)
    );
    let start = time::uptime();
    let length = Duration::from_millis(20);
    check_eq!(
        signal::wait(set, Some(length)).map(drop),
        Err(Errno::EAGAIN)
    );
    check!(time::uptime() - start >= length);
    Ok(())
}

fn signal_20_sigtimedwait_bad_time_is_einval() -> Outcome {
    let set = [1u64 << 9];
    let at = set.as_ptr() as usize;
    for time in [[0i64, 1_000_000_000], [0, -1], [-1, 0]] {
        let time = time.as_ptr() as usize;
        check_eq!(
            call(nr::RT_SIGTIMEDWAIT, [at, 0, time, 8]),
            Err(Errno::EINVAL)
        );
    }
    check_eq!(call(nr::RT_SIGTIMEDWAIT, [at, 0, 0, 4]), Err(Errno::EINVAL));
    check_eq!(call(nr::RT_SIGTIMEDWAIT, [8, 0, 0, 8]), Err(Errno::EFAULT));
    Ok(())
}

fn signal_17_sigtimedwait_interrupted_is_eintr() -> Outcome {
    let child = Blocker::start(|| {
        let _ = catch(SIGUSR2, signal::SA_RESTART);
        let result = signal::wait(SignalSet::of(&[SIGUSR1]), None).map(drop);
        i32::from(result != Err(Errno::EINTR))
    })?;
    process::kill(child.pid(), SIGUSR2)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

/// Sets the real-time interval timer, in milliseconds; gives what was left of the old one.
fn timer(first: u64, again: u64) -> Result<[u64; 4]> {
    let micros = |length: u64| [length / 1000, length % 1000 * 1000];
    let ([a, b], [c, d]) = (micros(again), micros(first));
    let new = [a, b, c, d];
    let old = core::hint::black_box([0u64; 4]);
    call(
        nr::SETITIMER,
        [0, new.as_ptr() as usize, old.as_ptr() as usize],
    )?;
    Ok(core::hint::black_box(old))
}

fn alarm_comes_after_its_time() -> Outcome {
    catch(SIGALRM, 0)?;
    let start = time::uptime();
    timer(30, 0)?;
    while count() == 0 {
        let _ = time::sleep_once(Duration::from_secs(1));
    }
    let passed = time::uptime() - start;
    check!(passed >= Duration::from_millis(30) && passed < Duration::from_secs(1));
    settle();
    settle();
    check_eq!(count(), 1);
    Ok(())
}

fn alarm_of_an_interval_comes_again() -> Outcome {
    catch(SIGALRM, 0)?;
    timer(10, 10)?;
    while count() < 4 {
        let _ = time::sleep_once(Duration::from_secs(1));
    }
    timer(0, 0)?;
    let seen = count();
    settle();
    check_eq!(count(), seen);
    Ok(())
}

fn alarm_can_be_taken_back() -> Outcome {
    catch(SIGALRM, 0)?;
    timer(100_000, 0)?;
    let [_, _, seconds, _] = timer(0, 0)?;
    check!((90..=100).contains(&seconds));
    check_eq!(timer(0, 0)?, [0; 4]);
    check_eq!(call(nr::SETITIMER, [9, 0, 0]), Err(Errno::EINVAL));
    check_eq!(call(nr::SETITIMER, [0, 8, 0]), Err(Errno::EFAULT));
    Ok(())
}

fn alarm_does_not_pass_to_children() -> Outcome {
    timer(100_000, 0)?;
    let status = crate::support::in_child(|| i32::from(timer(0, 0) != Ok([0; 4])))?;
    check_eq!(status, Status::Exited(0));
    timer(0, 0)?;
    Ok(())
}

fn signal_09_child_signal_comes_when_a_child_ends() -> Outcome {
    catch(SIGCHLD, 0)?;
    let child = process::spawn(|| 0)?;
    while count() == 0 {
        let _ = time::sleep_once(Duration::from_secs(1));
    }
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    check_eq!(count(), 1);
    Ok(())
}

fn signal_09_child_signal_ignored_leaves_no_zombies() -> Outcome {
    signal::set(SIGCHLD, Action::Ignore, 0, SignalSet::EMPTY)?;
    process::spawn(|| 3)?;
    // Waits until all children are gone, and finds none.
    check_eq!(process::wait(), Err(Errno::ECHILD));
    Ok(())
}

fn signal_09_child_signal_nocldwait_leaves_no_zombies() -> Outcome {
    catch(SIGCHLD, signal::SA_NOCLDWAIT | signal::SA_RESTART)?;
    let child = process::spawn(|| 3)?;
    check_eq!(process::wait_pid(child), Err(Errno::ECHILD));
    // Its number may be free a moment later only.
    while process::kill(child, 0).is_ok() {
        settle();
    }
    Ok(())
}

fn signal_09_child_signal_nocldstop_is_quiet_on_stops() -> Outcome {
    let stop_one = |flags: u32| -> core::result::Result<u32, crate::support::Failure> {
        catch(SIGCHLD, flags)?;
        let before = count();
        let child = Blocker::start(|| {
            crate::support::sleep_ms(10_000);
            0
        })?;
        process::kill(child.pid(), signal::SIGSTOP)?;
        process::wait_for(child.pid(), halyard_rt::raw::general::WUNTRACED)?;
        let seen = count() - before;
        child.kill()?;
        Ok(seen)
    };
    check_eq!(stop_one(0)?, 1);
    check_eq!(stop_one(signal::SA_NOCLDSTOP)?, 0);
    Ok(())
}
