//! The board list, `boards.toml`: which kernel a board runs and how QEMU plays it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Every board of `boards.toml`, by the short name that `--board` takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Boards(BTreeMap<String, Board>);

/// One board.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// What people call it.
    pub title: String,
    /// The BSP crate whose one binary is the kernel.
    pub package: String,
    /// How QEMU plays it, where it does.
    pub qemu: Option<QemuBoard>,
    /// What a memory card for it holds, where it starts from one.
    pub card: Option<Card>,
}

/// What a memory card holds besides kernel and initramfs, so that the board's own firmware starts from it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// What the kernel is called on the card.
    pub kernel: String,
    /// The device tree, by its file name in Debian's arm64 kernel package.
    pub dtb: String,
    /// The firmware itself finds the tree and hands it over, and is told by `config.txt` what to start. Otherwise
    /// U-Boot loads the tree from the card.
    #[serde(default)]
    pub config: bool,
    /// Files of the firmware, as `package/path`; they lie in the root of the file system.
    #[serde(default)]
    pub firmware: Vec<String>,
    /// What lies in front of the file system.
    #[serde(default)]
    pub raw: Vec<Raw>,
    /// A U-Boot, as `package/path`, that starts the card in an emulator that cannot run the firmware.
    pub emulated_by: Option<String>,
}

/// Bytes at a fixed place of a memory card.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// The file, as `package/path`.
    pub file: String,
    /// The place, in bytes from the card's first.
    pub at: u64,
}

/// The machine QEMU makes of a board.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QemuBoard {
    /// The oldest QEMU that plays it, as `major.minor.patch`.
    pub version: String,
    /// The machine type (`-M`).
    pub machine: String,
    /// The CPU model (`-cpu`); none where the machine fixes it.
    pub cpu: Option<String>,
    /// RAM as `-m` takes it.
    pub memory: String,
    /// Number of CPUs (`-smp`).
    pub cpus: u32,
    /// Further arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// How a program's exit code leaves the machine.
    #[serde(default)]
    pub exit: ExitMethod,
    /// The file name of the device tree to hand over, for a machine that makes none.
    pub dtb: Option<String>,
    /// Which of the machine's serial lines is the console, from 0.
    #[serde(default)]
    pub serial: usize,
    /// Further words for the kernel.
    #[serde(default)]
    pub append: Vec<String>,
    /// A line of /dev/gpiochip0 that tests may drive, and where the machine shows it.
    pub gpio: Option<GpioLine>,
    /// What QEMU calls the bus of I2C that the kernel calls /dev/i2c-1, for tests that put a device on it.
    pub i2c: Option<String>,
    /// The machine is in a QEMU that the project builds, and not in others.
    #[serde(default)]
    pub own: bool,
}

/// A line for tests.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpioLine {
    /// Its number; its bit is what 32 leave of it.
    pub line: u32,
    /// Physical address of the word with the lines' levels.
    pub levels: u64,
}

/// How an exit code leaves the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitMethod {
    /// Arm semihosting, `SYS_EXIT_EXTENDED`: QEMU's own exit code is the program's.
    Semihosting,
    /// It does not.
    #[default]
    None,
}

/// Why the board list is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The file cannot be read.
    #[error("cannot read the board list {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not what `boards.toml` should be.
    #[error("the board list {path} has a mistake:\n{source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The place and the mistake.
        source: Box<toml::de::Error>,
    },
    /// There is no such board.
    #[error("there is no board '{name}'; boards.toml has: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}

impl Boards {
    /// Reads the list. Errors: unreadable file, or one that is not a board list.
    pub fn read(path: &Path) -> Result<Self, BoardError> {
        let text = std::fs::read_to_string(path).map_err(|source| BoardError::Read {
            path: path.into(),
            source,
        })?;
        Self::parse(&text).map_err(|source| BoardError::Parse {
            path: path.into(),
            source: Box::new(source),
        })
    }

    /// Reads a list from its text.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The board of that name. Error: there is none; the message names those there are.
    pub fn get(&self, name: &str) -> Result<&Board, BoardError> {
        self.0.get(name).ok_or_else(|| BoardError::Unknown {
            name: name.into(),
            known: self.0.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Names and boards, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Board)> {
        self.0.iter().map(|(name, board)| (name.as_str(), board))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn board_list_of_this_repository_has_virt() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards.toml");
        let boards = Boards::read(&path).expect("boards.toml");
        let virt = boards.get("virt").expect("virt");
        assert_eq!(virt.package, "halyard-qemu-virt");
        assert_eq!(
            virt.qemu.as_ref().map(|qemu| qemu.exit),
            Some(ExitMethod::Semihosting)
        );
    }

    #[test]
    fn board_unknown_names_those_there_are() {
        let boards = Boards::parse("[a]\ntitle='A'\npackage='p'\n[b]\ntitle='B'\npackage='q'")
            .expect("list");
        let message = boards.get("c").expect_err("no c").to_string();
        assert_eq!(message, "there is no board 'c'; boards.toml has: a, b");
    }

    #[test]
    fn board_with_unknown_key_is_refused() {
        assert!(Boards::parse("[a]\ntitle='A'\npackage='p'\ncolour='red'").is_err());
    }
}
