//! What the tests of devices share.

use alloc::sync::Arc;

use crate::fs::inode::{DeviceNumber, FileSystemId, Inode, Metadata, Node};

/// A name of /dev.
pub(super) fn inode() -> Arc<Inode> {
    let number = DeviceNumber { major: 0, minor: 0 };
    let metadata = Metadata::new(0o600, 0, 0, 0);
    let node = Node::Device(number);
    Arc::new(Inode::new(FileSystemId::DEVICES, node, metadata))
}
