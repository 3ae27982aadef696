//! The first files: a cpio archive in the "newc" format (cpio(5); Linux's initramfs buffer format), or several in a row.
//!
//! The archive is foreign: whatever it holds, the outcome is a tree and, if something is wrong, an error that says where. What
//! was unpacked before the fault stays. An entry that cannot be made is passed over; where it is not clear where the next
//! one begins, the rest is.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;

use super::inode::{
    DeviceNumber, Inode, Node, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK,
};
use super::namespace::{Maker, Namespace};
use super::path::{Found, Last, PATH_MAX, Walker};
use crate::ipc::fifo::Fifo;
use crate::mm::{Memory, MemoryObject};
use crate::process::credentials::Credentials;
use crate::time::NANOS_PER_SECOND;
use crate::{Errno, Result};

const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";

/// What is wrong with an archive, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadArchive<'a> {
    /// Which entry, counted from 0.
    pub entry: usize,
    /// Its offset in bytes.
    pub offset: usize,
    /// Its name, as far as it is known.
    pub name: &'a [u8],
    /// What.
    pub fault: Fault,
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends in the middle of a header, name or file.
    Truncated,
    /// No header begins here.
    Magic,
    /// A header field is no hexadecimal number.
    Number,
    /// A name is empty, too long or without its NUL.
    Name,
    /// The tree did not take the entry.
    Refused(Errno),
}

impl fmt::Display for BadArchive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "initramfs: entry {} at byte {}", self.entry, self.offset)?;
        if !self.name.is_empty() {
            write!(f, " (\"{}\")", self.name.escape_ascii())?;
        }
        f.write_str(": ")?;
        match self.fault {
            Fault::Truncated => f.write_str("the archive ends in the middle of it"),
            Fault::Magic => f.write_str("no newc header (070701) begins there"),
            Fault::Number => f.write_str("a header field is not a hexadecimal number"),
            Fault::Name => f.write_str("its name is empty, too long or not terminated"),
            Fault::Refused(errno) => write!(f, "cannot be made: {errno}"),
        }
    }
}

/// What tells inodes of an archive apart: device and number.
type LinkKey = (u32, u32, u32);

/// One entry.
struct Entry<'a> {
    key: LinkKey,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    modified: u32,
    device: DeviceNumber,
    name: &'a [u8],
    data: &'a [u8],
}

/// A reader of an archive.
struct Reader<'a> {
    archive: &'a [u8],
    at: usize,
    /// The name of the entry being read, once it is known.
    name: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next entry; None at a trailer.
    fn next(&mut self) -> core::result::Result<Option<Entry<'a>>, Fault> {
        self.name = &[];
        let rest = self.archive.get(self.at..).unwrap_or_default();
        if !rest.iter().zip(MAGIC).all(|(byte, magic)| byte == magic) {
            return Err(Fault::Magic);
        }
        let header = self.take(HEADER)?;
        let digits = header.get(MAGIC.len()..).unwrap_or_default();
        let mut fields = [0u32; 13];
        for (field, digits) in fields.iter_mut().zip(digits.chunks(8)) {
            *field = hexadecimal(digits)?;
        }
        let [number, mode, uid, gid, links, modified, size, fields @ ..] = fields;
        let [on_major, on_minor, major, minor, name_size, _checksum] = fields;
        if name_size as usize > PATH_MAX {
            return Err(Fault::Name);
        }
        let name = self.take(name_size as usize)?.strip_suffix(&[0]);
        let name = name.filter(|name| !name.is_empty() && !name.contains(&0));
        self.name = name.ok_or(Fault::Name)?;
        self.align();
        let data = self.take(size as usize)?;
        self.align();
        if self.name == TRAILER {
            return Ok(None);
        }
        let (key, device) = ((on_major, on_minor, number), DeviceNumber { major, minor });
        Ok(Some(Entry {
            key,
            mode,
            uid,
            gid,
            links,
            modified,
            device,
            name: self.name,
            data,
        }))
    }

    fn take(&mut self, count: usize) -> core::result::Result<&'a [u8], Fault> {
        // The padding in front of nothing may be missing at the end.
        if count == 0 {
            return Ok(&[]);
        }
        let end = self.at.checked_add(count).ok_or(Fault::Truncated)?;
        let bytes = self.archive.get(self.at..end).ok_or(Fault::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    /// Names and files begin at multiples of four.
    fn align(&mut self) {
        self.at = self.at.saturating_add(3) & !3;
    }

    /// Passes over zeros between archives and behind the last; false at the end.
    fn next_archive(&mut self) -> bool {
        let rest = self.archive.get(self.at..).unwrap_or_default();
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        self.at += zeros;
        zeros < rest.len()
    }
}

fn hexadecimal(digits: &[u8]) -> core::result::Result<u32, Fault> {
    digits.iter().try_fold(0u32, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Fault::Number)?;
        Ok(value << 4 | digit)
    })
}

/// Unpacks `archive` into `names`. Returns how many entries there were.
///
/// # Errors
/// The first thing that was wrong. All that could be made has been made nevertheless.
pub fn unpack<'a>(
    names: &Namespace,
    memory: &'static Memory,
    archive: &'a [u8],
) -> core::result::Result<usize, BadArchive<'a>> {
    let mut reader = Reader {
        archive,
        at: 0,
        name: &[],
    };
    let mut unpacker = Unpacker {
        names,
        memory,
        who: Credentials::root(),
        linked: BTreeMap::new(),
    };
    let mut count = 0;
    let mut first_fault = None;
    while reader.next_archive() {
        loop {
            let offset = reader.at;
            let entry = reader.next();
            let bad = |fault| BadArchive {
                entry: count,
                offset,
                name: reader.name,
                fault,
            };
            match entry.map_err(bad) {
                Ok(None) => break,
                Ok(Some(entry)) => {
                    if let Err(errno) = unpacker.add(&entry) {
                        first_fault.get_or_insert(bad(Fault::Refused(errno)));
                    }
                }
                Err(bad) => return Err(first_fault.unwrap_or(bad)),
            }
            count += 1;
        }
        unpacker.linked.clear();
    }
    first_fault.map_or(Ok(count), Err)
}

/// Makes entries.
struct Unpacker<'n> {
    names: &'n Namespace,
    memory: &'static Memory,
    who: Credentials,
    /// The inodes of this archive that more names may follow for.
    linked: BTreeMap<LinkKey, Arc<Inode>>,
}

impl Unpacker<'_> {
    fn find(&self, name: &[u8]) -> Result<Found> {
        let root = || Arc::clone(self.names.root());
        let walker = Walker {
            who: &self.who,
            root: root(),
            start: root(),
        };
        walker.walk(name.to_vec(), Last::Name)
    }

    fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        let now = u64::from(entry.modified) * NANOS_PER_SECOND;
        let mut at = self.find(entry.name)?;
        if let Some(there) = &at.inode {
            if there.is_directory() && entry.mode & S_IFMT == S_IFDIR {
                let permissions = entry.mode & 0o7777;
                there.update(|it| {
                    (it.permissions, it.uid, it.gid) = (permissions, entry.uid, entry.gid);
                });
                return Ok(());
            }
            // What a later entry says counts.
            self.names.unlink(&at, false, &self.who, now)?;
            at = self.find(entry.name)?;
        }
        if entry.links > 1
            && let Some(first) = self.linked.get(&entry.key)
        {
            // The archive may give the bytes with any of the names: the one that has them fills the file.
            fill(first, entry.data)?;
            return self.names.link(first, &at, &self.who, now);
        }
        let inode = self.make(&at, entry, now)?;
        inode.update(|it| (it.uid, it.gid) = (entry.uid, entry.gid));
        if entry.links > 1 && !inode.is_directory() {
            self.linked.insert(entry.key, inode);
        }
        Ok(())
    }

    /// EINVAL: a kind that there is not (block devices).
    fn make(&self, at: &Found, entry: &Entry<'_>, now: u64) -> Result<Arc<Inode>> {
        let maker = Maker {
            who: &self.who,
            permissions: entry.mode & 0o7777,
            now,
        };
        let node = match entry.mode & S_IFMT {
            S_IFDIR => return self.names.make_directory(at, maker),
            S_IFLNK if entry.data.len() >= PATH_MAX => return Err(Errno::ENAMETOOLONG),
            S_IFLNK => return self.names.make_link(at, entry.data.to_vec(), maker),
            S_IFREG => Node::Regular(MemoryObject::from_bytes(self.memory, entry.data)?),
            S_IFCHR => Node::Device(entry.device),
            S_IFIFO => Node::Fifo(Fifo::default()),
            S_IFSOCK => Node::Socket(crate::ipc::unix::SocketPlace::empty()),
            _ => return Err(Errno::EINVAL),
        };
        self.names.create(at, node, maker)
    }
}

/// ENOMEM: there is no room for all of `data`.
fn fill(inode: &Inode, data: &[u8]) -> Result<()> {
    let Node::Regular(object) = &inode.node else {
        return Ok(());
    };
    let written = object.write_at(&mut &*data, 0)?;
    if written < data.len() {
        Err(Errno::ENOMEM)
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[path = "initramfs_tests.rs"]
mod tests;
