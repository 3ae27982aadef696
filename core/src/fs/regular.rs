//! Regular files and directories, open: what ramfs puts behind a descriptor.

use alloc::sync::Arc;

use super::directory::Listed;
use super::file::File;
use super::inode::{Inode, Node};
use crate::io::{Sink, Source};
use crate::mm::MemoryObject;
use crate::time::{NANOS_PER_SECOND, WallClock};
use crate::wait::pause::PIECE_BYTES;
use crate::{Errno, Result};

/// A regular file, open. Its bytes are the memory object's; mappings share them, and do not change its times.
pub struct RegularFile {
    inode: Arc<Inode>,
    memory: Arc<MemoryObject>,
    clock: WallClock,
}

impl RegularFile {
    /// Opens `inode`, whose bytes are `memory`.
    #[must_use]
    pub fn new(inode: Arc<Inode>, memory: Arc<MemoryObject>, clock: WallClock) -> RegularFile {
        RegularFile {
            inode,
            memory,
            clock,
        }
    }

    fn changed(&self) {
        let now = self.clock.now();
        self.inode
            .update(|it| (it.modified, it.changed) = (now, now));
    }

    /// Notes a read, as Linux's relatime does: only the first one after a change, and one a day.
    fn accessed(&self) {
        const DAY: u64 = 86_400 * NANOS_PER_SECOND;
        let now = self.clock.now();
        self.inode.update(|it| {
            if it.accessed <= it.modified
                || it.accessed <= it.changed
                || now.saturating_sub(it.accessed) >= DAY
            {
                it.accessed = now;
            }
        });
    }
}

impl File for RegularFile {
    fn try_read(&self, sink: &mut dyn Sink, at: u64) -> Result<usize> {
        let count = self.memory.read_at(sink, at)?;
        self.accessed();
        Ok(count)
    }

    fn try_write(&self, source: &mut dyn Source, at: u64) -> Result<usize> {
        let count = self.memory.write_at(source, at)?;
        self.changed();
        Ok(count)
    }

    fn try_append(&self, source: &mut dyn Source) -> Result<(usize, u64)> {
        let appended = self.memory.append(source)?;
        self.changed();
        Ok(appended)
    }

    fn piece(&self) -> usize {
        PIECE_BYTES
    }

    fn seekable(&self) -> bool {
        true
    }

    fn memory(&self) -> Result<Arc<MemoryObject>> {
        Ok(Arc::clone(&self.memory))
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.memory.set_size(length)?;
        self.changed();
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// A directory, open. Its position is the cookie of the entry to come.
pub struct DirectoryFile {
    inode: Arc<Inode>,
}

impl DirectoryFile {
    /// Opens `inode`, a directory.
    #[must_use]
    pub fn new(inode: Arc<Inode>) -> DirectoryFile {
        DirectoryFile { inode }
    }

    /// `.` and `..`, which are not among the names.
    fn dots(&self, cookie: u64) -> Option<Listed> {
        let (name, inode): (&[u8], _) = match cookie {
            0 => (b".", Arc::clone(&self.inode)),
            1 => (
                b"..",
                self.inode
                    .parent()
                    .unwrap_or_else(|| Arc::clone(&self.inode)),
            ),
            _ => return None,
        };
        Some(Listed {
            name: Arc::from(name),
            cookie: cookie + 1,
            inode,
        })
    }
}

impl File for DirectoryFile {
    fn try_read(&self, _: &mut dyn Sink, _: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn entry_from(&self, cookie: u64) -> Result<Option<Listed>> {
        if let Some(dot) = self.dots(cookie) {
            return Ok(Some(dot));
        }
        match &self.inode.node {
            Node::Directory(directory) if directory.removed() => Err(Errno::ENOENT),
            Node::Directory(directory) => Ok(directory.entry_from(cookie)),
            Node::Folder(folder) => Ok(folder.entry_from(&self.inode, cookie)),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

/// A file opened with O_PATH: a name for an inode, with no access to its contents.
pub struct PathFile {
    inode: Arc<Inode>,
}

impl PathFile {
    /// Names `inode`.
    #[must_use]
    pub fn new(inode: Arc<Inode>) -> PathFile {
        PathFile { inode }
    }
}

impl File for PathFile {
    fn try_read(&self, _: &mut dyn Sink, _: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn try_write(&self, _: &mut dyn Source, _: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }
}
