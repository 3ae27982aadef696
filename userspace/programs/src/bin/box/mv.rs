//! Renames files.

use crate::command::{On, Outcome, destination, parse, usage};
use halyard_rt::prelude::*;

/// `mv FROM... TO`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "f")?;
    let Some((to, from)) = parsed
        .operands
        .split_last()
        .filter(|(_, from)| !from.is_empty())
    else {
        return usage("two names are needed");
    };
    if from.len() > 1 && !fs::metadata(to).on(to)?.is_dir() {
        return Err(Errno::ENOTDIR).on(to);
    }
    for name in from {
        fs::rename(name, destination(name, to)).on(name)?;
    }
    Ok(0)
}
