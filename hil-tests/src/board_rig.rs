//! A board on the desk: a serial cable, a power switch that is a command, and a command that puts a kernel on it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use halyard_wire::load::Load;

use crate::console::Console;
use crate::load::{self, LoadError};
use crate::rig::{Boot, Rig, RigError};
use crate::rig_file::Serial;
use crate::serial;

/// How long firmware and chainloader may take until they answer.
const WAKING: Duration = Duration::from_secs(60);

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

    /// Sends the kernel to the chainloader, which has just been switched on.
    fn load(&self, boot: &Boot) -> Result<(), RigError> {
        let flash = |why: String| RigError::Flash {
            rig: self.name.clone(),
            why,
        };
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|error| flash(format!("{}: {error}", path.display())))
        };
        let kernel = read(&boot.kernel)?;
        let initramfs = boot.initrd.as_ref().map_or(Ok(Vec::new()), read)?;
        let words = boot.args.line();
        let what =
            Load::new(&kernel, &initramfs, &words).map_err(|error| flash(error.to_string()))?;
        let (port, baud) = (&self.serial.port, self.serial.baud);
        let sent = load::send(
            &mut || load::open(port, baud),
            what,
            baud,
            WAKING,
            &mut |_| {},
        );
        match sent {
            Ok(()) => Ok(()),
            Err(LoadError::Line(error)) => Err(RigError::Failed {
                rig: self.name.clone(),
                why: format!("its serial line {port}: {error}"),
            }),
            Err(error) => Err(flash(error.to_string())),
        }
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
        if self.serial.chainloader {
            self.switch(&self.serial.on)?;
            self.load(boot)?;
            // The chainloader waits for a second before it starts the kernel.
            return serial::open(&self.name, &self.serial.port, self.serial.baud);
        }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;
    use std::time::Instant;

    use halyard_wire::load::{Board, Memory, Offer, Part, Refusal, sum};
    use serialport::{SerialPort, TTYPort};

    use super::*;
    use crate::bootargs::BootArgs;
    use crate::verdict::Verdict;

    /// A chainloader with memory, or without.
    struct Ram(Option<Vec<u8>>);

    impl Memory for Ram {
        fn prepare(&mut self, offer: &Offer<'_>) -> Result<(), Refusal> {
            let ram = self.0.as_mut().ok_or(Refusal::NoRoom)?;
            ram.resize(offer.kernel.length as usize, 0);
            Ok(())
        }
        fn write(&mut self, _part: Part, offset: u32, bytes: &[u8]) {
            let ram = self.0.as_mut().expect("it took the offer");
            ram[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        fn sum(&mut self, part: Part) -> u32 {
            match part {
                Part::Kernel => sum(self.0.as_deref().unwrap_or_default()),
                Part::Initramfs => sum(&[]),
            }
        }
    }

    /// Plays a board until it has started a kernel, which says one word.
    fn play(mut port: TTYPort, mut ram: Ram, end: Instant) {
        port.set_timeout(Duration::from_millis(20))
            .expect("timeout");
        let (mut board, began) = (Board::new("bench"), Instant::now());
        let mut buffer = [0; 64];
        while Instant::now() < end {
            let now = u64::try_from(began.elapsed().as_millis()).expect("ms");
            if board.may_start(now) {
                port.write_all(b"Halyard\r\n").expect("written");
                thread::sleep(Duration::from_secs(2));
                return;
            }
            let count = port.read(&mut buffer).unwrap_or(0);
            for &byte in &buffer[..count] {
                board.take(byte, now, &mut ram, &mut |bytes| {
                    let _ = port.write_all(bytes);
                });
            }
        }
    }

    fn power_on(ram: Ram) -> Result<Console, RigError> {
        let place = tempfile::tempdir().expect("directory");
        let kernel = place.path().join("Image");
        let mut bytes = vec![7; 5000];
        bytes[16..24].copy_from_slice(&5000_u64.to_le_bytes());
        bytes[56..60].copy_from_slice(b"ARM\x64");
        fs::write(&kernel, bytes).expect("kernel");
        let (board, terminal) = TTYPort::pair().expect("a pty");
        let serial = Serial {
            port: terminal.name().expect("a name"),
            baud: 115_200,
            chainloader: true,
            ..Serial::default()
        };
        drop(terminal);
        let end = Instant::now() + Duration::from_secs(20);
        thread::spawn(move || play(board, ram, end));
        let boot = Boot {
            kernel,
            initrd: None,
            args: BootArgs::new().kernel("quiet"),
        };
        BoardRig::new("bench", &serial).power_on(&boot)
    }

    #[test]
    fn board_with_a_chainloader_is_sent_the_kernel_and_heard_from_its_first_word() {
        let mut console = power_on(Ram(Some(Vec::new()))).expect("a console");
        let soon = Duration::from_secs(10);
        console
            .wait_for("Halyard", soon, Instant::now() + soon)
            .expect("its first word");
    }

    #[test]
    fn board_whose_chainloader_refuses_is_flash() {
        let error = power_on(Ram(None)).err().expect("a refusal");
        assert!(matches!(error.verdict(), Verdict::Flash(why) if why.contains("no room")));
    }
}
