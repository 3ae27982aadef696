//! /proc/sysvipc and the limits of System V IPC in /proc/sys/kernel (proc(5), proc_sysvipc(5)). Columns are Linux's: ipcs reads them.

use halyard_abi::sysv::{MSGMAX, MSGMNB, SEMMSL, SEMOPM};

use super::Text;
use crate::ipc::sysv::shared_memory::SHMMAX;
use crate::ipc::sysv::table::Object;
use crate::ipc::sysv::{MSGMNI, SEMMNI, SEMMNS, SHMMNI};
use crate::kernel::Kernel;
use crate::machine::PAGE_SIZE;
use crate::time::NANOS_PER_SECOND;

const fn seconds(nanos: u64) -> u64 {
    nanos / NANOS_PER_SECOND
}

pub(super) fn messages(kernel: &'static Kernel, text: &mut Text) {
    text.push(b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n");
    kernel.sysv.messages.for_each(|queue| {
        let status = queue.status();
        let owner = status.ownership;
        write!(
            text,
            "{:10} {:10}  {:4o}  {:10} {:10} {:5} {:5} ",
            owner.key,
            queue.header().id(),
            owner.mode,
            status.bytes,
            status.count,
            status.sent.pid,
            status.received.pid
        );
        writeln!(
            text,
            "{:5} {:5} {:5} {:5} {:10} {:10} {:10}",
            owner.uid,
            owner.gid,
            owner.cuid,
            owner.cgid,
            seconds(status.sent.time),
            seconds(status.received.time),
            seconds(status.changed)
        );
    });
}

pub(super) fn memory(kernel: &'static Kernel, text: &mut Text) {
    text.push(b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n");
    kernel.sysv.memory.for_each(|segment| {
        let status = segment.status();
        let owner = status.ownership;
        write!(
            text,
            "{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5} ",
            owner.key,
            segment.header().id(),
            owner.mode,
            status.size,
            status.creator,
            status.last,
            status.attached
        );
        writeln!(
            text,
            "{:5} {:5} {:5} {:5} {:10} {:10} {:10} {:21} {:21}",
            owner.uid,
            owner.gid,
            owner.cuid,
            owner.cgid,
            seconds(status.attach_time),
            seconds(status.detach_time),
            seconds(status.changed),
            status.resident * PAGE_SIZE,
            0
        );
    });
}

pub(super) fn semaphores(kernel: &'static Kernel, text: &mut Text) {
    text.push(
        b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    );
    kernel.sysv.semaphores.for_each(|set| {
        let status = set.status();
        let owner = status.ownership;
        writeln!(
            text,
            "{:10} {:10}  {:4o} {:10} {:5} {:5} {:5} {:5} {:10} {:10}",
            owner.key,
            set.header().id(),
            owner.mode,
            status.count,
            owner.uid,
            owner.gid,
            owner.cuid,
            owner.cgid,
            seconds(status.operated),
            seconds(status.changed)
        );
    });
}

pub(super) fn message_max(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{MSGMAX}");
}

pub(super) fn message_bytes(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{MSGMNB}");
}

pub(super) fn message_queues(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{MSGMNI}");
}

pub(super) fn memory_max(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{SHMMAX}");
}

pub(super) fn memory_all(kernel: &'static Kernel, text: &mut Text) {
    writeln!(text, "{}", kernel.memory.frames.total());
}

pub(super) fn memory_segments(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{SHMMNI}");
}

/// SEMMSL, SEMMNS, SEMOPM, SEMMNI.
pub(super) fn semaphore_limits(_: &'static Kernel, text: &mut Text) {
    writeln!(text, "{SEMMSL}\t{SEMMNS}\t{SEMOPM}\t{SEMMNI}");
}
