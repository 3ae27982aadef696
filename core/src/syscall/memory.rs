//! Calls on the caller's address space.

use alloc::sync::Arc;

use super::{Answer, Call, DONE, Outcome};
use crate::machine::{Access, PAGE_SIZE, UserAddr};
use crate::mm::{Backing, Label, MapRequest, MemoryObject, Placement};
use crate::{Errno, Result};

const MAP_SHARED: u32 = 1;
const MAP_PRIVATE: u32 = 2;
const MAP_SHARED_VALIDATE: u32 = 3;
const MAP_TYPE: u32 = 15;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;
const PROT_GROWS: u32 = 0x0300_0000;

/// PROT_* as access. EINVAL: unknown bits.
fn access(bits: u32) -> Result<Access> {
    u8::try_from(bits)
        .ok()
        .and_then(Access::from_bits)
        .ok_or(Errno::EINVAL)
}

/// mmap(2).
pub(super) fn mmap(call: &mut Call<'_>) -> Answer {
    let (length, flags, offset) = (call.size::<1>(), call.uint::<3>(), call.arg::<5>());
    let access = access(call.uint::<2>())?;
    if offset % PAGE_SIZE as u64 != 0 || length == 0 {
        return Err(Errno::EINVAL);
    }
    let shared = match flags & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED | MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    let (backing, max_access, label) = if flags & MAP_ANONYMOUS != 0 {
        (anonymous(call, shared, length), Access::all(), Label::None)
    } else {
        file_backing(call, shared, access, offset / PAGE_SIZE as u64)?
    };
    let at = call.addr::<0>();
    let placement = if flags & MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedIfFree(at)
    } else if flags & MAP_FIXED != 0 {
        Placement::Fixed(at)
    } else {
        Placement::Hint(at)
    };
    let request = MapRequest {
        placement,
        length,
        access,
        max_access,
        backing,
        label,
    };
    call.space().map(request).map(|at| Outcome::Done(at.0))
}

fn anonymous(call: &Call<'_>, shared: bool, length: usize) -> Backing {
    if shared {
        let size = length.next_multiple_of(PAGE_SIZE) as u64;
        Backing::Shared(MemoryObject::new(call.kernel.memory, size), 0)
    } else {
        Backing::Anonymous
    }
}

/// What a mapping of the file of argument 4 is over, and what it may become. EBADF, ENODEV, EACCES, EOVERFLOW.
fn file_backing(
    call: &Call<'_>,
    shared: bool,
    access: Access,
    first: u64,
) -> Result<(Backing, Access, Label)> {
    let file = call.file::<4>()?;
    let flags = file.flags();
    if !flags.readable() || (shared && access.contains(Access::WRITE) && !flags.writable()) {
        return Err(Errno::EACCES);
    }
    let object = file.file().memory()?;
    let mut max_access = Access::all();
    max_access.set(Access::WRITE, !shared || flags.writable());
    let backing = if shared {
        Backing::Shared(object, first)
    } else {
        Backing::Private(object, first)
    };
    Ok((backing, max_access, Label::None))
}

/// munmap(2).
pub(super) fn munmap(call: &mut Call<'_>) -> Answer {
    call.space().unmap(call.addr::<0>(), call.size::<1>())?;
    DONE
}

/// mprotect(2). PROT_GROWSDOWN and PROT_GROWSUP are EINVAL: nothing grows.
pub(super) fn mprotect(call: &mut Call<'_>) -> Answer {
    let bits = call.uint::<2>();
    if bits & PROT_GROWS != 0 {
        return Err(Errno::EINVAL);
    }
    call.space()
        .protect(call.addr::<0>(), call.size::<1>(), access(bits)?)?;
    DONE
}

/// brk(2), as the system call: returns where the end is then.
pub(super) fn brk(call: &mut Call<'_>) -> Answer {
    let end = call.space().set_heap_end(call.addr::<0>());
    Ok(Outcome::Done(end.0))
}

/// mremap(2), without MREMAP_FIXED and MREMAP_DONTUNMAP, which are EINVAL.
pub(super) fn mremap(call: &mut Call<'_>) -> Answer {
    const MREMAP_MAYMOVE: u32 = 1;
    let (old, new, flags) = (call.size::<1>(), call.size::<2>(), call.uint::<3>());
    if flags & !MREMAP_MAYMOVE != 0 || new == 0 || old == 0 {
        return Err(Errno::EINVAL);
    }
    let space = Arc::clone(call.space());
    space
        .resize(call.addr::<0>(), old, new, flags & MREMAP_MAYMOVE != 0)
        .map(|at| Outcome::Done(at.0))
}

/// madvise(2): MADV_DONTNEED and MADV_FREE forget; other advice that Linux knows is taken and changes nothing.
pub(super) fn madvise(call: &mut Call<'_>) -> Answer {
    const MADV_DONTNEED: i32 = 4;
    const MADV_FREE: i32 = 8;
    match call.int::<2>() {
        MADV_DONTNEED | MADV_FREE => call.space().discard(call.addr::<0>(), call.size::<1>())?,
        0..=3 | 10..=21 => check_mapped(call)?,
        _ => return Err(Errno::EINVAL),
    }
    DONE
}

/// ENOMEM unless all of the range of arguments 0 and 1 is mapped.
fn check_mapped(call: &Call<'_>) -> Result<()> {
    if call.space().is_mapped(call.addr::<0>(), call.size::<1>())? {
        Ok(())
    } else {
        Err(Errno::ENOMEM)
    }
}

/// msync(2): files are memory, so they are always in step.
pub(super) fn msync(call: &mut Call<'_>) -> Answer {
    const MS_ASYNC: u32 = 1;
    const MS_INVALIDATE: u32 = 2;
    const MS_SYNC: u32 = 4;
    let flags = call.uint::<2>();
    let known = flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) == 0;
    if !known || flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC {
        return Err(Errno::EINVAL);
    }
    check_mapped(call)?;
    DONE
}

/// mlock(2), munlock(2), mlock2(2): nothing is ever swapped out, so all memory is locked as far as a program can tell.
pub(super) fn mlock(call: &mut Call<'_>) -> Answer {
    let at = call.addr::<0>();
    let start = UserAddr(at.0 & !(PAGE_SIZE - 1));
    let length = call.size::<1>().saturating_add(at.0 - start.0);
    if call.space().is_mapped(start, length)? {
        DONE
    } else {
        Err(Errno::ENOMEM)
    }
}

/// mlockall(2), munlockall(2): as [`mlock`].
pub(super) fn mlockall(_: &mut Call<'_>) -> Answer {
    DONE
}
