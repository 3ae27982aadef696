//! What a disk is, and why it may not be written over. Source: Linux, Documentation/ABI/stable/sysfs-block.

use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::mounts::Mounts;

const GIB: u64 = 1 << 30;

/// A disk, or a file in a disk's stead.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    /// What it is opened by.
    pub(crate) node: PathBuf,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Who made it and what they call it.
    pub(crate) model: String,
    /// Its serial number, where it tells one.
    pub(crate) serial: String,
    /// Its directory in sysfs; a file has none.
    sys: Option<PathBuf>,
}

impl Disk {
    /// Looks at a device node or a file. Errors: there is none, or it is neither.
    pub(crate) fn look(path: &Path) -> Result<Self> {
        let node = fs::canonicalize(path)
            .with_context(|| format!("there is no {}; `lsblk` lists the disks", path.display()))?;
        let data = fs::metadata(&node)?;
        let kind = data.file_type();
        if kind.is_file() {
            return Ok(Self {
                size: data.len(),
                model: "file".into(),
                serial: String::new(),
                sys: None,
                node,
            });
        }
        ensure!(
            kind.is_block_device(),
            "{} is no disk and no file; `lsblk` lists the disks",
            path.display()
        );
        let number = data.rdev();
        let name = format!(
            "{}:{}",
            rustix::fs::major(number),
            rustix::fs::minor(number)
        );
        Self::of(&node, &Path::new("/sys/dev/block").join(name))
    }

    /// A disk by its directory in sysfs.
    fn of(node: &Path, sys: &Path) -> Result<Self> {
        let sys = fs::canonicalize(sys)
            .with_context(|| format!("the system does not say what {} is", node.display()))?;
        let sectors: u64 = word(&sys, "size").parse().unwrap_or(0);
        let parts = [
            word(&sys, "device/vendor"),
            word(&sys, "device/model"),
            word(&sys, "device/name"),
        ];
        let mut model = parts.join(" ").trim().to_owned();
        if let Some(file) = backing_file(&sys) {
            model = format!("loop device over {file}");
        }
        Ok(Self {
            node: node.to_owned(),
            // In units of 512 bytes, whatever the disk's sectors are.
            size: sectors * 512,
            model,
            serial: serial(&sys),
            sys: Some(sys),
        })
    }

    /// Errors with the reason if it may not be written over.
    pub(crate) fn check(&self, mounts: &Mounts, largest: u64) -> Result<()> {
        let Some(sys) = &self.sys else { return Ok(()) };
        let name = self.node.display();
        if sys.join("partition").exists() {
            let whole = sys.parent().and_then(Path::file_name).unwrap_or_default();
            bail!(
                "{name} is a partition; a card is written whole: /dev/{}",
                whole.display()
            );
        }
        ensure!(
            word(sys, "ro") != "1",
            "{name} is write-protected; slide the card's lock, or take another reader"
        );
        ensure!(
            removable(sys),
            "{name} ({}) is no removable disk; only cards, sticks and loop devices are written over",
            self.model
        );
        ensure!(self.size > 0, "{name} has no card in it");
        ensure!(
            self.size <= largest * GIB,
            "{name} has {} GiB, more than a card is likely to have; --largest {} if it is one",
            self.size / GIB,
            self.size.div_ceil(GIB)
        );
        for part in parts(sys) {
            free(&part, mounts)?;
        }
        Ok(())
    }

    /// Errors if the image is larger.
    pub(crate) fn check_room(&self, image: u64) -> Result<()> {
        ensure!(
            self.size >= image,
            "{} has {} bytes, the image {image}; take a larger card",
            self.node.display(),
            self.size
        );
        Ok(())
    }

    /// Whether it is a file.
    pub(crate) fn is_file(&self) -> bool {
        self.sys.is_none()
    }

    /// What a person types to say that this is the one.
    pub(crate) fn phrase(&self) -> String {
        let phrase = format!("{} {}", self.model, self.serial);
        let phrase = phrase.trim();
        if phrase.is_empty() || self.is_file() {
            return self.node.display().to_string();
        }
        phrase.to_owned()
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unnamed = |text: &str| {
            if text.is_empty() {
                "not told".to_owned()
            } else {
                text.to_owned()
            }
        };
        write!(
            f,
            "{}: {:.1} GiB, model {}, serial {}",
            self.node.display(),
            self.size as f64 / GIB as f64,
            unnamed(&self.model),
            unnamed(&self.serial)
        )
    }
}

/// Errors if a disk or partition is mounted, swapped to, or part of something else.
fn free(sys: &Path, mounts: &Mounts) -> Result<()> {
    let name = sys
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if let Some(mount) = mounts.of(&word(sys, "dev")) {
        let place = mount.place.display();
        bail!("/dev/{name} is mounted at {place}; first: umount {place}");
    }
    ensure!(
        !mounts.swapped(&name),
        "/dev/{name} is swapped to; first: swapoff /dev/{name}"
    );
    let holders = fs::read_dir(sys.join("holders"))
        .into_iter()
        .flatten()
        .flatten();
    let holders: Vec<String> = holders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ensure!(
        holders.is_empty(),
        "/dev/{name} is part of {}; close that first (cryptsetup close, vgchange -an, mdadm --stop)",
        holders.join(", ")
    );
    Ok(())
}

/// The disk and its partitions.
fn parts(sys: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(sys).into_iter().flatten().flatten();
    let partitions = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("partition").exists());
    std::iter::once(sys.to_owned()).chain(partitions).collect()
}

/// A card reader in a laptop holds an SD card and yet says that it is not removable. A loop device is a file.
fn removable(sys: &Path) -> bool {
    word(sys, "removable") == "1" || word(sys, "device/type") == "SD" || backing_file(sys).is_some()
}

fn backing_file(sys: &Path) -> Option<String> {
    let file = word(sys, "loop/backing_file");
    (!file.is_empty()).then_some(file)
}

/// The serial number: the disk's own, or that of the USB device it is in.
fn serial(sys: &Path) -> String {
    let own = [word(sys, "device/serial"), word(sys, "serial")];
    if let Some(own) = own.into_iter().find(|serial| !serial.is_empty()) {
        return own;
    }
    let mut above = sys
        .ancestors()
        .skip(1)
        .take_while(|path| path.file_name().is_some_and(|name| name != "devices"));
    above
        .find_map(|path| path.join("idVendor").exists().then(|| word(path, "serial")))
        .unwrap_or_default()
}

/// The text of an attribute; empty where there is none.
fn word(sys: &Path, attribute: &str) -> String {
    fs::read_to_string(sys.join(attribute))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card reader on USB with a card of two partitions, as sysfs shows it.
    fn reader(change: &[(&str, &str)]) -> (tempfile::TempDir, Disk) {
        let place = tempfile::tempdir().expect("directory");
        let usb = "devices/usb1/1-2";
        let disk = "devices/usb1/1-2/host/block/sdx";
        let mut files = vec![
            (format!("{usb}/idVendor"), "1234"),
            (format!("{usb}/serial"), "S-77"),
            (format!("{disk}/dev"), "8:240"),
            (format!("{disk}/size"), "62333952"),
            (format!("{disk}/ro"), "0"),
            (format!("{disk}/removable"), "1"),
            (format!("{disk}/device/vendor"), "Generic "),
            (format!("{disk}/device/model"), "SD Reader  "),
            (format!("{disk}/sdx1/partition"), "1"),
            (format!("{disk}/sdx1/dev"), "8:241"),
        ];
        files.extend(
            change
                .iter()
                .map(|(name, text)| (format!("{disk}/{name}"), *text)),
        );
        for (path, text) in files {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            fs::write(path, text).expect("file");
        }
        let disk = Disk::of(Path::new("/dev/sdx"), &place.path().join(disk)).expect("disk");
        (place, disk)
    }

    fn refusal(change: &[(&str, &str)], mountinfo: &str, swaps: &str) -> String {
        let (_place, disk) = reader(change);
        let checked = disk.check(&Mounts::parse(mountinfo, swaps), 64);
        checked.expect_err("a refusal").to_string()
    }

    #[test]
    fn card_in_a_reader_is_taken() {
        let (_place, disk) = reader(&[]);
        disk.check(&Mounts::default(), 64).expect("no refusal");
        assert_eq!(disk.phrase(), "Generic SD Reader S-77");
        assert_eq!(
            disk.to_string(),
            "/dev/sdx: 29.7 GiB, model Generic SD Reader, serial S-77"
        );
    }

    #[test]
    fn card_slot_that_says_fixed_is_taken_and_a_fixed_disk_is_not() {
        let (_place, disk) = reader(&[("removable", "0"), ("device/type", "SD")]);
        disk.check(&Mounts::default(), 64).expect("no refusal");
        let why = refusal(&[("removable", "0")], "", "");
        assert!(
            why.contains("no removable disk") && why.contains("SD Reader"),
            "{why}"
        );
        let why = refusal(&[("removable", "0"), ("device/type", "MMC")], "", "");
        assert!(why.contains("no removable disk"), "{why}");
    }

    #[test]
    fn disk_too_large_or_without_a_card_is_refused() {
        let why = refusal(&[("size", "1953525168")], "", "");
        assert!(
            why.contains("931 GiB") && why.contains("--largest 932"),
            "{why}"
        );
        assert!(refusal(&[("size", "0")], "", "").contains("no card in it"));
    }

    #[test]
    fn disk_write_protected_is_refused() {
        assert!(refusal(&[("ro", "1")], "", "").contains("write-protected"));
    }

    #[test]
    fn disk_mounted_whole_or_in_part_is_refused() {
        for device in ["8:240", "8:241"] {
            let why = refusal(
                &[],
                &format!("36 35 {device} / /media/card rw - vfat /dev/sdx1 rw"),
                "",
            );
            assert!(why.contains("umount /media/card"), "{why}");
        }
    }

    #[test]
    fn disk_swapped_to_is_refused() {
        let why = refusal(&[], "", "Filename\n/dev/sdx1 partition 1 0 -2\n");
        assert!(why.contains("swapoff /dev/sdx1"), "{why}");
    }

    #[test]
    fn disk_under_something_else_is_refused() {
        for holder in ["holders/dm-0", "sdx1/holders/md0"] {
            let why = refusal(&[(holder, "")], "", "");
            assert!(why.contains("is part of"), "{why}");
        }
    }

    #[test]
    fn partition_is_refused_and_its_disk_named() {
        let (place, _) = reader(&[]);
        let sys = place.path().join("devices/usb1/1-2/host/block/sdx/sdx1");
        let disk = Disk::of(Path::new("/dev/sdx1"), &sys).expect("disk");
        let why = disk
            .check(&Mounts::default(), 64)
            .expect_err("refusal")
            .to_string();
        assert!(why.contains("written whole: /dev/sdx"), "{why}");
    }

    #[test]
    fn disk_smaller_than_the_image_is_refused() {
        let (_place, disk) = reader(&[("size", "8")]);
        assert!(
            disk.check_room(4097)
                .expect_err("refusal")
                .to_string()
                .contains("larger card")
        );
        disk.check_room(4096).expect("room");
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        assert!(
            Disk::look(Path::new("/dev/null"))
                .expect_err("refusal")
                .to_string()
                .contains("no disk")
        );
        assert!(
            Disk::look(Path::new("/dev/absent"))
                .expect_err("refusal")
                .to_string()
                .contains("lsblk")
        );
        assert!(
            Disk::look(Path::new("/"))
                .expect_err("refusal")
                .to_string()
                .contains("no disk")
        );
    }
}
