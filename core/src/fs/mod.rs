//! Files: descriptors, open files, and the file systems behind them.

pub mod descriptors;
pub mod devfs;
pub mod devices;
pub mod directory;
pub mod file;
pub mod initramfs;
pub mod inode;
pub mod mount;
pub mod namespace;
pub mod open;
pub mod open_file;
pub mod path;
pub mod procfs;
pub mod regular;
pub mod stat;
#[cfg(test)]
mod testing;
