//! What the calls of System V IPC have in common.

use alloc::sync::Arc;

use halyard_abi::sysv::IPC_PRIVATE;

use super::Call;
use crate::Result;
use crate::ipc::sysv::permission::Ownership;
use crate::ipc::sysv::table::{Header, Object, Request, Table};
use crate::ipc::sysv::{Keeper, Stamp};
use crate::machine::UserAddr;
use crate::process::credentials::Credentials;
use crate::time::NANOS_PER_SECOND;

const _: () = assert!(IPC_PRIVATE == 0);

/// `struct ipc64_perm` in words.
pub(super) const PERM_WORDS: usize = 6;

/// The caller's credentials.
pub(super) fn who(call: &Call<'_>) -> Arc<Credentials> {
    call.process().credentials()
}

/// The caller and the time.
pub(super) fn stamp(call: &Call<'_>) -> Stamp {
    Stamp {
        pid: call.process().pid,
        time: call.kernel.wall_clock(),
    }
}

/// There is room for one more thing that stays when its maker ends. ENOMEM.
pub(super) fn has_room(call: &Call<'_>) -> Result<()> {
    Ok(call.kernel.memory.frames.room().for_lasting()?)
}

/// The kernel, as objects know it.
pub(super) fn keeper(call: &Call<'_>) -> &'static dyn Keeper {
    call.kernel
}

/// The arguments of a *get call: key in argument 0, `flags`.
pub(super) fn request<'a>(call: &Call<'_>, flags: u32, who: &'a Credentials) -> Request<'a> {
    Request {
        key: call.int::<0>(),
        flags,
        who,
    }
}

/// Nanoseconds as the seconds that programs see.
pub(super) const fn seconds(nanos: u64) -> u64 {
    nanos / NANOS_PER_SECOND
}

/// Two 32-bit fields as the word that they are in.
pub(super) const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// `struct ipc64_perm`.
pub(super) fn perm(header: &Header, ownership: &Ownership) -> [u64; PERM_WORDS] {
    [
        pair(ownership.key as u32, ownership.uid),
        pair(ownership.gid, ownership.cuid),
        pair(ownership.cgid, ownership.mode),
        u64::from(header.generation()),
        0,
        0,
    ]
}

/// uid, gid and mode of the `struct ipc64_perm` at the beginning of what argument `N` points at (IPC_SET).
pub(super) fn read_perm<const WORDS: usize>(words: &[u64; WORDS]) -> (u32, u32, u32) {
    let word = |at: usize| words.get(at).copied().unwrap_or(0);
    (
        (word(0) >> 32) as u32,
        word(1) as u32,
        (word(2) >> 32) as u32,
    )
}

/// A structure as words: a permission and what comes after it.
pub(super) fn write_status<const REST: usize>(
    call: &Call<'_>,
    at: UserAddr,
    perm: [u64; PERM_WORDS],
    rest: [u64; REST],
) -> Result<()> {
    call.space().write_user(at, &perm)?;
    let behind = UserAddr(at.0.wrapping_add(size_of_val(&perm)));
    call.space().write_user(behind, &rest)
}

/// The object of *_STAT and *_STAT_ANY, which name its place and return its id, or of IPC_STAT. EINVAL; EACCES: the caller may not read it, unless `any`.
pub(super) fn to_show<T: Object>(
    table: &Table<T>,
    who: &Credentials,
    number: i32,
    by_place: bool,
    any: bool,
) -> Result<(Arc<T>, usize)> {
    let object = if by_place {
        table.at(number)?
    } else {
        table.find(number)?
    };
    if !any {
        let permission = &object.header().permission;
        permission.check(who, crate::ipc::sysv::permission::READ)?;
    }
    let result = if by_place { object.header().id() } else { 0 };
    Ok((object, usize::try_from(result).unwrap_or(0)))
}
