//! What every system has mounted: devices at /dev. The tree is built once at boot.

use alloc::string::String;
use alloc::sync::{Arc, Weak};

use super::devices::DEVICES;
use super::directory::Directory;
use super::inode::{FileSystemId, Inode, Metadata, Node};
use super::namespace::Maker;
use super::path::{Last, Walker};
use crate::kernel::Kernel;
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

/// Mounts the file systems that every system has, making the directories where the initramfs has none.
pub fn mount_standard(kernel: &'static Kernel) -> Result<()> {
    let now = kernel.wall_clock();
    mount_at(kernel, "/dev", device_tree(now)?, "devtmpfs")
}

/// Mounts `root` at `path`, an absolute path one level deep.
fn mount_at(kernel: &'static Kernel, path: &str, root: Arc<Inode>, kind: &'static str) -> Result<()> {
    let who = Credentials::root();
    let walker = Walker { who: &who, root: Arc::clone(kernel.names.root()), start: Arc::clone(kernel.names.root()) };
    let found = walker.walk(path.as_bytes().to_vec(), Last::Follow)?;
    let covered = match &found.inode {
        Some(inode) => Arc::clone(inode),
        None => {
            let maker = Maker { who: &who, permissions: 0o755, now: kernel.wall_clock() };
            kernel.names.make_directory(&found, maker)?
        }
    };
    kernel.names.mount(&covered, root, String::from(path), kind)
}

/// A directory with the devices, and shm for POSIX shared memory.
fn device_tree(now: u64) -> Result<Arc<Inode>> {
    let id = FileSystemId(1);
    let root = directory(id, Weak::new(), 0o755, now);
    for (name, number, permissions) in DEVICES {
        let device = Inode::new(id, Node::Device(number), Metadata::new(permissions, 0, 0, now));
        names(&root)?.insert(name.as_bytes(), Arc::new(device))?;
    }
    let shared = directory(id, Arc::downgrade(&root), 0o1777, now);
    names(&root)?.insert(b"shm", shared)?;
    for (name, target) in
        [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")]
    {
        let link = Node::Symlink(target.as_bytes().into());
        names(&root)?.insert(name.as_bytes(), Arc::new(Inode::new(id, link, Metadata::new(0o777, 0, 0, now))))?;
    }
    Ok(root)
}

fn directory(id: FileSystemId, parent: Weak<Inode>, permissions: u32, now: u64) -> Arc<Inode> {
    let inode = Inode::new(id, Node::Directory(Directory::new(parent)), Metadata::new(permissions, 0, 0, now));
    inode.update(|it| it.links = 2);
    Arc::new(inode)
}

fn names(inode: &Inode) -> Result<&Directory> {
    inode.directory().map_err(|_| Errno::ENOTDIR)
}
