//! Gives files further names.

use crate::command::{On, Outcome, destination, parse, usage};
use halyard_rt::prelude::*;

/// `ln [-s] [-f] TARGET NAME`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "sf")?;
    let &[target, name] = parsed.operands.as_slice() else {
        return usage("a target and a name are needed");
    };
    let path = destination(target, name);
    if parsed.has('f') {
        let _ = fs::remove_file(&path);
    }
    if parsed.has('s') {
        fs::symlink(target, &path).on(name)?;
    } else {
        fs::link(target, &path).on(name)?;
    }
    Ok(0)
}
