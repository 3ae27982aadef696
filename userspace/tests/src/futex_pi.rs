//! Futexes that inherit priority, and those left behind by threads that end.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::mutex::PiMutex;
use halyard_rt::process::{Status, thread_id};
use halyard_rt::raw::general::{
    FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_OWNER_DIED, FUTEX_TID_MASK,
    FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_WAIT_REQUEUE_PI, FUTEX_WAKE,
};
use halyard_rt::signal::{self, Action, SIGKILL, SIGUSR1, SignalSet};
use halyard_rt::{nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, Shared, call, check, check_eq, priority, set_fifo, settle};

suite!(
    futex_pi_free_lock_is_taken_and_given_up,
    futex_pi_own_lock_again_is_edeadlk,
    futex_pi_unlock_of_anothers_is_eperm,
    futex_pi_owner_that_is_no_thread_is_esrch,
    futex_pi_trylock_of_a_taken_one_is_eagain,
    futex_pi_lock_times_out,
    futex_pi_goes_to_who_waits,
    futex_pi_goes_to_the_highest_priority_first,
    futex_pi_of_a_killed_owner_goes_on_marked,
    futex_pi_waiter_is_not_interrupted,
    futex_pi_killed_waiter_leaves_the_lock_free,
    futex_pi_counter_under_contention_is_exact,
    futex_pi_owner_is_raised_until_it_unlocks,
    futex_pi_chain_is_raised_and_falls_back,
    futex_requeue_pi_waiter_gets_the_lock,
    futex_requeue_pi_arguments_are_checked,
);

fn futex(word: &AtomicU32, op: u32, value: u32, rest: [usize; 3]) -> Result<usize> {
    let [time, second, third] = rest;
    let (word, op) = (word.as_ptr() as usize, op as usize);
    call(nr::FUTEX, [word, op, value as usize, time, second, third])
}

fn ask(word: &AtomicU32, op: u32) -> Result<usize> {
    futex(word, op, 0, [0; 3])
}

fn owner(word: &AtomicU32) -> i32 {
    (word.load(Ordering::SeqCst) & FUTEX_TID_MASK) as i32
}

fn futex_pi_free_lock_is_taken_and_given_up() -> Outcome {
    let word = AtomicU32::new(0);
    for op in [FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI] {
        check_eq!(ask(&word, op)?, 0);
        check_eq!(owner(&word), thread_id());
        check_eq!(ask(&word, FUTEX_UNLOCK_PI)?, 0);
        check_eq!(word.load(Ordering::SeqCst), 0);
    }
    Ok(())
}

fn futex_pi_own_lock_again_is_edeadlk() -> Outcome {
    let word = AtomicU32::new(thread_id() as u32);
    check_eq!(ask(&word, FUTEX_LOCK_PI), Err(Errno::EDEADLK));
    check_eq!(ask(&word, FUTEX_TRYLOCK_PI), Err(Errno::EDEADLK));
    Ok(())
}

fn futex_pi_unlock_of_anothers_is_eperm() -> Outcome {
    for value in [0, 1, thread_id() as u32 + 1] {
        let word = AtomicU32::new(value);
        check_eq!(ask(&word, FUTEX_UNLOCK_PI), Err(Errno::EPERM));
    }
    Ok(())
}

fn futex_pi_owner_that_is_no_thread_is_esrch() -> Outcome {
    let word = AtomicU32::new(FUTEX_TID_MASK - 7);
    check_eq!(ask(&word, FUTEX_LOCK_PI), Err(Errno::ESRCH));
    Ok(())
}

/// A child that has the lock in word 8 until word 9 is set.
fn holder(shared: &Shared) -> Result<Blocker> {
    Blocker::start(|| {
        let _ = PiMutex::over(shared.word(8)).lock();
        shared.await_value(9, 1);
        i32::from(PiMutex::over(shared.word(8)).unlock().is_err())
    })
}

/// A child that takes the lock, and has it a moment.
fn taker(shared: &Shared, fifo: u32) -> Result<Blocker> {
    Blocker::start(|| {
        if fifo > 0 && set_fifo(0, fifo).is_err() {
            return 2;
        }
        let lock = PiMutex::over(shared.word(8));
        if lock.lock().is_err() || owner(shared.word(8)) != thread_id() {
            return 1;
        }
        let turn = shared.add(10, 1);
        shared.set(11 + turn as usize, fifo);
        i32::from(lock.unlock().is_err())
    })
}

fn futex_pi_trylock_of_a_taken_one_is_eagain() -> Outcome {
    let shared = Shared::new()?;
    let child = holder(&shared)?;
    check_eq!(owner(shared.word(8)), child.pid());
    check_eq!(ask(shared.word(8), FUTEX_TRYLOCK_PI), Err(Errno::EAGAIN));
    shared.set(9, 1);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn futex_pi_lock_times_out() -> Outcome {
    let shared = Shared::new()?;
    let child = holder(&shared)?;
    let clocks = [
        (FUTEX_LOCK_PI, time::Clock::Real),
        (FUTEX_LOCK_PI2, time::Clock::Monotonic),
    ];
    for (op, clock) in clocks {
        let until = time::now(clock)? + Duration::from_millis(20);
        let time = [until.as_secs(), u64::from(until.subsec_nanos())];
        let result = futex(shared.word(8), op, 0, [time.as_ptr() as usize, 0, 0]);
        check_eq!(result, Err(Errno::ETIMEDOUT));
        check!(time::now(clock)? >= until);
    }
    shared.set(9, 1);
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(owner(shared.word(8)), 0);
    Ok(())
}

fn futex_pi_goes_to_who_waits() -> Outcome {
    let shared = Shared::new()?;
    let lock = PiMutex::over(shared.word(8));
    lock.lock()?;
    let child = taker(&shared, 0)?;
    check!(child.blocked()?);
    lock.unlock()?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(owner(shared.word(8)), 0);
    Ok(())
}

fn futex_pi_goes_to_the_highest_priority_first() -> Outcome {
    let shared = Shared::new()?;
    let lock = PiMutex::over(shared.word(8));
    lock.lock()?;
    let children = [taker(&shared, 0)?, taker(&shared, 7)?, taker(&shared, 12)?];
    lock.unlock()?;
    for child in children {
        check_eq!(child.join()?, Status::Exited(0));
    }
    check_eq!([11, 12, 13].map(|at| shared.get(at)), [12, 7, 0]);
    Ok(())
}

fn futex_pi_of_a_killed_owner_goes_on_marked() -> Outcome {
    let shared = Shared::new()?;
    let dying = holder(&shared)?;
    let heir = Blocker::start(|| {
        let word = shared.word(8);
        let got = PiMutex::over(word).lock().is_ok() && owner(word) == thread_id();
        i32::from(!got || word.load(Ordering::SeqCst) & FUTEX_OWNER_DIED == 0)
    })?;
    check_eq!(dying.kill()?, Status::Signaled(SIGKILL));
    check_eq!(heir.join()?, Status::Exited(0));
    Ok(())
}

extern "C" fn note(_: i32) {}

fn futex_pi_waiter_is_not_interrupted() -> Outcome {
    let shared = Shared::new()?;
    let lock = PiMutex::over(shared.word(8));
    lock.lock()?;
    let child = Blocker::start(|| {
        let _ = signal::set(SIGUSR1, Action::Call(note), 0, SignalSet::EMPTY);
        i32::from(PiMutex::over(shared.word(8)).lock().is_err())
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    settle();
    check!(child.blocked()?);
    lock.unlock()?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn futex_pi_killed_waiter_leaves_the_lock_free() -> Outcome {
    let shared = Shared::new()?;
    let lock = PiMutex::over(shared.word(8));
    lock.lock()?;
    let (child, next) = (taker(&shared, 0)?, taker(&shared, 0)?);
    check_eq!(child.kill()?, Status::Signaled(SIGKILL));
    lock.unlock()?;
    check_eq!(next.join()?, Status::Exited(0));
    lock.lock()?;
    lock.unlock()?;
    Ok(())
}

fn futex_pi_counter_under_contention_is_exact() -> Outcome {
    const PROCESSES: usize = 4;
    // Each does as many rounds as it can for so long, and so many at least.
    const LONG: Duration = Duration::from_secs(1);
    const LEAST: u32 = 50;
    let shared = Shared::new()?;
    let end = time::uptime() + LONG;
    for process in 0..PROCESSES {
        process::spawn(|| {
            let lock = PiMutex::over(shared.word(8));
            let mut round = 0;
            while round < LEAST || time::uptime() < end {
                if lock.lock().is_err() {
                    return 1;
                }
                let value = shared.get(9);
                if round % 16 == 0 {
                    process::yield_now();
                }
                shared.set(9, value + 1);
                if lock.unlock().is_err() {
                    return 2;
                }
                round += 1;
            }
            shared.set(10 + process, round);
            0
        })?;
    }
    for _ in 0..PROCESSES {
        check_eq!(process::wait()?.1, Status::Exited(0));
    }
    let rounds = (0..PROCESSES).map(|process| shared.get(10 + process));
    check_eq!(shared.get(9), rounds.sum::<u32>());
    Ok(())
}

fn futex_pi_owner_is_raised_until_it_unlocks() -> Outcome {
    let shared = Shared::new()?;
    let low = Blocker::start(|| {
        let _ = PiMutex::over(shared.word(8)).lock();
        shared.await_value(9, 1);
        let _ = PiMutex::over(shared.word(8)).unlock();
        shared.await_value(9, 2);
        0
    })?;
    check_eq!(priority(low.pid())?, 20);
    let high = taker(&shared, 40)?;
    check_eq!(priority(low.pid())?, -41);
    // The waiter's priority changes while it waits.
    set_fifo(high.pid(), 60)?;
    check_eq!(priority(low.pid())?, -61);
    shared.set(9, 1);
    check_eq!(high.join()?, Status::Exited(0));
    check_eq!(priority(low.pid())?, 20);
    shared.set(9, 2);
    check_eq!(low.join()?, Status::Exited(0));
    Ok(())
}

fn futex_pi_chain_is_raised_and_falls_back() -> Outcome {
    let shared = Shared::new()?;
    let first = holder(&shared)?;
    // Has word 7 and waits for word 8.
    let second = Blocker::start(|| {
        let _ = PiMutex::over(shared.word(7)).lock();
        let got = PiMutex::over(shared.word(8)).lock();
        let _ = PiMutex::over(shared.word(8)).unlock();
        let _ = PiMutex::over(shared.word(7)).unlock();
        i32::from(got.is_err())
    })?;
    let third = Blocker::start(|| {
        let _ = set_fifo(0, 30);
        i32::from(PiMutex::over(shared.word(7)).lock().is_err())
    })?;
    check_eq!(priority(second.pid())?, -31);
    check_eq!(priority(first.pid())?, -31);
    check_eq!(third.kill()?, Status::Signaled(SIGKILL));
    check_eq!(priority(second.pid())?, 20);
    check_eq!(priority(first.pid())?, 20);
    shared.set(9, 1);
    check_eq!(first.join()?, Status::Exited(0));
    check_eq!(second.join()?, Status::Exited(0));
    Ok(())
}

fn move_to_lock(shared: &Shared, wake: u32, value: u32, to: usize) -> Result<usize> {
    let second = shared.word(to).as_ptr() as usize;
    futex(
        shared.word(7),
        FUTEX_CMP_REQUEUE_PI,
        wake,
        [i32::MAX as usize, second, value as usize],
    )
}

fn wait_for_lock(shared: &Shared) -> Result<usize> {
    let second = shared.word(8).as_ptr() as usize;
    futex(shared.word(7), FUTEX_WAIT_REQUEUE_PI, 0, [0, second, 0])
}

fn futex_requeue_pi_waiter_gets_the_lock() -> Outcome {
    let shared = Shared::new()?;
    let waiter = || {
        Blocker::start(|| {
            if wait_for_lock(&shared).is_err() || owner(shared.word(8)) != thread_id() {
                return 1;
            }
            shared.add(9, 1);
            i32::from(PiMutex::over(shared.word(8)).unlock().is_err())
        })
    };
    let (one, other) = (waiter()?, waiter()?);
    let lock = PiMutex::over(shared.word(8));
    lock.lock()?;
    check_eq!(move_to_lock(&shared, 1, 5, 8), Err(Errno::EAGAIN));
    check_eq!(move_to_lock(&shared, 1, 0, 8)?, 2);
    settle();
    check_eq!(shared.get(9), 0);
    lock.unlock()?;
    check_eq!(one.join()?, Status::Exited(0));
    check_eq!(other.join()?, Status::Exited(0));
    // With the lock free, who is moved owns it at once.
    let third = waiter()?;
    check_eq!(move_to_lock(&shared, 1, 0, 8)?, 1);
    check_eq!(third.join()?, Status::Exited(0));
    Ok(())
}

fn futex_requeue_pi_arguments_are_checked() -> Outcome {
    let shared = Shared::new()?;
    check_eq!(move_to_lock(&shared, 2, 0, 8), Err(Errno::EINVAL));
    check_eq!(move_to_lock(&shared, 1, 0, 7), Err(Errno::EINVAL));
    let child = Blocker::start(|| i32::from(wait_for_lock(&shared).is_err()))?;
    // It waits for another lock, and no plain wake is for it.
    check_eq!(move_to_lock(&shared, 1, 0, 6), Err(Errno::EINVAL));
    check_eq!(
        futex(shared.word(7), FUTEX_WAKE, 1, [0; 3]),
        Err(Errno::EINVAL)
    );
    check_eq!(child.kill()?, Status::Signaled(SIGKILL));
    Ok(())
}
