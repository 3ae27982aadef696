//! Where things are: the source tree, the build directories, the packages.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use cargo_metadata::{Metadata, MetadataCommand};
use halyard_hil::board::{Board, Boards};

/// The source tree, and where its products go.
pub(crate) struct Workspace {
    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory; each tool chain has a directory of its own below it.
    pub(crate) target: PathBuf,
    /// The boards there are.
    pub(crate) boards: Boards,
    packages: BTreeMap<String, PathBuf>,
    metadata: Metadata,
}

impl Workspace {
    /// Finds the workspace that xtask belongs to. Errors: no readable board list, a broken `Cargo.toml`.
    pub(crate) fn find() -> Result<Self> {
        // cargo sets the variable when it runs xtask; the built-in path serves a binary that is run by hand.
        let own =
            env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&own)
            .parent()
            .ok_or_else(|| anyhow!("xtask has no directory above it"))?
            .to_owned();
        let metadata = metadata(&root, &["--offline", "--no-deps"])?;
        let packages = metadata.packages.iter().map(|package| {
            let manifest = package.manifest_path.clone().into_std_path_buf();
            (package.name.to_string(), manifest)
        });
        Ok(Self {
            boards: Boards::read(&root.join("boards.toml"))?,
            target: metadata.target_directory.clone().into_std_path_buf(),
            packages: packages.collect(),
            metadata,
            root,
        })
    }

    /// The board of that name. Error: there is none.
    pub(crate) fn board(&self, name: &str) -> Result<&Board> {
        Ok(self.boards.get(name)?)
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> &[cargo_metadata::Package] {
        &self.metadata.packages
    }

    /// Packages of the workspace that name `dependency` among theirs, under whatever condition.
    pub(crate) fn depending_on(&self, dependency: &str) -> Vec<String> {
        let packages = self.metadata.packages.iter();
        let dependents = packages.filter(|package| {
            package
                .dependencies
                .iter()
                .any(|known| known.name == dependency)
        });
        dependents.map(|package| package.name.to_string()).collect()
    }

    /// The manifest of a package. Error: there is no such package.
    pub(crate) fn manifest(&self, package: &str) -> Result<&Path> {
        match self.packages.get(package) {
            Some(path) => Ok(path),
            None => bail!(
                "the workspace has no package '{package}', though boards.toml or initramfs.toml names it"
            ),
        }
    }

    /// Where a board's finished products go; made if it is not there.
    pub(crate) fn products(&self, board: &str) -> Result<PathBuf> {
        let dir = self.target.join("halyard").join(board);
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        Ok(dir)
    }

    /// A path as a person in the source tree would write it.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// Asks cargo about the workspace at `root`.
fn metadata(root: &Path, options: &[&str]) -> Result<Metadata> {
    let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
    MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(options)
        .exec()
        .context("cargo cannot describe the workspace; a Cargo.toml in it is broken")
}

/// The cargo that runs xtask, or the one on the path.
pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
