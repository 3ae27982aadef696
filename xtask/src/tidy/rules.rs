//! Reads the list of IPC rules, `docs/ipc/rules.md`, and checks that each has a test on the target.
//!
//! The last column of a row has the beginnings of test names. Tests are the functions of the target's test programs that
//! give an `Outcome`.

use std::fs;
use std::path::Path;

use super::Finding;
use crate::workspace::Workspace;

/// The list, relative to the workspace.
const LIST: &str = "docs/ipc/rules.md";

/// Where the tests are, relative to the workspace.
const TESTS: &str = "userspace/tests/src";

/// A finding for each beginning that no test has.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let Ok(list) = fs::read_to_string(workspace.root.join(LIST)) else {
        return vec![Finding::new(LIST, 0, "the list of rules cannot be read")];
    };
    let tests = tests_below(&workspace.root.join(TESTS));
    missing(&list, &tests)
}

/// The names of all tests in a directory.
fn tests_below(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            names.extend(tests_below(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            names.extend(text.lines().filter_map(test_in));
        }
    }
    names
}

/// The name in `fn NAME() -> Outcome {`.
fn test_in(line: &str) -> Option<String> {
    let rest = line.trim_start().trim_start_matches("pub(crate) ");
    let (name, rest) = rest.strip_prefix("fn ")?.split_once("()")?;
    rest.contains("-> Outcome").then(|| name.to_owned())
}

fn missing(list: &str, tests: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in list.lines().enumerate() {
        let Some((rule, beginnings)) = row(line) else {
            continue;
        };
        for beginning in beginnings.split_whitespace() {
            if !tests.iter().any(|name| name.starts_with(beginning)) {
                let text = format!("rule '{rule}' has no test whose name begins with {beginning}");
                findings.push(Finding::new(LIST, index + 1, text));
            }
        }
    }
    findings
}

/// Rule and beginnings of a row of a table; None for its head and for what is none.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells: Vec<&str> = line
        .trim()
        .strip_prefix('|')?
        .split('|')
        .map(str::trim)
        .collect();
    match cells.as_slice() {
        [rule, _, tests, ""] if *rule != "rule" && !rule.starts_with("---") => Some((rule, tests)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# x\n\n| rule | what | tests |\n|---|---|---|\n| pipe 1 | a | pipe_01 pipe_size |\n| mq | b | mq_ |\n";

    #[test]
    fn rule_without_a_test_is_found_by_line() {
        let tests = ["pipe_01_x".to_owned(), "mq_y".to_owned()];
        let found = missing(LIST, &tests);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 5);
        assert!(found[0].text.contains("pipe_size"));
    }

    #[test]
    fn test_functions_are_told_from_helpers() {
        assert_eq!(
            test_in("fn pipe_01_x() -> Outcome {").as_deref(),
            Some("pipe_01_x")
        );
        assert_eq!(test_in("fn fill(fd: i32) -> Outcome {"), None);
        assert_eq!(test_in("fn pause() {"), None);
    }
}
