//! What the kernel says of itself: names, memory, `/proc`, limits, identity; and what it does not know.

use core::time::Duration;

use halyard_rt::objects::{self, Objects};
use halyard_rt::process::Status;
use halyard_rt::{nr, prelude::*, system};

use crate::runner::suite;
use crate::support::{Outcome, call, check, check_eq, in_child};

suite!(
    unknown_calls_are_enosys,
    uname_names_the_machine,
    sysinfo_is_consistent,
    identity_is_root_and_can_be_given_up,
    credentials_come_in_threes,
    groups_and_sessions_follow_the_rules,
    proc_self_is_this_process,
    proc_lists_children,
    limits_are_told,
    processor_is_told,
    rusage_grows,
    live_objects_return_after_a_storm,
);

pub(crate) use halyard_rt::objects::live as live_objects;

/// The counters once they are `before` again, or what they are after a second: a process that another CPU has just ended may
/// be counted for a moment after its parent has been told.
pub(crate) fn live_objects_settled(before: &Option<Objects>) -> Option<Objects> {
    objects::settled(before.as_ref()?, Duration::from_secs(1))
}

fn unknown_calls_are_enosys() -> Outcome {
    for number in [600, 1000, 0xffff, u32::MAX as usize, usize::MAX] {
        check_eq!((number, call(number, [0; 6])), (number, Err(Errno::ENOSYS)));
        check_eq!(
            (number, call(number, [usize::MAX; 6])),
            (number, Err(Errno::ENOSYS))
        );
    }
    Ok(())
}

fn uname_names_the_machine() -> Outcome {
    let names = system::names()?;
    check_eq!(names.machine(), "aarch64");
    check!(!names.system().is_empty() && !names.release().is_empty());
    // glibc asks for a kernel not older than that.
    let major = names
        .release()
        .split('.')
        .next()
        .and_then(|text| text.parse::<u32>().ok());
    check!(major.is_some_and(|major| major >= 4));
    Ok(())
}

fn sysinfo_is_consistent() -> Outcome {
    let info = system::info()?;
    check!(info.unit > 0 && info.total > info.free && info.free > 0);
    check!(info.processes >= 1);
    let up = time::uptime().as_secs() as i64;
    check!((info.uptime - up).abs() <= 2);
    Ok(())
}

fn identity_is_root_and_can_be_given_up() -> Outcome {
    check_eq!((call(nr::GETUID, [])?, call(nr::GETEUID, [])?), (0, 0));
    check_eq!((call(nr::GETGID, [])?, call(nr::GETEGID, [])?), (0, 0));
    let status = in_child(|| {
        let given_up = call(nr::SETGID, [100]).is_ok() && call(nr::SETUID, [100]).is_ok();
        let now = call(nr::GETUID, []) == Ok(100) && call(nr::GETEGID, []) == Ok(100);
        let final_ = call(nr::SETUID, [0]) == Err(Errno::EPERM);
        i32::from(!(given_up && now && final_))
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn credentials_come_in_threes() -> Outcome {
    let ids = core::hint::black_box([9u32; 3]);
    let at = ids.as_ptr() as usize;
    call(nr::GETRESUID, [at, at + 4, at + 8])?;
    check_eq!(core::hint::black_box(ids), [0; 3]);
    check_eq!(call(nr::GETRESUID, [at, at + 4, 8]), Err(Errno::EFAULT));
    Ok(())
}

fn groups_and_sessions_follow_the_rules() -> Outcome {
    let own = process::id();
    check_eq!(process::group(0)?, own);
    // A group's leader can't lead a new session.
    check_eq!(process::new_session(), Err(Errno::EPERM));
    check_eq!(process::set_group(0x3fff_ffff, 0), Err(Errno::ESRCH));
    check_eq!(process::set_group(0, -1), Err(Errno::EINVAL));
    let status = in_child(|| {
        let inherited = process::group(0) == Ok(own);
        let session = process::new_session();
        let led = session == Ok(process::id()) && process::group(0) == session;
        let fixed = process::set_group(0, 0) == Err(Errno::EPERM);
        i32::from(!(inherited && led && fixed))
    })?;
    check_eq!(status, Status::Exited(0));
    Ok(())
}

fn proc_self_is_this_process() -> Outcome {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let own = process::id();
    check!(stat.starts_with(&format!("{own} (tests) R {} ", process::parent_id())));
    check_eq!(fs::read_link("/proc/self")?, own.to_string().as_bytes());
    let fields = stat
        .rsplit(')')
        .next()
        .map_or(0, |rest| rest.split_whitespace().count());
    check!(fields >= 22);
    check!(fs::exists(format!("/proc/{own}")));
    check!(!fs::exists("/proc/1073741823"));
    Ok(())
}

fn proc_lists_children() -> Outcome {
    let child = crate::support::Blocker::start(|| {
        crate::support::sleep_ms(10_000);
        0
    })?;
    let name = child.pid().to_string();
    let listed = fs::read_dir("/proc")?
        .iter()
        .any(|entry| entry.name == name.as_bytes());
    check!(listed);
    let stat = fs::read_to_string(format!("/proc/{name}/stat"))?;
    check!(stat.contains(") S "));
    child.kill()?;
    check!(!fs::exists(format!("/proc/{name}")));
    Ok(())
}

fn limits_are_told() -> Outcome {
    let limits = core::hint::black_box([0u64; 2]);
    let at = limits.as_ptr() as usize;
    const NOFILE: usize = halyard_rt::raw::general::RLIMIT_NOFILE as usize;
    call(nr::PRLIMIT64, [0, NOFILE, 0, at])?;
    let [soft, hard] = core::hint::black_box(limits);
    check!(soft >= 256 && hard >= soft);
    check_eq!(call(nr::PRLIMIT64, [0, 99, 0, at]), Err(Errno::EINVAL));
    Ok(())
}

fn processor_is_told() -> Outcome {
    let mask = core::hint::black_box([0u64; 16]);
    let length = call(nr::SCHED_GETAFFINITY, [0, 128, mask.as_ptr() as usize])?;
    check!((8..=128).contains(&length));
    let count: u32 = core::hint::black_box(mask)
        .iter()
        .map(|word| word.count_ones())
        .sum();
    check!(count >= 1);
    Ok(())
}

fn rusage_grows() -> Outcome {
    let usage = core::hint::black_box([0u64; 18]);
    let at = usage.as_ptr() as usize;
    check_eq!(call(nr::GETRUSAGE, [0, at])?, 0);
    check_eq!(call(nr::GETRUSAGE, [77, at]), Err(Errno::EINVAL));
    check_eq!(call(nr::GETRUSAGE, [0, 8]), Err(Errno::EFAULT));
    Ok(())
}

fn live_objects_return_after_a_storm() -> Outcome {
    let before = live_objects();
    for round in 0..10 {
        let children = (0..8)
            .map(|index| {
                process::spawn(|| {
                    let _pipes = [halyard_rt::fd::pipe(), halyard_rt::fd::pipe()];
                    let _data = vec![1u8; 100_000];
                    if index % 2 == 0 {
                        let _ = process::kill(process::id(), halyard_rt::signal::SIGKILL);
                    }
                    round
                })
            })
            .collect::<Result<Vec<_>>>()?;
        for child in children {
            process::wait_pid(child)?;
        }
    }
    check_eq!(live_objects_settled(&before), before);
    Ok(())
}
