//! Says how each test went, and keeps the sum.

use std::process::ExitCode;

use console::style;
use halyard_hil::verdict::{Case, Verdict};

/// The sum so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Report {
    /// Begins a part.
    pub(crate) fn heading(&self, name: &str) {
        println!("\n{}", style(name).bold());
    }

    /// One test, with what it had to say if it failed, and its reason if it has one.
    pub(crate) fn case(&mut self, case: &Case) {
        let mark = match &case.verdict {
            Verdict::Pass => style(&case.verdict).green(),
            Verdict::Skip(_) => style(&case.verdict).yellow(),
            Verdict::Fail(_) | Verdict::Infra(_) | Verdict::Flash(_) | Verdict::NoBoot(_) => {
                style(&case.verdict).red()
            }
        };
        match case.verdict.reason() {
            Some(why) => println!("{mark:6} {}: {why}", case.name),
            None => println!("{mark:6} {}", case.name),
        }
        if case.verdict.failed() {
            for note in &case.notes {
                println!("       | {note}");
            }
        }
        self.count(&case.verdict);
    }

    /// A passed test with the figure it found.
    pub(crate) fn figure(&mut self, name: &str, figure: &str) {
        println!("{:6} {name}: {figure}", style(Verdict::Pass).green());
        self.count(&Verdict::Pass);
    }

    /// A whole crate's tests at once; those that failed were reported by name.
    pub(crate) fn batch(&mut self, name: &str, passed: usize, skipped: usize) {
        println!("{:6} {name}: {passed} tests", style(Verdict::Pass).green());
        self.passed += passed;
        self.skipped += skipped;
    }

    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Skip(_) => self.skipped += 1,
            Verdict::Fail(_) | Verdict::Infra(_) | Verdict::Flash(_) | Verdict::NoBoot(_) => {
                self.failed += 1
            }
        }
    }

    /// The closing line.
    fn line(self) -> String {
        let mut line = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped > 0 {
            line.push_str(&format!(", {} skipped", self.skipped));
        }
        line
    }

    /// Prints the closing line; success if nothing failed and something ran.
    pub(crate) fn close(self) -> ExitCode {
        println!("\n{}", self.line());
        if self.failed == 0 && self.passed + self.skipped > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_sums_all_and_names_skips_only_if_any() {
        let mut report = Report::default();
        report.batch("a", 41, 0);
        report.case(&Case::new("b", Verdict::Pass));
        assert_eq!(report.line(), "42 passed, 0 failed");
        report.case(&Case::new("c", Verdict::NoBoot("dark".into())));
        report.case(&Case::new("d", Verdict::Skip("no rtc".into())));
        assert_eq!(report.line(), "42 passed, 1 failed, 1 skipped");
    }
}
