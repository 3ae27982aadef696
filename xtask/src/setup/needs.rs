//! What is needed, whether it is there, and which Debian packages bring it. Looking changes nothing.

use std::fmt;
use std::path::Path;

use halyard_hil::qemu;
use semver::Version;

use crate::process;
use crate::toolchain::{Linker, TARGET, Toolchain};
use crate::workspace::Workspace;

/// The C cross compiler.
pub(crate) const C_COMPILER: &str = "aarch64-linux-gnu-gcc";

/// The debugger.
pub(crate) const DEBUGGER: &str = "gdb-multiarch";

/// Something xtask needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// A compiler with a core library for the target, or the source of one.
    Core,
    /// A linker for it.
    Linker,
    /// QEMU for 64-bit Arm.
    Qemu,
    /// A C compiler for arm64 Linux with static libraries, for the C test programs.
    CCompiler,
    /// Clippy of the compiler that makes the kernel.
    Clippy,
    /// A debugger that knows Arm.
    Debugger,
    /// What QEMU is built with.
    QemuTools,
}

/// Every need, in the order a person should read them.
pub(crate) const ALL: [Need; 7] = [
    Need::Core,
    Need::Linker,
    Need::Qemu,
    Need::CCompiler,
    Need::Clippy,
    Need::Debugger,
    Need::QemuTools,
];

/// Whether something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It is; what it is.
    Present(String),
    /// It is not; why.
    Missing(String),
}

impl Need {
    /// Every need, in the order a person should read them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter()
    }

    /// Whether there is something left to do without it.
    pub(crate) fn optional(self) -> bool {
        matches!(
            self,
            Self::CCompiler | Self::Clippy | Self::Debugger | Self::QemuTools
        )
    }

    /// What it is for.
    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Core | Self::Linker => "builds the kernel and the programs",
            Self::Qemu => "runs them",
            Self::CCompiler => "builds the C test programs; without it they are skipped",
            Self::Clippy => "lints the kernel in `tidy`",
            Self::Debugger => "`cargo xtask debug`",
            Self::QemuTools => "builds the QEMU that plays the Pine64",
        }
    }

    /// Debian packages that bring it, as alternatives: the first list whose packages can all be had is taken.
    pub(crate) fn packages(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Core => &[&["rustc-web", "rust-web-src"], &["rustc", "rust-src"]],
            Self::Linker => &[&["lld"]],
            Self::Qemu => &[&["qemu-system-arm"]],
            Self::CCompiler => &[&["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]],
            Self::Clippy => &[&["rust-web-clippy"], &["rust-clippy"]],
            Self::Debugger => &[&["gdb-multiarch"]],
            Self::QemuTools => &[QEMU_TOOLS],
        }
    }

    /// Looks whether it is there.
    pub(crate) fn look(self, workspace: &Workspace) -> State {
        match self {
            Self::Core => match Toolchain::find() {
                Ok(found) => State::Present(found.to_string()),
                Err(error) => State::Missing(error.to_string()),
            },
            Self::Linker => look_for_linker(),
            Self::Qemu => look_for_qemu(&oldest_qemu(workspace)),
            Self::CCompiler => look_for_c_compiler(),
            Self::Clippy => match Toolchain::find() {
                Ok(Toolchain {
                    clippy: Some(driver),
                    ..
                }) => State::Present(driver.display().to_string()),
                Ok(found) => {
                    State::Missing(format!("there is no clippy for {}", found.rustc.display()))
                }
                Err(_) => State::Missing(format!("there is no compiler for {TARGET} yet")),
            },
            Self::Debugger => match process::on_path(DEBUGGER) {
                Some(path) => State::Present(path.display().to_string()),
                None => State::Missing(format!("there is no {DEBUGGER} on the path")),
            },
            Self::QemuTools => look_for_qemu_tools(),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Core => "kernel compiler",
            Self::Linker => "linker",
            Self::Qemu => "QEMU",
            Self::CCompiler => "C compiler",
            Self::Clippy => "clippy",
            Self::Debugger => "debugger",
            Self::QemuTools => "QEMU's build tools",
        })
    }
}

fn look_for_linker() -> State {
    let linker = match Toolchain::find().map(|found| found.linker) {
        Ok(Linker::Own) => return State::Present("the tool chain's own".into()),
        Ok(Linker::Named(path)) => Some(path),
        Ok(Linker::Missing) => None,
        Err(_) => Toolchain::any_linker(),
    };
    match linker {
        Some(path) => State::Present(path.display().to_string()),
        None => State::Missing("no tool chain here has rust-lld, and there is no ld.lld".into()),
    }
}

/// The QEMU that the most modest board of the list can be played with.
pub(crate) fn oldest_qemu(workspace: &Workspace) -> Version {
    let boards = workspace
        .boards
        .iter()
        .filter_map(|(_, board)| board.qemu.as_ref());
    let versions = boards.filter_map(|qemu| Version::parse(&qemu.version).ok());
    versions.min().unwrap_or(Version::new(7, 2, 0))
}

fn look_for_qemu(oldest: &Version) -> State {
    let Some(text) = process::ask(Path::new(qemu::PROGRAM), &["--version"]) else {
        return State::Missing(format!("there is no {} on the path", qemu::PROGRAM));
    };
    match qemu::version_in(&text).and_then(|version| Version::parse(version).ok()) {
        Some(version) if version >= *oldest => State::Present(format!("version {version}")),
        Some(version) => State::Missing(format!(
            "version {version} is here, {oldest} or later is needed"
        )),
        None => State::Missing(format!("{} does not say its version", qemu::PROGRAM)),
    }
}

/// What Debian calls them.
const QEMU_TOOLS: &[&str] = &[
    "gcc",
    "libc6-dev",
    "libfdt-dev",
    "libglib2.0-dev",
    "meson",
    "ninja-build",
    "patch",
    "pkg-config",
    "python3-pycotap",
    "python3-venv",
    "xz-utils",
    "zlib1g-dev",
];

/// The oldest meson that QEMU 10 is built with.
pub(crate) const OLDEST_MESON: Version = Version::new(1, 5, 0);

fn look_for_qemu_tools() -> State {
    for program in ["gcc", "meson", "ninja", "patch", "pkg-config", "xz"] {
        if process::on_path(program).is_none() {
            return State::Missing(format!("there is no {program} on the path"));
        }
    }
    let meson = process::ask(Path::new("meson"), &["--version"]).unwrap_or_default();
    if Version::parse(meson.trim()).is_ok_and(|version| version < OLDEST_MESON) {
        return State::Missing(format!(
            "meson {} is here, {OLDEST_MESON} or later is needed",
            meson.trim()
        ));
    }
    let libraries = ["--exists", "glib-2.0", "zlib"];
    if process::ask(Path::new("pkg-config"), &libraries).is_none() {
        return State::Missing("the headers of glib or zlib are not here".into());
    }
    if !Path::new("/usr/include/libfdt.h").is_file() {
        return State::Missing("the headers of libfdt are not here".into());
    }
    let modules = ["-c", "import ensurepip, pycotap, venv"];
    match process::ask(Path::new(PYTHON), &modules) {
        Some(_) => State::Present(format!("meson {}", meson.trim())),
        None => State::Missing(format!("{PYTHON} lacks venv or pycotap")),
    }
}

/// The Python that Debian's modules are for; another may come first on the path.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

fn look_for_c_compiler() -> State {
    let Some(path) = process::on_path(C_COMPILER) else {
        return State::Missing(format!("there is no {C_COMPILER} on the path"));
    };
    // gcc answers with the bare name when it has no such file.
    let library = process::ask(&path, &["-print-file-name=libc.a"]).unwrap_or_default();
    if Path::new(library.trim()).is_absolute() {
        State::Present(path.display().to_string())
    } else {
        State::Missing(format!("{} has no static C library", path.display()))
    }
}
