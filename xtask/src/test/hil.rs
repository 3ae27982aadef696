//! The rig blames whom it should: kernels that hang, panic or never speak, and a line that is dead, on QEMU behind pseudo terminals, each
//! followed by the next.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use halyard_hil::place::Outcome;
use halyard_hil::rig_file::{Entry, Machine, Serial};
use halyard_hil::verdict::{Case, Verdict};

use super::report::Report;
use super::target::Bench;
use crate::hil::{self, HilArgs};
use crate::setup::Consent;
use crate::ui::Ui;
use crate::workspace::Workspace;

const NAME: &str = "hil_blames_whom_it_should_and_goes_on";

/// The board whose UART the broken kernels know.
const BOARD: &str = "virt";

/// Few tests, for the kernel that is good.
const FILTER: &str = "pipe_01";

/// How long a broken kernel may be silent, in seconds.
const SILENCE: u64 = 3;

/// What a kernel that hangs says, and one that panics, before they stop.
const HANG: &str = "Halyard 0.1.0: 512 MiB\r\n";
const PANIC: &str =
    "Halyard 0.1.0: 512 MiB\r\nkernel panic on CPU 0: made for it\r\nbacktrace:\r\nhalted\r\n";

/// Runs the check, unless it is filtered out or this is another board.
pub(super) fn run(
    workspace: &Workspace,
    ui: &Ui,
    consent: Consent,
    report: &mut Report,
    bench: &Bench<'_>,
    filter: Option<&str>,
) {
    if bench.name != BOARD || filter.is_some_and(|filter| !NAME.contains(filter)) {
        return;
    }
    let step = ui.step(NAME);
    let result = check(workspace, ui, consent);
    step.done();
    match result {
        Ok(figure) => report.figure(NAME, &figure),
        Err(error) => report.case(&Case::new(NAME, Verdict::Fail(format!("{error:#}")))),
    }
}

fn check(workspace: &Workspace, ui: &Ui, consent: Consent) -> Result<String> {
    let directory = workspace.products("hil-check")?;
    let entries = [
        broken(&directory, "hangs", HANG)?,
        broken(&directory, "panics", PANIC)?,
        broken(&directory, "mute", "")?,
        dead_line(),
        entry("good"),
    ];
    let args = HilArgs::only(FILTER);
    let run = |entry| hil::place(workspace, ui, consent, &args, entry, &mut |_| {});
    let outcomes: Vec<Outcome> = entries.iter().map(run).collect();
    for (outcome, wanted) in outcomes
        .iter()
        .zip(["FAIL", "FAIL", "NOBOOT", "INFRA", "PASS"])
    {
        judge(outcome, wanted)?;
    }
    hil::write(&directory, &outcomes)?;
    reports(&directory)?;
    let good = outcomes.last().map_or(0, |outcome| outcome.cases.len());
    Ok(format!("FAIL, FAIL, NOBOOT, INFRA, and then {good} passed"))
}

/// A board that came to that; the broken ones to nothing else.
fn judge(outcome: &Outcome, wanted: &str) -> Result<()> {
    let right = outcome
        .cases
        .iter()
        .all(|case| case.verdict.to_string() == wanted);
    // The good one's prompt, and some tests.
    let enough = if wanted == "PASS" { 3 } else { 1 };
    anyhow::ensure!(
        right && outcome.cases.len() >= enough,
        "{} came to {:?} instead of {wanted}",
        outcome.place,
        outcome.cases
    );
    Ok(())
}

/// Both reports are there, with each verdict and what the kernel said.
fn reports(directory: &Path) -> Result<()> {
    for (name, words) in [
        (
            "junit.xml",
            ["type=\"NOBOOT\"", "type=\"INFRA\"", "made for it"],
        ),
        ("index.html", ["NOBOOT", "INFRA", "made for it"]),
    ] {
        let path = directory.join(name);
        let text =
            fs::read_to_string(&path).with_context(|| format!("there is no {}", path.display()))?;
        for word in words {
            anyhow::ensure!(text.contains(word), "{name} does not say {word}");
        }
    }
    Ok(())
}

fn entry(place: &str) -> Entry {
    Entry {
        place: place.into(),
        board: BOARD.into(),
        qemu: Some(Machine::default()),
        serial: None,
        kernel: None,
        boot_seconds: 60,
        silence_seconds: 60,
    }
}

/// A place with a kernel that says this and stops.
fn broken(directory: &Path, place: &str, says: &str) -> Result<Entry> {
    let path = directory.join(place);
    fs::write(&path, image(says)).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Entry {
        kernel: Some(path),
        boot_seconds: SILENCE,
        ..entry(place)
    })
}

/// A place whose cable is not plugged in.
fn dead_line() -> Entry {
    Entry {
        qemu: None,
        serial: Some(Serial {
            port: "/dev/serial/by-id/not-plugged-in".into(),
            baud: 115_200,
            ..Serial::default()
        }),
        ..entry("unplugged")
    }
}

/// A flat arm64 Image (Linux, Documentation/arch/arm64/booting.rst) that writes a text to the PL011 of QEMU's virt and waits for ever.
fn image(text: &str) -> Vec<u8> {
    const HEADER: usize = 64;
    let code: [u32; 8] = [
        0x1000_0101, //       adr  x1, text
        0xd2a1_2002, //       movz x2, #0x900, lsl #16
        0x3840_1420, // next: ldrb w0, [x1], #1
        0x3400_0060, //       cbz  w0, rest
        0xb900_0040, //       str  w0, [x2]
        0x17ff_fffd, //       b    next
        0xd503_207f, // rest: wfi
        0x17ff_ffff, //       b    rest
    ];
    let mut image = vec![0; HEADER];
    image[..4].copy_from_slice(&0x1400_0010_u32.to_le_bytes()); // b 64
    image[16..24].copy_from_slice(&0x1_0000_u64.to_le_bytes());
    image[24] = 0xa;
    image[56..60].copy_from_slice(b"ARM\x64");
    image.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    image.extend(text.as_bytes());
    image.push(0);
    image
}
