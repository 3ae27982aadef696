//! Waiting for children: wait4 and waitid.

use halyard_rt::process::Status;
use halyard_rt::raw::general::{
    P_ALL, P_PGID, P_PID, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, WUNTRACED,
};
use halyard_rt::signal::{self, Info, SIGKILL, SIGUSR1, SignalSet};
use halyard_rt::{nr, prelude::*};

use crate::runner::suite;
use crate::support::{Blocker, Outcome, call, check, check_eq, sleep_ms};
use crate::sysv_support::as_user;

suite!(
    wait_without_children_is_echild,
    wait_for_a_stranger_is_echild,
    wait_nohang_with_running_child_gives_none,
    wait_takes_each_child_once,
    wait_by_group_takes_only_that_group,
    wait_bad_options_are_einval,
    wait_status_to_wild_pointer_is_efault,
    wait_interrupted_is_eintr,
    signal_23_wait_sees_stop_and_continue,
    waitid_tells_how_it_ended,
    waitid_nowait_leaves_the_child,
    waitid_nohang_with_running_child_gives_zero,
    waitid_without_event_is_einval,
    signal_05_zombie_keeps_its_number_until_waited_for,
    clone_of_a_sibling_tells_its_parent_as_the_maker_does,
    fork_beyond_the_users_limit_is_eagain,
);

/// A child must not choose what its parent is sent.
fn clone_of_a_sibling_tells_its_parent_as_the_maker_does() -> Outcome {
    const CLONE_PARENT: usize = 0x8000;
    let held = SignalSet::of(&[SIGUSR1]);
    signal::mask(signal::How::Block, held)?;
    let maker =
        process::spawn(
            || match call(nr::CLONE, [CLONE_PARENT | SIGUSR1 as usize, 0, 0, 0, 0]) {
                Ok(0) => 7,
                Ok(_) => 8,
                Err(_) => 9,
            },
        )?;
    let mut codes = vec![process::wait()?, process::wait()?];
    codes.sort_by_key(|(pid, _)| *pid != maker);
    let codes: Vec<_> = codes.into_iter().map(|(_, status)| status).collect();
    check_eq!(codes, [Status::Exited(8), Status::Exited(7)]);
    check!(!signal::pending()?.contains(SIGUSR1));
    Ok(())
}

fn fork_beyond_the_users_limit_is_eagain() -> Outcome {
    const NPROC: usize = 6;
    let status = as_user(47_200, || {
        let limits = [3u64, 3];
        let args = [0, NPROC, limits.as_ptr() as usize, 0];
        if call(nr::PRLIMIT64, args).is_err() {
            return 1;
        }
        // With this one three: two more can be, and a third when one of them has been waited for.
        let first = process::spawn(|| sleep(1_000));
        let second = process::spawn(|| 0);
        let third = process::spawn(|| 0);
        let (Ok(first), Ok(second)) = (first, second) else {
            return 2;
        };
        if third != Err(Errno::EAGAIN) || process::spawn(|| 0) != Err(Errno::EAGAIN) {
            return 3;
        }
        if process::wait_pid(second).is_err() || process::spawn(|| 0).is_err() {
            return 4;
        }
        let _ = process::kill(first, SIGKILL);
        0
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn sleep(milliseconds: u64) -> i32 {
    sleep_ms(milliseconds);
    0
}

fn wait_without_children_is_echild() -> Outcome {
    check_eq!(process::wait(), Err(Errno::ECHILD));
    check_eq!(process::wait_for(-1, WNOHANG), Err(Errno::ECHILD));
    Ok(())
}

fn wait_for_a_stranger_is_echild() -> Outcome {
    let child = Blocker::start(|| {
        sleep_ms(10_000);
        0
    })?;
    check_eq!(process::wait_for(1, 0), Err(Errno::ECHILD));
    check_eq!(process::wait_for(process::id(), 0), Err(Errno::ECHILD));
    check_eq!(process::wait_for(0x3fff_ffff, 0), Err(Errno::ECHILD));
    child.kill()?;
    Ok(())
}

fn wait_nohang_with_running_child_gives_none() -> Outcome {
    let child = Blocker::start(|| {
        sleep_ms(10_000);
        0
    })?;
    check_eq!(process::wait_for(-1, WNOHANG)?, None);
    check_eq!(process::wait_for(child.pid(), WNOHANG)?, None);
    check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    Ok(())
}

fn wait_takes_each_child_once() -> Outcome {
    let mut children = (0..10)
        .map(|_| process::spawn(|| 3))
        .collect::<Result<Vec<_>>>()?;
    for _ in 0..10 {
        let (pid, status) = process::wait()?;
        check_eq!(status, Status::Exited(3));
        let before = children.len();
        children.retain(|child| *child != pid);
        check_eq!(children.len(), before - 1);
    }
    check_eq!(process::wait(), Err(Errno::ECHILD));
    Ok(())
}

fn wait_by_group_takes_only_that_group() -> Outcome {
    let grouped = process::spawn(|| {
        sleep_ms(30);
        5
    })?;
    process::set_group(grouped, grouped)?;
    let plain = process::spawn(|| 6)?;
    let other = process::wait_for(-grouped, 0)?;
    check_eq!(other, Some((grouped, Status::Exited(5))));
    check_eq!(process::wait_for(-grouped, 0), Err(Errno::ECHILD));
    check_eq!(process::wait_for(0, 0)?, Some((plain, Status::Exited(6))));
    Ok(())
}

fn wait_bad_options_are_einval() -> Outcome {
    check_eq!(process::wait_for(-1, 0x100), Err(Errno::EINVAL));
    Ok(())
}

fn wait_status_to_wild_pointer_is_efault() -> Outcome {
    process::spawn(|| 0)?;
    check_eq!(call(nr::WAIT4, [usize::MAX, 8, 0, 0]), Err(Errno::EFAULT));
    let child = process::spawn(|| 0)?;
    // Without a place for the status it is only taken.
    check_eq!(call(nr::WAIT4, [child as usize, 0, 0, 0])?, child as usize);
    Ok(())
}

extern "C" fn ignore(_: i32) {}

fn wait_interrupted_is_eintr() -> Outcome {
    let waiter = Blocker::start(|| {
        let _ = signal::set(
            signal::SIGUSR1,
            signal::Action::Call(ignore),
            0,
            signal::SignalSet::EMPTY,
        );
        let Ok(child) = process::spawn(|| {
            sleep_ms(10_000);
            0
        }) else {
            return 1;
        };
        let result = process::wait_for(child, 0);
        let _ = process::kill(child, signal::SIGKILL);
        i32::from(result != Err(Errno::EINTR))
    })?;
    process::kill(waiter.pid(), signal::SIGUSR1)?;
    check_eq!(waiter.join()?, Status::Exited(0));
    Ok(())
}

fn signal_23_wait_sees_stop_and_continue() -> Outcome {
    let child = Blocker::start(|| {
        sleep_ms(10_000);
        0
    })?;
    let pid = child.pid();
    process::kill(pid, signal::SIGSTOP)?;
    check_eq!(
        process::wait_for(pid, WUNTRACED)?,
        Some((pid, Status::Stopped(signal::SIGSTOP)))
    );
    // Told once.
    check_eq!(process::wait_for(pid, WUNTRACED | WNOHANG)?, None);
    process::kill(pid, signal::SIGCONT)?;
    check_eq!(
        process::wait_for(pid, WCONTINUED)?,
        Some((pid, Status::Continued))
    );
    check_eq!(child.kill()?, Status::Signaled(signal::SIGKILL));
    Ok(())
}

fn waitid(kind: u32, id: i32, options: u32) -> Result<Info> {
    let mut info = Info::EMPTY;
    let place = &raw mut info as usize;
    call(
        nr::WAITID,
        [kind as usize, id as usize, place, options as usize, 0],
    )?;
    // The kernel wrote behind the compiler's back.
    Ok(core::hint::black_box(info))
}

fn waitid_tells_how_it_ended() -> Outcome {
    const CLD_EXITED: i32 = 1;
    const CLD_KILLED: i32 = 2;
    const CLD_STOPPED: i32 = 5;
    let child = process::spawn(|| 17)?;
    let info = waitid(P_PID, child, WEXITED)?;
    check_eq!((info.signal, info.code), (signal::SIGCHLD, CLD_EXITED));
    check_eq!((info.pid(), info.status()), (child, 17));
    let child = Blocker::start(|| {
        sleep_ms(10_000);
        0
    })?;
    process::kill(child.pid(), signal::SIGSTOP)?;
    let info = waitid(P_PID, child.pid(), WSTOPPED)?;
    check_eq!((info.code, info.status()), (CLD_STOPPED, signal::SIGSTOP));
    process::kill(child.pid(), signal::SIGKILL)?;
    let info = waitid(P_ALL, 0, WEXITED)?;
    check_eq!((info.pid(), info.code), (child.pid(), CLD_KILLED));
    check_eq!(info.status(), signal::SIGKILL);
    Ok(())
}

fn waitid_nowait_leaves_the_child() -> Outcome {
    let child = process::spawn(|| 4)?;
    for _ in 0..2 {
        check_eq!(waitid(P_PID, child, WEXITED | WNOWAIT)?.status(), 4);
    }
    check_eq!(process::wait_pid(child)?, Status::Exited(4));
    Ok(())
}

fn waitid_nohang_with_running_child_gives_zero() -> Outcome {
    let child = Blocker::start(|| {
        sleep_ms(10_000);
        0
    })?;
    let info = waitid(P_ALL, 0, WEXITED | WNOHANG)?;
    check_eq!((info.pid(), info.signal), (0, 0));
    child.kill()?;
    Ok(())
}

fn waitid_without_event_is_einval() -> Outcome {
    let child = process::spawn(|| 0)?;
    check_eq!(waitid(P_PID, child, WNOHANG).map(drop), Err(Errno::EINVAL));
    check_eq!(waitid(99, child, WEXITED).map(drop), Err(Errno::EINVAL));
    check_eq!(waitid(P_PID, -1, WEXITED).map(drop), Err(Errno::EINVAL));
    check_eq!(
        waitid(P_PGID, 0x3fff_ffff, WEXITED).map(drop),
        Err(Errno::ECHILD)
    );
    process::wait_pid(child)?;
    Ok(())
}

fn signal_05_zombie_keeps_its_number_until_waited_for() -> Outcome {
    let child = process::spawn(|| 0)?;
    waitid(P_PID, child, WEXITED | WNOWAIT)?;
    // A signal to a zombie goes nowhere, without error.
    check_eq!(process::kill(child, signal::SIGTERM), Ok(()));
    check!(process::spawn(|| 0)? != child);
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    check_eq!(process::kill(child, 0), Err(Errno::ESRCH));
    Ok(())
}
