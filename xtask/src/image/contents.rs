//! What a board's memory card holds: files of the FAT file system, and what lies in front of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use halyard_hil::board::Card;
use halyard_hil::bootargs::BootArgs;

use crate::setup;
use crate::ui::Ui;

/// The initramfs on the card.
const INITRAMFS: &str = "initrd.img";

/// What the Raspberry Pi's firmware is told. Source: the firmware's documentation of config.txt.
const CONFIG: &str = include_str!("config.txt");

/// Files that a person may have made their own: `flash` does not write over them.
pub(crate) const KEPT: [&str; 1] = ["config.txt"];

/// Everything on a card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Paths and bytes of the files.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Places and bytes of what lies in front of the file system.
    pub(crate) raw: Vec<(u64, Vec<u8>)>,
}

impl Contents {
    /// Says under which terms the firmware on the card comes.
    pub(crate) fn show_licence(&self, ui: &Ui) {
        let licences = self
            .files
            .iter()
            .filter(|(path, _)| path.starts_with("licence/"));
        for (path, text) in licences {
            let text = String::from_utf8_lossy(text);
            let terms = text
                .lines()
                .find(|line| line.contains("may only be used for"));
            let terms = match terms {
                Some(_) => "not free: unmodified, and for use with a Raspberry Pi only",
                None => "free software",
            };
            ui.note(&format!(
                "firmware on the card is {terms}; its licence lies there as {path}"
            ));
        }
    }
}

/// Gathers a card: `firmware` has the files of Debian's packages, the other paths are what was built and the device tree;
/// `words` go to the kernel. Error: a file is not there.
pub(crate) fn gather(
    card: &Card,
    firmware: &Path,
    kernel: &Path,
    initramfs: &Path,
    tree: &Path,
    words: &[String],
) -> Result<Contents> {
    let line = words
        .iter()
        .fold(BootArgs::new(), |line, word| line.kernel(word))
        .line();
    let mut files = vec![
        (card.kernel.clone(), read(kernel)?),
        (INITRAMFS.to_owned(), read(initramfs)?),
        (card.dtb.clone(), read(tree)?),
        (
            "extlinux/extlinux.conf".to_owned(),
            extlinux(card, &line).into_bytes(),
        ),
    ];
    if card.config {
        let config = CONFIG
            .replace("@KERNEL@", &card.kernel)
            .replace("@INITRAMFS@", INITRAMFS);
        files.push(("config.txt".to_owned(), config.into_bytes()));
        files.push(("cmdline.txt".to_owned(), format!("{line}\n").into_bytes()));
    }
    for file in &card.firmware {
        files.push((base(file).to_owned(), read(&firmware.join(file))?));
    }
    for package in packages(card) {
        let text = firmware.join(setup::copyright(package));
        files.push((format!("licence/{package}.txt"), read(&text)?));
    }
    let raw = card
        .raw
        .iter()
        .map(|raw| Ok((raw.at, read(&firmware.join(&raw.file))?)));
    Ok(Contents {
        files,
        raw: raw.collect::<Result<_>>()?,
    })
}

/// The packages whose files lie on the card.
fn packages(card: &Card) -> BTreeSet<&str> {
    let raw = card.raw.iter().map(|raw| &raw.file);
    let names = card.firmware.iter().chain(raw);
    names
        .filter_map(|file| Some(file.split_once('/')?.0))
        .collect()
}

/// What U-Boot is told. Firmware that reads config.txt hands a device tree over itself, which knows more of the machine (its
/// memory, its serial number) than the file on the card. Source: U-Boot, doc/README.pxe.
fn extlinux(card: &Card, line: &str) -> String {
    let mut text = format!(
        "timeout 1\ndefault halyard\nlabel halyard\n  kernel /{}\n  initrd /{INITRAMFS}\n",
        card.kernel
    );
    if !card.config {
        text.push_str(&format!("  fdt /{}\n", card.dtb));
    }
    if !line.is_empty() {
        text.push_str(&format!("  append {line}\n"));
    }
    text
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| {
        format!(
            "cannot read {}, which belongs on the card; `cargo xtask setup` fetches firmware",
            path.display()
        )
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use halyard_hil::board::Raw;

    /// A card like the Raspberry Pi's.
    pub(crate) fn card() -> Card {
        Card {
            kernel: "kernel8.img".into(),
            dtb: "b.dtb".into(),
            config: true,
            firmware: vec!["p/lib/start.elf".into()],
            raw: Vec::new(),
            emulated_by: None,
        }
    }

    /// Its contents, from files made up for it.
    pub(crate) fn contents(card: &Card, words: &[&str]) -> Result<Contents> {
        let place = tempfile::tempdir()?;
        let write = |path: &str, text: &str| -> Result<()> {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().context("parent")?)?;
            Ok(fs::write(path, text)?)
        };
        write("p/lib/start.elf", "firmware")?;
        write("p/lib/spl.bin", "spl")?;
        write("p/usr/share/doc/p/copyright", "terms")?;
        write("kernel", "the kernel")?;
        write("initrd", "the initramfs")?;
        write("tree", "the tree")?;
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let at = |name: &str| place.path().join(name);
        gather(
            card,
            place.path(),
            &at("kernel"),
            &at("initrd"),
            &at("tree"),
            &words,
        )
    }

    fn text<'a>(contents: &'a Contents, path: &str) -> Option<&'a str> {
        let (_, data) = contents.files.iter().find(|(name, _)| name == path)?;
        std::str::from_utf8(data).ok()
    }

    #[test]
    fn card_with_config_has_what_its_firmware_wants() {
        let contents = contents(&card(), &["quiet", "a b"]).expect("contents");
        let config = text(&contents, "config.txt").expect("config.txt");
        assert!(config.contains("\nkernel=kernel8.img\n"), "{config}");
        assert!(
            config.contains("\ninitramfs initrd.img followkernel\n"),
            "{config}"
        );
        assert!(!config.contains('@'), "{config}");
        assert_eq!(text(&contents, "cmdline.txt"), Some("quiet \"a b\"\n"));
        assert_eq!(text(&contents, "start.elf"), Some("firmware"));
        assert_eq!(text(&contents, "licence/p.txt"), Some("terms"));
        let extlinux = text(&contents, "extlinux/extlinux.conf").expect("extlinux");
        assert!(!extlinux.contains("fdt"), "{extlinux}");
    }

    #[test]
    fn card_without_config_names_its_tree_to_u_boot() {
        let card = Card {
            config: false,
            firmware: Vec::new(),
            raw: vec![Raw {
                file: "p/lib/spl.bin".into(),
                at: 8192,
            }],
            ..card()
        };
        let contents = contents(&card, &[]).expect("contents");
        assert_eq!(contents.raw, [(8192, b"spl".to_vec())]);
        assert_eq!(text(&contents, "config.txt"), None);
        let extlinux = text(&contents, "extlinux/extlinux.conf").expect("extlinux");
        assert!(extlinux.contains("  fdt /b.dtb\n"), "{extlinux}");
        assert!(!extlinux.contains("append"), "{extlinux}");
    }

    #[test]
    fn card_lacking_a_file_names_it() {
        let card = Card {
            firmware: vec!["p/lib/absent.bin".into()],
            ..card()
        };
        let message = format!("{:#}", contents(&card, &[]).expect_err("absent"));
        assert!(
            message.contains("absent.bin") && message.contains("setup"),
            "{message}"
        );
    }
}
