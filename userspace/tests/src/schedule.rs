//! Scheduling policies (sched(7)): what is chosen is told, a child begins like its maker unless that is not wanted; and calls that
//! only advise.

use core::sync::atomic::{AtomicU32, Ordering};

use halyard_rt::process::Status;
use halyard_rt::{fd, fs, nr, open, prelude::*};

use crate::runner::suite;
use crate::support::{Outcome, call, check_eq, in_child};

suite!(
    sched_policy_that_was_chosen_is_told,
    sched_policy_goes_to_the_child,
    sched_reset_on_fork_makes_an_ordinary_child,
    sched_policy_that_cannot_be_is_einval,
    sched_policy_beyond_ones_rights_is_eperm,
    advice_needs_a_file_that_fits,
);

const OTHER: usize = 0;
const FIFO: usize = 1;
const ROUND_ROBIN: usize = 2;
const BATCH: usize = 3;
const IDLE: usize = 5;
const RESET_ON_FORK: usize = 0x4000_0000;

fn choose(policy: usize, priority: u32) -> Result<usize> {
    let priority = AtomicU32::new(priority);
    call(
        nr::SCHED_SETSCHEDULER,
        [0, policy, priority.as_ptr() as usize],
    )
}

fn chosen() -> Result<(usize, u32)> {
    let priority = AtomicU32::new(u32::MAX);
    call(nr::SCHED_GETPARAM, [0, priority.as_ptr() as usize])?;
    Ok((
        call(nr::SCHED_GETSCHEDULER, [0])?,
        priority.load(Ordering::Relaxed),
    ))
}

/// Whether a child finds this chosen for it.
fn child_finds(policy: usize, priority: u32) -> Result<bool> {
    let status = in_child(|| i32::from(chosen() != Ok((policy, priority))))?;
    Ok(status == Status::Exited(0))
}

fn sched_policy_that_was_chosen_is_told() -> Outcome {
    for (policy, priority) in [
        (FIFO, 7),
        (BATCH, 0),
        (ROUND_ROBIN, 99),
        (IDLE, 0),
        (OTHER, 0),
    ] {
        choose(policy, priority)?;
        check_eq!(chosen(), Ok((policy, priority)));
    }
    choose(BATCH | RESET_ON_FORK, 0)?;
    check_eq!(chosen(), Ok((BATCH | RESET_ON_FORK, 0)));
    Ok(())
}

fn sched_policy_goes_to_the_child() -> Outcome {
    for (policy, priority) in [(FIFO, 7), (BATCH, 0), (OTHER, 0)] {
        choose(policy, priority)?;
        check_eq!((policy, child_finds(policy, priority)?), (policy, true));
    }
    Ok(())
}

fn sched_reset_on_fork_makes_an_ordinary_child() -> Outcome {
    for (policy, priority) in [(FIFO, 7), (OTHER, 0)] {
        choose(policy | RESET_ON_FORK, priority)?;
        check_eq!((policy, child_finds(OTHER, 0)?), (policy, true));
        check_eq!(chosen(), Ok((policy | RESET_ON_FORK, priority)));
    }
    Ok(())
}

fn sched_policy_that_cannot_be_is_einval() -> Outcome {
    for (policy, priority) in [
        (FIFO, 0),
        (FIFO, 100),
        (ROUND_ROBIN, 0),
        (OTHER, 1),
        (BATCH, 1),
        (IDLE, 1),
        (77, 0),
    ] {
        check_eq!(
            (policy, choose(policy, priority)),
            (policy, Err(Errno::EINVAL))
        );
    }
    check_eq!(chosen(), Ok((OTHER, 0)));
    Ok(())
}

fn sched_policy_beyond_ones_rights_is_eperm() -> Outcome {
    let refused = |policy, priority| choose(policy, priority) == Err(Errno::EPERM);
    choose(OTHER | RESET_ON_FORK, 0)?;
    let status = in_child(|| {
        let _ = choose(OTHER | RESET_ON_FORK, 0);
        if call(nr::SETUID, [1000]).is_err() {
            return 1;
        }
        // A policy for real time, and children like their maker again: neither is an ordinary user's.
        if !refused(FIFO, 1) || !refused(OTHER, 0) {
            return 2;
        }
        i32::from(choose(BATCH | RESET_ON_FORK, 0).is_err()) * 3
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn advice_needs_a_file_that_fits() -> Outcome {
    fs::write("/tmp/advice", b"1234")?;
    let file = fs::open_with("/tmp/advice", open::O_RDONLY, 0)?;
    let blind = fs::open_with("/tmp/advice", open::O_WRONLY, 0)?;
    let (reader, _writer) = fd::pipe()?;
    let number = |file: &Fd| file.fd() as usize;
    check_eq!(call(nr::READAHEAD, [number(&file), 0, 4]), Ok(0));
    check_eq!(
        call(nr::READAHEAD, [number(&blind), 0, 4]),
        Err(Errno::EBADF)
    );
    check_eq!(
        call(nr::READAHEAD, [number(&reader), 0, 4]),
        Err(Errno::EINVAL)
    );
    check_eq!(call(nr::FADVISE64, [number(&file), 0, 0, 3]), Ok(0));
    check_eq!(
        call(nr::FADVISE64, [number(&file), 0, 0, 77]),
        Err(Errno::EINVAL)
    );
    check_eq!(
        call(nr::FADVISE64, [number(&reader), 0, 0, 0]),
        Err(Errno::ESPIPE)
    );
    check_eq!(call(nr::SYNCFS, [number(&file)]), Ok(0));
    check_eq!(call(nr::SYNCFS, [usize::MAX]), Err(Errno::EBADF));
    fs::remove_file("/tmp/advice")?;
    Ok(())
}
