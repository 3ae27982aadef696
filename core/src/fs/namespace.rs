//! Changes of names: create, link, unlink, rename. One lock (level 1) orders all of them, so that a rename across
//! directories is seen whole, and what a name leads to is looked up again under it; lookups of paths take only the lock of
//! the directory they look in.

use alloc::sync::Arc;
use alloc::vec::Vec;

use halyard_cell::SpinLock;

use super::directory::Directory;
use super::inode::{FileSystemId, Inode, Metadata, Node, Want};
use super::path::{Ending, Found};
use crate::mm::Room;
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// The sticky bit: in such a directory only owners remove names.
const S_ISVTX: u32 = 0o1000;
/// The set-group-id bit: what is made in such a directory gets its group.
const S_ISGID: u32 = 0o2000;

/// All names.
pub struct Namespace {
    root: Arc<Inode>,
    /// What the names' own memory may take.
    room: &'static Room,
    changing: SpinLock<()>,
    /// What is mounted, in the order in which it was. See `mount`.
    pub(super) mounts: SpinLock<Vec<super::mount::Mount>>,
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
    /// A namespace with an empty root directory, whose names take memory while there is `room`.
    #[must_use]
    pub fn new(room: &'static Room, now: u64) -> Namespace {
        let metadata = Metadata {
            links: 2,
            ..Metadata::new(0o755, 0, 0, now)
        };
        let root = Arc::new(Inode::new(
            FileSystemId::ROOT,
            Node::Directory(Directory::root()),
            metadata,
        ));
        Namespace {
            root,
            room,
            changing: SpinLock::new(()),
            mounts: SpinLock::new(Vec::new()),
        }
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> &Arc<Inode> {
        &self.root
    }

    /// Makes an inode of `node` under the name that was looked for. EEXIST, EACCES; EPERM: queues and others do not mix; ENOENT: its directory is gone, or the
    /// name has a slash behind it and this is no directory; ENOSPC.
    pub fn create(&self, at: &Found, node: Node, maker: Maker<'_>) -> Result<Arc<Inode>> {
        let directory = self.new_name(at, matches!(node, Node::Directory(_)), maker.who)?;
        let is_queue = matches!(node, Node::Anonymous(_));
        if at.directory.file_system == FileSystemId::QUEUES && !is_queue {
            return Err(Errno::EPERM);
        }
        let name = at.name().ok_or(Errno::EEXIST)?;
        let above = at.directory.metadata();
        let inherits = above.permissions & S_ISGID != 0;
        let gid = if inherits { above.gid } else { maker.who.fsgid };
        let mut metadata = Metadata::new(maker.permissions, maker.who.fsuid, gid, maker.now);
        if matches!(node, Node::Directory(_)) {
            metadata.links = 2;
            metadata.permissions |= if inherits { S_ISGID } else { 0 };
        }
        let inode = Arc::new(Inode::new(at.directory.file_system, node, metadata));
        let changing = self.changing.lock();
        directory.insert(name, Arc::clone(&inode))?;
        if inode.is_directory() {
            at.directory.update(|it| it.links += 1);
        }
        touch(&at.directory, maker.now);
        drop(changing);
        Ok(inode)
    }

    /// Where a new name is to be put. EEXIST, ENOENT, EACCES, ENOSPC.
    fn new_name<'a>(
        &self,
        at: &'a Found,
        of_directory: bool,
        who: &Credentials,
    ) -> Result<&'a Directory> {
        if at.inode.is_some() {
            return Err(Errno::EEXIST);
        }
        if at.ending == Ending::NameSlash && !of_directory {
            return Err(Errno::ENOENT);
        }
        let directory = at.directory.directory()?;
        at.directory.check(who, Want::WRITE | Want::EXECUTE)?;
        self.room.for_lasting().map_err(|_| Errno::ENOSPC)?;
        Ok(directory)
    }

    /// Makes a directory (mkdir(2)).
    pub fn make_directory(&self, at: &Found, maker: Maker<'_>) -> Result<Arc<Inode>> {
        self.create(at, Node::Directory(Directory::new(&at.directory)), maker)
    }

    /// Makes a symbolic link (symlink(2)). ENOENT: the text is empty.
    pub fn make_link(&self, at: &Found, text: Vec<u8>, maker: Maker<'_>) -> Result<Arc<Inode>> {
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        self.create(
            at,
            Node::Symlink(text.into_boxed_slice()),
            Maker {
                permissions: 0o777,
                ..maker
            },
        )
    }

    /// Gives `inode` one more name (link(2)). EPERM: a directory. EXDEV, EEXIST, EACCES, ENOSPC; ENOENT: it has lost its last name.
    pub fn link(&self, inode: &Arc<Inode>, at: &Found, who: &Credentials, now: u64) -> Result<()> {
        if inode.file_system != at.directory.file_system {
            return Err(if at.inode.is_some() {
                Errno::EEXIST
            } else {
                Errno::EXDEV
            });
        }
        let directory = self.new_name(at, false, who)?;
        let name = at.name().ok_or(Errno::EEXIST)?;
        if inode.is_directory() {
            return Err(Errno::EPERM);
        }
        let changing = self.changing.lock();
        if inode.metadata().links == 0 {
            return Err(Errno::ENOENT);
        }
        directory.insert(name, Arc::clone(inode))?;
        inode.update(|it| (it.links, it.changed) = (it.links.saturating_add(1), now));
        touch(&at.directory, now);
        drop(changing);
        Ok(())
    }

    /// Removes a name (unlink(2); rmdir(2) if `of_directory`). EISDIR, ENOTDIR, ENOTEMPTY, EBUSY, EINVAL, EPERM, EACCES.
    pub fn unlink(
        &self,
        at: &Found,
        of_directory: bool,
        who: &Credentials,
        now: u64,
    ) -> Result<()> {
        let name = at.name().ok_or(match at.ending {
            _ if !of_directory => Errno::EISDIR,
            Ending::Dot => Errno::EINVAL,
            Ending::DotDot => Errno::ENOTEMPTY,
            _ => Errno::EBUSY,
        })?;
        if at.inode.is_none() {
            return Err(Errno::ENOENT);
        }
        let names = at.directory.directory()?;
        let changing = self.changing.lock();
        let inode = names.lookup(name).ok_or(Errno::ENOENT)?;
        check_removal(&at.directory, &inode, who)?;
        match (inode.is_directory(), of_directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (false, false) if at.ending == Ending::NameSlash => return Err(Errno::ENOTDIR),
            (true, true) => inode.directory()?.retire()?,
            (false, false) => {}
        }
        let removed = names.remove(name);
        forget_name(&at.directory, &inode, now);
        drop(changing);
        drop(removed);
        Ok(())
    }

    /// Renames (renameat2(2)). EXDEV, EINVAL (into itself), EEXIST, ENOTEMPTY, EISDIR, ENOTDIR, EBUSY, EPERM, EACCES.
    pub fn rename(
        &self,
        from: &Found,
        to: &Found,
        kind: RenameKind,
        who: &Credentials,
        now: u64,
    ) -> Result<()> {
        if from.directory.file_system != to.directory.file_system {
            return Err(Errno::EXDEV);
        }
        let no_target = if kind == RenameKind::Keep {
            Errno::EEXIST
        } else {
            Errno::EBUSY
        };
        let from = Place::new(from).ok_or(Errno::EBUSY)??;
        let to = Place::new(to).ok_or(no_target)??;
        let changing = self.changing.lock();
        let moved = from.names.lookup(from.name).ok_or(Errno::ENOENT)?;
        let target = to.names.lookup(to.name);
        check_rename(&from, &moved, &to, target.as_ref(), kind)?;
        if target
            .as_ref()
            .is_some_and(|target| Arc::ptr_eq(target, &moved))
        {
            return Ok(());
        }
        check_rename_rights(&from, &moved, &to, target.as_ref(), kind, who)?;
        match &target {
            Some(target) if kind == RenameKind::Exchange => exchange(&from, &moved, &to, target),
            Some(target) => replace(&from, &moved, &to, target, now)?,
            None => move_name(&from, &moved, &to)?,
        }
        touch(from.directory, now);
        touch(to.directory, now);
        moved.update(|it| it.changed = now);
        drop(changing);
        drop(target);
        Ok(())
    }
}

/// One end of a rename.
struct Place<'a> {
    directory: &'a Arc<Inode>,
    names: &'a Directory,
    name: &'a [u8],
    slash: bool,
}

impl<'a> Place<'a> {
    /// None: the path does not end in a name.
    fn new(found: &'a Found) -> Option<Result<Place<'a>>> {
        let (directory, name) = (&found.directory, found.name()?);
        let slash = found.ending == Ending::NameSlash;
        Some(directory.directory().map(|names| Place {
            directory,
            names,
            name,
            slash,
        }))
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

/// What a rename needs of the tree, whoever asks. In Linux's order of errors.
fn check_rename(
    from: &Place<'_>,
    moved: &Arc<Inode>,
    to: &Place<'_>,
    target: Option<&Arc<Inode>>,
    kind: RenameKind,
) -> Result<()> {
    let exchange = kind == RenameKind::Exchange;
    match target {
        Some(_) if kind == RenameKind::Keep => return Err(Errno::EEXIST),
        None if exchange => return Err(Errno::ENOENT),
        Some(target) if exchange && to.slash && !target.is_directory() => {
            return Err(Errno::ENOTDIR);
        }
        _ => {}
    }
    if !moved.is_directory() && (from.slash || (to.slash && !exchange)) {
        return Err(Errno::ENOTDIR);
    }
    if is_in(to.directory, moved) {
        return Err(Errno::EINVAL);
    }
    if target.is_some_and(|target| is_in(from.directory, target)) {
        return Err(if exchange {
            Errno::EINVAL
        } else {
            Errno::ENOTEMPTY
        });
    }
    Ok(())
}

/// What a rename needs of the caller's rights, and that the kinds of `moved` and `target` go together.
fn check_rename_rights(
    from: &Place<'_>,
    moved: &Arc<Inode>,
    to: &Place<'_>,
    target: Option<&Arc<Inode>>,
    kind: RenameKind,
    who: &Credentials,
) -> Result<()> {
    let elsewhere = !Arc::ptr_eq(from.directory, to.directory);
    check_removal(from.directory, moved, who)?;
    let Some(target) = target else {
        to.directory.check(who, Want::WRITE | Want::EXECUTE)?;
        return check_move(moved, elsewhere, who);
    };
    check_removal(to.directory, target, who)?;
    let exchange = kind == RenameKind::Exchange;
    match (moved.is_directory(), target.is_directory()) {
        (true, false) if !exchange => return Err(Errno::ENOTDIR),
        (false, true) if !exchange => return Err(Errno::EISDIR),
        _ => {}
    }
    check_move(moved, elsewhere, who)?;
    check_move(target, elsewhere && exchange, who)
}

/// A directory that comes to lie elsewhere is written to (its `..` changes). EBUSY: something is mounted on it.
fn check_move(inode: &Inode, elsewhere: bool, who: &Credentials) -> Result<()> {
    let Node::Directory(directory) = &inode.node else {
        return Ok(());
    };
    if elsewhere {
        inode.check(who, Want::WRITE)?;
    }
    if directory.mounted().is_some() {
        Err(Errno::EBUSY)
    } else {
        Ok(())
    }
}

/// Whether `directory` is `inode` or below it.
fn is_in(directory: &Arc<Inode>, inode: &Arc<Inode>) -> bool {
    if !inode.is_directory() {
        return false;
    }
    let mut here = Some(Arc::clone(directory));
    while let Some(above) = here {
        if Arc::ptr_eq(&above, inode) {
            return true;
        }
        here = above.parent();
    }
    false
}

/// Moves the name of `inode`; a directory's parent follows. ENOENT: the new directory has been removed.
fn move_name(from: &Place<'_>, inode: &Arc<Inode>, to: &Place<'_>) -> Result<()> {
    to.names.insert(to.name, Arc::clone(inode))?;
    let old = from.names.remove(from.name);
    adopt(from, inode, to);
    drop(old);
    Ok(())
}

fn adopt(from: &Place<'_>, inode: &Arc<Inode>, to: &Place<'_>) {
    if let Node::Directory(directory) = &inode.node
        && !Arc::ptr_eq(from.directory, to.directory)
    {
        directory.set_parent(to.directory);
        from.directory
            .update(|it| it.links = it.links.saturating_sub(1));
        to.directory
            .update(|it| it.links = it.links.saturating_add(1));
    }
}

/// Puts `inode` in the place of `target`, which loses the name; the caller holds it still. ENOTEMPTY.
fn replace(
    from: &Place<'_>,
    inode: &Arc<Inode>,
    to: &Place<'_>,
    target: &Arc<Inode>,
    now: u64,
) -> Result<()> {
    if target.is_directory() {
        target.directory()?.retire()?;
    }
    let replaced = to.names.replace(to.name, Arc::clone(inode));
    let old = from.names.remove(from.name);
    forget_name(to.directory, target, now);
    adopt(from, inode, to);
    drop((replaced, old));
    Ok(())
}

/// Exchanges two names.
fn exchange(from: &Place<'_>, inode: &Arc<Inode>, to: &Place<'_>, target: &Arc<Inode>) {
    let first = to.names.replace(to.name, Arc::clone(inode));
    let second = from.names.replace(from.name, Arc::clone(target));
    adopt(from, inode, to);
    adopt(to, target, from);
    drop((first, second));
}

#[cfg(test)]
#[path = "namespace_tests.rs"]
mod tests;
