//! The kernel's log on a booted machine: its levels, by the command line and by /proc, and its records among the console's text.

use std::time::Duration;

use super::session::{Failure, Session};
use super::target::Bench;
use crate::monitor;

/// What the shell is told; one line of text for each step.
const COMMAND: &str = "cat /proc/sys/kernel/log; tests fault_on_null_jump >/dev/null; echo info >/proc/sys/kernel/log; \
                       cat /proc/sys/kernel/log; echo loud >/proc/sys/kernel/log; echo still; cat /proc/sys/kernel/log";

/// What it answers. A level that there is not is refused.
const ANSWERS: [&str; 5] = ["warn", "info", "EINVAL", "still", "info"];

/// A program that dies by a fault is logged, with the level that was asked for and none above; the text around is whole.
pub(super) fn check(bench: &Bench<'_>) -> Result<String, Failure> {
    let boot = bench.boot(&["quiet", "log=warn"], &["-c", COMMAND]);
    let mut session = Session::start(bench, bench.options.clone(), &boot)?;
    session.set_patience(Duration::from_secs(60));
    for answer in ANSWERS {
        let line = session.line()?;
        let right = match answer {
            "EINVAL" => line.contains(answer),
            answer => line == answer,
        };
        if !right {
            return Err(session.fail(&format!("'{line}' instead of '{answer}'")));
        }
    }
    session.leave(0)?;
    let log = monitor::read_log(&bench.products.elf, session.frames());
    let wanted = ["warn  process ", "info  power off, code 0"];
    let all = wanted
        .iter()
        .zip(&log)
        .all(|(text, line)| line.contains(text));
    let fault = log
        .first()
        .is_some_and(|line| line.contains("(tests) dies of signal 11: address 0x0, pc 0x0"));
    if !all || !fault || log.len() != wanted.len() {
        return Err(session.fail(&format!("the log is {log:#?}")));
    }
    Ok("the levels hold, and the text is whole".into())
}
