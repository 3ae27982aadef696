//! Runs one test program on a rig and judges each of its tests.

use std::time::{Duration, Instant};

use crate::console::{Console, Event};
use crate::rig::{Boot, Rig};
use crate::tap::Collector;
use crate::verdict::{Case, Verdict};

/// How much of the console a failure shows.
const TAIL: usize = 25;

/// How long a suite may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the program's first word.
    pub boot: Duration,
    /// Without a word.
    pub silence: Duration,
    /// Altogether.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            boot: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// Boots `boot`, whose init runs a program that prints TAP, and gives each case to `report` as it is decided.
///
/// A suite that ends without all it planned, or leaves with an exit code other than 0 although every test passed, fails.
pub fn run(
    rig: &mut dyn Rig,
    boot: &Boot,
    suite: &str,
    limits: &Limits,
    report: &mut dyn FnMut(Case),
) {
    let mut console = match rig.power_on(boot) {
        Ok(console) => console,
        Err(error) => return report(Case::new(suite, Verdict::Infra(error.to_string()))),
    };
    let mut failures = 0;
    let mut count = |case: Case| {
        failures += usize::from(case.verdict.failed());
        report(case);
    };
    let mut collector = Collector::new(suite);
    let end = collect(&mut console, &mut collector, limits, &mut count);
    let started = collector.started();
    let exit = match &end {
        Event::Closed => rig.wait_off(Duration::from_secs(5)),
        _ => Ok(None),
    };
    rig.power_off();
    let left = match exit {
        Err(error) => return count(Case::new(suite, Verdict::Infra(error.to_string()))),
        Ok(_) if !started => {
            let verdict = Verdict::NoBoot(format!(
                "the test program never spoke: {}",
                describe(&end, None)
            ));
            return count(Case {
                name: suite.into(),
                verdict,
                notes: console.tail(TAIL),
            });
        }
        Ok(code) => code,
    };
    for mut case in collector.finish(&describe(&end, left)) {
        if case.notes.is_empty() && case.verdict.failed() {
            case.notes = console.tail(TAIL);
        }
        count(case);
    }
    if let Some(code) = left.filter(|&code| code != 0 && failures == 0) {
        let verdict = Verdict::Fail(format!(
            "every test passed, yet the program left with exit code {code}"
        ));
        report(Case {
            name: format!("{suite}::exit"),
            verdict,
            notes: console.tail(TAIL),
        });
    }
}

/// Feeds lines to the collector until the suite is complete and the machine is off, or time is up.
fn collect(
    console: &mut Console,
    collector: &mut Collector,
    limits: &Limits,
    report: &mut dyn FnMut(Case),
) -> Event {
    let deadline = Instant::now() + limits.total;
    loop {
        let silence = match (collector.started(), collector.complete()) {
            (false, _) => limits.boot,
            (true, false) => limits.silence,
            // The program has said all it planned: it has only to leave.
            (true, true) => Duration::from_secs(5),
        };
        match console.line(silence, deadline) {
            Event::Line(line) => {
                if let Some(case) = collector.take(&line) {
                    report(case);
                }
            }
            end => return end,
        }
    }
}

/// How the output ended, in words.
fn describe(end: &Event, code: Option<i32>) -> String {
    let how = match end {
        Event::Silence => "nothing came for too long",
        Event::Deadline => "it took too long",
        Event::Line(_) | Event::Closed => "the machine went off",
    };
    match code {
        Some(code) => format!("{how}, exit code {code}"),
        None => how.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootargs::BootArgs;
    use crate::rig::RigError;

    /// A rig that plays a recording.
    struct Recording {
        text: &'static str,
        code: Option<i32>,
        broken: bool,
    }

    impl Rig for Recording {
        fn name(&self) -> &str {
            "recording"
        }

        fn power_on(&mut self, _boot: &Boot) -> Result<Console, RigError> {
            if self.broken {
                return Err(RigError::Failed {
                    rig: "recording".into(),
                    why: "no tape".into(),
                });
            }
            Ok(Console::new(self.text.as_bytes(), std::io::sink()))
        }

        fn wait_off(&mut self, _within: Duration) -> Result<Option<i32>, RigError> {
            Ok(self.code)
        }

        fn power_off(&mut self) {}
    }

    fn play(text: &'static str, code: i32, broken: bool) -> Vec<Case> {
        let boot = Boot {
            kernel: "k".into(),
            initrd: None,
            args: BootArgs::new(),
        };
        let mut rig = Recording {
            text,
            code: Some(code),
            broken,
        };
        let mut cases = Vec::new();
        run(&mut rig, &boot, "s", &Limits::default(), &mut |case| {
            cases.push(case)
        });
        cases
    }

    #[test]
    fn suite_all_passed_reports_each() {
        let cases = play("boot\n1..2\nok 1 - a\nok 2 - b\n", 0, false);
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["s::a", "s::b"]);
        assert!(cases.iter().all(|case| case.verdict == Verdict::Pass));
    }

    #[test]
    fn suite_that_panics_fails_with_the_console() {
        let cases = play("1..2\nok 1 - a\npanic: no more\n", 101, false);
        assert_eq!(cases.len(), 2);
        assert!(
            cases[1]
                .verdict
                .reason()
                .is_some_and(|why| why.contains("exit code 101"))
        );
        assert!(
            cases[1]
                .notes
                .iter()
                .any(|note| note.contains("panic: no more"))
        );
    }

    #[test]
    fn suite_passed_with_bad_exit_code_fails() {
        let cases = play("1..1\nok 1 - a\n", 7, false);
        assert!(
            cases
                .iter()
                .any(|case| case.name == "s::exit" && case.verdict.failed())
        );
    }

    #[test]
    fn suite_without_a_word_of_tap_is_noboot() {
        let cases = play("Halyard\npanic: no memory node\n", 101, false);
        assert!(matches!(cases[0].verdict, Verdict::NoBoot(_)));
        assert_eq!(cases[0].notes, ["Halyard", "panic: no memory node"]);
    }

    #[test]
    fn suite_on_broken_rig_is_infra() {
        assert!(matches!(play("", 0, true)[0].verdict, Verdict::Infra(_)));
    }
}
