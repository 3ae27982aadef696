//! What the system says about itself and the caller: names, memory, limits, ids.

use core::sync::atomic::Ordering;

use super::{Answer, Call, DONE, Outcome};
use crate::machine::{PAGE_SIZE, Shutdown, UserAddr};
use crate::process::limits::{Limit, Resource};
use crate::process::state::Process;
use crate::time::NANOS_PER_SECOND;
use crate::{Errno, Result};

/// uname(2). The release names the ABI that programs may expect: C libraries refuse older kernels.
pub(super) fn uname(call: &mut Call<'_>) -> Answer {
    const FIELD: usize = 65;
    let fields: [&[u8]; 6] = [
        crate::version::SYSTEM.as_bytes(),
        b"halyard",
        crate::version::ABI_RELEASE.as_bytes(),
        crate::version::VERSION.as_bytes(),
        b"aarch64",
        b"(none)",
    ];
    let mut text = [[0u8; FIELD]; 6];
    for (slot, field) in text.iter_mut().zip(fields) {
        for (to, from) in slot.iter_mut().zip(field.iter().take(FIELD - 1)) {
            *to = *from;
        }
    }
    call.space().write_user(call.addr::<0>(), &text)?;
    DONE
}

/// sysinfo(2).
pub(super) fn sysinfo(call: &mut Call<'_>) -> Answer {
    let frames = &call.kernel.memory.frames;
    let (total, free) = (frames.total() as u64, frames.free() as u64);
    let (_, threads) = call.kernel.processes.counts();
    let uptime = call.kernel.machine.now().0 / NANOS_PER_SECOND;
    // struct sysinfo: uptime, loads[3], total, free, shared, buffer, totalswap, freeswap, procs (16 bits) and padding,
    // totalhigh, freehigh, mem_unit (32 bits) and padding (uapi/linux/sysinfo.h).
    let page = PAGE_SIZE as u64;
    let words: [u64; 14] = [
        uptime,
        0,
        0,
        0,
        total * page,
        free * page,
        0,
        0,
        0,
        0,
        threads.min(0xffff) as u64,
        0,
        0,
        1,
    ];
    call.space().write_user(call.addr::<0>(), &words)?;
    DONE
}

/// `struct rusage` with `nanos` of user time and the rest zero: nothing else is counted.
pub(super) const fn rusage(nanos: u64) -> [u64; 18] {
    let mut words = [0; 18];
    words[0] = nanos / NANOS_PER_SECOND;
    words[1] = nanos % NANOS_PER_SECOND / 1000;
    words
}

/// getrusage(2).
pub(super) fn getrusage(call: &mut Call<'_>) -> Answer {
    let times = &call.process().times;
    let ran = call.task.ran(call.kernel.machine.now());
    let nanos = match call.int::<0>() {
        0 => times.own.load(Ordering::Relaxed) + ran,
        -1 => times.children.load(Ordering::Relaxed),
        1 => call.thread().cpu_time.load(Ordering::Relaxed) + ran,
        _ => return Err(Errno::EINVAL),
    };
    call.space().write_user(call.addr::<1>(), &rusage(nanos))?;
    DONE
}

/// prlimit(2).
pub(super) fn prlimit64(call: &mut Call<'_>) -> Answer {
    let resource = Resource::from_number(call.uint::<1>()).ok_or(Errno::EINVAL)?;
    let process = match call.int::<0>() {
        0 => alloc::sync::Arc::clone(call.process()),
        pid => u32::try_from(pid)
            .ok()
            .and_then(|pid| call.kernel.processes.process(pid))
            .ok_or(Errno::ESRCH)?,
    };
    let new = match call.addr::<2>() {
        UserAddr(0) => None,
        at => Some(call.space().read_user::<[u64; 2]>(at)?),
    };
    let old = process.limits.get(resource);
    if let Some([soft, hard]) = new {
        set_limit(call, &process, resource, Limit { soft, hard })?;
    }
    if call.arg::<3>() != 0 {
        call.space()
            .write_user(call.addr::<3>(), &[old.soft, old.hard])?;
    }
    DONE
}

fn set_limit(call: &Call<'_>, process: &Process, resource: Resource, to: Limit) -> Result<()> {
    let privileged = call.process().credentials().privileged();
    process.limits.set(resource, to, privileged)?;
    if let Some(space) = process.space() {
        process.limits.apply(&space);
    }
    Ok(())
}

/// getrlimit(2).
pub(super) fn getrlimit(call: &mut Call<'_>) -> Answer {
    let resource = Resource::from_number(call.uint::<0>()).ok_or(Errno::EINVAL)?;
    let limit = call.process().limits.get(resource);
    call.space()
        .write_user(call.addr::<1>(), &[limit.soft, limit.hard])?;
    DONE
}

/// setrlimit(2).
pub(super) fn setrlimit(call: &mut Call<'_>) -> Answer {
    let resource = Resource::from_number(call.uint::<0>()).ok_or(Errno::EINVAL)?;
    let [soft, hard]: [u64; 2] = call.space().read_user(call.addr::<1>())?;
    set_limit(call, call.process(), resource, Limit { soft, hard })?;
    DONE
}

/// prctl(2): the thread's name; the rest is EINVAL.
pub(super) fn prctl(call: &mut Call<'_>) -> Answer {
    const PR_SET_NAME: u32 = 15;
    const PR_GET_NAME: u32 = 16;
    const PR_GET_DUMPABLE: u32 = 3;
    const PR_SET_DUMPABLE: u32 = 4;
    const PR_SET_NO_NEW_PRIVS: u32 = 38;
    const PR_GET_NO_NEW_PRIVS: u32 = 39;
    match call.uint::<0>() {
        PR_SET_NAME => {
            let name: [u8; 16] = call.space().read_user(call.addr::<1>())?;
            let text = name.split(|byte| *byte == 0).next().unwrap_or_default();
            *call.process().name.lock() = alloc::string::String::from_utf8_lossy(text)
                .chars()
                .take(15)
                .collect();
            DONE
        }
        PR_GET_NAME => {
            let mut name = [0u8; 16];
            for (to, from) in name
                .iter_mut()
                .zip(call.process().name.lock().bytes().take(15))
            {
                *to = from;
            }
            call.space().write_user(call.addr::<1>(), &name)?;
            DONE
        }
        PR_GET_DUMPABLE | PR_GET_NO_NEW_PRIVS => Ok(Outcome::Done(1)),
        PR_SET_DUMPABLE | PR_SET_NO_NEW_PRIVS if call.arg::<1>() == 1 => DONE,
        _ => Err(Errno::EINVAL),
    }
}

/// getcpu(2).
pub(super) fn getcpu(call: &mut Call<'_>) -> Answer {
    let cpu = u32::from(call.kernel.machine.cpu().0);
    for at in [call.addr::<0>(), call.addr::<1>()]
        .into_iter()
        .zip([cpu, 0])
        .filter(|(at, _)| at.0 != 0)
    {
        call.space().write_user(at.0, &at.1)?;
    }
    DONE
}

/// reboot(2): power off, restart, halt; Ctrl-Alt-Del is accepted and means nothing.
pub(super) fn reboot(call: &mut Call<'_>) -> Answer {
    const MAGIC1: u32 = 0xfee1_dead;
    const MAGIC2: [u32; 4] = [0x2812_1969, 0x0512_1996, 0x1604_1998, 0x2011_2000];
    if !call.process().credentials().privileged() {
        return Err(Errno::EPERM);
    }
    if call.uint::<0>() != MAGIC1 || !MAGIC2.contains(&call.uint::<1>()) {
        return Err(Errno::EINVAL);
    }
    match call.uint::<2>() {
        0x4321_fedc => call.kernel.shut_down(Shutdown::PowerOff(0)),
        0x0123_4567 => call.kernel.shut_down(Shutdown::Reboot),
        0xcdef_0123 => call.kernel.shut_down(Shutdown::Halt),
        0x89ab_cdef | 0 => DONE,
        _ => Err(Errno::EINVAL),
    }
}
