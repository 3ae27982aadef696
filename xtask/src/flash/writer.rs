//! Writes an image to a disk, with nobody else let in; reads it back past the cache and compares.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{Advice, FlockOperation, OFlags};

use super::disk::Disk;
use crate::ui::Ui;

/// How much is moved at a time.
const CHUNK: usize = 4 << 20;

/// What a read past the cache must be aligned to; no disk has larger sectors.
const ALIGNMENT: usize = 4096;

/// Writes the image and waits until the disk has it. Errors: somebody else has the disk open, it cannot be written.
pub(crate) fn write(ui: &Ui, image: &Path, disk: &Disk) -> Result<()> {
    let mut from = File::open(image).with_context(|| format!("cannot read {}", image.display()))?;
    let mut to = open_exclusive(disk)?;
    let total = from.metadata()?.len();
    let bar = ui.bar("writing", total);
    let failed = || format!("cannot write {}", disk.node.display());
    let mut buffer = vec![0; CHUNK];
    let mut done = 0;
    while done < total {
        let count = fill(&mut from, &mut buffer)?;
        to.write_all(&buffer[..count]).with_context(failed)?;
        // The bar should tell of the card and not of this machine's memory.
        to.sync_data().with_context(failed)?;
        done += count as u64;
        bar.set(done);
    }
    to.sync_all().with_context(failed)?;
    bar.done();
    Ok(())
}

/// Compares the disk with the image. Error: they differ; the message has the place.
pub(crate) fn verify(ui: &Ui, image: &Path, disk: &Disk) -> Result<()> {
    let mut wanted =
        File::open(image).with_context(|| format!("cannot read {}", image.display()))?;
    let mut found = open_past_cache(&disk.node)?;
    let total = wanted.metadata()?.len();
    let bar = ui.bar("reading back", total);
    compare(&mut wanted, &mut found, total, |done| bar.set(done)).with_context(|| {
        format!(
            "{} does not hold what was written to it",
            disk.node.display()
        )
    })?;
    bar.done();
    Ok(())
}

/// Opens the disk for this program alone: the kernel refuses if it is mounted or part of something, and udev keeps off.
fn open_exclusive(disk: &Disk) -> Result<File> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::EXCL.bits().cast_signed())
        .open(&disk.node);
    let busy = || {
        format!(
            "{} is in use by another program or mounted; close that first",
            disk.node.display()
        )
    };
    let file = match opened {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => bail!(busy()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "{} may not be written by you; run `sudo -E cargo xtask flash ...`, or join the group that owns it",
            disk.node.display()
        ),
        other => other.with_context(|| format!("cannot open {}", disk.node.display()))?,
    };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).with_context(busy)?;
    Ok(file)
}

/// Opens for reads that come from the disk and not from memory, as far as the file system can.
fn open_past_cache(node: &Path) -> Result<File> {
    let direct = OFlags::DIRECT.bits().cast_signed();
    match OpenOptions::new()
        .read(true)
        .custom_flags(direct)
        .open(node)
    {
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            let file = File::open(node)?;
            // A file system in memory has no way past the cache: it is the cache.
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
            Ok(file)
        }
        other => other.with_context(|| format!("cannot read {}", node.display())),
    }
}

/// Compares the first `total` bytes.
fn compare(
    wanted: &mut impl Read,
    found: &mut impl Read,
    total: u64,
    mut progress: impl FnMut(u64),
) -> Result<()> {
    let mut expected = vec![0; CHUNK];
    let mut room = vec![0; CHUNK + ALIGNMENT];
    let start = room.as_ptr().align_offset(ALIGNMENT);
    let buffer = &mut room[start..start + CHUNK];
    let mut done = 0;
    while done < total {
        let count = fill(wanted, &mut expected)?;
        // A read past the cache is of whole sectors; images are whole sectors.
        let got = fill(found, &mut buffer[..count])?;
        let differs = expected[..count]
            .iter()
            .zip(&buffer[..got])
            .position(|(one, other)| one != other);
        if let Some(at) = differs.or((got < count).then_some(got)) {
            bail!(
                "byte {} reads back wrong: the card is worn out, or smaller than it says, or the reader is faulty; take another",
                done + at as u64
            );
        }
        done += count as u64;
        progress(done);
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};
    use std::process::Command;

    use super::super::mounts::Mounts;
    use super::*;

    /// An image of three chunks and a bit, and a larger file of other bytes in the place of a card.
    fn pair() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let place = tempfile::tempdir().expect("directory");
        let (image, card) = (place.path().join("image"), place.path().join("card"));
        let bytes: Vec<u8> = (0..3 * CHUNK + 512).map(|n| (n / 509) as u8).collect();
        std::fs::write(&image, &bytes).expect("image");
        std::fs::write(&card, vec![0xee; 4 * CHUNK]).expect("card");
        (place, image, card)
    }

    /// A loop device over a file, given back at the end. None: this machine, or this user, has none.
    struct Loop(String);

    impl Loop {
        fn over(file: &Path) -> Option<Self> {
            let output = Command::new("losetup")
                .args(["--find", "--show"])
                .arg(file)
                .output()
                .ok()?;
            let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
            (output.status.success() && !name.is_empty()).then_some(Self(name))
        }
    }

    impl Drop for Loop {
        fn drop(&mut self) {
            let _ = Command::new("losetup").args(["--detach", &self.0]).status();
        }
    }

    fn roundtrip(disk: &Disk, image: &Path, card: &Path) {
        let ui = Ui::new(false);
        write(&ui, image, disk).expect("written");
        verify(&ui, image, disk).expect("the same");
        let mut raw = OpenOptions::new()
            .write(true)
            .open(&disk.node)
            .expect("card");
        raw.seek(SeekFrom::Start(2 * CHUNK as u64 + 7))
            .expect("seek");
        raw.write_all(b"?!").expect("write");
        raw.sync_all().expect("sync");
        let why = format!("{:#}", verify(&ui, image, disk).expect_err("a difference"));
        assert!(
            why.contains(&format!("byte {} reads back wrong", 2 * CHUNK + 7)),
            "{why}"
        );
        // What lies behind the image is not touched.
        let behind = std::fs::read(card).expect("card")[3 * CHUNK + 512..].to_vec();
        assert!(behind.iter().all(|&byte| byte == 0xee));
    }

    #[test]
    fn file_is_written_read_back_and_a_difference_found() {
        let (_place, image, card) = pair();
        roundtrip(&Disk::look(&card).expect("disk"), &image, &card);
    }

    #[test]
    fn loop_device_is_written_read_back_and_a_difference_found() {
        let (_place, image, card) = pair();
        let Some(device) = Loop::over(&card) else {
            eprintln!("skipped: no loop device to be had here");
            return;
        };
        let disk = Disk::look(Path::new(&device.0)).expect("disk");
        disk.check(&Mounts::read().expect("mounts"), 64)
            .expect("no refusal");
        assert!(disk.phrase().contains(&card.display().to_string()));
        roundtrip(&disk, &image, &card);
    }

    #[test]
    fn disk_that_another_program_holds_is_refused() {
        let (_place, image, card) = pair();
        let Some(device) = Loop::over(&card) else {
            eprintln!("skipped: no loop device to be had here");
            return;
        };
        let disk = Disk::look(Path::new(&device.0)).expect("disk");
        let _holder = open_exclusive(&disk).expect("open");
        let why = format!(
            "{:#}",
            write(&Ui::new(false), &image, &disk).expect_err("refusal")
        );
        assert!(why.contains("in use by another program"), "{why}");
    }

    #[test]
    fn disk_that_ends_early_is_found() {
        let short = compare(&mut &[1_u8; 1024][..], &mut &[1_u8; 512][..], 1024, |_| ());
        assert!(format!("{:#}", short.expect_err("short")).contains("byte 512"));
    }
}
