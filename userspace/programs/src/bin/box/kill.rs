//! Sends signals.

use crate::command::{Outcome, each_name, usage};
use halyard_rt::{prelude::*, signal};

/// `kill [-SIGNAL | -l] PROCESS...`: `SIGTERM` if not told; a negative number is a group.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let (mut number, mut names) = (signal::SIGTERM, args);
    if let Some((first, rest)) = args.split_first()
        && let Some(option) = first.strip_prefix('-')
    {
        if option == "l" {
            return list();
        }
        match option.parse().ok().or_else(|| signal::from_name(option)) {
            Some(found) => number = found,
            None if option == "-" => {}
            None => return usage(format!("there is no signal '{option}'")),
        }
        names = rest;
        if names.first() == Some(&"--") {
            names = names.get(1..).unwrap_or(&[]);
        }
    }
    each_name("kill", names, |name| {
        let process = name.parse().map_err(|_| Errno::EINVAL)?;
        process::kill(process, number)
    })
}

fn list() -> Outcome {
    for number in 1..signal::SIGRTMIN {
        if let Some(name) = signal::name(number) {
            println!("{number:2} {name}");
        }
    }
    Ok(0)
}
