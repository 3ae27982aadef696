//! Who a process acts as (credentials(7)). A value: changed by replacing it.

use alloc::vec::Vec;

/// User and group ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real user.
    pub uid: u32,
    /// Effective user: what permission checks and SysV IPC use.
    pub euid: u32,
    /// Saved user.
    pub suid: u32,
    /// File-system user.
    pub fsuid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
    /// Saved group.
    pub sgid: u32,
    /// File-system group.
    pub fsgid: u32,
    /// Supplementary groups; at most 65536 (NGROUPS_MAX).
    pub groups: Vec<u32>,
}

impl Credentials {
    /// User 0, who may do everything.
    #[must_use]
    pub fn root() -> Credentials {
        Credentials::default()
    }

    /// Whether it may do what needs privilege.
    #[must_use]
    pub const fn privileged(&self) -> bool {
        self.euid == 0
    }

    /// Whether it belongs to `group` as far as files are concerned.
    #[must_use]
    pub fn in_group(&self, group: u32) -> bool {
        self.fsgid == group || self.groups.contains(&group)
    }
}
