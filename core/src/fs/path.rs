//! From a path to an inode (path_resolution(7)).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use halyard_cell::SpinLock;

use super::directory::Above;
use super::inode::{Inode, Node, Want};
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// The longest path, with its NUL (limits.h).
pub const PATH_MAX: usize = 4096;
/// The longest name in a directory.
pub const NAME_MAX: usize = 255;
/// The most symbolic links on one way.
const LINKS_MAX: u32 = 40;

/// Where a process's paths begin, and its umask. Shared under CLONE_FS. Lock level 2.
pub struct FsContext {
    root: SpinLock<Arc<Inode>>,
    current: SpinLock<Arc<Inode>>,
    umask: AtomicU32,
}

impl FsContext {
    /// At the root of everything, with umask 022.
    #[must_use]
    pub fn new(root: Arc<Inode>) -> FsContext {
        let current = SpinLock::new(Arc::clone(&root));
        FsContext {
            root: SpinLock::new(root),
            current,
            umask: AtomicU32::new(0o022),
        }
    }

    /// A copy of its own (fork).
    #[must_use]
    pub fn fork(&self) -> FsContext {
        let umask = AtomicU32::new(self.umask());
        FsContext {
            root: SpinLock::new(self.root()),
            current: SpinLock::new(self.current()),
            umask,
        }
    }

    /// Where absolute paths begin.
    #[must_use]
    pub fn root(&self) -> Arc<Inode> {
        Arc::clone(&self.root.lock())
    }

    /// Where relative paths begin.
    #[must_use]
    pub fn current(&self) -> Arc<Inode> {
        Arc::clone(&self.current.lock())
    }

    /// Changes where relative paths begin.
    pub fn set_current(&self, to: Arc<Inode>) {
        let before = core::mem::replace(&mut *self.current.lock(), to);
        drop(before);
    }

    /// Changes where absolute paths begin.
    pub fn set_root(&self, to: Arc<Inode>) {
        let before = core::mem::replace(&mut *self.root.lock(), to);
        drop(before);
    }

    /// Permission bits that new files do not get.
    #[must_use]
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    /// Changes the umask; returns the one before.
    pub fn set_umask(&self, to: u32) -> u32 {
        self.umask.swap(to & 0o777, Ordering::Relaxed)
    }
}

/// What is done with a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It is followed.
    Follow,
    /// It is what was looked for, unless slashes follow it.
    Keep,
    /// It is what was looked for, slashes or not: the name itself is to be made, removed or changed.
    Name,
}

/// How a path ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In a name.
    Name,
    /// In a name with slashes behind it: only a directory will do.
    NameSlash,
    /// In `.`
    Dot,
    /// In `..`
    DotDot,
    /// It was nothing but slashes.
    Root,
}

/// Where a path led.
pub struct Found {
    /// The directory that the last name is in.
    pub directory: Arc<Inode>,
    /// What the path leads to, if it is there.
    pub inode: Option<Arc<Inode>>,
    /// How the path ended.
    pub ending: Ending,
    path: Vec<u8>,
    name: Range<usize>,
}

impl Found {
    /// What was found. ENOENT; ENOTDIR if the path ended in a slash and this is no directory.
    pub fn existing(self) -> Result<Arc<Inode>> {
        let inode = self.inode.ok_or(Errno::ENOENT)?;
        if self.ending == Ending::NameSlash && !inode.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(inode)
    }

    /// Whether a file could be made here as far as the path is concerned (open(2) with O_CREAT). EISDIR: it ends in a slash.
    pub fn check_file_name(&self) -> Result<()> {
        if self.ending == Ending::NameSlash {
            Err(Errno::EISDIR)
        } else {
            Ok(())
        }
    }

    /// The last name; None if the path did not end in one.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        self.path
            .get(self.name.clone())
            .filter(|name| !name.is_empty())
    }
}

/// Somebody who looks for paths.
pub struct Walker<'a> {
    /// With whose rights.
    pub who: &'a Credentials,
    /// Where absolute paths begin.
    pub root: Arc<Inode>,
    /// Where relative paths begin.
    pub start: Arc<Inode>,
}

impl Walker<'_> {
    /// What `path` leads to. Errors of path_resolution(7).
    pub fn find(&self, path: Vec<u8>, last: Last) -> Result<Arc<Inode>> {
        self.walk(path, last)?.existing()
    }

    /// Goes along `path` up to its last name, which need not exist. ENOENT for the empty path.
    pub fn walk(&self, path: Vec<u8>, last: Last) -> Result<Found> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        let mut way = Way {
            path,
            at: 0,
            links: 0,
        };
        let mut here = Arc::clone(if way.absolute() {
            &self.root
        } else {
            &self.start
        });
        let mut ending = Ending::Root;
        loop {
            let Some(range) = way.next_name()? else {
                return Ok(Found {
                    inode: Some(Arc::clone(&here)),
                    directory: here,
                    ending,
                    path: way.path,
                    name: 0..0,
                });
            };
            here.check_search(self.who)?;
            match way.text(&range) {
                b"." => {
                    ending = Ending::Dot;
                    continue;
                }
                b".." => {
                    here = self.parent_of(here);
                    ending = Ending::DotDot;
                    continue;
                }
                _ => {}
            }
            let mut child = here.child(way.text(&range))?;
            let (is_last, slash) = way.ahead();
            if let Some(link) = child.as_ref().filter(|child| child.is_link())
                && (!is_last || last == Last::Follow || (slash && last == Last::Keep))
            {
                match self.follow(&mut way, link)? {
                    Some(target) => child = Some(target),
                    None => {
                        if way.absolute() {
                            here = Arc::clone(&self.root);
                        }
                        continue;
                    }
                }
            }
            if is_last {
                let ending = if slash {
                    Ending::NameSlash
                } else {
                    Ending::Name
                };
                let inode = child.map(cross_mounts);
                return Ok(Found {
                    directory: here,
                    inode,
                    ending,
                    path: way.path,
                    name: range,
                });
            }
            here = cross_mounts(child.ok_or(Errno::ENOENT)?);
        }
    }

    /// Goes on along the text of `link`; or, where it leads to an inode whatever its text says, returns that.
    fn follow(&self, way: &mut Way, link: &Inode) -> Result<Option<Arc<Inode>>> {
        way.count_link()?;
        if let Node::Report(report) = &link.node
            && let Some(target) = report.target()
        {
            return target.map(Some);
        }
        way.detour(&link.link_text()?)?;
        Ok(None)
    }

    /// The directory above; the root is above itself.
    fn parent_of(&self, here: Arc<Inode>) -> Arc<Inode> {
        if Arc::ptr_eq(&here, &self.root) {
            return here;
        }
        here.parent().unwrap_or(here)
    }
}

/// A path on which somebody is.
struct Way {
    path: Vec<u8>,
    at: usize,
    links: u32,
}

impl Way {
    fn absolute(&self) -> bool {
        self.path.first() == Some(&b'/')
    }

    /// Where the next name lies; None at the end. ENAMETOOLONG.
    fn next_name(&mut self) -> Result<Option<Range<usize>>> {
        let slashes = self.rest().iter().take_while(|byte| **byte == b'/').count();
        self.at += slashes;
        let length = self.rest().iter().take_while(|byte| **byte != b'/').count();
        if length > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let start = self.at;
        self.at += length;
        Ok((length > 0).then_some(start..self.at))
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.path.get(range.clone()).unwrap_or_default()
    }

    fn rest(&self) -> &[u8] {
        self.path.get(self.at..).unwrap_or_default()
    }

    /// Whether the last name has been read, and whether slashes follow it.
    fn ahead(&self) -> (bool, bool) {
        let rest = self.rest();
        (
            rest.iter().all(|byte| *byte == b'/'),
            rest.first() == Some(&b'/'),
        )
    }

    /// One more link on the way. ELOOP.
    fn count_link(&mut self) -> Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX {
            Err(Errno::ELOOP)
        } else {
            Ok(())
        }
    }

    /// Goes on along a link's text, then what is left. ENOENT: the text is empty. ENAMETOOLONG.
    fn detour(&mut self, text: &[u8]) -> Result<()> {
        let rest = self.rest();
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        // A text and a rest are each a path at most; what is nested beyond that is refused rather than let grow.
        if text.len() + rest.len() > 2 * PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut path = Vec::new();
        path.try_reserve_exact(text.len() + rest.len())
            .map_err(|_| Errno::ENOMEM)?;
        path.extend_from_slice(text);
        path.extend_from_slice(rest);
        (self.path, self.at) = (path, 0);
        Ok(())
    }
}

fn copy(text: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(text.len())
        .map_err(|_| Errno::ENOMEM)?;
    copy.extend_from_slice(text);
    Ok(copy)
}

/// The root of what is mounted on `inode`, if anything is, else itself.
#[must_use]
pub fn cross_mounts(inode: Arc<Inode>) -> Arc<Inode> {
    let mut here = inode;
    while let Node::Directory(directory) = &here.node
        && let Some(root) = directory.mounted()
    {
        here = root;
    }
    here
}

impl Inode {
    fn check_search(&self, who: &Credentials) -> Result<()> {
        if !self.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        self.check(who, Want::EXECUTE)
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        match &self.node {
            Node::Symlink(_) => true,
            Node::Report(report) => report.is_link(),
            _ => false,
        }
    }

    /// The text of a symbolic link. EINVAL: it is none. ENOENT, ESRCH: it leads nowhere any more. ENOMEM.
    pub fn link_text(&self) -> Result<Vec<u8>> {
        match &self.node {
            Node::Symlink(text) => copy(text),
            Node::Report(report) if report.is_link() => report.generate(),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What `name` leads to in this directory. ENOTDIR.
    fn child(self: &Arc<Self>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        match &self.node {
            Node::Directory(directory) => Ok(directory.lookup(name)),
            Node::Folder(folder) => folder.lookup(self, name),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn above(&self) -> Above {
        match &self.node {
            Node::Directory(directory) => directory.above(),
            Node::Folder(folder) => folder.above(),
            _ => Above::Top,
        }
    }

    /// The directory that this directory is in; what is mounted is where it is mounted. None at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Inode>> {
        let mut above = self.above();
        loop {
            match above {
                Above::Parent(parent) => return Some(parent),
                Above::Covered(covered) => above = covered.above(),
                Above::Top => return None,
            }
        }
    }

    fn name_of(self: &Arc<Self>, child: &Arc<Inode>) -> Option<Arc<[u8]>> {
        match &self.node {
            Node::Directory(directory) => directory.name_of(child),
            Node::Folder(folder) => folder.name_of(self, child),
            _ => None,
        }
    }
}

/// The path of a directory from `root` on (getcwd(2)). ENOENT: it has been removed. A directory outside `root` gets the
/// prefix "(unreachable)".
pub fn path_of(directory: &Arc<Inode>, root: &Arc<Inode>) -> Result<Vec<u8>> {
    let mut names: Vec<Arc<[u8]>> = Vec::new();
    let mut here = Arc::clone(directory);
    let mut reached = true;
    while !Arc::ptr_eq(&here, root) {
        if matches!(&here.node, Node::Directory(directory) if directory.removed()) {
            return Err(Errno::ENOENT);
        }
        match here.above() {
            Above::Covered(covered) => here = covered,
            Above::Parent(parent) => {
                names.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                names.push(parent.name_of(&here).ok_or(Errno::ENOENT)?);
                here = parent;
            }
            Above::Top => {
                reached = false;
                break;
            }
        }
    }
    let mut path = Vec::new();
    let length: usize = names.iter().map(|name| name.len() + 1).sum();
    path.try_reserve(length + UNREACHABLE.len() + 1)
        .map_err(|_| Errno::ENOMEM)?;
    if !reached {
        path.extend_from_slice(UNREACHABLE);
    }
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if names.is_empty() {
        path.push(b'/');
    }
    Ok(path)
}

/// What getcwd(2) puts before the path of a directory that cannot be reached from the root.
const UNREACHABLE: &[u8] = b"(unreachable)";

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
