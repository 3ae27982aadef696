//! Calls on the caller's address space. What may touch many pages is done in pieces, with pauses.

use alloc::sync::Arc;

use super::{Answer, Call, DONE, Outcome};
use crate::machine::{Access, PAGE_SIZE, USER_END, UserAddr};
use crate::mm::{AddressSpace, Backing, MapRequest, MemoryObject, Move, Placement, Seals};
use crate::process::thread::Killable;
use crate::wait::pause::{PIECE_PAGES, pause};
use crate::{Errno, Result};

const MAP_SHARED: u32 = 1;
const MAP_PRIVATE: u32 = 2;
const MAP_SHARED_VALIDATE: u32 = 3;
const MAP_TYPE: u32 = 15;
const MAP_FIXED: u32 = 0x10;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_GROWSDOWN: u32 = 0x100;
const MAP_LOCKED: u32 = 0x2000;
const MAP_NORESERVE: u32 = 0x4000;
const MAP_POPULATE: u32 = 0x8000;
const MAP_FIXED_NOREPLACE: u32 = 0x10_0000;
/// Flags that may stand beside MAP_SHARED_VALIDATE: those above, and MAP_DENYWRITE, MAP_EXECUTABLE, MAP_NONBLOCK, MAP_STACK,
/// MAP_HUGETLB, which change nothing.
const MAP_KNOWN: u32 = 0x17_f93f;
const PROT_GROWS: u32 = 0x0300_0000;

/// The most that one call fills in advance, so that it ends soon: what is left is filled when it is touched.
const POPULATE_MAX: usize = 1024 * PAGE_SIZE;

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
    if !offset.is_multiple_of(PAGE_SIZE as u64) || length == 0 {
        return Err(Errno::EINVAL);
    }
    let shared = match flags & MAP_TYPE {
        MAP_PRIVATE => false,
        MAP_SHARED => true,
        MAP_SHARED_VALIDATE if flags & !MAP_KNOWN == 0 => true,
        MAP_SHARED_VALIDATE => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    // What cannot be stored to costs nothing, so only what can must fit into RAM (as Linux accounts).
    let unreserved = flags & MAP_NORESERVE != 0 || !access.contains(Access::WRITE);
    let (backing, max_access) = if flags & MAP_ANONYMOUS != 0 {
        (anonymous(call, shared, length, unreserved)?, Access::all())
    } else {
        file_backing(call, shared, access, offset / PAGE_SIZE as u64)?
    };
    if flags & MAP_GROWSDOWN != 0 && backing.object().is_some() {
        // What grows has nothing in front of its first page to grow into.
        return Err(Errno::EINVAL);
    }
    let request = MapRequest {
        placement: placement(call.addr::<0>(), flags),
        max_access,
        backing,
        grows_down: flags & MAP_GROWSDOWN != 0,
        unreserved,
        ..MapRequest::anonymous(length, access)
    };
    let at = call.space().map(request)?;
    if flags & (MAP_POPULATE | MAP_LOCKED) != 0 {
        // As far as it goes: mmap(2) does not fail for it.
        let _ = call.space().populate(at, length.min(POPULATE_MAX));
    }
    Ok(Outcome::Done(at.0))
}

fn placement(at: UserAddr, flags: u32) -> Placement {
    if flags & MAP_FIXED_NOREPLACE != 0 {
        Placement::FixedIfFree(at)
    } else if flags & MAP_FIXED != 0 {
        Placement::Fixed(at)
    } else {
        Placement::Hint(at)
    }
}

/// What an anonymous mapping is over. ENOMEM: it could not be filled with all the RAM there is.
fn anonymous(call: &Call<'_>, shared: bool, length: usize, unreserved: bool) -> Result<Backing> {
    if !shared {
        return Ok(Backing::Anonymous);
    }
    let memory = call.kernel.memory;
    let size = length
        .checked_next_multiple_of(PAGE_SIZE)
        .ok_or(Errno::ENOMEM)?;
    if !unreserved && size / PAGE_SIZE > memory.frames.total() {
        return Err(Errno::ENOMEM);
    }
    Ok(Backing::Shared(MemoryObject::new(memory, size as u64), 0))
}

/// What a mapping of the file of argument 4 is over, and what it may become. EBADF, ENODEV, EACCES.
fn file_backing(
    call: &Call<'_>,
    shared: bool,
    access: Access,
    first: u64,
) -> Result<(Backing, Access)> {
    let file = call.file::<4>()?;
    let flags = file.flags();
    if !flags.readable() || (shared && access.contains(Access::WRITE) && !flags.writable()) {
        return Err(Errno::EACCES);
    }
    let object = file.file().memory()?;
    let sealed = object.seals().intersects(Seals::NO_NEW_WRITES);
    if shared && sealed && access.contains(Access::WRITE) {
        return Err(Errno::EPERM);
    }
    let mut max_access = Access::all();
    max_access.set(Access::WRITE, !shared || (flags.writable() && !sealed));
    let backing = if shared {
        Backing::Shared(object, first)
    } else {
        Backing::Private(object, first)
    };
    Ok((backing, max_access))
}

/// munmap(2).
pub(super) fn munmap(call: &mut Call<'_>) -> Answer {
    let end = end_of(call.addr::<0>(), call.size::<1>());
    let piece = move |space: &AddressSpace, from: UserAddr| {
        space.unmap_piece(from, end.wrapping_sub(from.0))
    };
    in_pieces(call, piece, |_| Ok(0))
}

/// The address behind `length` bytes at `start`; what wraps around is refused by those who check.
fn end_of(start: UserAddr, length: usize) -> usize {
    start.0.wrapping_add(length)
}

/// Does `piece` on the caller's memory from argument 0 on until it has nothing left, with pauses, which only the end of the
/// process ends early; then `end`.
fn in_pieces(
    call: &mut Call<'_>,
    piece: impl Fn(&AddressSpace, UserAddr) -> Result<Option<UserAddr>> + Send + 'static,
    end: impl FnOnce(&AddressSpace) -> Result<usize> + Send + 'static,
) -> Answer {
    let Some(mut next) = piece(call.space(), call.addr::<0>())? else {
        return end(call.space()).map(Outcome::Done);
    };
    let space = Arc::clone(call.space());
    let thread = Killable(Arc::clone(call.thread()));
    call.wait(async move {
        loop {
            pause(&thread).await.map_err(|why| why.errno())?;
            match piece(&space, next)? {
                Some(further) => next = further,
                None => return end(&space),
            }
        }
    })
}

/// mprotect(2). PROT_GROWSDOWN and PROT_GROWSUP are EINVAL: nothing grows.
pub(super) fn mprotect(call: &mut Call<'_>) -> Answer {
    let bits = call.uint::<2>();
    if bits & PROT_GROWS != 0 {
        return Err(Errno::EINVAL);
    }
    let access = access(bits)?;
    let end = end_of(call.addr::<0>(), call.size::<1>());
    let piece = move |space: &AddressSpace, from: UserAddr| {
        space.protect_piece(from, end.wrapping_sub(from.0), access)
    };
    in_pieces(call, piece, |_| Ok(0))
}

/// brk(2), as the system call: returns where the end is then.
pub(super) fn brk(call: &mut Call<'_>) -> Answer {
    let end = call.space().set_heap_end(call.addr::<0>());
    Ok(Outcome::Done(end.0))
}

/// mremap(2), without MREMAP_DONTUNMAP and without an old length of 0, which are EINVAL.
pub(super) fn mremap(call: &mut Call<'_>) -> Answer {
    const MREMAP_MAYMOVE: u32 = 1;
    const MREMAP_FIXED: u32 = 2;
    let (old, new, flags) = (call.size::<1>(), call.size::<2>(), call.uint::<3>());
    let to = match flags {
        0 => Move::No,
        MREMAP_MAYMOVE => Move::May,
        _ if flags == MREMAP_MAYMOVE | MREMAP_FIXED => Move::To(call.addr::<4>()),
        _ => return Err(Errno::EINVAL),
    };
    call.space()
        .resize(call.addr::<0>(), old, new, to)
        .map(|at| Outcome::Done(at.0))
}

/// madvise(2): MADV_DONTNEED and MADV_FREE forget; advice about caching, huge pages and dumps changes nothing. Advice that would
/// have to change what fork does is EINVAL.
pub(super) fn madvise(call: &mut Call<'_>) -> Answer {
    const MADV_DONTNEED: i32 = 4;
    const MADV_FREE: i32 = 8;
    let (start, length) = (call.addr::<0>(), call.size::<1>());
    match call.int::<2>() {
        MADV_DONTNEED => return discard(call),
        MADV_FREE if call.space().is_anonymous(start, length) => return discard(call),
        // MADV_NORMAL to MADV_WILLNEED; DOFORK; HUGEPAGE to DODUMP; KEEPONFORK to PAGEOUT (asm-generic/mman-common.h).
        0..=3 | 11 | 14..=17 | 19..=21 => check_mapped(call)?,
        _ => return Err(Errno::EINVAL),
    }
    DONE
}

/// Forgets the range of arguments 0 and 1. ENOMEM: part of it is not mapped.
fn discard(call: &mut Call<'_>) -> Answer {
    let (start, length) = (call.addr::<0>(), call.size::<1>());
    let end = end_of(start, length);
    let piece = move |space: &AddressSpace, from: UserAddr| {
        space.discard_piece(from, end.wrapping_sub(from.0))
    };
    in_pieces(call, piece, move |space| {
        if space.is_mapped(start, length)? {
            Ok(0)
        } else {
            Err(Errno::ENOMEM)
        }
    })
}

/// mincore(2): one byte a page, 1 for those that are in memory. EINVAL: misaligned. ENOMEM: not all is mapped. EFAULT.
pub(super) fn mincore(call: &mut Call<'_>) -> Answer {
    /// Pages told of at once.
    const CHUNK: usize = 64;
    let (start, to) = (call.addr::<0>(), call.addr::<2>());
    if !start.0.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let end = start.0.checked_add(call.size::<1>());
    let end = end.filter(|end| *end <= USER_END).ok_or(Errno::ENOMEM)?;
    let piece = move |space: &AddressSpace, UserAddr(from): UserAddr| {
        let until = end.min(from.saturating_add(PIECE_PAGES * PAGE_SIZE));
        for at in (from..until).step_by(CHUNK * PAGE_SIZE) {
            let mut chunk = [0; CHUNK];
            let pages = (until - at).div_ceil(PAGE_SIZE).min(CHUNK);
            let chunk = chunk.get_mut(..pages).unwrap_or_default();
            space.residency(UserAddr(at), chunk)?;
            let done = (at - start.0) / PAGE_SIZE;
            space.write_bytes(UserAddr(to.0.wrapping_add(done)), chunk)?;
        }
        Ok((until < end).then_some(UserAddr(until)))
    };
    in_pieces(call, piece, |_| Ok(0))
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

/// mlock(2), mlock2(2): nothing is ever swapped out, so what has been filled stays. ENOMEM: not all is mapped, or no memory is
/// left.
pub(super) fn mlock(call: &mut Call<'_>) -> Answer {
    let (start, length) = touched_pages(call);
    if !call.space().is_mapped(start, length)? {
        return Err(Errno::ENOMEM);
    }
    let filled = call.space().populate(start, length.min(POPULATE_MAX));
    filled.map_err(|_| Errno::ENOMEM)?;
    DONE
}

/// munlock(2). ENOMEM: not all is mapped.
pub(super) fn munlock(call: &mut Call<'_>) -> Answer {
    let (start, length) = touched_pages(call);
    if call.space().is_mapped(start, length)? {
        DONE
    } else {
        Err(Errno::ENOMEM)
    }
}

/// The whole pages of the range of arguments 0 and 1.
fn touched_pages(call: &Call<'_>) -> (UserAddr, usize) {
    let at = call.addr::<0>();
    let start = UserAddr(at.0 & !(PAGE_SIZE - 1));
    (start, call.size::<1>().saturating_add(at.0 - start.0))
}

/// mlockall(2): as [`mlock`], but pages are left to be filled when they are touched. EINVAL: flags.
pub(super) fn mlockall(call: &mut Call<'_>) -> Answer {
    const MCL_ALL: i32 = 7;
    const MCL_ONFAULT: i32 = 4;
    match call.int::<0>() {
        0 | MCL_ONFAULT => Err(Errno::EINVAL),
        flags if flags & !MCL_ALL != 0 => Err(Errno::EINVAL),
        _ => DONE,
    }
}

/// munlockall(2).
pub(super) fn munlockall(_: &mut Call<'_>) -> Answer {
    DONE
}
