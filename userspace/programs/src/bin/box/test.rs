//! Compares strings and numbers, asks about files: 0 for yes, 1 for no.

use crate::command::{Failure, Outcome, number, usage};
use halyard_rt::fs::Kind;
use halyard_rt::{prelude::*, raw::general, tty};

/// `[ EXPRESSION ]`
pub(crate) fn bracket(args: &[&'static str]) -> Outcome {
    match args.split_last() {
        Some((&"]", expression)) => run(expression),
        _ => usage("the closing ] is missing"),
    }
}

/// `test EXPRESSION`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    Ok(i32::from(!holds(args)?))
}

fn holds(args: &[&'static str]) -> core::result::Result<bool, Failure> {
    match *args {
        [] => Ok(false),
        [text] => Ok(!text.is_empty()),
        ["!", ref rest @ ..] => holds(rest).map(|yes| !yes),
        ["-n", text] => Ok(!text.is_empty()),
        ["-z", text] => Ok(text.is_empty()),
        ["-t", text] => Ok(tty::is_terminal(number::<i32>(text)?)),
        [option, name] => ask(option, name),
        [left, operator, right] => compare(left, operator, right),
        _ => usage("the expression is too long"),
    }
}

fn ask(option: &str, name: &str) -> core::result::Result<bool, Failure> {
    let is = |kind| fs::metadata(name).is_ok_and(|found| found.kind() == kind);
    Ok(match option {
        "-e" => fs::exists(name),
        "-f" => is(Kind::Regular),
        "-d" => is(Kind::Directory),
        "-p" => is(Kind::Fifo),
        "-c" => is(Kind::CharDevice),
        "-L" | "-h" => fs::symlink_metadata(name).is_ok_and(|found| found.kind() == Kind::Symlink),
        "-s" => fs::metadata(name).is_ok_and(|found| found.size() > 0),
        "-r" => fs::access(name, general::R_OK).is_ok(),
        "-w" => fs::access(name, general::W_OK).is_ok(),
        "-x" => fs::access(name, general::X_OK).is_ok(),
        _ => return usage(format!("there is no test {option}")),
    })
}

fn compare(left: &str, operator: &str, right: &str) -> core::result::Result<bool, Failure> {
    match operator {
        "=" | "==" => return Ok(left == right),
        "!=" => return Ok(left != right),
        _ => {}
    }
    let order = number::<i64>(left)?.cmp(&number::<i64>(right)?);
    Ok(match operator {
        "-eq" => order.is_eq(),
        "-ne" => order.is_ne(),
        "-lt" => order.is_lt(),
        "-le" => order.is_le(),
        "-gt" => order.is_gt(),
        "-ge" => order.is_ge(),
        _ => return usage(format!("there is no comparison {operator}")),
    })
}
