//! The table of system calls: number, handler, and whether the handler may allocate small objects.

use halyard_abi::nr;

use super::{Handler, credentials, info, process, schedule, time};

/// One system call.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) handler: Handler,
    /// It may make small allocations, so it is admitted only while the heap's reserve is intact.
    pub(super) allocates: bool,
}

/// One more than the greatest number in the table.
const LEN: usize = 460;

/// A call that only reads, frees, or uses memory set aside before.
const fn lean(handler: Handler) -> Entry {
    Entry { handler, allocates: false }
}

/// A call that may allocate.
const fn grows(handler: Handler) -> Entry {
    Entry { handler, allocates: true }
}

/// The call of that number.
#[inline]
pub(super) fn entry(number: u64) -> Option<&'static Entry> {
    TABLE.get(usize::try_from(number).ok()?)?.as_ref()
}

static TABLE: [Option<Entry>; LEN] = build(&[
    // Processes and threads.
    (nr::EXIT, lean(process::exit)),
    (nr::EXIT_GROUP, lean(process::exit_group)),
    (nr::CLONE, grows(process::clone)),
    (nr::CLONE3, grows(process::clone3)),
    (nr::EXECVE, grows(process::execve)),
    (nr::WAIT4, lean(process::wait4)),
    (nr::WAITID, lean(process::waitid)),
    (nr::GETPID, lean(process::getpid)),
    (nr::GETPPID, lean(process::getppid)),
    (nr::GETTID, lean(process::gettid)),
    (nr::SET_TID_ADDRESS, lean(process::set_tid_address)),
    (nr::SETPGID, lean(process::setpgid)),
    (nr::GETPGID, lean(process::getpgid)),
    (nr::SETSID, lean(process::setsid)),
    (nr::GETSID, lean(process::getsid)),
    // Time.
    (nr::NANOSLEEP, lean(time::nanosleep)),
    (nr::CLOCK_NANOSLEEP, lean(time::clock_nanosleep)),
    (nr::RESTART_SYSCALL, lean(time::restart_syscall)),
    (nr::CLOCK_GETTIME, lean(time::clock_gettime)),
    (nr::CLOCK_GETRES, lean(time::clock_getres)),
    (nr::CLOCK_SETTIME, lean(time::clock_settime)),
    (nr::GETTIMEOFDAY, lean(time::gettimeofday)),
    (nr::TIMES, lean(time::times)),
    // Scheduling.
    (nr::SCHED_YIELD, lean(schedule::sched_yield)),
    (nr::SCHED_SETSCHEDULER, lean(schedule::sched_setscheduler)),
    (nr::SCHED_GETSCHEDULER, lean(schedule::sched_getscheduler)),
    (nr::SCHED_SETPARAM, lean(schedule::sched_setparam)),
    (nr::SCHED_GETPARAM, lean(schedule::sched_getparam)),
    (nr::SCHED_GET_PRIORITY_MAX, lean(schedule::sched_get_priority_max)),
    (nr::SCHED_GET_PRIORITY_MIN, lean(schedule::sched_get_priority_min)),
    (nr::SCHED_GETAFFINITY, lean(schedule::sched_getaffinity)),
    (nr::SCHED_SETAFFINITY, lean(schedule::sched_setaffinity)),
    (nr::GETCPU, lean(info::getcpu)),
    (nr::SETPRIORITY, lean(schedule::setpriority)),
    (nr::GETPRIORITY, lean(schedule::getpriority)),
    // Users and groups.
    (nr::GETUID, lean(credentials::getuid)),
    (nr::GETEUID, lean(credentials::geteuid)),
    (nr::GETGID, lean(credentials::getgid)),
    (nr::GETEGID, lean(credentials::getegid)),
    (nr::SETUID, grows(credentials::setuid)),
    (nr::SETGID, grows(credentials::setgid)),
    (nr::SETREUID, grows(credentials::setreuid)),
    (nr::SETREGID, grows(credentials::setregid)),
    (nr::SETRESUID, grows(credentials::setresuid)),
    (nr::SETRESGID, grows(credentials::setresgid)),
    (nr::GETRESUID, lean(credentials::getresuid)),
    (nr::GETRESGID, lean(credentials::getresgid)),
    (nr::GETGROUPS, lean(credentials::getgroups)),
    (nr::SETGROUPS, grows(credentials::setgroups)),
    // What the system says about itself and the caller.
    (nr::UNAME, lean(info::uname)),
    (nr::SYSINFO, lean(info::sysinfo)),
    (nr::GETRUSAGE, lean(info::getrusage)),
    (nr::PRLIMIT64, lean(info::prlimit64)),
    (nr::GETRLIMIT, lean(info::getrlimit)),
    (nr::SETRLIMIT, lean(info::setrlimit)),
    (nr::PRCTL, lean(info::prctl)),
    (nr::REBOOT, lean(info::reboot)),
]);

const fn build(calls: &[(usize, Entry)]) -> [Option<Entry>; LEN] {
    let mut table = [None; LEN];
    let mut at = 0;
    while at < calls.len() {
        let (number, entry) = calls[at];
        assert!(table[number].is_none(), "a number stands twice in the table");
        table[number] = Some(entry);
        at += 1;
    }
    table
}
