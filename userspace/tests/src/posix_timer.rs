//! Timers of `timer_create`: what they send, what they count, what becomes of them; and those of `setitimer` by CPU time.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::process::Status;
use halyard_rt::signal::{
    self, Action, Context, How, Info, SIGALRM, SIGKILL, SIGPROF, SIGUSR1, SIGVTALRM, SignalSet,
};
use halyard_rt::timer::{
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME,
    CLOCK_THREAD_CPUTIME_ID, Event, Setting, TIMER_ABSTIME, Timer, set_interval,
};
use halyard_rt::{nr, prelude::*, thread};

use crate::runner::suite;
use crate::support::{
    Outcome, Shared, call, check, check_eq, differs_on_linux, in_child, sleep_ms,
};

suite!(
    posix_timer_sends_its_signal_with_its_value,
    posix_timer_without_event_sends_alarm_with_its_number,
    posix_timer_by_every_clock,
    posix_timer_absolute_in_the_past_rings_at_once,
    posix_timer_counts_overruns_while_its_signal_pends,
    posix_timer_of_an_interval_rings_again,
    posix_timer_ignored_goes_on_and_is_heard_later,
    posix_timer_whose_pending_signal_is_thrown_away_goes_on,
    posix_timer_whose_signal_pends_for_another_reason_goes_on,
    posix_timer_ignored_is_heard_when_its_signal_is_blocked,
    posix_timers_ignored_by_the_hundred_leave_the_cpu_to_others,
    posix_timer_that_tells_nobody_can_be_read,
    posix_timer_to_one_thread_reaches_it,
    posix_timer_of_another_process_thread_is_einval,
    posix_timer_deleted_or_off_is_silent,
    posix_timer_is_not_inherited_by_fork,
    posix_timer_is_gone_after_exec,
    posix_timer_arguments_are_checked,
    posix_timer_two_with_one_signal_both_come,
    signal_interval_timer_of_cpu_time_rings,
    signal_interval_timer_of_a_sleeper_leaves_the_cpu_to_others,
);

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(1000);
const RT: i32 = 40;
const SI_TIMER: i32 = -2;

/// Blocks a signal, to be taken by hand.
fn hold(number: i32) -> Result<SignalSet> {
    let set = SignalSet::of(&[number]);
    signal::mask(How::Block, set)?;
    Ok(set)
}

fn soon(set: SignalSet) -> Result<Info> {
    signal::wait(set, Some(Duration::from_secs(5)))
}

fn posix_timer_sends_its_signal_with_its_value() -> Outcome {
    let set = hold(RT)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(RT, 77)))?;
    let begun = time::uptime();
    timer.set(0, Setting::once(SHORT))?;
    let info = soon(set)?;
    check!(time::uptime() - begun >= SHORT);
    check_eq!((info.signal, info.code), (RT, SI_TIMER));
    check_eq!((info.pid(), info.uid(), info.status()), (timer.id(), 0, 77));
    check_eq!(timer.overrun()?, 0);
    check_eq!(timer.get()?.left(), Duration::ZERO);
    Ok(())
}

fn posix_timer_without_event_sends_alarm_with_its_number() -> Outcome {
    let set = hold(SIGALRM)?;
    let _other = Timer::new(CLOCK_MONOTONIC, None)?;
    let timer = Timer::new(CLOCK_MONOTONIC, None)?;
    timer.set(0, Setting::once(SHORT))?;
    let info = soon(set)?;
    check_eq!((info.signal, info.status()), (SIGALRM, timer.id()));
    Ok(())
}

fn posix_timer_by_every_clock() -> Outcome {
    let set = hold(RT)?;
    for clock in [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME] {
        let timer = Timer::new(clock, Some(Event::signal(RT, 0)))?;
        timer.set(0, Setting::once(SHORT))?;
        soon(set)?;
    }
    for clock in [CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID] {
        let timer = Timer::new(clock, Some(Event::signal(RT, 0)))?;
        timer.set(0, Setting::once(SHORT))?;
        // It stands still while nobody computes.
        sleep_ms(15);
        check!(!signal::pending()?.contains(RT));
        while !signal::pending()?.contains(RT) {}
        soon(set)?;
    }
    Ok(())
}

fn posix_timer_absolute_in_the_past_rings_at_once() -> Outcome {
    let set = hold(RT)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(RT, 0)))?;
    let past = time::uptime() - Duration::from_millis(1);
    timer.set(TIMER_ABSTIME, Setting::once(past))?;
    soon(set)?;
    Ok(())
}

fn posix_timer_counts_overruns_while_its_signal_pends() -> Outcome {
    let set = hold(RT)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(RT, 0)))?;
    let begun = time::uptime();
    timer.set(0, Setting::new(SHORT, SHORT))?;
    sleep_ms(32);
    let info = soon(set)?;
    let overrun = info.uid() as usize;
    check_eq!(timer.overrun()?, overrun);
    check!(overrun >= 4);
    // One signal alone stood for all of them: another one is of an expiry since.
    let later = match signal::wait(set, Some(Duration::ZERO)) {
        Ok(info) => 1 + info.uid() as usize,
        Err(error) => {
            check_eq!(error, Errno::EAGAIN);
            0
        }
    };
    let rung = (time::uptime() - begun).as_nanos() / SHORT.as_nanos();
    check!((1 + overrun + later) as u128 <= rung);
    // It goes on.
    soon(set)?;
    Ok(())
}

fn posix_timer_of_an_interval_rings_again() -> Outcome {
    let set = hold(RT)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(RT, 0)))?;
    timer.set(0, Setting::new(SHORT, SHORT))?;
    for _ in 0..4 {
        soon(set)?;
    }
    check!(timer.get()?.left() <= SHORT);
    check_eq!(timer.get()?.interval(), SHORT);
    Ok(())
}

static HEARD: AtomicU32 = AtomicU32::new(0);

extern "C" fn hear(_: i32, info: &Info, _: &mut Context) {
    if info.code == SI_TIMER {
        HEARD.fetch_add(1, Ordering::SeqCst);
    }
}

fn await_heard(least: u32) {
    while HEARD.load(Ordering::SeqCst) < least {
        sleep_ms(1);
    }
}

fn posix_timer_ignored_goes_on_and_is_heard_later() -> Outcome {
    signal::set(SIGUSR1, Action::Ignore, 0, SignalSet::EMPTY)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(SIGUSR1, 0)))?;
    timer.set(0, Setting::new(SHORT, SHORT))?;
    sleep_ms(12);
    signal::set(SIGUSR1, Action::CallInfo(hear), 0, SignalSet::EMPTY)?;
    await_heard(2);
    Ok(())
}

fn posix_timer_whose_pending_signal_is_thrown_away_goes_on() -> Outcome {
    differs_on_linux("before 6.13 such a timer stops for ever")?;
    signal::set(SIGUSR1, Action::CallInfo(hear), 0, SignalSet::EMPTY)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(SIGUSR1, 0)))?;
    let set = hold(SIGUSR1)?;
    timer.set(0, Setting::new(SHORT, SHORT))?;
    while !signal::pending()?.contains(SIGUSR1) {
        sleep_ms(1);
    }
    signal::set(SIGUSR1, Action::Ignore, 0, SignalSet::EMPTY)?;
    signal::set(SIGUSR1, Action::CallInfo(hear), 0, SignalSet::EMPTY)?;
    let before = HEARD.load(Ordering::SeqCst);
    signal::mask(How::Unblock, set)?;
    await_heard(before + 2);
    Ok(())
}

fn posix_timer_whose_signal_pends_for_another_reason_goes_on() -> Outcome {
    let set = hold(SIGUSR1)?;
    process::kill(process::id(), SIGUSR1)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(SIGUSR1, 0)))?;
    timer.set(0, Setting::new(SHORT, SHORT))?;
    sleep_ms(12);
    check!(soon(set)?.code != SI_TIMER);
    for _ in 0..3 {
        check_eq!(soon(set)?.code, SI_TIMER);
    }
    Ok(())
}

fn posix_timer_ignored_is_heard_when_its_signal_is_blocked() -> Outcome {
    signal::set(SIGUSR1, Action::Ignore, 0, SignalSet::EMPTY)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(SIGUSR1, 0)))?;
    timer.set(0, Setting::new(SHORT, SHORT))?;
    sleep_ms(12);
    let set = hold(SIGUSR1)?;
    check_eq!(soon(set)?.code, SI_TIMER);
    Ok(())
}

/// Each rings at the end of every microsecond, and nobody hears it.
fn posix_timers_ignored_by_the_hundred_leave_the_cpu_to_others() -> Outcome {
    let ignored = Event::signal(SIGUSR1, 0);
    let micro = Duration::from_micros(1);
    signal::set(SIGUSR1, Action::Ignore, 0, SignalSet::EMPTY)?;
    let work = || {
        let begun = time::uptime();
        for _ in 0..2000 {
            core::hint::black_box(process::id());
        }
        time::uptime() - begun
    };
    let alone = work();
    for _ in 0..500 {
        Timer::new(CLOCK_MONOTONIC, Some(ignored)).and_then(|timer| {
            timer.set(0, Setting::new(micro, micro))?;
            core::mem::forget(timer);
            Ok(())
        })?;
    }
    sleep_ms(5);
    check!(work() < alone * 20 + Duration::from_millis(5));
    Ok(())
}

fn posix_timer_that_tells_nobody_can_be_read() -> Outcome {
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::nobody()))?;
    check_eq!(timer.get()?.left(), Duration::ZERO);
    timer.set(0, Setting::new(LONG, SHORT))?;
    let now = timer.get()?;
    check!(now.left() <= LONG && now.left() > LONG - Duration::from_secs(10));
    let old = timer.set(0, Setting::new(SHORT, SHORT))?;
    check_eq!(old.interval(), SHORT);
    sleep_ms(12);
    check!(timer.get()?.left() <= SHORT && timer.get()?.left() > Duration::ZERO);
    Ok(())
}

fn posix_timer_to_one_thread_reaches_it() -> Outcome {
    let set = hold(RT)?;
    let own = Event::thread(process::thread_id(), RT, 5);
    let timer = Timer::new(CLOCK_MONOTONIC, Some(own))?;
    timer.set(0, Setting::once(SHORT))?;
    // Another thread that waits for the same signal does not get it.
    let seen = Shared::new()?;
    let word = seen.word(0);
    let other = thread::spawn(move || {
        let got = signal::wait(set, Some(Duration::from_millis(30))).is_ok();
        word.store(1 + u32::from(got), Ordering::SeqCst);
    })?;
    other.join();
    check_eq!(seen.get(0), 1);
    check_eq!(soon(set)?.status(), 5);
    Ok(())
}

fn posix_timer_of_another_process_thread_is_einval() -> Outcome {
    let event = Event::thread(1, RT, 0);
    check_eq!(
        Timer::new(CLOCK_MONOTONIC, Some(event)).err(),
        Some(Errno::EINVAL)
    );
    Ok(())
}

fn posix_timer_deleted_or_off_is_silent() -> Outcome {
    let set = hold(RT)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(RT, 0)))?;
    timer.set(0, Setting::once(SHORT))?;
    check!(timer.set(0, Setting::off())?.left() > Duration::ZERO);
    sleep_ms(10);
    check!(!signal::pending()?.contains(RT));
    timer.set(0, Setting::once(SHORT))?;
    let id = timer.id() as usize;
    timer.delete()?;
    sleep_ms(10);
    check_eq!(
        signal::wait(set, Some(Duration::ZERO)).err(),
        Some(Errno::EAGAIN)
    );
    check_eq!(call(nr::TIMER_DELETE, [id]), Err(Errno::EINVAL));
    check_eq!(call(nr::TIMER_GETOVERRUN, [id]), Err(Errno::EINVAL));
    Ok(())
}

fn posix_timer_is_not_inherited_by_fork() -> Outcome {
    hold(RT)?;
    let timer = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(RT, 0)))?;
    timer.set(0, Setting::once(LONG))?;
    let id = timer.id() as usize;
    let status = in_child(|| i32::from(call(nr::TIMER_GETOVERRUN, [id]) != Err(Errno::EINVAL)))?;
    check_eq!(status, Status::Exited(0));
    check!(timer.get()?.left() > Duration::ZERO);
    Ok(())
}

fn posix_timer_is_gone_after_exec() -> Outcome {
    let status = in_child(|| {
        // The signal would end the program.
        let Ok(timer) = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(SIGUSR1, 0))) else {
            return 9;
        };
        // Time enough for exec on a slow machine, and the program outlasts it.
        let _ = timer.set(0, Setting::once(Duration::from_millis(500)));
        core::mem::forget(timer);
        let _ = process::exec_same_env("/bin/sleep", ["sleep", "0.8"]);
        8
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn posix_timer_arguments_are_checked() -> Outcome {
    let bad_signal = Event::signal(65, 0);
    check_eq!(
        Timer::new(CLOCK_MONOTONIC, Some(bad_signal)).err(),
        Some(Errno::EINVAL)
    );
    check_eq!(Timer::new(999, None).err(), Some(Errno::EINVAL));
    check_eq!(call(nr::TIMER_CREATE, [1, 0, 8]), Err(Errno::EFAULT));
    let timer = Timer::new(CLOCK_MONOTONIC, None)?;
    let id = timer.id() as usize;
    check_eq!(call(nr::TIMER_SETTIME, [id, 0, 8, 0]), Err(Errno::EFAULT));
    for bad in [[0, 0, 0, 1_000_000_000], [0, -1, 1, 0], [0, 0, -1, 0]] {
        let args = [id, 0, bad.as_ptr() as usize, 0];
        check_eq!(call(nr::TIMER_SETTIME, args), Err(Errno::EINVAL));
    }
    check_eq!(call(nr::TIMER_GETTIME, [999, id]), Err(Errno::EINVAL));
    Ok(())
}

fn posix_timer_two_with_one_signal_both_come() -> Outcome {
    let set = hold(RT)?;
    let one = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(RT, 1)))?;
    let two = Timer::new(CLOCK_MONOTONIC, Some(Event::signal(RT, 2)))?;
    two.set(0, Setting::once(Duration::from_millis(3)))?;
    one.set(0, Setting::once(Duration::from_millis(9)))?;
    sleep_ms(15);
    check_eq!([soon(set)?.status(), soon(set)?.status()], [2, 1]);
    Ok(())
}

fn signal_interval_timer_of_cpu_time_rings() -> Outcome {
    for (which, number) in [(1, SIGVTALRM), (2, SIGPROF)] {
        let set = hold(number)?;
        set_interval(which, SHORT, SHORT)?;
        sleep_ms(15);
        check!(!signal::pending()?.contains(number));
        while !signal::pending()?.contains(number) {}
        check_eq!(soon(set)?.signal, number);
        while !signal::pending()?.contains(number) {}
        set_interval(which, Duration::ZERO, Duration::ZERO)?;
    }
    Ok(())
}

/// Some of these are left with less than a microsecond of CPU time before their timers ring, and never use it.
fn signal_interval_timer_of_a_sleeper_leaves_the_cpu_to_others() -> Outcome {
    let mut sleepers = Vec::new();
    for left in 1..40 {
        sleepers.push(process::spawn(|| {
            let _ = signal::set(SIGVTALRM, Action::Ignore, 0, SignalSet::EMPTY);
            let _ = set_interval(1, Duration::from_micros(left), Duration::ZERO);
            sleep_ms(1_000_000);
            0
        })?);
    }
    let begun = time::uptime();
    sleep_ms(50);
    for sleeper in &sleepers {
        process::kill(*sleeper, SIGKILL)?;
    }
    for sleeper in sleepers {
        check_eq!(process::wait_pid(sleeper)?, Status::Signaled(SIGKILL));
    }
    check!(time::uptime() - begun < Duration::from_secs(5));
    Ok(())
}
