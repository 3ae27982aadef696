//! An apt with directories of its own: fetches what the machine's own apt must not be told of.
//!
//! Nothing of the machine is changed and nobody's rights are needed: only the mirrors and keys are the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{apt, sources};

/// What is fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Packages of that architecture, and of no other.
    Binary(&'static str),
    /// Packages for arm64, and among them those with firmware that is not free.
    Firmware,
    /// Sources of packages.
    Source,
}

/// An apt that writes below one directory only.
pub(crate) struct PrivateApt {
    directory: PathBuf,
    backports: String,
}

impl PrivateApt {
    /// Prepares the directory. Error: this machine's sources have no Debian release.
    pub(crate) fn new(directory: &Path, kind: Kind) -> Result<Self> {
        let known = sources::read(Path::new("/etc/apt"));
        let codename = apt::codename().context("this machine's release has no name")?;
        let newer = sources::backports(&known, &codename)
            .context("no source of this machine's apt has its own release")?;
        let mut release = sources::Source {
            suites: vec![codename],
            ..newer.clone()
        };
        if let Kind::Firmware = kind {
            release.components.push("non-free-firmware".into());
        }
        for part in ["state/lists/partial", "cache/archives/partial", "none"] {
            make(&directory.join(part))?;
        }
        write(&directory.join("status"), "")?;
        let mut stanzas = [&release, &newer].map(sources::to_deb822).join("\n");
        if let Kind::Source = kind {
            stanzas = stanzas.replace("Types: deb\n", "Types: deb-src\n");
        }
        write(&directory.join("debian.sources"), &stanzas)?;
        write(&directory.join("apt.conf"), &configuration(directory, kind))?;
        Ok(Self {
            directory: directory.to_owned(),
            backports: newer.suites.concat(),
        })
    }

    /// Where it writes.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The name of the suite with newer packages, which a young release has not.
    pub(crate) fn backports(&self) -> &str {
        &self.backports
    }

    /// A program of apt's that keeps to the directory.
    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.directory.join("apt.conf"))
            .env("LC_ALL", "C")
            // Descriptions for software centres come unasked where one is installed.
            .args([
                "-o",
                "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            ])
            .args(words);
        command
    }
}

/// apt's configuration, apt.conf(5). The machine's own is read too, for the sake of a proxy.
fn configuration(directory: &Path, kind: Kind) -> String {
    let at = |part: &str| directory.join(part).display().to_string();
    let mut settings = vec![
        ("Dir::State", at("state")),
        ("Dir::State::status", at("status")),
        ("Dir::Cache", at("cache")),
        ("Dir::Etc::SourceList", at("debian.sources")),
        ("Dir::Etc::SourceParts", at("none")),
        ("Dir::Etc::PreferencesParts", at("none")),
        // root would hand the download to a user who may not write here.
        ("APT::Sandbox::User", String::new()),
        ("Acquire::Languages", "none".into()),
        ("Acquire::Retries", "3".into()),
    ];
    let architecture = match kind {
        Kind::Binary(architecture) => Some(architecture),
        Kind::Firmware => Some("arm64"),
        Kind::Source => None,
    };
    if let Some(architecture) = architecture {
        settings.push(("APT::Architecture", architecture.into()));
        settings.push(("APT::Architectures", architecture.into()));
    }
    let lines = settings
        .iter()
        .map(|(key, value)| format!("{key} \"{value}\";\n"));
    lines.collect()
}

/// Makes a directory, and those above it.
pub(crate) fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_keeps_to_its_directory() {
        let text = configuration(Path::new("/x/apt"), Kind::Binary("arm64"));
        let places = text.lines().filter(|line| line.starts_with("Dir::"));
        assert!(places.into_iter().all(|line| line.contains("\"/x/apt/")));
        assert!(text.contains("APT::Architecture \"arm64\";"));
        assert!(!configuration(Path::new("/x"), Kind::Source).contains("APT::Architecture"));
    }
}
