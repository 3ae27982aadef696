//! Writes files one after the other.

use crate::command::{Outcome, each_input, parse};
use halyard_rt::prelude::*;

/// `cat [FILE...]`
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let parsed = parse(args, "")?;
    each_input("cat", &parsed.operands, |_, file| {
        io::copy(file, STDOUT)?;
        Ok(())
    })
}
