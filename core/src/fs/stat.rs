//! What stat(2), statx(2) and statfs(2) report, in the layouts of arm64.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::inode::{Inode, Node};
use super::open_file::OpenFile;
use crate::machine::PAGE_SIZE;
use crate::time::NANOS_PER_SECOND;

/// `struct stat` of arm64 (asm-generic/stat.h).
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[allow(missing_docs, reason = "the names are those of the manual page")]
pub struct Stat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_mode: u32,
    pub st_nlink: u32,
    pub st_uid: u32,
    pub st_gid: u32,
    pub st_rdev: u64,
    pad1: u64,
    pub st_size: i64,
    pub st_blksize: i32,
    pad2: i32,
    pub st_blocks: i64,
    pub st_atim: [i64; 2],
    pub st_mtim: [i64; 2],
    pub st_ctim: [i64; 2],
    unused: [u32; 2],
}

/// The block size that is recommended for I/O.
const BLOCK: i32 = 4096;

fn time(nanos: u64) -> [i64; 2] {
    [
        (nanos / NANOS_PER_SECOND) as i64,
        (nanos % NANOS_PER_SECOND) as i64,
    ]
}

impl Stat {
    /// Of an inode.
    #[must_use]
    pub fn of(inode: &Inode) -> Stat {
        let metadata = inode.metadata();
        let size = inode.size();
        let blocks = match &inode.node {
            Node::Regular(memory) => (memory.resident_pages() * (PAGE_SIZE / 512)) as i64,
            _ => 0,
        };
        let device = match inode.node {
            Node::Device(number) => number.encode(),
            _ => 0,
        };
        Stat {
            st_dev: u64::from(inode.file_system.0) + 1,
            st_ino: inode.number,
            st_mode: inode.type_bits() | metadata.permissions,
            st_nlink: metadata.links,
            st_uid: metadata.uid,
            st_gid: metadata.gid,
            st_rdev: device,
            st_size: size as i64,
            st_blksize: BLOCK,
            st_blocks: blocks,
            st_atim: time(metadata.accessed),
            st_mtim: time(metadata.modified),
            st_ctim: time(metadata.changed),
            ..Stat::default()
        }
    }

    /// Of an open file: its inode's, or of what has none (a pipe), type and permissions alone.
    #[must_use]
    pub fn of_file(file: &OpenFile) -> Stat {
        let special = file.file().special();
        let anonymous = || Stat {
            st_mode: special.file_type() | special.permissions(),
            st_ino: special.number().unwrap_or(0),
            st_nlink: 1,
            st_blksize: BLOCK,
            ..Stat::default()
        };
        file.inode().map_or_else(anonymous, |inode| Stat::of(inode))
    }
}

/// `struct statx` (linux/stat.h): 256 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[allow(missing_docs, reason = "the names are those of the manual page")]
pub struct Statx {
    pub stx_mask: u32,
    pub stx_blksize: u32,
    pub stx_attributes: u64,
    pub stx_nlink: u32,
    pub stx_uid: u32,
    pub stx_gid: u32,
    pub stx_mode: u16,
    pad: u16,
    pub stx_ino: u64,
    pub stx_size: u64,
    pub stx_blocks: u64,
    pub stx_attributes_mask: u64,
    pub stx_atime: StatxTime,
    pub stx_btime: StatxTime,
    pub stx_ctime: StatxTime,
    pub stx_mtime: StatxTime,
    pub stx_rdev_major: u32,
    pub stx_rdev_minor: u32,
    pub stx_dev_major: u32,
    pub stx_dev_minor: u32,
    spare: [u64; 14],
}

/// A time in `struct statx`.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[allow(missing_docs, reason = "the names are those of the manual page")]
pub struct StatxTime {
    pub tv_sec: i64,
    pub tv_nsec: u32,
    pad: u32,
}

/// STATX_BASIC_STATS: everything but the time of birth, which is not kept.
const STATX_BASIC_STATS: u32 = 0x7ff;

impl From<Stat> for Statx {
    fn from(stat: Stat) -> Statx {
        let time = |[seconds, nanos]: [i64; 2]| StatxTime {
            tv_sec: seconds,
            tv_nsec: nanos as u32,
            pad: 0,
        };
        Statx {
            stx_mask: STATX_BASIC_STATS,
            stx_blksize: stat.st_blksize as u32,
            stx_nlink: stat.st_nlink,
            stx_uid: stat.st_uid,
            stx_gid: stat.st_gid,
            stx_mode: stat.st_mode as u16,
            stx_ino: stat.st_ino,
            stx_size: stat.st_size as u64,
            stx_blocks: stat.st_blocks as u64,
            stx_atime: time(stat.st_atim),
            stx_ctime: time(stat.st_ctim),
            stx_mtime: time(stat.st_mtim),
            stx_rdev_major: (stat.st_rdev >> 8 & 0xfff) as u32,
            stx_rdev_minor: (stat.st_rdev & 0xff | stat.st_rdev >> 12 & 0xfff00) as u32,
            stx_dev_minor: stat.st_dev as u32,
            ..Statx::default()
        }
    }
}
