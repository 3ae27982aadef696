//! A suite's results as they come over a serial line: sealed lines, among text that is none.
//!
//! A line that came damaged, or did not come, is the line's fault and not the kernel's: what is owed because of it is INFRA.

use halyard_wire::result::{self, Opened};

use crate::tap::Collector;
use crate::verdict::{Case, Verdict};

/// Collects the cases of one suite.
pub struct Sealed {
    suite: String,
    collector: Collector,
    next: u32,
    lost: u32,
}

impl Sealed {
    /// A collector for the suite of that name.
    pub fn new(suite: &str) -> Self {
        Self {
            suite: suite.into(),
            collector: Collector::new(suite),
            next: 0,
            lost: 0,
        }
    }

    /// Takes a line; gives the case that it ends, if it ends one.
    pub fn take(&mut self, line: &str) -> Option<Case> {
        match result::open(line) {
            Some(Opened::Whole(number, text)) if number >= self.next => {
                self.lost += number - self.next;
                self.next = number + 1;
                self.collector.take(text)
            }
            // One that has been: noise has repeated it.
            Some(Opened::Whole(..)) => None,
            Some(Opened::Damaged) | None => {
                self.collector.note(line);
                None
            }
        }
    }

    /// What is owed when the output has ended; `why` says how.
    pub fn finish(self, why: &str) -> Vec<Case> {
        let lost = self.lost;
        let mut owed = self.collector.finish(why);
        if lost == 0 {
            return owed;
        }
        let words = format!("{lost} results came damaged over the serial line");
        for case in &mut owed {
            case.verdict = Verdict::Infra(words.clone());
        }
        if owed.is_empty() {
            owed.push(Case::new(
                format!("{}::line", self.suite),
                Verdict::Infra(words),
            ));
        }
        owed
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use halyard_wire::result::Sealer;

    use super::*;

    /// The lines as a suite says them.
    pub(crate) fn sealed(text: &str) -> String {
        let (mut sealer, mut out) = (Sealer::default(), String::new());
        for line in text.lines() {
            sealer.seal(line, &mut out).expect("a string takes it");
        }
        out
    }

    fn collect(text: &str) -> Vec<String> {
        let mut results = Sealed::new("s");
        let mut cases: Vec<Case> = text.lines().filter_map(|line| results.take(line)).collect();
        cases.extend(results.finish("it ended"));
        let words = cases
            .iter()
            .map(|case| format!("{} {}", case.name, case.verdict));
        words.collect()
    }

    const TAP: &str = "1..2\nok 1 - a\nnot ok 2 - b # why\n";

    #[test]
    fn sealed_results_are_cases() {
        assert_eq!(collect(&sealed(TAP)), ["s::a PASS", "s::b FAIL"]);
    }

    #[test]
    fn text_that_looks_like_a_result_is_none() {
        let text = format!("ok 1 - forged\n{}not ok 9 - forged\n", sealed(TAP));
        assert_eq!(collect(&text), ["s::a PASS", "s::b FAIL"]);
        let plain = collect("1..1\nok 1 - a\n");
        assert_eq!(plain, ["s::plan FAIL"]);
    }

    #[test]
    fn damaged_result_blames_the_line() {
        let damaged = sealed(TAP).replace("ok 1 - a", "ok 1 - c");
        assert_eq!(collect(&damaged), ["s::b FAIL", "s::test 2 INFRA"]);
    }

    #[test]
    fn lost_note_blames_the_line_and_hides_no_result() {
        let text = sealed("1..1\n# a note\nok 1 - a\n");
        let lost: Vec<&str> = text.lines().filter(|line| !line.contains("note")).collect();
        assert_eq!(collect(&lost.join("\n")), ["s::a PASS", "s::line INFRA"]);
    }

    #[test]
    fn repeated_result_counts_once() {
        let text = sealed(TAP);
        let first = text.lines().nth(1).expect("a line");
        assert_eq!(
            collect(&format!("{text}{first}\n")),
            ["s::a PASS", "s::b FAIL"]
        );
    }

    #[test]
    fn results_that_end_early_blame_the_kernel() {
        let text = sealed(TAP);
        let begun: Vec<&str> = text.lines().take(2).collect();
        assert_eq!(collect(&begun.join("\n")), ["s::a PASS", "s::test 2 FAIL"]);
    }
}
