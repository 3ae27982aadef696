//! The first files: a cpio archive in the "newc" format (cpio(5); Linux's initramfs buffer format).
//!
//! The archive is foreign: whatever it holds, the outcome is a tree and, if it is broken, an error that says where. What was
//! unpacked before the fault stays.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;

use super::inode::{
    DeviceNumber, Inode, Node, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG,
};
use super::namespace::{Maker, Namespace};
use super::path::{Last, PATH_MAX, Walker};
use crate::ipc::fifo::Fifo;
use crate::mm::{Memory, MemoryObject};
use crate::process::credentials::Credentials;
use crate::{Errno, Result};

const HEADER: usize = 110;
const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";

/// What is wrong with an archive, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadArchive {
    /// Offset of the entry.
    pub offset: usize,
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

impl fmt::Display for BadArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "initramfs: entry at byte {}: ", self.offset)?;
        match self.fault {
            Fault::Truncated => f.write_str("the archive ends in the middle of it"),
            Fault::Magic => f.write_str("no newc header (070701) begins there"),
            Fault::Number => f.write_str("a header field is not a hexadecimal number"),
            Fault::Name => f.write_str("its name is empty, too long or not terminated"),
            Fault::Refused(errno) => write!(f, "cannot be made: {errno}"),
        }
    }
}

/// One entry.
struct Entry<'a> {
    inode: u32,
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
}

impl<'a> Reader<'a> {
    /// The next entry; None at the trailer. Leading zeros between archives are skipped.
    fn next(&mut self) -> core::result::Result<Option<Entry<'a>>, Fault> {
        let header = self.take(HEADER)?;
        if !header.starts_with(MAGIC) {
            return Err(Fault::Magic);
        }
        let mut fields = [0u32; 13];
        for (field, digits) in fields
            .iter_mut()
            .zip(header.get(MAGIC.len()..).unwrap_or_default().chunks(8))
        {
            *field = hexadecimal(digits)?;
        }
        let [
            inode,
            mode,
            uid,
            gid,
            links,
            modified,
            size,
            _,
            _,
            major,
            minor,
            name_size,
            _,
        ] = fields;
        if name_size == 0 || name_size as usize > PATH_MAX {
            return Err(Fault::Name);
        }
        let name = self
            .take(name_size as usize)?
            .strip_suffix(&[0])
            .ok_or(Fault::Name)?;
        self.align();
        let data = self.take(size as usize)?;
        self.align();
        if name == TRAILER {
            return Ok(None);
        }
        if name.is_empty() || name.contains(&0) {
            return Err(Fault::Name);
        }
        let device = DeviceNumber { major, minor };
        Ok(Some(Entry {
            inode,
            mode,
            uid,
            gid,
            links,
            modified,
            device,
            name,
            data,
        }))
    }

    fn take(&mut self, count: usize) -> core::result::Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).ok_or(Fault::Truncated)?;
        let bytes = self.archive.get(self.at..end).ok_or(Fault::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    /// Names and files begin at multiples of four.
    fn align(&mut self) {
        self.at = self.at.saturating_add(3) & !3;
    }
}

fn hexadecimal(digits: &[u8]) -> core::result::Result<u32, Fault> {
    digits.iter().try_fold(0u32, |value, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or(Fault::Number)?;
        Ok(value << 4 | digit)
    })
}

/// Unpacks `archive` into `names`. Returns how many entries there were.
pub fn unpack(
    names: &Namespace,
    memory: &'static Memory,
    archive: &[u8],
) -> core::result::Result<usize, BadArchive> {
    let mut reader = Reader { archive, at: 0 };
    let mut linked: BTreeMap<u32, Arc<Inode>> = BTreeMap::new();
    let mut count = 0;
    loop {
        let offset = reader.at;
        let place = |fault| BadArchive { offset, fault };
        let Some(entry) = reader.next().map_err(place)? else {
            return Ok(count);
        };
        add(names, memory, &entry, &mut linked).map_err(|errno| place(Fault::Refused(errno)))?;
        count += 1;
    }
}

fn add(
    names: &Namespace,
    memory: &'static Memory,
    entry: &Entry<'_>,
    linked: &mut BTreeMap<u32, Arc<Inode>>,
) -> Result<()> {
    let root = Credentials::root();
    let now = u64::from(entry.modified) * crate::time::NANOS_PER_SECOND;
    let walker = Walker {
        who: &root,
        root: Arc::clone(names.root()),
        start: Arc::clone(names.root()),
    };
    let at = walker.walk(entry.name.to_vec(), Last::Keep)?;
    let maker = Maker {
        who: &root,
        permissions: entry.mode & 0o7777,
        now,
    };
    if let (Some(there), S_IFDIR) = (&at.inode, entry.mode & S_IFMT) {
        there.update(|it| {
            (it.permissions, it.uid, it.gid) = (maker.permissions, entry.uid, entry.gid)
        });
        return Ok(());
    }
    if entry.links > 1
        && let Some(first) = linked.get(&entry.inode)
    {
        // Of hard links, the archive may give the bytes with any: the one that has them fills the file.
        fill(first, entry.data)?;
        return names.link(first, &at, &root, now);
    }
    let inode = match entry.mode & S_IFMT {
        S_IFDIR => names.make_directory(&at, maker)?,
        S_IFREG => {
            let object = MemoryObject::from_bytes(memory, entry.data)?;
            names.create(&at, Node::Regular(object), maker)?
        }
        S_IFLNK => names.make_link(&at, entry.data.to_vec(), maker)?,
        S_IFCHR => names.create(&at, Node::Device(entry.device), maker)?,
        S_IFIFO => names.create(&at, Node::Fifo(Fifo::default()), maker)?,
        _ => return Err(Errno::EINVAL),
    };
    inode.update(|it| (it.uid, it.gid) = (entry.uid, entry.gid));
    if entry.links > 1 && !inode.is_directory() {
        linked.insert(entry.inode, inode);
    }
    Ok(())
}

fn fill(inode: &Inode, data: &[u8]) -> Result<()> {
    let Node::Regular(object) = &inode.node else {
        return Ok(());
    };
    if data.is_empty() {
        return Ok(());
    }
    object.write_at(&mut &*data, 0).map(|_| ())
}
