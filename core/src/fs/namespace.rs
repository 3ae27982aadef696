//! Changes of names: create, link, unlink, rename. One lock (level 1) orders all of them, so that a rename across
//! directories is seen whole; lookups take only the lock of the directory they look in.

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use halyard_cell::SpinLock;

use super::directory::Directory;
use super::inode::{FileSystemId, Inode, Metadata, Node, Want};
use super::path::Found;
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// The sticky bit: in such a directory only owners remove names.
const S_ISVTX: u32 = 0o1000;
/// The set-group-id bit: what is made in such a directory gets its group.
const S_ISGID: u32 = 0o2000;

/// What is mounted where.
pub struct Mount {
    /// The directory that it covers.
    pub covered: Arc<Inode>,
    /// Its root.
    pub root: Arc<Inode>,
    /// Where, as the caller said.
    pub path: String,
    /// Its type: ramfs, devfs, proc.
    pub kind: &'static str,
}

/// All names.
pub struct Namespace {
    root: Arc<Inode>,
    changing: SpinLock<()>,
    mounts: SpinLock<Vec<Mount>>,
}

/// What renameat2's flags ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameKind {
    /// An existing target is replaced.
    Replace,
    /// RENAME_NOREPLACE.
    Keep,
    /// RENAME_EXCHANGE.
    Exchange,
}

/// Who makes a new name, and how it starts.
#[derive(Clone, Copy)]
pub struct Maker<'a> {
    /// With whose rights, and who becomes the owner.
    pub who: &'a Credentials,
    /// Permission bits, the umask applied.
    pub permissions: u32,
    /// Wall clock, ns since 1970.
    pub now: u64,
}

impl Namespace {
    /// A namespace with an empty root directory.
    #[must_use]
    pub fn new(now: u64) -> Namespace {
        let node = Node::Directory(Directory::new(Weak::new()));
        let root = Arc::new(Inode::new(FileSystemId(0), node, Metadata::new(0o755, 0, 0, now)));
        Namespace { root, changing: SpinLock::new(()), mounts: SpinLock::new(Vec::new()) }
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Arc<Inode> {
        &self.root
    }

    /// Makes an inode of `node` under the name that was looked for. EEXIST; ENOENT: its directory is gone.
    pub fn create(&self, at: &Found, node: Node, maker: Maker<'_>) -> Result<Arc<Inode>> {
        if at.inode.is_some() || at.name.is_empty() {
            return Err(Errno::EEXIST);
        }
        let directory = at.directory.directory()?;
        at.directory.check(maker.who, Want::WRITE | Want::EXECUTE)?;
        let above = at.directory.metadata();
        let inherits = above.permissions & S_ISGID != 0;
        let gid = if inherits { above.gid } else { maker.who.fsgid };
        let mut metadata = Metadata::new(maker.permissions, maker.who.fsuid, gid, maker.now);
        if inherits && matches!(node, Node::Directory(_)) {
            metadata.permissions |= S_ISGID;
        }
        let inode = Arc::new(Inode::new(at.directory.file_system, node, metadata));
        let changing = self.changing.lock();
        directory.insert(&at.name, Arc::clone(&inode))?;
        if inode.is_directory() {
            inode.update(|it| it.links = 2);
            at.directory.update(|it| it.links += 1);
        }
        touch(&at.directory, maker.now);
        drop(changing);
        Ok(inode)
    }

    /// Makes a directory (mkdir(2)).
    pub fn make_directory(&self, at: &Found, maker: Maker<'_>) -> Result<Arc<Inode>> {
        let node = Node::Directory(Directory::new(Arc::downgrade(&at.directory)));
        self.create(at, node, maker)
    }

    /// Makes a symbolic link (symlink(2)). ENOENT: the text is empty.
    pub fn make_link(&self, at: &Found, text: Vec<u8>, maker: Maker<'_>) -> Result<Arc<Inode>> {
        if text.is_empty() || at.directory_wanted {
            return Err(if at.inode.is_some() { Errno::EEXIST } else { Errno::ENOENT });
        }
        self.create(at, Node::Symlink(text.into_boxed_slice()), Maker { permissions: 0o777, ..maker })
    }

    /// Gives `inode` one more name (link(2)). EPERM: a directory. EXDEV, EEXIST, EMLINK.
    pub fn link(&self, inode: &Arc<Inode>, at: &Found, who: &Credentials, now: u64) -> Result<()> {
        if at.inode.is_some() || at.name.is_empty() {
            return Err(Errno::EEXIST);
        }
        if at.directory_wanted {
            return Err(Errno::ENOENT);
        }
        if inode.is_directory() {
            return Err(Errno::EPERM);
        }
        if inode.file_system != at.directory.file_system {
            return Err(Errno::EXDEV);
        }
        let directory = at.directory.directory()?;
        at.directory.check(who, Want::WRITE | Want::EXECUTE)?;
        let changing = self.changing.lock();
        if inode.metadata().links == 0 {
            return Err(Errno::ENOENT);
        }
        directory.insert(&at.name, Arc::clone(inode))?;
        inode.update(|it| (it.links, it.changed) = (it.links.saturating_add(1), now));
        touch(&at.directory, now);
        drop(changing);
        Ok(())
    }

    /// Removes a name (unlink(2); rmdir(2) with `directory`). EISDIR, ENOTDIR, ENOTEMPTY, EBUSY, EPERM, EACCES.
    pub fn unlink(&self, at: &Found, directory: bool, who: &Credentials, now: u64) -> Result<()> {
        let inode = at.inode.as_ref().ok_or(Errno::ENOENT)?;
        if at.name.is_empty() {
            return Err(if directory { Errno::EBUSY } else { Errno::EISDIR });
        }
        let names = at.directory.directory()?;
        check_removal(&at.directory, inode, who)?;
        match (inode.is_directory(), directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (false, false) if at.directory_wanted => return Err(Errno::ENOTDIR),
            _ => {}
        }
        let changing = self.changing.lock();
        if !names.lookup(&at.name).is_some_and(|there| Arc::ptr_eq(&there, inode)) {
            // What is mounted there was found, or the name has changed hands meanwhile.
            return Err(if inode.is_directory() { Errno::EBUSY } else { Errno::ENOENT });
        }
        if directory {
            inode.directory()?.retire()?;
        }
        let removed = names.remove(&at.name);
        forget_name(&at.directory, inode, now);
        drop(changing);
        drop(removed);
        Ok(())
    }

    /// Renames (renameat2(2)). EXDEV, EINVAL (into itself), EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EBUSY.
    pub fn rename(&self, from: &Found, to: &Found, kind: RenameKind, who: &Credentials, now: u64) -> Result<()> {
        let inode = from.inode.as_ref().ok_or(Errno::ENOENT)?;
        if from.name.is_empty() || to.name.is_empty() {
            return Err(Errno::EBUSY);
        }
        if from.directory.file_system != to.directory.file_system {
            return Err(Errno::EXDEV);
        }
        if !inode.is_directory() && (from.directory_wanted || to.directory_wanted) {
            return Err(Errno::ENOTDIR);
        }
        check_removal(&from.directory, inode, who)?;
        to.directory.check(who, Want::WRITE | Want::EXECUTE)?;
        let changing = self.changing.lock();
        check_unmoved(from)?;
        check_unmoved(to)?;
        check_no_loop(inode, &to.directory)?;
        let outcome = match (&to.inode, kind) {
            (Some(_), RenameKind::Keep) => Err(Errno::EEXIST),
            (None, RenameKind::Exchange) => Err(Errno::ENOENT),
            (Some(target), _) if Arc::ptr_eq(target, inode) => Ok(None),
            (Some(target), RenameKind::Exchange) => exchange(from, inode, to, target).map(|()| None),
            (Some(target), RenameKind::Replace) => {
                check_removal(&to.directory, target, who)?;
                replace(from, inode, to, target, now)
            }
            (None, _) => move_name(from, inode, to).map(|()| None),
        };
        let removed = outcome?;
        touch(&from.directory, now);
        touch(&to.directory, now);
        inode.update(|it| it.changed = now);
        drop(changing);
        drop(removed);
        Ok(())
    }

    /// Mounts the file system with root `root` on the directory `covered`. ENOTDIR, EBUSY.
    pub fn mount(&self, covered: &Arc<Inode>, root: Arc<Inode>, path: String, kind: &'static str) -> Result<()> {
        covered.directory()?.set_mounted(Some(Arc::clone(&root)))?;
        let parent = covered.directory()?.parent().map_or_else(Weak::new, |parent| Arc::downgrade(&parent));
        match &root.node {
            Node::Directory(directory) => directory.set_parent(parent),
            Node::Folder(folder) => folder.set_parent(parent),
            _ => return Err(Errno::ENOTDIR),
        }
        self.mounts.lock().push(Mount { covered: Arc::clone(covered), root, path, kind });
        Ok(())
    }

    /// Takes away what has the root `root`. EINVAL: nothing has.
    pub fn unmount(&self, root: &Arc<Inode>) -> Result<()> {
        let mut mounts = self.mounts.lock();
        let at = mounts.iter().rposition(|mount| Arc::ptr_eq(&mount.root, root)).ok_or(Errno::EINVAL)?;
        let mount = mounts.remove(at);
        drop(mounts);
        mount.covered.directory()?.set_mounted(None)
    }

    /// Does `visit` for each mount in the order in which they were made.
    pub fn for_each_mount(&self, mut visit: impl FnMut(&Mount)) {
        self.mounts.lock().iter().for_each(&mut visit);
    }
}

fn touch(directory: &Inode, now: u64) {
    directory.update(|it| (it.modified, it.changed) = (now, now));
}

/// EACCES unless `who` may remove names from `directory`; EPERM if it is sticky and `who` owns neither it nor `inode`.
fn check_removal(directory: &Inode, inode: &Inode, who: &Credentials) -> Result<()> {
    directory.check(who, Want::WRITE | Want::EXECUTE)?;
    if directory.metadata().permissions & S_ISVTX != 0 && directory.check_owner(who).is_err() {
        return inode.check_owner(who);
    }
    Ok(())
}

/// A name of `inode` in `directory` is gone.
fn forget_name(directory: &Inode, inode: &Inode, now: u64) {
    let gone = if inode.is_directory() { 2 } else { 1 };
    inode.update(|it| (it.links, it.changed) = (it.links.saturating_sub(gone), now));
    if inode.is_directory() {
        directory.update(|it| it.links = it.links.saturating_sub(1));
    }
    touch(directory, now);
}

/// ENOENT or EBUSY if the name no longer leads where it was found to.
fn check_unmoved(found: &Found) -> Result<()> {
    let there = found.directory.directory()?.lookup(&found.name);
    match (&there, &found.inode) {
        (None, None) => Ok(()),
        (Some(there), Some(inode)) if Arc::ptr_eq(there, inode) => Ok(()),
        (Some(_), Some(inode)) if inode.is_directory() => Err(Errno::EBUSY),
        _ => Err(Errno::ENOENT),
    }
}

/// EINVAL if `directory` is `inode` or below it.
fn check_no_loop(inode: &Arc<Inode>, directory: &Arc<Inode>) -> Result<()> {
    let mut here = Some(Arc::clone(directory));
    while let Some(above) = here {
        if Arc::ptr_eq(&above, inode) {
            return Err(Errno::EINVAL);
        }
        here = above.directory().ok().and_then(Directory::parent);
    }
    Ok(())
}

/// Moves the name of `inode`; a directory's parent follows.
fn move_name(from: &Found, inode: &Arc<Inode>, to: &Found) -> Result<()> {
    to.directory.directory()?.insert(&to.name, Arc::clone(inode))?;
    let old = from.directory.directory()?.remove(&from.name);
    adopt(from, inode, to);
    drop(old);
    Ok(())
}

fn adopt(from: &Found, inode: &Arc<Inode>, to: &Found) {
    if let Node::Directory(directory) = &inode.node
        && !Arc::ptr_eq(&from.directory, &to.directory)
    {
        directory.set_parent(Arc::downgrade(&to.directory));
        from.directory.update(|it| it.links = it.links.saturating_sub(1));
        to.directory.update(|it| it.links = it.links.saturating_add(1));
    }
}

/// Puts `inode` in the place of `target`, which loses the name. What it returns is dropped with no lock held.
fn replace(
    from: &Found,
    inode: &Arc<Inode>,
    to: &Found,
    target: &Arc<Inode>,
    now: u64,
) -> Result<Option<Arc<Inode>>> {
    match (inode.is_directory(), target.is_directory()) {
        (true, false) => return Err(Errno::ENOTDIR),
        (false, true) => return Err(Errno::EISDIR),
        (true, true) => target.directory()?.retire()?,
        (false, false) => {}
    }
    let removed = to.directory.directory()?.replace(&to.name, Arc::clone(inode));
    let old = from.directory.directory()?.remove(&from.name);
    forget_name(&to.directory, target, now);
    adopt(from, inode, to);
    drop(old);
    Ok(removed)
}

/// Exchanges two names. Neither may come to lie below itself.
fn exchange(from: &Found, inode: &Arc<Inode>, to: &Found, target: &Arc<Inode>) -> Result<()> {
    check_no_loop(target, &from.directory)?;
    to.directory.directory()?.replace(&to.name, Arc::clone(inode));
    from.directory.directory()?.replace(&from.name, Arc::clone(target));
    adopt(from, inode, to);
    adopt(to, target, from);
    Ok(())
}

