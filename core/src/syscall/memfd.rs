//! memfd_create(2), and the seals of fcntl(2).

use alloc::sync::Arc;

use super::{Answer, Call, Outcome};
use crate::fs::inode::{FileSystemId, Inode, Metadata, Node};
use crate::fs::open_file::{OpenFile, OpenFlags};
use crate::fs::regular::RegularFile;
use crate::mm::{MemoryObject, Seals};
use crate::time::WallClock;
use crate::{Errno, Result};

const MFD_CLOEXEC: u32 = 1;
const MFD_ALLOW_SEALING: u32 = 2;
const MFD_HUGETLB: u32 = 4;
const MFD_NOEXEC_SEAL: u32 = 8;
const MFD_EXEC: u32 = 16;

/// The longest name, less the `memfd:` that Linux puts before it.
const NAME_MAX: usize = 249;

/// memfd_create(2): a file of memory without a name among files; the one it is given is checked and not kept. EINVAL: unknown
/// or contradicting flags, a name too long. ENOSYS: huge pages.
pub(super) fn memfd_create(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<1>();
    let exec = flags & (MFD_EXEC | MFD_NOEXEC_SEAL);
    let known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC;
    if flags & MFD_HUGETLB != 0 {
        return Err(Errno::ENOSYS);
    }
    if flags & !known != 0 || exec == MFD_EXEC | MFD_NOEXEC_SEAL {
        return Err(Errno::EINVAL);
    }
    let name = call.space().read_cstr(call.addr::<0>(), NAME_MAX + 1);
    name.map_err(|errno| match errno {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        other => other,
    })?;
    let memory = MemoryObject::sealable(call.kernel.memory);
    if flags & MFD_NOEXEC_SEAL != 0 {
        memory.add_seals(Seals::EXEC)?;
    } else if flags & MFD_ALLOW_SEALING == 0 {
        memory.add_seals(Seals::SEAL)?;
    }
    let permissions = if flags & MFD_NOEXEC_SEAL != 0 {
        0o666
    } else {
        0o777
    };
    let file = open(call, memory, permissions)?;
    let close_on_exec = flags & MFD_CLOEXEC != 0;
    let limit = call.descriptor_limit();
    let fd = call.files().insert(file, 0, limit, close_on_exec)?;
    Ok(Outcome::Done(fd as usize))
}

/// A file over `memory` that has no name.
fn open(call: &Call<'_>, memory: Arc<MemoryObject>, permissions: u32) -> Result<Arc<OpenFile>> {
    let clock = WallClock {
        machine: call.kernel.machine,
        clock: &call.kernel.clock,
    };
    let who = call.process().credentials();
    let metadata = Metadata {
        links: 0,
        ..Metadata::new(permissions, who.fsuid, who.fsgid, clock.now())
    };
    let node = Node::Regular(Arc::clone(&memory));
    let inode = Arc::new(Inode::new(FileSystemId::NAMELESS, node, metadata));
    let file = Arc::new(RegularFile::new(inode, memory, clock));
    OpenFile::new(file, OpenFlags::READ_WRITE | OpenFlags::LARGE_FILE)
}

/// F_GET_SEALS. EINVAL: not a file of a memory file system.
pub(super) fn seals(file: &OpenFile) -> Result<usize> {
    let memory = file.file().memory().map_err(|_| Errno::EINVAL)?;
    let on_ramfs = file
        .inode()
        .is_none_or(|inode| inode.file_system == FileSystemId::ROOT);
    if on_ramfs {
        return Err(Errno::EINVAL);
    }
    Ok(memory.seals().bits() as usize)
}

/// F_ADD_SEALS. What may be executed and shall stay so shall not be written to either: then [`Seals::EXEC`] brings the others
/// with it. EPERM: not open for writing, or sealed against further seals. EINVAL: unknown seals, or as [`seals`]. EBUSY.
pub(super) fn add_seals(file: &OpenFile, bits: u32) -> Result<usize> {
    const EXECUTABLE: u32 = 0o111;
    if !file.flags().writable() {
        return Err(Errno::EPERM);
    }
    let mut more = Seals::from_bits(bits).ok_or(Errno::EINVAL)?;
    let _ = seals(file)?;
    let permissions = file.inode().map_or(0, |inode| inode.metadata().permissions);
    if more.contains(Seals::EXEC) && permissions & EXECUTABLE != 0 {
        more |= Seals::SHRINK | Seals::GROW | Seals::NO_NEW_WRITES;
    }
    file.file().memory()?.add_seals(more)?;
    Ok(0)
}

#[cfg(not(loom))]
#[cfg(test)]
mod model_tests;
