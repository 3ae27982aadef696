//! Boards that hang, panic, never speak, or whose cable breaks: each gets its verdict, and the next one runs.

use std::io::{Read, Write};
use std::time::Duration;

use serialport::{SerialPort, TTYPort};

use super::*;
use crate::bootargs::BootArgs;
use crate::rig::RigError;
use crate::sealed::tests::sealed;
use crate::serial;

const PATIENCE: Patience = Patience {
    boot: Duration::from_millis(1500),
    silence: Duration::from_millis(1500),
    total: Duration::from_secs(30),
};

/// What a board does at the other end of a pseudo terminal.
type Board = fn(TTYPort);

/// A rig whose boards are threads of the test; the first part plays the first boot, and so on, the last one again and again.
struct Bench {
    boards: Vec<Board>,
    boots: usize,
}

impl Rig for Bench {
    fn name(&self) -> &str {
        "bench"
    }

    fn power_on(&mut self, _boot: &Boot) -> Result<Console, RigError> {
        let (board, terminal) = TTYPort::pair().expect("a pty");
        let name = terminal.name().expect("a name");
        drop(terminal);
        let console = serial::open("bench", &name, 115_200)?;
        let part = self.boards[self.boots.min(self.boards.len() - 1)];
        self.boots += 1;
        std::thread::spawn(move || part(board));
        Ok(console)
    }

    fn wait_off(&mut self, _within: Duration) -> Result<Option<i32>, RigError> {
        Ok(None)
    }

    fn power_off(&mut self) {}
}

fn say(board: &mut TTYPort, text: &str) {
    board
        .write_all(text.replace('\n', "\r\n").as_bytes())
        .expect("the line takes it");
}

/// Waits for a typed line and echoes it, as the shell does.
fn typed(board: &mut TTYPort) {
    board.set_timeout(Duration::from_secs(20)).expect("timeout");
    let mut byte = [0];
    while board.read_exact(&mut byte).is_ok() && byte[0] != b'\r' {
        let _ = board.write_all(&byte);
    }
    say(board, "\n");
}

fn stay(board: TTYPort) {
    std::thread::sleep(Duration::from_secs(10));
    drop(board);
}

fn good(mut board: TTYPort) {
    say(&mut board, "Halyard 0.1.0: 1 MiB\nhalyard:/$ ");
    typed(&mut board);
    say(&mut board, &sealed("1..2\nok 1 - a\nok 2 - b"));
    say(&mut board, "hil-end 0\nhalyard:/$ ");
    stay(board);
}

fn hangs_at_boot(mut board: TTYPort) {
    say(&mut board, "Halyard 0.1.0: 1 MiB\n");
    stay(board);
}

fn panics_at_boot(mut board: TTYPort) {
    say(
        &mut board,
        "Halyard 0.1.0: 1 MiB\nkernel panic on CPU 0: no more\nbacktrace:\nhalted\n",
    );
    stay(board);
}

fn never_speaks(board: TTYPort) {
    stay(board);
}

fn only_firmware(mut board: TTYPort) {
    say(&mut board, "U-Boot 2023\nStarting kernel ...\n");
    stay(board);
}

fn cable_breaks(mut board: TTYPort) {
    say(&mut board, "Halyard 0.1.0: 1 MiB\n");
    std::thread::sleep(Duration::from_millis(200));
}

fn panics_in_a_suite(mut board: TTYPort) {
    say(&mut board, "Halyard 0.1.0: 1 MiB\nhalyard:/$ ");
    typed(&mut board);
    say(&mut board, &sealed("1..3\nok 1 - a"));
    let panic = "kernel fault on CPU 1: data abort\nbacktrace:\nhalted\n";
    say(&mut board, panic);
    stay(board);
}

fn hangs_in_a_suite(mut board: TTYPort) {
    say(&mut board, "Halyard 0.1.0: 1 MiB\nhalyard:/$ ");
    typed(&mut board);
    say(&mut board, &sealed("1..2\nok 1 - a"));
    stay(board);
}

fn play(boards: &[Board], suites: &[&str], reboots: u32) -> Outcome {
    let mut bench = Bench {
        boards: boards.to_vec(),
        boots: 0,
    };
    let boot = Boot {
        kernel: "k".into(),
        initrd: None,
        args: BootArgs::new(),
    };
    let plan = Plan {
        suites: suites.iter().map(|&suite| suite.to_owned()).collect(),
        filter: None,
        reboots,
    };
    run(&mut bench, &boot, &plan, &PATIENCE, &mut |_| {})
}

/// Names and verdicts in a few words.
fn cases(outcome: &Outcome) -> Vec<String> {
    let words = outcome
        .cases
        .iter()
        .map(|case| format!("{} {}", case.name, case.verdict));
    words.collect()
}

#[test]
fn board_that_does_well_passes_with_its_reboots() {
    let outcome = play(&[good], &["s"], 2);
    let wanted = [
        "boot::prompt PASS",
        "s::a PASS",
        "s::b PASS",
        "reboot::1 of 2 PASS",
        "reboot::2 of 2 PASS",
    ];
    assert_eq!(cases(&outcome), wanted);
    assert!(outcome.log.contains("ok 2 - b") && outcome.log.contains("switched off"));
}

#[test]
fn board_that_hangs_after_its_first_word_fails() {
    let outcome = play(&[hangs_at_boot], &["s"], 0);
    assert_eq!(cases(&outcome), ["boot::prompt FAIL"]);
}

#[test]
fn board_that_panics_fails_at_once_with_the_reason() {
    let outcome = play(&[panics_at_boot], &["s"], 0);
    assert_eq!(
        outcome.cases[0].verdict,
        Verdict::Fail("kernel panic on CPU 0: no more".into())
    );
    assert!(outcome.cases[0].notes.contains(&"backtrace:".to_owned()));
}

#[test]
fn board_that_never_speaks_is_noboot_with_or_without_firmware() {
    assert_eq!(
        cases(&play(&[never_speaks], &["s"], 0)),
        ["boot::prompt NOBOOT"]
    );
    assert_eq!(
        cases(&play(&[only_firmware], &["s"], 0)),
        ["boot::prompt NOBOOT"]
    );
}

#[test]
fn board_whose_cable_breaks_is_infra() {
    assert_eq!(
        cases(&play(&[cable_breaks], &["s"], 0)),
        ["boot::prompt INFRA"]
    );
}

#[test]
fn suite_that_panics_fails_what_it_owes_and_the_next_one_boots_anew() {
    let outcome = play(&[panics_in_a_suite, good], &["s", "t"], 0);
    let wanted = [
        "boot::prompt PASS",
        "s::a PASS",
        "s::test 2 FAIL",
        "s::test 3 FAIL",
        "boot::after s PASS",
        "t::a PASS",
        "t::b PASS",
    ];
    assert_eq!(cases(&outcome), wanted);
    let why = outcome.cases[2].verdict.reason().unwrap_or_default();
    assert!(why.contains("kernel fault on CPU 1"), "{why}");
}

#[test]
fn suite_that_hangs_fails_what_it_owes() {
    let outcome = play(&[hangs_in_a_suite], &["s"], 0);
    assert_eq!(
        cases(&outcome),
        ["boot::prompt PASS", "s::a PASS", "s::test 2 FAIL"]
    );
}
