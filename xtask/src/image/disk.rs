//! Writes a card's image and reads it back: what lies in front, the partition table, and a FAT32 file system with its files.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use fscommon::{BufStream, StreamSlice};

use super::contents::Contents;
use super::mbr::{self, SECTOR};

/// What the file system is called; `flash` finds a mounted card by it.
pub(crate) const LABEL: &str = "HALYARD";

/// Where the partition begins. Source: the boards' firmware lies before 1 MiB, as Debian's cards have it.
const START: u64 = 1 << 20;

/// QEMU takes cards of a power of two only; room for the files several times over.
const SIZE: u64 = 128 << 20;

/// The file system's number. Always the same: the same contents give the same image.
const VOLUME: u32 = 0x4841_4c59;

/// Writes the image, anew if there is one; gives its size. Nothing half written is left under that name.
pub(crate) fn write(path: &Path, contents: &Contents) -> Result<u64> {
    let fresh = path.with_extension("new");
    let mut image = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&fresh)
        .with_context(|| {
            format!(
                "cannot write {}; name another place with --output",
                fresh.display()
            )
        })?;
    let filled = image
        .set_len(SIZE)
        .map_err(Into::into)
        .and_then(|()| fill(&mut image, contents))
        .and_then(|()| check(&mut image, contents));
    if let Err(error) = filled {
        // It is the first error that counts.
        let _ = std::fs::remove_file(&fresh);
        return Err(error.context(format!("cannot make the image {}", path.display())));
    }
    std::fs::rename(&fresh, path)
        .with_context(|| format!("cannot put {} in place", path.display()))?;
    Ok(SIZE)
}

/// Fills an image of zeros.
fn fill(image: &mut (impl Read + Write + Seek), contents: &Contents) -> Result<()> {
    let mut end = SECTOR;
    for (at, data) in &contents.raw {
        ensure!(
            *at >= end && at + data.len() as u64 <= START,
            "firmware of {} bytes at byte {at} does not fit between what is before it (up to byte {end}) and the file \
             system (from byte {START}); boards.toml says where it goes",
            data.len()
        );
        image.seek(SeekFrom::Start(*at))?;
        image.write_all(data)?;
        end = at + data.len() as u64;
    }
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR);
    image.seek(SeekFrom::Start(0))?;
    image.write_all(&mbr::sector(sectors(START)?, sectors(SIZE - START)?))?;
    files(image, &contents.files)?;
    image.flush()?;
    Ok(())
}

/// Makes the file system and its files.
fn files(image: &mut (impl Read + Write + Seek), files: &[(String, Vec<u8>)]) -> Result<()> {
    let mut partition = StreamSlice::new(image, START, SIZE)?;
    let mut label = [b' '; 11];
    label[..LABEL.len()].copy_from_slice(LABEL.as_bytes());
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(512)
        .volume_id(VOLUME)
        .volume_label(label);
    fatfs::format_volume(&mut partition, options).context("cannot make the file system")?;
    let volume = FileSystem::new(BufStream::new(partition), FsOptions::new())?;
    for (path, data) in files {
        put(&volume.root_dir(), path, data)
            .with_context(|| format!("cannot put {path} on the card"))?;
    }
    volume.unmount().context("cannot finish the file system")
}

/// Writes one file, and the directories above it.
fn put<IO: fatfs::ReadWriteSeek>(root: &fatfs::Dir<'_, IO>, path: &str, data: &[u8]) -> Result<()> {
    for (at, _) in path.match_indices('/') {
        root.create_dir(&path[..at])?;
    }
    let mut file = root.create_file(path)?;
    file.truncate()?;
    file.write_all(data)?;
    Ok(file.flush()?)
}

/// Reads the image as a board would, and compares. Error: something is not on it as it should be.
fn check(image: &mut File, contents: &Contents) -> Result<()> {
    let mut found = read_back(image).context("what was written cannot be read back")?;
    let mut wanted = contents.files.clone();
    found.sort();
    wanted.sort();
    ensure!(
        found == wanted,
        "what was written reads back as something else; is the disk full or failing?"
    );
    Ok(())
}

/// The files of an image, by path.
fn read_back(image: &mut File) -> Result<Vec<(String, Vec<u8>)>> {
    let end = image.seek(SeekFrom::End(0))?;
    let partition = StreamSlice::new(image, START, end)?;
    let volume = FileSystem::new(
        BufStream::new(partition),
        FsOptions::new().update_accessed_date(false),
    )?;
    ensure!(
        volume.fat_type() == FatType::Fat32,
        "its file system is no FAT32"
    );
    let label = volume.read_volume_label_from_root_dir()?;
    ensure!(label.as_deref() == Some(LABEL), "its label is {label:?}");
    let mut found = Vec::new();
    walk(&volume.root_dir(), "", &mut found)?;
    Ok(found)
}

fn walk<IO: fatfs::ReadWriteSeek>(
    directory: &fatfs::Dir<'_, IO>,
    above: &str,
    found: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    for entry in directory.iter() {
        let entry = entry?;
        let name = entry.file_name();
        let path = format!("{above}{name}");
        if entry.is_file() {
            let mut data = Vec::new();
            entry.to_file().read_to_end(&mut data)?;
            found.push((path, data));
        } else if name != "." && name != ".." {
            walk(&entry.to_dir(), &format!("{path}/"), found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::contents::tests::{card, contents};
    use super::*;

    fn written(contents: &Contents) -> Result<(tempfile::TempDir, std::path::PathBuf)> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("card.img");
        write(&path, contents)?;
        Ok((place, path))
    }

    #[test]
    fn image_holds_its_files_and_a_partition_table() {
        let mut contents = contents(&card(), &["quiet"]).expect("contents");
        // Larger than a cluster, and not a whole number of them.
        contents
            .files
            .push(("large".into(), (0..700_001_u32).map(|n| n as u8).collect()));
        contents.raw.push((8192, vec![7; 32768]));
        let (_place, path) = written(&contents).expect("image");
        let mut image = File::open(&path).expect("image");
        let mut front = vec![0; START as usize];
        image.read_exact(&mut front).expect("front");
        assert_eq!(
            mbr::partition(&front),
            Some((2048, (SIZE / SECTOR - 2048) as u32))
        );
        assert!(front[8192..8192 + 32768].iter().all(|&byte| byte == 7));
        let mut found = read_back(&mut image).expect("a file system");
        found.sort();
        contents.files.sort();
        assert_eq!(found, contents.files);
    }

    #[test]
    fn image_is_the_same_each_time() {
        let contents = contents(&card(), &[]).expect("contents");
        let bytes = || written(&contents).map(|(_place, path)| std::fs::read(path).expect("image"));
        assert!(bytes().expect("image") == bytes().expect("image"));
    }

    #[test]
    fn image_with_firmware_that_reaches_the_files_is_refused() {
        let contents = Contents {
            raw: vec![(8192, vec![0; START as usize])],
            ..Contents::default()
        };
        let place = tempfile::tempdir().expect("directory");
        let path = place.path().join("card.img");
        let message = format!("{:#}", write(&path, &contents).expect_err("too large"));
        assert!(message.contains("boards.toml"), "{message}");
        assert_eq!(
            std::fs::read_dir(place.path()).expect("directory").count(),
            0
        );
    }

    #[test]
    fn image_with_more_than_it_has_room_for_is_refused() {
        let contents = Contents {
            files: vec![("huge".into(), vec![0; SIZE as usize])],
            ..Contents::default()
        };
        let message = format!("{:#}", written(&contents).expect_err("too large"));
        assert!(message.contains("huge"), "{message}");
    }
}
