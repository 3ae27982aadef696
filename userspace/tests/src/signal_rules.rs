//! Signals: rules that the other suites of signals leave open. Numbers as in their names.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use halyard_rt::epoll;
use halyard_rt::poll::{poll, select};
use halyard_rt::process::Status;
use halyard_rt::raw::general::WUNTRACED;
use halyard_rt::signal::{
    self, Action, Context, How, Info, SA_RESTART, SIGCHLD, SIGCONT, SIGHUP, SIGKILL, SIGSEGV,
    SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SignalSet,
};
use halyard_rt::{fd, io, nr, prelude::*, wild};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, Shared, call, check, check_eq, in_child, settle, sleep_ms};

suite!(
    signal_01_numbers_are_those_of_arm64,
    signal_02_default_action_stops,
    signal_05_zombie_can_be_signalled,
    signal_08_stop_and_continue_discard_each_other_when_handled,
    signal_10_fork_and_exec_keep_what_they_should,
    signal_14_thread_signals_come_before_process_signals,
    signal_16_restart_makes_calls_go_on,
    signal_17_calls_that_never_restart_are_eintr,
    signal_17_sleep_tells_what_is_left,
    signal_17_pause_ends_with_a_handler,
    signal_18_restarted_call_has_its_arguments,
    signal_20_ignored_signal_does_not_end_pause,
    signal_21_alternate_stack_in_use_is_eperm,
    signal_22_return_to_a_forged_state_kills,
    signal_23_status_tells_signal_stop_and_continue,
    signal_24_newly_orphaned_stopped_group_gets_hangup_and_continue,
    signal_24_first_process_is_immune,
);

static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(_: i32) {
    COUNT.fetch_add(1, Ordering::SeqCst);
}

fn catch(number: i32, flags: u32) -> Result<()> {
    signal::set(number, Action::Call(note), flags, SignalSet::EMPTY).map(drop)
}

fn signal_01_numbers_are_those_of_arm64() -> Outcome {
    let numbers = [SIGUSR1, SIGSEGV, SIGUSR2, SIGCHLD, SIGCONT, SIGSTOP];
    check_eq!(numbers, [10, 11, 12, 17, 18, 19]);
    check_eq!(in_child(|| i32::from(wild::load(8)))?, Status::Signaled(11));
    signal::mask(How::Block, SignalSet::of(&[17]))?;
    in_child(|| 0)?;
    check!(signal::pending()?.contains(17));
    Ok(())
}

fn signal_02_default_action_stops() -> Outcome {
    for number in [SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU] {
        let child = process::spawn(|| {
            let _ = process::kill(process::id(), number);
            3
        })?;
        let stopped = process::wait_for(child, WUNTRACED)?;
        check_eq!(stopped, Some((child, Status::Stopped(number))));
        process::kill(child, SIGCONT)?;
        check_eq!(process::wait_pid(child)?, Status::Exited(3));
    }
    Ok(())
}

fn signal_05_zombie_can_be_signalled() -> Outcome {
    let child = process::spawn(|| 0)?;
    settle();
    check_eq!(process::kill(child, SIGKILL), Ok(()));
    check_eq!(process::kill(child, 0), Ok(()));
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    check_eq!(process::kill(child, 0), Err(Errno::ESRCH));
    Ok(())
}

fn signal_08_stop_and_continue_discard_each_other_when_handled() -> Outcome {
    catch(SIGTSTP, 0)?;
    let set = SignalSet::of(&[SIGTSTP, SIGCONT]);
    signal::mask(How::Block, set)?;
    process::kill(process::id(), SIGTSTP)?;
    check!(signal::pending()?.contains(SIGTSTP));
    process::kill(process::id(), SIGCONT)?;
    check!(!signal::pending()?.contains(SIGTSTP));
    process::kill(process::id(), SIGTSTP)?;
    check!(!signal::pending()?.contains(SIGCONT));
    Ok(())
}

/// What pends is kept over exec, the handler is not, and the mask is: the program ends by the signal only once it lets it
/// through, which `sleep` never does.
fn signal_10_fork_and_exec_keep_what_they_should() -> Outcome {
    let status = in_child(|| {
        let set = SignalSet::of(&[SIGUSR1]);
        if catch(SIGUSR1, 0).is_err() || signal::mask(How::Block, set).is_err() {
            return 9;
        }
        let _ = process::kill(process::id(), SIGUSR1);
        let _ = process::exec_same_env("/bin/sleep", ["sleep", "0"]);
        8
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn signal_14_thread_signals_come_before_process_signals() -> Outcome {
    let set = SignalSet::of(&[SIGUSR1, SIGUSR2]);
    signal::mask(How::Block, set)?;
    process::kill(process::id(), SIGUSR1)?;
    signal::send_thread(process::id(), process::thread_id(), SIGUSR2)?;
    let info = signal::wait(set, Some(Duration::ZERO))?;
    check_eq!(info.signal, SIGUSR2);
    check_eq!(signal::wait(set, Some(Duration::ZERO))?.signal, SIGUSR1);
    Ok(())
}

/// Runs `body` in a child that a handler with SA_RESTART interrupts while it blocks; then `release` lets it go on.
fn goes_on(body: impl FnOnce() -> bool, release: impl FnOnce() -> Result<()>) -> Outcome {
    catch(SIGUSR1, SA_RESTART)?;
    let waiter = Blocker::start(|| i32::from(!body()))?;
    for _ in 0..2 {
        process::kill(waiter.pid(), SIGUSR1)?;
        sleep_ms(10);
    }
    check!(waiter.blocked()?);
    release()?;
    check_eq!(waiter.join()?, Status::Exited(0));
    Ok(())
}

fn signal_16_restart_makes_calls_go_on() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    goes_on(
        || io::read(&reader, &mut [0; 4]) == Ok(2),
        || io::write(&writer, b"ab").map(drop),
    )?;
    let shared = Shared::new()?;
    goes_on(
        || {
            let child = process::spawn(|| {
                shared.await_value(3, 1);
                5
            });
            child.and_then(process::wait_pid) == Ok(Status::Exited(5))
        },
        || {
            shared.set(3, 1);
            Ok(())
        },
    )?;
    let path = "/tmp/signal_16_fifo";
    let _ = fs::remove_file(path);
    const HERE: usize = -100_isize as usize;
    const FIFO: usize = 0o010_600;
    call(
        nr::MKNODAT,
        [HERE, c"/tmp/signal_16_fifo".as_ptr() as usize, FIFO, 0],
    )?;
    let opened = goes_on(
        || fs::open(path).is_ok(),
        || fs::open_with(path, halyard_rt::open::O_WRONLY, 0).map(drop),
    );
    fs::remove_file(path)?;
    opened
}

/// Whether `body`, which blocks, ends with EINTR by a handler with SA_RESTART.
fn is_interrupted(body: impl FnOnce() -> Result<usize>) -> Result<bool> {
    catch(SIGUSR1, SA_RESTART)?;
    let waiter = Blocker::start(|| i32::from(body() != Err(Errno::EINTR)))?;
    process::kill(waiter.pid(), SIGUSR1)?;
    Ok(waiter.join()? == Status::Exited(0))
}

fn signal_17_calls_that_never_restart_are_eintr() -> Outcome {
    let long = Some(Duration::from_secs(100));
    check!(is_interrupted(|| poll(&mut [], long))?);
    check!(is_interrupted(|| select(
        0,
        [None, None, None],
        long,
        None
    ))?);
    let set = epoll::create(0)?;
    check!(is_interrupted(|| epoll::wait(
        &set,
        &mut [epoll::Event::default()],
        long
    ))?);
    let other = SignalSet::of(&[SIGUSR2]);
    check!(is_interrupted(|| signal::wait(other, long).map(|_| 0))?);
    Ok(())
}

fn signal_17_sleep_tells_what_is_left() -> Outcome {
    catch(SIGUSR1, SA_RESTART)?;
    let waiter = Blocker::start(|| match time::sleep_once(Duration::from_secs(100)) {
        Err(left) if left > Duration::from_secs(50) && left < Duration::from_secs(100) => 0,
        _ => 1,
    })?;
    process::kill(waiter.pid(), SIGUSR1)?;
    check_eq!(waiter.join()?, Status::Exited(0));
    Ok(())
}

/// pause(2) is ppoll of nothing on arm64.
fn pause() -> Result<usize> {
    poll(&mut [], None)
}

fn signal_17_pause_ends_with_a_handler() -> Outcome {
    check!(is_interrupted(pause)?);
    Ok(())
}

fn signal_18_restarted_call_has_its_arguments() -> Outcome {
    let (reader, writer) = fd::pipe()?;
    goes_on(
        || {
            let mut bytes = [0; 3];
            io::read(&reader, &mut bytes) == Ok(3) && &bytes == b"xyz"
        },
        || io::write(&writer, b"xyz!").map(drop),
    )?;
    check_eq!(io::read(&reader, &mut [0; 9])?, 1);
    Ok(())
}

fn signal_20_ignored_signal_does_not_end_pause() -> Outcome {
    catch(SIGUSR2, 0)?;
    signal::set(SIGUSR1, Action::Ignore, 0, SignalSet::EMPTY)?;
    let waiter = Blocker::start(|| i32::from(pause() != Err(Errno::EINTR)))?;
    process::kill(waiter.pid(), SIGUSR1)?;
    process::kill(waiter.pid(), SIGCHLD)?;
    settle();
    check!(waiter.blocked()?);
    process::kill(waiter.pid(), SIGUSR2)?;
    check_eq!(waiter.join()?, Status::Exited(0));
    Ok(())
}

static INNER: AtomicU32 = AtomicU32::new(0);

extern "C" fn change_stack(_: i32) {
    let off = [0_u64, 2, 0];
    let outcome = call(nr::SIGALTSTACK, [off.as_ptr() as usize, 0]);
    let code = outcome.map_or_else(|errno| u32::from(errno.code()), |_| 0);
    INNER.store(code, Ordering::SeqCst);
}

fn signal_21_alternate_stack_in_use_is_eperm() -> Outcome {
    use halyard_rt::mm::{Mapping, PROT_READ, PROT_WRITE, Sharing};
    let length = 64 * 1024;
    let stack = Mapping::anonymous(length, PROT_READ | PROT_WRITE, Sharing::Private)?;
    let setting = [stack.address() as u64, 0, length as u64];
    call(nr::SIGALTSTACK, [setting.as_ptr() as usize, 0])?;
    signal::set(
        SIGUSR1,
        Action::Call(change_stack),
        signal::SA_ONSTACK,
        SignalSet::EMPTY,
    )?;
    process::kill(process::id(), SIGUSR1)?;
    check_eq!(INNER.load(Ordering::SeqCst), u32::from(Errno::EPERM.code()));
    Ok(())
}

/// What a handler may not return to: other exception levels, masked interrupts, the 32-bit state.
extern "C" fn forge(_: i32, _: &Info, context: &mut Context) {
    context.pstate |= u64::from(INNER.load(Ordering::SeqCst));
}

fn signal_22_return_to_a_forged_state_kills() -> Outcome {
    signal::set(SIGUSR1, Action::CallInfo(forge), 0, SignalSet::EMPTY)?;
    for bits in [0x5, 0x4, 0x8, 0x10, 0x80, 0x3c0] {
        let status = in_child(|| {
            INNER.store(bits, Ordering::SeqCst);
            let _ = process::kill(process::id(), SIGUSR1);
            0
        })?;
        check_eq!(status, Status::Signaled(SIGSEGV));
    }
    Ok(())
}

fn signal_23_status_tells_signal_stop_and_continue() -> Outcome {
    const WCONTINUED: u32 = 8;
    let child = Blocker::start(|| {
        let _ = pause();
        0
    })?;
    process::kill(child.pid(), SIGSTOP)?;
    let stopped = process::wait_for(child.pid(), WUNTRACED)?;
    check_eq!(stopped, Some((child.pid(), Status::Stopped(SIGSTOP))));
    process::kill(child.pid(), SIGCONT)?;
    let continued = process::wait_for(child.pid(), WCONTINUED)?;
    check_eq!(continued, Some((child.pid(), Status::Continued)));
    check_eq!(child.kill()?, Status::Signaled(SIGKILL));
    Ok(())
}

static HUNG_UP: AtomicU32 = AtomicU32::new(0);

extern "C" fn note_hangup(_: i32) {
    HUNG_UP.store(1, Ordering::SeqCst);
}

fn signal_24_newly_orphaned_stopped_group_gets_hangup_and_continue() -> Outcome {
    let shared = Shared::new()?;
    let parent = process::spawn(|| {
        let child = process::spawn(|| {
            let _ = process::set_group(0, 0);
            let _ = signal::set(SIGHUP, Action::Call(note_hangup), 0, SignalSet::EMPTY);
            shared.set(0, 1);
            let _ = process::kill(process::id(), SIGSTOP);
            shared.set(1, 1 + HUNG_UP.load(Ordering::SeqCst));
            0
        });
        let Ok(child) = child else { return 1 };
        shared.await_value(0, 1);
        // It is stopped when this parent goes, and its group has no other parent in the session.
        i32::from(process::wait_for(child, WUNTRACED).is_err())
    })?;
    check_eq!(process::wait_pid(parent)?, Status::Exited(0));
    for _ in 0..200 {
        if shared.get(1) != 0 {
            break;
        }
        sleep_ms(5);
    }
    check_eq!(shared.get(1), 2);
    Ok(())
}

fn signal_24_first_process_is_immune() -> Outcome {
    if process::id() == 1 || process::parent_id() == 1 && process::kill(1, 0).is_err() {
        return Ok(());
    }
    for number in [SIGKILL, SIGSTOP] {
        process::kill(1, number)?;
    }
    settle();
    check_eq!(process::kill(1, 0), Ok(()));
    Ok(())
}
