//! The rig file: which boards stand where, and how each is reached. It is about one desk and lies outside the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A rig file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RigFile {
    /// The boards.
    #[serde(rename = "board", default)]
    pub boards: Vec<Entry>,
}

/// A board in its place.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What this one is called, in reports.
    pub place: String,
    /// Its name in boards.toml.
    pub board: String,
    /// A machine of QEMU's, behind a pseudo terminal.
    pub qemu: Option<Machine>,
    /// A board on a serial line.
    pub serial: Option<Serial>,
    /// Another kernel than the one that is built.
    pub kernel: Option<PathBuf>,
    /// How long it may be silent until the shell's first prompt, in seconds.
    #[serde(default = "boot_seconds")]
    pub boot_seconds: u64,
    /// How long it may be silent after that.
    #[serde(default = "silence_seconds")]
    pub silence_seconds: u64,
}

/// A machine of QEMU's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Number of CPUs, where not as in boards.toml.
    pub cpus: Option<u32>,
    /// Memory, where not as in boards.toml.
    pub memory: Option<String>,
}

/// A board on a serial line.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Serial {
    /// The line; by a name that stays, as /dev/serial/by-id has them.
    pub port: String,
    /// Bits a second.
    #[serde(default = "baud")]
    pub baud: u32,
    /// The command that switches it on.
    #[serde(default)]
    pub on: Vec<String>,
    /// The command that switches it off.
    #[serde(default)]
    pub off: Vec<String>,
    /// The command that puts a kernel on it while it is off: `{kernel}`, `{initramfs}` and `{args}` are filled in.
    #[serde(default)]
    pub flash: Vec<String>,
    /// Its card has the chainloader: the kernel comes over the serial line, each time it is switched on.
    #[serde(default)]
    pub chainloader: bool,
}

fn baud() -> u32 {
    115_200
}

fn boot_seconds() -> u64 {
    60
}

fn silence_seconds() -> u64 {
    60
}

/// Why a rig file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RigFileError {
    /// It cannot be read.
    #[error("cannot read the rig file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is no rig file.
    #[error("the rig file has a mistake:\n{0}")]
    Parse(#[from] toml::de::Error),
    /// It contradicts itself.
    #[error("the rig file: {0}")]
    Wrong(String),
}

impl RigFile {
    /// Reads it. Errors: unreadable, no rig file, two places of one name, a board reached in no way or in two.
    pub fn read(path: &Path) -> Result<Self, RigFileError> {
        let text = std::fs::read_to_string(path).map_err(|source| RigFileError::Read {
            path: path.into(),
            source,
        })?;
        Self::parse(&text)
    }

    /// Reads it from its text.
    pub fn parse(text: &str) -> Result<Self, RigFileError> {
        let file: Self = toml::from_str(text)?;
        let mut names = BTreeSet::new();
        for entry in &file.boards {
            if !names.insert(&entry.place) {
                return Err(RigFileError::Wrong(format!(
                    "two places are called '{}'",
                    entry.place
                )));
            }
            if entry.qemu.is_some() == entry.serial.is_some() {
                return Err(RigFileError::Wrong(format!(
                    "the place '{}' needs either [board.qemu] or [board.serial]",
                    entry.place
                )));
            }
            if entry
                .serial
                .as_ref()
                .is_some_and(|serial| serial.chainloader && !serial.flash.is_empty())
            {
                return Err(RigFileError::Wrong(format!(
                    "the place '{}' has both a chainloader and a command that flashes",
                    entry.place
                )));
            }
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESK: &str = r#"
        [[board]]
        place = "rpi4-a"
        board = "rpi4"
        [board.serial]
        port = "/dev/serial/by-id/usb-x"
        on = ["uhubctl", "-a", "on"]
        flash = ["put", "{kernel}"]

        [[board]]
        place = "emulated"
        board = "virt"
        silence_seconds = 5
        [board.qemu]
        cpus = 2
    "#;

    #[test]
    fn rig_file_is_read() {
        let file = RigFile::parse(DESK).expect("a rig file");
        let serial = file.boards[0].serial.as_ref().expect("serial");
        assert_eq!(
            (serial.baud, serial.flash.len(), serial.off.len()),
            (115_200, 2, 0)
        );
        assert_eq!(file.boards[1].silence_seconds, 5);
        assert_eq!(
            file.boards[1]
                .qemu
                .as_ref()
                .and_then(|machine| machine.cpus),
            Some(2)
        );
    }

    #[test]
    fn rig_file_with_a_mistake_is_refused() {
        let refusal = |text: &str| RigFile::parse(text).expect_err("refusal").to_string();
        assert!(refusal("[[board]]\nplace='a'\nboard='b'\n").contains("needs either"));
        let both = "[[board]]\nplace='a'\nboard='b'\n[board.qemu]\n[board.serial]\nport='p'\n";
        assert!(refusal(both).contains("needs either"));
        let one = "[[board]]\nplace='a'\nboard='b'\n[board.qemu]\n";
        assert!(refusal(&format!("{one}{one}")).contains("two places"));
        assert!(refusal("[[board]]\nplace='a'\nboard='b'\ncolour='red'\n").contains("colour"));
        let both = "[[board]]\nplace='a'\nboard='b'\n[board.serial]\nport='p'\nflash=['f']\nchainloader=true\n";
        assert!(refusal(both).contains("both a chainloader"));
    }
}
