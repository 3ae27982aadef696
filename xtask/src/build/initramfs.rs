//! Packs the initramfs: what `userspace/initramfs.toml` says, and the programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::cpio::{Archive, Kind};
use super::{elf, read};
use crate::workspace::Workspace;

/// The manifest, relative to the workspace.
const MANIFEST: &str = "userspace/initramfs.toml";

/// What the initramfs holds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Packages whose binaries go to `/bin`.
    packages: Vec<String>,
    /// Packages whose binaries go there too, and print TAP when run: the test suites.
    #[serde(default)]
    suites: Vec<String>,
    /// Further binaries that only tests run.
    #[serde(default)]
    testing: Vec<String>,
    /// The directory of the C programs, relative to the manifest.
    pub(crate) c: Option<PathBuf>,
    #[serde(default)]
    directory: Vec<Directory>,
    #[serde(default)]
    file: Vec<File>,
    #[serde(default)]
    symlink: Vec<Symlink>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Directory {
    path: String,
    mode: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    mode: String,
    /// The content, or ...
    text: Option<String>,
    /// ... the file that has it, relative to the manifest.
    from: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Symlink {
    path: String,
    target: String,
}

impl Manifest {
    /// Reads it. Error: it is not there, or has a mistake.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let path = workspace.root.join(MANIFEST);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {MANIFEST}"))?;
        toml::from_str(&text).with_context(|| format!("{MANIFEST} has a mistake"))
    }

    /// Every package to build.
    pub(crate) fn rust_packages(&self) -> Vec<&str> {
        self.packages
            .iter()
            .chain(&self.suites)
            .map(String::as_str)
            .collect()
    }

    /// The packages whose binaries are test suites.
    pub(crate) fn suite_packages(&self) -> Vec<&str> {
        self.suites.iter().map(String::as_str).collect()
    }
}

/// Names and paths of programs.
type Programs = Vec<(String, PathBuf)>;

impl Manifest {
    /// The programs of an ordinary boot, and the names of all others: suites, C programs, and those that `testing` names.
    pub(crate) fn split(
        &self,
        rust: &[(String, PathBuf)],
        suites: &[String],
        c: &[(String, PathBuf)],
    ) -> (Programs, Vec<String>) {
        let testing = |name: &String| suites.contains(name) || self.testing.contains(name);
        let (tests, ordinary): (Programs, Programs) =
            rust.iter().cloned().partition(|(name, _)| testing(name));
        let names = tests.iter().chain(c).map(|(name, _)| name.clone());
        (ordinary, names.collect())
    }
}

/// A packed initramfs.
pub(crate) struct Packed {
    /// The archive.
    pub(crate) bytes: Vec<u8>,
    /// The names in `/bin`.
    pub(crate) programs: Vec<String>,
}

/// An entry before it is written; entries are written in the order of their paths.
struct Entry {
    kind: Kind,
    mode: u32,
    data: Vec<u8>,
}

/// Packs Rust programs (stripped here) and C programs (stripped already) with what the manifest lists.
pub(crate) fn pack(
    workspace: &Workspace,
    manifest: &Manifest,
    rust: &[(String, PathBuf)],
    c: &[(String, PathBuf)],
) -> Result<Packed> {
    let mut entries = Entries::default();
    for (name, path) in rust {
        let data = elf::strip(&read(path)?)
            .with_context(|| format!("{} is no program", path.display()))?;
        entries.add(&place(name), Kind::File, 0o755, data)?;
    }
    for (name, path) in c {
        entries.add(&place(name), Kind::File, 0o755, read(path)?)?;
    }
    list(workspace, manifest, &mut entries)?;
    let names = rust.iter().chain(c).map(|(name, _)| name.clone());
    let programs = names.filter(|name| name != "init").collect();
    Ok(Packed {
        bytes: entries.write()?,
        programs,
    })
}

/// Adds what the manifest lists.
fn list(workspace: &Workspace, manifest: &Manifest, entries: &mut Entries) -> Result<()> {
    for directory in &manifest.directory {
        entries.add(
            &directory.path,
            Kind::Directory,
            mode(&directory.mode)?,
            Vec::new(),
        )?;
    }
    for file in &manifest.file {
        let data = match (&file.text, &file.from) {
            (Some(text), None) => text.trim_start_matches('\n').as_bytes().to_vec(),
            (None, Some(from)) => read(&workspace.root.join("userspace").join(from))?,
            _ => bail!("{MANIFEST}: {} needs either 'text' or 'from'", file.path),
        };
        entries.add(&file.path, Kind::File, mode(&file.mode)?, data)?;
    }
    for link in &manifest.symlink {
        entries.add(
            &link.path,
            Kind::Symlink,
            0o777,
            link.target.clone().into_bytes(),
        )?;
    }
    Ok(())
}

/// Where a program goes.
fn place(name: &str) -> String {
    if name == "init" {
        "/init".into()
    } else {
        format!("/bin/{name}")
    }
}

/// A mode as the manifest writes it.
fn mode(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8).with_context(|| format!("{MANIFEST}: '{text}' is no octal mode"))
}

/// Entries by path, so that a directory comes before what is in it.
#[derive(Default)]
struct Entries(BTreeMap<String, Entry>);

impl Entries {
    /// Adds an entry, and the directories above it that nothing lists. Error: there is one of that path.
    fn add(&mut self, path: &str, kind: Kind, mode: u32, data: Vec<u8>) -> Result<()> {
        let parents = path
            .match_indices('/')
            .map(|(at, _)| &path[..at])
            .filter(|parent| !parent.is_empty());
        for parent in parents {
            let implied = || Entry {
                kind: Kind::Directory,
                mode: 0o755,
                data: Vec::new(),
            };
            self.0.entry(parent.to_owned()).or_insert_with(implied);
        }
        let entry = Entry { kind, mode, data };
        let old = self.0.insert(path.to_owned(), entry);
        ensure!(
            old.is_none_or(|old| old.kind == Kind::Directory && kind == Kind::Directory),
            "two things want to be {path} in the initramfs"
        );
        Ok(())
    }

    fn write(self) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for (path, entry) in &self.0 {
            archive.add(entry.kind, path, entry.mode, &entry.data)?;
        }
        archive.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_bring_their_directories_in_order() {
        let mut entries = Entries::default();
        entries
            .add("/bin/ls", Kind::File, 0o755, Vec::new())
            .expect("entry");
        entries
            .add("/a/b/c", Kind::File, 0o644, Vec::new())
            .expect("entry");
        let paths: Vec<&str> = entries.0.keys().map(String::as_str).collect();
        assert_eq!(paths, ["/a", "/a/b", "/a/b/c", "/bin", "/bin/ls"]);
    }

    #[test]
    fn entries_listed_directory_wins_over_implied_one() {
        let mut entries = Entries::default();
        entries
            .add("/tmp/x", Kind::File, 0o644, Vec::new())
            .expect("entry");
        entries
            .add("/tmp", Kind::Directory, 0o1777, Vec::new())
            .expect("entry");
        assert_eq!(entries.0.get("/tmp").map(|entry| entry.mode), Some(0o1777));
    }

    #[test]
    fn entries_refuse_the_same_file_twice() {
        let mut entries = Entries::default();
        entries
            .add("/bin/sh", Kind::File, 0o755, Vec::new())
            .expect("entry");
        assert!(
            entries
                .add("/bin/sh", Kind::File, 0o755, Vec::new())
                .is_err()
        );
    }

    #[test]
    fn manifest_of_this_repository_is_read() {
        let workspace = Workspace::find().expect("workspace");
        let manifest = Manifest::read(&workspace).expect("manifest");
        assert!(
            manifest
                .packages
                .iter()
                .any(|package| package == "halyard-programs")
        );
        let mut entries = Entries::default();
        list(&workspace, &manifest, &mut entries).expect("entries");
        assert_eq!(entries.0.get("/tmp").map(|entry| entry.mode), Some(0o1777));
    }

    #[test]
    fn split_keeps_suites_fuzzers_and_c_programs_out_of_ordinary_boots() {
        let manifest = Manifest {
            testing: vec!["fuzz".into()],
            ..Manifest::default()
        };
        let program = |name: &str| (name.to_owned(), PathBuf::from(name));
        let rust = [program("fuzz"), program("sh"), program("tests")];
        let (ordinary, others) = manifest.split(&rust, &["tests".to_owned()], &[program("hello")]);
        assert_eq!(ordinary, [program("sh")]);
        assert_eq!(others, ["fuzz", "tests", "hello"]);
    }

    #[test]
    fn program_init_stands_at_the_root() {
        assert_eq!(
            (place("init"), place("sh")),
            ("/init".into(), "/bin/sh".into())
        );
    }
}
