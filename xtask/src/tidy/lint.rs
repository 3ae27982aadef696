//! rustfmt and clippy: for what builds on the host, and for what builds for the target with the target's compiler.

use std::process::Command;

use anyhow::Result;

use super::rooms::room_of;
use crate::process;
use crate::setup::{self, Consent, Need};
use crate::toolchain::{Route, Toolchain};
use crate::ui::Ui;
use crate::workspace::{self, Workspace};

/// Runs all three; gives a word for each that failed, its output printed.
pub(crate) fn run(workspace: &Workspace, ui: &Ui, consent: Consent) -> Result<Vec<String>> {
    setup::ensure(
        workspace,
        ui,
        consent,
        &[Need::Core, Need::Linker, Need::Clippy],
    )?;
    let toolchain = Toolchain::find()?;
    let mut failed = Vec::new();
    let mut check = |what: &str, command: Command| -> Result<()> {
        let step = ui.step(what);
        let output = process::watch(ui, command, |line| step.progress(line))?;
        step.done();
        if !output.status.success() {
            let words = output
                .lines
                .iter()
                .filter(|line| !process::is_progress(line));
            words.for_each(|line| println!("{line}"));
            failed.push(format!("{what} failed"));
        }
        Ok(())
    };
    check("rustfmt (mend: cargo fmt --all)", format(workspace))?;
    check("clippy for the host", host(workspace))?;
    match target(workspace, &toolchain) {
        Some(command) => check("clippy for the target", command)?,
        None => failed.push(format!(
            "clippy for the target could not run: {} has none",
            toolchain.rustc.display()
        )),
    }
    Ok(failed)
}

fn format(workspace: &Workspace) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.current_dir(&workspace.root).args([
        "fmt",
        "--all",
        "--",
        "--check",
        "--files-with-diff",
    ]);
    command
}

fn host(workspace: &Workspace) -> Command {
    let mut command = Command::new(workspace::cargo());
    command.current_dir(&workspace.root).args([
        "clippy",
        "--all-targets",
        "--keep-going",
        "--color",
        "never",
        "--",
        "-Dwarnings",
    ]);
    command
}

/// Clippy of the compiler that makes the kernel, over the packages that only build for the target. `None`: it has none.
fn target(workspace: &Workspace, toolchain: &Toolchain) -> Option<Command> {
    let mut command = toolchain.cargo(workspace, "clippy");
    if toolchain.route != Route::TargetLibrary {
        // Not the clippy beside cargo: it must be the compiler's own. It takes cargo's place, and runs cargo in turn.
        let driver = toolchain.clippy.as_ref()?;
        let mut own = Command::new(driver.with_file_name("cargo-clippy"));
        own.current_dir(&workspace.root).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => own.env(name, value),
                None => own.env_remove(name),
            };
        }
        command = own;
    }
    for package in workspace.members() {
        let manifest = workspace.relative(package.manifest_path.as_std_path());
        let room = room_of(manifest).map(|room| room.dir);
        let for_target = matches!(
            room,
            Some(
                "bsp"
                    | "chainloader"
                    | "userspace"
                    | "userspace/rt"
                    | "core"
                    | "cell"
                    | "drivers"
                    | "wire"
            )
        ) || manifest.starts_with("arch/aarch64")
            || manifest.starts_with("arch/bare");
        if for_target {
            command.args(["--package", package.name.as_str()]);
        }
    }
    command.args([
        "--release",
        "--keep-going",
        "--color",
        "never",
        "--",
        "-Dwarnings",
    ]);
    Some(command)
}
