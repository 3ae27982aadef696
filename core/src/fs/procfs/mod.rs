//! /proc: directories and files whose contents are made up when they are asked for (proc(5)).





use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use super::directory::Listed;
use super::file::File;
use super::inode::Inode;
use crate::io::Sink;
use crate::Result;

/// A directory whose names are made up.
pub trait Folder: Send + Sync {
    /// What `name` leads to.
    fn lookup(&self, name: &[u8]) -> Option<Arc<Inode>>;
    /// The first entry at or behind `cookie`; cookies of entries begin at 2.
    fn entry_from(&self, cookie: u64) -> Option<Listed>;
    /// The directory that it is in.
    fn parent(&self) -> Option<Arc<Inode>>;
    /// It is mounted somewhere: this is what it is in.
    fn set_parent(&self, parent: Weak<Inode>);

    /// The name under which `child` is here.
    fn name_of(&self, child: &Arc<Inode>) -> Option<Arc<[u8]>> {
        let mut cookie = 0;
        while let Some(entry) = self.entry_from(cookie) {
            if entry.inode.number == child.number {
                return Some(entry.name);
            }
            cookie = entry.cookie;
        }
        None
    }
}

/// A file whose contents are made up.
pub trait Report: Send + Sync {
    /// The contents now. ENOENT, ESRCH: what it reports on is gone. ENOMEM.
    fn generate(&self) -> Result<Vec<u8>>;

    /// Whether it is a symbolic link, whose text the contents are.
    fn is_link(&self) -> bool {
        false
    }
}

/// A report, open: the contents at the time of opening.
pub struct ReportFile {
    text: Vec<u8>,
    inode: Arc<Inode>,
}

impl ReportFile {
    /// Opens a report that says `text`.
    #[must_use]
    pub fn new(text: Vec<u8>, inode: Arc<Inode>) -> ReportFile {
        ReportFile { text, inode }
    }
}

impl File for ReportFile {
    fn try_read(&self, sink: &mut dyn Sink, at: u64) -> Result<usize> {
        let left = usize::try_from(at).ok().and_then(|at| self.text.get(at..)).unwrap_or_default();
        let piece = left.get(..sink.remaining()).unwrap_or(left);
        sink.put(piece)?;
        Ok(piece.len())
    }

    fn seekable(&self) -> bool {
        true
    }

    fn inode(&self) -> Option<&Arc<Inode>> {
        Some(&self.inode)
    }

    fn end(&self) -> u64 {
        self.text.len() as u64
    }
}
