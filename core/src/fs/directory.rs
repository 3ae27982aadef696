//! A directory held in memory: names, and for each the inode. Lock level 3.
//!
//! Entries carry a cookie that grows with each new one, so that reading a directory neither skips nor repeats an entry
//! that stays while others come and go (readdir(3)).

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use halyard_cell::SpinLock;

use super::inode::Inode;
use crate::{Errno, Result};

/// The first cookie of a real entry; smaller ones are `.` and `..`.
const FIRST_COOKIE: u64 = 2;

struct Entry {
    inode: Arc<Inode>,
    cookie: u64,
}

struct Entries {
    by_name: BTreeMap<Arc<[u8]>, Entry>,
    by_cookie: BTreeMap<u64, Arc<[u8]>>,
    next_cookie: u64,
    /// Set when the directory has been removed: nothing can be added any more.
    removed: bool,
    parent: Weak<Inode>,
    mounted: Option<Arc<Inode>>,
}

/// The names in a directory.
pub struct Directory {
    entries: SpinLock<Entries>,
}

/// An entry as getdents64 reports it.
pub struct Listed {
    /// Its name.
    pub name: Arc<[u8]>,
    /// Where to go on after it.
    pub cookie: u64,
    /// What it leads to.
    pub inode: Arc<Inode>,
}

impl Directory {
    /// An empty directory in `parent`; a dangling parent makes it a root, its own parent.
    #[must_use]
    pub fn new(parent: Weak<Inode>) -> Directory {
        Directory {
            entries: SpinLock::new(Entries {
                by_name: BTreeMap::new(),
                by_cookie: BTreeMap::new(),
                next_cookie: FIRST_COOKIE,
                removed: false,
                parent,
                mounted: None,
            }),
        }
    }

    /// How many names it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.lock().by_name.len()
    }

    /// Whether it has no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What `name` leads to.
    #[must_use]
    pub fn lookup(&self, name: &[u8]) -> Option<Arc<Inode>> {
        self.entries.lock().by_name.get(name).map(|entry| Arc::clone(&entry.inode))
    }

    /// Adds `name`. EEXIST; ENOENT if the directory has been removed.
    pub fn insert(&self, name: &[u8], inode: Arc<Inode>) -> Result<()> {
        let mut entries = self.entries.lock();
        if entries.removed {
            return Err(Errno::ENOENT);
        }
        if entries.by_name.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let name: Arc<[u8]> = Arc::from(name);
        let cookie = entries.next_cookie;
        entries.next_cookie += 1;
        entries.by_cookie.insert(cookie, Arc::clone(&name));
        entries.by_name.insert(name, Entry { inode, cookie });
        Ok(())
    }

    /// Removes `name`; gives back what it led to, to be dropped with no lock held.
    pub fn remove(&self, name: &[u8]) -> Option<Arc<Inode>> {
        let mut entries = self.entries.lock();
        let entry = entries.by_name.remove(name)?;
        entries.by_cookie.remove(&entry.cookie);
        Some(entry.inode)
    }

    /// Makes `name` lead to `inode`; gives back what it led to.
    pub fn replace(&self, name: &[u8], inode: Arc<Inode>) -> Option<Arc<Inode>> {
        let mut entries = self.entries.lock();
        entries.by_name.get_mut(name).map(|entry| core::mem::replace(&mut entry.inode, inode))
    }

    /// Closes the directory for new names. ENOTEMPTY; EBUSY: something is mounted on it.
    pub fn retire(&self) -> Result<()> {
        let mut entries = self.entries.lock();
        if entries.mounted.is_some() {
            return Err(Errno::EBUSY);
        }
        if !entries.by_name.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        entries.removed = true;
        Ok(())
    }

    /// The directory that it is in; None for a root.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Inode>> {
        self.entries.lock().parent.upgrade()
    }

    /// It is in another directory now.
    pub fn set_parent(&self, parent: Weak<Inode>) {
        self.entries.lock().parent = parent;
    }

    /// Whether it has been removed.
    #[must_use]
    pub fn removed(&self) -> bool {
        self.entries.lock().removed
    }

    /// The root of the file system mounted on it.
    #[must_use]
    pub fn mounted(&self) -> Option<Arc<Inode>> {
        self.entries.lock().mounted.clone()
    }

    /// Mounts `root` on it, or with None takes away what is mounted. EBUSY.
    pub fn set_mounted(&self, root: Option<Arc<Inode>>) -> Result<()> {
        let mut entries = self.entries.lock();
        if root.is_some() && entries.mounted.is_some() {
            return Err(Errno::EBUSY);
        }
        let before = core::mem::replace(&mut entries.mounted, root);
        drop(entries);
        drop(before);
        Ok(())
    }

    /// The name under which `child`, or what it is mounted on, is here.
    #[must_use]
    pub fn name_of(&self, child: &Arc<Inode>) -> Option<Arc<[u8]>> {
        let candidates: Vec<(Arc<[u8]>, Arc<Inode>)> = {
            let entries = self.entries.lock();
            let all = entries.by_name.iter().filter(|(_, entry)| entry.inode.is_directory());
            all.map(|(name, entry)| (Arc::clone(name), Arc::clone(&entry.inode))).collect()
        };
        let leads_there = |inode: &Arc<Inode>| Arc::ptr_eq(&super::path::cross_mounts(Arc::clone(inode)), child);
        candidates.into_iter().find(|(_, inode)| leads_there(inode)).map(|(name, _)| name)
    }

    /// The first entry whose cookie is at least `from`; its own cookie field says where to go on.
    #[must_use]
    pub fn entry_from(&self, from: u64) -> Option<Listed> {
        let entries = self.entries.lock();
        let (cookie, name) = entries.by_cookie.range(from.max(FIRST_COOKIE)..).next()?;
        let entry = entries.by_name.get(name)?;
        Some(Listed { name: Arc::clone(name), cookie: cookie + 1, inode: Arc::clone(&entry.inode) })
    }
}
