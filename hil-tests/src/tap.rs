//! Understands the Test Anything Protocol, as far as test programs on the target speak it.
//!
//! Lines that are not TAP (a kernel message between two tests, a program's own output) are notes of the test that
//! follows, so that nothing a failing test said is lost. Source: testanything.org, TAP version 13 and 14.

use crate::verdict::{Case, Verdict};

/// One line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `1..N`, with the reason where the whole suite is skipped (`1..0 # SKIP why`).
    Plan {
        /// How many tests will report.
        count: usize,
        /// Why the whole suite is skipped, where it is.
        skip: Option<String>,
    },
    /// `ok` or `not ok`.
    Test {
        /// The number the program gave it.
        number: Option<usize>,
        /// Its name; may be empty.
        name: String,
        /// How it went.
        verdict: Verdict,
    },
    /// `# text`.
    Note(String),
    /// `Bail out! why`: nothing more will come.
    BailOut(String),
    /// `TAP version N`.
    Version,
    /// Anything else.
    Other(String),
}

/// Reads one line, without its line end.
pub fn parse_line(line: &str) -> Line {
    let line = line.trim_end();
    if let Some(rest) = line.strip_prefix("not ok") {
        return parse_test(rest, false).unwrap_or_else(|| Line::Other(line.into()));
    }
    if let Some(rest) = line.strip_prefix("ok") {
        return parse_test(rest, true).unwrap_or_else(|| Line::Other(line.into()));
    }
    if let Some(rest) = line.strip_prefix("Bail out!") {
        return Line::BailOut(rest.trim().into());
    }
    if line.starts_with("TAP version ") {
        return Line::Version;
    }
    if let Some(note) = line.strip_prefix('#') {
        return Line::Note(note.trim().into());
    }
    parse_plan(line).unwrap_or_else(|| Line::Other(line.into()))
}

/// `1..N [# SKIP why]`.
fn parse_plan(line: &str) -> Option<Line> {
    let rest = line.strip_prefix("1..")?;
    let (count, directive) = rest.split_once('#').unwrap_or((rest, ""));
    let skip = directive_reason(directive, "SKIP");
    Some(Line::Plan {
        count: count.trim().parse().ok()?,
        skip,
    })
}

/// What follows `ok` or `not ok`: `[ N] [-] [name] [# SKIP|TODO why]`.
fn parse_test(rest: &str, ok: bool) -> Option<Line> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let (body, directive) = rest.split_once(" # ").unwrap_or((rest, ""));
    let body = body.trim();
    let digits = body.len() - body.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, name) = body.split_at(digits);
    let name = name
        .trim_start()
        .strip_prefix("- ")
        .unwrap_or(name.trim_start())
        .trim();
    let verdict = match (
        directive_reason(directive, "SKIP"),
        directive_reason(directive, "TODO"),
    ) {
        (Some(why), _) => Verdict::Skip(why),
        (None, Some(why)) if !ok => Verdict::Skip(format!("not done yet: {why}")),
        _ if ok => Verdict::Pass,
        _ if directive.trim().is_empty() => Verdict::Fail("not ok".into()),
        _ => Verdict::Fail(directive.trim().into()),
    };
    Some(Line::Test {
        number: number.parse().ok(),
        name: name.into(),
        verdict,
    })
}

/// The reason after a directive's keyword, in whatever case it is written.
fn directive_reason(directive: &str, keyword: &str) -> Option<String> {
    let directive = directive.trim();
    let head = directive.get(..keyword.len())?;
    head.eq_ignore_ascii_case(keyword)
        .then(|| directive[keyword.len()..].trim().to_owned())
}

/// Collects the cases of one suite as its lines come in.
#[derive(Debug, Default)]
pub struct Collector {
    suite: String,
    planned: Option<usize>,
    seen: usize,
    pending: Vec<String>,
    bailed: Option<String>,
    skipped: Option<String>,
}

impl Collector {
    /// A collector for the suite of that name.
    pub fn new(suite: &str) -> Self {
        Self {
            suite: suite.into(),
            ..Self::default()
        }
    }

    /// Takes a line; gives the case that it ends, if it ends one.
    pub fn take(&mut self, line: &str) -> Option<Case> {
        match parse_line(line) {
            // A program under test may be a suite too: only the first plan is this one's.
            Line::Plan { count, skip } if self.planned.is_none() => {
                self.planned = Some(count);
                self.skipped = skip;
                None
            }
            Line::Test { name, verdict, .. } => Some(self.case(name, verdict)),
            Line::BailOut(why) => {
                self.bailed = Some(why);
                None
            }
            Line::Version | Line::Plan { .. } => None,
            Line::Note(text) | Line::Other(text) => {
                if !text.is_empty() {
                    self.pending.push(text);
                }
                None
            }
        }
    }

    /// Takes a line that is no result, whatever it looks like: a note of the test that follows.
    pub fn note(&mut self, line: &str) {
        if !line.trim().is_empty() {
            self.pending.push(line.trim_end().into());
        }
    }

    /// Whether every planned test has reported, or the suite gave up: nothing more is to be waited for.
    pub fn complete(&self) -> bool {
        self.bailed.is_some() || self.planned.is_some_and(|planned| self.seen >= planned)
    }

    /// Whether the suite has said anything in TAP yet.
    pub fn started(&self) -> bool {
        self.planned.is_some() || self.seen > 0 || self.bailed.is_some()
    }

    /// What is owed when the output has ended: one failed case for every planned test that never reported, or for a
    /// suite that never said how many it has. `why` says how the output ended.
    pub fn finish(mut self, why: &str) -> Vec<Case> {
        let why = match &self.bailed {
            Some(reason) => format!("the suite bailed out: {reason}"),
            None => why.to_owned(),
        };
        if let (Some(reason), Some(0)) = (self.skipped.take(), self.planned) {
            return vec![Case::new(self.suite.clone(), Verdict::Skip(reason))];
        }
        let Some(planned) = self.planned else {
            let verdict = Verdict::Fail(format!("no plan after {} tests: {why}", self.seen));
            return vec![self.case("plan".into(), verdict)];
        };
        let mut owed = Vec::new();
        for number in self.seen + 1..=planned {
            let verdict = Verdict::Fail(format!("did not report: {why}"));
            owed.push(self.case(format!("test {number}"), verdict));
        }
        if owed.is_empty() && self.seen > planned {
            let verdict = Verdict::Fail(format!("planned {planned} tests, reported {}", self.seen));
            owed.push(self.case("plan".into(), verdict));
        }
        owed
    }

    fn case(&mut self, name: String, verdict: Verdict) -> Case {
        self.seen += 1;
        let name = if name.is_empty() {
            format!("test {}", self.seen)
        } else {
            name
        };
        Case {
            name: format!("{}::{name}", self.suite),
            verdict,
            notes: std::mem::take(&mut self.pending),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(text: &str, why: &str) -> Vec<Case> {
        let mut collector = Collector::new("s");
        let mut cases: Vec<Case> = text
            .lines()
            .filter_map(|line| collector.take(line))
            .collect();
        cases.extend(collector.finish(why));
        cases
    }

    #[test]
    fn line_ok_with_number_and_name_passes() {
        let line = Line::Test {
            number: Some(3),
            name: "pipe_echo".into(),
            verdict: Verdict::Pass,
        };
        assert_eq!(parse_line("ok 3 - pipe_echo\r"), line);
    }

    #[test]
    fn line_not_ok_with_hash_in_name_keeps_it() {
        let line = Line::Test {
            number: Some(1),
            name: "a#b".into(),
            verdict: Verdict::Fail("not ok".into()),
        };
        assert_eq!(parse_line("not ok 1 a#b"), line);
    }

    #[test]
    fn line_skip_in_any_case_gives_its_reason() {
        let line = Line::Test {
            number: Some(2),
            name: "mq".into(),
            verdict: Verdict::Skip("no such call".into()),
        };
        assert_eq!(parse_line("ok 2 - mq # skip no such call"), line);
    }

    #[test]
    fn line_that_only_begins_like_ok_is_other() {
        assert_eq!(parse_line("okay then"), Line::Other("okay then".into()));
    }

    #[test]
    fn line_plan_with_skip_is_read() {
        assert_eq!(
            parse_line("1..0 # SKIP no rtc"),
            Line::Plan {
                count: 0,
                skip: Some("no rtc".into())
            }
        );
        assert_eq!(parse_line("1..x"), Line::Other("1..x".into()));
    }

    #[test]
    fn suite_complete_owes_nothing() {
        let cases = collect("TAP version 14\n1..2\nok 1 - a\nok 2 - b\n", "end");
        assert!(cases.iter().all(|case| case.verdict == Verdict::Pass));
        assert_eq!(cases.len(), 2);
    }

    #[test]
    fn suite_cut_short_fails_what_did_not_report() {
        let cases = collect("1..3\nok 1 - a\nPANIC at the disco\n", "console closed");
        assert_eq!(cases.len(), 3);
        assert_eq!(cases[1].notes, ["PANIC at the disco"]);
        assert!(cases[1].verdict.failed() && cases[2].verdict.failed());
    }

    #[test]
    fn suite_keeps_its_plan_when_a_child_prints_one() {
        let cases = collect("1..2\nok 1 - a\nTAP version 14\n1..0\nok 2 - b\n", "end");
        assert!(cases.len() == 2 && cases.iter().all(|case| case.verdict == Verdict::Pass));
    }

    #[test]
    fn line_not_ok_with_remark_has_it_as_reason() {
        let line = parse_line("not ok 7 - a # a.rs:1: 1 is not 2");
        assert!(
            matches!(line, Line::Test { verdict: Verdict::Fail(why), .. } if why == "a.rs:1: 1 is not 2")
        );
    }

    #[test]
    fn suite_without_plan_fails() {
        assert!(
            collect("ok 1 - a\n", "silence")
                .last()
                .is_some_and(|case| case.verdict.failed())
        );
    }

    #[test]
    fn suite_with_more_than_planned_fails() {
        assert!(
            collect("1..1\nok 1\nok 2\n", "end")
                .last()
                .is_some_and(|case| case.verdict.failed())
        );
    }

    #[test]
    fn suite_skipped_whole_is_one_skip() {
        assert_eq!(
            collect("1..0 # SKIP no rtc\n", "end"),
            [Case::new("s", Verdict::Skip("no rtc".into()))]
        );
    }

    #[test]
    fn suite_that_bails_out_says_why() {
        let cases = collect("1..2\nBail out! no memory\n", "end");
        assert!(
            cases[0]
                .verdict
                .reason()
                .is_some_and(|why| why.contains("no memory"))
        );
    }
}
