//! The futex: sleeping on a word, waking its sleepers.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::process::Status;
use halyard_rt::raw::general::{
    FUTEX_CMP_REQUEUE, FUTEX_PRIVATE_FLAG, FUTEX_REQUEUE, FUTEX_WAIT, FUTEX_WAIT_BITSET,
    FUTEX_WAKE, FUTEX_WAKE_BITSET,
};
use halyard_rt::signal::{self, Action, SIGUSR1, SignalSet};
use halyard_rt::thread::{futex_wait_shared, futex_wake_shared};
use halyard_rt::{nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, Shared, WILD, call, check, check_eq, settle};

suite!(
    futex_wait_on_another_value_is_eagain,
    futex_wait_times_out,
    futex_wake_without_sleepers_is_0,
    futex_wake_wakes_as_many_as_asked,
    futex_wake_of_none_wakes_one,
    futex_wait_interrupted_is_eintr,
    futex_wait_with_restart_goes_on,
    futex_arguments_are_checked,
    futex_unknown_operation_is_enosys,
    futex_bitset_wakes_those_who_match,
    futex_requeue_moves_sleepers,
    futex_requeue_without_comparison_counts_those_moved,
    futex_key_is_the_page_not_the_address,
    futex_counter_under_contention_is_exact,
    futex_sleeper_can_be_killed,
);

fn futex(word: &AtomicU32, op: u32, value: u32, rest: [usize; 3]) -> Result<usize> {
    let [time, second, bits] = rest;
    call(
        nr::FUTEX,
        [
            word.as_ptr() as usize,
            op as usize,
            value as usize,
            time,
            second,
            bits,
        ],
    )
}

fn futex_wait_on_another_value_is_eagain() -> Outcome {
    let word = AtomicU32::new(5);
    check_eq!(futex(&word, FUTEX_WAIT, 4, [0; 3]), Err(Errno::EAGAIN));
    let private = FUTEX_WAIT | FUTEX_PRIVATE_FLAG;
    check_eq!(futex(&word, private, 4, [0; 3]), Err(Errno::EAGAIN));
    Ok(())
}

fn futex_wait_times_out() -> Outcome {
    let word = AtomicU32::new(5);
    let length = Duration::from_millis(20);
    let start = time::uptime();
    check_eq!(
        futex_wait_shared(&word, 5, Some(length)),
        Err(Errno::ETIMEDOUT)
    );
    check!(time::uptime() - start >= length);
    // The bitset's time is an instant.
    let until = time::uptime() + length;
    let time = [until.as_secs(), u64::from(until.subsec_nanos())];
    let rest = [time.as_ptr() as usize, 0, u32::MAX as usize];
    check_eq!(
        futex(&word, FUTEX_WAIT_BITSET, 5, rest),
        Err(Errno::ETIMEDOUT)
    );
    check!(time::uptime() >= until);
    check_eq!(
        futex(&word, FUTEX_WAIT_BITSET, 5, rest),
        Err(Errno::ETIMEDOUT)
    );
    Ok(())
}

fn futex_wake_without_sleepers_is_0() -> Outcome {
    let word = AtomicU32::new(0);
    check_eq!(futex(&word, FUTEX_WAKE, 1, [0; 3])?, 0);
    check_eq!(futex(&word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, [0; 3])?, 0);
    Ok(())
}

fn sleeper(shared: &Shared) -> Result<Blocker> {
    Blocker::start(|| i32::from(futex_wait_shared(shared.word(8), 0, None).is_err()))
}

fn futex_wake_wakes_as_many_as_asked() -> Outcome {
    let shared = Shared::new()?;
    let sleepers = (0..5)
        .map(|_| sleeper(&shared))
        .collect::<Result<Vec<_>>>()?;
    check_eq!(futex_wake_shared(shared.word(9), 5)?, 0);
    check_eq!(futex_wake_shared(shared.word(8), 2)?, 2);
    check_eq!(process::wait()?.1, Status::Exited(0));
    check_eq!(process::wait()?.1, Status::Exited(0));
    settle();
    check_eq!(
        process::wait_for(-1, halyard_rt::raw::general::WNOHANG)?,
        None
    );
    check_eq!(futex_wake_shared(shared.word(8), i32::MAX as u32)?, 3);
    for _ in 2..sleepers.len() {
        check_eq!(process::wait()?.1, Status::Exited(0));
    }
    Ok(())
}

fn futex_wake_of_none_wakes_one() -> Outcome {
    let shared = Shared::new()?;
    let sleepers = [sleeper(&shared)?, sleeper(&shared)?];
    check_eq!(futex_wake_shared(shared.word(8), 0)?, 1);
    check_eq!(futex_wake_shared(shared.word(8), u32::MAX)?, 1);
    for child in sleepers {
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

extern "C" fn note(_: i32) {}

fn futex_wait_interrupted_is_eintr() -> Outcome {
    let shared = Shared::new()?;
    let child = Blocker::start(|| {
        let _ = signal::set(SIGUSR1, Action::Call(note), 0, SignalSet::EMPTY);
        i32::from(futex_wait_shared(shared.word(0), 0, None) != Err(Errno::EINTR))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn futex_wait_with_restart_goes_on() -> Outcome {
    let shared = Shared::new()?;
    let child = Blocker::start(|| {
        let _ = signal::set(
            SIGUSR1,
            Action::Call(note),
            signal::SA_RESTART,
            SignalSet::EMPTY,
        );
        i32::from(futex_wait_shared(shared.word(0), 0, None).is_err())
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    settle();
    check!(child.blocked()?);
    check_eq!(futex_wake_shared(shared.word(0), 1)?, 1);
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn futex_arguments_are_checked() -> Outcome {
    let words = [0u32; 4];
    let at = words.as_ptr() as usize;
    let wait = FUTEX_WAIT as usize;
    check_eq!(call(nr::FUTEX, [at + 1, wait, 0, 0]), Err(Errno::EINVAL));
    check_eq!(
        call(nr::FUTEX, [at + 2, FUTEX_WAKE as usize, 1, 0]),
        Err(Errno::EINVAL)
    );
    for address in WILD.into_iter().filter(|address| address % 4 == 0) {
        check_eq!(call(nr::FUTEX, [address, wait, 0, 0]), Err(Errno::EFAULT));
        check_eq!(call(nr::FUTEX, [at, wait, 0, address]), Err(Errno::EFAULT));
    }
    for time in [[0i64, 1_000_000_000], [0, -1], [-1, 0]] {
        let result = call(nr::FUTEX, [at, wait, 0, time.as_ptr() as usize]);
        check_eq!(result, Err(Errno::EINVAL));
    }
    let bitset = FUTEX_WAIT_BITSET as usize;
    check_eq!(
        call(nr::FUTEX, [at, bitset, 0, 0, 0, 0]),
        Err(Errno::EINVAL)
    );
    let bitset = FUTEX_WAKE_BITSET as usize;
    check_eq!(
        call(nr::FUTEX, [at, bitset, 1, 0, 0, 0]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn futex_unknown_operation_is_enosys() -> Outcome {
    let word = AtomicU32::new(0);
    check_eq!(futex(&word, 99, 0, [0; 3]), Err(Errno::ENOSYS));
    Ok(())
}

fn futex_bitset_wakes_those_who_match() -> Outcome {
    let shared = Shared::new()?;
    let wait = |bits: usize| {
        Blocker::start(|| {
            i32::from(futex(shared.word(8), FUTEX_WAIT_BITSET, 0, [0, 0, bits]).is_err())
        })
    };
    let (first, second) = (wait(1)?, wait(2)?);
    check_eq!(futex(shared.word(8), FUTEX_WAKE_BITSET, 9, [0, 0, 4])?, 0);
    check_eq!(futex(shared.word(8), FUTEX_WAKE_BITSET, 9, [0, 0, 2])?, 1);
    check_eq!(second.join()?, Status::Exited(0));
    check!(first.blocked()?);
    check_eq!(futex_wake_shared(shared.word(8), 9)?, 1);
    check_eq!(first.join()?, Status::Exited(0));
    Ok(())
}

fn futex_requeue_moves_sleepers() -> Outcome {
    let shared = Shared::new()?;
    let sleepers = (0..3)
        .map(|_| sleeper(&shared))
        .collect::<Result<Vec<_>>>()?;
    let target = shared.word(9).as_ptr() as usize;
    let requeue = |expected| futex(shared.word(8), FUTEX_CMP_REQUEUE, 1, [5, target, expected]);
    check_eq!(requeue(1), Err(Errno::EAGAIN));
    check_eq!(requeue(0)?, 3);
    check_eq!(futex_wake_shared(shared.word(8), 9)?, 0);
    check_eq!(futex_wake_shared(shared.word(9), 9)?, 2);
    for child in sleepers {
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

fn futex_requeue_without_comparison_counts_those_moved() -> Outcome {
    let shared = Shared::new()?;
    let sleepers = (0..3)
        .map(|_| sleeper(&shared))
        .collect::<Result<Vec<_>>>()?;
    let target = shared.word(9).as_ptr() as usize;
    check_eq!(futex(shared.word(8), FUTEX_REQUEUE, 0, [1, target, 0])?, 1);
    check_eq!(futex(shared.word(8), FUTEX_REQUEUE, 1, [1, target, 0])?, 2);
    check_eq!(futex_wake_shared(shared.word(9), 9)?, 2);
    for child in sleepers {
        check_eq!(child.join()?, Status::Exited(0));
    }
    Ok(())
}

fn futex_key_is_the_page_not_the_address() -> Outcome {
    use halyard_rt::mm::{Mapping, PAGE, PROT_READ, PROT_WRITE, Sharing};
    let path = "/tmp/futex_file";
    fs::write(path, &[0; PAGE])?;
    let file = fs::open_with(path, halyard_rt::open::O_RDWR, 0)?;
    let map = || Mapping::file(&file, 0, PAGE, PROT_READ | PROT_WRITE, Sharing::Shared);
    let (here, there) = (map()?, map()?);
    let child =
        Blocker::start(|| i32::from(futex_wait_shared(there.atomic(64), 0, None).is_err()))?;
    check_eq!(futex_wake_shared(here.atomic(64), 1)?, 1);
    check_eq!(child.join()?, Status::Exited(0));
    fs::remove_file(path)?;
    Ok(())
}

/// A lock: 0 free, 1 taken, 2 taken and wanted.
fn lock(word: &AtomicU32) {
    if word
        .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
    {
        return;
    }
    while word.swap(2, Ordering::Acquire) != 0 {
        let _ = futex_wait_shared(word, 2, None);
    }
}

fn unlock(word: &AtomicU32) {
    if word.swap(0, Ordering::Release) == 2 {
        let _ = futex_wake_shared(word, 1);
    }
}

fn futex_counter_under_contention_is_exact() -> Outcome {
    const PROCESSES: u32 = 4;
    const ROUNDS: u32 = 2000;
    let shared = Shared::new()?;
    for _ in 0..PROCESSES {
        process::spawn(|| {
            for _ in 0..ROUNDS {
                lock(shared.word(0));
                // Not atomic on purpose: only the lock keeps it right.
                shared.set(1, shared.get(1) + 1);
                unlock(shared.word(0));
            }
            0
        })?;
    }
    for _ in 0..PROCESSES {
        check_eq!(process::wait()?.1, Status::Exited(0));
    }
    check_eq!(shared.get(1), PROCESSES * ROUNDS);
    Ok(())
}

fn futex_sleeper_can_be_killed() -> Outcome {
    let shared = Shared::new()?;
    let child = sleeper(&shared)?;
    check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    check_eq!(futex_wake_shared(shared.word(8), 1)?, 0);
    Ok(())
}
