//! What /proc/PID says about a process (proc(5)). What is not counted is said as 0.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use super::Text;
use crate::fs::inode::{DeviceNumber, Inode};
use crate::fs::path;
use crate::kernel::Kernel;
use crate::machine::{Access, PAGE_SIZE};
use crate::mm::Backing;
use crate::process::signal::{Signal, SignalSet};
use crate::process::state::Process;
use crate::process::table::Life;
use crate::sched::run_queue::Policy;
use crate::time::NANOS_PER_SECOND;

/// Where a process is in its life, as one letter and a word.
fn state(kernel: &Kernel, process: &Process) -> (char, &'static str) {
    if kernel.processes.life(process.pid) != Some(Life::Alive) {
        return ('Z', "zombie");
    }
    // On its way out it rests nowhere: sleeping or stopped is what something may wake.
    if process.exiting().is_some() {
        return ('R', "running");
    }
    if process.signals.is_stopped() {
        return ('T', "stopped");
    }
    let (mut runs, mut threads) = (false, 0);
    process.for_each_thread(|thread| {
        runs |= !thread.parked();
        threads += 1;
    });
    // Without a thread it is on its way out too.
    if runs || threads == 0 {
        ('R', "running")
    } else {
        ('S', "sleeping")
    }
}

/// Its signals: pending for it, pending for its first thread, blocked there, ignored, caught.
struct Signals {
    shared: SignalSet,
    own: SignalSet,
    blocked: SignalSet,
    ignored: SignalSet,
    caught: SignalSet,
}

impl Signals {
    fn of(process: &Process) -> Signals {
        let (mut own, mut blocked) = (SignalSet::EMPTY, SignalSet::EMPTY);
        let mut first = true;
        process.for_each_thread(|thread| {
            if core::mem::take(&mut first) {
                (own, blocked) = (thread.signals.pending_set(), thread.signals.mask());
            }
        });
        let (mut ignored, mut caught) = (SignalSet::EMPTY, SignalSet::EMPTY);
        for signal in (1..=64).filter_map(|number| Signal::from_number(number).ok()) {
            let action = process.signals.action(signal);
            if action.is_ignore() {
                ignored = ignored.union(signal.set());
            } else if !action.is_default() {
                caught = caught.union(signal.set());
            }
        }
        Signals {
            shared: process.signals.pending_set(),
            own,
            blocked,
            ignored,
            caught,
        }
    }
}

/// Pages mapped and pages present.
fn pages(process: &Process) -> (usize, usize) {
    let footprint = process.space().map(|space| space.footprint());
    footprint.map_or((0, 0), |pages| (pages.mapped, pages.present))
}

/// What `stat` says of scheduling: priority, nice, real-time priority, policy.
fn scheduling(process: &Process) -> (i32, i32, u32, u32) {
    let mut policy = Policy::Fair(0);
    let mut first = true;
    process.for_each_thread(|thread| {
        if core::mem::take(&mut first) {
            policy = thread.schedule.policy();
        }
    });
    match policy {
        Policy::Fair(nice) => (20 + i32::from(nice), i32::from(nice), 0, 0),
        Policy::Fifo(priority) => (-1 - i32::from(priority), 0, u32::from(priority), 1),
        Policy::RoundRobin(priority) => (-1 - i32::from(priority), 0, u32::from(priority), 2),
    }
}

/// 52 numbers on a line; the name, in parentheses, may hold anything.
pub(super) fn stat(kernel: &'static Kernel, process: &Process, text: &mut Text) {
    const TICK: u64 = NANOS_PER_SECOND / 100;
    const CONSOLE: DeviceNumber = DeviceNumber { major: 5, minor: 1 };
    let name = process.name.lock().clone();
    let (letter, _) = state(kernel, process);
    let controls = process.session() != 0 && kernel.console.session() == process.session();
    let terminal = if controls { CONSOLE.encode() } else { 0 };
    let foreground = if controls {
        i64::from(kernel.console.foreground())
    } else {
        -1
    };
    let own = process.times.own.load(Ordering::Relaxed) / TICK;
    let children = process.times.children.load(Ordering::Relaxed) / TICK;
    let (priority, nice, real_time, policy) = scheduling(process);
    let (mapped, present) = pages(process);
    let signals = Signals::of(process);
    write!(
        text,
        "{} ({name}) {letter} {} {} {} ",
        process.pid,
        process.parent(),
        process.group(),
        process.session()
    );
    write!(
        text,
        "{terminal} {foreground} 0 0 0 0 0 {own} 0 {children} 0 "
    );
    write!(
        text,
        "{priority} {nice} {} 0 0 {} {present} 18446744073709551615 0 0 0 0 0 ",
        process.thread_count(),
        mapped * PAGE_SIZE
    );
    let (pending, blocked) = (signals.own.union(signals.shared).0, signals.blocked.0);
    write!(
        text,
        "{pending} {blocked} {} {} 0 0 0 ",
        signals.ignored.0, signals.caught.0
    );
    let exit_signal = process.signals.exit_signal().map_or(0, Signal::number);
    writeln!(
        text,
        "{exit_signal} 0 {real_time} {policy} 0 0 0 0 0 0 0 0 0 0 0"
    );
}

/// A line each: what it is, then a value.
pub(super) fn status(kernel: &'static Kernel, process: &Process, text: &mut Text) {
    let (letter, word) = state(kernel, process);
    let ids = process.credentials();
    let name = process.name.lock().clone();
    writeln!(text, "Name:\t{name}");
    if let Some(fs) = process.fs() {
        writeln!(text, "Umask:\t{:04o}", fs.umask());
    }
    let pid = process.pid;
    writeln!(
        text,
        "State:\t{letter} ({word})\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{}\nTracerPid:\t0",
        process.parent()
    );
    writeln!(
        text,
        "Uid:\t{}\t{}\t{}\t{}",
        ids.uid, ids.euid, ids.suid, ids.fsuid
    );
    writeln!(
        text,
        "Gid:\t{}\t{}\t{}\t{}",
        ids.gid, ids.egid, ids.sgid, ids.fsgid
    );
    text.push(b"Groups:\t");
    ids.groups.iter().for_each(|group| write!(text, "{group} "));
    writeln!(
        text,
        "\nNSpgid:\t{}\nNSsid:\t{}\nThreads:\t{}",
        process.group(),
        process.session(),
        process.thread_count()
    );
    let (mapped, present) = pages(process);
    let kibibytes = |pages: usize| pages * (PAGE_SIZE / 1024);
    writeln!(
        text,
        "VmSize:\t{:>8} kB\nVmRSS:\t{:>8} kB",
        kibibytes(mapped),
        kibibytes(present)
    );
    let signals = Signals::of(process);
    let sets = [
        ("SigPnd", signals.own),
        ("ShdPnd", signals.shared),
        ("SigBlk", signals.blocked),
        ("SigIgn", signals.ignored),
        ("SigCgt", signals.caught),
    ];
    for (name, set) in sets {
        writeln!(text, "{name}:\t{:016x}", set.0);
    }
}

pub(super) fn command_line(_: &'static Kernel, process: &Process, text: &mut Text) {
    text.push(&process.command_line.lock());
}

pub(super) fn name(_: &'static Kernel, process: &Process, text: &mut Text) {
    writeln!(text, "{}", *process.name.lock());
}

/// The program's path: nothing if it has ended.
pub(super) fn executable(_: &'static Kernel, process: &Process, text: &mut Text) {
    text.push(process.executable.lock().as_bytes());
}

pub(super) fn current_directory(kernel: &'static Kernel, process: &Process, text: &mut Text) {
    if let Some(fs) = process.fs() {
        directory(kernel, &fs.current(), text);
    }
}

pub(super) fn root_directory(kernel: &'static Kernel, process: &Process, text: &mut Text) {
    if let Some(fs) = process.fs() {
        directory(kernel, &fs.root(), text);
    }
}

fn directory(kernel: &'static Kernel, inode: &Arc<Inode>, text: &mut Text) {
    if let Ok(path) = path::path_of(inode, kernel.names.root()) {
        text.push(&path);
    }
}

/// What is mounted (fstab(5)).
pub(super) fn mounts(kernel: &'static Kernel, _: &Process, text: &mut Text) {
    text.push(b"rootfs / ramfs rw 0 0\n");
    kernel.names.for_each_mount(|mount| {
        let kind = mount.kind.name();
        write!(text, "{kind} ");
        mount.path.iter().for_each(|byte| match byte {
            b' ' | b'\t' | b'\n' | b'\\' => write!(text, "\\{byte:03o}"),
            byte => text.push(&[*byte]),
        });
        writeln!(text, " {kind} rw 0 0");
    });
}

/// A line for each region: addresses, access, offset, device, inode, name. The device and the inode of a file are not kept.
pub(super) fn maps(_: &'static Kernel, process: &Process, text: &mut Text) {
    let Some(space) = process.space() else {
        return;
    };
    space.for_each_region(&mut |region| {
        let flag = |access, letter| {
            if region.access.contains(access) {
                letter
            } else {
                '-'
            }
        };
        let sharing = if region.backing.is_shared() { 's' } else { 'p' };
        let offset = match region.backing {
            Backing::Anonymous => 0,
            Backing::Private(_, page) | Backing::Shared(_, page) => page * PAGE_SIZE as u64,
        };
        write!(text, "{:08x}-{:08x} ", region.start, region.end);
        let (read, write) = (flag(Access::READ, 'r'), flag(Access::WRITE, 'w'));
        write!(
            text,
            "{read}{write}{}{sharing} ",
            flag(Access::EXECUTE, 'x')
        );
        match region.label.text() {
            "" => writeln!(text, "{offset:08x} 00:00 0"),
            name => writeln!(text, "{offset:08x} 00:00 0{:26}{name}", ""),
        }
    });
}

/// A line for each thread: its number, and whether it waits.
pub(super) fn wait(_: &'static Kernel, process: &Process, text: &mut Text) {
    process.for_each_thread(|thread| {
        let what = if thread.parked() { "waits" } else { "runs" };
        writeln!(text, "{} {what}", thread.tid);
    });
}
