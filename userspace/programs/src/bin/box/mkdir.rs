//! Makes directories.

use crate::command::{Outcome, each_name, parse};
use halyard_rt::prelude::*;

/// `mkdir [-p] DIRECTORY...`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "p")?;
    each_name("mkdir", &parsed.operands, |name| match parsed.has('p') {
        true => make_all(name),
        false => fs::create_dir(name, 0o777),
    })
}

/// Makes a directory and those above it; one that is there already is welcome.
fn make_all(name: &str) -> Result<()> {
    let ends = name
        .match_indices('/')
        .map(|(at, _)| at)
        .filter(|&at| at > 0);
    for end in ends.chain([name.len()]) {
        match fs::create_dir(&name[..end], 0o777) {
            Err(Errno::EEXIST) if fs::metadata(&name[..end])?.is_dir() => {}
            result => result?,
        }
    }
    Ok(())
}
