//! The session that the README shows, typed on the board: what it says the machine answers, the machine must answer.

use halyard_hil::verdict::Verdict;

use super::checks::PROMPT;
use super::session::{Failure, Session};
use super::target::Bench;

/// The README, whose only block of text that holds the prompt is the session.
const README: &str = include_str!("../../../README.md");

/// What is typed, and what is answered.
#[derive(Debug, PartialEq, Eq)]
struct Exchange<'a> {
    typed: &'a str,
    answer: Vec<&'a str>,
}

/// The session in `text`: the indented lines from the first with a prompt on, up to an empty or unindented one.
fn session(text: &str) -> Vec<Exchange<'_>> {
    let lines = text.lines().map(|line| line.strip_prefix("    "));
    let block = lines
        .skip_while(|line| !line.is_some_and(|line| line.starts_with(PROMPT)))
        .map_while(|line| line);
    let mut exchanges: Vec<Exchange<'_>> = Vec::new();
    for line in block {
        match (line.strip_prefix(PROMPT), exchanges.last_mut()) {
            (Some(typed), _) => exchanges.push(Exchange {
                typed,
                answer: Vec::new(),
            }),
            (None, Some(last)) => last.answer.push(line),
            (None, None) => {}
        }
    }
    exchanges
}

/// Types the README's session and compares every answer.
pub(crate) fn check(bench: &Bench<'_>) -> Result<String, Failure> {
    let exchanges = session(README);
    let Some((last, talk)) = exchanges.split_last() else {
        return Err(Failure {
            verdict: Verdict::Fail("the README shows no session".into()),
            console: Vec::new(),
        });
    };
    let boot = bench.ordinary_boot(&["quiet"], &[]);
    let mut session = Session::start(bench, bench.options.clone(), &boot)?;
    for Exchange { typed, answer } in talk {
        session.expect(PROMPT)?;
        session.send(&format!("{typed}\n"))?;
        // The console echoes what is typed.
        for wanted in std::iter::once(typed).chain(answer) {
            let line = session.line()?;
            if line != *wanted {
                let why =
                    format!("after `{typed}` the machine says '{line}', the README '{wanted}'");
                return Err(session.fail(&why));
            }
        }
    }
    session.expect(PROMPT)?;
    session.send(&format!("{}\n", last.typed))?;
    session.leave(0)?;
    Ok(format!("{} lines typed", exchanges.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_is_the_block_with_the_prompt() {
        let text = "A\n\n    cargo x\n\nB:\n\n    halyard:/$ a b\n    1\n    2\n    halyard:/$ exit\n\nC\n";
        let exchange = |typed, answer: &[&'static str]| Exchange {
            typed,
            answer: answer.to_vec(),
        };
        assert_eq!(
            session(text),
            [exchange("a b", &["1", "2"]), exchange("exit", &[])]
        );
    }

    #[test]
    fn session_of_the_readme_ends_with_exit() {
        assert_eq!(session(README).last().map(|last| last.typed), Some("exit"));
    }
}
