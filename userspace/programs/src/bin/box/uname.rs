//! Names the system.

use crate::command::{Outcome, parse};
use halyard_rt::{prelude::*, system};

/// `uname [-asnrvm]`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "asnrvm")?;
    let names = system::names()?;
    let fields = [
        ('s', names.system()),
        ('n', names.node()),
        ('r', names.release()),
        ('v', names.version()),
        ('m', names.machine()),
    ];
    let plain = args.is_empty();
    let wanted = |&&(letter, _): &&(char, &str)| {
        parsed.has('a') || parsed.has(letter) || (plain && letter == 's')
    };
    let shown: Vec<&str> = fields
        .iter()
        .filter(wanted)
        .map(|(_, text)| *text)
        .collect();
    println!("{}", shown.join(" "));
    Ok(0)
}
