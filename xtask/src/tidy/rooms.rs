//! The rooms of the house: which package is in which, who may use whom, and what each room allows.

use std::path::Path;

use cargo_metadata::{DependencyKind, Package};

use super::Finding;
use crate::workspace::Workspace;

/// Where every dependency that is not ours is accounted for.
const ACCOUNT: &str = "docs/dependencies.md";

/// A room: a directory, and the rules for what is below it.
pub(crate) struct Room {
    /// The directory, relative to the workspace.
    pub(crate) dir: &'static str,
    /// Rooms it may use.
    uses: &'static [&'static str],
    /// Rooms that its tests may use besides.
    tests_use: &'static [&'static str],
    /// Whether code in it may be unsafe.
    pub(crate) allows_unsafe: bool,
    /// Whether it may know an architecture and a board.
    pub(crate) knows_machines: bool,
}

/// A room of the portable kind.
const PORTABLE: Room = Room {
    dir: "",
    uses: &[],
    tests_use: &[],
    allows_unsafe: false,
    knows_machines: false,
};

/// Every room. A directory within another's comes before it.
pub(crate) const ROOMS: [Room; 14] = [
    Room {
        dir: "abi",
        ..PORTABLE
    },
    Room {
        dir: "cell",
        allows_unsafe: true,
        ..PORTABLE
    },
    Room {
        dir: "core",
        uses: &["abi", "cell", "device"],
        tests_use: &["arch/host"],
        ..PORTABLE
    },
    Room {
        dir: "device",
        ..PORTABLE
    },
    Room {
        dir: "drivers",
        uses: &["device"],
        ..PORTABLE
    },
    Room {
        dir: "wire",
        ..PORTABLE
    },
    Room {
        dir: "arch/mem",
        allows_unsafe: true,
        knows_machines: true,
        ..PORTABLE
    },
    Room {
        dir: "arch",
        uses: &[
            "abi", "core", "cell", "device", "drivers", "arch/mem", "wire",
        ],
        allows_unsafe: true,
        knows_machines: true,
        ..PORTABLE
    },
    Room {
        dir: "bsp",
        uses: &["core", "arch", "drivers"],
        allows_unsafe: true,
        knows_machines: true,
        ..PORTABLE
    },
    Room {
        dir: "chainloader",
        uses: &["arch/bare", "drivers", "wire"],
        knows_machines: true,
        ..PORTABLE
    },
    Room {
        dir: "userspace/rt",
        uses: &["abi", "arch/mem"],
        allows_unsafe: true,
        knows_machines: true,
        ..PORTABLE
    },
    Room {
        dir: "userspace",
        uses: &["abi", "userspace/rt", "wire"],
        ..PORTABLE
    },
    Room {
        dir: "hil-tests",
        uses: &["wire"],
        knows_machines: true,
        ..PORTABLE
    },
    Room {
        dir: "xtask",
        uses: &["hil-tests", "drivers", "wire"],
        knows_machines: true,
        ..PORTABLE
    },
];

/// The room a file is in, by its path relative to the workspace.
pub(crate) fn room_of(path: &Path) -> Option<&'static Room> {
    ROOMS.iter().find(|room| path.starts_with(room.dir))
}

/// Checks every dependency of every package: ours against the rules, others against the account of them.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let account = std::fs::read_to_string(workspace.root.join(ACCOUNT)).unwrap_or_default();
    let mut findings = Vec::new();
    for package in workspace.members() {
        let manifest = package.manifest_path.as_std_path();
        let manifest = workspace.relative(manifest);
        let Some(room) = room_of(manifest) else {
            findings.push(Finding::new(
                manifest,
                0,
                "the package is in no room of the house (xtask/src/tidy/rooms.rs)",
            ));
            continue;
        };
        for line in complaints(workspace, package, room, &account) {
            findings.push(Finding::new(manifest, 0, line));
        }
    }
    findings
}

/// What is wrong with the dependencies of one package.
fn complaints(workspace: &Workspace, package: &Package, room: &Room, account: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for dependency in &package.dependencies {
        let Some(path) = &dependency.path else {
            if !accounted(account, &dependency.name) {
                complaints.push(format!(
                    "the dependency {} has no row in {ACCOUNT}",
                    dependency.name
                ));
            }
            continue;
        };
        let Some(used) = room_of(workspace.relative(path.as_std_path())) else {
            continue;
        };
        if !may_use(
            room,
            used,
            path.as_std_path(),
            dependency.kind == DependencyKind::Development,
            workspace,
        ) {
            complaints.push(format!(
                "{} may not use {} ({})",
                room.dir, used.dir, dependency.name
            ));
        }
    }
    complaints
}

/// Whether a package in `room` may use one in `used`, which lies at `path`.
fn may_use(room: &Room, used: &Room, path: &Path, in_tests: bool, workspace: &Workspace) -> bool {
    let listed = |rooms: &[&str]| {
        rooms
            .iter()
            .any(|dir| *dir == used.dir || workspace.relative(path).starts_with(dir))
    };
    listed(room.uses) || (in_tests && listed(room.tests_use))
}

/// Whether the account has a table row for the crate.
fn accounted(account: &str, name: &str) -> bool {
    account.lines().any(|line| {
        let first = line
            .strip_prefix('|')
            .and_then(|rest| rest.split('|').next());
        first.is_some_and(|cell| cell.split([',', ' ', '`']).any(|word| word == name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_of_runtime_is_not_the_room_of_programs() {
        let dir = |path: &str| room_of(Path::new(path)).map(|room| room.dir);
        assert_eq!(dir("userspace/rt/src/lib.rs"), Some("userspace/rt"));
        assert_eq!(dir("userspace/programs/Cargo.toml"), Some("userspace"));
        assert_eq!(dir("elsewhere/Cargo.toml"), None);
    }

    #[test]
    fn core_may_use_host_machine_in_tests_only() {
        let workspace = Workspace::find().expect("workspace");
        let room = |dir: &str| ROOMS.iter().find(|room| room.dir == dir).expect("room");
        let host = workspace.root.join("arch/host");
        assert!(may_use(room("core"), room("arch"), &host, true, &workspace));
        assert!(!may_use(
            room("core"),
            room("arch"),
            &host,
            false,
            &workspace
        ));
        assert!(!may_use(
            room("core"),
            room("arch"),
            &workspace.root.join("arch/aarch64"),
            true,
            &workspace
        ));
    }

    #[test]
    fn account_names_crates_in_the_first_cell_only() {
        let account = "| crate | why |\n|---|---|\n| `clap`, `toml` | not serde |\n";
        assert!(accounted(account, "clap") && accounted(account, "toml"));
        assert!(!accounted(account, "serde"));
    }
}
