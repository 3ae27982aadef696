//! What is mounted where, and what is swapped to. Source: proc_pid_mountinfo(5), proc_swaps(5).

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The device, as `major:minor`.
    pub(crate) device: String,
    /// Where.
    pub(crate) place: PathBuf,
    /// The kind of file system.
    pub(crate) kind: String,
}

/// Every mount, and every device that is swapped to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mounts {
    pub(crate) mounts: Vec<Mount>,
    swaps: Vec<PathBuf>,
}

impl Mounts {
    /// Asks the system. Error: it does not say, so that nothing may be taken for granted.
    pub(crate) fn read() -> Result<Self> {
        let read =
            |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        // Without swap in the kernel there is no such file.
        let swaps = read("/proc/swaps").unwrap_or_default();
        Ok(Self::parse(&read("/proc/self/mountinfo")?, &swaps))
    }

    /// Reads both tables.
    pub(crate) fn parse(mountinfo: &str, swaps: &str) -> Self {
        let swaps = swaps
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next());
        Self {
            mounts: mountinfo.lines().filter_map(mount).collect(),
            swaps: swaps.map(unescape).collect(),
        }
    }

    /// Where a device is mounted.
    pub(crate) fn of(&self, device: &str) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.device == device)
    }

    /// Whether a device of that name is swapped to.
    pub(crate) fn swapped(&self, name: &str) -> bool {
        self.swaps
            .iter()
            .any(|swap| swap == &Path::new("/dev").join(name))
    }
}

/// `36 35 98:0 /root /place options [more...] - kind source options`.
fn mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut words = front.split(' ').skip(2);
    let device = words.next()?.to_owned();
    let place = unescape(words.nth(1)?);
    let kind = back.split(' ').next()?.to_owned();
    Some(Mount {
        device,
        place,
        kind,
    })
}

/// Blanks and backslashes stand there as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let (plain, next) = match code {
            Some(code) if byte == b'\\' => (code, &after[3..]),
            _ => (byte, after),
        };
        bytes.push(plain);
        rest = next;
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_blanks_in_their_names() {
        let info =
            "36 35 8:1 / /media/my\\040card rw,noatime shared:1 - vfat /dev/sda1 rw\nnonsense\n";
        let swaps = "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n";
        let mounts = Mounts::parse(info, swaps);
        let mount = mounts.of("8:1").expect("mount");
        assert_eq!(mount.place, Path::new("/media/my card"));
        assert_eq!(mount.kind, "vfat");
        assert_eq!(mounts.mounts.len(), 1);
        assert!(mounts.swapped("sda2") && !mounts.swapped("sda"));
    }

    #[test]
    fn mounts_of_this_machine_have_a_root() {
        let mounts = Mounts::read().expect("mounts");
        assert!(
            mounts
                .mounts
                .iter()
                .any(|mount| mount.place == Path::new("/"))
        );
    }
}
