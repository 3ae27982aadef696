//! The tree of /dev: the devices, the links that programs expect there, and a directory for POSIX shared memory.

use alloc::sync::Arc;

use super::devices::DEVICES;
use super::directory::Directory;
use super::inode::{FileSystemId, Inode, Metadata, Node};
use crate::Result;
use crate::devices::Devices;

/// The links of /dev.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The root of a /dev, to be mounted.
#[must_use]
pub fn root(now: u64, devices: &Devices) -> Arc<Inode> {
    let names = Directory::root();
    // An empty directory that is not removed takes names that differ.
    let _ = DEVICES.iter().try_for_each(|(name, number, permissions)| {
        add(
            &names,
            name,
            Node::Device(*number),
            Metadata::new(*permissions, 0, 0, now),
        )
    });
    let _ = devices.names().try_for_each(|device| {
        add(
            &names,
            &device.name,
            Node::Device(device.number),
            Metadata::new(device.permissions, 0, 0, now),
        )
    });
    let _ = LINKS.iter().try_for_each(|(name, target)| {
        add(
            &names,
            name,
            Node::Symlink(target.as_bytes().into()),
            Metadata::new(0o777, 0, 0, now),
        )
    });
    let metadata = Metadata {
        links: 3,
        ..Metadata::new(0o755, 0, 0, now)
    };
    let root = Arc::new(Inode::new(
        FileSystemId::DEVICES,
        Node::Directory(names),
        metadata,
    ));
    if let Node::Directory(names) = &root.node {
        let metadata = Metadata {
            links: 2,
            ..Metadata::new(0o1777, 0, 0, now)
        };
        let _ = add(
            names,
            "shm",
            Node::Directory(Directory::new(&root)),
            metadata,
        );
    }
    root
}

fn add(names: &Directory, name: &str, node: Node, metadata: Metadata) -> Result<()> {
    names.insert(
        name.as_bytes(),
        Arc::new(Inode::new(FileSystemId::DEVICES, node, metadata)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_tree_has_devices_links_and_a_sticky_directory() {
        let root = root(7, &Devices::default());
        let names = root.directory().unwrap();
        assert_eq!(names.len(), DEVICES.len() + LINKS.len() + 1);
        let Node::Device(null) = names.lookup(b"null").unwrap().node else {
            panic!("null is no device")
        };
        assert_eq!((null.major, null.minor), (1, 3));
        assert_eq!(
            names.lookup(b"stdout").unwrap().link_text().unwrap(),
            b"/proc/self/fd/1"
        );
        assert_eq!(names.lookup(b"shm").unwrap().metadata().permissions, 0o1777);
    }
}
