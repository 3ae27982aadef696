//! mount and umount2.

use super::{Answer, Call, DONE};
use crate::Errno;
use crate::fs::mount::Kind;
use crate::machine::PAGE_SIZE;

/// mount(2): a fresh file system of memory, devices or processes on a directory. EPERM: the unprivileged. EINVAL: what would
/// need more than that (remounting, binding, moving, read-only). ENODEV: no such type.
pub(super) fn mount(call: &mut Call<'_>) -> Answer {
    /// MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_NODIRATIME, MS_SILENT, MS_RELATIME, MS_STRICTATIME.
    const WITHOUT_EFFECT: u64 = 2 | 4 | 8 | 1024 | 2048 | 1 << 15 | 1 << 21 | 1 << 24;
    /// What old programs put into the upper half of the flags.
    const MAGIC: u64 = 0xc0ed_0000;
    if !call.process().credentials().privileged() {
        return Err(Errno::EPERM);
    }
    let flags = match call.arg::<3>() {
        flags if flags & 0xffff_0000 == MAGIC => flags & 0xffff,
        flags => flags,
    };
    if flags & !WITHOUT_EFFECT != 0 {
        return Err(Errno::EINVAL);
    }
    let kind = Kind::from_name(&call.space().read_cstr(call.addr::<2>(), PAGE_SIZE)?)?;
    let covered = call.find_here::<1>()?;
    call.kernel.names.mount_new(call.kernel, &covered, kind)?;
    DONE
}

/// umount2(2). EPERM: the unprivileged. EINVAL: not the root of what is mounted. EBUSY.
pub(super) fn umount2(call: &mut Call<'_>) -> Answer {
    const MNT_FORCE: u32 = 1;
    const MNT_DETACH: u32 = 2;
    const UMOUNT_NOFOLLOW: u32 = 8;
    let flags = call.uint::<1>();
    if flags & !(MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    if !call.process().credentials().privileged() {
        return Err(Errno::EPERM);
    }
    let root = call.find_here::<0>()?;
    call.kernel.names.unmount(&root, flags & MNT_DETACH != 0)?;
    DONE
}
