//! Who the caller acts as (credentials(7)): reading and changing user and group ids.
//!
//! Ids belong to the process, not to the thread: a C library's set*id already does it for all threads.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Answer, Call, DONE, Outcome};
use crate::machine::UserAddr;
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// The value that leaves an id as it is.
const KEEP: u32 = u32::MAX;
/// NGROUPS_MAX, limits.h.
const MAX_GROUPS: usize = 65536;

/// getuid(2).
pub(super) fn getuid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(call.process().credentials().uid as usize))
}

/// geteuid(2).
pub(super) fn geteuid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(call.process().credentials().euid as usize))
}

/// getgid(2).
pub(super) fn getgid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(call.process().credentials().gid as usize))
}

/// getegid(2).
pub(super) fn getegid(call: &mut Call<'_>) -> Answer {
    Ok(Outcome::Done(call.process().credentials().egid as usize))
}

/// Replaces the caller's ids by what `change` makes of them.
fn change(call: &Call<'_>, change: impl FnOnce(&mut Credentials) -> Result<()>) -> Answer {
    let mut new = Credentials::clone(&call.process().credentials());
    change(&mut new)?;
    let old = core::mem::replace(&mut *call.process().credentials.lock(), Arc::new(new));
    drop(old);
    DONE
}

/// EPERM unless `id` is to be kept, is one of `own`, or the caller is privileged.
fn permit(privileged: bool, id: u32, own: &[u32]) -> Result<()> {
    if privileged || id == KEEP || own.contains(&id) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

fn set(slot: &mut u32, id: u32) {
    if id != KEEP {
        *slot = id;
    }
}

/// setuid(2).
pub(super) fn setuid(call: &mut Call<'_>) -> Answer {
    let id = call.uint::<0>();
    change(call, |ids| {
        if id == KEEP {
            return Err(Errno::EINVAL);
        }
        if ids.privileged() {
            (ids.uid, ids.suid) = (id, id);
        } else {
            permit(false, id, &[ids.uid, ids.suid])?;
        }
        (ids.euid, ids.fsuid) = (id, id);
        Ok(())
    })
}

/// setgid(2).
pub(super) fn setgid(call: &mut Call<'_>) -> Answer {
    let id = call.uint::<0>();
    change(call, |ids| {
        if id == KEEP {
            return Err(Errno::EINVAL);
        }
        if ids.privileged() {
            (ids.gid, ids.sgid) = (id, id);
        } else {
            permit(false, id, &[ids.gid, ids.sgid])?;
        }
        (ids.egid, ids.fsgid) = (id, id);
        Ok(())
    })
}

/// setreuid(2).
pub(super) fn setreuid(call: &mut Call<'_>) -> Answer {
    let (real, effective) = (call.uint::<0>(), call.uint::<1>());
    change(call, |ids| {
        permit(ids.privileged(), real, &[ids.uid, ids.euid])?;
        permit(ids.privileged(), effective, &[ids.uid, ids.euid, ids.suid])?;
        let before = ids.uid;
        set(&mut ids.uid, real);
        set(&mut ids.euid, effective);
        if real != KEEP || (effective != KEEP && effective != before) {
            ids.suid = ids.euid;
        }
        ids.fsuid = ids.euid;
        Ok(())
    })
}

/// setregid(2).
pub(super) fn setregid(call: &mut Call<'_>) -> Answer {
    let (real, effective) = (call.uint::<0>(), call.uint::<1>());
    change(call, |ids| {
        permit(ids.privileged(), real, &[ids.gid, ids.egid])?;
        permit(ids.privileged(), effective, &[ids.gid, ids.egid, ids.sgid])?;
        let before = ids.gid;
        set(&mut ids.gid, real);
        set(&mut ids.egid, effective);
        if real != KEEP || (effective != KEEP && effective != before) {
            ids.sgid = ids.egid;
        }
        ids.fsgid = ids.egid;
        Ok(())
    })
}

/// setresuid(2).
pub(super) fn setresuid(call: &mut Call<'_>) -> Answer {
    let asked = [call.uint::<0>(), call.uint::<1>(), call.uint::<2>()];
    change(call, |ids| {
        let own = [ids.uid, ids.euid, ids.suid];
        asked
            .iter()
            .try_for_each(|id| permit(ids.privileged(), *id, &own))?;
        set(&mut ids.uid, asked[0]);
        set(&mut ids.euid, asked[1]);
        set(&mut ids.suid, asked[2]);
        ids.fsuid = ids.euid;
        Ok(())
    })
}

/// setresgid(2).
pub(super) fn setresgid(call: &mut Call<'_>) -> Answer {
    let asked = [call.uint::<0>(), call.uint::<1>(), call.uint::<2>()];
    change(call, |ids| {
        let own = [ids.gid, ids.egid, ids.sgid];
        asked
            .iter()
            .try_for_each(|id| permit(ids.privileged(), *id, &own))?;
        set(&mut ids.gid, asked[0]);
        set(&mut ids.egid, asked[1]);
        set(&mut ids.sgid, asked[2]);
        ids.fsgid = ids.egid;
        Ok(())
    })
}

/// getresuid(2).
pub(super) fn getresuid(call: &mut Call<'_>) -> Answer {
    let ids = call.process().credentials();
    store_three(call, [ids.uid, ids.euid, ids.suid])
}

/// getresgid(2).
pub(super) fn getresgid(call: &mut Call<'_>) -> Answer {
    let ids = call.process().credentials();
    store_three(call, [ids.gid, ids.egid, ids.sgid])
}

fn store_three(call: &Call<'_>, ids: [u32; 3]) -> Answer {
    let [real, effective, saved] = ids;
    call.space().write_user(call.addr::<0>(), &real)?;
    call.space().write_user(call.addr::<1>(), &effective)?;
    call.space().write_user(call.addr::<2>(), &saved)?;
    DONE
}

/// getgroups(2).
pub(super) fn getgroups(call: &mut Call<'_>) -> Answer {
    let ids = call.process().credentials();
    let room = usize::try_from(call.int::<0>()).map_err(|_| Errno::EINVAL)?;
    if room != 0 {
        if room < ids.groups.len() {
            return Err(Errno::EINVAL);
        }
        for (at, group) in ids.groups.iter().enumerate() {
            call.space()
                .write_user(UserAddr(call.addr::<1>().0.wrapping_add(at * 4)), group)?;
        }
    }
    Ok(Outcome::Done(ids.groups.len()))
}

/// setgroups(2).
pub(super) fn setgroups(call: &mut Call<'_>) -> Answer {
    let count = call.size::<0>();
    if !call.process().credentials().privileged() {
        return Err(Errno::EPERM);
    }
    if count > MAX_GROUPS {
        return Err(Errno::EINVAL);
    }
    let mut groups = Vec::new();
    groups.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for at in 0..count {
        groups.push(
            call.space()
                .read_user::<u32>(UserAddr(call.addr::<1>().0.wrapping_add(at * 4)))?,
        );
    }
    change(call, |ids| {
        ids.groups = groups;
        Ok(())
    })
}
