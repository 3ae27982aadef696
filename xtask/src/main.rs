//! `cargo xtask`: builds Halyard, runs it, tests it and sets up what that takes.
//!
//! Each verb is a module; what they share is the [`workspace::Workspace`] (where things are), the [`ui::Ui`] (what a
//! person sees), [`process`] (running other programs) and [`toolchain`] (which compiler makes kernel code). Results go
//! to standard output, everything else to standard error, so that `cargo xtask run -- -c CMD` can stand in a script.

#![forbid(unsafe_code)]

mod attach;
mod build;
mod cli;
mod debug;
mod differ;
mod doctor;
mod dtb;
mod flash;
mod hil;
mod image;
mod machine;
mod monitor;
mod process;
mod qemu_pine64;
mod run;
mod setup;
mod size;
mod test;
mod tidy;
mod toolchain;
mod ui;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use cli::{Cli, Verb};
use ui::Ui;
use workspace::Workspace;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(cli.verbose);
    match dispatch(cli, &ui) {
        Ok(code) => code,
        Err(error) => {
            ui.error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; gives the exit code.
fn dispatch(cli: Cli, ui: &Ui) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let consent = setup::Consent::new(cli.yes);
    match cli.verb {
        Verb::Build(args) => build::verb(&workspace, ui, consent, &args),
        Verb::Run(args) => run::verb(&workspace, ui, consent, &args),
        Verb::Debug(args) => debug::verb(&workspace, ui, consent, &args),
        Verb::Test(args) => test::verb(&workspace, ui, consent, &args),
        Verb::Differ(args) => differ::verb(&workspace, ui, consent, &args),
        Verb::Size(args) => size::verb(&workspace, ui, consent, &args),
        Verb::Image(args) => image::verb(&workspace, ui, consent, &args),
        Verb::Flash(args) => flash::verb(&workspace, ui, consent, &args, cli.yes),
        Verb::Hil(args) => hil::verb(&workspace, ui, consent, &args),
        Verb::Monitor(args) => monitor::verb(&workspace, ui, &args),
        Verb::Dtb(args) => dtb::verb(&workspace, ui, consent, &args),
        Verb::Tidy => tidy::verb(&workspace, ui, consent),
        Verb::Doctor => doctor::verb(&workspace, ui),
        Verb::Setup => setup::verb(&workspace, ui, consent),
        Verb::QemuPine64 => qemu_pine64::verb(&workspace, ui, consent),
    }
}
