//! What /proc says about the kernel as a whole (proc(5)). What is not counted is said as 0.

use super::Text;
use crate::counters::{self, Kind};
use crate::fs::descriptors::DESCRIPTORS_MAX;
use crate::fs::mount;
use crate::fs::open_file::OPEN_FILES_MAX;
use crate::ipc::pipe;
use crate::ipc::posix_mq;
use crate::kernel::Kernel;
use crate::log::{self, Level};
use crate::machine::{CpuId, MAX_CPUS, PAGE_SIZE};
use crate::process::table::PID_MAX;
use crate::time::NANOS_PER_SECOND;
use crate::{Errno, Result};

/// The number of the process that asks: where /proc/self leads.
pub(super) fn self_link(kernel: &'static Kernel, text: &mut Text) {
    write!(text, "{}", kernel.this_cpu().running());
}

pub(super) fn command_line(kernel: &'static Kernel, text: &mut Text) {
    writeln!(text, "{}", kernel.command_line);
}

fn for_each_cpu(kernel: &Kernel, mut visit: impl FnMut(u8)) {
    (0..MAX_CPUS as u8)
        .filter(|id| kernel.scheduler.is_online(CpuId(*id)))
        .for_each(&mut visit);
}

/// C libraries count the lines that begin with "processor".
pub(super) fn cpu_info(kernel: &'static Kernel, text: &mut Text) {
    for_each_cpu(kernel, |id| {
        write!(text, "processor\t: {id}\nCPU architecture: 8\n\n")
    });
}

pub(super) fn file_systems(_: &'static Kernel, text: &mut Text) {
    for (name, _) in mount::NAMES {
        writeln!(text, "nodev\t{name}");
    }
}

pub(super) fn load_average(kernel: &'static Kernel, text: &mut Text) {
    let (_, threads) = kernel.processes.counts();
    let running = running_threads(kernel);
    // No average is kept: what runs now stands for all three.
    writeln!(
        text,
        "{running}.00 {running}.00 {running}.00 {running}/{threads} {}",
        kernel.processes.last_number()
    );
}

fn running_threads(kernel: &Kernel) -> usize {
    let mut running = 0;
    let mut pid = 0;
    while let Some(process) = kernel.processes.next_from(pid) {
        process.for_each_thread(|thread| running += usize::from(!thread.parked()));
        pid = process.pid + 1;
    }
    running
}

pub(super) fn memory_info(kernel: &'static Kernel, text: &mut Text) {
    let kibibytes = |frames: usize| frames * (PAGE_SIZE / 1024);
    let frames = kernel.memory.frames;
    let (total, free) = (kibibytes(frames.total()), kibibytes(frames.free()));
    let rows = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
    ];
    for (name, value) in rows {
        writeln!(
            text,
            "{name}:{:width$}{value:>8} kB",
            "",
            width = 15 - name.len()
        );
    }
}

/// How long a CPU has rested since boot, ns.
fn rested(kernel: &Kernel, id: u8) -> u64 {
    kernel.scheduler.cpu(CpuId(id)).rested(kernel.machine.now())
}

/// C libraries count the lines that begin with "cpu" and a number. In hundredths of a second: all time that a CPU did not
/// rest is called user time, for the kernel's own share is not counted apart.
pub(super) fn statistics(kernel: &'static Kernel, text: &mut Text) {
    const TICK: u64 = NANOS_PER_SECOND / 100;
    let now = kernel.machine.now();
    let times = |id| {
        let idle = rested(kernel, id) / TICK;
        ((now.0 / TICK).saturating_sub(idle), idle)
    };
    let (mut busy, mut idle) = (0, 0);
    for_each_cpu(kernel, |id| {
        let (its_busy, its_idle) = times(id);
        (busy, idle) = (busy + its_busy, idle + its_idle);
    });
    writeln!(text, "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0");
    for_each_cpu(kernel, |id| {
        let (busy, idle) = times(id);
        writeln!(text, "cpu{id} {busy} 0 0 {idle} 0 0 0 0 0 0");
    });
    let booted = (kernel.clock.real(now) - now.0.min(kernel.clock.real(now))) / NANOS_PER_SECOND;
    writeln!(text, "ctxt {}\nbtime {booted}", kernel.scheduler.switches());
    let running = running_threads(kernel);
    writeln!(
        text,
        "processes {}\nprocs_running {running}\nprocs_blocked 0",
        kernel.processes.last_number()
    );
}

pub(super) fn uptime(kernel: &'static Kernel, text: &mut Text) {
    let now = kernel.machine.now().0;
    let (seconds, rest) = (
        now / NANOS_PER_SECOND,
        now % NANOS_PER_SECOND / (NANOS_PER_SECOND / 100),
    );
    let mut idle = 0;
    for_each_cpu(kernel, |id| idle += rested(kernel, id));
    let (idle_seconds, idle_rest) = (
        idle / NANOS_PER_SECOND,
        idle % NANOS_PER_SECOND / (NANOS_PER_SECOND / 100),
    );
    writeln!(text, "{seconds}.{rest:02} {idle_seconds}.{idle_rest:02}");
}

pub(super) fn version(_: &'static Kernel, text: &mut Text) {
    let (system, release, version) = (
        crate::version::SYSTEM,
        crate::version::ABI_RELEASE,
        crate::version::VERSION,
    );
    writeln!(text, "{system} version {release} ({version})");
}

/// How many objects of each kind exist: a name and a number a line.
pub(super) fn objects(_: &'static Kernel, text: &mut Text) {
    for (kind, name) in counters::NAMES {
        writeln!(text, "{name} {}", counters::live(kind));
    }
}

/// The level of the log by its name.
pub(super) fn log_level(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{}", log::level().name());
}

/// Sets the level of the log by its name; blanks around it do not count.
pub(super) fn set_log_level(text: &[u8]) -> Result<()> {
    let level = Level::of(text.trim_ascii()).ok_or(Errno::EINVAL)?;
    log::set_level(level);
    Ok(())
}

pub(super) fn file_max(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{OPEN_FILES_MAX}");
}

pub(super) fn file_count(_: &'static Kernel, text: &mut Text) {
    writeln!(
        text,
        "{}\t0\t{OPEN_FILES_MAX}",
        counters::live(Kind::OpenFile)
    );
}

pub(super) fn descriptors_max(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{DESCRIPTORS_MAX}");
}

pub(super) fn pipe_max_size(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{}", pipe::MAX_CAPACITY);
}

pub(super) fn pid_max(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{PID_MAX}");
}

pub(super) fn mqueue_messages(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{}", posix_mq::DEFAULT_SHAPE.messages);
}

pub(super) fn mqueue_bytes(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{}", posix_mq::DEFAULT_SHAPE.bytes);
}

pub(super) fn mqueue_count(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{}", posix_mq::QUEUES_MAX);
}
