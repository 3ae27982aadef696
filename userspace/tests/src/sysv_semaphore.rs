//! Semaphores of System V, by the rules of the chapter docs/ipc/semaphores.md.

use core::time::Duration;

use halyard_rt::process::Status;
use halyard_rt::raw::general::{CLONE_SYSVSEM, SIGCHLD};
use halyard_rt::signal::{SIGKILL, SIGUSR1};
use halyard_rt::sysv::semaphore::{self, operation};
use halyard_rt::sysv::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT, IPC_PRIVATE, Id, SEM_UNDO};
use halyard_rt::{nr, prelude::*, thread, wild};

use crate::exec;
use crate::runner::suite;
use crate::support::{Blocker, Outcome, WILD, call, check, check_eq, in_child};
use crate::sysv_support::{as_user, catch_and_restart, key};

suite!(
    sysv_sem_get_checks_the_count_finds_and_makes,
    sysv_sem_too_many_sets_are_enospc,
    sysv_sem_arrays_happen_all_or_not_at_all,
    sysv_sem_nowait_and_timeout_are_eagain,
    sysv_sem_bad_operations_have_their_errors,
    sysv_sem_values_beyond_the_greatest_are_erange,
    sysv_sem_sleeper_goes_on_when_it_can,
    sysv_sem_wait_for_zero,
    sysv_sem_sleeper_that_cannot_go_on_stops_nobody_else,
    sysv_sem_array_that_waits_holds_nothing,
    sysv_sem_counts_of_sleepers_are_exact,
    sysv_sem_removal_is_eidrm_to_sleepers_and_einval_later,
    sysv_sem_a_handler_ends_the_wait_despite_sa_restart,
    sysv_sem_undo_runs_at_exit_and_on_kill,
    sysv_sem_undo_is_not_inherited_by_fork_and_kept_over_exec,
    sysv_sem_undo_stays_within_the_values_and_set_forgets_it,
    sysv_sem_undo_of_a_thread_waits_for_the_process,
    sysv_sem_undo_is_shared_by_clone_sysvsem,
    sysv_sem_undo_of_a_failed_array_is_nothing,
    sysv_sem_getpid_times_and_status_are_exact,
    sysv_sem_permissions_deny,
    sysv_sem_every_command_shows_the_set,
    sysv_sem_bad_pointers_are_efault,
    sysv_sem_mutual_exclusion_holds_under_contention,
);

const NOWAIT: u16 = IPC_NOWAIT as u16;

/// A set that is removed at the end.
struct Set(Id);

impl Set {
    fn new(values: &[u16]) -> Result<Set> {
        let set = Set(semaphore::get(
            IPC_PRIVATE,
            values.len(),
            IPC_CREAT | 0o600,
        )?);
        semaphore::set_values(set.0, values)?;
        Ok(set)
    }

    fn add(&self, num: u16, op: i16, flags: u16) -> Result<()> {
        semaphore::operate(self.0, &[operation(num, op, flags)])
    }

    fn values(&self) -> Result<Vec<u16>> {
        semaphore::values(self.0)
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let _ = semaphore::remove(self.0);
    }
}

fn sysv_sem_get_checks_the_count_finds_and_makes() -> Outcome {
    let key = key();
    check_eq!(semaphore::get(key, 1, 0o600), Err(Errno::ENOENT));
    check_eq!(
        semaphore::get(key, 0, IPC_CREAT | 0o600),
        Err(Errno::EINVAL)
    );
    let set = Set(semaphore::get(key, 3, IPC_CREAT | 0o600)?);
    for fewer in 0..=3 {
        check_eq!(semaphore::get(key, fewer, 0), Ok(set.0));
    }
    check_eq!(semaphore::get(key, 4, 0), Err(Errno::EINVAL));
    let again = semaphore::get(key, 3, IPC_CREAT | IPC_EXCL);
    check_eq!(again, Err(Errno::EEXIST));
    check_eq!(set.values()?, [0; 3]);
    let many = semaphore::get(IPC_PRIVATE, 32_001, IPC_CREAT | 0o600);
    check_eq!(many, Err(Errno::EINVAL));
    Set(semaphore::get(IPC_PRIVATE, 32_000, IPC_CREAT | 0o600)?);
    check_eq!(
        call(nr::SEMGET, [0, usize::MAX, IPC_CREAT as usize]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn sysv_sem_too_many_sets_are_enospc() -> Outcome {
    let (info, _) = semaphore::info(false)?;
    check_eq!(
        (info.semopm, info.semmsl, info.semvmx),
        (500, 32_000, 32_767)
    );
    let mut sets = Vec::new();
    let why = loop {
        match semaphore::get(IPC_PRIVATE, 1, IPC_CREAT | 0o600) {
            Ok(id) => sets.push(Set(id)),
            Err(why) => break why,
        }
        check!(sets.len() <= info.semmni as usize);
    };
    check_eq!(why, Errno::ENOSPC);
    Ok(())
}

fn sysv_sem_arrays_happen_all_or_not_at_all() -> Outcome {
    let set = Set::new(&[1, 0, 5])?;
    let fails = [
        operation(0, -1, 0),
        operation(2, 3, 0),
        operation(1, -1, NOWAIT),
    ];
    check_eq!(semaphore::operate(set.0, &fails), Err(Errno::EAGAIN));
    check_eq!(set.values()?, [1, 0, 5]);
    // Later ones see what earlier ones did.
    let works = [
        operation(0, -1, 0),
        operation(0, 0, NOWAIT),
        operation(0, 7, 0),
        operation(1, 1, 0),
        operation(1, -1, NOWAIT),
    ];
    semaphore::operate(set.0, &works)?;
    check_eq!(set.values()?, [7, 0, 5]);
    let many = [operation(2, 1, 0); 500];
    semaphore::operate(set.0, &many)?;
    check_eq!(set.values()?, [7, 0, 505]);
    Ok(())
}

fn sysv_sem_nowait_and_timeout_are_eagain() -> Outcome {
    let set = Set::new(&[0])?;
    check_eq!(set.add(0, -1, NOWAIT), Err(Errno::EAGAIN));
    let begun = time::uptime();
    let length = Duration::from_millis(30);
    let operations = [operation(0, -1, 0)];
    let waited = semaphore::operate_within(set.0, &operations, length);
    check_eq!(waited, Err(Errno::EAGAIN));
    check!(time::uptime() - begun >= length);
    check_eq!(semaphore::waiting_for_more(set.0, 0)?, 0);
    set.add(0, 1, 0)?;
    semaphore::operate_within(set.0, &operations, length)?;
    let bad = [0i64, 1_000_000_000];
    let at = operations.as_ptr() as usize;
    let answer = call(
        nr::SEMTIMEDOP,
        [set.0 as usize, at, 1, bad.as_ptr() as usize],
    );
    check_eq!(answer, Err(Errno::EINVAL));
    Ok(())
}

fn sysv_sem_bad_operations_have_their_errors() -> Outcome {
    let set = Set::new(&[0, 0])?;
    check_eq!(semaphore::operate(set.0, &[]), Err(Errno::EINVAL));
    let many = [operation(0, 1, 0); 501];
    check_eq!(semaphore::operate(set.0, &many), Err(Errno::E2BIG));
    check_eq!(set.add(2, 1, 0), Err(Errno::EFBIG));
    check_eq!(set.values()?, [0, 0]);
    for bad in [-1, i32::MAX] {
        let answer = semaphore::operate(bad, &[operation(0, 1, 0)]);
        check_eq!(answer, Err(Errno::EINVAL));
    }
    check_eq!(semaphore::value(set.0, 2), Err(Errno::EINVAL));
    check_eq!(semaphore::set_value(set.0, 2, 1), Err(Errno::EINVAL));
    check_eq!(
        call(nr::SEMCTL, [set.0 as usize, 0, 99, 0]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn sysv_sem_values_beyond_the_greatest_are_erange() -> Outcome {
    let set = Set::new(&[32_767, 0])?;
    check_eq!(set.add(0, 1, 0), Err(Errno::ERANGE));
    let later = [operation(1, 1, 0), operation(0, 1, 0)];
    check_eq!(semaphore::operate(set.0, &later), Err(Errno::ERANGE));
    check_eq!(set.values()?, [32_767, 0]);
    for value in [-1, 32_768] {
        check_eq!(semaphore::set_value(set.0, 1, value), Err(Errno::ERANGE));
    }
    check_eq!(
        semaphore::set_values(set.0, &[0, 40_000]),
        Err(Errno::ERANGE)
    );
    check_eq!(set.values()?, [32_767, 0]);
    Ok(())
}

fn sysv_sem_sleeper_goes_on_when_it_can() -> Outcome {
    let set = Set::new(&[0])?;
    let child = Blocker::start(|| i32::from(set.add(0, -3, 0).is_err()))?;
    set.add(0, 2, 0)?;
    check!(child.blocked()?);
    check_eq!(set.values()?, [2]);
    set.add(0, 2, 0)?;
    // It is done on the sleeper's behalf, so it is done when this returns.
    check_eq!(set.values()?, [1]);
    check_eq!(child.join()?, Status::Exited(0));
    let child = Blocker::start(|| i32::from(set.add(0, -2, 0).is_err()))?;
    semaphore::set_value(set.0, 0, 2)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(set.values()?, [0]);
    Ok(())
}

fn sysv_sem_wait_for_zero() -> Outcome {
    let set = Set::new(&[2])?;
    let child = Blocker::start(|| i32::from(set.add(0, 0, 0).is_err()))?;
    check_eq!(semaphore::waiting_for_zero(set.0, 0)?, 1);
    set.add(0, -1, 0)?;
    check!(child.blocked()?);
    set.add(0, -1, 0)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(semaphore::waiting_for_zero(set.0, 0)?, 0);
    Ok(())
}

fn sysv_sem_sleeper_that_cannot_go_on_stops_nobody_else() -> Outcome {
    let set = Set::new(&[0])?;
    let large = Blocker::start(|| i32::from(set.add(0, -10, 0).is_err()))?;
    let small = Blocker::start(|| i32::from(set.add(0, -1, 0).is_err()))?;
    set.add(0, 1, 0)?;
    check_eq!(small.join()?, Status::Exited(0));
    check!(large.blocked()?);
    set.add(0, 10, 0)?;
    check_eq!(large.join()?, Status::Exited(0));
    Ok(())
}

fn sysv_sem_array_that_waits_holds_nothing() -> Outcome {
    let set = Set::new(&[1, 0])?;
    let both = [operation(0, -1, 0), operation(1, -1, 0)];
    let child = Blocker::start(|| i32::from(semaphore::operate(set.0, &both).is_err()))?;
    check_eq!(set.values()?, [1, 0]);
    set.add(0, -1, NOWAIT)?;
    set.add(1, 1, 0)?;
    check!(child.blocked()?);
    check_eq!(set.values()?, [0, 1]);
    set.add(0, 1, 0)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(set.values()?, [0, 0]);
    Ok(())
}

fn sysv_sem_counts_of_sleepers_are_exact() -> Outcome {
    let set = Set::new(&[0, 1])?;
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(Blocker::start(|| i32::from(set.add(0, -1, 0).is_err()))?);
    }
    let zero = Blocker::start(|| i32::from(set.add(1, 0, 0).is_err()))?;
    check_eq!(semaphore::waiting_for_more(set.0, 0)?, 3);
    check_eq!(semaphore::waiting_for_zero(set.0, 0)?, 0);
    check_eq!(semaphore::waiting_for_more(set.0, 1)?, 0);
    check_eq!(semaphore::waiting_for_zero(set.0, 1)?, 1);
    if let Some(child) = children.pop() {
        child.kill()?;
    }
    check_eq!(semaphore::waiting_for_more(set.0, 0)?, 2);
    set.add(0, 1, 0)?;
    check_eq!(semaphore::waiting_for_more(set.0, 0)?, 1);
    set.add(0, 1, 0)?;
    check_eq!(semaphore::waiting_for_more(set.0, 0)?, 0);
    set.add(1, -1, 0)?;
    for child in children {
        check_eq!(child.join()?, Status::Exited(0));
    }
    check_eq!(zero.join()?, Status::Exited(0));
    Ok(())
}

fn sysv_sem_removal_is_eidrm_to_sleepers_and_einval_later() -> Outcome {
    let set = Set::new(&[0])?;
    let child = Blocker::start(|| i32::from(set.add(0, -1, 0) != Err(Errno::EIDRM)))?;
    semaphore::remove(set.0)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(set.add(0, 1, 0), Err(Errno::EINVAL));
    check_eq!(semaphore::status(set.0), Err(Errno::EINVAL));
    Ok(())
}

fn sysv_sem_a_handler_ends_the_wait_despite_sa_restart() -> Outcome {
    let set = Set::new(&[0])?;
    let child = Blocker::start(|| {
        catch_and_restart();
        i32::from(set.add(0, -1, 0) != Err(Errno::EINTR))
    })?;
    process::kill(child.pid(), SIGUSR1)?;
    check_eq!(child.join()?, Status::Exited(0));
    check_eq!(semaphore::waiting_for_more(set.0, 0)?, 0);
    Ok(())
}

fn sysv_sem_undo_runs_at_exit_and_on_kill() -> Outcome {
    let set = Set::new(&[5, 0])?;
    let left = in_child(|| {
        let down = set.add(0, -2, SEM_UNDO);
        let up = set.add(1, 3, SEM_UNDO);
        i32::from(down.is_err() || up.is_err() || set.values() != Ok(vec![3, 3]))
    })?;
    check_eq!(left, Status::Exited(0));
    check_eq!(set.values()?, [5, 0]);
    let holder = Blocker::start(|| {
        let _ = set.add(0, -5, SEM_UNDO);
        let _ = set.add(1, -1, 0);
        0
    })?;
    check_eq!(set.values()?, [0, 0]);
    let waiter = Blocker::start(|| i32::from(set.add(0, -5, 0).is_err()))?;
    check!(waiter.blocked()?);
    check_eq!(holder.kill()?, Status::Signaled(SIGKILL));
    check_eq!(waiter.join()?, Status::Exited(0));
    check_eq!(set.values()?, [0, 0]);
    Ok(())
}

fn sysv_sem_undo_is_not_inherited_by_fork_and_kept_over_exec() -> Outcome {
    let set = Set::new(&[3])?;
    let parent = in_child(|| {
        let _ = set.add(0, -1, SEM_UNDO);
        let child = in_child(|| 0);
        // The child's end has undone nothing.
        i32::from(child.is_err() || set.values() != Ok(vec![2]))
    })?;
    check_eq!(parent, Status::Exited(0));
    check_eq!(set.values()?, [3]);
    let child = process::spawn(|| {
        let _ = set.add(0, -1, SEM_UNDO);
        exec::become_helper(&["sleep", "300"])
    })?;
    crate::support::sleep_ms(150);
    check_eq!(set.values()?, [2]);
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    check_eq!(set.values()?, [3]);
    Ok(())
}

fn sysv_sem_undo_stays_within_the_values_and_set_forgets_it() -> Outcome {
    let set = Set::new(&[0, 0, 0])?;
    let child = in_child(|| {
        let up = set.add(0, 5, SEM_UNDO).and_then(|()| set.add(0, -4, 0));
        let cleared = set
            .add(1, 5, SEM_UNDO)
            .and_then(|()| semaphore::set_value(set.0, 1, 9));
        let down = set
            .add(2, 3, 0)
            .and_then(|()| set.add(2, -3, SEM_UNDO))
            .and_then(|()| set.add(2, 32_767, 0));
        i32::from(up.is_err() || cleared.is_err() || down.is_err())
    })?;
    check_eq!(child, Status::Exited(0));
    check_eq!(set.values()?, [0, 9, 32_767]);
    let range = in_child(|| {
        let up = set.add(0, 32_767, SEM_UNDO);
        let down = set.add(0, -32_767, 0);
        let more = set.add(0, 32_767, SEM_UNDO);
        i32::from((up, down, more) != (Ok(()), Ok(()), Err(Errno::ERANGE)))
    })?;
    check_eq!(range, Status::Exited(0));
    Ok(())
}

fn sysv_sem_undo_of_a_thread_waits_for_the_process() -> Outcome {
    let set = Set::new(&[1])?;
    let id = set.0;
    let child = in_child(|| {
        let done = thread::spawn(move || {
            let _ = semaphore::operate(id, &[operation(0, -1, SEM_UNDO)]);
        });
        match done {
            Ok(thread) => thread.join(),
            Err(_) => return 2,
        }
        i32::from(semaphore::value(id, 0) != Ok(0))
    })?;
    check_eq!(child, Status::Exited(0));
    check_eq!(set.values()?, [1]);
    Ok(())
}

fn sysv_sem_undo_is_shared_by_clone_sysvsem() -> Outcome {
    let set = Set::new(&[2])?;
    let parent = in_child(|| {
        let flags = (CLONE_SYSVSEM | SIGCHLD) as usize;
        match wild::call(nr::CLONE, [flags, 0, 0, 0, 0, 0]) {
            Ok(0) => {
                let _ = set.add(0, -1, SEM_UNDO);
                process::exit(0)
            }
            Ok(child) => {
                let _ = process::wait_pid(child as i32);
                // Its list is this process's too, so nothing was undone yet.
                i32::from(set.values() != Ok(vec![1]))
            }
            Err(_) => 2,
        }
    })?;
    check_eq!(parent, Status::Exited(0));
    check_eq!(set.values()?, [2]);
    Ok(())
}

fn sysv_sem_undo_of_a_failed_array_is_nothing() -> Outcome {
    let set = Set::new(&[5, 0])?;
    let child = in_child(|| {
        let fails = [operation(0, -2, SEM_UNDO), operation(1, -1, NOWAIT)];
        i32::from(semaphore::operate(set.0, &fails) != Err(Errno::EAGAIN))
    })?;
    check_eq!(child, Status::Exited(0));
    check_eq!(set.values()?, [5, 0]);
    Ok(())
}

fn sysv_sem_getpid_times_and_status_are_exact() -> Outcome {
    let key = key();
    let set = Set(semaphore::get(key, 2, IPC_CREAT | 0o640)?);
    let status = semaphore::status(set.0)?;
    check_eq!((status.nsems, status.otime), (2, 0));
    check_eq!((status.perm.key, status.perm.mode), (key, 0o640));
    check!(status.ctime > 0);
    check_eq!(semaphore::pid(set.0, 0)?, 0);
    set.add(0, 1, 0)?;
    check_eq!(semaphore::pid(set.0, 0)?, process::id() as usize);
    check_eq!(semaphore::pid(set.0, 1)?, 0);
    check!(semaphore::status(set.0)?.otime > 0);
    let child = process::spawn(|| i32::from(set.add(0, 1, 0).is_err()))?;
    check_eq!(process::wait_pid(child)?, Status::Exited(0));
    check_eq!(semaphore::pid(set.0, 0)?, child as usize);
    semaphore::set_value(set.0, 1, 4)?;
    check_eq!(semaphore::pid(set.0, 1)?, process::id() as usize);
    Ok(())
}

fn sysv_sem_permissions_deny() -> Outcome {
    let set = Set::new(&[1])?;
    let mut status = semaphore::status(set.0)?;
    let denied = as_user(1000, || {
        let results = [
            set.add(0, 1, 0) == Err(Errno::EACCES),
            semaphore::value(set.0, 0) == Err(Errno::EACCES),
            semaphore::set_value(set.0, 0, 1) == Err(Errno::EACCES),
            semaphore::status(set.0) == Err(Errno::EACCES),
            semaphore::remove(set.0) == Err(Errno::EPERM),
        ];
        i32::from(results.contains(&false))
    })?;
    check_eq!(denied, Status::Exited(0));
    status.perm.mode = 0o604;
    semaphore::set(set.0, &status)?;
    let reads = as_user(1000, || {
        let results = [
            semaphore::value(set.0, 0) == Ok(1),
            // To wait for 0 takes no more than the right to read.
            set.add(0, 0, NOWAIT) == Err(Errno::EAGAIN),
            set.add(0, 1, 0) == Err(Errno::EACCES),
        ];
        i32::from(results.contains(&false))
    })?;
    check_eq!(reads, Status::Exited(0));
    Ok(())
}

fn sysv_sem_every_command_shows_the_set() -> Outcome {
    let set = Set::new(&[1, 2, 3])?;
    let (_, highest) = semaphore::info(false)?;
    let shows = |any| {
        let mut places = 0..=highest;
        places.any(|place| semaphore::at(place, any).is_ok_and(|it| it.0 == set.0))
    };
    check!(shows(false) && shows(true));
    let (uses, _) = semaphore::info(true)?;
    check!(uses.semusz >= 1 && uses.semaem >= 3);
    let text = fs::read_to_string("/proc/sysvipc/sem")?;
    let id = format!("{}", set.0);
    let mut lines = text
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let line = lines
        .find(|line| line.get(1) == Some(&id.as_str()))
        .unwrap_or_default();
    check_eq!(line.get(2..4), Some(&["600", "3"][..]));
    let limits = fs::read_to_string("/proc/sys/kernel/sem")?;
    check_eq!(limits.split_ascii_whitespace().count(), 4);
    Ok(())
}

fn sysv_sem_bad_pointers_are_efault() -> Outcome {
    let set = Set::new(&[1])?;
    let id = set.0 as usize;
    let good = operation(0, 1, 0);
    let good = &raw const good as usize;
    for address in WILD {
        check_eq!(call(nr::SEMOP, [id, address, 1]), Err(Errno::EFAULT));
        check_eq!(
            call(nr::SEMTIMEDOP, [id, good, 1, address]),
            Err(Errno::EFAULT)
        );
        for command in [1, 2, 13, 17] {
            let answer = call(nr::SEMCTL, [id, 0, command, address]);
            check_eq!(answer, Err(Errno::EFAULT));
        }
    }
    check_eq!(set.values()?, [1]);
    Ok(())
}

fn sysv_sem_mutual_exclusion_holds_under_contention() -> Outcome {
    const ROUNDS: u32 = 500;
    let set = Set::new(&[1])?;
    let shared = crate::support::Shared::new()?;
    let mut children = Vec::new();
    for _ in 0..4 {
        children.push(process::spawn(|| {
            for _ in 0..ROUNDS {
                if set.add(0, -1, SEM_UNDO).is_err() {
                    return 1;
                }
                let value = shared.get(0);
                process::yield_now();
                shared.set(0, value + 1);
                if set.add(0, 1, SEM_UNDO).is_err() {
                    return 1;
                }
            }
            0
        })?);
    }
    for child in children {
        check_eq!(process::wait_pid(child)?, Status::Exited(0));
    }
    check_eq!(shared.get(0), 4 * ROUNDS);
    check_eq!(set.values()?, [1]);
    Ok(())
}
