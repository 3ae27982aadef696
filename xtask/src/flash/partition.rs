//! Replaces our files on a mounted card, and touches nothing else.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::Advice;

use super::mounts::Mounts;
use crate::image::{Contents, KEPT, LABEL};

/// The file systems a board starts from.
const KINDS: [&str; 2] = ["vfat", "msdos"];

/// The place of a mounted card with our label, which udev's directory of labels leads to.
pub(crate) fn find(labels: &Path, mounts: &Mounts) -> Option<PathBuf> {
    let node = fs::metadata(labels.join(LABEL)).ok()?;
    let device = format!(
        "{}:{}",
        rustix::fs::major(node.rdev()),
        rustix::fs::minor(node.rdev())
    );
    let mount = mounts.of(&device)?;
    KINDS
        .contains(&mount.kind.as_str())
        .then(|| mount.place.clone())
}

/// A directory somebody named. Error: no card is mounted there, so that the files would go elsewhere.
pub(crate) fn check(directory: &Path, mounts: &Mounts) -> Result<PathBuf> {
    let place = fs::canonicalize(directory)
        .with_context(|| format!("there is no directory {}", directory.display()))?;
    ensure!(place.is_dir(), "{} is no directory", directory.display());
    // The last of several mounts at one place is the one that is seen.
    let Some(mount) = mounts
        .mounts
        .iter()
        .rev()
        .find(|mount| mount.place == place)
    else {
        bail!(
            "nothing is mounted at {}: the files would go to this machine's own disk; mount the card's first partition there",
            place.display()
        );
    };
    ensure!(
        KINDS.contains(&mount.kind.as_str()),
        "what is mounted at {} is {}, and no board starts from that; the card's first partition is FAT",
        place.display(),
        mount.kind
    );
    Ok(place)
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    New,
    Replaced,
    Same,
    /// A person has made it their own.
    Kept,
}

/// What becomes of each file.
pub(crate) struct Changes<'a>(pub(crate) Vec<(&'a str, &'a [u8], Change)>);

/// Looks what there is to do. Errors: a file of the card cannot be read, there is not enough room.
pub(crate) fn plan<'a>(place: &Path, contents: &'a Contents) -> Result<Changes<'a>> {
    let mut changes = Vec::new();
    let mut largest = 0;
    let mut growth = 0;
    for (path, data) in &contents.files {
        let there = place.join(path);
        let old = match fs::read(&there) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            other => Some(other.with_context(|| format!("cannot read {}", there.display()))?),
        };
        let change = match &old {
            None => Change::New,
            Some(old) if old == data => Change::Same,
            Some(_) if KEPT.contains(&path.as_str()) => Change::Kept,
            Some(_) => Change::Replaced,
        };
        if matches!(change, Change::New | Change::Replaced) {
            largest = largest.max(data.len() as u64);
            growth += (data.len() as u64).saturating_sub(old.map_or(0, |old| old.len() as u64));
        }
        changes.push((path.as_str(), data.as_slice(), change));
    }
    let room = rustix::fs::statvfs(place)
        .with_context(|| format!("cannot look at {}", place.display()))?;
    let free = room.f_bavail * room.f_frsize;
    // A file is written beside the old one before that goes.
    ensure!(
        free >= growth + largest,
        "{} has {free} bytes free, {} are needed; remove something, or write a whole card with --device",
        place.display(),
        growth + largest
    );
    Ok(Changes(changes))
}

impl Changes<'_> {
    /// Prints a line a file.
    pub(crate) fn show(&self, place: &Path, dry: bool) {
        println!(
            "{}{}",
            place.display(),
            if dry {
                ": nothing is written (--dry-run)"
            } else {
                ""
            }
        );
        for (path, data, change) in &self.0 {
            let word = match change {
                Change::New => "new",
                Change::Replaced => "replaced",
                Change::Same => "the same already",
                Change::Kept => "kept: you changed it (remove it to get ours)",
            };
            println!("{:>9} bytes  {path}: {word}", data.len());
        }
    }

    /// Writes what is new or replaced: beside the old file, then in its place, so that at every moment one of them is whole.
    pub(crate) fn apply(&self, place: &Path, mut progress: impl FnMut(&str)) -> Result<()> {
        for (path, data, change) in &self.0 {
            if matches!(change, Change::New | Change::Replaced) {
                progress(path);
                replace(&place.join(path), data).with_context(|| {
                    format!(
                        "cannot write {path} on the card; is its lock open, may you write there?"
                    )
                })?;
            }
        }
        Ok(())
    }
}

fn replace(path: &Path, data: &[u8]) -> Result<()> {
    let directory = path.parent().context("a path without a directory")?;
    fs::create_dir_all(directory)?;
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let mut file = File::create(&fresh)?;
    file.write_all(data)?;
    file.sync_all()?;
    // Written through, its pages can go: the next read is the card's.
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
    drop(file);
    ensure!(
        fs::read(&fresh)? == data,
        "it reads back as something else: the card is worn out or lies about its size"
    );
    fs::rename(&fresh, path)?;
    Ok(File::open(directory)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(place: &Path, kind: &str) -> Mounts {
        let line = format!("36 35 8:1 / {} rw - {kind} /dev/sda1 rw", place.display());
        Mounts::parse(&line, "")
    }

    fn contents(files: &[(&str, &str)]) -> Contents {
        let files = files
            .iter()
            .map(|&(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        Contents {
            files: files.collect(),
            raw: Vec::new(),
        }
    }

    #[test]
    fn directory_that_is_no_card_is_refused() {
        let place = tempfile::tempdir().expect("directory");
        let place = fs::canonicalize(place.path()).expect("path");
        let why = |mounts: &Mounts| check(&place, mounts).expect_err("refusal").to_string();
        assert!(why(&Mounts::default()).contains("nothing is mounted"));
        assert!(why(&mounted(&place, "ext4")).contains("is ext4"));
        assert!(
            why(&mounted(place.parent().expect("parent"), "vfat")).contains("nothing is mounted")
        );
        assert_eq!(
            check(&place, &mounted(&place, "vfat")).expect("card"),
            place
        );
        assert!(check(&place.join("absent"), &Mounts::default()).is_err());
    }

    #[test]
    fn only_our_files_are_replaced() {
        let place = tempfile::tempdir().expect("directory");
        let at = |path: &str| place.path().join(path);
        for (path, text) in [
            ("kernel8.img", "old"),
            ("config.txt", "mine"),
            ("photo.jpg", "dear"),
            ("start.elf", "fw"),
        ] {
            fs::write(at(path), text).expect("file");
        }
        let contents = contents(&[
            ("kernel8.img", "new kernel"),
            ("config.txt", "ours"),
            ("start.elf", "fw"),
            ("extlinux/extlinux.conf", "x"),
        ]);
        let changes = plan(place.path(), &contents).expect("plan");
        let kinds: Vec<Change> = changes.0.iter().map(|(_, _, change)| *change).collect();
        assert_eq!(
            kinds,
            [Change::Replaced, Change::Kept, Change::Same, Change::New]
        );
        assert_eq!(
            fs::read_to_string(at("kernel8.img")).expect("kernel"),
            "old",
            "a plan writes nothing"
        );
        changes.apply(place.path(), |_| ()).expect("written");
        let text = |path: &str| fs::read_to_string(at(path)).expect("file");
        assert_eq!(text("kernel8.img"), "new kernel");
        assert_eq!(text("config.txt"), "mine");
        assert_eq!(text("photo.jpg"), "dear");
        assert_eq!(text("extlinux/extlinux.conf"), "x");
        assert_eq!(fs::read_dir(place.path()).expect("directory").count(), 5);
    }

    #[test]
    fn card_with_our_label_is_found_only_where_it_is_mounted() {
        let labels = tempfile::tempdir().expect("directory");
        std::os::unix::fs::symlink("/dev/null", labels.path().join(LABEL)).expect("link");
        // The number of /dev/null.
        let mounts =
            |kind: &str| Mounts::parse(&format!("36 35 1:3 / /card rw - {kind} /dev/sda1 rw"), "");
        assert_eq!(
            find(labels.path(), &mounts("vfat")).as_deref(),
            Some(Path::new("/card"))
        );
        assert_eq!(find(labels.path(), &mounts("ext4")), None);
        assert_eq!(find(labels.path(), &Mounts::default()), None);
        assert_eq!(find(Path::new("/absent"), &mounts("vfat")), None);
    }
}
