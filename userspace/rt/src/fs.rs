//! Files by name: opening, making, removing, asking. Relative names start at the working directory.

use alloc::string::String;
use alloc::vec::Vec;

use crate::cstr;
use crate::fd::{AsFd, Fd, opened};
use crate::sys::{plain, sys};
use crate::{Errno, Result, io, nr, open, raw};

const CWD: i32 = raw::general::AT_FDCWD;

/// Opens a file with flags (`open::O_*`) and, if it is created, a mode.
///
/// # Errors
/// Whatever `openat` says.
pub fn open_with(path: impl AsRef<[u8]>, flags: u32, mode: u32) -> Result<Fd> {
    cstr::with(path.as_ref(), |path| {
        // SAFETY: the kernel reads the path.
        opened(unsafe { sys!(nr::OPENAT, CWD, path, flags, mode) })
    })
}

/// Opens a file for reading; it closes on exec.
///
/// # Errors
/// `ENOENT`, `EACCES`...
pub fn open(path: impl AsRef<[u8]>) -> Result<Fd> {
    open_with(path, open::O_RDONLY | open::O_CLOEXEC, 0)
}

/// Opens an empty file for writing; it closes on exec.
///
/// # Errors
/// `EACCES`, `EISDIR`, `ENOENT`...
pub fn create(path: impl AsRef<[u8]>) -> Result<Fd> {
    let flags = open::O_WRONLY | open::O_CREAT | open::O_TRUNC | open::O_CLOEXEC;
    open_with(path, flags, 0o666)
}

/// A file's contents.
///
/// # Errors
/// As [`open`] and `read`.
pub fn read(path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    let mut contents = Vec::new();
    io::read_to_end(open(path)?, &mut contents)?;
    Ok(contents)
}

/// A file's contents as text.
///
/// # Errors
/// As [`read`]; `EILSEQ` if it is not UTF-8.
pub fn read_to_string(path: impl AsRef<[u8]>) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Errno::EILSEQ)
}

/// Replaces a file's contents, making it if need be.
///
/// # Errors
/// As [`create`] and `write`.
pub fn write(path: impl AsRef<[u8]>, data: &[u8]) -> Result<()> {
    io::write_all(create(path)?, data)
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A FIFO or pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A directory.
    Directory,
    /// A block device.
    BlockDevice,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A socket.
    Socket,
    /// Something else.
    Other,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy)]
pub struct Metadata(raw::general::stat);

impl Metadata {
    fn zero() -> Self {
        // SAFETY: numbers only; all zero is one of their values.
        Self(unsafe { core::mem::zeroed() })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.0.st_mode & 0o170_000 {
            0o010_000 => Kind::Fifo,
            0o020_000 => Kind::CharDevice,
            0o040_000 => Kind::Directory,
            0o060_000 => Kind::BlockDevice,
            0o100_000 => Kind::Regular,
            0o120_000 => Kind::Symlink,
            0o140_000 => Kind::Socket,
            _ => Kind::Other,
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Kind and permissions as `st_mode` has them.
    pub fn mode(&self) -> u32 {
        self.0.st_mode
    }

    /// Permissions only.
    pub fn permissions(&self) -> u32 {
        self.0.st_mode & 0o7777
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.0.st_size as u64
    }

    /// Names.
    pub fn links(&self) -> u32 {
        self.0.st_nlink
    }

    /// The file's number in its file system.
    pub fn inode(&self) -> u64 {
        self.0.st_ino
    }

    /// Its file system.
    pub fn device(&self) -> u64 {
        self.0.st_dev
    }

    /// For a device file: major and minor number.
    pub fn device_numbers(&self) -> (u32, u32) {
        let number = self.0.st_rdev;
        let major = (number >> 8 & 0xfff) | (number >> 32 & !0xfff);
        let minor = (number & 0xff) | (number >> 12 & !0xff);
        (major as u32, minor as u32)
    }

    /// Owner and group.
    pub fn owner(&self) -> (u32, u32) {
        (self.0.st_uid, self.0.st_gid)
    }

    /// Blocks of 512 bytes that it takes.
    pub fn blocks(&self) -> u64 {
        self.0.st_blocks as u64
    }

    /// When its contents last changed, in seconds since 1970.
    pub fn modified(&self) -> i64 {
        self.0.st_mtime
    }
}

fn stat_at(path: &[u8], flags: u32) -> Result<Metadata> {
    let mut found = Metadata::zero();
    cstr::with(path, |path| {
        // SAFETY: the kernel reads the path and writes one structure.
        unsafe { sys!(nr::NEWFSTATAT, CWD, path, &raw mut found.0, flags) }
    })?;
    Ok(found)
}

/// What is known of a file, or of what a symbolic link leads to.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `ELOOP`, `EACCES`.
pub fn metadata(path: impl AsRef<[u8]>) -> Result<Metadata> {
    stat_at(path.as_ref(), 0)
}

/// What is known of a file, or of a symbolic link itself.
///
/// # Errors
/// As [`metadata`].
pub fn symlink_metadata(path: impl AsRef<[u8]>) -> Result<Metadata> {
    stat_at(path.as_ref(), raw::general::AT_SYMLINK_NOFOLLOW)
}

/// What is known of an open file.
///
/// # Errors
/// `EBADF`.
pub fn metadata_of(fd: impl AsFd) -> Result<Metadata> {
    let mut found = Metadata::zero();
    // SAFETY: the kernel writes one structure.
    unsafe { sys!(nr::FSTAT, fd.fd(), &raw mut found.0) }?;
    Ok(found)
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name's bytes: anything but NUL and `/`.
    pub name: Vec<u8>,
    /// The file's number.
    pub inode: u64,
    /// The kind as `d_type` gives it (`raw::general::DT_*`).
    pub kind: u8,
}

/// The names in a directory, `.` and `..` among them, in the order the file system gives them.
///
/// # Errors
/// As [`open`]; `ENOTDIR`.
pub fn read_dir(path: impl AsRef<[u8]>) -> Result<Vec<Entry>> {
    let flags = open::O_RDONLY | open::O_DIRECTORY | open::O_CLOEXEC;
    let directory = open_with(path, flags, 0)?;
    let mut entries = Vec::new();
    let mut buffer = [0u64; 256];
    loop {
        let size = size_of_val(&buffer);
        // SAFETY: the kernel writes within the buffer.
        let filled = unsafe { sys!(nr::GETDENTS64, directory.fd(), buffer.as_mut_ptr(), size) }?;
        if filled == 0 {
            return Ok(entries);
        }
        // SAFETY: `filled` bytes of the buffer, any bits are bytes.
        let bytes = unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast(), filled) };
        parse_entries(bytes, &mut entries);
    }
}

/// `struct linux_dirent64`: inode (8), offset (8), length (2), kind (1), name ended by a NUL.
fn parse_entries(mut bytes: &[u8], entries: &mut Vec<Entry>) {
    while let Some((head, rest)) = bytes.split_first_chunk::<19>() {
        let [
            i0,
            i1,
            i2,
            i3,
            i4,
            i5,
            i6,
            i7,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            l0,
            l1,
            kind,
        ] = *head;
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let name = rest.split(|&byte| byte == 0).next().unwrap_or(&[]);
        entries.push(Entry {
            name: name.to_vec(),
            inode: u64::from_le_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
            kind,
        });
        bytes = bytes.get(length.max(19)..).unwrap_or(&[]);
    }
}

/// Removes a file's name.
///
/// # Errors
/// `ENOENT`, `EISDIR`, `EACCES`...
pub fn remove_file(path: impl AsRef<[u8]>) -> Result<()> {
    unlink_at(path.as_ref(), 0)
}

/// Removes an empty directory.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `ENOTEMPTY`, `EBUSY`...
pub fn remove_dir(path: impl AsRef<[u8]>) -> Result<()> {
    unlink_at(path.as_ref(), raw::general::AT_REMOVEDIR)
}

fn unlink_at(path: &[u8], flags: u32) -> Result<()> {
    cstr::with(path, |path| {
        // SAFETY: the kernel reads the path.
        unsafe { sys!(nr::UNLINKAT, CWD, path, flags) }.map(drop)
    })
}

/// Makes a directory.
///
/// # Errors
/// `EEXIST`, `ENOENT`, `ENOTDIR`...
pub fn create_dir(path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    cstr::with(path.as_ref(), |path| {
        // SAFETY: the kernel reads the path.
        unsafe { sys!(nr::MKDIRAT, CWD, path, mode) }.map(drop)
    })
}

/// Makes a device file or FIFO: `mode` holds its kind.
///
/// # Errors
/// `EEXIST`, `EPERM`, `ENOENT`...
pub fn create_node(path: impl AsRef<[u8]>, mode: u32, device: (u32, u32)) -> Result<()> {
    let number = (device.1 & 0xff) | (device.0 << 8) | ((device.1 & !0xff) << 12);
    cstr::with(path.as_ref(), |path| {
        // SAFETY: the kernel reads the path.
        unsafe { sys!(nr::MKNODAT, CWD, path, mode, number) }.map(drop)
    })
}

/// Calls `body` with two paths.
fn with_two(
    from: &[u8],
    to: &[u8],
    body: impl FnOnce(*const u8, *const u8) -> Result<usize>,
) -> Result<()> {
    cstr::with(from, |from| cstr::with(to, |to| body(from, to).map(drop)))
}

/// Gives a file another name, replacing what has it.
///
/// # Errors
/// `ENOENT`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EINVAL`...
pub fn rename(from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<()> {
    with_two(from.as_ref(), to.as_ref(), |from, to| {
        // SAFETY: the kernel reads the paths.
        unsafe { sys!(nr::RENAMEAT2, CWD, from, CWD, to, 0) }
    })
}

/// Gives a file a second name.
///
/// # Errors
/// `ENOENT`, `EEXIST`, `EPERM` for a directory...
pub fn link(from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Result<()> {
    with_two(from.as_ref(), to.as_ref(), |from, to| {
        // SAFETY: the kernel reads the paths.
        unsafe { sys!(nr::LINKAT, CWD, from, CWD, to, 0) }
    })
}

/// Makes a symbolic link at `path` that leads to `target`.
///
/// # Errors
/// `EEXIST`, `ENOENT`...
pub fn symlink(target: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<()> {
    with_two(target.as_ref(), path.as_ref(), |target, path| {
        // SAFETY: the kernel reads the paths.
        unsafe { sys!(nr::SYMLINKAT, target, CWD, path) }
    })
}

/// Where a symbolic link leads.
///
/// # Errors
/// `EINVAL` if it is none, `ENOENT`...
pub fn read_link(path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
    let mut buffer = alloc::vec![0u8; 4096];
    let length = cstr::with(path.as_ref(), |path| {
        // SAFETY: the kernel reads the path and writes within the buffer.
        unsafe { sys!(nr::READLINKAT, CWD, path, buffer.as_mut_ptr(), buffer.len()) }
    })?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Sets a file's permissions.
///
/// # Errors
/// `ENOENT`, `EPERM`...
pub fn set_permissions(path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    cstr::with(path.as_ref(), |path| {
        // SAFETY: the kernel reads the path.
        unsafe { sys!(nr::FCHMODAT, CWD, path, mode) }.map(drop)
    })
}

/// Whether the process may use it so: `raw::general::{F_OK, R_OK, W_OK, X_OK}`.
///
/// # Errors
/// `EACCES`, `ENOENT`...
pub fn access(path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    cstr::with(path.as_ref(), |path| {
        // SAFETY: the kernel reads the path.
        unsafe { sys!(nr::FACCESSAT, CWD, path, mode) }.map(drop)
    })
}

/// Whether there is something of that name.
pub fn exists(path: impl AsRef<[u8]>) -> bool {
    metadata(path).is_ok()
}

/// Changes the working directory.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `EACCES`.
pub fn set_current_dir(path: impl AsRef<[u8]>) -> Result<()> {
    cstr::with(path.as_ref(), |path| {
        // SAFETY: the kernel reads the path.
        unsafe { sys!(nr::CHDIR, path) }.map(drop)
    })
}

/// The working directory.
///
/// # Errors
/// `ENOENT` if it was removed.
pub fn current_dir() -> Result<String> {
    let mut buffer = [0u8; 1024];
    // SAFETY: the kernel writes within the buffer.
    let length = unsafe { sys!(nr::GETCWD, buffer.as_mut_ptr(), buffer.len()) }?;
    let path = buffer.get(..length.saturating_sub(1)).unwrap_or(&[]);
    Ok(String::from_utf8_lossy(path).into_owned())
}

/// Cuts or lengthens an open file.
///
/// # Errors
/// `EINVAL`, `EBADF`.
pub fn set_length(fd: impl AsFd, length: u64) -> Result<()> {
    plain(nr::FTRUNCATE, fd.fd() as isize, length as isize, 0).map(drop)
}
