//! Runs suites on a board in its place: to the shell's prompt, then each suite as a person would type it.
//!
//! Results come sealed ([`crate::sealed`]), so that text on the line is never taken for one, nor one that came damaged for whole.
//! Nothing here knows whether the board is real. A kernel is blamed for what it did after it first spoke; before that it is
//! NOBOOT, and what the bench did is INFRA or FLASH.

use std::time::{Duration, Instant};

use crate::console::{Console, Event};
use crate::rig::{Boot, Rig};
use crate::sealed::Sealed;
use crate::verdict::{Case, Verdict};

/// What the shell prompts with.
const PROMPT: &str = "halyard:/$ ";

/// The kernel's first word.
const BANNER: &str = "Halyard ";

/// How a kernel that gives up begins to say so, and its last word.
const ENDS: [&str; 2] = ["kernel panic on CPU", "kernel fault on CPU"];
const LAST: &str = "halted";

/// Typed after a suite, to see where it ends and how.
const END: &str = "hil-end";

/// How often is looked whether there was a panic, which has no prompt after it.
const GLANCE: Duration = Duration::from_millis(500);

/// How much of the console a failure shows.
const TAIL: usize = 25;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// In silence until the first prompt.
    pub boot: Duration,
    /// In silence after that.
    pub silence: Duration,
    /// For one suite altogether.
    pub total: Duration,
}

/// What is run on every board.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Programs that print TAP.
    pub suites: Vec<String>,
    /// Only tests with this in their names.
    pub filter: Option<String>,
    /// How often the board is switched off and on again in the end.
    pub reboots: u32,
}

/// What a board came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The place.
    pub place: String,
    /// The tests, in the order they came.
    pub cases: Vec<Case>,
    /// All that came over its serial line.
    pub log: String,
    /// How long it took.
    pub taken: Duration,
}

/// Runs the plan on one board; gives each case to `seen` as it is decided. The board is off in the end.
pub fn run(
    rig: &mut dyn Rig,
    boot: &Boot,
    plan: &Plan,
    patience: &Patience,
    seen: &mut dyn FnMut(&Case),
) -> Outcome {
    let started = Instant::now();
    let mut run = Run {
        outcome: Outcome {
            place: rig.name().to_owned(),
            ..Outcome::default()
        },
        patience: *patience,
        seen,
    };
    run.all(rig, boot, plan);
    rig.power_off();
    run.outcome.taken = started.elapsed();
    run.outcome
}

struct Run<'a> {
    outcome: Outcome,
    patience: Patience,
    seen: &'a mut dyn FnMut(&Case),
}

impl Run<'_> {
    fn all(&mut self, rig: &mut dyn Rig, boot: &Boot, plan: &Plan) {
        let Some(mut console) = self.boot(rig, boot, "boot::prompt") else {
            return;
        };
        for (index, suite) in plan.suites.iter().enumerate() {
            if self.suite(&mut console, suite, plan.filter.as_deref()) {
                continue;
            }
            // What a suite left behind is not the next one's to bear.
            self.keep(&console);
            drop(console);
            if index + 1 == plan.suites.len() && plan.reboots == 0 {
                return;
            }
            match self.boot(rig, boot, &format!("boot::after {suite}")) {
                Some(next) => console = next,
                None => return,
            }
        }
        self.keep(&console);
        drop(console);
        for cycle in 1..=plan.reboots {
            match self.boot(rig, boot, &format!("reboot::{cycle} of {}", plan.reboots)) {
                Some(console) => self.keep(&console),
                None => return,
            }
        }
    }

    /// Switches it on and waits for the prompt. None: there was none, which is a case that failed.
    fn boot(&mut self, rig: &mut dyn Rig, boot: &Boot, name: &str) -> Option<Console> {
        let mut console = match rig.power_on(boot) {
            Ok(console) => console,
            Err(error) => {
                self.case(Case::new(name, error.verdict()));
                return None;
            }
        };
        let verdict = self.prompt(&mut console);
        let failed = verdict.failed();
        self.case(Case {
            name: name.into(),
            notes: if failed {
                console.tail(TAIL)
            } else {
                Vec::new()
            },
            verdict,
        });
        if failed {
            self.keep(&console);
            return None;
        }
        Some(console)
    }

    /// Waits for the prompt.
    fn prompt(&self, console: &mut Console) -> Verdict {
        let deadline = Instant::now() + self.patience.total;
        let mut heard = Instant::now();
        let mut length = 0;
        loop {
            match console.wait_for(PROMPT, GLANCE, deadline) {
                Ok(()) => return Verdict::Pass,
                Err(Event::Closed) => return Verdict::Infra("the serial line is gone".into()),
                Err(_) => {}
            }
            let text = console.transcript();
            if let Some(why) = panic_in(&text) {
                return Verdict::Fail(why);
            }
            if text.len() != length {
                length = text.len();
                heard = Instant::now();
            }
            if heard.elapsed() >= self.patience.boot || Instant::now() >= deadline {
                return self.silent(&text);
            }
        }
    }

    /// What a board comes to that says nothing more before its prompt.
    fn silent(&self, text: &str) -> Verdict {
        let seconds = self.patience.boot.as_secs();
        if text.contains(BANNER) {
            return Verdict::Fail(format!(
                "the kernel spoke, and then nothing came for {seconds} s"
            ));
        }
        Verdict::NoBoot(match text.trim().is_empty() {
            true => format!("not a word for {seconds} s"),
            false => format!("the firmware spoke, and then nothing came for {seconds} s"),
        })
    }

    /// Runs a suite from the prompt; says whether the board is fit for the next.
    fn suite(&mut self, console: &mut Console, suite: &str, filter: Option<&str>) -> bool {
        let words = filter.map_or(String::new(), |filter| format!(" {filter}"));
        let line = format!("/bin/{suite} --sealed{words}; echo {END} $?\r");
        let mut collector = Sealed::new(suite);
        let end = match console.send(&line) {
            Ok(()) => self.collect(console, &mut collector),
            Err(_) => End::Gone,
        };
        let failures = self
            .outcome
            .cases
            .iter()
            .filter(|case| case.verdict.failed())
            .count();
        let (why, fit) = match &end {
            End::Exit(code) => (format!("it ended with exit code {code}"), true),
            End::Panic(why) => (why.clone(), false),
            End::Silence => ("nothing came for too long".into(), false),
            End::Gone => {
                let verdict = Verdict::Infra("the serial line is gone".into());
                self.case(Case {
                    name: suite.into(),
                    verdict,
                    notes: console.tail(TAIL),
                });
                return false;
            }
        };
        for mut case in collector.finish(&why) {
            if case.notes.is_empty() && case.verdict.failed() {
                case.notes = console.tail(TAIL);
            }
            self.case(case);
        }
        let now = self
            .outcome
            .cases
            .iter()
            .filter(|case| case.verdict.failed())
            .count();
        if matches!(end, End::Panic(_) | End::Silence) && now == failures {
            // Every test had reported, and then it fell.
            self.case(Case {
                name: format!("{suite}::end"),
                verdict: Verdict::Fail(why),
                notes: console.tail(TAIL),
            });
        }
        fit
    }

    /// Takes lines until the suite's end.
    fn collect(&mut self, console: &mut Console, collector: &mut Sealed) -> End {
        let deadline = Instant::now() + self.patience.total;
        let mut panic = None;
        loop {
            match console.line(self.patience.silence, deadline) {
                Event::Line(line) => {
                    let line = line.trim();
                    if let Some(code) = line
                        .strip_prefix(END)
                        .and_then(|code| code.trim().parse().ok())
                    {
                        return End::Exit(code);
                    }
                    if ENDS.iter().any(|end| line.starts_with(end)) {
                        panic = Some(line.to_owned());
                    }
                    if line == LAST
                        && let Some(why) = panic
                    {
                        return End::Panic(why);
                    }
                    // The shell's echo of what was typed is no word of the suite.
                    if !line.contains(END)
                        && let Some(case) = collector.take(line)
                    {
                        self.case(case);
                    }
                }
                Event::Closed => return End::Gone,
                Event::Silence | Event::Deadline => return panic.map_or(End::Silence, End::Panic),
            }
        }
    }

    fn case(&mut self, case: Case) {
        (self.seen)(&case);
        self.outcome.cases.push(case);
    }

    fn keep(&mut self, console: &Console) {
        self.outcome.log.push_str(&console.transcript());
        self.outcome.log.push_str("\n---- switched off ----\n");
    }
}

/// How a suite ended.
enum End {
    Exit(i32),
    Panic(String),
    Silence,
    Gone,
}

/// The first line of a panic that has come to its end.
fn panic_in(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    let first = lines
        .by_ref()
        .find(|line| ENDS.iter().any(|end| line.starts_with(end)))?;
    lines.any(|line| line == LAST).then(|| first.to_owned())
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
