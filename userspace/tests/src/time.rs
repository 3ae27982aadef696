//! Clocks and sleeping.

use core::time::Duration;

use halyard_rt::process::Status;
use halyard_rt::signal::{self, Action, SIGUSR1, SignalSet};
use halyard_rt::time::{self, Clock};
use halyard_rt::{nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, WILD, call, check, check_eq};

suite!(
    clock_monotonic_never_goes_back,
    clock_process_counts_work_not_sleep,
    clock_resolution_is_fine,
    clock_unknown_is_einval,
    sleep_takes_its_time,
    sleep_interrupted_gives_the_rest,
    sleep_bad_time_is_einval,
    sleep_wild_pointers_are_efault,
    sleep_until_an_instant,
    sleep_goes_on_after_stop_and_continue,
    sleepers_wake_in_order,
    yield_returns,
);

fn clock_monotonic_never_goes_back() -> Outcome {
    let mut last = time::now(Clock::Monotonic)?;
    for _ in 0..2000 {
        let now = time::now(Clock::Monotonic)?;
        check!(now >= last);
        last = now;
    }
    check!(time::now(Clock::Real).is_ok());
    Ok(())
}

fn clock_process_counts_work_not_sleep() -> Outcome {
    for clock in [Clock::Process, Clock::Thread] {
        let before = time::now(clock)?;
        time::sleep(Duration::from_millis(60));
        let slept = time::now(clock)? - before;
        check!(slept < Duration::from_millis(40));
        let start = time::now(clock)?;
        while time::now(clock)? - start < Duration::from_millis(5) {
            core::hint::spin_loop();
        }
    }
    Ok(())
}

fn clock_resolution_is_fine() -> Outcome {
    let resolution = core::hint::black_box([u64::MAX; 2]);
    call(nr::CLOCK_GETRES, [1, resolution.as_ptr() as usize])?;
    let [seconds, nanoseconds] = core::hint::black_box(resolution);
    check!(seconds == 0 && nanoseconds <= 1_000_000);
    check_eq!(call(nr::CLOCK_GETRES, [1, 0])?, 0);
    Ok(())
}

fn clock_unknown_is_einval() -> Outcome {
    let place = [0u64; 2];
    check_eq!(
        call(nr::CLOCK_GETTIME, [99, place.as_ptr() as usize]),
        Err(Errno::EINVAL)
    );
    for address in WILD {
        check_eq!(call(nr::CLOCK_GETTIME, [1, address]), Err(Errno::EFAULT));
    }
    Ok(())
}

fn sleep_takes_its_time() -> Outcome {
    for length in [0, 1, 20, 50].map(Duration::from_millis) {
        let start = time::uptime();
        check_eq!(time::sleep_once(length), Ok(()));
        check!(time::uptime() - start >= length);
    }
    Ok(())
}

extern "C" fn note(_: i32) {}

fn sleep_interrupted_gives_the_rest() -> Outcome {
    let child = Blocker::start(|| {
        let _ = signal::set(
            SIGUSR1,
            Action::Call(note),
            signal::SA_RESTART,
            SignalSet::EMPTY,
        );
        match time::sleep_once(Duration::from_secs(1000)) {
            Err(rest) if rest < Duration::from_secs(1000) && rest.as_secs() > 980 => 0,
            _ => 1,
        }
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    Ok(())
}

fn sleep_bad_time_is_einval() -> Outcome {
    let bad = [[0i64, 1_000_000_000], [0, -1], [-1, 0]];
    for time in &bad {
        check_eq!(
            call(nr::NANOSLEEP, [time.as_ptr() as usize, 0]),
            Err(Errno::EINVAL)
        );
    }
    Ok(())
}

fn sleep_wild_pointers_are_efault() -> Outcome {
    for address in WILD {
        check_eq!(call(nr::NANOSLEEP, [address, 0]), Err(Errno::EFAULT));
    }
    Ok(())
}

fn sleep_until_an_instant() -> Outcome {
    const ABSOLUTE: usize = 1;
    let until = time::uptime() + Duration::from_millis(30);
    let time = [until.as_secs(), u64::from(until.subsec_nanos())];
    check_eq!(
        call(
            nr::CLOCK_NANOSLEEP,
            [1, ABSOLUTE, time.as_ptr() as usize, 0]
        )?,
        0
    );
    check!(time::uptime() >= until);
    // An instant gone by is no wait.
    check_eq!(
        call(
            nr::CLOCK_NANOSLEEP,
            [1, ABSOLUTE, time.as_ptr() as usize, 0]
        )?,
        0
    );
    check_eq!(
        call(nr::CLOCK_NANOSLEEP, [99, 0, time.as_ptr() as usize, 0]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn sleep_goes_on_after_stop_and_continue() -> Outcome {
    let start = time::uptime();
    let child =
        Blocker::start(|| i32::from(time::sleep_once(Duration::from_millis(150)).is_err()))?;
    process::kill(child.pid(), signal::SIGSTOP)?;
    process::kill(child.pid(), signal::SIGCONT)?;
    check_eq!(child.join()?, Status::Exited(0));
    check!(time::uptime() - start >= Duration::from_millis(150));
    Ok(())
}

fn sleepers_wake_in_order() -> Outcome {
    let shared = crate::support::Shared::new()?;
    for (order, length) in [(3, 150), (1, 50), (2, 100)] {
        process::spawn(|| {
            crate::support::sleep_ms(length);
            i32::from(shared.add(0, 1) + 1 != order)
        })?;
    }
    for _ in 0..3 {
        check_eq!(process::wait()?.1, Status::Exited(0));
    }
    Ok(())
}

fn yield_returns() -> Outcome {
    for _ in 0..100 {
        check_eq!(call(nr::SCHED_YIELD, [])?, 0);
    }
    Ok(())
}
