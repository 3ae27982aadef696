//! A directory held in memory: names, and for each the inode. Lock level 3; no two directories' locks are held at once.
//!
//! Entries carry a cookie that grows with each new one, so that reading a directory neither skips nor repeats an entry
//! that stays while others come and go (readdir(3)).

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use halyard_cell::SpinLock;

use super::inode::{Inode, Node};
use crate::{Errno, Result};

/// The first cookie of a real entry; smaller ones are `.` and `..`.
pub const FIRST_COOKIE: u64 = 2;

/// Where a directory is.
pub enum Above {
    /// In this directory.
    Parent(Arc<Inode>),
    /// It is the root of what is mounted on this directory.
    Covered(Arc<Inode>),
    /// Nowhere: it is the first root, or has been removed or unmounted.
    Top,
}

/// As [`Above`], without keeping what is above alive.
#[derive(Clone)]
pub(super) enum Link {
    /// In this directory.
    Parent(Weak<Inode>),
    /// Mounted on this directory; dangling: nowhere.
    Covered(Weak<Inode>),
}

impl Link {
    pub(super) fn resolve(&self) -> Above {
        match self {
            Link::Parent(parent) => parent.upgrade().map_or(Above::Top, Above::Parent),
            Link::Covered(covered) => covered.upgrade().map_or(Above::Top, Above::Covered),
        }
    }
}

struct Entry {
    inode: Arc<Inode>,
    cookie: u64,
}

type Names = BTreeMap<Arc<[u8]>, Entry>;

struct Entries {
    by_name: Names,
    by_cookie: BTreeMap<u64, Arc<[u8]>>,
    next_cookie: u64,
    /// Set when the directory has been removed: nothing can be added any more.
    removed: bool,
    link: Link,
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
    /// An empty directory in `parent`.
    #[must_use]
    pub fn new(parent: &Arc<Inode>) -> Directory {
        Directory::with(Link::Parent(Arc::downgrade(parent)))
    }

    /// An empty root, mounted nowhere yet.
    #[must_use]
    pub fn root() -> Directory {
        Directory::with(Link::Covered(Weak::new()))
    }

    fn with(link: Link) -> Directory {
        Directory {
            entries: SpinLock::new(Entries {
                by_name: BTreeMap::new(),
                by_cookie: BTreeMap::new(),
                next_cookie: FIRST_COOKIE,
                removed: false,
                link,
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
    #[inline]
    #[must_use]
    pub fn lookup(&self, name: &[u8]) -> Option<Arc<Inode>> {
        self.entries
            .lock()
            .by_name
            .get(name)
            .map(|entry| Arc::clone(&entry.inode))
    }

    /// Adds `name`. EEXIST; ENOENT if the directory has been removed.
    pub fn insert(&self, name: &[u8], inode: Arc<Inode>) -> Result<()> {
        let name: Arc<[u8]> = Arc::from(name);
        let mut entries = self.entries.lock();
        let refused = if entries.removed {
            Errno::ENOENT
        } else if entries.by_name.contains_key(&name) {
            Errno::EEXIST
        } else {
            let cookie = entries.next_cookie;
            entries.next_cookie += 1;
            entries.by_cookie.insert(cookie, Arc::clone(&name));
            entries.by_name.insert(name, Entry { inode, cookie });
            return Ok(());
        };
        drop(entries);
        Err(refused)
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
        entries
            .by_name
            .get_mut(name)
            .map(|entry| core::mem::replace(&mut entry.inode, inode))
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

    /// Where it is.
    #[must_use]
    pub fn above(&self) -> Above {
        let link = self.entries.lock().link.clone();
        link.resolve()
    }

    /// It is in another directory now.
    pub fn set_parent(&self, parent: &Arc<Inode>) {
        self.set_link(Link::Parent(Arc::downgrade(parent)));
    }

    /// It is the root of what is mounted on `covered`, or nowhere.
    pub fn set_covered(&self, covered: Option<&Arc<Inode>>) {
        self.set_link(Link::Covered(
            covered.map_or_else(Weak::new, Arc::downgrade),
        ));
    }

    fn set_link(&self, link: Link) {
        let before = core::mem::replace(&mut self.entries.lock().link, link);
        drop(before);
    }

    /// Whether it has been removed.
    #[must_use]
    pub fn removed(&self) -> bool {
        self.entries.lock().removed
    }

    /// The root of the file system mounted on it.
    #[inline]
    #[must_use]
    pub fn mounted(&self) -> Option<Arc<Inode>> {
        self.entries.lock().mounted.clone()
    }

    /// Mounts `root` on it. EBUSY: something is mounted. ENOENT: it has been removed.
    pub fn mount(&self, root: &Arc<Inode>) -> Result<()> {
        let mut entries = self.entries.lock();
        if entries.removed {
            return Err(Errno::ENOENT);
        }
        if entries.mounted.is_some() {
            return Err(Errno::EBUSY);
        }
        entries.mounted = Some(Arc::clone(root));
        Ok(())
    }

    /// Takes away what is mounted on it; gives it back, to be dropped with no lock held.
    pub fn unmount(&self) -> Option<Arc<Inode>> {
        self.entries.lock().mounted.take()
    }

    /// The name of `child` here.
    #[must_use]
    pub fn name_of(&self, child: &Arc<Inode>) -> Option<Arc<[u8]>> {
        let entries = self.entries.lock();
        let mut all = entries.by_name.iter();
        all.find(|(_, entry)| Arc::ptr_eq(&entry.inode, child))
            .map(|(name, _)| Arc::clone(name))
    }

    /// The first entry whose cookie is at least `from`; its own cookie field says where to go on.
    #[must_use]
    pub fn entry_from(&self, from: u64) -> Option<Listed> {
        let entries = self.entries.lock();
        let (cookie, name) = entries.by_cookie.range(from.max(FIRST_COOKIE)..).next()?;
        let entry = entries.by_name.get(name)?;
        Some(Listed {
            name: Arc::clone(name),
            cookie: cookie + 1,
            inode: Arc::clone(&entry.inode),
        })
    }
}

impl Drop for Directory {
    /// Drops a tree level by level with a list instead of the stack, however deep it is. The list is threaded through the
    /// directories being dropped: each holds what is left of the one above, and in `mounted` the one before it.
    fn drop(&mut self) {
        let mut names = core::mem::take(&mut self.entries.get_mut().by_name);
        let mut list: Option<Arc<Inode>> = None;
        loop {
            match names.pop_first() {
                Some((_, Entry { inode, .. })) => {
                    if let Node::Directory(directory) = &inode.node
                        && Arc::strong_count(&inode) == 1
                    {
                        let mut below = directory.entries.lock();
                        core::mem::swap(&mut below.by_name, &mut names);
                        let covered = core::mem::replace(&mut below.mounted, list.take());
                        drop(below);
                        drop(covered);
                        list = Some(inode);
                    }
                }
                None => {
                    let Some(done) = list.take() else { return };
                    if let Node::Directory(directory) = &done.node {
                        let mut entries = directory.entries.lock();
                        names = core::mem::take(&mut entries.by_name);
                        list = entries.mounted.take();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::inode::{FileSystemId, Metadata};
    use super::*;

    fn directory(inside: Option<&Arc<Inode>>) -> Arc<Inode> {
        let directory = inside.map_or_else(Directory::root, Directory::new);
        Arc::new(Inode::new(
            FileSystemId(9),
            Node::Directory(directory),
            Metadata::new(0o755, 0, 0, 0),
        ))
    }

    fn names(inode: &Arc<Inode>) -> &Directory {
        inode.directory().unwrap()
    }

    fn list(inode: &Arc<Inode>, from: u64) -> Vec<Vec<u8>> {
        let mut cookie = from;
        let mut found = Vec::new();
        while let Some(entry) = names(inode).entry_from(cookie) {
            cookie = entry.cookie;
            found.push(entry.name.to_vec());
        }
        found
    }

    #[test]
    fn listing_during_removal_skips_and_repeats_nothing_that_stays() {
        let root = directory(None);
        for name in [b"a", b"b", b"c", b"d"] {
            names(&root).insert(name, directory(Some(&root))).unwrap();
        }
        let first = names(&root).entry_from(0).unwrap();
        let second = names(&root).entry_from(first.cookie).unwrap();
        names(&root).remove(&first.name);
        names(&root).remove(&second.name);
        names(&root).insert(b"e", directory(Some(&root))).unwrap();
        assert_eq!(list(&root, second.cookie), [b"c", b"d", b"e"]);
    }

    #[test]
    fn directory_removed_takes_no_names() {
        let root = directory(None);
        names(&root).retire().unwrap();
        assert_eq!(
            names(&root).insert(b"x", directory(Some(&root))),
            Err(Errno::ENOENT)
        );
        assert_eq!(names(&root).mount(&directory(None)), Err(Errno::ENOENT));
    }

    #[test]
    fn tree_of_great_depth_is_dropped_on_a_small_stack() {
        let work = || {
            let root = directory(None);
            let mut here = Arc::clone(&root);
            for _ in 0..100_000 {
                let below = directory(Some(&here));
                names(&here).insert(b"d", Arc::clone(&below)).unwrap();
                names(&here).insert(b"e", directory(Some(&here))).unwrap();
                here = below;
            }
            let weak = Arc::downgrade(&here);
            drop(here);
            drop(root);
            assert!(weak.upgrade().is_none());
        };
        std::thread::Builder::new()
            .stack_size(64 << 10)
            .spawn(work)
            .unwrap()
            .join()
            .unwrap();
    }
}
