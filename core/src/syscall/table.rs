//! The table of system calls: number, handler, and whether the handler may allocate small objects.

use linux_raw_sys::general as nr;

use super::{Handler, info, process, schedule, time};

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
    (nr::__NR_exit, lean(process::exit)),
    (nr::__NR_exit_group, lean(process::exit_group)),
    (nr::__NR_clone, grows(process::clone)),
    (nr::__NR_clone3, grows(process::clone3)),
    (nr::__NR_execve, grows(process::execve)),
    (nr::__NR_wait4, lean(process::wait4)),
    (nr::__NR_waitid, lean(process::waitid)),
    (nr::__NR_getpid, lean(process::getpid)),
    (nr::__NR_getppid, lean(process::getppid)),
    (nr::__NR_gettid, lean(process::gettid)),
    (nr::__NR_set_tid_address, lean(process::set_tid_address)),
    (nr::__NR_setpgid, lean(process::setpgid)),
    (nr::__NR_getpgid, lean(process::getpgid)),
    (nr::__NR_setsid, lean(process::setsid)),
    (nr::__NR_getsid, lean(process::getsid)),
    // Time.
    (nr::__NR_nanosleep, lean(time::nanosleep)),
    (nr::__NR_clock_nanosleep, lean(time::clock_nanosleep)),
    (nr::__NR_clock_gettime, lean(time::clock_gettime)),
    (nr::__NR_clock_getres, lean(time::clock_getres)),
    (nr::__NR_clock_settime, lean(time::clock_settime)),
    (nr::__NR_gettimeofday, lean(time::gettimeofday)),
    (nr::__NR_times, lean(time::times)),
    // Scheduling.
    (nr::__NR_sched_yield, lean(schedule::sched_yield)),
    (nr::__NR_sched_setscheduler, lean(schedule::sched_setscheduler)),
    (nr::__NR_sched_getscheduler, lean(schedule::sched_getscheduler)),
    (nr::__NR_sched_setparam, lean(schedule::sched_setparam)),
    (nr::__NR_sched_getparam, lean(schedule::sched_getparam)),
    (nr::__NR_sched_get_priority_max, lean(schedule::sched_get_priority_max)),
    (nr::__NR_sched_get_priority_min, lean(schedule::sched_get_priority_min)),
    (nr::__NR_sched_getaffinity, lean(schedule::sched_getaffinity)),
    (nr::__NR_sched_setaffinity, lean(schedule::sched_setaffinity)),
    (nr::__NR_setpriority, lean(schedule::setpriority)),
    (nr::__NR_getpriority, lean(schedule::getpriority)),
    // What the system says about itself and the caller.
    (nr::__NR_uname, lean(info::uname)),
    (nr::__NR_sysinfo, lean(info::sysinfo)),
    (nr::__NR_getrusage, lean(info::getrusage)),
    (nr::__NR_prlimit64, lean(info::prlimit64)),
    (nr::__NR_getrlimit, lean(info::getrlimit)),
    (nr::__NR_setrlimit, lean(info::setrlimit)),
    (nr::__NR_prctl, lean(info::prctl)),
    (nr::__NR_getuid, lean(info::getuid)),
    (nr::__NR_geteuid, lean(info::geteuid)),
    (nr::__NR_getgid, lean(info::getgid)),
    (nr::__NR_getegid, lean(info::getegid)),
    (nr::__NR_reboot, lean(info::reboot)),
]);

const fn build(calls: &[(u32, Entry)]) -> [Option<Entry>; LEN] {
    let mut table = [None; LEN];
    let mut at = 0;
    while at < calls.len() {
        let (number, entry) = calls[at];
        assert!(table[number as usize].is_none(), "a number stands twice in the table");
        table[number as usize] = Some(entry);
        at += 1;
    }
    table
}
