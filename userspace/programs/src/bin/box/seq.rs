//! Counts.

use crate::command::{Outcome, number, usage};
use halyard_rt::prelude::*;

/// `seq [FIRST [STEP]] LAST`: whole numbers.
pub(crate) fn run(args: &[&'static str]) -> Outcome {
    let numbers = args.iter().map(|text| number(text));
    let numbers = numbers.collect::<core::result::Result<Vec<i64>, _>>()?;
    let (first, step, last) = match *numbers.as_slice() {
        [last] => (1, 1, last),
        [first, last] => (first, 1, last),
        [first, step, last] if step != 0 => (first, step, last),
        _ => return usage("one to three numbers are needed, and a step that is not 0"),
    };
    let mut out = BufWriter::new(STDOUT);
    let mut value = Some(first);
    while let Some(now) = value.filter(|&now| if step > 0 { now <= last } else { now >= last }) {
        writeln!(out, "{now}")?;
        value = now.checked_add(step);
    }
    out.flush()?;
    Ok(0)
}
