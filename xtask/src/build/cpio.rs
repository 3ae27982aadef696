//! Writes a cpio archive in the "newc" format that kernels unpack.
//!
//! Deterministic: no times, no host inode numbers, entries in the order given. Source: Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use anyhow::{Result, ensure};

/// What kind of entry, as the upper bits of a mode. Source: inode(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `S_IFREG`.
    File = 0o100_000,
    /// `S_IFDIR`.
    Directory = 0o040_000,
    /// `S_IFLNK`; the data is the target.
    Symlink = 0o120_000,
}

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds an entry of root's. `path` is absolute; `mode` has the permission bits. Error: the path cannot be one, or the
    /// data is too long for the format.
    pub(crate) fn add(&mut self, kind: Kind, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        let name = path.trim_start_matches('/');
        ensure!(
            path.starts_with('/') && !name.is_empty(),
            "'{path}' is no absolute path of a file"
        );
        ensure!(
            !name.split('/').any(|part| matches!(part, "" | "." | "..")),
            "'{path}' is no plain path"
        );
        ensure!(
            mode & !0o7777 == 0,
            "'{path}': mode {mode:o} has more than permission bits"
        );
        let links = if kind == Kind::Directory { 2 } else { 1 };
        self.record(name, kind as u32 | mode, links, data)
    }

    /// The finished archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.record("TRAILER!!!", 0, 1, &[])?;
        // Whole blocks, as cpio(1) writes them.
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        Ok(self.bytes)
    }

    fn record(&mut self, name: &str, mode: u32, links: u32, data: &[u8]) -> Result<()> {
        let size = u32::try_from(data.len())?;
        let name_size = u32::try_from(name.len() + 1)?;
        let inode = if mode == 0 { 0 } else { self.entries + 1 };
        self.entries += 1;
        self.bytes.extend_from_slice(b"070701");
        // ino, mode, uid, gid, nlink, mtime, filesize, device major and minor, rdev major and minor, namesize, check.
        for field in [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0] {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_entry_has_header_name_and_data_padded() {
        let mut archive = Archive::default();
        archive
            .add(Kind::File, "/bin/sh", 0o755, b"hello")
            .expect("entry");
        let bytes = archive.finish().expect("archive");
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000081ed");
        assert_eq!(&bytes[54..62], b"00000005");
        assert_eq!(&bytes[94..102], b"00000007");
        assert_eq!(&bytes[110..117], b"bin/sh\0");
        assert_eq!(&bytes[120..125], b"hello");
        assert_eq!(&bytes[128..134], b"070701");
        assert_eq!(bytes.len() % 512, 0);
    }

    #[test]
    fn archive_of_same_entries_has_same_bytes() {
        let make = || {
            let mut archive = Archive::default();
            archive
                .add(Kind::Directory, "/tmp", 0o1777, &[])
                .expect("entry");
            archive
                .add(Kind::Symlink, "/bin/x", 0o777, b"sh")
                .expect("entry");
            archive.finish().expect("archive")
        };
        assert_eq!(make(), make());
    }

    #[test]
    fn archive_refuses_paths_that_are_none() {
        let mut archive = Archive::default();
        for path in ["bin/sh", "/", "/a/../b", "/a//b", "/./a"] {
            assert!(archive.add(Kind::File, path, 0o644, &[]).is_err(), "{path}");
        }
        assert!(archive.add(Kind::File, "/a", 0o100_644, &[]).is_err());
    }

    #[test]
    fn archive_is_read_by_cpio_if_that_is_here() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut archive = Archive::default();
        archive
            .add(Kind::Directory, "/d", 0o755, &[])
            .expect("entry");
        archive.add(Kind::File, "/d/f", 0o644, b"x").expect("entry");
        let bytes = archive.finish().expect("archive");
        let child = Command::new("cpio")
            .args(["-t", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        // Not every machine has cpio(1); the format is pinned by the tests above either way.
        let Ok(mut child) = child else { return };
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(&bytes)
            .expect("write");
        let output = child.wait_with_output().expect("cpio");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "d\nd/f\n");
    }
}
