//! The table of system calls: number, handler, and whether the handler may allocate small objects.

use halyard_abi::nr;

use super::{
    Handler, copy, credentials, descriptor, directory, epoll, event, futex, info, memory, metadata,
    mount, path, pipe, poll, process, schedule, signal, socket, sysv_memory, sysv_message,
    sysv_semaphore, time, timer, transfer,
};
use super::{memfd, mqueue, splice, xattr};

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
pub(super) const fn lean(handler: Handler) -> Entry {
    Entry {
        handler,
        allocates: false,
    }
}

/// A call that may allocate.
pub(super) const fn grows(handler: Handler) -> Entry {
    Entry {
        handler,
        allocates: true,
    }
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
    (nr::NANOSLEEP, grows(time::nanosleep)),
    (nr::CLOCK_NANOSLEEP, grows(time::clock_nanosleep)),
    (nr::RESTART_SYSCALL, grows(time::restart_syscall)),
    (nr::CLOCK_GETTIME, lean(time::clock_gettime)),
    (nr::CLOCK_GETRES, lean(time::clock_getres)),
    (nr::CLOCK_SETTIME, grows(time::clock_settime)),
    (nr::GETTIMEOFDAY, lean(time::gettimeofday)),
    (nr::TIMES, lean(time::times)),
    // Scheduling.
    (nr::SCHED_YIELD, lean(schedule::sched_yield)),
    (nr::SCHED_SETSCHEDULER, lean(schedule::sched_setscheduler)),
    (nr::SCHED_GETSCHEDULER, lean(schedule::sched_getscheduler)),
    (nr::SCHED_SETPARAM, lean(schedule::sched_setparam)),
    (nr::SCHED_GETPARAM, lean(schedule::sched_getparam)),
    (
        nr::SCHED_GET_PRIORITY_MAX,
        lean(schedule::sched_get_priority_max),
    ),
    (
        nr::SCHED_GET_PRIORITY_MIN,
        lean(schedule::sched_get_priority_min),
    ),
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
    // Signals.
    (nr::RT_SIGACTION, lean(signal::rt_sigaction)),
    (nr::RT_SIGPROCMASK, lean(signal::rt_sigprocmask)),
    (nr::RT_SIGPENDING, lean(signal::rt_sigpending)),
    (nr::RT_SIGSUSPEND, lean(signal::rt_sigsuspend)),
    (nr::RT_SIGTIMEDWAIT, grows(signal::rt_sigtimedwait)),
    (nr::RT_SIGRETURN, lean(signal::rt_sigreturn)),
    (nr::RT_SIGQUEUEINFO, lean(signal::rt_sigqueueinfo)),
    (nr::RT_TGSIGQUEUEINFO, lean(signal::rt_tgsigqueueinfo)),
    (nr::SIGALTSTACK, lean(signal::sigaltstack)),
    (nr::KILL, lean(signal::kill)),
    (nr::TKILL, lean(signal::tkill)),
    (nr::TGKILL, lean(signal::tgkill)),
    (nr::SETITIMER, grows(signal::setitimer)),
    (nr::GETITIMER, lean(signal::getitimer)),
    (nr::SIGNALFD4, grows(timer::signalfd4)),
    (nr::TIMER_CREATE, grows(timer::timer_create)),
    (nr::TIMER_SETTIME, grows(timer::timer_settime)),
    (nr::TIMER_GETTIME, lean(timer::timer_gettime)),
    (nr::TIMER_GETOVERRUN, lean(timer::timer_getoverrun)),
    (nr::TIMER_DELETE, lean(timer::timer_delete)),
    (nr::TIMERFD_CREATE, grows(timer::timerfd_create)),
    (nr::TIMERFD_SETTIME, grows(timer::timerfd_settime)),
    (nr::TIMERFD_GETTIME, lean(timer::timerfd_gettime)),
    // Memory.
    (nr::MEMFD_CREATE, grows(memfd::memfd_create)),
    (nr::MMAP, grows(memory::mmap)),
    (nr::MUNMAP, lean(memory::munmap)),
    (nr::MPROTECT, lean(memory::mprotect)),
    (nr::BRK, grows(memory::brk)),
    (nr::MREMAP, grows(memory::mremap)),
    (nr::MADVISE, lean(memory::madvise)),
    (nr::MSYNC, lean(memory::msync)),
    (nr::MINCORE, lean(memory::mincore)),
    (nr::MLOCK, lean(memory::mlock)),
    (nr::MLOCK2, lean(memory::mlock)),
    (nr::MUNLOCK, lean(memory::munlock)),
    (nr::MLOCKALL, lean(memory::mlockall)),
    (nr::MUNLOCKALL, lean(memory::munlockall)),
    // Pipes.
    (nr::PIPE2, grows(pipe::pipe2)),
    // Sockets.
    (nr::SOCKET, grows(socket::socket)),
    (nr::SOCKETPAIR, grows(socket::socketpair)),
    (nr::BIND, grows(socket::bind)),
    (nr::LISTEN, lean(socket::listen)),
    (nr::ACCEPT, grows(socket::accept)),
    (nr::ACCEPT4, grows(socket::accept4)),
    (nr::CONNECT, grows(socket::connect)),
    (nr::GETSOCKNAME, lean(socket::getsockname)),
    (nr::GETPEERNAME, lean(socket::getpeername)),
    (nr::SENDTO, grows(socket::sendto)),
    (nr::RECVFROM, grows(socket::recvfrom)),
    (nr::SETSOCKOPT, lean(socket::setsockopt)),
    (nr::GETSOCKOPT, grows(socket::getsockopt)),
    (nr::SHUTDOWN, lean(socket::shutdown)),
    (nr::SENDMSG, grows(socket::sendmsg)),
    (nr::RECVMSG, grows(socket::recvmsg)),
    (nr::SENDMMSG, grows(socket::sendmmsg)),
    (nr::RECVMMSG, grows(socket::recvmmsg)),
    (nr::SPLICE, lean(splice::splice)),
    (nr::TEE, lean(splice::tee)),
    (nr::VMSPLICE, lean(splice::vmsplice)),
    // POSIX message queues.
    (nr::MQ_OPEN, grows(mqueue::mq_open)),
    (nr::MQ_UNLINK, grows(mqueue::mq_unlink)),
    (nr::MQ_TIMEDSEND, lean(mqueue::mq_timedsend)),
    (nr::MQ_TIMEDRECEIVE, lean(mqueue::mq_timedreceive)),
    (nr::MQ_NOTIFY, lean(mqueue::mq_notify)),
    (nr::MQ_GETSETATTR, lean(mqueue::mq_getsetattr)),
    // Waiting for several things, and for words of memory.
    (nr::PPOLL, grows(poll::ppoll)),
    (nr::PSELECT6, grows(poll::pselect6)),
    (nr::EVENTFD2, grows(event::eventfd2)),
    (nr::EPOLL_CREATE1, grows(epoll::epoll_create1)),
    (nr::EPOLL_CTL, grows(epoll::epoll_ctl)),
    (nr::EPOLL_PWAIT, grows(epoll::epoll_pwait)),
    (nr::EPOLL_PWAIT2, grows(epoll::epoll_pwait2)),
    (nr::FUTEX, grows(futex::futex)),
    (nr::SET_ROBUST_LIST, lean(futex::set_robust_list)),
    (nr::GET_ROBUST_LIST, lean(futex::get_robust_list)),
    // System V IPC.
    (nr::MSGGET, grows(sysv_message::msgget)),
    (nr::MSGCTL, lean(sysv_message::msgctl)),
    (nr::MSGRCV, lean(sysv_message::msgrcv)),
    (nr::MSGSND, lean(sysv_message::msgsnd)),
    (nr::SEMGET, grows(sysv_semaphore::semget)),
    (nr::SEMCTL, lean(sysv_semaphore::semctl)),
    (nr::SEMTIMEDOP, grows(sysv_semaphore::semtimedop)),
    (nr::SEMOP, grows(sysv_semaphore::semop)),
    (nr::SHMGET, grows(sysv_memory::shmget)),
    (nr::SHMCTL, lean(sysv_memory::shmctl)),
    (nr::SHMAT, grows(sysv_memory::shmat)),
    (nr::SHMDT, lean(sysv_memory::shmdt)),
    // Bytes.
    (nr::READ, lean(transfer::read)),
    (nr::WRITE, lean(transfer::write)),
    (nr::READV, lean(transfer::readv)),
    (nr::WRITEV, lean(transfer::writev)),
    (nr::PREAD64, lean(transfer::pread64)),
    (nr::PWRITE64, lean(transfer::pwrite64)),
    (nr::PREADV, lean(transfer::preadv)),
    (nr::PWRITEV, lean(transfer::pwritev)),
    (nr::SENDFILE, lean(copy::sendfile)),
    (nr::PREADV2, lean(transfer::preadv2)),
    (nr::PWRITEV2, lean(transfer::pwritev2)),
    (nr::COPY_FILE_RANGE, lean(copy::copy_file_range)),
    (nr::GETRANDOM, lean(transfer::getrandom)),
    // Descriptors.
    (nr::CLOSE, lean(descriptor::close)),
    (nr::CLOSE_RANGE, grows(descriptor::close_range)),
    (nr::DUP, grows(descriptor::dup)),
    (nr::DUP3, grows(descriptor::dup3)),
    (nr::FCNTL, grows(descriptor::fcntl)),
    (nr::IOCTL, lean(descriptor::ioctl)),
    (nr::LSEEK, lean(descriptor::lseek)),
    (nr::FTRUNCATE, grows(descriptor::ftruncate)),
    (nr::FSYNC, lean(descriptor::fsync)),
    (nr::FDATASYNC, lean(descriptor::fsync)),
    (nr::SYNC, lean(descriptor::sync)),
    (nr::SYNCFS, lean(descriptor::fsync)),
    (nr::READAHEAD, lean(descriptor::readahead)),
    (nr::FADVISE64, lean(descriptor::fadvise64)),
    // Paths.
    (nr::OPENAT, grows(path::openat)),
    (nr::MKDIRAT, grows(path::mkdirat)),
    (nr::MKNODAT, grows(path::mknodat)),
    (nr::SYMLINKAT, grows(path::symlinkat)),
    (nr::LINKAT, grows(path::linkat)),
    (nr::UNLINKAT, grows(path::unlinkat)),
    (nr::RENAMEAT, grows(path::renameat)),
    (nr::RENAMEAT2, grows(path::renameat2)),
    (nr::READLINKAT, grows(path::readlinkat)),
    (nr::FACCESSAT, grows(metadata::faccessat)),
    (nr::FACCESSAT2, grows(metadata::faccessat2)),
    (nr::FSTAT, lean(metadata::fstat)),
    (nr::NEWFSTATAT, grows(metadata::newfstatat)),
    (nr::STATX, grows(metadata::statx)),
    (nr::FCHMOD, lean(metadata::fchmod)),
    (nr::FCHMODAT, grows(metadata::fchmodat)),
    (nr::FCHMODAT2, grows(metadata::fchmodat2)),
    (nr::FCHOWN, lean(metadata::fchown)),
    (nr::FCHOWNAT, grows(metadata::fchownat)),
    (nr::UTIMENSAT, grows(metadata::utimensat)),
    (nr::TRUNCATE, grows(metadata::truncate)),
    (nr::CHDIR, grows(directory::chdir)),
    (nr::FCHDIR, lean(directory::fchdir)),
    (nr::CHROOT, grows(directory::chroot)),
    (nr::GETCWD, grows(directory::getcwd)),
    (nr::UMASK, lean(directory::umask)),
    (nr::GETDENTS64, grows(directory::getdents64)),
    (nr::STATFS, grows(metadata::statfs)),
    (nr::FSTATFS, lean(metadata::fstatfs)),
    (nr::SETXATTR, grows(xattr::of_path)),
    (nr::LSETXATTR, grows(xattr::of_link)),
    (nr::FSETXATTR, lean(xattr::of_file)),
    (nr::GETXATTR, grows(xattr::of_path)),
    (nr::LGETXATTR, grows(xattr::of_link)),
    (nr::FGETXATTR, lean(xattr::of_file)),
    (nr::LISTXATTR, grows(xattr::list_of_path)),
    (nr::LLISTXATTR, grows(xattr::list_of_link)),
    (nr::FLISTXATTR, lean(xattr::list_of_file)),
    (nr::REMOVEXATTR, grows(xattr::of_path)),
    (nr::LREMOVEXATTR, grows(xattr::of_link)),
    (nr::FREMOVEXATTR, lean(xattr::of_file)),
    (nr::MOUNT, grows(mount::mount)),
    (nr::UMOUNT2, grows(mount::umount2)),
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
        assert!(
            table[number].is_none(),
            "a number stands twice in the table"
        );
        table[number] = Some(entry);
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::{format, println};

    use super::*;

    const PAGE: &str = include_str!("../../../docs/syscalls.md");

    /// The row of docs/syscalls.md for a call.
    fn row(number: usize, entry: &Entry) -> String {
        let name = nr::name(number).unwrap_or("?").to_lowercase();
        format!(
            "| {number} | {name} | {} |",
            if entry.allocates { "yes" } else { "no" }
        )
    }

    #[test]
    fn table_and_its_page_agree() {
        let mut missing = 0;
        let mut count = 0;
        for (number, entry) in TABLE.iter().enumerate() {
            let Some(entry) = entry else { continue };
            count += 1;
            let row = row(number, entry);
            if !PAGE.lines().any(|line| line == row) {
                missing += 1;
                println!("docs/syscalls.md lacks the row: {row}");
            }
        }
        let rows = PAGE
            .lines()
            .filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit())
            .count();
        assert_eq!((missing, rows), (0, count));
    }

    #[test]
    fn number_beyond_the_table_is_no_call() {
        assert!(entry(u64::MAX).is_none());
        assert!(entry(LEN as u64).is_none());
        assert!(entry(nr::READ as u64).is_some());
    }
}
