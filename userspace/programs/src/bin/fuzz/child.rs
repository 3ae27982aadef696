//! One process of the fuzzer: makes calls until it has made its share or one of them was its end.

use core::sync::atomic::{AtomicU32, Ordering};

use halyard_rt::process::Pid;
use halyard_rt::signal::{self, Action, How, SignalSet};
use halyard_rt::{fd, nr, open, prelude::*, raw, wild};

use crate::arena::Arena;
use crate::choice::Random;
use crate::{DIRECTORY, NOBODY};

/// Calls of one child: few enough that what it broke in itself does not spoil too many.
const SHARE: usize = 2000;

/// Calls that end the machine or change it under everybody.
const NEVER: [usize; 22] = [
    nr::REBOOT,
    nr::KEXEC_LOAD,
    nr::KEXEC_FILE_LOAD,
    nr::INIT_MODULE,
    nr::FINIT_MODULE,
    nr::DELETE_MODULE,
    nr::MOUNT,
    nr::UMOUNT2,
    nr::PIVOT_ROOT,
    nr::MOVE_MOUNT,
    nr::MOUNT_SETATTR,
    nr::CHROOT,
    nr::SWAPON,
    nr::SWAPOFF,
    nr::SETTIMEOFDAY,
    nr::CLOCK_SETTIME,
    nr::CLOCK_ADJTIME,
    nr::ADJTIMEX,
    nr::SETHOSTNAME,
    nr::SYSLOG,
    nr::VHANGUP,
    nr::ACCT,
];

/// Calls by which root reaches others, or makes processes that nobody finds again.
const NEVER_AS_ROOT: [usize; 18] = [
    nr::KILL,
    nr::TKILL,
    nr::TGKILL,
    nr::RT_SIGQUEUEINFO,
    nr::RT_TGSIGQUEUEINFO,
    nr::PIDFD_SEND_SIGNAL,
    nr::PTRACE,
    nr::PROCESS_VM_WRITEV,
    nr::PRLIMIT64,
    nr::SETPRIORITY,
    nr::SCHED_SETSCHEDULER,
    nr::SCHED_SETPARAM,
    nr::SCHED_SETATTR,
    nr::SCHED_SETAFFINITY,
    nr::CLONE,
    nr::CLONE3,
    nr::SETNS,
    nr::UNSHARE,
];

/// Calls that end this process with certainty: now and then is enough.
const SELDOM: [usize; 3] = [nr::EXIT, nr::EXIT_GROUP, nr::RT_SIGRETURN];

/// Interrupts a call that waits.
extern "C" fn tick(_: i32) {}

/// Runs a child's share; each call is counted.
pub(crate) fn run(seed: u64, count: &AtomicU32) -> i32 {
    let mut random = Random::new(seed);
    let root = random.once_in(4);
    let Ok(arena) = Arena::new(root) else {
        return 1;
    };
    if set_up(root).is_err() {
        return 1;
    }
    let own = process::thread_id();
    for round in 0..SHARE {
        if round % 8 == 0 {
            arena.stir(&mut random);
        }
        if round % 64 == 0 {
            start_ticking();
        }
        let number = choose(&mut random, root);
        let args = core::array::from_fn(|_| argument(&mut random, &arena));
        let _ = wild::call(number, args);
        count.fetch_add(1, Ordering::Relaxed);
        if matches!(number, nr::CLONE | nr::CLONE3) {
            end_copies(own);
        }
    }
    0
}

/// Away from the terminal, out of other people's reach, with files to play with.
fn set_up(root: bool) -> Result<()> {
    let _ = process::new_session();
    fs::set_current_dir(DIRECTORY)?;
    let null = fs::open_with("/dev/null", open::O_RDWR, 0)?;
    for number in [STDIN, STDOUT, STDERR] {
        fd::dup2(&null, number)?;
    }
    let limit = [1u64 << 20; 2];
    let resource = raw::general::RLIMIT_FSIZE as usize;
    let _ = wild::call(
        nr::PRLIMIT64,
        [0, resource, limit.as_ptr() as usize, 0, 0, 0],
    );
    if !root {
        wild::call(nr::SETGID, [NOBODY, 0, 0, 0, 0, 0])?;
        wild::call(nr::SETUID, [NOBODY, 0, 0, 0, 0, 0])?;
    }
    let (reader, writer) = fd::pipe()?;
    let file = fs::open_with("a", open::O_RDWR | open::O_CREAT, 0o666)?;
    let directory = fs::open(".")?;
    for kept in [reader, writer, file, directory] {
        let _ = kept.into_raw();
    }
    Ok(())
}

/// A signal every few milliseconds, so that no wait is for ever.
fn start_ticking() {
    let alarm = SignalSet::of(&[signal::SIGALRM]);
    let _ = signal::set(signal::SIGALRM, Action::Call(tick), 0, SignalSet::EMPTY);
    let _ = signal::mask(How::Unblock, alarm);
    let interval = [0u64, 5000, 0, 5000];
    let _ = wild::call(nr::SETITIMER, [0, interval.as_ptr() as usize, 0, 0, 0, 0]);
}

/// A copy of this process or thread, made by a call, ends here.
fn end_copies(own: Pid) {
    if process::thread_id() != own {
        halyard_rt::thread::exit();
    }
}

fn choose(random: &mut Random, root: bool) -> usize {
    loop {
        let number = match random.below(16) {
            0 => random.number(),
            1 => random.below(600),
            _ => random.below(470),
        };
        let known = number > 600 || nr::name(number).is_some() || random.once_in(8);
        let banned = NEVER.contains(&number) || (root && NEVER_AS_ROOT.contains(&number));
        let due = !SELDOM.contains(&number) || random.once_in(40);
        if known && !banned && due {
            return number;
        }
    }
}

fn argument(random: &mut Random, arena: &Arena) -> usize {
    match random.below(10) {
        // Descriptors: the open ones are the lowest.
        0..=2 => random.below(12),
        3..=5 => arena.address(random),
        6 => raw::general::AT_FDCWD as usize,
        7 => random.of(&[0, 1, 2, 4, 8, 64, 4096, 0x8_0000, 0x800, 0x22, 0x32], 0),
        _ => random.number(),
    }
}
