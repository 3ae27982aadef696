//! /proc: directories and files whose contents are made up when they are asked for (proc(5)).
//!
//! Nothing is kept: a lookup makes an inode, whose number is made of the path, so that it is the same each time. What an
//! entry says is written by a function of [`system`] (about the kernel) or [`process`] (about a process) into a [`Text`];
//! [`build`] has the list of entries and makes the directories of it.

pub mod build;
mod descriptors;
pub mod process;
pub mod system;
mod sysvipc;
mod text;

use alloc::sync::Arc;
use alloc::vec::Vec;

pub use text::Text;

use super::directory::{Above, Listed};
use super::file::File;
use super::inode::{Inode, Node};
use crate::io::{Sink, Source};
use crate::{Errno, Result};

/// A directory whose names are made up. `me` is always its own inode.
pub trait Folder: Send + Sync {
    /// What `name` leads to. ENOENT: what the directory is about is gone.
    fn lookup(&self, me: &Arc<Inode>, name: &[u8]) -> Result<Option<Arc<Inode>>>;
    /// The first entry at or behind `cookie`; cookies of entries begin at 2.
    fn entry_from(&self, me: &Arc<Inode>, cookie: u64) -> Option<Listed>;
    /// Where it is.
    fn above(&self) -> Above;

    /// It is mounted on `covered`, or nowhere any more. Only of a root.
    fn set_covered(&self, covered: Option<&Arc<Inode>>) {
        let _ = covered;
    }

    /// The name of `child` here. Made-up inodes are told apart by their numbers.
    fn name_of(&self, me: &Arc<Inode>, child: &Arc<Inode>) -> Option<Arc<[u8]>> {
        let mut cookie = 0;
        while let Some(entry) = self.entry_from(me, cookie) {
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

    /// Takes what a program writes into it. EINVAL: it is no such text, or nothing can be written.
    fn store(&self, text: &[u8]) -> Result<()> {
        let _ = text;
        Err(Errno::EINVAL)
    }

    /// Whether it is a symbolic link, whose text the contents are.
    fn is_link(&self) -> bool {
        false
    }

    /// What a link leads to, where that is not what its text says. ENOENT: nothing any more.
    fn target(&self) -> Option<Result<Arc<Inode>>> {
        None
    }
}

/// The longest text that can be written into a file here.
const SETTING_MAX: usize = 32;

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
        let left = usize::try_from(at)
            .ok()
            .and_then(|at| self.text.get(at..))
            .unwrap_or_default();
        let piece = left.get(..sink.remaining()).unwrap_or(left);
        let room = sink.remaining();
        let put = sink.put(piece);
        let done = room - sink.remaining();
        if done > 0 { Ok(done) } else { put.map(|()| 0) }
    }

    /// A write says all at once, from its first byte: what is behind it is not a part of it.
    fn try_write(&self, source: &mut dyn Source, _at: u64) -> Result<usize> {
        let Node::Report(report) = &self.inode.node else {
            return Err(Errno::EINVAL);
        };
        let mut text = [0; SETTING_MAX];
        let length = source.remaining();
        let text = text.get_mut(..length).ok_or(Errno::EINVAL)?;
        source.take(text)?;
        report.store(text)?;
        Ok(length)
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

/// The number of the inode `name` in the directory of number `above`: FNV-1a, with the top bit set to keep clear of numbers
/// that are given in turn.
fn number_below(above: u64, name: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x100_0000_01b3;
    let start = (OFFSET ^ above).wrapping_mul(PRIME);
    let hash = name.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    hash | 1 << 63
}

/// A decimal number without leading zeros, as a process's or descriptor's name is.
fn decimal(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_names_have_one_form() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"32767"), Some(32767));
        for bad in [&b""[..], b"01", b"+1", b"-1", b"1x", b"4294967296", b"\xff"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn number_of_a_path_is_its_own() {
        let a = number_below(1, b"self");
        assert_eq!(a, number_below(1, b"self"));
        assert_ne!(a, number_below(2, b"self"));
        assert_ne!(a, number_below(1, b"selg"));
    }
}
