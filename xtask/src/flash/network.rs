//! Into the directory that a TFTP server gives a Raspberry Pi, whose firmware reads from there what it would read from a card.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use halyard_hil::board::Card;

use super::partition;
use crate::image::{self, ImageArgs};
use crate::setup::Consent;
use crate::ui::Ui;
use crate::workspace::Workspace;

/// Replaces the files of a card in that directory, and touches nothing else.
pub(super) fn write(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    args: &ImageArgs,
    directory: Option<&Path>,
    dry_run: bool,
) -> Result<ExitCode> {
    let board = &args.build.board;
    let place = check(board, image::card(workspace, board)?, directory)?;
    let contents = image::make(workspace, ui, consent, args)?;
    let changes = partition::plan(&place, &contents)?;
    changes.show(&place, dry_run);
    if !dry_run {
        let step = ui.step("writing the files");
        changes.apply(&place, |path| step.progress(path))?;
        step.done();
        contents.show_licence(ui);
    }
    Ok(ExitCode::SUCCESS)
}

/// The directory. Errors: none was named, it is not there, or the board's firmware does not read such files from a network.
fn check(board: &str, card: &Card, directory: Option<&Path>) -> Result<PathBuf> {
    ensure!(
        card.config,
        "the firmware of the board '{board}' does not read a card's files from a network; --via uart does without a card, too"
    );
    let Some(directory) = directory else {
        bail!(
            "--via tftp wants the server's directory for this board: --to DIR, such as /srv/tftp/SERIAL"
        );
    };
    let place = fs::canonicalize(directory)
        .with_context(|| format!("there is no directory {}", directory.display()))?;
    ensure!(place.is_dir(), "{} is no directory", directory.display());
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn directory_for_a_network_is_named_and_there() {
        let workspace = Workspace::find().expect("workspace");
        let refusal = |board: &str, directory: Option<&Path>| {
            let card = image::card(&workspace, board).expect("a card");
            check(board, card, directory)
                .expect_err("refusal")
                .to_string()
        };
        let place = tempfile::tempdir().expect("directory");
        let file = place.path().join("file");
        fs::write(&file, "x").expect("file");
        assert!(refusal("rpi4", None).contains("--to DIR"));
        assert!(refusal("rpi4", Some(Path::new("/absent"))).contains("/absent"));
        assert!(refusal("rpi4", Some(&file)).contains("no directory"));
        assert!(refusal("pine64", Some(place.path())).contains("pine64"));
        let card = image::card(&workspace, "rpi4").expect("a card");
        assert!(check("rpi4", card, Some(place.path())).is_ok());
    }
}
