//! Writes what boards came to as JUnit XML: a test suite for each board. What speaks against the rig is an error there, what
//! speaks against the kernel a failure; the verdict itself is the type.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::place::Outcome;
use crate::verdict::{Case, Verdict};

/// The report.
pub fn junit(outcomes: &[Outcome]) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("halyard hil");
    for outcome in outcomes {
        let mut suite = TestSuite::new(outcome.place.as_str());
        suite.set_time(outcome.taken);
        suite.add_test_cases(
            outcome
                .cases
                .iter()
                .map(|case| test_case(&outcome.place, case)),
        );
        if outcome.cases.iter().any(|case| case.verdict.failed()) {
            suite.set_system_out(outcome.log.as_str());
        }
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn test_case(place: &str, case: &Case) -> TestCase {
    let kind = match &case.verdict {
        Verdict::Pass => None,
        Verdict::Skip(_) => Some(TestCaseStatus::skipped()),
        verdict if verdict.blames_rig() => Some(TestCaseStatus::non_success(NonSuccessKind::Error)),
        _ => Some(TestCaseStatus::non_success(NonSuccessKind::Failure)),
    };
    let status = match kind {
        None => TestCaseStatus::success(),
        Some(mut status) => {
            status.set_type(case.verdict.to_string());
            status.set_message(case.verdict.reason().unwrap_or_default());
            status.set_description(case.notes.join("\n"));
            status
        }
    };
    let mut test = TestCase::new(case.name.as_str(), status);
    test.set_classname(place);
    test
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One of each verdict.
    pub(crate) fn outcomes() -> Vec<Outcome> {
        let case = |name: &str, verdict| Case {
            name: name.into(),
            verdict,
            notes: vec!["<last words> & more".into()],
        };
        let fine = Outcome {
            place: "fine".into(),
            cases: vec![
                case("s::a", Verdict::Pass),
                case("s::b", Verdict::Skip("no rtc".into())),
            ],
            log: "quiet".into(),
            ..Outcome::default()
        };
        let broken = Outcome {
            place: "broken".into(),
            cases: vec![
                case("s::c", Verdict::Fail("1 is not 2".into())),
                case("boot::prompt", Verdict::NoBoot("dark".into())),
                case("power", Verdict::Infra("no cable".into())),
                case("flash", Verdict::Flash("no card".into())),
            ],
            log: "Halyard\u{1b}[31m red <b>".into(),
            ..Outcome::default()
        };
        vec![fine, broken]
    }

    #[test]
    fn junit_tells_failures_from_errors() {
        let text = junit(&outcomes()).expect("xml");
        assert!(
            text.contains(r#"tests="6" skipped="1" failures="2" errors="2""#),
            "{text}"
        );
        for verdict in ["FAIL", "NOBOOT", "INFRA", "FLASH"] {
            assert!(text.contains(&format!(r#"type="{verdict}""#)), "{text}");
        }
        assert!(
            text.contains("Halyard") && !text.contains("quiet") && !text.contains('\u{1b}'),
            "{text}"
        );
        let again = Report::deserialize_from_str(&text).expect("it can be read back");
        assert_eq!(again.test_suites.len(), 2);
    }
}
