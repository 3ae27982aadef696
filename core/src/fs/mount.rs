//! What is mounted where (mount(2)), and the types of file systems that can be. The list of mounts has lock level 1.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::directory::{Above, Directory};
use super::inode::{FileSystemId, Inode, Metadata, Node};
use super::namespace::{Maker, Namespace};
use super::path::{Last, Walker};
use super::{devfs, path, procfs};
use crate::kernel::Kernel;
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// The most mounts at once (as /proc/sys/fs/mount-max, but smaller).
const MOUNTS_MAX: usize = 1024;

/// A file system that is mounted.
pub struct Mount {
    /// The directory that it covers.
    pub covered: Arc<Inode>,
    /// Its root.
    pub root: Arc<Inode>,
    /// The path at which it was mounted.
    pub path: Vec<u8>,
    /// Its type.
    pub kind: Kind,
}

impl Mount {
    /// Parts it from what it covered. What is dropped is dropped here, with no lock held.
    fn take_away(self) -> Result<()> {
        let taken = self.covered.directory()?.unmount();
        self.root.set_covered(None);
        drop(taken);
        Ok(())
    }
}

/// A type of file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Files in memory. `tmpfs` is the same: neither is ever written out.
    Ram,
    /// The devices.
    Devices,
    /// What the kernel says about itself and its processes.
    Processes,
    /// The names of POSIX message queues.
    Queues,
}

/// The names by which mount(2) knows the types.
pub const NAMES: [(&str, Kind); 6] = [
    ("ramfs", Kind::Ram),
    ("tmpfs", Kind::Ram),
    ("devtmpfs", Kind::Devices),
    ("devfs", Kind::Devices),
    ("proc", Kind::Processes),
    ("mqueue", Kind::Queues),
];

impl Kind {
    /// The type of that name. ENODEV.
    pub fn from_name(name: &[u8]) -> Result<Kind> {
        NAMES
            .iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, kind)| *kind)
            .ok_or(Errno::ENODEV)
    }

    /// Its name in /proc/mounts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Ram => "tmpfs",
            Kind::Devices => "devtmpfs",
            Kind::Processes => "proc",
            Kind::Queues => "mqueue",
        }
    }

    /// Makes the root of a file system of this type; of devices and processes there is but one in each.
    #[must_use]
    pub fn make_root(self, kernel: &'static Kernel) -> Arc<Inode> {
        match self {
            Kind::Ram => {
                let metadata = Metadata {
                    links: 2,
                    ..Metadata::new(0o1777, 0, 0, kernel.wall_clock())
                };
                Arc::new(Inode::new(
                    FileSystemId::next(),
                    Node::Directory(Directory::root()),
                    metadata,
                ))
            }
            Kind::Devices => devfs::root(kernel.wall_clock(), &kernel.devices),
            Kind::Processes => procfs::build::root(kernel),
            Kind::Queues => Arc::clone(kernel.posix_queues.root()),
        }
    }
}

/// What every system has mounted. What shm_open(3) makes is in a memory file system of its own, as programs expect.
const STANDARD: [(&str, Kind); 4] = [
    ("/dev", Kind::Devices),
    ("/dev/mqueue", Kind::Queues),
    ("/dev/shm", Kind::Ram),
    ("/proc", Kind::Processes),
];

/// Mounts what every system has, making the directories where the initramfs has none.
pub fn mount_standard(kernel: &'static Kernel) -> Result<()> {
    for (path, kind) in STANDARD {
        let who = Credentials::root();
        let top = || Arc::clone(kernel.names.root());
        let walker = Walker {
            who: &who,
            root: top(),
            start: top(),
        };
        let found = walker.walk(path.as_bytes().to_vec(), Last::Follow)?;
        let covered = match &found.inode {
            Some(inode) => Arc::clone(inode),
            None => {
                let maker = Maker {
                    who: &who,
                    permissions: 0o755,
                    now: kernel.wall_clock(),
                };
                kernel.names.make_directory(&found, maker)?
            }
        };
        kernel.names.mount_new(kernel, &covered, kind)?;
    }
    Ok(())
}

impl Namespace {
    /// Mounts the file system with root `root` on the directory `covered`. ENOTDIR, EBUSY, ENOENT (removed), ENOSPC.
    pub fn mount(&self, covered: &Arc<Inode>, root: Arc<Inode>, kind: Kind) -> Result<()> {
        let path = path::path_of(covered, self.root())?;
        let mut mounts = self.mounts.lock();
        if mounts.len() >= MOUNTS_MAX {
            return Err(Errno::ENOSPC);
        }
        mounts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let Node::Directory(directory) = &covered.node else {
            return Err(if covered.is_directory() {
                Errno::EBUSY
            } else {
                Errno::ENOTDIR
            });
        };
        directory.mount(&root)?;
        root.set_covered(Some(covered));
        mounts.push(Mount {
            covered: Arc::clone(covered),
            root,
            path,
            kind,
        });
        Ok(())
    }

    /// Takes away the file system with root `root`. EINVAL: there is none. EBUSY, unless `detach`: something is mounted in
    /// it, or its root is open or somebody's current directory. Files open deeper in it stay usable either way. With `detach`
    /// what is mounted in it goes too (MNT_DETACH of umount2(2)). ENOMEM.
    pub fn unmount(&self, root: &Arc<Inode>, detach: bool) -> Result<()> {
        /// The list's, the covered directory's, and the caller's.
        const KNOWN_HOLDERS: usize = 3;
        let mut mounts = self.mounts.lock();
        let is_it = |mount: &Mount| Arc::ptr_eq(&mount.root, root);
        if !mounts.iter().any(is_it) {
            return Err(Errno::EINVAL);
        }
        let goes = |mount: &Mount| is_it(mount) || is_beneath(&mount.covered, root);
        let count = mounts.iter().filter(|mount| goes(mount)).count();
        if !detach && (count > 1 || Arc::strong_count(root) > KNOWN_HOLDERS) {
            return Err(Errno::EBUSY);
        }
        let mut going = Vec::new();
        going.try_reserve(count).map_err(|_| Errno::ENOMEM)?;
        // All are found before the first is taken out of the tree, by which the others are found.
        going.extend(mounts.extract_if(.., |mount| goes(mount)));
        drop(mounts);
        going.into_iter().try_for_each(Mount::take_away)
    }

    /// Does `visit` for each mount in the order in which they were made, with the list's lock held.
    pub fn for_each_mount(&self, mut visit: impl FnMut(&Mount)) {
        self.mounts.lock().iter().for_each(&mut visit);
    }

    /// Mounts a fresh file system of type `kind` on the directory `covered`.
    pub fn mount_new(
        &self,
        kernel: &'static Kernel,
        covered: &Arc<Inode>,
        kind: Kind,
    ) -> Result<()> {
        self.mount(covered, kind.make_root(kernel), kind)
    }
}

/// Whether `inode` is in the file system with root `root`, or in one that is mounted in it.
fn is_beneath(inode: &Arc<Inode>, root: &Arc<Inode>) -> bool {
    let mut here = Arc::clone(inode);
    loop {
        if Arc::ptr_eq(&here, root) {
            return true;
        }
        match here.above() {
            Above::Parent(above) | Above::Covered(above) => here = above,
            Above::Top => return false,
        }
    }
}

impl Inode {
    fn set_covered(&self, covered: Option<&Arc<Inode>>) {
        match &self.node {
            Node::Directory(directory) => directory.set_covered(covered),
            Node::Folder(folder) => folder.set_covered(covered),
            _ => {}
        }
    }
}
