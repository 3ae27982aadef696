//! A board is a thin crate: what it adds to the shared code is counted, and has a limit.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::workspace::Workspace;

/// The most lines of Rust that a board may take, comments among them (docs/porting.md).
const MOST: usize = 150;

/// Checks every board of `bsp/`.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for entry in fs::read_dir(workspace.root.join("bsp"))? {
        let board = entry?.path();
        if !board.is_dir() {
            continue;
        }
        findings.extend(complaint(workspace.relative(&board), lines(&board)?));
    }
    Ok(findings)
}

fn complaint(board: &Path, lines: usize) -> Option<Finding> {
    let text = format!(
        "{lines} lines of Rust; a board has {MOST} at most, and drivers belong in drivers/"
    );
    (lines > MOST).then(|| Finding::new(board, 0, text))
}

/// Lines of Rust below a directory.
fn lines(directory: &Path) -> Result<usize> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sum += lines(&path)?;
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            sum += fs::read_to_string(&path)?.lines().count();
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn board_of_more_than_150_lines_is_against_the_rules() {
        let complaint = |lines| complaint(Path::new("bsp/big"), lines);
        assert_eq!(complaint(150), None);
        assert!(complaint(151).is_some_and(|finding| finding.grave));
    }

    #[test]
    fn lines_of_every_board_are_counted() -> Result<()> {
        let workspace = Workspace::find()?;
        for board in ["qemu-virt", "rpi3", "rpi4", "pine64"] {
            let lines = lines(&workspace.root.join("bsp").join(board))?;
            assert!((5..=MOST).contains(&lines), "{board}: {lines}");
        }
        Ok(())
    }
}
