//! Writes what boards came to as one HTML page that needs nothing besides: failures first, each with the board's serial log.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::place::Outcome;
use crate::verdict::{Case, Verdict};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;\
color:#222;background:#fff}table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;\
border-bottom:1px solid #ddd}pre{background:#f6f6f4;padding:.8rem;overflow:auto;max-height:30rem}\
.PASS{color:#186a3b}.SKIP{color:#666}.FAIL,.NOBOOT{color:#a61b1b;font-weight:600}\
.INFRA,.FLASH{color:#8a4b00;font-weight:600}";

/// The page.
pub fn html(title: &str, outcomes: &[Outcome]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p { "FAIL and NOBOOT speak against the kernel, INFRA and FLASH against the rig." }
                (summary(outcomes))
                @for outcome in outcomes { (failures(outcome)) }
                @for outcome in outcomes { (everything(outcome)) }
            }
        }
    };
    page.into_string()
}

/// A row a board, with a count of each verdict.
fn summary(outcomes: &[Outcome]) -> Markup {
    let verdicts = ["PASS", "FAIL", "NOBOOT", "INFRA", "FLASH", "SKIP"];
    let count = |outcome: &Outcome, verdict: &str| {
        outcome
            .cases
            .iter()
            .filter(|case| case.verdict.to_string() == verdict)
            .count()
    };
    html! {
        table {
            tr { th { "place" } @for verdict in verdicts { th { (verdict) } } th { "seconds" } }
            @for outcome in outcomes {
                tr {
                    td { a href={ "#" (outcome.place) } { (outcome.place) } }
                    @for verdict in verdicts {
                        @let number = count(outcome, verdict);
                        td class=[(number > 0).then_some(verdict)] { (number) }
                    }
                    td { (format!("{:.0}", outcome.taken.as_secs_f32())) }
                }
            }
        }
    }
}

/// What failed on a board, with its last words and the whole log.
fn failures(outcome: &Outcome) -> Markup {
    let failed: Vec<&Case> = outcome
        .cases
        .iter()
        .filter(|case| case.verdict.failed())
        .collect();
    html! {
        @if !failed.is_empty() {
            h2 { (outcome.place) ": " (failed.len()) " not passed" }
            @for case in failed {
                h3 class=(case.verdict) { (case.verdict) " " (case.name) }
                p { (reason(&case.verdict)) }
                @if !case.notes.is_empty() { pre { (case.notes.join("\n")) } }
            }
            h3 { "serial log" }
            pre { (plain(&outcome.log)) }
        }
    }
}

fn everything(outcome: &Outcome) -> Markup {
    html! {
        h2 id=(outcome.place) { (outcome.place) }
        table {
            @for case in &outcome.cases {
                tr {
                    td class=(case.verdict) { (case.verdict) }
                    td { (case.name) }
                    td { (reason(&case.verdict)) }
                }
            }
        }
    }
}

fn reason(verdict: &Verdict) -> &str {
    verdict.reason().unwrap_or_default()
}

/// Without what a terminal takes for colour.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| *c == '\n' || *c == '\t' || !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::outcomes;

    #[test]
    fn page_shows_each_failure_with_the_log_and_escapes_it() {
        let page = html("hil", &outcomes());
        assert!(
            page.contains("&lt;last words&gt; &amp; more") && page.contains("red &lt;b&gt;"),
            "{page}"
        );
        assert!(
            !page.contains("quiet"),
            "a board that did well shows no log"
        );
        assert!(page.contains("broken: 4 not passed"));
        let first = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
        assert!(first("broken: 4 not passed") < first(r#"id="fine""#));
    }
}
