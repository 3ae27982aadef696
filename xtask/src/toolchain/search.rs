//! The search for a compiler and a linker, over a machine or a table that stands for one.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use semver::Version;

use super::{LINKER_OVERRIDE, Linker, OVERRIDE, Route, TARGET, Toolchain};
use crate::process;

/// The oldest compiler that knows the edition the sources are written in.
const OLDEST: Version = Version::new(1, 85, 0);

/// What the search looks at. Real machines implement it with files and processes, tests with a table.
pub(super) trait Probe {
    /// What `rustc ARGS` prints, if it runs.
    fn ask(&self, rustc: &Path, args: &[&str]) -> Option<String>;
    /// Whether `dir` holds a `libcore-*.rlib`.
    fn has_libcore(&self, dir: &Path) -> bool;
    /// Whether the path exists.
    fn exists(&self, path: &Path) -> bool;
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<String>;
    /// The directories of rustup's tool chains.
    fn toolchains(&self) -> Vec<PathBuf>;
    /// Programs of that name on the path.
    fn on_path(&self, program: &str) -> Vec<PathBuf>;
}

/// This machine.
pub(super) struct Machine;

impl Probe for Machine {
    fn ask(&self, rustc: &Path, args: &[&str]) -> Option<String> {
        process::ask(rustc, args)
    }

    fn has_libcore(&self, dir: &Path) -> bool {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return false;
        };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn toolchains(&self) -> Vec<PathBuf> {
        let home = self.variable("RUSTUP_HOME").map(PathBuf::from).or_else(|| {
            self.variable("HOME")
                .map(|home| PathBuf::from(home).join(".rustup"))
        });
        let Some(entries) = home.and_then(|home| std::fs::read_dir(home.join("toolchains")).ok())
        else {
            return Vec::new();
        };
        let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        dirs.sort();
        dirs
    }

    fn on_path(&self, program: &str) -> Vec<PathBuf> {
        process::all_on_path(program)
    }
}

/// The search itself, over whatever `probe` shows.
pub(super) fn find(probe: &impl Probe) -> Result<Toolchain> {
    if let Some(rustc) = probe.variable(OVERRIDE) {
        let rustc = PathBuf::from(rustc);
        return match candidate(probe, &rustc, Route::Override) {
            Some(found) => Ok(found),
            None => bail!(
                "{OVERRIDE} names {}, which is no rustc {OLDEST} or later with a core library or library source for \
                 {TARGET}\n  name another one, or unset the variable",
                rustc.display()
            ),
        };
    }
    let default = default_rustc(probe);
    if let Some(found) = default
        .as_deref()
        .and_then(|rustc| candidate(probe, rustc, Route::TargetLibrary))
        && !found.build_std
    {
        return Ok(found);
    }
    let toolchains = probe.toolchains();
    let nightlies = toolchains
        .iter()
        .filter(|dir| file_name(dir).starts_with("nightly"));
    let nightlies = nightlies.map(|dir| (dir.join("bin/rustc"), Route::Nightly));
    let system = probe
        .on_path("rustc")
        .into_iter()
        .filter(|rustc| !belongs_to_rustup(rustc));
    let system = system.map(|rustc| (rustc, Route::System));
    let found = nightlies
        .chain(system)
        .find_map(|(rustc, route)| candidate(probe, &rustc, route));
    match found {
        Some(found) => Ok(found),
        None => bail!(
            "no compiler here has a core library for {TARGET}\n  \
             with rustup: rustup target add {TARGET}\n  \
             on Debian:   cargo xtask setup   (installs rustc-web and rust-web-src)"
        ),
    }
}

/// The compiler that plain `cargo build` uses.
fn default_rustc(probe: &impl Probe) -> Option<PathBuf> {
    let named = probe.variable("RUSTC").map(PathBuf::from);
    named.or_else(|| probe.on_path("rustc").into_iter().next())
}

/// What `rustc` could do, if it could do it at all.
fn candidate(probe: &impl Probe, rustc: &Path, route: Route) -> Option<Toolchain> {
    let version = version_in(&probe.ask(rustc, &["--version"])?)?;
    if version < OLDEST {
        return None;
    }
    let sysroot = PathBuf::from(probe.ask(rustc, &["--print", "sysroot"])?.trim());
    let libdir = probe.ask(rustc, &["--print", "target-libdir", "--target", TARGET]);
    let has_library = libdir.is_some_and(|dir| probe.has_libcore(Path::new(dir.trim())));
    let source = sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    if !has_library && !probe.exists(&source) {
        return None;
    }
    let linker = match linker(probe, &sysroot) {
        Some(linker) if has_library && linker.starts_with(&sysroot) => Linker::Own,
        Some(linker) => Linker::Named(linker),
        None => Linker::Missing,
    };
    Some(Toolchain {
        route,
        rustc: rustc.to_owned(),
        version,
        build_std: !has_library,
        linker,
        clippy: clippy(probe, rustc, &sysroot),
    })
}

/// A linker: the one named, the tool chain's own, any tool chain's, one on the path.
pub(super) fn linker(probe: &impl Probe, sysroot: &Path) -> Option<PathBuf> {
    if let Some(named) = probe.variable(LINKER_OVERRIDE) {
        return Some(PathBuf::from(named));
    }
    let default = default_rustc(probe).and_then(|rustc| probe.ask(&rustc, &["--print", "sysroot"]));
    let default = default.map(|dir| PathBuf::from(dir.trim()));
    let roots = std::iter::once(sysroot.to_owned())
        .chain(default)
        .chain(probe.toolchains());
    let host = host_triple();
    let shipped = roots.map(|root| root.join("lib/rustlib").join(&host).join("bin/rust-lld"));
    let mut shipped = shipped.filter(|lld| probe.exists(lld));
    let versioned = (14..=24).rev().map(|number| format!("ld.lld-{number}"));
    let names = ["ld.lld".to_owned(), "rust-lld".to_owned()]
        .into_iter()
        .chain(versioned);
    shipped.next().or_else(|| {
        names
            .into_iter()
            .find_map(|name| probe.on_path(&name).into_iter().next())
    })
}

/// The clippy that goes with a compiler: in the same tool chain, or beside it.
fn clippy(probe: &impl Probe, rustc: &Path, sysroot: &Path) -> Option<PathBuf> {
    let places = [
        sysroot.join("bin/clippy-driver"),
        rustc.with_file_name("clippy-driver"),
    ];
    places.into_iter().find(|driver| probe.exists(driver))
}

/// The host's own target triple, as far as it names a directory of a tool chain.
fn host_triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Whether a compiler on the path is rustup's stand-in, which is in a cargo home.
fn belongs_to_rustup(rustc: &Path) -> bool {
    let real = std::fs::canonicalize(rustc).unwrap_or_else(|_| rustc.to_owned());
    file_name(&real) == "rustup" || rustc.components().any(|part| part.as_os_str() == ".cargo")
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The version in `rustc 1.96.0 (...)` or `rustc 1.97.0-nightly (...)`.
fn version_in(text: &str) -> Option<Version> {
    let word = text.split_whitespace().nth(1)?;
    let version = Version::parse(word).ok()?;
    // A pre-release counts as what it will be.
    Some(Version::new(version.major, version.minor, version.patch))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// A machine as a table.
    #[derive(Default)]
    struct Table {
        variables: BTreeMap<&'static str, &'static str>,
        /// Compiler, version, sysroot.
        compilers: Vec<(&'static str, &'static str, &'static str)>,
        libraries: BTreeSet<&'static str>,
        files: BTreeSet<&'static str>,
        toolchains: Vec<&'static str>,
        path: Vec<&'static str>,
    }

    impl Probe for Table {
        fn ask(&self, rustc: &Path, args: &[&str]) -> Option<String> {
            let (_, version, sysroot) = self
                .compilers
                .iter()
                .find(|(path, ..)| Path::new(path) == rustc)?;
            match args {
                ["--version"] => Some(format!("rustc {version} (abc 2026-01-01)")),
                ["--print", "sysroot"] => Some(format!("{sysroot}\n")),
                _ => Some(format!("{sysroot}/target-lib\n")),
            }
        }

        fn has_libcore(&self, dir: &Path) -> bool {
            self.libraries.iter().any(|path| Path::new(path) == dir)
        }

        fn exists(&self, path: &Path) -> bool {
            self.files.iter().any(|file| Path::new(file) == path)
        }

        fn variable(&self, name: &str) -> Option<String> {
            self.variables.get(name).map(|&value| value.to_owned())
        }

        fn toolchains(&self) -> Vec<PathBuf> {
            self.toolchains.iter().map(PathBuf::from).collect()
        }

        fn on_path(&self, program: &str) -> Vec<PathBuf> {
            let files = self.path.iter().map(PathBuf::from);
            files.filter(|path| file_name(path) == program).collect()
        }
    }

    const SOURCE: &str = "lib/rustlib/src/rust/library/core/src/lib.rs";

    /// A stable tool chain without the target's library, a nightly, and Debian's compiler with source.
    fn machine() -> Table {
        let source = format!("/usr/{SOURCE}").leak();
        Table {
            compilers: vec![
                ("/h/.cargo/bin/rustc", "1.95.0", "/h/stable"),
                ("/h/nightly-x/bin/rustc", "1.97.0-nightly", "/h/nightly-x"),
                ("/usr/bin/rustc", "1.96.0", "/usr"),
            ],
            toolchains: vec!["/h/nightly-x", "/h/stable"],
            path: vec!["/h/.cargo/bin/rustc", "/usr/bin/rustc", "/usr/bin/ld.lld"],
            files: BTreeSet::from([&*source]),
            ..Table::default()
        }
    }

    #[test]
    fn search_takes_default_with_target_library_first() {
        let mut table = machine();
        table.libraries.insert("/h/stable/target-lib");
        let found = find(&table).expect("a compiler");
        assert_eq!(
            (found.route, found.build_std),
            (Route::TargetLibrary, false)
        );
    }

    #[test]
    fn search_takes_nightly_with_source_before_system() {
        let mut table = machine();
        let source: &'static str = format!("/h/nightly-x/{SOURCE}").leak();
        table.files.insert(source);
        let found = find(&table).expect("a compiler");
        assert_eq!((found.route, found.build_std), (Route::Nightly, true));
    }

    #[test]
    fn search_takes_system_compiler_with_source_last() {
        let found = find(&machine()).expect("a compiler");
        assert_eq!((found.route, found.build_std), (Route::System, true));
        assert_eq!(found.linker, Linker::Named("/usr/bin/ld.lld".into()));
    }

    #[test]
    fn search_passes_over_compiler_too_old() {
        let mut table = machine();
        table.compilers[2].1 = "1.63.0";
        let message = find(&table).expect_err("none").to_string();
        assert!(
            message.contains("rustup target add") && message.contains("cargo xtask setup"),
            "{message}"
        );
    }

    #[test]
    fn search_obeys_override_and_refuses_a_bad_one() {
        let mut table = machine();
        table.variables.insert(OVERRIDE, "/usr/bin/rustc");
        assert_eq!(find(&table).expect("a compiler").route, Route::Override);
        table.variables.insert(OVERRIDE, "/h/.cargo/bin/rustc");
        assert!(
            find(&table)
                .expect_err("no library")
                .to_string()
                .contains(OVERRIDE)
        );
    }

    #[test]
    fn linker_of_any_tool_chain_serves() {
        let mut table = machine();
        let lld: &'static str =
            format!("/h/stable/lib/rustlib/{}/bin/rust-lld", host_triple()).leak();
        table.files.insert(lld);
        assert_eq!(
            find(&table).expect("a compiler").linker,
            Linker::Named(lld.into())
        );
    }

    #[test]
    fn linker_missing_is_said_and_not_fatal() {
        let mut table = machine();
        table.path.retain(|path| !path.ends_with("lld"));
        assert_eq!(find(&table).expect("a compiler").linker, Linker::Missing);
    }

    #[test]
    fn version_of_nightly_counts_as_its_release() {
        assert_eq!(
            version_in("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)"),
            Some(Version::new(1, 97, 0))
        );
    }
}
