//! Who may do what with an object (svipc(7), "struct ipc_perm"). Words that are read without a lock.

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// All may read.
pub const READ: u32 = 0o444;
/// All may write, or change semaphores.
pub const WRITE: u32 = 0o222;
/// All may execute.
pub const EXECUTE: u32 = 0o111;
/// The bits of a mode that say who may what.
pub const MODE: u32 = 0o777;

/// Key, owner, creator and mode of an object.
#[derive(Debug)]
pub struct Permission {
    /// 0: none, or not any more.
    key: AtomicI32,
    uid: AtomicU32,
    gid: AtomicU32,
    cuid: u32,
    cgid: u32,
    mode: AtomicU32,
}

/// What a [`Permission`] says at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The key; 0: none.
    pub key: i32,
    /// Owner.
    pub uid: u32,
    /// Owner's group.
    pub gid: u32,
    /// Creator.
    pub cuid: u32,
    /// Creator's group.
    pub cgid: u32,
    /// Mode bits.
    pub mode: u32,
}

impl Permission {
    /// Of an object that `who` makes.
    #[must_use]
    pub fn new(key: i32, mode: u32, who: &Credentials) -> Permission {
        Permission {
            key: AtomicI32::new(key),
            uid: AtomicU32::new(who.euid),
            gid: AtomicU32::new(who.egid),
            cuid: who.euid,
            cgid: who.egid,
            mode: AtomicU32::new(mode & MODE),
        }
    }

    /// Whether `who` has the rights that `wanted` has set for anybody: [`READ`], [`WRITE`], or the mode of a *get call. EACCES.
    #[inline]
    pub fn check(&self, who: &Credentials, wanted: u32) -> Result<()> {
        if who.privileged() || self.allows(who, wanted) {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }

    fn allows(&self, who: &Credentials, wanted: u32) -> bool {
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
        let mode = self.mode.load(Ordering::Relaxed);
        let granted = if self.is_owner(who) {
            mode >> 6
        } else if who.in_group(self.cgid) || who.in_group(self.gid.load(Ordering::Relaxed)) {
            mode >> 3
        } else {
            mode
        };
        wanted & !granted == 0
    }

    fn is_owner(&self, who: &Credentials) -> bool {
        who.euid == self.cuid || who.euid == self.uid.load(Ordering::Relaxed)
    }

    /// Whether `who` may change or remove the object: its owner, its creator, the privileged. EPERM.
    pub fn check_owner(&self, who: &Credentials) -> Result<()> {
        if who.privileged() || self.is_owner(who) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// IPC_SET. EINVAL: no such user or group can be.
    pub fn set(&self, uid: u32, gid: u32, mode: u32) -> Result<()> {
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        self.uid.store(uid, Ordering::Relaxed);
        self.gid.store(gid, Ordering::Relaxed);
        self.mode.store(mode & MODE, Ordering::Relaxed);
        Ok(())
    }

    /// It is found by its key no more.
    pub(super) fn clear_key(&self) {
        self.key.store(0, Ordering::Relaxed);
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> i32 {
        self.key.load(Ordering::Relaxed)
    }

    /// What it says now.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        Ownership {
            key: self.key(),
            uid: self.uid.load(Ordering::Relaxed),
            gid: self.gid.load(Ordering::Relaxed),
            cuid: self.cuid,
            cgid: self.cgid,
            mode: self.mode.load(Ordering::Relaxed),
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn user(id: u32) -> Credentials {
        Credentials {
            uid: id,
            euid: id,
            egid: id,
            fsgid: id,
            ..Credentials::default()
        }
    }

    #[test]
    fn check_takes_the_first_class_that_fits() {
        let permission = Permission::new(1, 0o064, &user(10));
        assert_eq!(permission.check(&user(10), READ), Err(Errno::EACCES));
        let mut relative = user(11);
        relative.groups = vec![10];
        assert_eq!(permission.check(&relative, READ | WRITE), Ok(()));
        assert_eq!(permission.check(&user(12), READ), Ok(()));
        assert_eq!(permission.check(&user(12), WRITE), Err(Errno::EACCES));
        assert_eq!(permission.check(&Credentials::root(), WRITE), Ok(()));
    }

    #[test]
    fn check_of_a_mode_asks_for_any_bit_of_it() {
        let permission = Permission::new(1, 0o600, &user(10));
        assert_eq!(permission.check(&user(10), 0o606), Ok(()));
        assert_eq!(permission.check(&user(10), 0o001), Err(Errno::EACCES));
        assert_eq!(permission.check(&user(11), 0), Ok(()));
    }

    #[test]
    fn set_gives_it_to_another_and_the_creator_keeps_his_right() {
        let permission = Permission::new(1, 0o600, &user(10));
        assert_eq!(permission.set(20, 20, 0o1640), Ok(()));
        assert_eq!(permission.check_owner(&user(10)), Ok(()));
        assert_eq!(permission.check_owner(&user(20)), Ok(()));
        assert_eq!(permission.check_owner(&user(30)), Err(Errno::EPERM));
        assert_eq!(permission.ownership().mode, 0o640);
        assert_eq!(permission.set(u32::MAX, 0, 0), Err(Errno::EINVAL));
    }
}
