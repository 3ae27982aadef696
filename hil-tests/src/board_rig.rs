//! A board on the desk: a serial cable, a power switch that is a command, and a command that puts a kernel on it.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::console::Console;
use crate::rig::{Boot, Rig, RigError};
use crate::rig_file::Serial;
use crate::serial;

/// A board that is reached by its serial line.
pub struct BoardRig {
    name: String,
    serial: Serial,
    flashed: Option<Boot>,
}

impl BoardRig {
    /// The board that a rig file describes.
    pub fn new(name: &str, serial: &Serial) -> Self {
        Self {
            name: name.into(),
            serial: serial.clone(),
            flashed: None,
        }
    }

    /// Puts the kernel on the board, unless it is there already.
    fn flash(&mut self, boot: &Boot) -> Result<(), RigError> {
        if self.serial.flash.is_empty() || self.flashed.as_ref() == Some(boot) {
            return Ok(());
        }
        let path = |path: Option<&std::path::PathBuf>| {
            path.map_or(String::new(), |path| path.display().to_string())
        };
        let values = [
            ("{kernel}", path(Some(&boot.kernel))),
            ("{initramfs}", path(boot.initrd.as_ref())),
            ("{args}", boot.args.line()),
        ];
        let fill = |word: &String| {
            values.iter().fold(word.clone(), |word, (name, value)| {
                word.replace(name, value)
            })
        };
        let words: Vec<String> = self.serial.flash.iter().map(fill).collect();
        run(&words).map_err(|why| RigError::Flash {
            rig: self.name.clone(),
            why,
        })?;
        self.flashed = Some(boot.clone());
        Ok(())
    }

    fn switch(&self, words: &[String]) -> Result<(), RigError> {
        run(words).map_err(|why| RigError::Failed {
            rig: self.name.clone(),
            why: format!("its power switch: {why}"),
        })
    }
}

impl Rig for BoardRig {
    fn name(&self) -> &str {
        &self.name
    }

    fn power_on(&mut self, boot: &Boot) -> Result<Console, RigError> {
        self.switch(&self.serial.off)?;
        self.flash(boot)?;
        // Opened before the board speaks, so that its first words are not lost.
        let console = serial::open(&self.name, &self.serial.port, self.serial.baud)?;
        self.switch(&self.serial.on)?;
        Ok(console)
    }

    fn wait_off(&mut self, _within: Duration) -> Result<Option<i32>, RigError> {
        Ok(None)
    }

    fn power_off(&mut self) {
        // Whoever switches it on again is told if the switch is broken.
        let _ = self.switch(&self.serial.off);
    }
}

impl Drop for BoardRig {
    fn drop(&mut self) {
        self.power_off();
    }
}

/// Runs a command to its end. Error: it failed; with what it said last.
fn run(words: &[String]) -> Result<(), String> {
    let Some((program, rest)) = words.split_first() else {
        return Ok(());
    };
    let output = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or("without a word");
    Err(format!(
        "`{}` failed ({}): {last}",
        words.join(" "),
        output.status
    ))
}
