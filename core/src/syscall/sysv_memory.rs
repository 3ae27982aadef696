//! shmget(2), shmat(2), shmdt(2), shmctl(2).

use halyard_abi::sysv::{
    IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, SHM_EXEC, SHM_HUGETLB, SHM_INFO, SHM_LOCK,
    SHM_NORESERVE, SHM_RDONLY, SHM_REMAP, SHM_RND, SHM_STAT, SHM_STAT_ANY, SHM_UNLOCK,
};

use super::sysv::{keeper, pair, perm, read_perm, request, seconds, to_show, who, write_status};
use super::{Answer, Call, DONE, Outcome};
use crate::ipc::sysv::permission::{EXECUTE, READ, WRITE};
use crate::ipc::sysv::shared_memory::{SHMMAX, Segment, pages};
use crate::ipc::sysv::table::Object;
use crate::machine::{Access, PAGE_SIZE, USER_END, UserAddr};
use crate::mm::{Backing, Label, MapRequest, Placement};
use crate::{Errno, Result};

/// `struct shmid64_ds` in words.
const STATUS_WORDS: usize = 14;

/// shmget(2).
pub(super) fn shmget(call: &mut Call<'_>) -> Answer {
    let (size, flags) = (call.size::<1>(), call.uint::<2>());
    let who = who(call);
    let request = request(call, flags, &who);
    let fits = |segment: &Segment| {
        if size > segment.size() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    };
    let kernel = call.kernel;
    let make = || {
        if size == 0 || size as u64 > SHMMAX || flags & SHM_HUGETLB != 0 {
            return Err(Errno::EINVAL);
        }
        // All segments together may be as large as the memory there is, unless a program says that it knows what it does.
        let limit = if flags & SHM_NORESERVE != 0 {
            usize::MAX
        } else {
            shmall(call)
        };
        if !kernel.sysv.claim_pages(pages(size), limit) {
            return Err(Errno::ENOSPC);
        }
        let header = request.header();
        Ok(Segment::new(header, size, kernel.memory, keeper(call)))
    };
    let segment = kernel.sysv.memory.get(&request, fits, make)?;
    Ok(Outcome::Done(segment.header().id() as usize))
}

/// The most pages of all segments together.
fn shmall(call: &Call<'_>) -> usize {
    call.kernel.memory.frames.total()
}

/// shmat(2).
pub(super) fn shmat(call: &mut Call<'_>) -> Answer {
    let flags = call.uint::<2>();
    let place = attach_place(call.addr::<1>(), flags)?;
    let segment = call.kernel.sysv.memory.find(call.int::<0>())?;
    let (mut access, mut rights) = (Access::READ, READ);
    if flags & SHM_RDONLY == 0 {
        access |= Access::WRITE;
        rights |= WRITE;
    }
    if flags & SHM_EXEC != 0 {
        access |= Access::EXECUTE;
        rights |= EXECUTE;
    }
    segment.header().permission.check(&who(call), rights)?;
    let mut max_access = Access::all();
    max_access.set(Access::WRITE, flags & SHM_RDONLY == 0);
    let length = pages(segment.size()).saturating_mul(PAGE_SIZE);
    if let Some(at) = place
        && at.0.checked_add(length).is_none_or(|end| end > USER_END)
    {
        return Err(Errno::EINVAL);
    }
    let request = MapRequest {
        placement: match place {
            None => Placement::Hint(UserAddr(0)),
            Some(at) if flags & SHM_REMAP != 0 => Placement::Fixed(at),
            Some(at) => Placement::FixedIfFree(at),
        },
        max_access,
        backing: Backing::Shared(segment.object().clone(), 0),
        label: Label::Counted(segment.attach()?),
        ..MapRequest::anonymous(length, access)
    };
    let at = call.space().map(request).map_err(|errno| match errno {
        Errno::EEXIST => Errno::EINVAL,
        other => other,
    })?;
    Ok(Outcome::Done(at.0))
}

/// Where it is to be attached; None: anywhere. What SHM_RND rounds down to 0 is meant to be there. EINVAL: not on a page, or
/// nowhere in particular with SHM_REMAP.
fn attach_place(at: UserAddr, flags: u32) -> Result<Option<UserAddr>> {
    let anywhere = at.0 == 0;
    let within = at.0 % PAGE_SIZE;
    if within != 0 && flags & SHM_RND == 0 {
        return Err(Errno::EINVAL);
    }
    let at = at.0 - within;
    if at == 0 && flags & SHM_REMAP != 0 {
        return Err(Errno::EINVAL);
    }
    Ok((!anywhere).then_some(UserAddr(at)))
}

/// shmdt(2).
pub(super) fn shmdt(call: &mut Call<'_>) -> Answer {
    call.space().detach(call.addr::<0>())?;
    DONE
}

/// shmctl(2).
pub(super) fn shmctl(call: &mut Call<'_>) -> Answer {
    let (id, command) = (call.int::<0>(), call.uint::<1>());
    match command {
        IPC_INFO => limits(call),
        SHM_INFO => uses(call),
        IPC_STAT | SHM_STAT | SHM_STAT_ANY => show(call, command),
        IPC_SET => set(call, id),
        IPC_RMID => remove(call, id),
        SHM_LOCK | SHM_UNLOCK => {
            let segment = call.kernel.sysv.memory.find(id)?;
            segment.header().permission.check_owner(&who(call))?;
            segment.set_locked(command == SHM_LOCK);
            DONE
        }
        _ => Err(Errno::EINVAL),
    }
}

fn remove(call: &Call<'_>, id: i32) -> Answer {
    let table = &call.kernel.sysv.memory;
    let segment = table.find(id)?;
    segment.header().permission.check_owner(&who(call))?;
    table.forget_key(id);
    if segment.doom() {
        drop(table.remove(id));
    }
    DONE
}

fn show(call: &Call<'_>, command: u32) -> Answer {
    let table = &call.kernel.sysv.memory;
    let any = command == SHM_STAT_ANY;
    let by_place = command != IPC_STAT;
    let (segment, result) = to_show(table, &who(call), call.int::<0>(), by_place, any)?;
    let status = segment.status();
    let rest: [u64; STATUS_WORDS - 6] = [
        status.size as u64,
        seconds(status.attach_time),
        seconds(status.detach_time),
        seconds(status.changed),
        pair(status.creator, status.last),
        status.attached as u64,
        0,
        0,
    ];
    let perm = perm(segment.header(), &status.ownership);
    write_status(call, call.addr::<2>(), perm, rest)?;
    Ok(Outcome::Done(result))
}

fn set(call: &Call<'_>, id: i32) -> Answer {
    let words: [u64; STATUS_WORDS] = call.space().read_user(call.addr::<2>())?;
    let segment = call.kernel.sysv.memory.find(id)?;
    segment.header().permission.check_owner(&who(call))?;
    let (uid, gid, mode) = read_perm(&words);
    segment.header().permission.set(uid, gid, mode)?;
    segment.set_changed(call.kernel.wall_clock());
    DONE
}

fn limits(call: &Call<'_>) -> Answer {
    let table = &call.kernel.sysv.memory;
    let limit = table.limit() as u64;
    let words: [u64; 9] = [SHMMAX, 1, limit, limit, shmall(call) as u64, 0, 0, 0, 0];
    call.space().write_user(call.addr::<2>(), &words)?;
    Ok(Outcome::Done(table.highest()))
}

fn uses(call: &Call<'_>) -> Answer {
    let table = &call.kernel.sysv.memory;
    let mut resident = 0;
    table.for_each(|segment| resident += segment.object().resident_pages() as u64);
    let total = call.kernel.sysv.pages() as u64;
    let words: [u64; 6] = [table.used() as u64, total, resident, 0, 0, 0];
    call.space().write_user(call.addr::<2>(), &words)?;
    Ok(Outcome::Done(table.highest()))
}
