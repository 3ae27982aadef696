//! Finds a compiler with a core library for the kernel's target.
//!
//! Where a tool chain has the target's library, that is that. Where it has not, and cannot fetch it, library source of
//! the very same version as some compiler on this machine is as good: cargo builds it (`-Zbuild-std`). The order is
//! fixed: what the environment says; the default tool chain's library; a nightly with `rust-src`; a compiler outside
//! rustup with its library source (Debian's `rustc-web` and `rust-web-src`), for which `RUSTC_BOOTSTRAP` is set on the
//! child only. xtask never has rustup install anything: that would move the channel under everybody's feet.

mod search;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use semver::Version;

use crate::workspace::{self, Workspace};

use search::Machine;

/// The target of kernel and programs.
pub(crate) const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The same, as cargo spells it in variables.
const TARGET_VARIABLE: &str = "AARCH64_UNKNOWN_NONE_SOFTFLOAT";

/// Names a compiler to use whatever else is there.
pub(crate) const OVERRIDE: &str = "HALYARD_RUSTC";

/// Names a linker to use whatever else is there.
pub(crate) const LINKER_OVERRIDE: &str = "HALYARD_LINKER";

/// What was found. A search asks several compilers several questions each.
static KNOWN: Mutex<Option<Toolchain>> = Mutex::new(None);

/// How the compiler was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// The environment names it.
    Override,
    /// The default tool chain has the target's library.
    TargetLibrary,
    /// A nightly tool chain has library source.
    Nightly,
    /// A compiler outside rustup has library source of its version.
    System,
}

/// What links a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Linker {
    /// The tool chain finds its own.
    Own,
    /// This one must be named to it.
    Named(PathBuf),
    /// There is none on this machine.
    Missing,
}

/// A compiler that can make kernel code.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    /// How it was found.
    pub(crate) route: Route,
    /// The compiler.
    pub(crate) rustc: PathBuf,
    /// Its version.
    pub(crate) version: Version,
    /// Whether the library is built from source.
    pub(crate) build_std: bool,
    /// What links.
    pub(crate) linker: Linker,
    /// Its clippy, where it has one.
    pub(crate) clippy: Option<PathBuf>,
}

impl Toolchain {
    /// Finds a compiler on this machine; looks only once. Error: there is none; the message names the mends.
    pub(crate) fn find() -> Result<Self> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(toolchain) = &*known {
            return Ok(toolchain.clone());
        }
        let toolchain = search::find(&Machine)?;
        *known = Some(toolchain.clone());
        Ok(toolchain)
    }

    /// Forgets what was found, because something was installed since.
    pub(crate) fn forget() {
        *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A linker of this machine that could serve a compiler without one of its own.
    pub(crate) fn any_linker() -> Option<PathBuf> {
        search::linker(&Machine, Path::new("/usr"))
    }

    /// A cargo command that compiles for the target with this compiler.
    pub(crate) fn cargo(&self, workspace: &Workspace, verb: &str) -> Command {
        let mut command = Command::new(workspace::cargo());
        command
            .current_dir(&workspace.root)
            .arg(verb)
            .args(["--target", TARGET]);
        command
            .env("RUSTC", &self.rustc)
            .env("CARGO_TARGET_DIR", workspace.target.join("kernel"));
        // cargo names these to what it runs; below, they would belong to xtask and not to what is built.
        for stray in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOC"] {
            command.env_remove(stray);
        }
        if self.build_std {
            // The library is not ours to mend: no report of what later compilers will reject in it.
            command
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY", "never");
            command.args([
                "-Zbuild-std=core,alloc,compiler_builtins",
                "-Zbuild-std-features=compiler-builtins-mem",
            ]);
        }
        if let Linker::Named(linker) = &self.linker {
            command.env(format!("CARGO_TARGET_{TARGET_VARIABLE}_LINKER"), linker);
        }
        command
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.route {
            Route::Override => "named by HALYARD_RUSTC",
            Route::TargetLibrary => "the default tool chain, which has the target's library",
            Route::Nightly => "a nightly tool chain with rust-src",
            Route::System => "a compiler outside rustup with library source",
        };
        let library = if self.build_std {
            "; the core library is built from source"
        } else {
            ""
        };
        write!(
            f,
            "rustc {} at {} ({how}{library})",
            self.version,
            self.rustc.display()
        )
    }
}
